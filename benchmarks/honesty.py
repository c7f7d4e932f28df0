"""Whether the figures of a choice hold on new units: choices on drawn units, measured on all other units.

`python -m benchmarks.honesty STORE --units N ..` draws N units of a split again and again, chooses committees as
`wisecommittee search` does, and measures them on the other units. N is at most half of the split. The truth is a figure
of the other m units, so intervals are wider by sqrt(1 + N / m) where they are compared with it. Without a store, the
pool of `wisecommittee demo` is trained.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wisecommittee import LogitStore, Query
from wisecommittee.committees.committee import Committee
from wisecommittee.errors import InfeasibleError
from wisecommittee.searches.evaluate import evaluate_in
from wisecommittee.searches.evaluation import Evaluation
from wisecommittee.searches.frontier import Frontier
from wisecommittee.searches.meeting import single_named
from wisecommittee.searches.resampling.cross_fit import CrossFit
from wisecommittee.searches.resampling.selecting import Asked, Selected, cross_fitted, select, settled
from wisecommittee.searches.search import Solution, solution_of, solve
from wisecommittee.searches.selection import Selection
from wisecommittee.searches.target import Target
from wisecommittee.searches.workers.execution import Execution


@dataclass(frozen=True, slots=True)
class Trial:
    """A choice on drawn units beside the truth.

    robust, best : the choice and the best on the drawn units; truth, truth_of_best, truth_of_reference : the same
    committees and the reference on the other units; wider : what intervals are widened by.
    """

    selected: Selected
    best: Evaluation
    truth: Evaluation
    truth_of_best: Evaluation
    truth_of_reference: Evaluation
    wider: float


def trials(
    whole: Solution, units: int, draws: Sequence[int], targets: Sequence[Target | str], selection: Selection
) -> Iterator[tuple[int, dict[str, Trial]]]:
    """Yields for each draw the trial of each target; 'match' stands for the best single model of the drawn units."""
    problem = replace(whole.problem, tables=whole.tables)
    everything = problem.pool.units
    for draw in draws:
        order = np.random.default_rng(draw).permutation(everything)
        drawn, other = np.sort(order[:units]), np.sort(order[units:])
        part = problem.of_units(drawn)
        solution = solve(part, whole.strategy)
        solution = solution._replace(problem=replace(part, tables=None), tables=part.tables)
        made, known = {}, {}
        for target in targets:
            asked = ask(solution, target)
            if asked is None:
                continue
            full = settled(asked, replace(selection, seed=draw))
            if full.choose not in known:
                known[full.choose] = cross_fitted(asked, full)
            crossfit = known[full.choose]
            assert isinstance(crossfit, CrossFit)
            try:
                selected = select(asked, full, crossfit)
            except InfeasibleError:
                continue
            committees = [selected.committee, asked.best.committee, _reference(asked)]
            truth = evaluate_in(problem.pool.of_units(other), committees, 1)
            made[_name(target)] = Trial(selected, asked.best, *truth, math.sqrt(1 + units / len(other)))
        yield draw, made


def ask(solution: Solution, target: Target | str) -> Asked | None:
    """The search with a target; None if nothing meets it on the drawn units."""
    frontier: Frontier = solution.frontier
    if isinstance(target, str):
        target = Target("match", frontier.best_single().committee.models[0])
    matched = single_named(frontier, str(target.value)) if target.kind == "match" else None
    try:
        if matched is not None:
            best = frontier.matching(matched.quality)
        elif target.kind == "target_accuracy":
            best = frontier.matching(float(str(target.value)))
        else:
            best = frontier.within(average_cost=float(str(target.value)))
    except InfeasibleError:
        return None
    return Asked(solution, target, best, matched)


def _reference(asked: Asked) -> Committee:
    return (asked.matched or asked.frontier.best_single()).committee


def _name(target: Target | str) -> str:
    return target if isinstance(target, str) else f"{target.kind.removeprefix('target_')} {target.value:.4g}"


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: figures over the draws of one target, in points or per cent."""

    target: str
    draws: int
    optimism: float
    bias: float
    error: float
    quality: float
    cost: float
    p99: float
    difference: float
    speedup: float
    use: float
    false_use: float
    gain: float
    gain_error: float
    short: float
    short_of_best: float


HEADINGS = (
    "target", "draws", "val-test", "bias", "+-", "quality", "cost", "p99", "differ.", "speed-up", "USE", "false USE",
    "robust-best", "+-", "worse", "best worse",
)  # fmt: skip


def summary(target: str, made: Sequence[Trial], margin: float) -> Row:
    """The figures of the trials of one target."""
    shown = [t for t in made if t.selected.evidence.expected is not None]
    expected = [t.selected.evidence.expected for t in shown]
    assert all(e is not None for e in expected)
    optimism = np.array([t.best.quality - t.truth_of_best.quality for t in shown])
    bias = np.array([e.quality - t.truth.quality for e, t in zip(expected, shown, strict=True) if e])
    gain = np.array([t.truth.quality - t.truth_of_best.quality for t in shown])
    covered = np.array([_covered(t) for t in shown])
    lost = np.array([t.truth.quality - t.truth_of_reference.quality for t in shown])
    lost_best = np.array([t.truth_of_best.quality - t.truth_of_reference.quality for t in shown])
    used = np.array([_word(t) == "use" for t in shown])
    cheaper = np.array([t.truth.average_cost < t.truth_of_reference.average_cost for t in shown])
    wrong = used & ((lost < -margin) | ~cheaper)
    return Row(
        target, len(shown), _points(optimism), _points(bias), _error(bias), *(100 * covered.mean(axis=0)).tolist(),
        100 * float(used.mean()), 100 * float(wrong.mean()), _points(gain), _error(gain),
        100 * float((lost < 0).mean()), 100 * float((lost_best < 0).mean()),
    )  # fmt: skip


def _covered(trial: Trial) -> tuple[bool, bool, bool, bool, bool]:
    """Whether the intervals of quality, average cost, p99 cost, difference and speed-up hold the truth."""
    evidence, truth, reference = trial.selected.evidence, trial.truth, trial.truth_of_reference
    expected, comparison = evidence.expected, evidence.comparison
    assert expected is not None
    assert comparison is not None
    ratio = reference.average_cost / truth.average_cost
    cheaper, w = comparison.speedup, trial.wider
    return (
        _inside(truth.quality, expected.quality, expected.interval, w),
        _inside(truth.average_cost, expected.average_cost, expected.cost_interval, w),
        expected.p99_interval is None or expected.p99_interval[0] <= truth.p99_cost <= expected.p99_interval[1],
        _inside(truth.quality - reference.quality, comparison.difference.mean, comparison.difference.interval, w),
        cheaper is None or _inside(ratio, cheaper.ratio, cheaper.interval, w),
    )


def _inside(truth: float, centre: float, interval: tuple[float, float], wider: float) -> bool:
    low, high = (centre + wider * (end - centre) for end in interval)
    return low - 1e-9 * abs(low) <= truth <= high + 1e-9 * abs(high)


def _word(trial: Trial) -> str:
    verdict = trial.selected.evidence.verdict
    return "" if verdict is None else verdict.word


def _points(values: NDArray[np.float64]) -> float:
    return 100 * float(values.mean())


def _error(values: NDArray[np.float64]) -> float:
    return 100 * float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else float("nan")


def table(rows: Sequence[Row]) -> str:
    """The rows as Markdown."""
    lines = ["| " + " | ".join(HEADINGS) + " |", "|" + "---|" * len(HEADINGS)]
    for row in rows:
        values = [getattr(row, name) for name in row.__slots__]
        cells = [f"{v:.2f}" if isinstance(v, float) and abs(v) < 10 else f"{v:.0f}" for v in values[2:]]
        lines.append("| " + " | ".join([str(values[0]), str(values[1]), *cells]) + " |")
    return "\n".join(lines)


def simulate(
    store: LogitStore, query: Query, units: int, draws: int, shares: Sequence[float], selection: Selection
) -> list[Row]:
    """A row for each budget and for the match of the best single model.

    shares : budgets, as multiples of the cost of the best single model of all units.
    """
    whole = solution_of(store, query, Execution(threads=1))
    if units > whole.problem.pool.units // 2:
        raise SystemExit(f"{units} units of {whole.problem.pool.units}: the truth needs half of them")
    single = whole.frontier.best_single().average_cost
    targets: list[Target | str] = [Target("target_cost", share * single) for share in shares]
    made: dict[str, list[Trial]] = {}
    for _, each in trials(whole, units, range(draws), [*targets, "match"], selection):
        for name, trial in each.items():
            made.setdefault(name, []).append(trial)
    return [summary(name, each, selection.margin) for name, each in made.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", nargs="?")
    parser.add_argument("--split", default="val")
    parser.add_argument("--cost", default=None)
    parser.add_argument("--units", type=int, default=300)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--max-models", type=int, default=3)
    parser.add_argument("--levels", type=int, default=20)
    parser.add_argument("--folds", type=int, default=10)
    parser.add_argument("--budgets", type=float, nargs="+", default=[0.25, 0.5, 1, 2])
    given = parser.parse_args()
    query = Query(split=given.split, max_models=given.max_models, levels=given.levels, cost=given.cost)
    with tempfile.TemporaryDirectory() as folder:
        store = LogitStore(given.store or digits(folder))
        rows = simulate(store, query, given.units, given.draws, given.budgets, Selection(folds=given.folds))
    print(f"{given.units:,} units drawn {given.draws} times, {given.folds} folds, up to {given.max_models} models")
    print(table(rows))


def digits(folder: str) -> str:
    """A store of the digits pool in a folder."""
    from wisecommittee.train.pool import train_pool

    train_pool(LogitStore(folder))
    return folder


if __name__ == "__main__":
    main()

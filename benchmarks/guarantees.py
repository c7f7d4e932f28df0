"""Whether guarantees hold: searches with guarantees on drawn units, measured on all other units.

`python -m benchmarks.guarantees STORE --units N ..` draws 2 N units of a split again and again: N choose, N test, as in
`wisecommittee search --guarantee`. The committee that is returned is measured on the other m units. Where it is just at
the limit, the truth lies on either side of it by chance, with a standard error that falls with m.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from wisecommittee import LogitStore, Query
from wisecommittee.searches.frontier import Frontier
from wisecommittee.searches.guarantees.certify import certify
from wisecommittee.searches.guarantees.options import GuaranteeOptions
from wisecommittee.searches.guarantees.results import Results, results_of
from wisecommittee.searches.search import Solution, solution_of, solve
from wisecommittee.searches.statements.statement import BEST_SINGLE, Guarantee
from wisecommittee.searches.workers.execution import Execution

STATEMENTS = ("accuracy >= best_single - 0.01", "accuracy >= best_single - 0.005", "average_flops <= 1.2e8")


@dataclass(frozen=True, slots=True)
class Trial:
    """A committee with guarantees beside the truth.

    holds : whether anything is shown; violated : whether a statement is then false of the other units; cost, worth :
    its average cost there over that of the best single model of the drawn units, and its accuracy less that model's
    """

    holds: bool
    violated: bool
    cost: float
    worth: float


def trials(whole: Solution, units: int, draws: Sequence[int], asked: GuaranteeOptions) -> Iterator[Trial]:
    """Yields a trial for each draw of 2 * units of the units of a search."""
    problem = replace(whole.problem, tables=whole.tables)
    everything = problem.pool.units
    for draw in draws:
        order = np.random.default_rng(draw).permutation(everything)
        choosing, testing, other = (np.sort(part) for part in np.split(order, [units, 2 * units]))
        part = problem.of_units(choosing)
        frontier = solve(part, whole.strategy).frontier
        chosen, certificate = certify(frontier, asked, (part.pool, problem.pool.of_units(testing)))
        best = frontier.best_single()
        committees = [chosen.committee, best.committee, *(_named(frontier, m) for m in asked_models(asked))]
        ours, single, *named = results_of(problem.pool.of_units(other), committees, 1)
        beside = dict(zip(asked_models(asked), named, strict=True)) | {BEST_SINGLE: single}
        false = certificate.holds and not all(_is_true(each, ours, beside) for each in asked.statements)
        name = chosen.committee.cost
        cost = ours.costs[name].values.mean() / single.costs[name].values.mean()
        yield Trial(certificate.holds, false, float(cost), float(ours.worth.mean() - single.worth.mean()))


def asked_models(asked: GuaranteeOptions) -> list[str]:
    return sorted({each.model for each in asked.statements if each.model} - {BEST_SINGLE})


def _named(frontier: Frontier, model: str):
    return next(e.committee for e in frontier.singles if e.committee.models == (model,))


def _is_true(statement: Guarantee, ours: Results, beside: dict[str, Results]) -> bool:
    if statement.figure == "accuracy":
        reference = beside[statement.subject].worth.mean() if statement.subject else 0.0
        return bool(ours.worth.mean() >= statement.factor * reference + statement.number)
    if statement.figure == "agreement":
        return bool((ours.prediction == beside[str(statement.subject)].prediction).mean() >= statement.number)
    name = ours.committee.cost if statement.subject == "cost" else str(statement.subject)
    costs = ours.costs[name].values
    if statement.figure == "average":
        theirs = beside[statement.reference].costs[name].values.mean() if statement.reference else 0.0
        return bool(costs.mean() <= statement.factor * theirs + statement.number)
    return bool((costs > (statement.limit or 0.0)).mean() <= statement.number)


def line(statement: str, delta: float, made: Sequence[Trial]) -> str:
    """A line of the table: shares of the draws, with the binomial standard error of a share of delta."""
    shown = [trial for trial in made if trial.holds]
    error = math.sqrt(delta * (1 - delta) / len(made))
    violated = sum(trial.violated for trial in made) / len(made)
    cheaper = np.mean([1 / trial.cost for trial in shown]) if shown else math.nan
    worth = 100 * np.mean([trial.worth for trial in shown]) if shown else math.nan
    return (
        f"{statement:38} {delta:5.2f} {len(made):6} {len(shown) / len(made):6.2f} {violated:9.3f} {error:6.3f} "
        f"{cheaper:9.2f} {worth:+8.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store")
    parser.add_argument("--units", type=int, default=1000, help="that choose, and as many that test")
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--max-models", type=int, default=3)
    parser.add_argument("--levels", type=int, default=20)
    parser.add_argument("--guarantee", action="append", help="a statement; may be repeated, each for itself")
    parser.add_argument("--delta", type=float, nargs="+", default=[0.05, 0.1])
    given = parser.parse_args()
    query = Query(max_models=given.max_models, levels=given.levels)
    whole = solution_of(LogitStore(given.store), query, Execution(threads=1))
    print(f"{'statement':38} delta  draws  shown  violated     +-  speed-up   points")
    for statement in given.guarantee or STATEMENTS:
        for delta in given.delta:
            asked = GuaranteeOptions(guarantee=(statement,), delta=delta)
            print(line(statement, delta, list(trials(whole, given.units, range(given.draws), asked))), flush=True)


if __name__ == "__main__":
    main()

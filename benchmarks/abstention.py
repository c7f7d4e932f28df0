"""Whether the answers of committees that abstain are right as often as asked: choices on drawn units, measured on all
other units.

`python -m benchmarks.abstention STORE --target-cost X --units N --answered-accuracy A` draws N units of a split again
and again and chooses as `wisecommittee search` does with these options; `--abstain-cost X` likewise. Intervals are
widened as in benchmarks/honesty.py.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.honesty import Trial, trials
from wisecommittee import LogitStore, Query, Target
from wisecommittee.searches.search import solution_of
from wisecommittee.searches.selection import Selection
from wisecommittee.searches.workers.execution import Execution

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Held:
    """Means over the draws in which an answer was found: figures on the other units, those that were expected, and how
    often the intervals held.

    found, draws : numbers of draws; error : standard error of `accuracy`.
    """

    found: int
    draws: int
    accuracy: float
    error: float
    expected_accuracy: float
    accuracy_covered: float
    answered: float
    expected_answered: float
    answered_covered: float

    def __str__(self) -> str:
        return (
            f"{self.found} of {self.draws} draws; accuracy of the answers {100 * self.accuracy:.2f} % "
            f"(± {100 * self.error:.2f}), expected {100 * self.expected_accuracy:.2f} %, interval holds "
            f"{100 * self.accuracy_covered:.0f} %; answered {100 * self.answered:.2f} %, expected "
            f"{100 * self.expected_answered:.2f} %, interval holds {100 * self.answered_covered:.0f} %"
        )


def simulate(
    store: LogitStore, query: Query, target: Target, units: int, draws: Sequence[int], selection: Selection
) -> Held:
    """Choose on drawn units and measure on the others."""
    rows = []
    whole = solution_of(store, query, Execution(threads=1))
    for _, made in trials(whole, units, draws, [target], selection):
        rows += [_row(trial) for trial in made.values()]
    means = np.mean(rows, axis=0)
    error = float(np.std(rows, axis=0)[0]) / np.sqrt(len(rows))
    return Held(len(rows), len(draws), float(means[0]), error, *map(float, means[1:]))


def _row(trial: Trial) -> list[float]:
    expected, truth = trial.selected.evidence.expected, trial.truth.on_answered
    assert expected is not None
    shown = expected.on_answered
    assert shown is not None
    assert truth is not None
    assert truth.quality is not None
    assert shown.quality is not None
    assert shown.quality_interval is not None
    return [
        truth.quality,
        shown.quality,
        _holds(shown.quality_interval, shown.quality, truth.quality, trial.wider),
        truth.share,
        shown.share,
        _holds(shown.interval, shown.share, truth.share, trial.wider),
    ]


def _holds(interval: Interval, centre: float, truth: float, wider: float) -> float:
    low, high = (centre + wider * (end - centre) for end in interval)
    return float(low - 1e-12 <= truth <= high + 1e-12)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store")
    parser.add_argument("--split", default="val")
    parser.add_argument("--models", nargs="+")
    parser.add_argument("--cost", default=None)
    parser.add_argument("--max-models", type=int, default=3)
    parser.add_argument("--target-cost", type=float, required=True)
    parser.add_argument("--units", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--abstain-cost", type=float)
    parser.add_argument("--answered-accuracy", type=float)
    given = parser.parse_args()
    models = None if given.models is None else tuple(given.models)
    query = Query(split=given.split, models=models, cost=given.cost, max_models=given.max_models)
    selection = Selection(abstain_cost=given.abstain_cost, answered_accuracy=given.answered_accuracy, folds=10)
    target = Target("target_cost", given.target_cost)
    print(simulate(LogitStore(given.store), query, target, given.units, range(given.draws), selection))


if __name__ == "__main__":
    main()

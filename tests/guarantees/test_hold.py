"""Guarantees hold as often as they say, on units drawn from a population of which the truth is known."""

from __future__ import annotations

import math

import pytest
from guaranteed import drawn_store

from benchmarks.guarantees import line, trials
from wisecommittee.searches.guarantees.options import GuaranteeOptions
from wisecommittee.searches.query import Query
from wisecommittee.searches.search import solution_of
from wisecommittee.searches.workers.execution import Execution

DRAWS = 200


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    store = drawn_store(tmp_path_factory.mktemp("population") / "logits", units=20_000)
    return solution_of(store, Query(levels=40, max_models=2), Execution(threads=1))


@pytest.mark.slow
@pytest.mark.parametrize("delta", [0.05, 0.1])
@pytest.mark.parametrize(
    "statement",
    ["accuracy >= best_single - 0.02", "accuracy >= 0.9", "average_flops <= 60", "P(cost > 60) <= 0.2",
     "agreement with large >= 0.95", "accuracy >= 0.97 * best_single", "average_flops <= 0.6 * large"],
)  # fmt: skip
def test_statements_are_false_at_most_as_often_as_delta_says(whole, statement, delta, capsys):
    made = list(trials(whole, 300, range(DRAWS), GuaranteeOptions(guarantee=[statement], delta=delta)))
    with capsys.disabled():
        print("\n" + line(statement, delta, made))
    violated = sum(trial.violated for trial in made) / DRAWS
    assert violated <= delta + 2 * math.sqrt(delta * (1 - delta) / DRAWS)
    assert sum(trial.holds for trial in made) >= 0.5 * DRAWS

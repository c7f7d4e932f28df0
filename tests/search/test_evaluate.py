"""The plain evaluator: many vectors of thresholds at once are what each is alone, and what the definition says."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import naive
import numpy as np
import pytest

from wisecommittee.committees import threshold_vectors
from wisecommittee.committees.committee import Committee
from wisecommittee.committees.cost import CostModel
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.searches import evaluate
from wisecommittee.searches.exits import exit_rows
from wisecommittee.searches.stages.exit_table import ExitTable
from wisecommittee.tasks import Classification, GradedAnswers

UNIT = Fraction(3, 7)


def charges(units: int) -> CostModel:
    return CostModel("usd", UNIT, np.zeros(0, np.int64), np.zeros((0, 0), bool))


def problem(units: int, stages: int, vectors: int, *, scale: int = 1, varying: bool = False, seed: int = 0):
    """Scores of few values, so that ties abound; thresholds on, between and beyond them."""
    rng = np.random.default_rng(seed)
    score = (rng.integers(0, 6, (stages, units)) / 5).astype(np.float32)
    stats = rng.integers(0, scale + 1, (stages, units, 1)).astype(np.int32)
    cost = np.cumsum(rng.integers(1, 9, (stages, units) if varying else stages), axis=0)
    thresholds = rng.choice([-0.1, 0.0, 0.2, 0.5, 0.6, 1.0, 1.1], (vectors, stages - 1))
    names = tuple((f"m{k}",) for k in range(stages))
    committees = [Committee(names, Thresholds(tuple(map(float, v))), "halting", cost="usd") for v in thresholds]
    return ExitTable(score, stats, cost, committees[0].routes), committees


def by_definition(table: ExitTable, committee: Committee, scale: int):
    stages, units = table.score.shape
    thresholds = [np.float32(t) for t in committee.thresholds.values]
    stage = naive.exit_stages(table.score.tolist(), [float(t) for t in thresholds], units)
    right = sum(int(table.stats[k, i, 0]) for i, k in enumerate(stage))
    paid = sorted(int(table.cost[k] if table.cost.ndim == 1 else table.cost[k, i]) for i, k in enumerate(stage))
    p99 = paid[math.ceil(99 * units / 100) - 1]
    exits = tuple(stage.count(k) / units for k in range(stages))
    return right / scale, float(sum(paid) * UNIT / units), float(p99 * UNIT), exits


@pytest.mark.parametrize("units", [1, 7, 8, 64, 65, 333])
@pytest.mark.parametrize("stages", [1, 2, 4])
@pytest.mark.parametrize(("scale", "varying"), [(1, False), (1, True), (10, False)])
def test_as_the_definition_says(units, stages, scale, varying):
    table, committees = problem(units, stages, 12, scale=scale, varying=varying)
    task = Classification() if scale == 1 else GradedAnswers(scale)
    found = evaluate.evaluate_table(table, committees, task, charges(units), "val")
    for committee, e in zip(committees, found, strict=True):
        assert e.committee is committee
        assert (e.correct, e.average_cost, e.p99_cost, e.exit_ratios) == by_definition(table, committee, scale)
        assert e.quality == float(Fraction(round(e.correct * scale), units * scale))
        assert e.worst_case_cost == float(int(np.max(table.cost[-1])) * UNIT)


def test_counting_bits_and_summing_units_are_one(monkeypatch):
    """In batches of any size, and with costs that only claim to vary."""
    table, committees = problem(1000, 3, 40, seed=1)
    whole = evaluate.evaluate_table(table, committees, Classification(), charges(1000), "val")
    monkeypatch.setattr(threshold_vectors, "BATCH_BITS", 7000)
    assert evaluate.evaluate_table(table, committees, Classification(), charges(1000), "val") == whole
    spread = replace(table, cost=np.repeat(table.cost[:, None], 1000, axis=1))
    assert evaluate.evaluate_table(spread, committees, Classification(), charges(1000), "val") == whole


def test_exit_counts_and_stages_agree():
    table, committees = problem(77, 4, 20, seed=2)
    vectors = threshold_vectors.carried_vectors([c.policy for c in committees], "halting")
    stages = list(threshold_vectors.exit_stages(table.score, vectors))
    for vector, stage, committee in zip(vectors.tolist(), stages, committees, strict=True):
        assert stage.tolist() == naive.exit_stages(table.score.tolist(), vector, 77)
        assert stage.tolist() == exit_rows(table, committee).tolist()  # `next`, unit by unit
    counts = threshold_vectors.exit_counts(table.score, vectors)
    assert counts.tolist() == [np.bincount(stage, minlength=4).tolist() for stage in stages]
    assert (counts.sum(axis=1) == 77).all()

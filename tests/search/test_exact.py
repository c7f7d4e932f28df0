"""The exact mode against brute force over every distinct threshold."""

from __future__ import annotations

import itertools
from dataclasses import replace
from fractions import Fraction
from unittest import mock

import naive
import numpy as np
import pytest
from agree import agree
from hypothesis import given
from hypothesis import strategies as st
from pools import MemoryStore, cases, pools, product_scores, realistic

from wisecommittee.errors import UsageError
from wisecommittee.searches.exact.proof import ExactSearch
from wisecommittee.searches.search import search
from wisecommittee.searches.sequences import GivenSequences
from wisecommittee.searches.stages.pool import open_pool

CASES = cases(150)


@CASES
@given(pools(), st.integers(1, 3), st.sampled_from(["max_prob", "logit_gap", "confidence"]))
def test_exact_equals_brute_force(pool, max_models, confidence):
    agree(pool, max_models=max_models, levels=2, exact=True, confidence=confidence)


@cases(30)
@given(pools("answers"), st.integers(2, 3), st.integers(2, 6))
def test_exact_answers_equal_brute_force(pool, max_models, levels):
    options = {"combine": "last", "confidence": "confidence"}
    agree(pool, max_models=max_models, levels=levels, exact=True, **options)


@pytest.mark.parametrize("per_unit", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_exact_four_members_equal_brute_force(seed, per_unit):
    rng = np.random.default_rng(seed)
    units = 9
    labels = rng.integers(0, 3, units).tolist()
    models = [
        naive.Model(
            f"m{m}",
            f"m{m}",
            0,
            {f"m{m}": int(rng.integers(1, 6))},
            rng.integers(-2, 3, (units, 3)).astype("f4"),
            unit_costs=rng.integers(0, 6, units).tolist() if per_unit else None,
        )
        for m in range(4)
    ]
    found = agree((models, labels), max_models=4, levels=4, exact=True)
    again = agree((models, labels), max_models=4, levels=2, exact=True)
    assert [e.figures() for e in again] == [e.figures() for e in found]


@CASES
@given(pools(), st.integers(2, 3))
def test_given_sequences_are_exact_whatever_their_costs(pool, longest):
    models, labels = pool
    store, n = MemoryStore(models, labels), len(labels)
    opened = open_pool(store, "val", store.cards("val"))
    sizes = range(1, min(longest, len(models)) + 1)
    every = [s for size in sizes for s in itertools.permutations(range(len(models)), size)]
    found = GivenSequences(opened, every).frontier(every, levels=2)
    expected = naive.search(models, labels, longest, None, replicas="all", exact=True, scores=product_scores(opened))
    assert [(e.correct, e.average_cost) for e in found] == [
        (p.correct, float(Fraction(p.total_cost, n))) for p in expected
    ]


@pytest.mark.parametrize("units", [300, 1500])
def test_exact_equals_the_grid_of_all_thresholds(units):
    """On larger pools: the grid with as many levels as units is exhaustive too, for pairs."""
    store = realistic(units)
    every = search(store, max_models=2, levels=units + 1)
    exact = search(store, max_models=2, levels=20, exact=True)
    assert [(e.correct, e.average_cost) for e in exact] == [(e.correct, e.average_cost) for e in every]


def test_exact_is_never_worse_than_the_grid():
    store = realistic(2000)
    grid = search(store, levels=100)
    exact = search(store, levels=100, exact=True)
    better = 0
    for e in grid:
        best = exact.within(average_cost=e.average_cost)
        assert best.quality >= e.quality
        better += best.quality > e.quality
    assert better


def test_what_exact_cannot_prove_is_said():
    store = realistic(50, models=5)
    begun = []
    with pytest.raises(UsageError, match="up to 4 members"):
        search(store, max_models=5, exact=True, progress=lambda task, *_: begun.append(task))
    assert begun == []  # nothing is swept in vain
    rng = np.random.default_rng(0)
    costly = [
        naive.Model(
            f"m{m}", f"m{m}", 0, {}, rng.normal(size=(20, 3)).astype("f4"), unit_costs=rng.integers(1, 4, 20).tolist()
        )
        for m in range(2)
    ]
    store = MemoryStore(costly, [0] * 20)
    cards = tuple(replace(card, costs={"latency_ms": 1.0}) for card in store.cards("val"))
    store.cards = lambda split: cards
    with pytest.raises(UsageError, match="same for every unit"):
        search(store, exact=True, max_average={"latency_ms": 1.5})


def every_threshold(proof):
    """Least total cost with at least so many correct, over every vector of distinct confidences of every cascade."""
    sweep = proof.sweep
    n, best = sweep.units, len(proof.envelope[0]) - 1
    least = np.full(best + 1, np.iinfo(np.int64).max)
    for c in sweep.candidates:
        rows, offsets, variants = sweep.axis.variants(c.sequences)
        for row, offset, caps in zip(rows.tolist(), offsets.tolist(), variants, strict=True):
            sequence = tuple(c.sequences[row].tolist())
            right = [sweep.lookup.correct_of(sequence[:k]).astype(np.int64) for k in range(1, len(sequence) + 1)]
            fees = sweep.axis.cost.marginal(sequence, n)
            others = np.zeros((0, len(sequence)), np.int64)
            if sweep.limits:
                caps = np.minimum(caps, sweep.limits.caps(c.sequences[[row]])[0])
                others = sweep.limits.marginal(c.sequences[[row]])[0]
            # One axis per stage; a unit counts from its own confidence on (the last index: everybody leaves earlier).
            orders = [np.unique(proof.stages[row].number, return_inverse=True)[1]
                      for row in sweep.lookup.score_rows_of(sequence[:-1])]  # fmt: skip
            correct, cost = right[0].sum(), offset + fees[0].sum()
            kept, spent = n <= caps[0], [int(row[0]) * n for row in others]
            for k in range(1, len(sequence)):
                shape = tuple(int(order.max()) + 1 for order in orders[:k])
                sums = np.zeros((3, *shape), np.int64)
                for table, change in zip(sums, (right[k] - right[k - 1], fees[k], np.ones(n, np.int64)), strict=True):
                    np.add.at(table, tuple(orders[:k]), change)
                    for axis in range(k):
                        np.cumsum(table, axis=axis, out=table)
                correct, cost = np.expand_dims(correct, -1) + sums[0], np.expand_dims(cost, -1) + sums[1]
                kept = np.expand_dims(kept, -1) & (sums[2] <= caps[k])
                spent = [np.expand_dims(total, -1) + int(row[k]) * sums[2]
                         for total, row in zip(spent, others, strict=True)]  # fmt: skip
            for total, ceiling in zip(spent, sweep.limits.ceilings if sweep.limits else (), strict=True):
                kept = kept & (total <= ceiling)
            kept = np.broadcast_to(kept, np.shape(correct))
            np.minimum.at(least, np.asarray(correct)[kept], np.asarray(cost)[kept])
    return np.minimum.accumulate(least[::-1])[::-1]


class Costed(MemoryStore):
    """A second cost on every card."""

    def card(self, model, split):
        return replace(super().card(model, split), costs={"usd": 1.0 + 3 * int(model[1:])})


class Graded(MemoryStore):
    """Answers with a graded quality."""

    def card(self, model, split):
        card = super().card(model, split)
        return replace(card, contents=replace(card.contents, graded=True))

    def quality(self, model, split):
        rng = np.random.default_rng(int(model[1:]))
        return rng.integers(0, 5, len(self._labels)) / 4


def small(units, seed, *, answers=False, per_unit=False, models=4):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, units)
    ease = rng.gamma(1.5, 1.0, units)
    made = []
    for m in range(models):
        logits = rng.normal(size=(units, 4))
        logits[np.arange(units), labels] += ease * (0.8 + 0.4 * m)
        logits = (np.round(logits * 4) / 4).astype(np.float32)  # ties
        costs = (rng.integers(1, 5, units) * 2**m).tolist() if per_unit else None
        sure = np.round(np.ptp(logits, axis=1)).astype(np.float32)
        kind = {"kind": "answers", "answers": list(map(str, logits.argmax(axis=1)))} if answers else {}
        outputs = None if answers else logits
        made.append(
            naive.Model(f"m{m}", f"m{m}", 0, {f"m{m}": 10 * 2**m}, outputs, stored_scores={"confidence": sure.tolist()},
                        unit_costs=costs, **kind)
        )  # fmt: skip
    return made, list(map(str, labels)) if answers else labels.tolist()


SEARCHES = {
    "plain": ({}, {}, MemoryStore),
    "from two levels": ({}, {"levels": 2, "threads": 2}, MemoryStore),
    "costs per unit": ({"per_unit": True}, {}, MemoryStore),
    "stored scores": ({}, {"confidence": "confidence"}, MemoryStore),
    "last": ({}, {"combine": "last"}, MemoryStore),
    "graded answers": ({"answers": True}, {}, Graded),
    "graded answers, costs per unit": ({"answers": True, "per_unit": True}, {}, Graded),
    "worst case": ({}, {"axis": "worst"}, MemoryStore),
    "percentile": ({}, {"axis": "p99"}, MemoryStore),
    "limits": ({}, {"max_percentile_cost": (80, 70), "max_average": {"usd": 5.0}}, Costed),
    "limits and percentile": ({}, {"axis": "p99", "max_average": {"usd": 5.0}}, Costed),
}


@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize(("units", "seed"), [(45, 0), (60, 1)])
def test_exact_equals_every_threshold_of_scores(name, units, seed):
    """What is screened and searched box by box is what every vector of thresholds gives."""
    made, asked, store = SEARCHES[name]
    proofs = []
    points = ExactSearch.points
    with mock.patch.object(ExactSearch, "points", lambda self: proofs.append(self) or points(self)):
        search(store(*small(units, seed, **made)), exact=True, **asked)
    (proof,) = proofs
    assert proof.envelope[0].tolist() == every_threshold(proof).tolist()


@pytest.mark.parametrize("units", [60, 300])
def test_a_slab_that_reaches_no_further_stage_skips_nothing(units):
    """The first levels of stage 1 may continue nobody to stage 3; what lies above them counts all the same."""
    for seed in range(4):
        store = realistic(units, models=5, seed=seed)
        some = search(store, exact=True, levels=2)
        assert [e.figures() for e in some] == [e.figures() for e in search(store, exact=True, levels=100)]

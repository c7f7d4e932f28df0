"""Integer costs: fixed point, unions of blocks, per-unit columns, guards."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wisecommittee.committees.cards import ModelCard
from wisecommittee.committees.cost import cost_model, fixed_point
from wisecommittee.errors import CostError


@given(
    st.lists(st.decimals(min_value="0.000001", max_value="1e6", places=6), min_size=1, max_size=6),
    st.integers(1, 10**5),
)
def test_fixed_point_is_exact(values, units):
    numbers = [float(v) for v in values]
    integers, unit = fixed_point(numbers, headroom=units)
    for number, integer in zip(numbers, integers, strict=True):
        assert integer * unit == Fraction(repr(number))


def test_flops_stay_as_they_are_up_to_their_gcd():
    assert fixed_point([4_089_000_000, 300_000_000]) == ([1363, 100], Fraction(3_000_000))


def test_too_large_costs_are_refused():
    with pytest.raises(CostError, match="64-bit"):
        fixed_point([2**55 + 1, 3], headroom=10**7)
    with pytest.raises(CostError, match="too many digits"):
        fixed_point([1e-12, 1e15 + 1], headroom=10**6)


def test_union_of_blocks_is_paid_once():
    cards = [
        ModelCard("a", blocks={"trunk": 10, "x": 1}),
        ModelCard("b", blocks={"trunk": 10, "y": 2}),
        ModelCard("c", blocks={"c": 7}),
    ]
    model = cost_model(cards, "flops", 100)
    np.testing.assert_array_equal(model.cumulative(np.array([[0, 1, 2], [2, 1, 0]])), [[11, 13, 20], [7, 19, 20]])
    assert model.stages([[0], [1, 2]]).tolist() == [11, 20]
    with pytest.raises(CostError, match="in another"):
        cost_model([cards[0], ModelCard("d", blocks={"trunk": 11})], "flops", 100)


@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_cumulative_costs_are_unions(seed, size):
    """Of blocks that several models run and of blocks that one runs; a model may come twice."""
    rng = np.random.default_rng(seed)
    cards = [
        ModelCard(f"m{i}", blocks={str(b): 3 + b for b in {*rng.integers(0, 5, 2).tolist(), 10 + i}}) for i in range(5)
    ]
    model = cost_model(cards, "flops", 100)
    sequences = rng.integers(0, 5, (6, size))
    for row, found in zip(sequences.tolist(), model.cumulative(sequences).tolist(), strict=True):
        for k, total in enumerate(found, 1):
            union = {b: v for m in row[:k] for b, v in cards[m].blocks.items()}
            assert total * model.unit == sum(union.values())


def test_constant_columns_are_model_costs():
    cards = [ModelCard("a"), ModelCard("b")]
    same = cost_model(cards, "usd", 4, {"a": np.full(4, 0.001), "b": np.full(4, 0.01)})
    assert same.per_unit is None
    assert same.stages([[0], [1]]).tolist() == [1, 11]
    assert same.unit == Fraction(1, 1000)
    varies = cost_model(cards, "usd", 4, {"a": np.array([1.0, 2, 1, 1]) / 1000, "b": np.full(4, 0.01)})
    assert varies.per_unit is not None
    np.testing.assert_array_equal(varies.stages([[0], [1]]), [[1, 2, 1, 1], [11, 12, 11, 11]])
    assert varies.worst(np.array([[0, 1]])).tolist() == [12]


@pytest.mark.parametrize("bad", [0, -1, float("nan"), float("inf"), "3", True, 10**400])
def test_cards_refuse_bad_costs(bad):
    with pytest.raises(CostError, match="above 0"):
        ModelCard("a", blocks={"a": bad})


def test_missing_costs_name_what_there_is():
    with pytest.raises(CostError, match="costs in this pool: flops, usd"):
        cost_model([ModelCard("a", blocks={"a": 1}), ModelCard("b", costs={"usd": 1})], "flops", 3)


@given(st.floats(0, 1e6), st.integers(1, 1000))
def test_ceiling_is_the_largest_total_within(limit, units):
    model = cost_model([ModelCard("a", blocks={"a": 0.25})], "flops", units)
    total = model.ceiling(limit, units)
    assert Fraction(total) * model.unit <= Fraction(repr(limit)) * units < Fraction(total + 1) * model.unit

"""The exact test of non-inferiority, against sums over all tables of counts."""

from __future__ import annotations

import math

import numpy as np
import pytest

from wisecommittee.statistics.noninferiority import EXCLUDED, difference_lower_limit, difference_upper_limit, p_inferior
from wisecommittee.statistics.paired import PairedCounts, difference_interval, tango_score


def tables(units: int) -> list[tuple[int, int]]:
    return [(b, c) for b in range(units + 1) for c in range(units + 1 - b)]


def probability(b: int, c: int, units: int, first: float, second: float) -> float:
    ways = math.comb(units, b) * math.comb(units - b, c)
    return ways * first**b * second**c * max(0.0, 1 - first - second) ** (units - b - c)


def counts_of(b: int, c: int, units: int) -> PairedCounts:
    return PairedCounts(units - b - c, b, c, 0)


@pytest.mark.parametrize("margin", [0.0, 0.05, 0.3, -0.1])
def test_the_p_value_is_the_largest_tail_over_the_unknown_share(margin):
    units = 14
    every = tables(units)
    scores = np.array([float(tango_score(b, c, units, -margin)) for b, c in every])
    shares = np.linspace(max(0.0, margin), (1 + margin) / 2, 801)
    each = np.array([[probability(b, c, units, q - margin, q) for b, c in every] for q in shares])
    for (b, c), score in zip(every, scores, strict=True):
        if score > 0.5:
            expected = float(each[:, scores >= score - 1e-12].sum(axis=1).max())
            found = p_inferior(counts_of(b, c, units), margin)
            assert found <= expected * 1.08 + 2 * EXCLUDED  # cells are a little pessimistic
            if found < 0.2:  # the confidence interval of the share may leave out where the tail is largest
                assert found >= expected * 0.4


@pytest.mark.parametrize("units", [6, 17])
@pytest.mark.parametrize("margin", [0.0, 0.04, 0.2])
def test_a_true_hypothesis_is_rejected_at_most_as_often_as_allowed(units, margin):
    """Every distribution with a difference of -margin or less, summed over all tables."""
    every = tables(units)
    p_values = np.array([p_inferior(counts_of(b, c, units), margin) for b, c in every])
    for gap in (margin, margin + 0.1):
        for second in np.linspace(gap, (1 + gap) / 2, 25):
            chances = np.array([probability(b, c, units, second - gap, second) for b, c in every])
            for delta in (0.01, 0.05, 0.1, 0.3):
                assert chances[p_values <= delta].sum() <= delta + 1e-9


@pytest.mark.parametrize(
    ("b", "c", "units"), [(30, 32, 1000), (40, 32, 1000), (0, 0, 1000), (60, 30, 1000), (0, 9, 50)]
)
def test_a_limit_is_where_the_test_begins_to_reject(b, c, units):
    counts, low = counts_of(b, c, units), difference_lower_limit(counts_of(b, c, units))
    assert p_inferior(counts, -low) <= 0.05 < p_inferior(counts, -low - 2e-5)
    assert low == pytest.approx(difference_interval(counts, 0.9)[0], abs=0.1 / math.sqrt(units))
    assert difference_upper_limit(counts_of(c, b, units)) == -low


def test_more_evidence_lowers_the_p_value():
    p_values = [p_inferior(counts_of(b, 20, 1000), 0.01) for b in (10, 20, 30, 40)]
    assert p_values == sorted(p_values, reverse=True)
    assert p_inferior(counts_of(0, 300, 1000), 0.01) == 1


def test_the_score_rises_with_units_gained_and_falls_with_units_lost():
    for units, bound in ((9, -0.1), (9, 0.0), (9, 0.2), (40, -0.01)):
        for b, c in tables(units):
            score = tango_score(b, c, units, bound)
            if b + c < units:
                assert tango_score(b + 1, c, units, bound) >= score - 1e-9
                assert tango_score(b, c + 1, units, bound) <= score + 1e-9

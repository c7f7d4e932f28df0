"""Fixed-sequence testing."""

from __future__ import annotations

import math

import numpy as np
import pytest

from wisecommittee.statistics.sequence import rejected_in_order


@pytest.mark.parametrize(
    ("p_values", "rejected"), [([], 0), ([0.2, 0.01], 0), ([0.01, 0.05, 0.2, 0.0], 2), ([0.0, math.nan, 0.0], 1)]
)
def test_testing_stops_at_the_first_failure(p_values, rejected):
    assert rejected_in_order(p_values, 0.05) == rejected


def test_nothing_after_the_first_failure_is_computed():
    asked = []

    def p_values():
        for value in (0.0, 0.9, 0.0):
            asked.append(value)
            yield value

    assert rejected_in_order(p_values(), 0.05) == 1
    assert asked == [0.0, 0.9]


def test_a_true_hypothesis_anywhere_is_rejected_at_most_as_often_as_allowed():
    rng, delta = np.random.default_rng(0), 0.05
    wrong = 0
    for _ in range(4000):
        p_values = np.where(np.arange(12) < 5, 0.0, rng.random(12))  # the last seven are true, and independent
        wrong += rejected_in_order(p_values, delta) > 5
    assert wrong <= delta * 4000 + 2 * math.sqrt(delta * (1 - delta) * 4000)

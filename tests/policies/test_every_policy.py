"""Kinds of policies on one frontier and beside each other, by outcomes of units that had no part in the choice."""

from __future__ import annotations

import math

import numpy as np

from wisecommittee.searches.resampling.among_policies import simplest_of_best


def test_the_simplest_within_one_standard_error_is_taken():
    rng = np.random.default_rng(0)
    for _ in range(200):
        gains = rng.random((4, 30)) + rng.random(4)[:, None] * 0.3
        best = int(np.argmax(gains.mean(axis=1)))
        expected = None
        for number in range(4):
            apart = [float(b - a) for a, b in zip(gains[number], gains[best], strict=True)]
            mean = sum(apart) / len(apart)
            spread = math.sqrt(sum((value - mean) ** 2 for value in apart) / len(apart))
            if expected is None and mean <= spread / math.sqrt(len(apart)):
                expected = number
        assert simplest_of_best(list(gains)) == expected
        some = np.arange(0, 30, 2)
        assert simplest_of_best(list(gains), some) == simplest_of_best(list(gains[:, some]))


def test_a_clearly_better_one_wins_over_a_simpler_one():
    worse, better = np.zeros(100), np.r_[np.ones(30), np.zeros(70)]
    assert simplest_of_best([worse, better]) == 1
    assert simplest_of_best([better, worse]) == 0
    assert simplest_of_best([worse, worse]) == 0

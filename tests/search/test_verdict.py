"""Verdicts, speed-ups and paired differences, against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm

from wisecommittee.searches.resampling.comparison import PairedDifference, ReferenceComparison, paired_difference
from wisecommittee.searches.resampling.fitted import Fitted
from wisecommittee.searches.resampling.outcomes import Outcomes
from wisecommittee.searches.resampling.speedup import Speedup, speedup
from wisecommittee.searches.resampling.verdict import judge
from wisecommittee.tasks import TASKS

CLASSIFICATION = next(task for task in TASKS.values() if task.exact_match)()


def comparison(mean, half, ratio, ratio_half, units=1_000, **more):
    """Normal limits around a difference, and around a speed-up."""
    one_sided = half * norm.ppf(0.95) / norm.ppf(0.975)
    difference = PairedDifference(
        mean, (mean - half, mean + half), (mean - one_sided, mean + one_sided), 0.5, half / norm.ppf(0.975) * units**0.5
    )
    cheaper = Speedup(ratio, (ratio - ratio_half, ratio + ratio_half), (ratio - ratio_half, ratio + ratio_half))
    return ReferenceComparison("big", difference, cheaper, units, **more)


@pytest.mark.parametrize(
    ("mean", "half", "ratio", "ratio_half", "word"),
    [
        (0.01, 0.005, 3, 0.1, "use"),
        (0.0, 0.005, 3, 0.1, "use"),  # the one-sided limit is inside the margin, the two-sided one is outside
        (0.0, 0.0061, 3, 0.1, "not_shown"),
        (0.01, 0.005, 1.05, 0.1, "not_shown"),
        (0.01, 0.005, 0.8, 0.1, "do_not_use"),
        (0.01, 0.005, 1.0, 0.0, "do_not_use"),
        (-0.02, 0.01, 9, 0.1, "do_not_use"),
        (-0.012, 0.01, 9, 0.1, "not_shown"),
    ],
)
def test_the_word(mean, half, ratio, ratio_half, word):
    verdict = judge(comparison(mean, half, ratio, ratio_half), margin=0.005, min_speedup=1.0)
    assert verdict.word == word
    assert (verdict.more_units is None) == (word != "not_shown" or mean - half >= -0.005)


def test_margin_and_speedup_are_those_asked_for():
    of = comparison(-0.01, 0.005, 3, 0.2)
    assert judge(of, 0.02, 2.5).word == "use"
    assert judge(of, 0.02, 2.9).word == "not_shown"
    assert judge(of, 0.02, 3.5).word == "do_not_use"
    assert judge(of, 0.001, 1).word == "do_not_use"


@pytest.mark.parametrize("mean", [0.0, -0.012])
def test_so_many_more_units_would_settle_it(mean):
    """With that many units in all, and the same difference, the one-sided limit meets the margin."""
    of = comparison(mean, 0.012, 3, 0.1, units=800)
    more = judge(of, 0.005, 1).more_units
    spread = of.difference.spread
    reach = norm.ppf(0.95) * spread / np.sqrt(800 + more)
    assert reach == pytest.approx(abs(mean + 0.005), rel=0.01)


@pytest.mark.parametrize(
    ("of", "sentence"),
    [
        (comparison(-0.012, 0.008, 4.3, 0.2), "4.30 times cheaper than big, 0.4 to 2.0 points less accurate"),
        (comparison(0.01, 0.004, 12.34, 0.2), "12.3 times cheaper than big, 0.6 to 1.4 points more accurate"),
        (comparison(0.001, 0.004, 2, 0.2), "2.00 times cheaper than big, as accurate to within 0.5 points"),
        (comparison(0, 0.02, 2, 0.2), "2.00 times cheaper than big, between 2.0 points less and 2.0 points more accurate"),  # noqa: E501
        (comparison(0.001, 0.004, 0.8, 0.1), "1.25 times as dear as big, as accurate to within 0.5 points"),
        (
            comparison(0.001, 0.004, 1, 0.1),
            "about as dear as big (0.90 to 1.10 times cheaper), as accurate to within 0.5 points",
        ),
        (comparison(0.001, 0.004, 1, 0), "as dear as big, as accurate to within 0.5 points"),
    ],
)  # fmt: skip
def test_the_sentence(of, sentence):
    assert judge(of, 0.005, 1).sentence == sentence


def test_a_committee_that_is_the_reference_is_said_to_be_it():
    verdict = judge(comparison(0, 0, 1, 0, same=True), 0.005, 1)
    assert verdict.word == "do_not_use"
    assert verdict.sentence == "the committee is big by itself"


def outcomes(right):
    return Outcomes(np.array(right, np.int32)[:, None], np.zeros(len(right), np.int64))


def fitted(right, chosen=None):
    return Fitted.of(CLASSIFICATION, [outcomes(right)], outcomes(right if chosen is None else chosen))


def test_errors_are_wider_by_the_units_on_which_folds_choose_otherwise():
    right, chosen = np.r_[np.ones(90), np.zeros(10)], np.r_[np.ones(85), np.zeros(5), np.ones(5), np.zeros(5)]
    assert fitted(right).wider(right, 1.0) == 1.05
    assert fitted(right, chosen).wider(right, 1.0) == pytest.approx(math.sqrt(1 + 10 / (100 * 0.9 * 0.1)))
    assert fitted(right, chosen).wider(right, 2.5) == pytest.approx(math.sqrt(1 + 25 / (100 * 0.9 * 0.1)))


def test_a_difference_is_that_of_the_discordant_units():
    rng = np.random.default_rng(0)
    a, b = rng.random(400) < 0.9, rng.random(400) < 0.88
    found = paired_difference(fitted(a), outcomes(b))
    assert found.mean == pytest.approx(a.mean() - b.mean())
    low, high = found.interval
    error = (a.astype(float) - b).std() / 20
    assert (low, high) == pytest.approx((found.mean - 1.05 * 1.96 * error, found.mean + 1.05 * 1.96 * error), abs=0.003)
    assert low < found.limits[0] < found.mean < found.limits[1] < high
    assert found.p == pytest.approx(2 * norm.sf(abs(found.mean) / (1.05 * error)), abs=0.02)


def test_committees_that_never_differ_still_have_an_interval():
    found = paired_difference(fitted(np.ones(300)), outcomes(np.ones(300)))
    assert found.mean == 0
    assert found.interval[0] < -0.005  # 300 units without a difference do not show that it is below half a point
    assert found.p == 1


def test_the_speedup_of_constant_costs_is_exact():
    assert speedup("average", np.full(9, 6.0), np.full(9, 4.0), (6, 4)) == (1.5, (1.5, 1.5), (1.5, 1.5))
    assert speedup("worst", np.full(9, 6.0), np.array([1.0] * 8 + [8]), (6, 8)) == (0.75, (0.75, 0.75), (0.75, 0.75))
    assert speedup("average", np.full(9, 6.0), np.zeros(9), (6, 0)) is None


def test_the_speedup_of_a_cascade_covers_the_ratio_of_the_true_averages():
    """300 cascades of 500 units that run a second stage of cost 9 with probability 0.2, beside a model of cost 10."""
    rng, covered, truth = np.random.default_rng(1), 0, 10 / (1 + 0.2 * 9)
    for _ in range(300):
        costs = 1 + 9.0 * (rng.random(500) < 0.2)
        _, (low, high), (one_low, one_high) = speedup("average", np.full(500, 10.0), costs, (10, 10))
        covered += low <= truth <= high
        assert low < one_low < one_high < high
    assert 0.92 <= covered / 300 <= 0.985


def test_the_speedup_of_a_percentile_stands_between_order_statistics():
    costs = np.r_[np.full(985, 2.0), np.full(15, 10.0)]
    ratio, (low, high), _ = speedup("p99", np.full(1_000, 10.0), costs, (10, 10))
    assert ratio == 1
    assert (low, high) == (1, 5) or math.isclose(low, 1)

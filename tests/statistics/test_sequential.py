"""A stream against a reference sample, compared with loops over the definition and with exact probabilities."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from wisecommittee.statistics import sequential
from wisecommittee.statistics.evidence import DriftEvidence
from wisecommittee.statistics.sequential import mean_change

BINARY = np.array([0.0, 1.0])


def counted(values, sample):
    return np.array([sum(1 for x in sample if x == value) for value in values], float)


def capital(sample, p, stakes, sign):
    """The mean over stakes of the capital of a gambler on values above (sign 1) or below (sign -1) p."""
    capitals = []
    for stake in stakes:
        stake = min(stake, 0.5 / p if sign > 0 else 0.5 / (1 - p))
        wealth = 1.0
        for x in sample:
            wealth *= 1 + sign * stake * (x - p)
        capitals.append(wealth)
    return sum(capitals) / len(capitals)


def naive_evidence(reference, live, steps=3000):
    """The least product of capitals over means p: bets on the reference 1.5 and 3 standard errors away, on the stream
    from half of 1 / deviation on by halves."""
    m, least = len(reference), math.inf
    for i in range(1, steps):
        p = math.sin(math.pi / 2 * i / steps) ** 2
        deviation = math.sqrt(p * (1 - p))
        near = [z / math.sqrt(m) / deviation for z in (1.5, 3.0)]
        far = [0.5**j / deviation for j in range(1, math.ceil(math.log2(m) / 2) + 4)]
        one = capital(reference, p, near, 1) * capital(live, p, far, -1)
        other = capital(reference, p, near, -1) * capital(live, p, far, 1)
        least = min(least, (one + other) / 2)
    return math.log(least)


@pytest.mark.parametrize("values", [(0.0, 1.0), (0.0, 0.2, 1.0), (0.4, 0.5)])
def test_the_evidence_is_the_least_product_of_capitals(values):
    rng = np.random.default_rng(0)
    reference, live = rng.choice(values, 40).tolist(), rng.choice(values[1:], 25).tolist()
    found = DriftEvidence(np.array(values), counted(values, reference))(counted(values, live)[None])[0]
    plain = naive_evidence(reference, live)
    assert plain - 0.35 < found <= plain + 1e-9  # never more; less by what p changes within a cell


@pytest.fixture(scope="module")
def every_stream():
    """(ones up to each unit of every stream of 9; the evidence there for every count of ones in a reference of 8)."""
    m, n = 8, 9
    ones = np.cumsum(list(itertools.product([0, 1], repeat=n)), axis=1)
    looks = np.stack([np.arange(1, n + 1) - ones, ones], axis=2).astype(float).reshape(-1, 2)
    return ones, [DriftEvidence(BINARY, np.array([m - x, x], float))(looks).reshape(ones.shape) for x in range(m + 1)]


@pytest.mark.parametrize("p", [0.02, 0.2, 0.5, 0.93])
def test_without_a_change_the_alarm_is_as_rare_as_promised_exactly(p, every_stream):
    """All streams and all counts of the reference, with their probabilities."""
    ones, evidence = every_stream
    n, alpha = ones.shape[1], 0.4
    weights = p ** ones[:, -1] * (1 - p) ** (n - ones[:, -1])
    alarms, mean = 0.0, 0.0
    for x, found in enumerate(evidence):
        share = stats.binom.pmf(x, len(evidence) - 1, p)
        alarms += share * weights @ (found >= math.log(1 / alpha)).any(axis=1)
        mean += share * weights @ np.exp(found[:, -1])
    assert mean <= 1 + 1e-9
    assert alarms <= alpha


def test_the_interval_is_where_the_evidence_stays_below_its_limit():
    rng = np.random.default_rng(1)
    values = np.array([0.0, 0.3, 1.0])
    reference, live = rng.choice(values, 300), rng.choice(values, 500, p=[0.2, 0.2, 0.6])
    judge, counts = DriftEvidence(values, counted(values, reference)), counted(values, live)
    low, high = judge.interval(counts, 0.05)
    shifts = np.linspace(-1, 1, 801)
    inside = [judge(counts[None], shift)[0] < math.log(20) for shift in shifts]
    assert shifts[inside].min() == pytest.approx(low, abs=0.0026)
    assert shifts[inside].max() == pytest.approx(high, abs=0.0026)
    assert sum(inside) == pytest.approx((high - low) * 400, abs=2)


def test_an_alarm_says_after_which_value_the_means_are_shown_to_differ():
    rng = np.random.default_rng(2)
    reference, live = (rng.random(500) < 0.5).astype(float), (rng.random(2000) < 0.75).astype(float)
    change = mean_change(reference, live)
    assert change.alarm is not None
    assert change.interval[0] > 0
    assert (change.reference, change.live) == (reference.mean(), live.mean())
    judge, limit = DriftEvidence(BINARY, counted(BINARY, reference)), math.log(20)
    assert judge(counted(BINARY, live[: change.alarm])[None])[0] >= limit
    assert mean_change(reference, live[: change.alarm]).alarm == change.alarm
    assert mean_change(reference, live[: change.alarm - 1]).alarm is None
    assert mean_change(reference, live[: change.alarm + 1]).alarm == change.alarm
    assert mean_change(reference, (rng.random(2000) < 0.5).astype(float)).alarm is None


def test_the_stream_is_looked_at_after_numbers_of_units_that_do_not_depend_on_its_length():
    def looks(units):
        return list(itertools.chain.from_iterable(sequential._blocks(units)))

    for units in (1, 5, 50, 51, 700):
        assert looks(units) == [look for look in looks(5000) if look <= units]
        assert looks(units)[-1] > 0.98 * units - 1
    assert looks(40) == list(range(1, 41))


def test_many_values_are_compared_after_rounding():
    rng = np.random.default_rng(3)
    reference, live = rng.random(300), rng.random(300) ** 2
    found = mean_change(reference, live)
    assert found.alarm is not None
    assert found.live == live.mean()
    steps = [np.rint(x * sequential.MOST_VALUES) / sequential.MOST_VALUES for x in (reference, live)]
    assert mean_change(*steps).interval == pytest.approx(found.interval)


def test_extreme_samples_have_an_answer():
    for reference, live in (([0.0], [1.0]), ([1.0] * 50, [1.0] * 50), ([0.0] * 50, [0.0]), ([0.5], [0.5] * 7)):
        change = mean_change(np.array(reference), np.array(live))
        assert change.alarm is None
        assert -1 <= change.interval[0] <= np.mean(live) - np.mean(reference) <= change.interval[1] <= 1
    assert mean_change(np.zeros(50), np.ones(50)).alarm < 20


def alarms(rng, draw_reference, draw_live, streams, alpha=0.05):
    found = [mean_change(draw_reference(rng), draw_live(rng), alpha) for _ in range(streams)]
    return [change.alarm for change in found], [change.interval for change in found]


def shares(p, units):
    return lambda rng: (rng.random(units) < p).astype(float)


def levels(weights, units):
    return lambda rng: rng.choice([0.0, 0.25, 1.0], units, p=weights)


@pytest.mark.slow
def test_streams_without_a_change_stay_steady_and_intervals_cover(capsys):
    rng, streams, alpha = np.random.default_rng(4), 400, 0.05
    cases = {
        f"{name}, m = {m:,}": (draw(m), draw(4 * m), 0.0)
        for m in (100, 1000)
        for name, draw in {
            "share .5": lambda units: shares(0.5, units),
            "share .1": lambda units: shares(0.1, units),
            "share .01": lambda units: shares(0.01, units),
            "three costs": lambda units: levels([0.9, 0.08, 0.02], units),
        }.items()
    }
    cases["share .1 to .15, m = 1,000"] = shares(0.1, 1000), shares(0.15, 4000), 0.05
    lines = []
    for name, (reference, live, change) in cases.items():
        numbers, intervals = alarms(rng, reference, live, streams, alpha)
        raised = sum(number is not None for number in numbers)
        covered = sum(low <= change <= high for low, high in intervals)
        lines.append(f"{name:<28} alarms {raised / streams:6.1%}   intervals cover {covered / streams:6.1%}")
        assert covered >= (1 - alpha) * streams - 2 * math.sqrt(alpha * (1 - alpha) * streams)
        if not change:
            assert raised <= alpha * streams + 2 * math.sqrt(alpha * (1 - alpha) * streams)
    with capsys.disabled():
        print("\n" + "\n".join(lines))


def union_alarm(reference, live, alpha):
    """The plain alternative: an exact interval of the reference, and bets against its ends, at alpha / 2 each."""
    m, x = len(reference), int(reference.sum())
    low = stats.beta.ppf(alpha / 4, x, m - x + 1) if x else 1e-9
    high = stats.beta.ppf(1 - alpha / 4, x + 1, m - x) if x < m else 1 - 1e-9
    limit, seen = math.log(4 / alpha), []
    for end, sign in ((high, 1), (low, -1)):
        deviation = math.sqrt(end * (1 - end))
        stakes = [0.5**j / deviation for j in range(1, math.ceil(math.log2(m) / 2) + 4)]
        bound = 0.5 / end if sign > 0 else 0.5 / (1 - end)
        growth = [np.cumsum(np.log1p(sign * min(stake, bound) * (live - end))) for stake in stakes]
        reached = np.flatnonzero(np.logaddexp.reduce(growth, axis=0) - math.log(len(stakes)) >= limit)
        seen += reached[:1].tolist()
    return min(seen) + 1 if seen else None


@pytest.mark.slow
def test_a_change_is_seen_sooner_than_by_intervals_that_part(capsys):
    rng, streams, lines = np.random.default_rng(5), 60, []
    for before, after, m in (
        (0.5, 0.56, 2000),
        (0.5, 0.7, 2000),
        (0.1, 0.2, 2000),
        (0.3, 0.45, 300),
        (0.01, 0.03, 2000),
    ):
        ours, theirs = [], []
        for _ in range(streams):
            reference, live = shares(before, m)(rng), shares(after, 4 * m)(rng)
            ours.append(mean_change(reference, live, 0.01).alarm or math.inf)
            theirs.append(union_alarm(reference, live, 0.01) or math.inf)
        seen = [sum(map(math.isfinite, each)) / streams for each in (ours, theirs)]
        medians = [float(np.median(each)) for each in (ours, theirs)]
        lines.append(
            f"share {before} to {after}, m = {m:,}: seen in {seen[0]:.0%}, median unit {medians[0]:,.0f}; by intervals "
            f"in {seen[1]:.0%}, {medians[1]:,.0f}"
        )
        assert seen[0] >= seen[1] - 0.1
        assert medians[0] <= 1.25 * medians[1]
    with capsys.disabled():
        print("\n" + "\n".join(lines))

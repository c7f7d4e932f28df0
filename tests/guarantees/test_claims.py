"""The test of each kind of statement, against counts in loops and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.searches.guarantees.claims import Units, hypothesis
from wisecommittee.searches.guarantees.hypothesis import Certain
from wisecommittee.searches.guarantees.results import Results, UnitCosts
from wisecommittee.searches.statements.parsing import parse_guarantee
from wisecommittee.statistics.betting import p_mean_at_most
from wisecommittee.statistics.noninferiority import p_inferior
from wisecommittee.statistics.paired import PairedCounts

N = 400
RNG = np.random.default_rng(4)
LABELS = RNG.integers(0, 2, N)
COMMITTEE = Committee((("a",), ("b",)), Thresholds((0.8,)))
SINGLE = Committee((("b",),))


def results(committee, accuracy, costs, seed):
    rng = np.random.default_rng(seed)
    prediction = np.where(rng.random(N) < accuracy, LABELS, 1 - LABELS)
    paid = rng.choice(costs, N, p=[0.7, *[0.3 / (len(costs) - 1)] * (len(costs) - 1)] if len(costs) > 1 else None)
    return Results(
        committee, (prediction == LABELS).astype(float), prediction, {"flops": UnitCosts(paid, tuple(costs))}
    )


OURS = results(COMMITTEE, 0.93, [1.0, 5.0], 0)
STAGES3 = results(COMMITTEE, 0.93, [1.0, 5.0, 9.0], 0)
OTHER = results(SINGLE, 0.92, [4.0], 1)


def units(**more) -> Units:
    given = {
        "labels": LABELS,
        "counts": True,
        "order": np.random.default_rng(3).permutation(N),
        "references": {"b": OTHER, "best_single": OTHER},
        "classes": {"spam": 1},
        "most": {},
    }
    return Units(**given | more)


def test_shares_are_tested_exactly():
    pairs = list(zip(OURS.prediction.tolist(), LABELS.tolist(), OTHER.prediction.tolist(), strict=True))
    cases = {
        "accuracy >= 0.9": (sum(p == y for p, y, _ in pairs), N, 0.9),
        "agreement with b >= 0.85": (sum(p == q for p, _, q in pairs), N, 0.85),
        "precision of spam >= 0.9": (
            sum(p == y == 1 for p, y, _ in pairs), sum(p == 1 for p, _, _ in pairs), 0.9
        ),
        "recall of spam >= 0.9": (sum(p == y == 1 for p, y, _ in pairs), sum(y == 1 for _, y, _ in pairs), 0.9),
        "P(cost > 4) <= 0.4": (sum(c <= 4 for c in OURS.costs["flops"].values), N, 0.6),
    }  # fmt: skip
    for text, (successes, trials, share) in cases.items():
        tested = hypothesis(parse_guarantee(text), OURS, units())
        expected = binomtest(successes, trials, share, alternative="greater")
        assert tested.n == trials, text
        assert tested.method == "exact binomial"
        assert tested.p_value(0.05) == pytest.approx(expected.pvalue), text
        low = expected.proportion_ci(0.9, "exact").low
        assert tested.smallest_margin(0.1) == pytest.approx(share - low), text


def test_the_mean_of_two_possible_costs_is_a_share():
    tested = hypothesis(parse_guarantee("average_flops <= 2.6"), OURS, units())
    cheap = int((OURS.costs["flops"].values == 1).sum())
    expected = binomtest(cheap, N, (5 - 2.6) / 4, alternative="greater")
    assert tested.p_value(0.05) == pytest.approx(expected.pvalue)
    bound = 5 - 4 * expected.proportion_ci(0.95, "exact").low
    assert tested.smallest_margin(0.05) == pytest.approx(bound - 2.6)


def test_the_mean_of_several_possible_costs_is_bet_on():
    costs = STAGES3.costs["flops"].values
    tested = hypothesis(parse_guarantee("average_flops <= 3.5"), STAGES3, units())
    assert tested.method == "betting"
    expected = p_mean_at_most(((9 - costs) / 8)[units().order], (9 - 3.5) / 8)
    assert tested.p_value(0.05) == pytest.approx(expected)
    margin = tested.smallest_margin(0.05)
    weaker = hypothesis(parse_guarantee("average_flops <= 3.5").at_margin(margin + 1e-6), STAGES3, units())
    assert weaker.p_value(0.05) <= 0.05
    assert hypothesis(parse_guarantee("average_flops <= 0.5"), STAGES3, units()).p_value(0.05) == 1


def test_costs_that_vary_per_unit_are_bounded_by_what_the_choosing_units_cost():
    paid = np.random.default_rng(0).gamma(2, 1, N)
    ours = Results(COMMITTEE, OURS.worth, OURS.prediction, {"usd": UnitCosts(paid, ())})
    statement = parse_guarantee("average_usd <= 2.5")
    known = units(most={(COMMITTEE.stages, "usd"): 20.0})
    expected = p_mean_at_most(((20 - paid) / 20)[known.order], (20 - 2.5) / 20)
    assert hypothesis(statement, ours, known).p_value(0.05) == pytest.approx(expected)
    exceeded = units(most={(COMMITTEE.stages, "usd"): float(paid.max()) - 0.1})
    assert hypothesis(statement, ours, exceeded).p_value(0.05) == 1
    above_all = hypothesis(parse_guarantee("average_usd <= 30"), ours, known)
    assert "if no unit costs more than the dearest that chose" in above_all.method  # and never "true of any units"
    assert 0 < above_all.p_value(0.05) < 0.05
    at_margin = parse_guarantee("average_usd <= 30").at_margin(above_all.smallest_margin(0.05) + 1e-6)
    assert hypothesis(at_margin, ours, known).p_value(0.05) == pytest.approx(0.05, rel=0.01)


def test_differences_of_counts_are_tested_exactly_and_of_grades_by_betting():
    ours, other = OURS.worth, OTHER.worth
    counts = PairedCounts(*(int(((ours == x) & (other == y)).sum()) for x, y in ((1, 1), (1, 0), (0, 1), (0, 0))))
    statement = parse_guarantee("accuracy >= best_single - 0.03")
    tested = hypothesis(statement, OURS, units())
    assert tested.p_value(0.05) == p_inferior(counts, 0.03)
    at_margin = hypothesis(statement.at_margin(tested.smallest_margin(0.05)), OURS, units())
    assert at_margin.p_value(0.05) == pytest.approx(0.05, abs=0.005)
    graded = units(counts=False)
    differences = (ours - other)[graded.order]
    by_betting = hypothesis(statement, OURS, graded)
    assert by_betting.method == "betting"
    assert by_betting.p_value(0.05) == pytest.approx(p_mean_at_most((differences + 1) / 2, (1 - 0.03) / 2))
    at_margin = hypothesis(statement.at_margin(by_betting.smallest_margin(0.05) + 1e-6), OURS, graded)
    assert at_margin.p_value(0.05) <= 0.05


@pytest.mark.parametrize(
    ("text", "committee", "margin"),
    [
        ("accuracy >= b - 0.01", OTHER, 0.0),
        ("accuracy >= b", OTHER, 0.0),
        ("agreement with b >= 0.9", OTHER, -0.1),
        ("average_flops <= 7", OURS, -2.0),
        ("P(flops > 5) <= 0.05", OURS, -0.05),
    ],
)
def test_what_is_true_of_any_units_needs_no_units(text, committee, margin):
    tested = hypothesis(parse_guarantee(text), committee, units())
    assert isinstance(tested, Certain)
    assert tested.p_value(0.05) == 0
    assert tested.smallest_margin(0.05) == pytest.approx(margin)


def test_a_model_is_not_better_than_itself():
    assert hypothesis(parse_guarantee("accuracy >= b + 0.001"), OTHER, units()).p_value(0.05) == 1


def test_a_class_that_is_never_predicted_has_no_precision():
    nobody = Results(COMMITTEE, OURS.worth, np.zeros(N, int), OURS.costs)
    tested = hypothesis(parse_guarantee("precision of spam >= 0.5"), nobody, units())
    assert (tested.n, tested.p_value(0.05), tested.smallest_margin(0.05)) == (0, 1, 0.5)


def test_a_multiple_of_a_models_accuracy_is_bet_on_unit_by_unit():
    tested = hypothesis(parse_guarantee("accuracy >= 0.97 * b - 0.01"), OURS, units())
    shares = [(w - 0.97 * r + 0.97) / 1.97 for w, r in zip(OURS.worth, OTHER.worth, strict=True)]
    in_order = np.array(shares)[units().order]
    assert tested.method == "betting"
    assert tested.p_value(0.05) == pytest.approx(p_mean_at_most(in_order, (0.97 - 0.01) / 1.97, 0.05))
    at = parse_guarantee("accuracy >= 0.97 * b - 0.01").at_margin(tested.smallest_margin(0.05))
    assert hypothesis(at, OURS, units()).p_value(0.05) == pytest.approx(0.05, rel=1e-3)


def test_a_multiple_of_a_constant_cost_is_that_cost():
    relative = hypothesis(parse_guarantee("average_flops <= 0.65 * b"), OURS, units())
    plain = hypothesis(parse_guarantee("average_flops <= 2.6"), OURS, units())
    assert relative.method == plain.method
    assert relative.p_value(0.05) == pytest.approx(plain.p_value(0.05))
    assert relative.smallest_margin(0.05) == pytest.approx(plain.smallest_margin(0.05))


def test_costs_that_vary_are_compared_unit_by_unit():
    rng = np.random.default_rng(8)
    paid, theirs = rng.random(N), 2 + rng.random(N)
    ours = Results(COMMITTEE, OURS.worth, OURS.prediction, {"flops": UnitCosts(paid, ())})
    other = Results(SINGLE, OTHER.worth, OTHER.prediction, {"flops": UnitCosts(theirs, ())})
    known = units(references={"b": other}, most={(COMMITTEE.stages, "flops"): 1.0, (SINGLE.stages, "flops"): 3.0})
    tested = hypothesis(parse_guarantee("average_flops <= 0.25 * b"), ours, known)
    saved = [(1 - c + 0.25 * r) / 1.75 for c, r in zip(paid, theirs, strict=True)]
    assert tested.p_value(0.05) == pytest.approx(p_mean_at_most(np.array(saved)[known.order], 1 / 1.75, 0.05))
    assert tested.p_value(0.05) < 0.05  # the means are 0.5 and 2.5 * 0.25
    false = hypothesis(parse_guarantee("average_flops <= 0.15 * b"), ours, known)
    assert false.p_value(0.05) > 0.5
    dearer = units(references={"b": other}, most={(COMMITTEE.stages, "flops"): 0.9, (SINGLE.stages, "flops"): 3.0})
    assert hypothesis(parse_guarantee("average_flops <= 0.25 * b"), ours, dearer).p_value(0.05) == 1

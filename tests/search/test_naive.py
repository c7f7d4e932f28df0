"""The oracle against cases worked out by hand in the comments, and against its definitions on random small cases."""

import itertools
import math
import random

import numpy as np
import pytest
from naive import (
    FLOOR,
    Limits,
    Model,
    Point,
    combinations,
    confidence,
    count,
    evaluate,
    family_sequences,
    levels,
    prediction,
    prefix_outputs,
    report,
    reported_threshold,
    search,
)

INF = np.float32(np.inf)


def f32(*values):
    """The values as a list of float32."""
    return [np.float32(v) for v in values]


def model(name, outputs=None, cost=1, **rest):
    """A model "architecture/replica" of one block of its own."""
    architecture, replica = name.split("/")
    outputs = None if outputs is None else np.array(outputs, dtype=np.float32)
    rest.setdefault("blocks", {name: cost})
    return Model(name, architecture, int(replica), outputs=outputs, **rest)


def source(name, answers, scores, cost=1, **rest):
    """A model that answers, with a stored score "own" per unit."""
    return model(name, kind="answers", answers=answers, stored_scores={"own": scores}, cost=cost, **rest)


# Levels and thresholds


@pytest.mark.parametrize(
    ("confidences", "P", "expected"),
    [
        # N=5, P=3: indexes 0 and ceil(5/2) = 3 of .1 .2 .3 .4 .5
        ([0.5, 0.1, 0.4, 0.2, 0.3], 3, [0.1, 0.4, INF]),
        # N < P: indexes 0, ceil(2/4) = 1, ceil(4/4) = 1, min(1, ceil(6/4)) = 1
        ([0.7, 0.2], 5, [0.2, 0.7, 0.7, 0.7, INF]),
        # ties at 1.0: indexes 0 and ceil(4/2) = 2 of .5 1 1 1
        ([1.0, 1.0, 0.5, 1.0], 3, [0.5, 1.0, INF]),
        # N=4, P=4: indexes 0, ceil(4/3) = 2, ceil(8/3) = 3
        ([1, 2, 3, 4], 4, [1, 3, 4, INF]),
        ([0.3], 4, [0.3, 0.3, 0.3, INF]),
        ([0.3, 0.1], 2, [0.1, INF]),
        ([0.3, 0.1], 1, [INF]),
    ],
)
def test_levels(confidences, P, expected):
    found = levels(f32(*confidences), P)
    assert found == f32(*expected)
    assert all(isinstance(value, np.float32) for value in found)


@pytest.mark.parametrize("N", [7, 25, 43, 100])
def test_levels_take_an_exact_ceiling(N):
    # P-1 = N: the index is ceil(j*N/N) = j; a rounded j/(P-1), times N, can come out above j (7/25 * 25 in float64).
    assert levels(f32(*range(N)), N + 1) == f32(*range(N), INF)


def test_reported_threshold_lies_midway_to_the_next_lower_distinct_confidence():
    confidences = f32(0.75, 0.25, 0.75, 0.0)
    assert reported_threshold(confidences, 0.75) == np.float32(0.5)
    assert reported_threshold(confidences, 0.25) == np.float32(0.125)
    assert reported_threshold(confidences, 0.0) == np.float32(0.0)  # nothing below
    assert isinstance(reported_threshold(confidences, 0.75), np.float32)


def test_reported_threshold_of_adjacent_floats_is_the_upper_one():
    one = np.float32(1)
    below, above = np.nextafter(one, np.float32(0)), np.nextafter(one, np.float32(2))
    # Half way between neighbours the tie goes to the even one, which is 1.0 in both pairs:
    assert reported_threshold([below, one], one) == one  # rounded up to the upper value
    assert reported_threshold([one, above], above) == above  # rounded down to the lower value, so the upper is taken


# Combination, prediction, confidence


def test_sum_is_float32_in_canonical_order():
    # float32: (1 + 2^24) is a tie that rounds to 2^24, minus 2^24 leaves 0; (2^24 - 2^24) + 1 leaves 1.
    big = 2.0**24
    a, b, c = model("a/0", [[1, 0]]), model("b/0", [[big, 0]]), model("c/0", [[-big, 0]])
    for order in [(a, b, c), (c, b, a), (b, c, a)]:
        assert prefix_outputs(order, "mean_logits").tolist() == [[0.0, 0.0]]
    assert prefix_outputs((a, b, c), "mean_logits").dtype == np.float32


def test_canonical_order_takes_replicas_as_numbers():
    # 1, 2, 10: (2^24 - 2^24) + 1 = 1; as text 1, 10, 2 would leave 0.
    big = 2.0**24
    members = [model("a/10", [[1.0]]), model("a/2", [[-big]]), model("a/1", [[big]])]
    assert prefix_outputs(members, "mean_logits").tolist() == [[float(np.float32(1) / np.float32(3))]]


def test_last_is_the_newest_member_alone():
    a, b = model("a/0", [[3, 1]]), model("b/0", [[0, 1]])
    assert prefix_outputs((a, b), "last").tolist() == [[0, 1]]
    assert prediction((a, b), "last") == [1]
    assert prediction((b, a), "last") == [0]
    assert prediction((a, b), "mean_logits") == [0]


def test_prediction_ties_go_to_the_lowest_class():
    a, b = model("a/0", [[0, 2, 1], [1, 1, 1]]), model("b/0", [[0, 0, 1], [0, 0, 0]])
    assert prediction((a,), "mean_logits") == [1, 0]
    assert prediction((a, b), "mean_logits") == [1, 0]  # sums [0, 2, 2] and [1, 1, 1]


def test_prediction_is_the_argmax_of_the_sum_not_of_the_mean():
    # Two neighbouring floats of [1, 2) that become one float when divided by 3: they go to 2/3 and 4/3 of a step.
    sums = [1.5 + 2.0**-23, 1.5 + 2.0**-22]
    members = model("a/0", [sums]), model("b/0", [[0, 0]]), model("c/0", [[0, 0]])
    mean = prefix_outputs(members, "mean_logits")
    assert mean[0, 0] == mean[0, 1]
    assert prediction(members, "mean_logits") == [1]


@pytest.mark.parametrize(
    ("row", "name", "expected"),
    [
        ([0.25, 0.5, 0.25], "max_prob", 0.5),
        ([0.25, 0.5, 0.25], "prob_gap", 0.25),
        ([0.25, 0.5, 0.25], "logit_gap", math.log(2)),
        ([0.25, 0.5, 0.25], "neg_entropy", -1.5 * math.log(2)),  # 1/2 ln 1/2 + 2 * 1/4 ln 1/4
        ([0, 1, 0], "neg_entropy", 0.0),  # 0 log 0 = 0
        ([0, 1, 0], "prob_gap", 1.0),
        ([0, 1, 0], "logit_gap", 38 * math.log(10)),  # the floor 1e-38
        ([0.5, 0.5, 0], "prob_gap", 0.0),
        ([0.5, 0.4995, 0], "max_prob", 0.5),  # rows that miss 1 stay as they are
    ],
)
@pytest.mark.parametrize("combine", ["mean_probs", "last"])
def test_confidences_of_probabilities(row, name, expected, combine):
    a = model("a/0", [row], kind="probabilities")
    assert confidence((a,), combine, name) == [pytest.approx(expected, abs=1e-12, rel=1e-7)]


@pytest.mark.parametrize(
    ("name", "expected"),
    # The mean of logits [2 ln 6, 0, 0] and [0, 2 ln 3, 0] is [ln 6, ln 3, 0]: probabilities 6/10, 3/10, 1/10.
    [
        ("max_prob", 0.6),
        ("prob_gap", 0.3),
        ("logit_gap", math.log(2)),
        ("neg_entropy", 0.6 * math.log(0.6) + 0.3 * math.log(0.3) + 0.1 * math.log(0.1)),
    ],
)
def test_confidences_of_logits(name, expected):
    a, b = model("a/0", [[2 * math.log(6), 0, 0]]), model("b/0", [[0, 2 * math.log(3), 0]])
    assert confidence((a, b), "mean_logits", name) == [pytest.approx(expected, rel=1e-6)]
    assert confidence((b, a), "geometric_mean", name) == confidence((a, b), "mean_logits", name)


def test_confidence_of_the_newest_member_alone():
    # softmax of [ln 3, 0]: 3/4; the probabilities [.8, .1] as they are: .8
    a, b = model("a/0", [[math.log(3), 0]]), model("b/0", [[0.8, 0.1]], kind="probabilities")
    assert confidence((b, a), "last", "max_prob") == [pytest.approx(0.75, rel=1e-6)]
    assert confidence((a, b), "last", "max_prob") == [pytest.approx(0.8, rel=1e-6)]


def test_confidences_are_float32_and_saturate_at_one():
    # 1 / (1 + e^-20) = 1 - 2e-9 and 1 / (1 + e^-40) = 1 - 4e-18 are both 1.0 in float32 (next below: 1 - 6e-8).
    found = confidence((model("a/0", [[20, 0], [0, 40], [5, 0]]),), "mean_logits", "max_prob")
    assert found[:2] == [1.0, 1.0]
    assert found[2] < 1
    assert all(isinstance(value, np.float32) for value in found)


def test_means_of_probabilities_and_of_their_logarithms_differ():
    a, b = model("a/0", [[0.5, 0.5]], kind="probabilities"), model("b/0", [[0.8, 0.2]], kind="probabilities")
    # sqrt(.5 * .8) : sqrt(.5 * .2) = 2 : 1;   (.5 + .8) / 2 = .65
    assert confidence((a, b), "mean_logits", "max_prob") == [pytest.approx(2 / 3, rel=1e-6)]
    assert confidence((a, b), "mean_probs", "max_prob") == [pytest.approx(0.65, rel=1e-6)]
    # Under mean_logits a row that misses 1 is normalised: .5 / .75
    short = model("c/0", [[0.5, 0.25]], kind="probabilities")
    assert confidence((short,), "mean_logits", "max_prob") == [pytest.approx(2 / 3, rel=1e-6)]


def test_mean_probs_takes_the_softmax_of_logits():
    a, b = model("a/0", [[math.log(3), 0]]), model("b/0", [[0.5, 0.5]], kind="probabilities")
    assert prefix_outputs((a, b), "mean_probs")[0] == pytest.approx([0.625, 0.375], rel=1e-6)  # (.75 + .5) / 2


def test_zero_probabilities_are_floored():
    a = model("a/0", [[1, 0]], kind="probabilities")
    assert prefix_outputs((a,), "mean_logits").tolist() == [[0.0, float(np.float32(math.log(FLOOR)))]]


def test_a_stored_score_is_the_newest_members():
    a = model("a/0", [[0, 1]], stored_scores={"halt": [0.1]})
    b = model("b/0", [[0, 1]], stored_scores={"halt": [0.2]})
    assert confidence((b, a), "mean_logits", "halt") == f32(0.1)
    assert confidence((a, b), "mean_logits", "halt") == f32(0.2)
    with pytest.raises(ValueError, match="no stored score"):
        confidence((a,), "mean_logits", "hlat")


def test_answers_are_not_averaged():
    a = source("a/0", ["yes"], [0.5])
    assert prediction((a,), "last") == ["yes"]
    with pytest.raises(ValueError, match="no outputs"):
        prediction((a,), "mean_logits")
    with pytest.raises(ValueError, match="no outputs"):
        confidence((a,), "last", "max_prob")


# One committee


def test_evaluate_exits_at_the_threshold_and_charges_what_ran():
    # cheap exits on units 0 (.9) and 1 (.5 >= .5, inclusive), not on 2 (.4); cost 1 + 1 + (1+10).
    cheap = source("cheap/0", ["yes", "no", "no"], [0.9, 0.5, 0.4], cost=1)
    dear = source("dear/0", ["no", "yes", "yes"], [0.0, 0.0, 0.0], cost=10)
    result = evaluate([[cheap], [dear]], [0.5], ["yes", "yes", "yes"], "last", "own")
    assert (result.correct, result.total_cost, result.worst_case) == (2, 13, 11)  # unit 1 exits wrong
    assert (result.exits, result.exit_stage) == ([2, 1], [0, 0, 1])


def test_evaluate_ties_at_one_are_never_split_and_one_is_not_never():
    # max_prob saturates: units 0 and 1 are exactly 1.0 and exit together at threshold 1.0; cost 2*1 + 3.
    a, b = model("a/0", [[20, 0], [40, 0], [1, 0]], cost=1), model("b/0", [[0, 0], [0, 0], [0, 2]], cost=2)
    result = evaluate([[a], [b]], [1.0], [0, 0, 1], "mean_logits", "max_prob")
    assert (result.correct, result.total_cost, result.exits) == (3, 5, [2, 1])  # sum of unit 2: [1, 2]
    never = evaluate([[a], [b]], [INF], [0, 0, 1], "mean_logits", "max_prob")
    assert (never.correct, never.total_cost, never.exits) == (3, 9, [0, 3])


def test_evaluate_predicts_with_all_members_so_far():
    # The second stage sums a, b and c, and its exits are compared with the score of all three.
    a, b, c = model("a/0", [[3, 0]]), model("b/0", [[0, 2]], cost=2), model("c/0", [[0, 2]], cost=4)
    d = model("d/0", [[9, 0]], cost=8)
    one = evaluate([[a], [b, c]], [INF], [1], "mean_logits", "max_prob")  # sums [3, 4]
    assert (one.correct, one.total_cost, one.exits) == (1, 7, [0, 1])
    two = evaluate([[a], [b, c], [d]], [INF, 0.5], [1], "mean_logits", "max_prob")  # softmax of [1, 4/3] >= .5
    assert (two.correct, two.total_cost, two.worst_case, two.exits) == (1, 7, 15, [0, 1, 0])  # never re-merged
    three = evaluate([[a], [b, c], [d]], [INF, 0.6], [1], "mean_logits", "max_prob")  # 1 / (1 + e^-1/3) = .583
    assert (three.correct, three.total_cost, three.exits) == (0, 15, [0, 0, 1])


def test_evaluate_counts_shared_blocks_once():
    # Leaves of one trunk: the first costs 5+1, both cost 5+1+2.
    one = model("leaf/0", [[1, 0], [0, 1]], blocks={"trunk": 5, "l0": 1}, stored_scores={"own": [1, 0]})
    two = model("leaf/1", [[0, 0], [0, 0]], blocks={"trunk": 5, "l1": 2})
    result = evaluate([[one], [two]], [1], [0, 1], "mean_logits", "own")
    assert (result.correct, result.total_cost, result.worst_case) == (2, 6 + 8, 8)
    other = model("leaf/2", [[0, 0], [0, 0]], blocks={"trunk": 6})
    with pytest.raises(ValueError, match="two costs"):
        evaluate([[one], [other]], [1], [0, 1], "mean_logits", "own")


def test_evaluate_with_costs_per_unit():
    # Unit 1 exits at once for 2; the others pay 1+10 and 3+5. All members cost 11, 22, 8: the worst is 22.
    a = source("a/0", [0, 1, 1], [0.1, 0.9, 0.1], unit_costs=[1, 2, 3])
    b = source("b/0", [1, 0, 1], [0.0, 0.0, 0.0], unit_costs=[10, 20, 5])
    result = evaluate([[a], [b]], [0.5], [1, 1, 0], "last", "own")
    assert (result.correct, result.total_cost, result.worst_case) == (2, 2 + 11 + 8, 22)
    with pytest.raises(ValueError, match="unit costs"):
        evaluate([[a], [source("c/0", [0, 0, 0], [0, 0, 0])]], [0.5], [1, 1, 0], "last", "own")


def test_evaluate_compares_float32_with_float32():
    # 0.7 as float64 lies above float32(0.7) = 0.69999999; as a threshold it is that float32.
    a, b = source("a/0", [1], [0.7]), source("b/0", [0], [0])
    assert evaluate([[a], [b]], [0.7], [1], "last", "own").exits == [1, 0]
    assert evaluate([[a], [b]], [np.nextafter(np.float32(0.7), INF)], [1], "last", "own").exits == [0, 1]


def test_scores_replace_confidences_of_all_stages_but_the_last():
    asked = []

    def scores(names):
        asked.append(names)
        return [0.0, 1.0]

    b, a = model("b/0", [[0, 1], [0, 1]]), model("a/0", [[5, 0], [5, 0]])
    result = evaluate([[b], [a], [b]], [0.5, 2.0], [1, 1], "mean_logits", "max_prob", scores=scores)
    assert asked == [("b/0",), ("b/0", "a/0")]
    assert result.exits == [1, 0, 1]


# Which combinations exist


def names_of(found):
    return {tuple(m.name for m in combination) for combination in found}


def test_canonical_combinations():
    # a has the copies 1 and 3, b one: a second a is a/3 wherever it stands, a second b does not exist.
    pool = [model("b/0"), model("a/3"), model("a/1")]
    # By itself each of the three may answer.
    pairs = {("a/1",), ("a/3",), ("b/0",), ("a/1", "a/3"), ("a/1", "b/0"), ("b/0", "a/1")}
    assert names_of(combinations(pool, 2, "canonical")) == pairs
    triples = {("a/1", "a/3", "b/0"), ("a/1", "b/0", "a/3"), ("b/0", "a/1", "a/3")}
    assert names_of(combinations(pool, 3, "canonical")) == pairs | triples
    assert count(pool, 2, 3, "canonical") == (6, 3 * 1 + 3 * 3)
    assert count(pool, 3, 3, "canonical") == (9, 3 * 1 + 3 * 3 + 3 * 9)


def test_all_combinations():
    pool = [model("b/0"), model("a/3"), model("a/1")]
    assert count(pool, 2, 3, "all") == (3 + 6, 3 * 1 + 6 * 3)
    assert count(pool, 5, 3, "all") == (3 + 6 + 6, 3 * 1 + 6 * 3 + 6 * 9)  # no model twice
    assert ("a/3", "a/1") in names_of(combinations(pool, 2, "all"))


def test_the_papers_counts():
    pool = [model(f"{architecture}/{replica}") for architecture in "abcdefgh" for replica in range(4)]
    assert count(pool, 4, 100, "canonical") == (4672 + 32, 32 + 64 * 100 + 512 * 100**2 + 4096 * 100**3)


def test_one_place_per_model():
    with pytest.raises(ValueError, match="share"):
        combinations([model("a/0"), model("a/0")], 2, "canonical")


# The reported committee


A, B, Z = model("a/0"), model("b/0"), model("z/0")


@pytest.mark.parametrize(
    ("values", "confidences", "stages", "thresholds"),
    [
        # Unit 2 exits at z, unit 1 at a, unit 0 at b.
        ([0.75, 0.5], [[0, 0.25, 0.75], [0, 0.5, 1]], ((Z,), (A,), (B,)), (0.5, 0.25)),
        # Nobody exits at z: a tier of two, reported in canonical order.
        ([INF, 0.75], [[0.9, 0.9, 0.9], [0.25, 0.75, 0.75]], ((A, Z), (B,)), (0.5,)),
        # Nobody who gets there exits at a (its .75 is unit 0's, which has gone): merged with the last stage.
        ([0.75, 0.75], [[0.75, 0.25, 0.25], [0.75, 0.25, 0.5]], ((Z,), (A, B)), (0.5,)),
        # Nobody exits before the end: an ensemble.
        ([INF, INF], [[0.1, 0.2, 0.3], [0.1, 0.2, 0.3]], ((A, B, Z),), ()),
        # All exit at once: a and b are dropped.
        ([0.1, 0.1], [[0.1, 0.2, 0.3], [0.1, 0.2, 0.3]], ((Z,),), ()),
        # All have gone after a: b is dropped, a needs no threshold any more.
        ([0.5, 0.25], [[0, 0.25, 0.5], [0.25, 0.5, 0.5]], ((Z,), (A,)), (0.375,)),
        # All exit at a: z merged into it, b dropped.
        ([INF, 0.1], [[0.1, 0.2, 0.3], [0.1, 0.2, 0.3]], ((A, Z),), ()),
    ],
)
def test_report_merges_and_drops(values, confidences, stages, thresholds):
    found = report(((Z,), (A,), (B,)), f32(*values), [f32(*row) for row in confidences], "mean_logits", "max_prob")
    assert found == (stages, thresholds, ())


def test_report_looks_for_the_next_lower_confidence_among_all_units():
    # Unit 0 exits at z; a's level .75 is unit 1's, and the next lower one, .5, belongs to unit 0: midpoint .625.
    confidences = [f32(0.9, 0.1, 0.1), f32(0.5, 0.75, 0.25)]
    _, thresholds, _ = report(((Z,), (A,), (B,)), f32(0.9, 0.75), confidences, "mean_logits", "max_prob")
    assert thresholds[1] == np.float32(0.625)


@pytest.mark.parametrize(
    ("combine", "name", "tier"),
    [
        ("mean_logits", "max_prob", (A, Z)),
        ("mean_probs", "neg_entropy", (A, Z)),
        ("last", "max_prob", (Z, A)),
        ("mean_logits", "halt", (Z, A)),
    ],
)
def test_report_keeps_the_order_where_it_matters(combine, name, tier):
    stages, _, _ = report(((Z,), (A,), (B,)), f32(INF, 0.5), [f32(0, 0), f32(0.5, 0.1)], combine, name)
    assert stages == (tier, (B,))


def test_report_of_a_single():
    assert report(((A,),), [], [], "mean_logits", "max_prob") == (((A,),), (), ())


# The search


def test_search_by_hand():
    # a (cost 1): right, right, wrong with scores .9 .5 .5, so units 1 and 2 are a tie. b (cost 4): always right.
    # Levels of a at P = 3: index 0 and ceil(3/2) = 2 of .5 .5 .9, and infinity.
    #   a: 2 right for 3          a->b: level 0 the same; level 1: unit 0 exits, 1 + 5 + 5 = 11, 3 right; level 2: 15
    #   b: 3 right for 12         b->a: level 0 and 1 (.7) the same; level 2: 15
    a = source("a/0", ["u", "v", "x"], [0.9, 0.5, 0.5], cost=1)
    b = source("b/0", ["u", "v", "w"], [0.7, 0.7, 0.7], cost=4)
    labels = ["u", "v", "w"]
    single = Point(2, 3, 1, ("a/0",), (), (("a/0",),), ())
    threshold = np.float32((float(np.float32(0.5)) + float(np.float32(0.9))) / 2)
    cascade = Point(3, 11, 5, ("a/0", "b/0"), (1,), (("a/0",), ("b/0",)), (threshold,))
    assert search([b, a], labels, 2, 3, "last", "own") == [single, cascade]
    # All members of the cascade cost 5.
    assert search([b, a], labels, 2, 3, "last", "own", limits=Limits(worst=5)) == [single, cascade]
    alone = Point(3, 12, 4, ("b/0",), (), (("b/0",),), ())
    assert search([b, a], labels, 2, 3, "last", "own", limits=Limits(worst=4)) == [single, alone]
    assert search([b, a], labels, 2, 3, "last", "own", limits=Limits(worst=0)) == []


def test_search_finds_a_tier():
    # Each unit is recognised by one of a, b, c only, 9 against two times -2. P = 1: nobody exits early.
    # One or two members leave units wrong: alone [9, -2, -2] -> 1 right; a+b [7, 7, -4] -> 2; a+b+c [5, 5, 5] -> 3.
    rows = {name: [[9, 0] if i == k else [-2, 0] for i in range(3)] for k, name in enumerate(["a/0", "b/0", "c/0"])}
    pool = [model(name, outputs) for name, outputs in rows.items()]
    points = search(pool, [0, 0, 0], 3, 1)
    assert [(p.correct, p.total_cost, p.worst_case) for p in points] == [(1, 3, 1), (2, 6, 2), (3, 9, 3)]
    assert [p.combination for p in points] == [("a/0",), ("a/0", "b/0"), ("a/0", "b/0", "c/0")]  # first by name
    assert [p.stages for p in points] == [(("a/0",),), (("a/0", "b/0"),), (("a/0", "b/0", "c/0"),)]
    assert [p.levels for p in points] == [(), (0,), (0, 0)]
    assert all(p.thresholds == () for p in points)


def test_search_takes_the_first_of_equal_levels():
    # N=2 < P=5: a's levels are .2 .7 .7 .7 inf; 1, 2 and 3 are the same committee. Unit 1 exits: 1 + (1+2).
    a, b = source("a/0", [0, 1], [0.2, 0.7], cost=1), source("b/0", [1, 0], [0, 0], cost=2)
    points = search([a, b], [1, 1], 2, 5, "last", "own")
    assert [(p.correct, p.total_cost, p.combination, p.levels) for p in points] == [
        (1, 2, ("a/0",), ()),
        (2, 4, ("a/0", "b/0"), (1,)),
    ]


def test_search_prefers_the_least_worst_case_to_names():
    # N=4, P=3, labels 1. Costs: y 10, z 2, c 7, d 7. Levels: index 0 and 2 of the sorted scores.
    #   y right on 0,1,2 with .9, wrong on 3 with .1; z right on 3 only:     y->z = 4*10 + 1*2 = 42, all members 12
    #   c right on 0,3 with .9, wrong on 1,2 with .1; d right on 1,2 only:   c->d = 4*7 + 2*7 = 42, all members 14
    # The scores of z and d are all equal, so from them all exit or none. Others: y->c 47 (4 right), c->y 48 (4 right),
    # c->z 32 and z->c 36 (2 right), d->z 36 (1 right), y->d 47 (3 right). Singles: z 1 right for 8; c and d 2 for 28,
    # equal in everything but their names; y 3 for 40.
    pool = [
        source("y/0", [1, 1, 1, 0], [0.9, 0.9, 0.9, 0.1], cost=10),
        source("z/0", [0, 0, 0, 1], [0.5] * 4, cost=2),
        source("d/0", [0, 1, 1, 0], [0.5] * 4, cost=7),
        source("c/0", [1, 0, 0, 1], [0.9, 0.1, 0.1, 0.9], cost=7),
    ]
    points = search(pool, [1, 1, 1, 1], 2, 3, "last", "own")
    assert [(p.correct, p.total_cost, p.worst_case, p.combination) for p in points] == [
        (1, 8, 2, ("z/0",)),
        (2, 28, 7, ("c/0",)),
        (3, 40, 10, ("y/0",)),
        (4, 42, 12, ("y/0", "z/0")),
    ]
    # Without y the other one is left.
    assert search(pool[1:], [1, 1, 1, 1], 2, 3, "last", "own")[-1].combination == ("c/0", "d/0")


def test_search_prefers_lower_replica_numbers():
    twins = [model("a/10", [[1, 0]]), model("a/2", [[1, 0]])]
    assert [p.combination for p in search(twins, [0], 2, 2, replicas="all")] == [("a/2",)]


def test_search_keeps_the_cheapest_even_if_it_is_always_wrong():
    a, b = model("a/0", [[0, 1]], cost=1), model("b/0", [[1, 0]], cost=2)
    assert [(p.correct, p.total_cost) for p in search([a, b], [0], 1, 2)] == [(0, 1), (1, 2)]


def test_search_with_blocks_and_with_costs_per_unit():
    # Each leaf alone is wrong; together they are right for 5+1+2 instead of 6+7.
    one = model("leaf/0", [[3, 4, 0]], blocks={"trunk": 5, "l0": 1})
    two = model("leaf/1", [[3, 0, 4]], blocks={"trunk": 5, "l1": 2})
    assert [(p.correct, p.total_cost) for p in search([one, two], [0], 2, 1)] == [(0, 6), (1, 8)]
    # Per unit: a alone costs 1+2; a->b at level 1 (.9, unit 0) costs 1 + (2+9), at most max(1+4, 2+9) = 11.
    a = source("a/0", [1, 0], [0.9, 0.1], unit_costs=[1, 2])
    b = source("b/0", [0, 1], [0.5, 0.5], unit_costs=[4, 9])
    points = search([a, b], [1, 1], 2, 3, "last", "own")
    assert [(p.correct, p.total_cost, p.worst_case, p.levels) for p in points] == [(1, 3, 2, ()), (2, 12, 11, (1,))]
    assert len(search([a, b], [1, 1], 2, 3, "last", "own", limits=Limits(worst=10))) == 1


def test_search_asks_scores_for_prefixes_only():
    asked = set()

    def scores(names):
        asked.add(names)
        return [0.25 * len(names), 0.5]

    pool = [model("a/0", [[1, 0], [0, 1]]), model("b/0", [[0, 1], [1, 0]])]
    search(pool, [0, 0], 2, 3, scores=scores)
    assert asked == {("a/0",), ("b/0",)}


@pytest.mark.parametrize("seed", range(60))
def test_search_against_its_definition(seed):
    """Every vector through the plain evaluator, the frontier by comparing all pairs, each point replayed."""
    draw = random.Random(seed)
    N, C, P, n = draw.randint(1, 7), 3, draw.randint(1, 4), draw.randint(1, 3)
    combine, name = draw.choice([("mean_logits", "max_prob"), ("mean_probs", "prob_gap"), ("last", "own")])
    shared = draw.random() < 0.5
    pool = [
        model(
            place,
            [[draw.randint(0, 2) for _ in range(C)] for _ in range(N)],
            blocks={"trunk": 2, place: draw.randint(1, 4)} if shared else {place: draw.randint(1, 4)},
            stored_scores={"own": [draw.randint(0, 3) for _ in range(N)]},
        )
        for place in ["a/0", "b/0", "b/1"]
    ]
    by_name = {m.name: m for m in pool}
    labels = [draw.randrange(C) for _ in range(N)]
    replicas = draw.choice(["canonical", "all"])

    vectors = []
    for members in combinations(pool, n, replicas):
        grids = [levels(confidence(members[: k + 1], combine, name), P) for k in range(len(members) - 1)]
        for vector in itertools.product(range(P), repeat=len(grids)):
            values = [grid[j] for grid, j in zip(grids, vector, strict=True)]
            result = evaluate([[m] for m in members], values, labels, combine, name)
            places = tuple((m.architecture, m.replica) for m in members)
            tie = len(members), result.worst_case, places, vector
            vectors.append((result.correct, result.total_cost, tie))

    expected = {}
    for correct, cost, tie in vectors:
        beaten = any((c >= correct and t < cost) or (c > correct and t == cost) for c, t, _ in vectors)
        if not beaten:
            expected[correct, cost] = min(tie, expected.get((correct, cost), tie))

    points = search(pool, labels, n, P, combine, name, replicas)
    assert len(vectors) == count(pool, n, P, replicas)[1]
    assert [(p.correct, p.total_cost) for p in points] == sorted(expected)
    for p, after in itertools.pairwise(points):
        assert p.total_cost < after.total_cost
        assert p.correct < after.correct
    for p in points:
        places = tuple((by_name[m].architecture, by_name[m].replica) for m in p.combination)
        assert (len(p.combination), p.worst_case, places, p.levels) == expected[p.correct, p.total_cost]
        stages = [[by_name[m] for m in stage] for stage in p.stages]
        replayed = evaluate(stages, p.thresholds, labels, combine, name)
        assert (replayed.correct, replayed.total_cost) == (p.correct, p.total_cost)
        assert replayed.worst_case == p.worst_case  # a witness never has a member nobody reaches
        assert all(replayed.exits)
        assert np.isfinite(p.thresholds).all()


@pytest.mark.parametrize("mode", ["levels", "exact", "shared"])
@pytest.mark.parametrize("axis", ["average", "worst", "p99"])
@pytest.mark.parametrize("seed", range(8))
def test_limits_axes_and_thresholds_against_their_definitions(mode, axis, seed):
    """Every vector through the plain evaluator; what each unit pays decides about limits and about the axis."""
    draw = random.Random(seed)
    N, percent = draw.randint(2, 6), draw.choice([30, 50, 99])
    pool = [
        source(
            name,
            [draw.randint(0, 1) for _ in range(N)],
            [draw.randint(0, 3) for _ in range(N)],
            cost=draw.randint(1, 4),
            further_costs={"usd": draw.randint(1, 4)},
        )
        for name in ("a/0", "b/0", "c/0")
    ]
    labels = [draw.randint(0, 1) for _ in range(N)]
    limits = Limits(
        draw.choice([None, 6]),
        draw.choice([None, (50, 4), (100, 6)]),
        draw.choice([{}, {"usd": 3.5}]),
    )

    def fits(costs, share):
        """The least cost that holds for at least this share of the units, in percent."""
        return min(c for c in costs if 100 * len([x for x in costs if x <= c]) >= share * N)

    candidates = []
    for members in combinations(pool, 3, "canonical"):
        scores = [f32(*m.stored_scores["own"]) for m in members[:-1]]
        if mode == "shared":
            every = {c for row in scores for c in row} | {INF}
            vectors = [[t] * len(scores) for t in every] if scores else [[]]
        elif mode == "exact":
            vectors = itertools.product(*(set(row) | {INF} for row in scores))
        else:
            vectors = itertools.product(*(levels(row, 3) for row in scores))
        for values in vectors:
            result = evaluate([[m] for m in members], values, labels, "last", "own")
            ran = [members[: k + 1] for k in result.exit_stage]
            paid = [sum(cost for m in some for cost in m.blocks.values()) for some in ran]
            usd = sum(m.further_costs["usd"] for some in ran for m in some)
            if limits.worst is not None and result.worst_case > limits.worst:
                continue
            if limits.percentile is not None and fits(paid, limits.percentile[0]) > limits.percentile[1]:
                continue
            if limits.averages and usd / N > limits.averages["usd"]:
                continue
            x = {"average": sum(paid), "worst": max(paid), "p99": fits(paid, percent)}[axis]
            candidates.append((x, result.correct))
    expected = {
        (x, c) for x, c in candidates if not any((d >= c and y < x) or (d > c and y == x) for y, d in candidates)
    }
    options = {"exact": mode == "exact", "shared": mode == "shared", "limits": limits}
    points = search(pool, labels, 3, 3, "last", "own", axis=f"p{percent}" if axis == "p99" else axis, **options)
    assert [(p.total_cost if axis == "average" else p.cost, p.correct) for p in points] == sorted(expected)


def test_sequences_of_every_family():
    # A group of three in the order g/1, g/0, g/2; a model without one; a checkpoint run at two sizes.
    group = [model(f"g/{r}", group="g", position=p) for r, p in ((0, 1), (1, 0), (2, 2))]
    loose = model("a/0")
    runs = [model(f"{n}/0", cost=c, weights="w", input_size=(3, s, s)) for n, c, s in (("x", 5, 16), ("y", 2, 8))]

    def named(pool, family, stages=2):
        found = family_sequences(pool, family, stages, "canonical")
        return sorted(" ".join("+".join(m.name for m in tier) for tier in sequence) for sequence in found)

    alone = ["a/0", "g/0", "g/1", "g/2"]
    in_order = ["g/1 g/0", "g/1 g/0+g/2", "g/1+g/0", "g/1+g/0 g/2", "g/1+g/0+g/2"]
    mixed = [f"{tier} a/0" for tier in ("g/1", "g/1+g/0", "g/1+g/0+g/2")]
    mixed += [f"a/0 {tier}" for tier in ("g/1", "g/1+g/0", "g/1+g/0+g/2")]
    assert named([*group, loose], "cascade") == sorted([*alone, *in_order, *mixed])
    sets = ["g/0+g/1", "g/0+g/1+g/2", "a/0+g/1", "a/0+g/0+g/1", "a/0+g/0+g/1+g/2"]
    assert named([*group, loose], "ensemble") == sorted([*alone, *sets])
    assert named([*group, loose], "anytime") == sorted([*alone[1:], "g/1+g/0", "g/1+g/0+g/2"])
    assert named([*group, loose], "halting") == sorted([*alone[1:], "g/1 g/0", "g/1 g/0 g/2"])
    assert named([*runs, loose], "self_cascade") == ["x/0", "y/0", "y/0 x/0"]

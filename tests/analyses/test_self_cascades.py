"""Self-cascades of one checkpoint at two input sizes, against the oracle."""

from __future__ import annotations

from analyses_pool import Case, figures, ordered, rows

from wisecommittee.analyses import resolutions
from wisecommittee.report import tables

N = 36
SIZES = {
    "a@240": (1, 10, 1.0),
    "a@300": (1, 24, 1.8),
    "b@260": (1, 20, 1.3),
    "b@380": (1, 60, 2.4),
    "c@300": (1, 50, 1.9),
}
PAIRS = {"a": ("a@240/0", "a@300/0"), "b": ("b@260/0", "b@380/0")}


def test_self_cascades_are_the_cheapest_of_two_stages():
    case = Case(SIZES, n=N)
    found = resolutions.self_cascades(case.study)
    assert [s.single.val.committee.models for s in found] == [("a@240/0",), ("b@260/0",), ("c@300/0",)]
    table = {(t["model"], t["split"]): t for t in rows(tables.fill("self-cascades", case.study))}
    matched = 0
    for s in found:
        model = s.single.val.committee.models[0]
        wanted = case.evaluate("val", [[model]])[0]
        least = []
        for pair in PAIRS.values():
            correct, (scores,), cost = ordered(case, "val", pair)
            for t in sorted(set(scores)):
                stage = [0 if score >= t else 1 for score in scores]
                right = sum(correct[k][i] for i, k in enumerate(stage))
                better = right > sum(correct[0])  # than its first stage alone
                if 0 < sum(stage) < N and right / N >= wanted and better:
                    least.append(sum(cost[k] for k in stage) / N)
        if not least:
            assert s.cascade is None
            continue
        matched += 1
        assert s.cascade.val.average_cost == min(least)
        assert s.cascade.val.quality >= wanted
        for e in s.cascade.on():
            assert figures(e) == case.evaluate(e.split, e.committee.stages, e.committee.thresholds.values)
            single, t = case.evaluate(e.split, [[model]]), table[model, e.split]
            assert (t["single_quality"], t["single_cost"]) == single[:2]
            assert (t["quality"], t["average_cost"]) == (e.quality, e.average_cost)
            assert t["speedup"] == single[1] / e.average_cost
            assert t["self_cascade"] in ("a/0-240-300", "b/0-260-380")
    assert matched


def test_checkpoints_are_known_by_weights_or_by_name():
    sizes = {
        "small/0": {"weights": "w", "input_size": (3, 240, 240)},
        "large/0": {"weights": "w", "input_size": (3, 300, 300)},
    }
    case = Case({"small": (1, 10, 1.0), "large": (1, 24, 1.8), "b": (1, 20, 1.3)}, n=N, fields=sizes)
    names = [[card.model for card in some] for some in resolutions.checkpoints(case.study.cards())]
    assert sorted(names) == [["b/0"], ["small/0", "large/0"]]
    assert resolutions.base_name("b3@240/1") == "b3/1"
    assert resolutions.base_name("b3/1") == "b3/1"

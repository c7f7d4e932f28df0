"""What committees cost to train, against sums over their members."""

from __future__ import annotations

from analyses_pool import Case, cheapest, rows, study_of_case

from wisecommittee.analyses import training
from wisecommittee.report import tables

N = 36
POOL = {"a": (2, 10, 1.0), "b": (2, 27, 1.6), "c": (1, 90, 2.2)}
DAYS = {"a/0": 3.0, "a/1": 3.5, "b/0": 8.0, "b/1": 9.0, "c/0": 30.0}


def test_training_costs_add_up():
    case = Case(POOL, n=N, fields={m: {"training_cost": days} for m, days in DAYS.items()})
    found = {(t["model"], t["kind"], t["split"]): t for t in rows(tables.fill("training", case.study))}
    assert len(found) == 3 * 3 * 2
    frontier = case.search()
    for (model, kind, split), t in found.items():
        single = case.evaluate("val", [[model]])
        if kind == "single":
            assert (t["quality"], t["average_cost"], t["training_cost"]) == (
                *case.evaluate(split, [[model]])[:2],
                DAYS[model],
            )
            continue
        if kind == "committee":
            point = cheapest(frontier, round(single[0] * N))
            assert (t["quality"], t["average_cost"]) == case.evaluate(split, *point[2:])[:2]
            assert t["training_cost"] == sum(DAYS[m] for stage in point[2] for m in stage)
        assert t["training_ratio"] == t["training_cost"] / DAYS[model]
    for t in training.training(case.study):
        e = t.ensemble.val
        assert len(e.committee.stages) == 1
        assert e.quality >= t.single.val.quality
        assert t.costs[1] == sum(DAYS[m] for m in e.committee.models)
    made = tables.fill("training", study_of_case(case, published=True))
    last = rows(made)[-1]
    assert (last["committee"], last["training_cost"], last["training_ratio"]) == ("B5+B5+B5", 144, 0.9)

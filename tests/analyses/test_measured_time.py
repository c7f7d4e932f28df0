"""Measured time of committees chosen by FLOPs and by time, against the exits of the oracle."""

from __future__ import annotations

from dataclasses import replace

import pytest
from analyses_pool import Case, cheapest, rows, study_of_case

from wisecommittee.analyses import measured
from wisecommittee.report import tables

N = 36
POOL = {"a": (2, 10, 1.0), "b": (2, 27, 1.6), "c": (1, 90, 2.2)}
TIMES = {"a/0": 4.0, "a/1": 4.5, "b/0": 5.0, "b/1": 5.5, "c/0": 20.0}


def in_time(case, e):
    """Average milliseconds of a committee, from the exits of the oracle."""
    exits = case.evaluate(e.split, e.committee.stages, e.committee.thresholds.values)[3]
    spent = [sum(TIMES[m] for stage in e.committee.stages[: k + 1] for m in stage) for k in range(len(exits))]
    return sum(share * ms for share, ms in zip(exits, spent, strict=True))


@pytest.mark.parametrize(("kind", "cost"), [("latency", "latency_ms"), ("throughput", "batch_ms")])
def test_time_of_committees_chosen_by_flops_and_by_time(kind, cost):
    case = Case(POOL, n=N, fields={m: {"costs": {cost: ms}} for m, ms in TIMES.items()})
    table = rows(tables.fill(kind, study_of_case(case)))
    name = {"latency": "latency_ms", "throughput": "throughput"}[kind]
    frontier = case.search()
    for m in measured.measured(case.study, cost):
        model = m.single.val.committee.models[0]
        for split in ("val", "test"):
            alone, by_flops, by_time = (t for t in table if (t["model"], t["split"]) == (model, split))
            ms = TIMES[model]
            shown = {"latency": lambda v: v, "throughput": lambda v: 1000 / v}[kind]
            assert alone[name] == pytest.approx(shown(ms))
            point = cheapest(frontier, round(m.single.val.quality * N))
            flops = case.evaluate(split, *point[2:])
            e = m.by_flops.val if split == "val" else m.by_flops.test
            assert (by_flops["quality"], by_flops["flops_speedup"]) == (flops[0], POOL[model[0]][1] / flops[1])
            assert by_flops[name] == pytest.approx(shown(in_time(case, e)))
            assert by_flops["speedup"] == pytest.approx(ms / in_time(case, e))
            assert by_flops["realised"] == pytest.approx(by_flops["speedup"] / by_flops["flops_speedup"])
            e = m.by_cost.val if split == "val" else m.by_cost.test
            assert by_time[name] == pytest.approx(shown(in_time(case, e)))
            assert by_time["speedup"] == pytest.approx(ms / in_time(case, e))
        assert m.by_cost.val.average_cost <= m.by_flops.val.average_cost * (1 + 1e-9) or m.by_cost.val.quality > 0
    made = tables.fill(kind, study_of_case(case, published=True))
    assert {c[-1] for c in made.cells()} == {"this store", "paper"}


def test_pools_without_flops_are_measured_all_the_same():
    case = Case(POOL, n=N, fields={m: {"costs": {"latency_ms": ms}, "blocks": {}} for m, ms in TIMES.items()})
    table = rows(tables.fill("latency", replace(study_of_case(case))))
    assert {t["chosen_by"] for t in table} == {"-", "latency_ms"}

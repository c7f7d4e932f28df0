"""Ensembles of the frontier and the cascades of their members (Wang et al. 2022, Sec. 4.2)."""

from __future__ import annotations

from wisecommittee.analyses.conversion import conversion
from wisecommittee.analyses.match import speedup
from wisecommittee.analyses.study import Study
from wisecommittee.report.table import Column, Table, Value, cost_heading
from wisecommittee.report.table_match import chosen


def fill(study: Study) -> Table:
    """A row per ensemble and its cascade."""
    conversions = conversion(study)
    flops = cost_heading(study.cost, "")
    columns = (
        Column("ensemble", "ensemble"),
        Column("cascade", "cascade"),
        Column("split", "split"),
        Column("ensemble_quality", study.quality, "percent", "ensemble"),
        Column("ensemble_cost", flops, "cost", "ensemble"),
        Column("cascade_quality", study.quality, "percent", "cascade"),
        Column("cascade_cost", flops, "cost", "cascade"),
        Column("speedup", "speed-up", "times"),
        Column("speedup_single", "over a single model", "times"),
    )
    rows: list[tuple[Value, ...]] = []
    for c in conversions:
        for e, cascade in zip(c.ensemble.on(), c.cascade.on(), strict=True):
            single = None if c.single is None else speedup(c.single, cascade)
            rows.append(
                (e.committee.label(), cascade.committee.label(), e.split, e.quality, e.average_cost, cascade.quality,
                 cascade.average_cost, speedup(e, cascade), single)
            )  # fmt: skip
    notes = (
        chosen(conversions[0].ensemble),
        f"A cascade has the least average cost of all orders and thresholds that lose no accuracy on {study.split}.",
        "Over a single model: the cheapest that is as accurate as the ensemble there.",
    )
    return Table("Ensembles as cascades", columns, tuple(rows), notes, study.cost, grouped=True)

"""What more members buy, over target costs (Wang et al. 2022, Fig. 7)."""

from __future__ import annotations

from wisecommittee.analyses.members import members
from wisecommittee.analyses.study import Study
from wisecommittee.report.table import Column, Table, Value, cost_heading
from wisecommittee.report.table_match import chosen


def fill(study: Study) -> Table:
    """A row per target cost, a column per largest number of members."""
    result = members(study)
    flops = cost_heading(study.cost, "")
    columns = [Column("target", f"target {flops}", "cost"), Column("split", "split")]
    for most in result.curves:
        over = "single model" if most == 1 else f"up to {most} members"
        columns += [
            Column(f"quality{most}", study.quality, "percent", over),
            Column(f"cost{most}", flops, "cost", over),
        ]
    rows: list[tuple[Value, ...]] = []
    for index, target in enumerate(result.targets):
        shown = [curve[index].on() for curve in result.curves.values()]
        for on in zip(*shown, strict=True):
            rows.append((target, on[0].split, *(v for e in on for v in (e.quality, e.average_cost))))
    notes = (chosen(result.curves[1][0]),)
    return Table("Number of members", tuple(columns), tuple(rows), notes, study.cost, grouped=True)

"""Committees of one architecture beside committees of several (Wang et al. 2022, Table 18)."""

from __future__ import annotations

from wisecommittee.analyses.match import diversity, speedup
from wisecommittee.analyses.study import Study
from wisecommittee.report import published
from wisecommittee.report.table import Column, Table, Value, cost_heading, extended
from wisecommittee.report.table_match import chosen


def fill(study: Study) -> Table:
    """A row per model and its two committees."""
    comparisons = diversity(study)
    cost = comparisons[0].single.val.committee.cost
    columns = (
        Column("model", "as accurate as"),
        Column("kind", "members"),
        Column("committee", "committee"),
        Column("split", "split"),
        Column("quality", study.quality, "percent"),
        Column("average_cost", cost_heading(cost), "cost"),
        Column("speedup", "speed-up", "times"),
    )
    rows: list[tuple[Value, ...]] = []
    for d in comparisons:
        name = d.single.val.committee.label()
        for kind, shown in (("single", d.single), ("one architecture", d.same), ("any", d.mixed)):
            for single, e in zip(d.single.on(), shown.on(), strict=True):
                ratio = None if kind == "single" else speedup(single, e)
                rows.append((name, kind, e.committee.label(), e.split, e.quality, e.average_cost, ratio))
    notes = (chosen(comparisons[0].single),)
    table = Table("One architecture against several", columns, tuple(rows), notes, cost, grouped=True)
    if not study.published or cost != "flops":
        return table
    printed: list[tuple[Value, ...]] = []
    for r in published.rows("wisdom_table18"):
        members = r["model"].split("+")
        kind = "single" if len(members) == 1 else "one architecture" if len(set(members)) == 1 else "any"
        printed.append((r["matches"], kind, r["model"], "test", r["top1"], r["flops"], r["speedup"]))
    return extended(table, printed, published.source("wisdom_table18"))

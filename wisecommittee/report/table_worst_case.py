"""With and without a bound on the worst case, in the layout of Wang et al. 2022, Table 4."""

from __future__ import annotations

from wisecommittee.analyses.match import guaranteed, speedup
from wisecommittee.analyses.study import Study
from wisecommittee.report import published
from wisecommittee.report.table import Column, Table, Value, cost_heading, extended
from wisecommittee.report.table_match import chosen


def fill(study: Study) -> Table:
    """A row per model with its committees without and with the bound."""
    bounded = guaranteed(study)
    cost = bounded[0].single.val.committee.cost
    columns = (
        Column("model", "as accurate as"),
        Column("kind", "committee"),
        Column("split", "split"),
        Column("quality", study.quality, "percent"),
        Column("average_cost", cost_heading(cost), "cost"),
        Column("worst_case_cost", "worst case", "cost"),
        Column("speedup", "speed-up", "times"),
    )
    rows: list[tuple[Value, ...]] = []
    for g in bounded:
        name = g.single.val.committee.label()
        for kind, shown in (("single model", g.single), ("w/o guarantee", g.without), ("with guarantee", g.within)):
            for single, e in zip(g.single.on(), shown.on(), strict=True):
                ratio = None if kind == "single model" else speedup(single, e)
                rows.append((name, kind, e.split, e.quality, e.average_cost, e.worst_case_cost, ratio))
    notes = (
        chosen(bounded[0].single),
        "With guarantee: all members together cost no more than the single model. Speed-up: of the average.",
    )
    table = Table("Committees with a guarantee on the worst case", columns, tuple(rows), notes, cost, grouped=True)
    if not study.published or cost != "flops":
        return table
    kinds = {"cascade w/o guarantee": "w/o guarantee", "cascade with guarantee": "with guarantee"}
    printed = [
        (r["matches"], kinds.get(r["model"], "single model"), "test", r["top1"], r["average_flops"], r["worst_flops"],
         r["speedup"]) for r in published.rows("wisdom_table4")
    ]  # fmt: skip
    return extended(table, printed, published.source("wisdom_table4"))

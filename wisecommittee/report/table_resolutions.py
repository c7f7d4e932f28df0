"""Self-cascades, one checkpoint at two input sizes (Wang et al. 2022, Table 5)."""

from __future__ import annotations

from wisecommittee.analyses.match import speedup
from wisecommittee.analyses.resolutions import self_cascades
from wisecommittee.analyses.study import Study
from wisecommittee.report import published
from wisecommittee.report.table import Column, Table, Value, cost_heading, extended
from wisecommittee.report.table_match import chosen


def fill(study: Study) -> Table:
    """A row per single model and its self-cascade."""
    results = self_cascades(study)
    flops = cost_heading(study.cost, "")
    columns = (
        Column("model", "model"),
        Column("self_cascade", "self-cascade"),
        Column("split", "split"),
        Column("single_quality", study.quality, "percent", "single model"),
        Column("single_cost", flops, "cost", "single model"),
        Column("quality", study.quality, "percent", "self-cascade"),
        Column("average_cost", flops, "cost", "self-cascade"),
        Column("speedup", "speed-up", "times", "self-cascade"),
    )
    rows: list[tuple[Value, ...]] = []
    for s in results:
        cascades = (None,) * len(s.single.on()) if s.cascade is None else s.cascade.on()
        for single, e in zip(s.single.on(), cascades, strict=True):
            figures = (None,) * 3 if e is None else (e.quality, e.average_cost, speedup(single, e))
            name = single.committee.label()
            rows.append((name, s.checkpoint or None, single.split, single.quality, single.average_cost, *figures))
    notes = (
        chosen(results[0].single),
        "A self-cascade (checkpoint - size - size) has the least average cost at the model's accuracy.",
    )
    table = Table("Self-cascades", columns, tuple(rows), notes, study.cost, grouped=True)
    if not study.published or study.cost != "flops":
        return table
    printed: list[tuple[Value, ...]] = [
        (r["model"],
         f"{r['self_cascade']}-{r['self_cascade_low_resolution']}-{r['self_cascade_high_resolution']}", "test",
         r["top1"], r["flops"], r["self_cascade_top1"], r["self_cascade_flops"], r["speedup"])
        for r in published.rows("wisdom_table5")
    ]  # fmt: skip
    return extended(table, printed, published.source("wisdom_table5"))

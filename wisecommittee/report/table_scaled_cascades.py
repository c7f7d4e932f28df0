"""A base cascade scaled up beside the models of its ladder (Wang et al. 2022, Table 15)."""

from __future__ import annotations

from wisecommittee.analyses.scaled_cascades import scaled_cascades
from wisecommittee.analyses.study import Study
from wisecommittee.committees.committee import quoted
from wisecommittee.report import published
from wisecommittee.report.table import Column, Table, Value, cost_heading, extended
from wisecommittee.report.table_match import chosen


def fill(study: Study) -> Table:
    """A row per cascade C0, C1, .. and its model."""
    results = scaled_cascades(study)
    flops = cost_heading(study.cost, "")
    columns = (
        Column("name", "name"),
        Column("members", "members"),
        Column("split", "split"),
        Column("quality", study.quality, "percent", "cascade"),
        Column("average_cost", flops, "cost", "cascade"),
        Column("single", "model"),
        Column("single_quality", study.quality, "percent", "single model"),
        Column("single_cost", flops, "cost", "single model"),
        Column("delta", "gain", "points"),
    )
    rows: list[tuple[Value, ...]] = []
    for c in results:
        cascades = (None,) * len(c.single.on()) if c.cascade is None else c.cascade.on()
        for single, e in zip(c.single.on(), cascades, strict=True):
            figures = (None, None) if e is None else (e.quality, e.average_cost)
            gain = None if e is None else e.quality - single.quality
            rows.append(
                (c.name, " | ".join(map(quoted, c.members)), single.split, *figures, single.committee.label(),
                 single.quality, single.average_cost, gain)
            )  # fmt: skip
    notes = (
        chosen(results[0].single),
        "Every member of C0 climbs its ladder by one architecture per step; thresholds are fitted again to the model's "
        f"{flops} on {study.split}. A dash: the first member alone costs more.",
    )
    table = Table("A family of scaled cascades", columns, tuple(rows), notes, study.cost, grouped=True)
    if not study.published or study.cost != "flops":
        return table
    nets = published.rows("wisdom_table15")
    printed: list[tuple[Value, ...]] = []
    for k in range(8):
        cascade = next(r for r in nets if r["model"] == f"C{k}")
        net = next(r for r in nets if r["model"] == f"EfficientNet-B{k}")
        printed.append((f"C{k}", None, "test", cascade["top1"], cascade["flops"], net["model"], net["top1"],
                        net["flops"], net["delta_top1"]))  # fmt: skip
    return extended(table, printed, published.source("wisdom_table15"))

"""Spread over replicas (Wang et al. 2022, Table 17)."""

from __future__ import annotations

from wisecommittee.analyses.replicas import ReplicaSpread, replicas
from wisecommittee.analyses.study import Study
from wisecommittee.report import published
from wisecommittee.report.table import Column, Table, Value, cost_heading, extended


def fill(study: Study) -> Table:
    """A row per architecture, split, and kind of committee."""
    architectures = replicas(study)
    names = ("max", "min", "mean", "std")
    flops = cost_heading(study.cost)
    columns = (
        Column("architecture", "architecture"),
        Column("split", "split"),
        Column("committees", "committees"),
        Column("count", "count", "count"),
        *(Column(f"quality_{name}", name, "percent", study.quality) for name in names),
        *(Column(f"cost_{name}", name, "cost", flops) for name in names),
    )
    rows: list[tuple[Value, ...]] = []
    for r in architectures:
        for kind, evaluations in (
            ("single model", r.singles),
            ("2-ensembles", r.ensembles),
            ("2-cascades", r.cascades),
        ):
            quality, cost = (
                ReplicaSpread.of([e.quality for e in evaluations]),
                ReplicaSpread.of([e.average_cost for e in evaluations]),
            )
            figures = (v for s in (quality, cost) for v in (s.most, s.least, s.mean, s.std))
            rows.append((r.architecture, r.split, kind, len(evaluations), *figures))
    notes = (
        f"Every ordered pair is a cascade; its threshold has the least cost at the accuracy of the pair as an ensemble "
        f"on {study.split} (n = {architectures[0].singles[0].n:,}).",
    )
    table = Table("Spread over replicas", columns, tuple(rows), notes, study.cost, grouped=True)
    if not study.published or study.cost != "flops":
        return table
    printed: dict[str, tuple[Value, ...]] = {}
    kinds = {"single B5": "single model", "2-B5 ensembles": "2-ensembles", "2-B5 cascades": "2-cascades"}
    for p in published.rows("wisdom_table17"):
        share = p["quantity"] == "top1_percent"
        shown = tuple(round(p[name] * (0.01 if share else 1e9), 10) for name in names)
        if share:
            printed[p["committees"]] = ("B5", "test", kinds[p["committees"]], p["count"], *shown)
        else:
            printed[p["committees"]] += shown
    full = [(*row, *(None,) * (len(columns) - len(row))) for row in printed.values()]
    return extended(table, full, published.source("wisdom_table17"))

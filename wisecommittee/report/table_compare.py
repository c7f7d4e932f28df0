"""Trained committees and their baselines in the layout of Li et al. 2023, Tables 1 and 2."""

from __future__ import annotations

from wisecommittee.analyses.compare import MethodComparison, MethodRow, compare
from wisecommittee.analyses.study import Study
from wisecommittee.report import published
from wisecommittee.report.table import Column, Table, Value, cost_heading, extended

PRINTED = {"cifar10": "irene_table1", "cifar100": "irene_table2"}  # by data
BACKBONES = {"ResNet-18": "resnet18", "ResNet-32": "resnet32"}


def fill(study: Study) -> Table:
    """A row per method and backbone, over the seeds in the store."""
    comparisons = compare(study)
    columns = (
        Column("trained", "data, backbone"),
        Column("method", "method"),
        Column("quality", study.quality, "percent"),
        Column("quality_deviation", "±", "percent"),
        Column("models", "cost", "fixed"),
        Column("models_deviation", "±", "fixed"),
        Column("average_cost", cost_heading(study.cost), "cost"),
        Column("utility", "utility", "fixed"),
        Column("seeds", "seeds", "count"),
    )
    rows = [_values(c, row) for c in comparisons for row in c.rows]
    first = comparisons[0]
    notes = [
        f"Figures of {first.split} (n = {first.n:,}), mean ± standard deviation over seeds. Cost in single models. "
        f"Utility (Eq. 14): 1 for the single model and for the average ensemble."
    ]
    methods = {row.method.partition(" ")[0] for c in comparisons for row in c.rows}
    if methods & {"WoC", "IRENE"}:
        chosen = (
            f"One threshold for all stages of WoC and IRENE, of 0, 0.01, .., 1 that of most utility on {study.split}"
        )
        notes.append(f"{chosen}{', whose figures are optimistic' if first.split == study.split else ''}.")
    if methods & {"MoE", "Sparse-MoE"}:
        notes.append("Mixtures are charged for the network whose features their gate reads; the paper leaves it out.")
    reasons = {row.reason: row.method for c in comparisons for row in c.rows if row.reason}
    notes += [f"No utility ({method}): {reason}." for reason, method in reasons.items()]
    table = Table("Trained committees", columns, tuple(rows), tuple(notes), study.cost, grouped=True)
    printed, source = _printed({(c.data, c.backbone) for c in comparisons}, study.published)
    return extended(table, printed, source) if printed else table


def _values(c: MethodComparison, row: MethodRow) -> tuple[Value, ...]:
    models = (row.models.mean, row.models.deviation) if row.models else (None, None)
    return (
        f"{c.data}, {c.backbone}",
        row.method,
        row.quality.mean,
        row.quality.deviation,
        *models,
        row.cost.mean,
        row.utility,
        len(row.results),
    )


def _printed(trained: set[tuple[str, str]], everything: bool) -> tuple[list[tuple[Value, ...]], str]:
    """The paper's rows for the data and backbones that were trained, or all its rows; and the name of their source."""
    rows: list[tuple[Value, ...]] = []
    for data, name in PRINTED.items():
        for r in published.rows(name):
            backbone = BACKBONES[r["backbone"]]
            if everything or (data, backbone) in trained:
                rows.append((f"{data}, {backbone}", r["method"], r["top1"], r["top1_std"], r["cost_models"],
                             r["cost_models_std"], None, r["utility"], None))  # fmt: skip
    return rows, "; ".join(published.source(name, data) for data, name in PRINTED.items())

"""What committees cost to train (Wang et al. 2022, Tables 10 and 11)."""

from __future__ import annotations

from wisecommittee.analyses.study import Study
from wisecommittee.analyses.training import training
from wisecommittee.report import published
from wisecommittee.report.table import Column, Table, Value, cost_heading, extended
from wisecommittee.report.table_match import chosen


def fill(study: Study) -> Table:
    """A row per model with the cheapest ensemble and committee as accurate."""
    comparisons = training(study)
    columns = (
        Column("model", "as accurate as"),
        Column("kind", "kind"),
        Column("committee", "committee"),
        Column("split", "split"),
        Column("quality", study.quality, "percent"),
        Column("average_cost", cost_heading(study.cost), "cost"),
        Column("training_cost", "training cost", "number"),
        Column("training_ratio", "of the model's", "times"),
    )
    rows: list[tuple[Value, ...]] = []
    for t in comparisons:
        name = t.single.val.committee.label()
        kinds = zip(("single", "ensemble", "committee"), (t.single, t.ensemble, t.committee), t.costs, strict=True)
        for kind, shown, spent in kinds:
            ratio = None if kind == "single" else spent / t.costs[0]
            for e in shown.on():
                rows.append(
                    (name, kind, e.committee.label(), e.split, e.quality, e.average_cost, spent, ratio)
                )  # fmt: skip
    notes = (
        chosen(comparisons[0].single),
        "Training cost: the sum over members, in the unit of the cards. Ensemble, committee: the cheapest to run.",
    )
    table = Table("Training cost of committees", columns, tuple(rows), notes, study.cost, grouped=True)
    if not study.published or study.cost != "flops":
        return table
    printed: list[tuple[Value, ...]] = []
    alone: dict[str, float] = {}
    for r in published.rows("wisdom_table11"):
        days = r["training_tpuv3_days"]
        single = r["model"] == r["matches"]
        alone |= {r["matches"]: days} if single else {}
        ratio = None if single else days / alone[r["matches"]]
        kind = "single" if single else "ensemble"
        printed.append((r["matches"], kind, r["model"], "test", r["top1"], r["flops"], days, ratio))
    return extended(table, printed, published.source("wisdom_table11") + ", in TPUv3 days")

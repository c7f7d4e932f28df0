"""Single models beside committees of similar cost and of similar accuracy (Wang et al. 2022, Table 13)."""

from __future__ import annotations

from wisecommittee.analyses.match import Shown, match, speedup
from wisecommittee.analyses.study import Study
from wisecommittee.report import published
from wisecommittee.report.table import Column, Table, cost_heading, extended


def fill(study: Study) -> Table:
    """A row per model and its two committees, on the split that chose and on the one that reports."""
    matches = match(study)
    cost, quality = matches[0].single.val.committee.cost, study.quality
    flops = cost_heading(cost, "")
    similar = f"similar {flops}"
    columns = (
        Column("model", "model"),
        Column("split", "split"),
        Column("single_quality", quality, "percent", "single model"),
        Column("single_cost", flops, "cost", "single model"),
        Column("similar_cost_quality", quality, "percent", similar),
        Column("similar_cost_cost", flops, "cost", similar),
        Column("delta", "gain", "points", similar),
        Column("similar_quality_quality", quality, "percent", "similar accuracy"),
        Column("similar_quality_cost", flops, "cost", "similar accuracy"),
        Column("speedup", "speed-up", "times", "similar accuracy"),
    )
    rows = [
        (
            single.committee.label(),
            single.split,
            single.quality,
            single.average_cost,
            costly.quality,
            costly.average_cost,
            costly.quality - single.quality,
            good.quality,
            good.average_cost,
            speedup(single, good),
        )
        for m in matches
        for single, costly, good in zip(m.single.on(), m.similar_cost.on(), m.similar_quality.on(), strict=True)
    ]
    notes = (chosen(matches[0].single), "`tables exits` names the committees.")
    table = Table("Committees to match single models", columns, tuple(rows), notes, cost, grouped=True)
    if not study.published or cost != "flops":
        return table
    names = ("single_top1", "single_flops", "similar_flops_top1", "similar_flops", "delta_top1",
             "similar_accuracy_top1", "similar_accuracy_flops", "speedup")  # fmt: skip
    printed = [(r["model"], "test", *(r[n] for n in names)) for r in published.rows("wisdom_table13")]
    return extended(table, printed, published.source("wisdom_table13"))


def chosen(shown: Shown) -> str:
    """A note: which split chose the committees and which split reports, with n."""
    choice = f"Committees were chosen on {shown.val.split} (n = {shown.val.n:,}), whose figures are optimistic"
    choice += " (`search --match MODEL` says what to expect)"
    if shown.test is None:
        return f"{choice}; no split to report on has all of them."
    return f"{choice}; {shown.test.split} (n = {shown.test.n:,}) reports."

"""The committees that match single models and where units leave them (Wang et al. 2022, Table 16)."""

from __future__ import annotations

from wisecommittee.analyses.match import Shown, guaranteed, match
from wisecommittee.analyses.study import Study
from wisecommittee.report import published
from wisecommittee.report.table import Column, Table, Value, cost_heading, extended
from wisecommittee.report.table_match import chosen


def fill(study: Study) -> Table:
    """Of the committees named by the user, or of those that match each single model."""
    if study.committees:
        return _named(study)
    matches, bounded = match(study), guaranteed(study)
    cost = matches[0].single.val.committee.cost
    flops = cost_heading(cost, "")
    most = max(len(e.exit_ratios) for g in bounded for s in (g.without, g.within) for e in s.on())
    most = max(most, *(len(e.exit_ratios) for m in matches for e in m.similar_cost.on()))
    columns = (
        Column("model", "matches"),
        Column("chosen_for", "by"),
        Column("committee", "committee"),
        Column("split", "split"),
        Column("quality", study.quality, "percent"),
        Column("average_cost", flops, "cost"),
        *(Column(f"exit{k + 1}", str(k + 1), "exits", "exits at stage") for k in range(most)),
    )
    rows: list[tuple[Value, ...]] = []
    for m, g in zip(matches, bounded, strict=True):
        for why, shown in ((flops, m.similar_cost), ("accuracy", g.without), ("accuracy*", g.within)):
            rows += _rows(m.single.val.committee.label(), why, shown, most)
    notes = (chosen(matches[0].single), "* all members together cost no more than the single model.")
    table = Table("Exit ratios of committees", columns, tuple(rows), notes, cost, grouped=True)
    if not study.published or cost != "flops":
        return table
    printed = [
        (r["matches"], "accuracy*" if r["worst_case_guarantee"] == "yes" else "accuracy", r["cascade"], "test",
         r["top1"], r["flops"], *(r[f"exit{k + 1}"] if k < 4 else None for k in range(most)))
        for r in published.rows("wisdom_table16")
    ]  # fmt: skip
    return extended(table, printed, published.source("wisdom_table16"))


def _rows(model: str, why: str, shown: Shown, most: int) -> list[tuple[Value, ...]]:
    padding = (None,) * most
    return [
        (model, why, e.committee.label(), e.split, e.quality, e.average_cost, *(e.exit_ratios + padding)[:most])
        for e in shown.on()
    ]


def _named(study: Study) -> Table:
    evaluations = study.named()
    most, cost = max(len(e.exit_ratios) for e in evaluations), evaluations[0].committee.cost
    columns = (
        Column("committee", "committee"),
        Column("split", "split"),
        Column("quality", study.quality, "percent"),
        Column("average_cost", cost_heading(cost, ""), "cost"),
        *(Column(f"exit{k + 1}", str(k + 1), "exits", "exits at stage") for k in range(most)),
    )
    rows = tuple(row[2:] for e in evaluations for row in _rows("", "", Shown(e, None), most))
    return Table("Exit ratios of committees", columns, rows, (f"n = {evaluations[0].n:,}.",), cost)

"""Where ensembles of the smaller architecture beat the next larger model (Kondratyuk et al. 2020, Sec. 4)."""

from __future__ import annotations

from wisecommittee.analyses.replica_ensembles import replica_ensembles
from wisecommittee.analyses.study import Study
from wisecommittee.report import published
from wisecommittee.report.table import Column, Table, Value, cost_heading, extended


def fill(study: Study) -> Table:
    """A row per architecture and the next larger one."""
    ensembles = replica_ensembles(study)
    quality, flops = study.quality, cost_heading(study.cost, "")
    columns = (
        Column("larger", "larger"),
        Column("larger_quality", quality, "percent", "larger"),
        Column("larger_cost", flops, "cost", "larger"),
        Column("smaller", "smaller"),
        Column("members", "members", "count"),
        Column("ensemble_quality", quality, "percent", "ensemble"),
        Column("ensemble_cost", flops, "cost", "ensemble"),
        Column("cost_ratio", "costs less", "times", "ensemble"),
        Column("parallel_ratio", "in parallel", "times", "ensemble"),
        Column("beats", "beats"),
        Column("overtaken", "overtaken from", "count"),
    )
    rows: list[tuple[Value, ...]] = []
    for c in ensembles.crossovers():
        e = c.ensemble
        rows.append(
            (c.larger.architecture, c.larger.median, c.larger.cost, c.smaller.architecture,
             *((None,) * 5 if e is None else
               (e.members, e.median, e.cost, c.larger.cost / e.cost, c.larger.parallel / e.parallel)),
             "yes" if c.beats else "no", c.overtaken)
        )  # fmt: skip
    most = max(len(curve) for curve in ensembles.curves)
    notes = (
        f"On {ensembles.split} (n = {ensembles.n:,}); medians over sets of up to {most} replicas. Beats: as "
        "accurate as the next larger model, for less.",
        "Overtaken from: the number of members from which an ensemble of the larger is as accurate at no more cost.",
    )
    table = Table("Small ensembles against larger models", columns, tuple(rows), notes, study.cost)
    if not study.published or study.cost != "flops":
        return table
    nets = published.rows("small_models_wide_resnets")
    large, together = (next(r for r in nets if r["members"] == k and r["top1"]) for k in (1, 8))
    costs = [round(r["computed_multiply_adds_million"] * 1e6) for r in (large, together)]
    row: tuple[Value, ...] = (large["model"], large["top1"], costs[0], together["model"], 8, together["top1"],
                              costs[1], costs[0] / costs[1], None, "yes", None)  # fmt: skip
    return extended(table, [row], "Kondratyuk et al. 2020, Sec. 4, CIFAR-10; multiply-adds counted from the layers")

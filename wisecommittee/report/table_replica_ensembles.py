"""Ensembles of 1, 2, .. replicas of each architecture (Kondratyuk et al. 2020, Figs. 1 and 2)."""

from __future__ import annotations

from wisecommittee.analyses.replica_ensembles import replica_ensembles
from wisecommittee.analyses.study import Study
from wisecommittee.report.table import Column, Table, cost_heading


def fill(study: Study) -> Table:
    """A row per architecture and number of replicas."""
    ensembles = replica_ensembles(study)
    quality, flops = study.quality, cost_heading(study.cost, "")
    columns = (
        Column("architecture", "architecture"),
        Column("members", "members", "count"),
        Column("draws", "draws", "count"),
        Column("median", "median", "percent", quality),
        Column("low", "25 %", "percent", quality),
        Column("high", "75 %", "percent", quality),
        Column("least", "least", "percent", quality),
        Column("most", "most", "percent", quality),
        Column("cost", "all members", "cost", flops),
        Column("parallel", "in parallel", "cost", flops),
    )
    rows = tuple(
        (p.architecture, p.members, p.draws, p.median, p.low, p.high, p.least, p.most, p.cost, p.parallel)
        for curve in ensembles.curves
        for p in curve
    )
    notes = (
        f"On {ensembles.split} (n = {ensembles.n:,}), over sets of replicas; in parallel: the dearest member, where "
        "each runs on a worker of its own.",
    )
    return Table("Ensembles of replicas", columns, rows, notes, study.cost, grouped=True)

"""The smallest ensemble that is right, unit by unit (Li et al. 2023, Fig. 1(b))."""

from __future__ import annotations

from wisecommittee.analyses.smallest_ensemble import smallest_ensembles
from wisecommittee.analyses.study import Study
from wisecommittee.report.table import Column, Table


def fill(study: Study) -> Table:
    """A row per architecture, a column per number of members."""
    architectures = smallest_ensembles(study)
    most = max(len(e.first) for e in architectures)
    columns = (
        Column("architecture", "architecture"),
        *(Column(f"first{k + 1}", f"{k + 1} member{'s' if k else ''}", "percent") for k in range(most)),
        Column("never", "never right", "percent"),
    )
    rows = tuple((e.architecture, *(e.first + (None,) * most)[:most], e.never) for e in architectures)
    notes = (
        f"Share of {architectures[0].split} (n = {architectures[0].n:,}); members join in the order of their replicas.",
    )
    return Table("The smallest ensemble that is right", columns, rows, notes)

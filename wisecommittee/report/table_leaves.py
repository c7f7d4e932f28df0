"""The first 1, 2, 4, .. leaves of jointly trained networks (Ruiz and Verbeek 2021, Table 1 and Figs. 3-5)."""

from __future__ import annotations

import numpy as np

from wisecommittee.analyses.leaves import leaves
from wisecommittee.analyses.study import Study
from wisecommittee.report.table import Column, Table


def fill(study: Study) -> Table:
    """A row per network and number of leaves."""
    result = leaves(study)
    columns = (
        Column("network", "network"),
        Column("leaves", "leaves", "count"),
        Column("cost", "FLOPs" if result.cost == "flops" else "cost", "cost"),
        Column("accuracy", "accuracy", "percent"),
        Column("deviation", "std of logits", "number"),
        Column("least", "least", "percent", "one leaf alone"),
        Column("mean", "mean", "percent", "one leaf alone"),
        Column("most", "most", "percent", "one leaf alone"),
    )
    rows = []
    for group in result.groups:
        for rung in group.rungs:
            alone = [e.quality for e in group.alone[: rung.leaves]]
            rows.append(
                (
                    group.name,
                    rung.leaves,
                    rung.evaluation.average_cost,
                    rung.evaluation.quality,
                    rung.deviation if rung.leaves > 1 else None,
                    min(alone),
                    float(np.mean(alone)),
                    max(alone),
                )
            )
    notes = (f"On {result.split} (n = {result.n:,}); std of logits over the leaves, mean over classes and units.",)
    return Table("Ensembles of the first leaves", columns, tuple(rows), notes, result.cost, grouped=True)

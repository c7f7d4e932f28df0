"""Confidence functions beside each other, in rows."""

from __future__ import annotations

from wisecommittee.analyses.cascades import cascade_pool
from wisecommittee.analyses.confidence import at_equal_cost, curves_in
from wisecommittee.analyses.study import Study
from wisecommittee.committees.committee import together
from wisecommittee.report.table import Column, Table, Value

SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)


def fill(study: Study) -> Table:
    """Table 12 of Wang et al. 2022, cascades at equal cost with each confidence, and some points of their Fig. 3."""
    cascades = at_equal_cost(study)
    first = cascades[0][0].evaluation
    tests, several = any(cascade[0].test for cascade in cascades), len(cascades) > 1
    columns = (
        *([Column("committee", "committee")] if several else []),
        Column("confidence", "confidence"),
        *(Column(f"within_{100 * share:g}", f"within {100 * share:g} %", "percent") for share in SHARES),
        Column("thresholds", "thresholds", "text"),
        Column("quality", f"{first.split} {study.quality}", "percent"),
        *([Column("test_quality", f"{study.reports} {study.quality}", "percent")] if tests else []),
        Column("average_cost", "average FLOPs" if first.committee.cost == "flops" else "average", "cost"),
        Column("exit_ratios", "exits per stage", "exits"),
    )
    rows: list[tuple[Value, ...]] = []
    notes = []
    for cascade in cascades:
        committee = cascade[0].evaluation.committee
        label = committee.label()
        within = curves_in(cascade_pool(study, committee, study.split), committee.stages[0], SHARES)
        named = (label,) if several else ()
        rows += [
            (
                *named,
                row.confidence,
                *within.accuracy[row.confidence],
                ", ".join(f"{t:.4g}" for t in row.evaluation.committee.thresholds.values),
                row.evaluation.quality,
                *([row.test.quality if row.test else None] if tests else []),
                row.evaluation.average_cost,
                row.evaluation.exit_ratios,
            )
            for row in cascade
        ]
        ideal = (*named, "ideal", *within.ideal)
        rows.append((*ideal, *(None,) * (len(columns) - len(ideal))))
        notes.append(
            f"Cascade {label}: thresholds set on {first.split} (n = {first.n:,}) so that as many units exit at each "
            f"stage; ties of a confidence make small differences of cost. Within: accuracy of "
            f"{together(within.models)} within its most confident units."
        )
    notes.append("Ideal: a confidence that knows which units are right.")
    return Table("Confidence functions", columns, tuple(rows), tuple(notes), first.committee.cost, grouped=several)

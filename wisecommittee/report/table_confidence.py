"""Confidence functions beside each other, in rows."""

from __future__ import annotations

from wisecommittee.analyses.cascades import cascade_pool
from wisecommittee.analyses.confidence import at_equal_cost, curves_in
from wisecommittee.analyses.study import Study
from wisecommittee.report.table import Column, Table

SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)


def fill(study: Study) -> Table:
    """Table 12 of Wang et al. 2022, a cascade at equal cost with each confidence, and some points of their Fig. 3."""
    found = at_equal_cost(study)
    first = found[0].evaluation
    tests = found[0].test is not None
    one = curves_in(cascade_pool(study, first.committee, study.split), first.committee.stages[0], SHARES)
    columns = (
        Column("confidence", "confidence"),
        *(Column(f"within_{100 * share:g}", f"within {100 * share:g} %", "percent") for share in SHARES),
        Column("thresholds", "thresholds", "text"),
        Column("quality", f"{first.split} {study.quality}", "percent"),
        *([Column("test_quality", f"{study.reports} {study.quality}", "percent")] if tests else []),
        Column("average_cost", "average FLOPs" if study.cost == "flops" else "average", "cost"),
        Column("exit_ratios", "exits per stage", "exits"),
    )
    rows = [
        (
            row.confidence,
            *one.accuracy[row.confidence],
            ", ".join(f"{t:.4g}" for t in row.evaluation.committee.thresholds),
            row.evaluation.quality,
            *([row.test.quality if row.test else None] if tests else []),
            row.evaluation.average_cost,
            row.evaluation.exit_ratios,
        )
        for row in found
    ]
    nothing = [None] * (len(columns) - 1 - len(SHARES))
    notes = (
        f"Within: accuracy of {' + '.join(one.models)} within its most confident units.",
        f"Cascade {first.committee.label()}: thresholds set on {first.split} (n = {first.n:,}) so that as many units "
        f"exit at each stage; ties of a confidence make small differences of cost.",
        "Ideal: a confidence that knows which units are right.",
    )
    return Table("Confidence functions", columns, (*rows, ("ideal", *one.ideal, *nothing)), notes, study.cost)

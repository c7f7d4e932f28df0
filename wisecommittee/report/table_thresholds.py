"""The sweep of a cascade's thresholds, in rows."""

from __future__ import annotations

from wisecommittee.analyses.study import Study, spread
from wisecommittee.analyses.thresholds import TOLERANCE, sweeps
from wisecommittee.committees.committee import together
from wisecommittee.report.table import Column, Table, Value

ROWS = 16  # per sweep


def fill(study: Study) -> Table:
    """Accuracy and average cost against the threshold (Wang et al. 2022, Fig. 4), with the beginning of the plateau."""
    curves = sweeps(study)
    first, tests = curves[0].evaluations[0], any(sweep.test for sweep in curves)
    labels = list(dict.fromkeys(sweep.committee.label() for sweep in curves))
    columns = (
        *([Column("committee", "committee")] if len(labels) > 1 else []),
        Column("after", "after"),
        Column("threshold", "threshold", "number"),
        Column("quality", f"{first.split} {study.quality}", "percent"),
        *([Column("test_quality", f"{study.reports} {study.quality}", "percent")] if tests else []),
        Column("average_cost", "average FLOPs" if first.committee.cost == "flops" else "average", "cost"),
        Column("saving", "below never exiting", "percent"),
        Column("exit_ratios", "exits per stage", "exits"),
        Column("plateau", ""),
    )
    rows: list[tuple[Value, ...]] = []
    for sweep in curves:
        never = sweep.evaluations[-1].average_cost
        for i in sorted({*spread(range(len(sweep.thresholds)), ROWS), sweep.plateau}):
            e = sweep.evaluations[i]
            rows.append(
                (
                    *([sweep.committee.label()] if len(labels) > 1 else []),
                    together(sweep.committee.stages[sweep.stage]),
                    sweep.thresholds[i],
                    e.quality,
                    *([sweep.test[i].quality if sweep.test else None] if tests else []),
                    e.average_cost,
                    1 - e.average_cost / never,
                    e.exit_ratios,
                    "plateau" if i == sweep.plateau else "",
                )
            )
    confidences = {sweep.committee.label(): sweep.committee.confidence for sweep in curves}
    notes = (
        *(f"{label}: exit if {confidence} >= threshold." for label, confidence in confidences.items()),
        f"The other thresholds are as they are; the last row of a threshold lets nobody exit there. {first.split} n = "
        f"{first.n:,}.",
        f"Plateau: from this threshold on {first.split} accuracy is never more than {100 * TOLERANCE:g} points below "
        f"the last row's.",
    )
    return Table("Threshold sweep", columns, tuple(rows), notes, first.committee.cost, grouped=len(curves) > 1)

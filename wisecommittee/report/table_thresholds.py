"""The sweep of a cascade's thresholds, in rows."""

from __future__ import annotations

from wisecommittee.analyses.study import Study, spread
from wisecommittee.analyses.thresholds import TOLERANCE, sweeps
from wisecommittee.report.table import Column, Table

ROWS = 16  # of each sweep


def fill(study: Study) -> Table:
    """Accuracy and average cost against the threshold (Wang et al. 2022, Fig. 4), with the beginning of the plateau."""
    found = sweeps(study)
    first, tests = found[0].evaluations[0], bool(found[0].test)
    columns = (
        Column("after", "after"),
        Column("threshold", "threshold", "number"),
        Column("quality", f"{first.split} {study.quality}", "percent"),
        *([Column("test_quality", f"{study.reports} {study.quality}", "percent")] if tests else []),
        Column("average_cost", "average FLOPs" if first.committee.cost == "flops" else "average", "cost"),
        Column("saving", "below never exiting", "percent"),
        Column("exit_ratios", "exits per stage", "exits"),
        Column("plateau", ""),
    )
    rows = []
    for sweep in found:
        never = sweep.evaluations[-1].average_cost
        for i in sorted({*spread(range(len(sweep.thresholds)), ROWS), sweep.plateau}):
            e = sweep.evaluations[i]
            rows.append(
                (
                    " + ".join(sweep.committee.stages[sweep.stage]),
                    sweep.thresholds[i],
                    e.quality,
                    *([sweep.test[i].quality] if tests else []),
                    e.average_cost,
                    1 - e.average_cost / never,
                    e.exit_ratios,
                    "plateau" if i == sweep.plateau else "",
                )
            )
    notes = (
        f"{first.committee.label()}: exit if {first.committee.confidence} >= threshold, the other thresholds as they "
        f"are; the last row of a threshold lets nobody exit there. {first.split} n = {first.n:,}.",
        f"Plateau: from this threshold on {first.split} accuracy is never more than {100 * TOLERANCE:g} points below "
        f"the last row's.",
    )
    return Table("Threshold sweep", columns, tuple(rows), notes, first.committee.cost, grouped=len(found) > 1)

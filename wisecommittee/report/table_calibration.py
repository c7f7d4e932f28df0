"""The table of calibration effects."""

from __future__ import annotations

from wisecommittee.analyses.calibration import effects
from wisecommittee.analyses.study import Study
from wisecommittee.errors import InfeasibleError
from wisecommittee.report.table import Column, Table, Value


def fill(study: Study) -> Table:
    """Committees with their models as they are and calibrated, at equal cost (Wang et al. 2022, D.2)."""
    calibrated = effects(study)
    if not calibrated:
        raise InfeasibleError("the frontier holds neither an ensemble nor a cascade; add models, or name a committee")
    first = calibrated[0].before
    tests = calibrated[0].test is not None
    where = study.reports if tests else first.split
    splits = [first.split, *([study.reports] if tests else [])]
    columns = (
        Column("shape", "shape"),
        Column("committee", "committee"),
        Column("average_cost", "average FLOPs" if first.committee.cost == "flops" else "average", "cost"),
        *(
            Column(f"{split}_{when}", when, "percent", f"{split} {study.quality}")
            for split in splits
            for when in ("before", "after")
        ),
        Column("change", "change", "points", f"{splits[-1]} {study.quality}"),
        Column("ece_before", "before", "percent", f"{where} ECE"),
        Column("ece_after", "after", "percent", f"{where} ECE"),
    )
    rows: list[tuple[Value, ...]] = []
    for e in calibrated:
        (before, after), (raw, mended) = e.shown
        pairs = [(e.before, e.after), *([e.test] if e.test else [])]
        rows.append(
            (
                before.committee.shape,
                before.committee.label(),
                e.before.average_cost,
                *(evaluation.quality for pair in pairs for evaluation in pair),
                after.quality - before.quality,
                raw.ece,
                mended.ece,
            )
        )
    methods = " and ".join(sorted({e.method for e in calibrated}))
    chose = f" {first.split} chose the committees uncalibrated, so that its figures before are optimistic."
    notes = (
        f"Calibration: {methods}, fitted on {first.split} (n = {first.n:,}); there each unit by a fit without its "
        f"fold. The same stages, as many units exiting at each on {first.split}: equal average cost."
        + ("" if study.committees else chose),
        "ECE: of the maximum probability where each unit exits, 15 bins.",
    )
    return Table("Calibrated committees", columns, tuple(rows), notes, first.committee.cost, grouped=True)

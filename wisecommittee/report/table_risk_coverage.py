"""The accuracy of the surest units of a committee, in rows."""

from __future__ import annotations

from wisecommittee.analyses.risk_coverage import risk_coverage
from wisecommittee.analyses.study import Study
from wisecommittee.report.table import Column, Table, Value

SHARES = (0.5, 0.7, 0.8, 0.9, 0.95, 1.0)


def fill(study: Study) -> Table:
    """A row for each committee and split: AURC, and accuracy where that share of the units is answered."""
    curves = risk_coverage(study)
    points = any(curve.point for curve in curves)
    own = (Column("answered", "answers", "percent"), Column("answered_quality", "right", "percent"))
    columns = (
        Column("committee", "committee"),
        Column("split", "split"),
        *(Column(f"within_{100 * share:g}", f"of {100 * share:g} %", "percent") for share in SHARES),
        Column("aurc", "AURC", "number"),
        Column("excess_aurc", "excess", "number"),
        *(own if points else ()),
    )
    rows: tuple[tuple[Value, ...], ...] = tuple(
        (
            curve.committee.label(),
            curve.split,
            *map(curve.within, SHARES),
            curve.aurc,
            curve.excess,
            *((curve.point.share, curve.point.quality) if curve.point else (None, None) if points else ()),
        )
        for curve in curves
    )
    counted = {curve.split: len(curve) for curve in curves}
    notes = (
        f"n = {', '.join(f'{n:,} ({split})' for split, n in counted.items())}. {study.split} says which units of a "
        f"cascade are surer, without the fold that is shown; it also chose the cascade.",
        "AURC: mean share of wrong answers over all shares of answered units. Excess: over the best order.",
        *(["Answers, right: by the thresholds of the committee itself."] if points else []),
    )
    title = f"{study.quality} of the surest units, where the others get no answer".capitalize()
    return Table(title, columns, rows, notes, grouped=True)

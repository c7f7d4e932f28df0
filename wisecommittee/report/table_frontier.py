"""The frontier of a search with its single models, in rows."""

from __future__ import annotations

from itertools import zip_longest

from wisecommittee.analyses.study import Study, spread
from wisecommittee.errors import counted
from wisecommittee.report.table import Column, Table, cost_heading
from wisecommittee.searches.choice import lacking
from wisecommittee.searches.evaluation import FIGURES
from wisecommittee.searches.frontier import HOW

ROWS = 20


def fill(study: Study) -> Table:
    """A spread over the frontier: on the split that chose it, and on the one that reports."""
    searched = study.frontier()
    chosen = spread(list(searched), ROWS)
    tests = study.reported_where_possible(chosen)
    test = next((e for e in tests if e is not None), None)
    first = chosen[0]
    figures = [field for field in FIGURES if field in ("average", "worst", searched.axis)]
    columns = (
        Column("committee", "committee"),
        Column("quality", f"{first.split} {study.quality}", "percent"),
        *([Column("test_quality", f"{test.split} {study.quality}", "percent")] if test else []),
        *(
            Column(
                FIGURES[field].of(), cost_heading(searched.cost) if field == "average" else FIGURES[field].words, "cost"
            )
            for field in figures
        ),
        Column("speedup", "speed-up", "times"),
        Column("exit_ratios", "exits per stage", "exits"),
    )
    rows = tuple(
        (
            e.committee.label(),
            e.quality,
            *([on_test.quality if on_test else None] if test else []),
            *(getattr(e.cost, field) for field in figures),
            searched.speedup(e),
            e.exit_ratios,
        )
        for e, on_test in zip_longest(chosen, tests)
    )
    n = f"{first.split} (n = {first.n:,}) chose"
    if test:
        n += f", {test.split} (n = {test.n:,}) reports"
    if lacks := lacking(chosen, study.store, study.reports):
        n += f"; {study.reports} lacks {', '.join(lacks)}"
    notes = (
        f"{len(rows)} of {counted(len(searched), 'committee')} of the frontier; {n}.",
        f"Speed-up: cheapest single model as accurate on {first.split} over the committee, {HOW[searched.axis]}.",
    )
    over = "" if searched.axis == "average" else f" over the {searched.axis} cost"
    return Table(f"Frontier{over}", columns, rows, notes, searched.cost)

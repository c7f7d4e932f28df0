"""The frontier of a search with its single models, in rows."""

from __future__ import annotations

from itertools import zip_longest

from wisecommittee.analyses.study import Study, spread
from wisecommittee.errors import counted
from wisecommittee.report.expected import expected_note
from wisecommittee.report.table import Column, Table, cost_heading
from wisecommittee.searches.evaluation import figure_on, shown_along, words_on
from wisecommittee.searches.reporting import lacking

ROWS = 20
OVER = "expected on new data"
EXPECTED = (
    Column("expected_quality", "quality", "percent", OVER),
    Column("expected_low", "from", "percent", OVER),
    Column("expected_high", "to", "percent", OVER),
)


def fill(study: Study) -> Table:
    """A spread over the frontier: on the split that chose it, to expect on new data, and on the split that reports."""
    searched = study.frontier_with_expected()
    shown = spread(list(zip_longest(searched, searched.expected)), ROWS)
    chosen, estimated = [e for e, _ in shown], bool(searched.expected)
    tests = study.reported_where_possible(chosen)
    test = next((e for e in tests if e is not None), None)
    first = chosen[0]
    figures = shown_along(searched.axis)
    columns = (
        Column("committee", "committee"),
        Column("quality", f"{first.split} {study.quality}", "percent"),
        *(EXPECTED if estimated else ()),
        *([Column("test_quality", f"{test.split} {study.quality}", "percent")] if test else []),
        *(
            Column(
                figure_on(axis).of(),
                cost_heading(searched.cost) if axis == "average" else figure_on(axis).words,
                "cost",
            )
            for axis in figures
        ),
        Column("speedup", "speed-up", "times"),
        Column("exit_ratios", "exits per stage", "exits"),
    )
    rows = tuple(
        (
            e.committee.label(),
            e.quality,
            *((expected.quality, *expected.interval) if expected else ()),
            *([on_test.quality if on_test else None] if test else []),
            *(e.on(axis) for axis in figures),
            searched.speedup(e, expected.quality if expected else None),
            e.exit_ratios,
        )
        for (e, expected), on_test in zip_longest(shown, tests)
    )
    n = f"{first.split} (n = {first.n:,}) chose"
    if test:
        n += f", {test.split} (n = {test.n:,}) reports"
    if lacks := lacking(chosen, study.store, study.reports):
        n += f"; {study.reports} lacks {', '.join(lacks)}"
    as_accurate = "as to be expected" if estimated else f"on {first.split}"
    notes = (
        f"{len(rows)} of {counted(len(searched), 'committee')} of the frontier; {n}.",
        expected_note(study, searched),
        f"Speed-up: cheapest single model as {searched.query.good} {as_accurate} over the committee, "
        f"{words_on(searched.axis)}.",
    )
    over = "" if searched.axis == "average" else f" over the {searched.axis} cost"
    return Table(f"Frontier{over}", columns, rows, notes, searched.cost)

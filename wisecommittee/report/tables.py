"""The tables a study can fill. May be added: a file table_<kind>.py with a function of a Study, and its line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from wisecommittee.analyses.study import Study
from wisecommittee.errors import UnknownNameError
from wisecommittee.report.table import Table
from wisecommittee.report.table_frontier import frontier


@dataclass(frozen=True, slots=True)
class Kind:
    """fill : makes the table from a study; says : one line for --help."""

    fill: Callable[[Study], Table]
    says: str


TABLES: dict[str, Kind] = {
    "frontier": Kind(frontier, "a spread over the frontier of the search"),
}


def fill(kind: str, study: Study) -> Table:
    if kind not in TABLES:
        raise UnknownNameError("table", kind, TABLES)
    return TABLES[kind].fill(study)

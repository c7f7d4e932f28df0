"""The tables a study can fill. May be added: a file table_<kind>.py with a function of a Study, and its line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from wisecommittee.analyses.study import Study
from wisecommittee.errors import UnknownNameError
from wisecommittee.report import table_diversity, table_exits, table_frontier, table_match, table_worst_case
from wisecommittee.report.table import Table


@dataclass(frozen=True, slots=True)
class Kind:
    """fill : makes the table from a study; says : one line for --help."""

    fill: Callable[[Study], Table]
    says: str


TABLES: dict[str, Kind] = {
    "frontier": Kind(table_frontier.fill, "a spread over the frontier of the search"),
    "match": Kind(table_match.fill, "for every model the committee of its cost and of its accuracy (Table 13)"),
    "worst-case": Kind(table_worst_case.fill, "the same accuracy with and without a bounded worst case (Table 4)"),
    "exits": Kind(table_exits.fill, "those committees and where units leave them (Table 16)"),
    "diversity": Kind(table_diversity.fill, "committees of one architecture and of several (Table 18)"),
}


def fill(kind: str, study: Study) -> Table:
    if kind not in TABLES:
        raise UnknownNameError("table", kind, TABLES)
    return TABLES[kind].fill(study)

"""The tables that can be made from a study.

May be added: a file table_<kind>.py with a function from a Study to a Table, and its line in TABLES.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from wisecommittee.analyses.study import Study
from wisecommittee.errors import UnknownNameError
from wisecommittee.report import (
    table_calibration,
    table_confidence,
    table_conversion,
    table_crossover,
    table_diversity,
    table_exits,
    table_frontier,
    table_leaves,
    table_match,
    table_measured,
    table_members,
    table_replica_ensembles,
    table_replicas,
    table_resolutions,
    table_risk_coverage,
    table_scaled_cascades,
    table_smallest_ensemble,
    table_thresholds,
    table_training,
    table_worst_case,
)
from wisecommittee.report.table import Table
from wisecommittee.report.uses import MANY, NOTHING, Uses


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of table.

    Parameters
    ----------
    fill : callable
        From a study to the table.
    says : str
        One line for --help.
    uses : Uses
        The options of a study that the table can show.
    """

    fill: Callable[[Study], Table]
    says: str
    uses: Uses = NOTHING


PAPERS, GIVEN = Uses(published="flops"), Uses(MANY)
TABLES: dict[str, Kind] = {
    "frontier": Kind(table_frontier.fill, "a spread over the frontier of the search"),
    "match": Kind(table_match.fill, "for every model the committee of its cost and of its accuracy (Table 13)", PAPERS),
    "worst-case": Kind(
        table_worst_case.fill, "the same accuracy with and without a bounded worst case (Table 4)", PAPERS
    ),
    "exits": Kind(table_exits.fill, "those committees and where units leave them (Table 16)", Uses(MANY, "flops")),
    "diversity": Kind(table_diversity.fill, "committees of one architecture and of several (Table 18)", PAPERS),
    "thresholds": Kind(table_thresholds.fill, "accuracy and cost against the thresholds of a cascade (Fig. 4)", GIVEN),
    "confidence": Kind(
        table_confidence.fill, "confidence functions: most confident units, equal cost (Table 12)", GIVEN
    ),
    "risk-coverage": Kind(
        table_risk_coverage.fill, "accuracy of the surest units, if the others get no answer; AURC", GIVEN
    ),
    "calibration": Kind(table_calibration.fill, "ensembles and cascades before and after calibration (D.2)", GIVEN),
    "conversion": Kind(table_conversion.fill, "ensembles of the frontier as cascades of their members (Fig. 2)", GIVEN),
    "members": Kind(table_members.fill, "what 2, 3, 4 members buy over target costs (Fig. 7)"),
    "replicas": Kind(table_replicas.fill, "spread over replicas: singles, pairs, ordered pairs (Table 17)", PAPERS),
    "self-cascades": Kind(table_resolutions.fill, "one checkpoint at two input sizes (Table 5)", PAPERS),
    "scaled-cascades": Kind(
        table_scaled_cascades.fill, "a base cascade scaled up its ladder: C0, C1, .. (Table 15)", Uses(1, "flops")
    ),
    "training": Kind(table_training.fill, "what committees cost to train (Tables 10 and 11)", PAPERS),
    "latency": Kind(
        table_measured.latency,
        "measured time of one unit, and the part of the speed-up it keeps (Table 8)",
        Uses(published="own"),
    ),
    "throughput": Kind(
        table_measured.throughput, "the same in batches, units per second (Tables 9 and 14)", Uses(published="own")
    ),
    "replica-ensembles": Kind(table_replica_ensembles.fill, "ensembles of 1, 2, .. replicas of each architecture"),
    "crossover": Kind(table_crossover.fill, "where ensembles of small models beat the next larger model", PAPERS),
    "leaves": Kind(table_leaves.fill, "the first 1, 2, 4, .. leaves of jointly trained networks"),
    "smallest-ensemble": Kind(table_smallest_ensemble.fill, "the smallest ensemble that is right, unit by unit"),
}


def table_named(kind: str) -> Kind:
    """The table of that kind; UnknownNameError if there is none."""
    if kind not in TABLES:
        raise UnknownNameError("table", kind, TABLES)
    return TABLES[kind]


def check(kind: str, study: Study) -> None:
    """Check a table before its search runs.

    Parameters
    ----------
    kind : str
        A key of TABLES.
    study : Study

    Raises
    ------
    UnknownNameError
        There is no such kind of table.
    UsageError
        The study has an option that the table would ignore.
    """
    table_named(kind).uses.check(f"table {kind}", study)


def fill(kind: str, study: Study) -> Table:
    """Make a table of a study.

    Parameters
    ----------
    kind : str
        A key of TABLES, such as 'match'.
    study : Study

    Returns
    -------
    Table

    Raises
    ------
    UnknownNameError
        There is no such kind of table.
    """
    return table_named(kind).fill(study)

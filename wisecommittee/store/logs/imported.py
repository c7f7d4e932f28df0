"""What an import of logs did, or would do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from wisecommittee.store.imports.missing import Unanswered
from wisecommittee.store.logs.pool import ModelSummary


@dataclass(frozen=True, slots=True)
class ImportedLog:
    """What an import of logs did, or would do.

    Attributes
    ----------
    models : {model: str}
        'added', 'unchanged', 'card updated' or 'replaced'; 'would be added' of a dry run.
    summaries : {model: ModelSummary}
    units : int
        Number of units in the store.
    unanswered : Unanswered
    missing : str or None
        The option by which units without an answer were stored, or left out.
    features : {column: {"kind": "numbers"} or {"kind": "categories", "values": their number}}
        What is known of the units before any model runs.
    notes : tuple of str
        What was left out or filled.
    """

    models: Mapping[str, str]
    summaries: Mapping[str, ModelSummary]
    units: int
    unanswered: Unanswered
    missing: str | None
    features: Mapping[str, Mapping[str, object]]
    notes: tuple[str, ...]

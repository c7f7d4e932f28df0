"""How the outputs of a member enter a committee: the same way as in the store that it was chosen from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.combine import PROBABILITY_TOLERANCE, Combine, log_probabilities, softmax
from wisecommittee.committees.committee import Committee
from wisecommittee.committees.model_names import split_model_name
from wisecommittee.committees.scale import LARGEST
from wisecommittee.errors import CommitteeError, ContentError, option
from wisecommittee.runtime.members import Member
from wisecommittee.runtime.outputs import Outputs

if TYPE_CHECKING:
    from wisecommittee.committees.calibration import Calibration

Rows = NDArray[np.float32]  # [n, C]
KINDS = ("logits", "probabilities", "answers")
NEARLY = 2e-2  # how far sums of probabilities in bfloat16 may be from 1
TELLING = 4  # this many rows of logits do not all look like probabilities by chance


@dataclass(frozen=True, slots=True)
class Membership:
    """How the outputs of a member enter the committee.

    Parameters
    ----------
    name : str
    order : (architecture, replica, model)
        Members are summed in this order.
    kind : str
        'logits', 'probabilities' or 'answers'.
    calibration : Calibration or None
        Applied to the outputs first.
    columns : int64 [C] or None
        The outputs that are used; None for all of them.
    softmax : bool
        Put a softmax behind a member that was chosen on probabilities and gives logits.
    force : bool
        Take outputs that look like those of another kind.
    """

    name: str
    order: tuple[str, int, str]
    kind: str
    calibration: Calibration | None = None
    columns: NDArray[np.int64] | None = None
    softmax: bool = False
    force: bool = False

    @classmethod
    def of(cls, name: str, committee: Committee, kind: str | None = None) -> Membership:
        """From committee.json. kind : of its outputs, where the committee does not record it; by default logits."""
        recorded = committee.members.get(name, {})
        kind = str(recorded.get("kind") or kind or "logits")
        if kind not in KINDS:
            raise CommitteeError(f"{name}: its outputs are {kind}, which no model computes for one unit at a time")
        fitted = None
        if calibration := recorded.get("calibration"):
            from wisecommittee.committees.calibration import Calibration

            fitted = Calibration.from_json(calibration)
        return cls(name, (*split_model_name(name), name), kind, fitted)

    def used_as(self, member: Member) -> Membership:
        """The same, with what a member says of its outputs."""
        columns = None if member.columns is None else np.array(member.columns, np.int64)
        return replace(self, columns=columns, softmax=member.softmax)

    def of_known_kind(self) -> Membership:
        """The same, but logits may look like probabilities: they have been compared with the stored ones."""
        return replace(self, force=True) if self.kind == "logits" else self

    @property
    def rows_kind(self) -> str:
        """The kind after calibration, which turns probabilities into logits."""
        return "logits" if self.calibration is not None else self.kind

    def as_stored(self, rows: Rows) -> Rows:
        """Outputs float32 [n, C] of the kind and with the columns that the store has; CommitteeError for others."""
        rows = self._of_kind(rows)
        if self.columns is None:
            return rows
        if self.columns.max() >= rows.shape[1]:
            raise CommitteeError(
                f"{self.name}: {rows.shape[1]} outputs; the committee uses number {self.columns.max()} of them"
            )
        return rows[:, self.columns]

    def summands(self, outputs: Outputs, rule: Combine) -> Rows:
        """float32 [n, C]: the rows that are summed to decide."""
        if outputs.rows is None:
            raise ContentError(f"{self.name}: gave answers; the committee was chosen on its {self.kind}, [n, classes]")
        rows = self.as_stored(outputs.rows)
        if self.calibration is not None:
            rows = self.calibration.rows(log_probabilities(rows) if self.kind == "probabilities" else rows)
        return rule.summand[self.rows_kind](rows.astype(np.float32, copy=False))

    def score(self, outputs: Outputs, confidence: str) -> NDArray[np.float32]:
        """float32 [n]: the stored score that is the committee's confidence, calibrated as in the store."""
        if confidence not in outputs.scores:
            given = ", ".join(outputs.scores) or "none"
            raise ContentError(
                f"{self.name}: no score {confidence!r}, by which the committee exits (it gave {given}); return "
                f"Outputs(.., scores={{{confidence!r}: [a number for each unit]}})"
            )
        score = outputs.scores[confidence]
        if self.calibration is None or self.kind != "answers":
            return np.asarray(score, np.float32)
        fitted = self.calibration.scores(score).astype(np.float32)
        return np.where(np.abs(score) < LARGEST, fitted, score)  # units without an answer keep LEAST or LARGEST

    def _of_kind(self, rows: Rows) -> Rows:
        if self.kind == "probabilities":
            if look_like_probabilities(rows):
                return normalised(rows)
            if self.softmax:
                return softmax(rows)
            if not self.force:
                raise CommitteeError(
                    f"{self.name}: the committee was chosen on its probabilities, and it gives logits here (rows that "
                    f"do not sum to 1); end it with a softmax, or have one put behind it with "
                    f"{option('softmax', True)}"
                )
        elif not self.force and len(rows) >= TELLING and look_like_probabilities(rows):
            raise CommitteeError(
                f"{self.name}: the committee was chosen on its logits, and what it gives here are probabilities; leave "
                f"out its softmax; if it had one when it was extracted, deploy it with the store, or with force"
            )
        return rows


def look_like_probabilities(rows: Rows) -> bool:
    """Whether every row [n, C] is non-negative and sums to 1, as nearly as in bfloat16."""
    if not (rows >= 0).all():
        return False
    return bool((np.abs(rows.sum(axis=1, dtype=np.float64) - 1) <= NEARLY).all())


def normalised(rows: Rows) -> Rows:
    """Rows [n, C] of probabilities; rows whose sum misses 1 by more than a store allows are divided by it."""
    sums = rows.sum(axis=1, dtype=np.float64)
    missing = np.abs(sums - 1) > PROBABILITY_TOLERANCE
    return (rows / np.where(missing, sums, 1)[:, None]).astype(np.float32) if missing.any() else rows

"""Which calibration a model is used with, and its calibrated outputs.

On the outputs that a calibration was fitted on, each unit is calibrated with the parameters fitted without its fold, so
that no unit that chooses a committee is calibrated by a fit that has seen it. All other outputs are calibrated with the
parameters of the whole split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.calibration import Calibration, as_logits, unit_folds
from wisecommittee.committees.cards import StoredCard
from wisecommittee.committees.scale import LARGEST
from wisecommittee.errors import AbsentError, CommitteeError, StoreError, option
from wisecommittee.store import LogitStore


@dataclass(frozen=True, slots=True)
class CalibratedRows:
    """Outputs [N, C] as calibrated logits, a block of units at a time; folds int8 [N] or None."""

    outputs: NDArray[np.floating]
    kind: str
    calibration: Calibration
    folds: NDArray[np.int8] | None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.outputs.shape

    def __getitem__(self, units: slice) -> NDArray[np.floating]:
        folds = None if self.folds is None else self.folds[units]
        return self.calibration.rows(as_logits(self.outputs[units].astype(np.float32, copy=False), self.kind), folds)


def outputs(
    store: LogitStore, split: str, card: StoredCard, rows: NDArray[np.int64] | None = None
) -> NDArray[np.floating] | CalibratedRows:
    """Outputs [N, C] of a model, float32 or float16, calibrated as its card says; of these units of the split only."""
    stored = store.outputs(card.model, split)
    folds = None if card.calibration is None else _folds(store, split, card)
    if rows is not None:
        stored, folds = stored[rows], None if folds is None else folds[rows]
    return stored if card.calibration is None else CalibratedRows(stored, card.kind, card.calibration, folds)


def scores(
    store: LogitStore, split: str, card: StoredCard, name: str, rows: NDArray[np.int64] | None = None
) -> NDArray[np.float32]:
    """A stored confidence [N] of a model, calibrated as its card says; of these units of the split only."""
    stored = store.scores(card.model, split, name)
    if card.calibration is not None and card.kind == "answers":
        fitted = card.calibration.scores(stored, _folds(store, split, card)).astype(np.float32)
        stored = np.where(np.abs(stored) < LARGEST, fitted, stored)  # units without an answer keep LEAST or LARGEST
    return stored if rows is None else stored[rows]


def row_kind(card: StoredCard) -> str:
    """Kind of the rows: calibrated probabilities have become logits."""
    return "logits" if card.calibration is not None and card.kind == "probabilities" else card.kind


def _folds(store: LogitStore, split: str, card: StoredCard) -> NDArray[np.int8] | None:
    """Folds of the units if the calibration was fitted on them, else None."""
    calibration, contents = card.calibration, card.contents
    if calibration is None or calibration.content != contents.content or not calibration.folds:
        return None
    return _folds_of(tuple(store.unit_ids(split)))


@lru_cache(maxsize=2)  # asked for by every model of a split, at every walk over its units
def _folds_of(unit_ids: tuple[str, ...]) -> NDArray[np.int8]:
    return unit_folds(unit_ids)


def require_calibrated(cards: Sequence[StoredCard], split: str) -> None:
    """Raise unless every model has a calibration fitted on this split."""
    if missing := [card.model for card in cards if card.calibration is None]:
        named = ", ".join(missing[:4]) + (f" and {len(missing) - 4} more" if len(missing) > 4 else "")
        of_split = "" if split == "val" else f" --split {split}"
        raise AbsentError(
            f"not calibrated on {split}: {named}; run `wisecommittee calibrate --model '*' --method "
            f"temperature{of_split}`, or choose models with {option('models')}"
        )


def recorded(card: StoredCard) -> dict[str, Any] | None:
    """The part of a member's calibration that a committee records: all that it needs to run, without the folds."""
    return None if card.calibration is None else card.calibration.without_folds().to_json()


def as_chosen(
    card: StoredCard, member: Mapping[str, Any], store: LogitStore, split: str, *, force: bool = False
) -> StoredCard:
    """The card with the calibration a committee records of this member, and no other.

    Raises if the store has exchanged the calibration since, unless `force`. For the outputs that it was fitted on, the
    calibration of the store is taken, which has the folds.
    """
    if not member.get("calibration"):
        return card.with_calibration(None)
    try:
        chosen = Calibration.from_json(member["calibration"])
    except StoreError as error:
        raise CommitteeError(f"{card.model}: {error}") from error
    same_outputs = card.contents.content == chosen.content
    holder = (
        card if same_outputs else store.read_card(chosen.split, card.model) if store.has_split(chosen.split) else None
    )
    now = holder.calibration if holder and holder.contents.content == chosen.content else None
    if now is not None and now.digest == chosen.digest:
        return card.with_calibration(now)
    if not force and (now is not None or same_outputs):
        now_text = f"now {now.method}" if now else "since removed"
        raise CommitteeError(
            f"{card.model}: its {chosen.method} calibration differs from the one the committee was chosen with "
            f"({now_text}); search again, or use the committee's own with {option('force', True)}"
        )
    return card.with_calibration(chosen)

"""Rows on their way into a store, checked once: all rows of a model together, or batch by batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace as with_fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wisecommittee.committees.cards import Contents, ModelCard, StoredCard
from wisecommittee.errors import AlignmentError, ContentError, counted
from wisecommittee.store import checks
from wisecommittee.store.admission import Admission
from wisecommittee.store.card_files import encode_card
from wisecommittee.store.layout import check_split_name
from wisecommittee.store.preparing import prepared
from wisecommittee.store.rows import ModelRows, check_values
from wisecommittee.store.units import SplitUnits

ColumnNames = tuple[
    tuple[str, ...], tuple[str, ...], bool
]  # names of scores and unit costs, whether answers are graded


@dataclass(frozen=True, slots=True)
class CheckedModel:
    """A model that has passed every check of the store and can be written.

    rows : outputs in any floating type, stored as dtype 'float32' or 'float16'; labels : int64 or text [N]. units : the
    units of the split, which rows and labels were compared with; None while the split has no model.
    """

    card: ModelCard
    split: str
    rows: ModelRows
    labels: NDArray[np.generic]
    dtype: str
    units: SplitUnits | None

    @property
    def what(self) -> str:
        return f"{self.card.model} in {self.split}"

    @property
    def classes(self) -> int | None:
        return None if self.rows.outputs is None else int(self.rows.outputs.shape[1])

    @property
    def stored_card(self) -> StoredCard:
        """The card of the written model, without its parts and hashes."""
        graded = self.rows.quality is not None
        return self.card.with_contents(Contents(len(self.rows), self.classes, self.dtype, "", graded=graded))


def checked(
    admission: Admission, card: ModelCard, split: str, rows: ModelRows, labels: ArrayLike, dtype: str
) -> CheckedModel:
    """Check a model that is about to enter a split; changes nothing in the store.

    Logits of -inf and half-precision probabilities are converted to their stored values (preparing.py).
    """
    card = card.without_contents()
    what = f"{card.model} in {split}"
    check_split_name(split)
    encode_card(card)
    checks.check_dtype(dtype, what)
    given = checks.as_labels(labels, what)
    if rows.outputs is not None:
        rows = with_fields(rows, outputs=prepared(rows.outputs, given, card.kind, what, dtype))
    for noun, values in (("unit ids", rows.unit_ids), ("outputs", rows.outputs), ("answers", rows.answers)):
        if values is not None and len(values) != len(given):
            raise AlignmentError(
                f"{what}: {len(values):,} {noun}, {counted(len(given), 'label')}; expected one for each unit"
            )
    checks.check_unit_ids(rows.unit_ids, what)
    known = _check_rows(what, card.kind, rows, given, dtype=dtype, whole=True)
    if not len(rows):
        raise ContentError(f"{what}: no units; expected at least one")
    units = admission.catalog.units(split) if admission.catalog.has_split(split) else None
    model = CheckedModel(card, split, rows, known, dtype, units)
    admission.check(split, card, model.classes, graded=rows.quality is not None)
    if units is not None:
        units.check_rows(what, rows.unit_ids, known, whole=True)
    return model


def _check_rows(
    what: str, kind: str, rows: ModelRows, labels: ArrayLike, *, dtype: str, first: int = 0, whole: bool = False
) -> NDArray[np.generic]:
    """Rows and labels by themselves; returns the labels as stored. first : the number of the first row in messages;
    whole : these are all rows of the model."""
    check_values(what, kind, rows, dtype=dtype, first=first, warn=whole)
    classes, graded = None if rows.outputs is None else int(rows.outputs.shape[1]), rows.quality is not None
    known = checks.check_labels(labels, checks.labelled_classes(kind, classes), what, graded=graded, whole=whole)
    if len(known) != len(rows):
        raise AlignmentError(f"{what}: {len(rows):,} rows with {len(known):,} labels; expected one for each")
    if kind == "cell_counts" and rows.outputs is not None:
        checks.check_pixels(rows.outputs, known, what)
    return known


class BatchChecks:
    """The same checks of a model whose rows come in batches: each batch by itself, and all of them together.

    seen : ids of the units that have come so far; columns : of every batch, None before the first.
    """

    def __init__(
        self,
        admission: Admission,
        card: ModelCard,
        split: str,
        classes: int | None,
        dtype: str,
        units: SplitUnits | None,
    ) -> None:
        self._admission, self._card, self._split = admission, card, split
        self._classes, self._dtype, self._units = classes, dtype, units
        self._what = f"{card.model} in {split}"
        self.seen: set[str] = set()
        self.columns: ColumnNames | None = None

    def check(self, rows: ModelRows, labels: ArrayLike) -> NDArray[np.generic]:
        """Check a batch; returns its labels as stored."""
        what = self._what
        classes = None if rows.outputs is None or rows.outputs.ndim != 2 else rows.outputs.shape[1]
        if rows.outputs is not None and classes not in (None, self._classes):
            raise ContentError(f"{what}: {classes} classes; expected {self._classes or 'answers'}, as announced")
        known = _check_rows(what, self._card.kind, rows, labels, dtype=self._dtype, first=len(self.seen))
        if self.columns not in (None, rows.columns):
            raise ContentError(f"{what}: columns {rows.columns} after {self.columns}; expected the same in all rows")
        if self.columns is None:
            self._admission.check(self._split, self._card, self._classes, graded=rows.quality is not None)
        if self._units is not None:
            self._units.check_rows(what, rows.unit_ids, known, whole=False)
        checks.check_unit_ids(rows.unit_ids, what)
        self._check_new(rows.unit_ids)
        self.columns = rows.columns
        self.seen.update(rows.unit_ids)
        return known

    def _check_new(self, unit_ids: Sequence[str]) -> None:
        if not self.seen.isdisjoint(unit_ids):
            twice = next(unit for unit in unit_ids if unit in self.seen)
            raise AlignmentError(f"{self._what}: unit id {twice!r} stands more than once; every unit needs one row")

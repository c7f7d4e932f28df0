"""The units of a split, which all its models share: ids, in the order of every array, and labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.cards import StoredCard
from wisecommittee.errors import AlignmentError, counted
from wisecommittee.store import checks
from wisecommittee.store.storage.files import Stamp


@dataclass(frozen=True, slots=True)
class SplitUnits:
    """The units of one split, as units.parquet has them.

    file : name of units.parquet in messages; stamp : of the file when it was read. index : {unit id: row}; labels :
    int64 or text [N]; hash : of both, as every card of the split records it. labelled : the (number of classes, whether
    answers are graded) that the labels were checked for and fit.
    """

    file: str
    stamp: Stamp
    index: dict[str, int]
    labels: NDArray[np.generic]
    hash: str
    labelled: set[tuple[int | None, bool]] = field(default_factory=set)

    def check_card(self, card: StoredCard, split: str) -> None:
        """Raise unless the model was written for these units, and their labels are classes that it has."""
        contents = card.contents
        if contents.rows != len(self.index):
            raise AlignmentError(
                f"{card.model}: {counted(contents.rows, f'{split} unit')}, the split has {len(self.index):,}; "
                f"extract or import it again"
            )
        if contents.units != self.hash:
            raise AlignmentError(
                f"{self.file} is not what it was when {card.model} was written; restore it, or remove the models of "
                f"{split} and import them again"
            )
        labelled = checks.labelled_classes(card.kind, contents.classes), contents.graded
        if labelled not in self.labelled:
            checks.check_labels(self.labels, labelled[0], self.file, graded=labelled[1], whole=True)
            self.labelled.add(labelled)

    def check_rows(self, what: str, unit_ids: Sequence[str], labels: NDArray[np.generic], *, whole: bool) -> None:
        """Raise unless every row is one of these units with its label; whole : every unit must also have a row."""
        check_against_units(what, unit_ids, labels, self.index, self.labels)
        if whole and len(unit_ids) != len(self.index):
            raise missing_units(what, unit_ids, self.index)


def check_against_units(
    what: str,
    unit_ids: Sequence[str],
    labels: NDArray[np.generic],
    units: Mapping[str, int],
    known: NDArray[np.generic] | None,
) -> None:
    """Every id is one of the split's units and has the label the split has for it."""
    try:
        rows = np.fromiter((units[unit] for unit in unit_ids), dtype=np.int64, count=len(unit_ids))
    except KeyError as error:
        raise AlignmentError(
            f"{what}: unit {error.args[0]!r} is not one of the split's {len(units):,} units; "
            f"the models of a split see the same units, use another split for other data"
        ) from None
    if known is None or len(rows) == 0:
        return
    expected = known[rows]
    alike = expected.dtype.kind == labels.dtype.kind
    differs = np.flatnonzero(expected != labels if alike else expected.astype(np.str_) != labels.astype(np.str_))
    if len(differs):
        first = differs[0]
        raise AlignmentError(
            f"{what}: unit {unit_ids[first]!r} has label {labels[first]}, the split says {expected[first]} "
            f"({len(differs):,} in all); use another split, or remove its models first"
        )


def missing_units(what: str, unit_ids: Iterable[str], units: Mapping[str, int]) -> AlignmentError:
    """The error of a model that lacks some of the split's units."""
    given = set(unit_ids)
    first = next((unit for unit in units if unit not in given), None)
    return AlignmentError(
        f"{what}: {counted(len(given), 'unit')}, the split has {len(units):,} (first missing: {first!r}); "
        f"give every unit, or use another split"
    )

"""The columns of a committed model as arrays in unit order, decoded from its parts and checked on the way."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.cards import StoredCard
from wisecommittee.errors import AlignmentError, StoreError, counted, option
from wisecommittee.store import checks
from wisecommittee.store.cache import Positions, cached
from wisecommittee.store.catalog import Catalog
from wisecommittee.store.layout import model_folder
from wisecommittee.store.parquet import parts
from wisecommittee.store.parquet.row_groups import check_expansion
from wisecommittee.store.rows import ModelRows, check_values


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A committed model of one split, whose parts hold what `card` says."""

    catalog: Catalog
    card: StoredCard
    split: str

    @property
    def what(self) -> str:
        return f"{self.card.model} in {self.split}"

    def column(
        self,
        name: str,
        dtype: type[np.floating] | np.dtype,
        pick: Callable[[ModelRows], NDArray[Any] | None],
        *tail: int,
    ) -> NDArray[Any]:
        """A column [N, *tail] in unit order, memory-mapped from the decoded cache; read-only.

        name : name of the column in the cache; pick : returns the column of given rows.
        """
        described = self.card.with_calibration(None).to_json()["contents"]
        identity = json.dumps([self.card.kind, described, self.catalog.units(self.split).hash, name, tail])
        key = hashlib.sha256(identity.encode()).hexdigest()[:40]
        shape = (self.card.contents.rows, *tail)
        return cached(key, shape, np.dtype(dtype), lambda: self.blocks(pick), self.what)

    def blocks(self, pick: Callable[[ModelRows], Any]) -> Iterator[tuple[Positions, Any]]:
        """Yields (positions in unit order, values) for every row group; raises unless every unit occurs once."""
        self._check_claim()
        units = self.catalog.units(self.split)
        filled = np.zeros(len(units.index), dtype=bool)
        for rows in self.row_groups():
            try:
                positions = np.fromiter((units.index[unit] for unit in rows.unit_ids), dtype=np.int64, count=len(rows))
            except KeyError as error:
                raise AlignmentError(
                    f"{self.what}: unit {error.args[0]!r} is not in the split; extract or import it again"
                ) from None
            if filled[positions].any() or len(np.unique(positions)) != len(positions):
                raise AlignmentError(f"{self.what}: a unit id stands more than once; extract or import it again")
            filled[positions] = True
            if self.card.kind == "cell_counts" and rows.outputs is not None:
                checks.check_pixels(rows.outputs, units.labels[positions], self.what)
            if len(positions) and np.array_equal(positions, np.arange(positions[0], positions[0] + len(positions))):
                yield slice(int(positions[0]), int(positions[0]) + len(positions)), pick(rows)
            else:
                yield positions, pick(rows)
        if not filled.all():
            missing = f"{(~filled).sum():,} of {counted(len(filled), 'unit')} missing"
            raise AlignmentError(f"{self.what}: {missing}; extract or import it again")

    def row_groups(self) -> Iterator[ModelRows]:
        """The rows as they are stored, by row groups; raises unless they are what the card says."""
        contents, folder = self.card.contents, model_folder(self.split, self.card.model)
        columns = (tuple(sorted(contents.scores)), tuple(sorted(contents.unit_costs)), contents.graded)
        remedy = f"extract or import {self.card.model} again with {option('replace', True)}"
        for part in contents.parts:
            path = f"{folder}/{part.file}"
            file = self.catalog.files.uri_of(path)
            total = 0
            for rows in parts.decode(self._read(path, part.sha256), file, contents.classes):
                if rows.columns != columns:
                    raise StoreError(f"{file}: columns {rows.columns}; its card says {columns}; {remedy}")
                check_values(file, self.card.kind, rows, first=total)
                total += len(rows)
                yield rows
            if total != part.rows:
                raise StoreError(f"{file}: {counted(total, 'row')}; its card says {part.rows:,}; {remedy}")

    def _read(self, path: str, sha256: str) -> bytes:
        """The bytes of a part, checked to have that hash."""
        try:
            data = self.catalog.files.read(path)
        except FileNotFoundError:
            data = b""
        if data and hashlib.sha256(data).hexdigest() == sha256:
            return data
        if self.catalog.read_card(self.split, self.card.model) != self.card:
            raise StoreError(f"{self.what} was replaced while it was read; run again")
        raise StoreError(
            f"{self.catalog.files.uri_of(path)} {'changed since it was written' if data else 'is missing'}; "
            f"extract or import {self.card.model} again with {option('replace', True)}"
        )

    def _check_claim(self) -> None:
        """Raise unless the unpacked size that the card claims is plausible for the size of the parts; nothing is
        unpacked yet."""
        contents, folder = self.card.contents, model_folder(self.split, self.card.model)
        stamps = (self.catalog.files.stamp(f"{folder}/{part.file}") for part in contents.parts)
        sizes = [stamp[1] for stamp in stamps if stamp is not None]
        width = (contents.classes or 1) * np.dtype(contents.dtype).itemsize
        if len(sizes) == len(contents.parts):  # else the first missing part is named where it is read
            check_expansion(contents.rows * width, sum(sizes), self.what)

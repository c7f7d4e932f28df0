"""Rows of any number -> parts of whole row groups, compressed as soon as a group is full."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.store.content import content_sum
from wisecommittee.store.parquet import parts
from wisecommittee.store.rows import ModelRows, join

Labelled = tuple[ModelRows, NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class EncodedPart:
    """The Parquet bytes of a part, and the ids and labels of its units."""

    data: memoryview
    unit_ids: list[str]
    labels: NDArray[np.generic]


class PartBuffer:
    """Holds the rows of at most one row group, and the compressed bytes of the groups before it in the same part.

    group_rows, part_rows : rows of a full group and of a full part. content : sum of the rows' hashes so far.
    """

    def __init__(self, dtype: np.dtype, group_rows: int, part_rows: int) -> None:
        self._dtype, self._group_rows, self._part_rows = dtype, group_rows, part_rows
        self._waiting: list[Labelled] = []
        self._waiting_rows = 0
        self._encoder = parts.Encoder()
        self._encoded: list[tuple[list[str], NDArray[np.generic]]] = []
        self.content = 0

    def add(self, rows: ModelRows, labels: NDArray[np.generic]) -> Iterator[EncodedPart]:
        """Take rows; yields every part that they fill."""
        start = 0
        while start < len(rows):
            room = min(self._group_rows, self._part_rows - self._encoder.rows) - self._waiting_rows
            stop = min(len(rows), start + room)
            is_full = stop - start == room
            piece = rows.slice(start, stop).stored(self._dtype)
            # Rows that wait for the next call have to outlive the caller's buffer.
            self._waiting.append((piece if is_full else piece.copy(), labels[start:stop]))
            self._waiting_rows += stop - start
            if is_full:
                self._encode()
            if self._encoder.rows == self._part_rows:
                yield self._part()
            start = stop

    def rest(self) -> Iterator[EncodedPart]:
        """The last part, of fewer rows, if any rows are left."""
        if self._waiting:
            self._encode()
        if self._encoder.rows:
            yield self._part()

    def _encode(self) -> None:
        rows = join([rows for rows, _ in self._waiting])
        self._encoded.append((rows.unit_ids, np.concatenate([labels for _, labels in self._waiting])))
        self._encoder.add(rows)
        self.content += content_sum(rows)
        self._waiting, self._waiting_rows = [], 0

    def _part(self) -> EncodedPart:
        unit_ids = [unit for ids, _ in self._encoded for unit in ids]
        labels = np.concatenate([labels for _, labels in self._encoded])
        part = EncodedPart(self._encoder.close(), unit_ids, labels)
        self._encoder, self._encoded = parts.Encoder(), []
        return part

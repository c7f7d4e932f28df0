"""A split of data as batches, the same ones in the same order at every pass."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass
from dataclasses import replace as with_fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader, IterableDataset

from wisecommittee.errors import ContentError, UsageError, WiseCommitteeError, option
from wisecommittee.extraction.data.batch import Batch, array_batches, as_batch, is_arrays, is_map_style
from wisecommittee.extraction.data.images import Corrupt, ImageItems
from wisecommittee.extraction.data.labels import drawn
from wisecommittee.extraction.data.loading import Preprocessing, find_corrupt, load


@dataclass(frozen=True, slots=True)
class Data:
    """A split as batches, the same ones in the same order at every pass.

    spec : text that identifies it in cards; make : returns the data anew for each pass; units : number of units, None
    if unknown; limit : most units wanted; workers : loading processes for a Dataset of items; images : whether items
    are pictures, which every model preprocesses in its own way; classes : their names in the order of the labels;
    corrupt : units left out, see `without_corrupt`; random_access : whether rows can be read without the rows before
    them; chosen : rows that are used, ascending, None for all.
    """

    spec: str
    make: Callable[[], Any]
    units: int | None
    limit: int | None = None
    workers: int = 0
    images: bool = False
    classes: tuple[str, ...] | None = None
    corrupt: tuple[Corrupt, ...] = ()
    random_access: bool = False
    chosen: NDArray[np.int64] | None = None

    @property
    def what(self) -> str:
        return f"data {self.spec!r}"

    def limited(self, limit: int | None) -> Data:
        """At most `limit` units, the same ones at every call: a proportional share of every class if labels are known
        beforehand, else spread over the data; of a stream, the first units. Corrupt units count."""
        if limit is None:
            return self
        if limit < 1:
            raise UsageError(f"limit {limit}: expected at least 1 unit")
        limited = with_fields(self, limit=limit, units=None if self.units is None else min(limit, self.units))
        if not self.random_access:
            return limited
        rows, known = self._rows(self._count()), self.known()
        if limit >= len(rows):
            return limited
        return with_fields(limited, chosen=rows[drawn(len(rows), limit, None if known is None else known[1])])

    def only(self, unit_ids: Container[str]) -> Data:
        """Only the units with these ids, if ids are known beforehand and any unit has one of them; else all units."""
        known = self.known()
        if known is None:
            return self
        kept = np.array([unit in unit_ids for unit in known[0]])
        if kept.all() or not kept.any():
            return self
        rows = self._rows(self._count())[kept]
        return with_fields(self, chosen=rows, units=len(rows), corrupt=())

    def without_corrupt(self, images: Iterable[Corrupt]) -> Data:
        """The data without these units. Which units are corrupt is decided once, before the first model, so that all
        models see the same units."""
        corrupt = tuple(sorted(images, key=lambda unit: unit.row))
        units = len(self._rows(self._count())) - len(corrupt)
        if units < 1:
            raise ContentError(f"{self.what}: none of its {len(corrupt):,} images can be decoded, first {corrupt[0]}")
        return with_fields(self, corrupt=corrupt, units=units)

    def find_corrupt(self, rank: int = 0, ranks: int = 1) -> list[Corrupt]:
        """Decode every image once, without a model; one of several ranks looks at its share of them."""
        items = self.make()
        if not isinstance(items, ImageItems):
            raise UsageError(
                f"{self.what}: "
                f"{option('skip_corrupt', True)} is for imagefolder: and parquet:, where this package decodes "
                f"the images; "
                f"leave broken units out in its own code"
            )
        return find_corrupt(items, self._rows(len(items))[rank::ranks], self.workers)

    def known(self) -> tuple[list[str], NDArray[np.generic]] | None:
        """Unit ids and labels [units] if they are known without reading the data."""
        items = self.make()
        if isinstance(items, ImageItems):
            rows = self._rows(len(items))
            return [items.unit_ids[row] for row in rows], items.labels[rows]
        if is_arrays(items):
            batch = as_batch((np.zeros((len(items[0]), 1)), *items[1:]), 0, self.spec)
            rows = self._rows(len(batch))
            return [batch.unit_ids[row] for row in rows], batch.labels[rows]
        return None

    def batches(
        self,
        batch_size: int,
        skip: int = 0,
        stop: int | None = None,
        *,
        preprocess: Preprocessing | None = None,
        pin: bool = False,
    ) -> Iterator[Batch]:
        """Batches from the one with unit `skip` on, up to unit `stop`.

        Boundaries depend on neither, so neither do the bits. preprocess : image -> tensor, where items are images;
        it runs in the loading processes. pin : into page-locked memory, for a quick way to a GPU.
        """
        items = self.make()
        first = skip // batch_size * batch_size
        if is_arrays(items):
            last = min(bound for bound in (len(items[0]), self.limit, stop) if bound is not None)
            batches: Iterable[Any] = array_batches(items, self.chosen, batch_size, first, last)
        elif is_map_style(items):
            rows = self._rows(len(items))[first:stop]
            batches = load(items, rows, batch_size, self.workers, preprocess, self.spec, pin=pin)
        else:
            first = 0
            batches = DataLoader(items, batch_size) if isinstance(items, IterableDataset) else items
        start = first
        iterator = iter(batches)
        end = min((bound for bound in (self.limit, stop) if bound is not None), default=None)
        while end is None or start < end:
            try:
                item = next(iterator)
            except StopIteration:
                return
            except WiseCommitteeError:
                raise
            except Exception as error:
                raise WiseCommitteeError(
                    f"{self.what}: reading after row {start:,} raised {type(error).__name__}: {error}"
                ) from error
            batch = as_batch(item, start, self.spec)
            if end is not None and batch.stop > end:
                batch = batch.head(end - start)
            start = batch.stop
            if batch.stop > skip:
                yield batch

    def _rows(self, count: int) -> NDArray[np.int64]:
        """The rows that are used, out of `count` rows."""
        rows = np.arange(count) if self.chosen is None else self.chosen
        return rows[~np.isin(rows, [unit.row for unit in self.corrupt])] if self.corrupt else rows

    def _count(self) -> int:
        """Number of rows, used or not."""
        items = self.make()
        return len(items[0]) if is_arrays(items) else len(items)

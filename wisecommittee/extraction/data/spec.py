"""Data specs -> batches in a fixed order. One entry of SOURCES per scheme; without a known scheme it names Python code.

digits[:SPLIT]           scikit-learn's digits with noise; SPLIT is train, val or test, by default the split written to
imagefolder:DIR          images in one folder per class (data_images.py)
parquet:FILE             images in Parquet files as Hugging Face writes them (data_parquet.py)
npz:FILE                 arrays of numbers or pixels (data_arrays.py)
package.module:factory   a callable returning (or an object being) a Dataset of (x, y) or (x, y, unit_id) items, an
                         iterable of batches (x, y) or (x, y, ids) such as a DataLoader, or a tuple of arrays
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from dataclasses import replace as with_fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler

from wisecommittee.errors import AlignmentError, ContentError, UsageError, WiseCommitteeError, option
from wisecommittee.extraction.data.arrays import open_npz
from wisecommittee.extraction.data.digits import digits
from wisecommittee.extraction.data.images import Corrupt, ImageFolder, ImageItems
from wisecommittee.extraction.data.labels import class_file, drawn, split_settings
from wisecommittee.extraction.data.loading import Preprocessing, find_corrupt, load
from wisecommittee.extraction.models.python_code import located
from wisecommittee.extraction.models.spec import call, check_scheme, find_object


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows start .. start + n of a split: inputs [n, ..], labels [n], unit ids [n] text."""

    start: int
    inputs: torch.Tensor
    labels: NDArray[np.generic]
    unit_ids: list[str]

    def __len__(self) -> int:
        return len(self.unit_ids)

    @property
    def stop(self) -> int:
        return self.start + len(self)

    def head(self, rows: int) -> Batch:
        return Batch(self.start, self.inputs[:rows], self.labels[:rows], self.unit_ids[:rows])


@dataclass(frozen=True, slots=True)
class Data:
    """A split as batches, the same ones in the same order at every pass.

    spec : text that identifies it in cards; make : gives the data anew for each pass; units : how many, None if
    unknown; limit : how many were asked for at most; workers : loading processes for a Dataset of items; images : items
    are pictures, which every model preprocesses in its own way; classes : their names in the order of the labels;
    corrupt : units left out, see `without_corrupt`; random_access : a part can be read without what stands before;
    chosen : rows that are used, ascending, None for all.
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
        """At most `limit` units, always the same: of every class its share where labels are known beforehand, else
        from all over the data; of a stream the first. Corrupt ones count."""
        if limit is None:
            return self
        if limit < 1:
            raise UsageError(f"limit {limit}: expected at least 1 unit")
        made = with_fields(self, limit=limit, units=None if self.units is None else min(limit, self.units))
        if not self.random_access:
            return made
        rows, known = self._rows(self._count()), self.known()
        if limit >= len(rows):
            return made
        return with_fields(made, chosen=rows[drawn(len(rows), limit, None if known is None else known[1])])

    def only(self, unit_ids: Container[str]) -> Data:
        """Only the units with these ids, where ids are known beforehand and there are such units; else all."""
        known = self.known()
        if known is None:
            return self
        kept = np.array([unit in unit_ids for unit in known[0]])
        if kept.all() or not kept.any():
            return self
        rows = self._rows(self._count())[kept]
        return with_fields(self, chosen=rows, units=len(rows), corrupt=())

    def without_corrupt(self, found: Iterable[Corrupt]) -> Data:
        """Without these units. What counts as corrupt is settled once, before the first model: all see the same."""
        corrupt = tuple(sorted(found, key=lambda unit: unit.row))
        units = len(self._rows(self._count())) - len(corrupt)
        if units < 1:
            raise ContentError(f"{self.what}: none of its {len(corrupt):,} images can be decoded, first {corrupt[0]}")
        return with_fields(self, corrupt=corrupt, units=units)

    def find_corrupt(self, rank: int = 0, ranks: int = 1) -> list[Corrupt]:
        """Decode every image once, without a model; one of several ranks looks at its share of them."""
        items = self.make()
        if not isinstance(items, ImageItems):
            raise UsageError(
                f"{self.what}: {option('skip_corrupt', True)} is for imagefolder: and parquet:, where this package "
                "decodes the images; leave broken units out in its own code"
            )
        return find_corrupt(items, self._rows(len(items))[rank::ranks], self.workers)

    def known(self) -> tuple[list[str], NDArray[np.generic]] | None:
        """Unit ids and labels [units] if they are known without reading the data."""
        items = self.make()
        if isinstance(items, ImageItems):
            rows = self._rows(len(items))
            return [items.unit_ids[row] for row in rows], items.labels[rows]
        if _is_arrays(items):
            batch = _as_batch((np.zeros((len(items[0]), 1)), *items[1:]), 0, self.spec)
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
        if _is_arrays(items):
            last = min(bound for bound in (len(items[0]), self.limit, stop) if bound is not None)
            batches: Iterable[Any] = _array_batches(items, self.chosen, batch_size, first, last)
        elif _is_map_style(items):
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
            batch = _as_batch(item, start, self.spec)
            if end is not None and batch.stop > end:
                batch = batch.head(end - start)
            start = batch.stop
            if batch.stop > skip:
                yield batch

    def _rows(self, count: int) -> NDArray[np.int64]:
        """The rows that are used, of `count`."""
        rows = np.arange(count) if self.chosen is None else self.chosen
        return rows[~np.isin(rows, [unit.row for unit in self.corrupt])] if self.corrupt else rows

    def _count(self) -> int:
        """Rows that there are, used or not."""
        items = self.make()
        return len(items[0]) if _is_arrays(items) else len(items)


# A source gets the spec, the part after its scheme and the split written to; it gives what `make` returns.
Source = Callable[[str, str, str], Any]


def _digits(spec: str, rest: str, split: str) -> Any:
    return digits(rest or split)


def _image_folder(spec: str, rest: str, split: str) -> Any:
    path, settings = split_settings(rest, ("classes",), "imagefolder")
    return ImageFolder(path, class_file(settings))


def _parquet(spec: str, rest: str, split: str) -> Any:
    from wisecommittee.extraction.data.parquet import ParquetImages

    path, settings = split_settings(rest, ("image", "label", "id", "classes"), "parquet")
    columns = {name: settings.get(name) for name in ("image", "label", "id")}
    return ParquetImages(path, **columns, classes=class_file(settings))


def _npz(spec: str, rest: str, split: str) -> Any:
    path, settings = split_settings(rest, ("classes",), "npz")
    return open_npz(path, class_file(settings))


SOURCES: dict[str, Source] = {"digits": _digits, "imagefolder": _image_folder, "parquet": _parquet, "npz": _npz}
FORMS = ("digits[:SPLIT]", "imagefolder:DIR", "parquet:FILE", "npz:FILE")


def open_data(spec: str, split: str, *, limit: int | None = None, workers: int = 0) -> Data:
    """The data a spec stands for; `split` is the split of the store it will be written to."""
    scheme, colon, rest = spec.partition(":")
    if scheme in SOURCES:
        if not rest and scheme != "digits":
            raise UsageError(f"data {spec!r}: expected {', '.join(FORMS)}")
        items = SOURCES[scheme](spec, rest, split)
        make: Callable[[], Any] = lambda: items  # noqa: E731
        spec = spec if colon else f"{spec}:{split}"
    elif not colon:
        raise UsageError(f"data {spec!r}: expected package.module:factory or {', '.join(FORMS)}")
    else:
        check_scheme("data source", scheme, SOURCES)
        found = find_object(spec, spec)
        if isinstance(found, (Dataset, DataLoader, tuple, list)) or not callable(found):
            make = lambda: found  # noqa: E731
        else:
            make = lambda: call(found, spec)  # noqa: E731
    return wrap_data(make, spec, limit=limit, workers=workers)


def program_in_data(spec: str) -> str | None:
    """Which code runs when a data spec is opened, in words; None where that is this package only."""
    scheme, colon, _ = spec.partition(":")
    return located(spec) if colon and scheme not in SOURCES else None


def wrap_data(make: Callable[[], Any], spec: str, *, limit: int | None = None, workers: int = 0) -> Data:
    """Data made in Python, ready for `extract`. Checked once here; batches that can be used up are made anew later."""
    if workers < 0:
        raise UsageError(f"{workers} workers; expected 0 or more")
    items = make()
    if isinstance(items, DataLoader):
        _check_loader(items, spec)
    units: int | None = None
    if _is_arrays(items):
        lengths = [len(part) for part in items]
        if len(set(lengths)) != 1:
            raise AlignmentError(f"data {spec!r}: arrays of {lengths} rows; expected one label (and id) for each row")
        units = lengths[0]
    elif _is_map_style(items):
        units = len(items)
    elif isinstance(items, DataLoader) and not isinstance(items.dataset, IterableDataset):
        units = len(items.dataset)  # type: ignore[arg-type]
    elif not isinstance(items, Iterable):
        raise UsageError(
            f"data {spec!r}: a {type(items).__name__}; "
            f"expected a Dataset, an iterable of batches or a tuple of arrays (x, y)"
        )
    if units == 0:
        raise ContentError(f"data {spec!r}: no units; expected at least one")
    random_access = _is_arrays(items) or _is_map_style(items)
    if random_access:
        make = lambda: items  # noqa: E731
    images = isinstance(items, ImageItems) or (_is_map_style(items) and _gives_images(items, spec))
    classes = items.classes if isinstance(items, ImageItems) else None
    data = Data(spec, make, units, None, workers, images, classes, random_access=random_access)
    return data.limited(limit)


def _check_loader(loader: DataLoader[Any], spec: str) -> None:
    if isinstance(loader.sampler, RandomSampler):
        raise UsageError(f"data {spec!r}: its DataLoader shuffles, so units would not line up; use shuffle=False")
    if loader.drop_last:
        raise UsageError(f"data {spec!r}: its DataLoader drops the last units; use drop_last=False")


def _gives_images(items: Any, spec: str) -> bool:
    """Whether the first item of a Dataset is a PIL image with its label."""
    try:
        first = items[0]
    except Exception as error:
        raise WiseCommitteeError(f"data {spec!r}: reading row 0 raised {type(error).__name__}: {error}") from error
    return isinstance(first, (tuple, list)) and len(first) > 0 and type(first[0]).__module__.startswith("PIL.")


def _is_arrays(items: Any) -> bool:
    return isinstance(items, tuple) and len(items) in (2, 3) and all(hasattr(part, "__len__") for part in items)


def _is_map_style(items: Any) -> bool:
    if isinstance(items, (list, tuple, IterableDataset, DataLoader)):
        return False
    return hasattr(items, "__getitem__") and hasattr(items, "__len__")


def _array_batches(
    arrays: Sequence[Any], chosen: NDArray[np.int64] | None, batch_size: int, first: int, last: int
) -> Iterator[tuple[Any, ...]]:
    if chosen is None:
        for start in range(first, last, batch_size):
            yield tuple(part[start : start + batch_size] for part in arrays)
        return
    parts = arrays if len(arrays) == 3 else (*arrays, range(len(arrays[0])))  # a row keeps its number as its id
    for start in range(first, min(last, len(chosen)), batch_size):
        rows = chosen[start : min(last, start + batch_size)]
        yield tuple(part[rows] if hasattr(part, "shape") else [part[row] for row in rows] for part in parts)


def _as_batch(item: Any, start: int, spec: str) -> Batch:
    """(x, y[, ids]) -> Batch; without ids the row numbers."""
    if not isinstance(item, (tuple, list)) or len(item) not in (2, 3):
        shown = f"{type(item).__name__} of {len(item)}" if isinstance(item, (tuple, list)) else type(item).__name__
        raise ContentError(f"data {spec!r}: row {start} came in a {shown}; expected (x, y) or (x, y, unit_id)")
    inputs, labels = item[0], np.asarray(item[1])
    if not isinstance(inputs, torch.Tensor):
        try:
            inputs = torch.as_tensor(np.asarray(inputs))
        except (TypeError, ValueError) as error:
            shown = type(item[0]).__name__
            raise ContentError(f"data {spec!r}: inputs are {shown}; expected tensors or arrays") from error
    if labels.ndim != 1 or inputs.ndim < 2 or len(labels) != len(inputs):
        raise ContentError(
            f"data {spec!r}: after row {start} inputs of shape {list(inputs.shape)} with labels of shape "
            f"{list(labels.shape)}; expected [n, ..] and [n]"
        )
    ids = item[2] if len(item) == 3 else range(start, start + len(labels))
    unit_ids = [str(unit) for unit in (ids.tolist() if isinstance(ids, (torch.Tensor, np.ndarray)) else ids)]
    if len(unit_ids) != len(labels):
        raise AlignmentError(f"data {spec!r}: {len(unit_ids)} unit ids for {len(labels)} labels after row {start}")
    return Batch(start, inputs, labels, unit_ids)

"""Data specs -> batches in a fixed order. One entry of SOURCES per scheme; without a known scheme it names Python code.

package.module:factory   a callable returning (or an object being) a Dataset of (x, y) or (x, y, unit_id) items, an
                         iterable of batches (x, y) or (x, y, ids) such as a DataLoader, or a tuple of arrays
digits[:SPLIT]           scikit-learn's digits with noise; SPLIT is train, val or test, by default the split written to
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler, Subset

from wisecommittee.errors import AlignmentError, ContentError, UsageError, WiseCommitteeError
from wisecommittee.extract.digits import digits
from wisecommittee.extract.models import call, check_scheme, find_object


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


@dataclass(frozen=True, slots=True)
class Data:
    """A split as batches, the same ones in the same order at every pass.

    spec : text that identifies it in cards; make : gives the data anew for each pass; units : rows, None if unknown;
    limit : only the first rows; workers : loading processes for a Dataset of items.
    """

    spec: str
    make: Callable[[], Any]
    units: int | None
    limit: int | None = None
    workers: int = 0

    def batches(self, batch_size: int, skip: int = 0) -> Iterator[Batch]:
        """Batches from the one with row `skip` on; boundaries do not depend on `skip`, so neither do the bits."""
        items = self.make()
        if _is_arrays(items):
            batches: Iterable[Any] = _array_batches(items, batch_size, first := skip // batch_size * batch_size)
        elif _is_map_style(items):
            first = skip // batch_size * batch_size
            batches = DataLoader(
                Subset(items, range(first, len(items))), batch_size, num_workers=self.workers, shuffle=False
            )
        else:
            first = 0
            batches = DataLoader(items, batch_size) if isinstance(items, IterableDataset) else items
        start = first
        iterator = iter(batches)
        while self.limit is None or start < self.limit:
            try:
                item = next(iterator)
            except StopIteration:
                return
            except WiseCommitteeError:
                raise
            except Exception as error:
                raise WiseCommitteeError(
                    f"data {self.spec!r}: reading after row {start:,} raised {type(error).__name__}: {error}"
                ) from error
            batch = _as_batch(item, start, self.spec)
            if self.limit is not None and batch.stop > self.limit:
                keep = self.limit - start
                batch = Batch(start, batch.inputs[:keep], batch.labels[:keep], batch.unit_ids[:keep])
            start = batch.stop
            if batch.stop > skip:
                yield batch


Source = Callable[[str, str], Callable[[], Any]]  # (spec, split) -> make


def _digits_source(spec: str, split: str) -> Callable[[], Any]:
    part = spec.partition(":")[2] or split
    arrays = digits(part)
    return lambda: arrays


SOURCES: dict[str, Source] = {"digits": _digits_source}


def open_data(spec: str, split: str, *, limit: int | None = None, workers: int = 0) -> Data:
    """The data a spec stands for; `split` is the split of the store it will be written to."""
    if limit is not None and limit < 1:
        raise UsageError(f"limit {limit}: expected at least 1 unit")
    scheme, colon, _ = spec.partition(":")
    if scheme in SOURCES:
        make = SOURCES[scheme](spec, split)
        spec = spec if colon else f"{spec}:{split}"
    elif not colon:
        known = ", ".join(f"{source}[:SPLIT]" for source in SOURCES)
        raise UsageError(f"data {spec!r}: expected package.module:factory or {known}")
    else:
        check_scheme("data source", scheme, SOURCES)
        found = find_object(spec, spec)
        if isinstance(found, (Dataset, DataLoader, tuple, list)) or not callable(found):
            make = lambda: found  # noqa: E731
        else:
            make = lambda: call(found, spec)  # noqa: E731
    return wrap_data(make, spec, limit=limit, workers=workers)


def wrap_data(make: Callable[[], Any], spec: str, *, limit: int | None = None, workers: int = 0) -> Data:
    """Data made in Python, ready for `extract`; `make` is called at every pass. Checked once here."""
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
    if units is not None and limit is not None:
        units = min(units, limit)
    if units == 0:
        raise ContentError(f"data {spec!r}: no units; expected at least one")
    return Data(spec, make, units, limit, workers)


def _check_loader(loader: DataLoader[Any], spec: str) -> None:
    if isinstance(loader.sampler, RandomSampler):
        raise UsageError(f"data {spec!r}: its DataLoader shuffles, so units would not line up; use shuffle=False")
    if loader.drop_last:
        raise UsageError(f"data {spec!r}: its DataLoader drops the last units; use drop_last=False")


def _is_arrays(items: Any) -> bool:
    return isinstance(items, tuple) and len(items) in (2, 3) and all(hasattr(part, "__len__") for part in items)


def _is_map_style(items: Any) -> bool:
    if isinstance(items, (list, tuple, IterableDataset, DataLoader)):
        return False
    return hasattr(items, "__getitem__") and hasattr(items, "__len__")


def _array_batches(arrays: Sequence[Any], batch_size: int, first: int) -> Iterator[tuple[Any, ...]]:
    for start in range(first, len(arrays[0]), batch_size):
        yield tuple(part[start : start + batch_size] for part in arrays)


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

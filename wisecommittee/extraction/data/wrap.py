"""Data made in Python, checked once and ready for `extract`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch.utils.data import DataLoader, IterableDataset, RandomSampler

from wisecommittee.errors import AlignmentError, ContentError, UsageError, WiseCommitteeError
from wisecommittee.extraction.data.batch import is_arrays, is_map_style
from wisecommittee.extraction.data.data import Data
from wisecommittee.extraction.data.images import ImageItems


def wrap_data(make: Callable[[], Any], spec: str, *, limit: int | None = None, workers: int = 0) -> Data:
    """Data made in Python, ready for `extract`. Checked once here; batches that can be used up are made anew later."""
    if workers < 0:
        raise UsageError(f"{workers} workers; expected 0 or more")
    items = make()
    if isinstance(items, DataLoader):
        _check_loader(items, spec)
    units: int | None = None
    if is_arrays(items):
        lengths = [len(part) for part in items]
        if len(set(lengths)) != 1:
            raise AlignmentError(f"data {spec!r}: arrays of {lengths} rows; expected one label (and id) for each row")
        units = lengths[0]
    elif is_map_style(items):
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
    random_access = is_arrays(items) or is_map_style(items)
    if random_access:
        make = lambda: items  # noqa: E731
    images = isinstance(items, ImageItems) or (is_map_style(items) and _gives_images(items, spec))
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

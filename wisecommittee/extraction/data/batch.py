"""A batch of units, and the forms in which callers may give it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, IterableDataset

from wisecommittee.errors import AlignmentError, ContentError


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


def is_arrays(items: Any) -> bool:
    return isinstance(items, tuple) and len(items) in (2, 3) and all(hasattr(part, "__len__") for part in items)


def is_map_style(items: Any) -> bool:
    if isinstance(items, (list, tuple, IterableDataset, DataLoader)):
        return False
    return hasattr(items, "__getitem__") and hasattr(items, "__len__")


def array_batches(
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


def as_batch(item: Any, start: int, spec: str) -> Batch:
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

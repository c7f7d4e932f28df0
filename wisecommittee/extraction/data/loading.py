"""Items of a Dataset -> batches, read and preprocessed in loading processes, always in the order of the rows."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, default_collate

from wisecommittee.errors import ContentError, WiseCommitteeError, option
from wisecommittee.extraction.data.images import Corrupt, ImageItems

Preprocessing = Callable[[Any], Any]  # image -> tensor
PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


@dataclass(frozen=True, slots=True)
class _Failed:
    """An error on its way out of a loading process."""

    message: str
    wrong_content: bool = False


def load(
    items: Any,
    rows: NDArray[np.int64],
    batch_size: int,
    workers: int,
    preprocess: Preprocessing | None,
    spec: str,
    *,
    pin: bool = False,
) -> Iterator[tuple[Any, ...]]:
    """Batches (inputs, labels, unit ids) of these rows of a map-style Dataset."""
    for batch in _loaded(_Rows(items, rows, preprocess), batch_size, workers, pin=pin):
        if isinstance(batch, _Failed):
            raise (ContentError if batch.wrong_content else WiseCommitteeError)(f"data {spec!r}: {batch.message}")
        yield batch


def find_corrupt(items: ImageItems, rows: NDArray[np.int64], workers: int) -> list[Corrupt]:
    """Decode these rows and keep none of them."""
    corrupt: list[Corrupt] = []
    for batch in _loaded(_Probed(items, rows), 64, workers):
        if isinstance(batch, _Failed):
            raise WiseCommitteeError(batch.message)
        corrupt += batch
    return corrupt


class _Rows(Dataset[Any]):
    """Chosen rows of a Dataset; a whole batch is read at a time, and comes out collated or _Failed."""

    def __init__(self, items: Any, rows: NDArray[np.int64], preprocess: Preprocessing | None) -> None:
        self.items, self.rows, self.preprocess = items, rows, preprocess

    def __len__(self) -> int:
        return len(self.rows)

    def __getitems__(self, indices: Sequence[int]) -> Any:
        rows = [int(self.rows[index]) for index in indices]
        try:
            read = self._read(rows)
            corrupt = [item[0] for item in read if isinstance(item, (tuple, list)) and isinstance(item[0], Corrupt)]
            if corrupt:
                return _refusal(corrupt, rows)
            if self.preprocess is not None:
                read = [(self._prepared(item, row), *item[1:]) for item, row in zip(read, rows, strict=True)]
            if all(isinstance(item, (tuple, list)) and len(item) == 2 for item in read):
                read = [(*item, str(row)) for item, row in zip(read, rows, strict=True)]
            return default_collate(read)
        except WiseCommitteeError as error:
            return _Failed(str(error), isinstance(error, ContentError))
        except Exception as error:
            return _Failed(f"reading rows {rows[0]:,} to {rows[-1]:,} raised {type(error).__name__}: {error}")

    def _read(self, rows: list[int]) -> list[Any]:
        if callable(several := getattr(self.items, "__getitems__", None)):
            return list(several(rows))
        read = []
        for row in rows:
            try:
                read.append(self.items[row])
            except WiseCommitteeError:
                raise
            except Exception as error:
                raise WiseCommitteeError(f"reading row {row:,} raised {type(error).__name__}: {error}") from error
        return read

    def _prepared(self, item: Any, row: int) -> Any:
        assert self.preprocess is not None
        try:
            return self.preprocess(item[0])
        except Exception as error:
            unit = item[2] if len(item) == 3 else row
            raise WiseCommitteeError(f"preprocessing unit {unit!r} raised {type(error).__name__}: {error}") from error


class _Probed(Dataset[Any]):
    """The images among chosen rows that cannot be decoded."""

    def __init__(self, items: ImageItems, rows: NDArray[np.int64]) -> None:
        self.items, self.rows = items, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitems__(self, indices: Sequence[int]) -> list[Corrupt] | _Failed:
        try:
            return [image for p in indices if isinstance(image := self.items[int(self.rows[p])][0], Corrupt)]
        except WiseCommitteeError as error:
            return _Failed(str(error))


def _refusal(corrupt: Sequence[Corrupt], rows: Sequence[int]) -> _Failed:
    return _Failed(
        f"{len(corrupt)} of the images in rows {rows[0]:,} to {rows[-1]:,} cannot be decoded: "
        f"{', '.join(map(str, corrupt[:5]))}{', ..' if len(corrupt) > 5 else ''}; "
        f"mend or remove them, or leave such units out for every model with {option('skip_corrupt', True)}",
        wrong_content=True,
    )


def _loaded(items: Dataset[Any], batch_size: int, workers: int, *, pin: bool = False) -> Iterator[Any]:
    with warnings.catch_warnings():
        # More processes than cores are the caller's choice: they pay where reading waits for a network.
        warnings.filterwarnings("ignore", "This DataLoader will create", UserWarning)
        loader = DataLoader(
            items,
            batch_size,
            shuffle=False,
            num_workers=workers,
            collate_fn=_as_it_is,
            pin_memory=pin,
            generator=torch.Generator(),  # its seeds are unused; the global generator stays as it is
            worker_init_fn=partial(_in_worker, os.getpid()) if workers else None,
        )
        return iter(loader)


def _as_it_is(batch: Any) -> Any:
    return batch


def _in_worker(parent: int, number: int) -> None:
    """A loading process leaves Ctrl-C to its parent, and on Linux ends with the parent: else it would keep holding
    locks of the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.excepthook = _unless_parent_is_gone
    if sys.platform == "linux" and os.getppid() == parent:
        ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def _unless_parent_is_gone(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Silence the error of a thread that was handing over tensors when the parent process stopped."""
    if not issubclass(kind, (ConnectionError, EOFError)):
        sys.__excepthook__(kind, error, trace)

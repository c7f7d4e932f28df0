"""A store in memory, for outputs that are computed, searched and forgotten within one process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from wisecommittee.store.admission import Admission
from wisecommittee.store.columns import StoredModel
from wisecommittee.store.logit_store import LogitStore
from wisecommittee.store.rows import ModelRows
from wisecommittee.store.storage.memory_files import MemoryFiles
from wisecommittee.store.trusting_catalog import TrustingCatalog

Decoded: TypeAlias = dict[tuple[str, str, str, str], NDArray[Any]]  # by split, model, hash of its content, column


class MemoryStore(LogitStore):
    """A LogitStore that exists in this process only: no folder is written, nor the cache of decoded outputs.

    Examples
    --------
    >>> from wisecommittee.committees.cards import ModelCard
    >>> store = MemoryStore()
    >>> store.add(ModelCard("a"), "val", labels=[0, 1], outputs=np.array([[2.0, 0.0], [1.0, 3.0]]))
    'added'
    >>> store.outputs("a", "val").tolist()
    [[2.0, 0.0], [1.0, 3.0]]
    """

    def __init__(self) -> None:
        TrustingCatalog.__init__(self, MemoryFiles())
        self._admission = Admission(self)
        self._decoded: Decoded = {}

    def _stored(self, model: str, split: str) -> StoredModel:
        stored = super()._stored(model, split)
        return _DecodedModel(stored.catalog, stored.card, stored.split, self._decoded)


@dataclass(frozen=True, slots=True)
class _DecodedModel(StoredModel):
    """A model whose columns are decoded into memory once."""

    decoded: Decoded

    def column(
        self,
        name: str,
        dtype: type[np.floating] | np.dtype,
        pick: Callable[[ModelRows], NDArray[Any] | None],
        *tail: int,
    ) -> NDArray[Any]:
        key = self.split, self.card.model, self.card.contents.content, name
        if key not in self.decoded:
            column = np.empty((self.card.contents.rows, *tail), dtype)
            for positions, values in self.blocks(pick):
                column[positions] = values
            column.flags.writeable = False
            self.decoded[key] = column
        return self.decoded[key]

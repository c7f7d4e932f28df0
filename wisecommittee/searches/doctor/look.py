"""The models of a split under examination, and a sample of their predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.cards import StoredCard
from wisecommittee.errors import counted
from wisecommittee.store import LogitStore

SAMPLE_VALUES = 50_000_000  # outputs looked at in one split; more units than these allow are sampled evenly
SAMPLE_UNITS = 4_096


@dataclass(frozen=True, slots=True)
class Sample:
    """Evenly spaced units, and the predictions of a model for them.

    rows : int64 [n] units; said : int64 [n] columns of the largest output; classes : columns in all; tied : share of
    the units whose largest output stands in two columns.
    """

    rows: NDArray[np.int64]
    said: NDArray[np.int64]
    classes: int
    tied: float


@dataclass(frozen=True)
class Look:
    """A split under examination. cards : of the models that are examined; every : of all models of the split."""

    store: LogitStore
    split: str
    cards: tuple[StoredCard, ...]
    every: tuple[StoredCard, ...]
    _samples: dict[str, Sample] = field(default_factory=dict, init=False, repr=False, compare=False)

    def of_kind(self, *kinds: str) -> list[StoredCard]:
        return [card for card in self.cards if card.kind in kinds]

    @property
    def with_outputs(self) -> list[StoredCard]:
        """Models with an output per class."""
        return self.of_kind("logits", "probabilities")

    @cached_property
    def labels(self) -> NDArray[np.generic]:
        return self.store.labels(self.split)

    def sample(self, card: StoredCard) -> Sample:
        """A sample of the predictions of a model with outputs, read once."""
        if card.model not in self._samples:
            rows = even_rows(len(self.labels), (card.contents.classes or 1) * len(self.cards))
            values = np.asarray(self.store.outputs(card.model, self.split)[rows], np.float32)
            said = values.argmax(axis=1)
            ties = (values == values[np.arange(len(rows)), said][:, None]).sum(axis=1) > 1
            self._samples[card.model] = Sample(rows, said, values.shape[1], float(ties.mean()))
        return self._samples[card.model]

    @property
    def note(self) -> str:
        """A note for messages whose figures are of a sample of the units."""
        sizes = [len(self.sample(card).rows) for card in self.with_outputs]
        few = [size for size in sizes if size < len(self.labels)]
        return f" (of {few[-1]:,} units at even distances among the {len(self.labels):,})" if few else ""


def even_rows(units: int, width: int) -> NDArray[np.int64]:
    """Evenly spaced rows."""
    most = max(256, min(SAMPLE_UNITS, SAMPLE_VALUES // max(1, width)))
    return np.arange(units) if units <= most else np.linspace(0, units - 1, most).astype(np.int64)


def listed(names: Sequence[str]) -> str:
    """The first three names, and how many more there are."""
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {counted(len(names) - 3, 'more model')}"

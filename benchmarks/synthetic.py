"""The paper-size problem as arrays in memory: 8 architectures x 4 replicas whose errors overlap as real ones do."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from wisecommittee.committees.cards import Contents, StoredCard

ARCHITECTURES, REPLICAS = 8, 4


class Synthetic:
    """The reading side of a store. Units have a shared difficulty; larger architectures overcome more of it."""

    def __init__(self, units: int, classes: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.files = SimpleNamespace(uri=f"synthetic({units}x{classes}, seed {seed})")
        self._labels = rng.integers(0, classes, units)
        # A shared part makes errors overlap; a long tail of difficulty leaves most units easy, as on ImageNet.
        ease = np.maximum(11.0 - 3.6 * rng.gamma(1.6, 1.0, units), 0.0)
        shared = rng.standard_normal((units, classes), dtype=np.float32)
        everyone = np.arange(units)
        self._outputs: dict[str, np.ndarray] = {}
        self._cards: dict[str, StoredCard] = {}
        for a in range(ARCHITECTURES):
            for r in range(REPLICAS):
                logits = rng.standard_normal((units, classes), dtype=np.float32)
                logits *= np.float32(0.75)
                logits += shared
                logits[everyone, self._labels] += (ease * (0.8 + 0.06 * a)).astype(np.float32)
                name = f"a{a}/{r}"
                self._outputs[name] = logits
                contents = Contents(units, classes, "float32", "")
                self._cards[name] = StoredCard(name, blocks={name: int(0.39e9 * 1.9**a)}, contents=contents)

    @property
    def nbytes(self) -> int:
        return sum(o.nbytes for o in self._outputs.values())

    def require_split(self, split: str) -> None: ...

    def cards(self, split: str) -> tuple[StoredCard, ...]:
        return tuple(sorted(self._cards.values(), key=lambda card: card.key))

    def labels(self, split: str) -> np.ndarray:
        return self._labels

    def outputs(self, model: str, split: str) -> np.ndarray:
        return self._outputs[model]

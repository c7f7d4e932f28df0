"""A store without a disk, and small random pools with ties everywhere, for comparing the search with the oracle."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import naive
import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from numba import config

from wisecommittee.committees.cards import Contents, StoredCard


def cases(number: int) -> settings:
    """Hypothesis settings; kernels run as plain Python (make test-nojit) get a few cases instead of hundreds."""
    few = max(5, number // 20) if config.DISABLE_JIT else number
    return settings(max_examples=few, deadline=None, suppress_health_check=[HealthCheck.too_slow])


class MemoryStore:
    """The reading side of LogitStore over arrays in memory, one split."""

    def __init__(self, models: list[naive.Model], labels: list, split: str = "val", cost: str = "flops") -> None:
        self.files = SimpleNamespace(uri="memory")
        self._split, self._cost = split, cost
        self._models = {m.name: m for m in models}
        self.fields: dict[str, dict] = {}  # of the cards, by model
        self._labels = np.array(labels) if not isinstance(labels[0], str) else np.array(labels, dtype=np.str_)

    def require_split(self, split: str) -> None:
        assert split == self._split

    def models(self, split: str) -> tuple[str, ...]:
        return tuple(self._models)

    def card(self, model: str, split: str) -> StoredCard:
        m = self._models[model]
        contents = Contents(
            rows=len(self._labels),
            classes=None if m.outputs is None else m.outputs.shape[1],
            dtype="float32",
            content="",
            scores=tuple(m.stored_scores),
            unit_costs=() if m.unit_costs is None else (self._cost,),
        )
        blocks = {} if m.unit_costs is not None else m.blocks
        made = StoredCard(
            m.name,
            m.architecture,
            m.replica,
            kind=m.kind,
            blocks=blocks,
            group=m.group,
            position=m.position,
            weights=m.weights,
            input_size=m.input_size,
            contents=contents,
        )
        return replace(made, **self.fields.get(model, {}))

    def cards(self, split: str) -> tuple[StoredCard, ...]:
        return tuple(sorted((self.card(m, split) for m in self._models), key=lambda card: card.key))

    def labels(self, split: str) -> np.ndarray:
        return self._labels

    def outputs(self, model: str, split: str) -> np.ndarray:
        return self._models[model].outputs

    def scores(self, model: str, split: str, name: str) -> np.ndarray:
        return np.array(self._models[model].stored_scores[name], np.float32)

    def unit_costs(self, model: str, split: str, name: str) -> np.ndarray:
        return np.array(self._models[model].unit_costs, np.float64)

    def answers(self, model: str, split: str) -> np.ndarray:
        return np.array([str(a) for a in self._models[model].answers], dtype=np.str_)


class TwoSplits:
    """val and test of the same models, each a MemoryStore."""

    def __init__(self, val: MemoryStore, test: MemoryStore) -> None:
        self.files = val.files
        self._stores = {"val": val, "test": test}

    def has_split(self, split: str) -> bool:
        return split in self._stores

    def splits(self) -> tuple[str, ...]:
        return tuple(self._stores)

    def __getattr__(self, name: str):  # cards, labels, outputs, ..: all name the split
        def call(*arguments):
            split = next(a for a in arguments if a in self._stores)
            return getattr(self._stores[split], name)(*arguments)

        return call


@st.composite
def pools(draw: st.DrawFn, kind: str = "logits", per_unit: bool | None = None) -> tuple[list[naive.Model], list]:
    """Up to 4 models (replicas, shared blocks, constant confidences) on up to 14 units, values from a handful."""
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    units = draw(st.integers(1, 14))
    classes = draw(st.integers(2, 4))
    names = draw(
        st.sampled_from(
            [
                [("a", 0)],
                [("a", 0), ("b", 0)],
                [("a", 0), ("a", 1)],
                [("a", 0), ("a", 1), ("b", 0)],
                [("b", 0), ("a", 2), ("c", 0)],
                [("a", 0), ("b", 0), ("b", 1), ("c", 0)],
            ]
        )
    )
    labels = rng.integers(0, classes, units).tolist()
    coarse = draw(st.integers(1, 4))
    shared = draw(st.booleans())
    varying = draw(st.booleans()) if per_unit is None else per_unit
    models = []
    for architecture, replica in names:
        logits = rng.integers(-coarse, coarse + 1, (units, classes)).astype(np.float32)
        if rng.random() < 0.15:
            logits[:] = logits[0]  # the same answer and confidence for everybody
        outputs, answers = logits, None
        if kind == "probabilities":
            parts = rng.integers(0, 4, (units, classes)) * 2.0 ** -rng.integers(0, 3)
            parts[:, 0] += parts.sum(axis=1) == 0
            outputs = (parts / parts.sum(axis=1, keepdims=True)).astype(np.float32)
        if kind == "answers":
            outputs, answers = None, rng.integers(0, classes, units).tolist()
        blocks = {f"{architecture}/{replica}": int(rng.integers(1, 5))}
        if shared:
            blocks["trunk"] = 3
        models.append(
            naive.Model(
                name=f"{architecture}/{replica}",
                architecture=architecture,
                replica=replica,
                blocks=blocks,
                outputs=outputs,
                kind=kind,
                answers=answers,
                stored_scores={"confidence": rng.integers(0, 4, units).astype(np.float32).tolist()},
                unit_costs=rng.integers(0, 4, units).tolist() if varying else None,
            )
        )
    return models, labels

"""Pools of models for comparing the search with the oracle: a store in memory, random pools with ties everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace

import naive
import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from numba import config

from wisecommittee.committees.cards import Contents, StoredCard
from wisecommittee.committees.families import FAMILIES
from wisecommittee.kernels.envelope import UNREACHED, Envelope
from wisecommittee.searches.grid.candidates import within_worst_case
from wisecommittee.searches.grid.sweep import GridSearch
from wisecommittee.searches.stages.pool import Pool, open_pool
from wisecommittee.searches.stages.prefixes import build_prefixes
from wisecommittee.searches.stages.stage_tables import correct_key, stage_tables
from wisecommittee.store.stage_overhead import StageOverhead


def cases(number: int) -> settings:
    """Hypothesis settings; kernels run as plain Python (make test-nojit) get a few cases instead of hundreds."""
    few = max(5, number // 20) if config.DISABLE_JIT else number
    return settings(max_examples=few, deadline=None, suppress_health_check=[HealthCheck.too_slow])


class MemoryStore:
    """The reading side of LogitStore over arrays in memory, one split."""

    labels_from = None

    def __init__(self, models: list[naive.Model], labels: list, split: str = "val", cost: str = "flops") -> None:
        self.files = SimpleNamespace(uri="memory")
        self._split, self._cost = split, cost
        self._models = {m.name: m for m in models}
        self.fields: dict[str, dict] = {}  # of the cards, by model
        self.overheads: dict[str, float] = {}  # of a stage, by cost
        self._labels = np.array(labels) if not isinstance(labels[0], str) else np.array(labels, dtype=np.str_)

    def with_labels_from(self, model: str | None):
        return self

    def stage_overhead(self) -> StageOverhead:
        return StageOverhead(self.overheads)

    def has_split(self, split: str) -> bool:
        return split == self._split

    def require_split(self, split: str) -> None:
        assert split == self._split

    def models(self, split: str) -> tuple[str, ...]:
        return tuple(self._models)

    def units(self, split: str) -> SimpleNamespace:
        return SimpleNamespace(index={str(unit): unit for unit in range(len(self._labels))}, hash="in memory")

    def card(self, model: str, split: str) -> StoredCard:
        m = self._models[model]
        varying = [name for name, told in m.further_costs.items() if isinstance(told, list)]
        contents = Contents(
            rows=len(self._labels),
            classes=None if m.outputs is None else m.outputs.shape[1],
            dtype="float32",
            content="",
            scores=tuple(m.stored_scores),
            unit_costs=(*(() if m.unit_costs is None else (self._cost,)), *varying),
        )
        blocks = {} if m.unit_costs is not None else m.blocks
        made = StoredCard(
            m.name,
            m.architecture,
            m.replica,
            kind=m.kind,
            blocks=blocks,
            costs={name: told for name, told in m.further_costs.items() if name not in varying},
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
        m = self._models[model]
        return np.array(m.further_costs.get(name, m.unit_costs), np.float64)

    def features(self, split: str) -> dict[str, np.ndarray]:
        return {}

    def answers(self, model: str, split: str) -> np.ndarray:
        return np.array([str(a) for a in self._models[model].answers], dtype=np.str_)


class TwoSplits:
    """val and test of the same models, each a MemoryStore."""

    labels_from = None

    def __init__(self, val: MemoryStore, test: MemoryStore) -> None:
        self.files = val.files
        self._stores = {"val": val, "test": test}

    def has_split(self, split: str) -> bool:
        return split in self._stores

    def splits(self) -> tuple[str, ...]:
        return tuple(self._stores)

    def with_labels_from(self, model: str | None) -> TwoSplits:
        assert model is None
        return self

    def stage_overhead(self) -> StageOverhead:
        return self._stores["val"].stage_overhead()

    def __getattr__(self, name: str):  # cards, labels, outputs, ..: all name the split
        def call(*arguments):
            split = next(a for a in arguments if a in self._stores)
            return getattr(self._stores[split], name)(*arguments)

        return call


def stored_cards(fields: dict[str, dict], units: int = 100, classes: int = 10) -> list[StoredCard]:
    """{model: fields of its card} -> cards of models whose logits a store holds, in the order of a pool."""
    contents = Contents(rows=units, classes=classes, dtype="float32", content="")
    cards = [StoredCard(model, contents=contents, **more) for model, more in fields.items()]
    return sorted(cards, key=lambda card: card.key)


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


def first_units(pool, units: int):
    """The same pool on its first units."""
    models, labels = pool
    cut = [
        replace(
            m,
            outputs=None if m.outputs is None else m.outputs[:units],
            answers=None if m.answers is None else m.answers[:units],
            stored_scores={name: values[:units] for name, values in m.stored_scores.items()},
            unit_costs=None if m.unit_costs is None else m.unit_costs[:units],
        )
        for m in models
    ]
    return cut, labels[:units]


def with_further_costs(pool, seed: int = 0, *, varying: bool = False):
    """The same pool, each model with costs in milliseconds and in money; varying : milliseconds vary per unit."""
    models, labels = pool
    rng = np.random.default_rng(seed)
    costs = [{name: int(rng.integers(1, 5)) for name in ("latency_ms", "usd")} for _ in models]
    if varying:
        costs = [{**each, "latency_ms": rng.integers(0, 5, len(labels)).tolist()} for each in costs]
    return [replace(m, further_costs=c) for m, c in zip(models, costs, strict=True)], labels


def random_pool(units=400, classes=5, seed=0, models=6):
    """Models of rising accuracy, each twice as dear as the one before."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, units)
    drawn = []
    for m in range(models):
        logits = rng.normal(size=(units, classes)).astype(np.float32)
        logits[np.arange(units), labels] += 0.6 * (m + 1)
        drawn.append(naive.Model(f"m{m}", f"m{m}", 0, {f"m{m}": 10 * 2**m}, logits))
    return drawn, labels.tolist()


def realistic(units, classes=8, models=4, seed=0) -> MemoryStore:
    """Models of rising accuracy, each three times as dear as the one before, that agree on which units are easy."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, units)
    ease = rng.gamma(1.5, 1.0, units)
    drawn = []
    for m in range(models):
        logits = rng.normal(size=(units, classes)).astype(np.float32)
        logits[np.arange(units), labels] += (ease * (0.8 + 0.4 * m)).astype(np.float32)
        drawn.append(naive.Model(f"m{m}", f"m{m}", 0, {f"m{m}": 10 * 3**m}, logits))
    return MemoryStore(drawn, labels.tolist())


def product_scores(pool: Pool):
    """A function (names of a prefix) -> the product's own float32 confidences, as they are carried: the oracle compares
    with these instead of its own, so that rounding tells no unit apart."""
    known: dict = {}

    def scores(names: tuple[str, ...]) -> np.ndarray:
        if isinstance(pool.confidence, str):
            return pool.store.scores(names[-1], pool.split, pool.confidence)
        key = correct_key(pool, [pool.index(name) for name in names])
        trie = build_prefixes([key])
        scored = np.zeros(len(trie), bool)
        scored[trie.find[key]] = True
        return stage_tables(pool, trie, scored).score[0]

    return lambda names: known[names] if names in known else known.setdefault(names, scores(names))


def pieces(store, levels=12):
    """What `search` prepares for a sweep over sizes 1 to 3."""
    pool = open_pool(store, "val", store.cards("val"))
    found = {n: FAMILIES["cascade"].sequences(pool.cards, n) for n in range(1, 1 + min(3, len(pool.cards)))}
    candidates = within_worst_case(pool, found, None)
    keys = {tuple(sorted(row)) for s in found.values() for row in s.tolist()}
    trie = build_prefixes(keys)
    ready = stage_tables(pool, trie, trie.sizes < 3)
    return GridSearch(pool, ready, candidates, levels), ready


def tree_blocks(name: str, leaves: int, leaf: int, costs: Sequence[int]) -> dict[str, int]:
    """Blocks of a leaf of a binary tree: block b has 2^b nodes, leaf n uses node n >> (B - b)."""
    depth = leaves.bit_length() - 1
    return {f"{name}:b{b}n{leaf >> (depth - b)}": costs[b] for b in range(depth + 1)}


def draw_model(rng, name, architecture, replica, labels, classes, blocks, *, coarse, group=None, position=None):
    units = len(labels)
    logits = rng.integers(-coarse, coarse + 1, (units, classes)).astype(np.float32)
    return naive.Model(
        name,
        architecture,
        replica,
        blocks,
        logits,
        stored_scores={"halting": rng.integers(0, 4, units).astype(np.float32).tolist()} if group else {},
        group=group,
        position=position,
    )


def for_rule(models, combine):
    """The models as they are, or with probabilities where these are averaged: a softmax keeps no tie to the bit."""
    if combine != "mean_probs":
        return models
    rows = [np.exp(m.outputs.astype(np.float64)) for m in models]
    return [
        replace(m, kind="probabilities", outputs=(e / e.sum(axis=1, keepdims=True)).astype(np.float32))
        for m, e in zip(models, rows, strict=True)
    ]


@st.composite
def joint_pools(draw: st.DrawFn, loose: bool = True, members: tuple[int, ...] = (1, 2, 3, 4)):
    """One or two groups (a tree of leaves with shared blocks, or steps without) and up to two independent models."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    units, classes = draw(st.integers(1, 12)), draw(st.integers(2, 4))
    labels = rng.integers(0, classes, units).tolist()
    coarse = draw(st.integers(1, 4))
    models = []
    for g in range(draw(st.integers(1, 2))):
        size = draw(st.sampled_from(members))
        tree = size in (2, 4) and draw(st.booleans())
        costs = rng.integers(1, 5, 3).tolist()
        order = rng.permutation(size) if draw(st.booleans()) else np.arange(size)  # positions need not be replicas
        for replica in range(size):
            position = int(order[replica])
            own = tree_blocks(f"g{g}", size, position, costs) if tree else {f"g{g}/{replica}": int(rng.integers(1, 5))}
            models.append(
                draw_model(
                    rng, f"g{g}/{replica}", f"g{g}", replica, labels, classes, own,
                    coarse=coarse, group=f"g{g}", position=position,
                )
            )  # fmt: skip
    for name in draw(st.sampled_from([[], [("a", 0)], [("z", 0)], [("a", 0), ("a", 1)], [("h", 0)]])) if loose else []:
        blocks = {f"{name[0]}/{name[1]}": int(rng.integers(1, 6))}
        models.append(draw_model(rng, f"{name[0]}/{name[1]}", *name, labels, classes, blocks, coarse=coarse))
    return models, labels


def envelope_of(cells, best):
    """Least (cost, rank, level) with at least so many correct; rank and level are only meant where the cost steps."""
    least = [(int(UNREACHED), -1, -1)] * (best + 1)
    for correct, *rest in cells:
        least[correct] = min(least[correct], tuple(map(int, rest)))
    for a in range(best - 1, -1, -1):
        least[a] = min(least[a], least[a + 1])
    return Envelope(*(np.array(column) for column in zip(*least, strict=True)))

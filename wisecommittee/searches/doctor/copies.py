"""Splits that hold the same units: the figures of the second split say nothing about new data."""

from __future__ import annotations

import hashlib
import math

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.cards import StoredCard
from wisecommittee.errors import StoreError
from wisecommittee.store import LogitStore

COPY = 0.5  # share of the distinguishable units from which a split counts as a copy of another
LEAK = 0.005  # share from which two splits count as overlapping
ALIKE = 0.9  # share of a split with duplicate outputs from which outputs do not tell units apart
MANY_COLUMNS = 64  # columns of outputs that are compared
MOST_MODELS = 3  # models that are compared
FINE = 64  # steps of the usual distance from the first to the fifth class
_SEED = 20231


def overlap(store: LogitStore, one: str, other: str) -> tuple[str, str] | None:
    """Kind and text of the doubt that units of `other` are in `one`: 'copy' if most are, 'overlap' if a few are."""
    share = shared_units(store, one, other)
    if share is None or share < LEAK:
        return None
    if share >= COPY:
        return "copy", copy_text(one, other, share)
    return "overlap", (
        f"{100 * share:.1f} % of the units of {other} have the outputs of units of {one}: images or questions that are "
        f"in both make figures of {other} better than on new data; leave them out of one"
    )


def copied(store: LogitStore, one: str, other: str) -> str | None:
    """Why figures of `other` are no test of a choice made on `one`: both hold the same units. None if they do
    not."""
    share = shared_units(store, one, other)
    return None if share is None or share < COPY else copy_text(one, other, share)


def copy_text(one: str, other: str, share: float) -> str:
    return (
        f"{one} and {other} hold the same units: a model's outputs for {100 * share:.0f} % of the units of {other} are "
        f"those it has in {one}. Figures of {other} say nothing about new data; import other units as {other}, or "
        f"divide {one} with `wisecommittee split`"
    )


def shared_units(store: LogitStore, one: str, other: str) -> float | None:
    """Share of the units of `other` that are also in `one`, judged by the models' outputs.

    The largest share of up to three models; None where no model is in both, or outputs do not tell units apart.

    Outputs count as equal up to the differences that another machine, batch size or half precision makes. Coincidences
    between units of `one` (sure or rounded answers) measure how many happen by chance; these are subtracted.
    """
    there = {card.model: card for card in store.cards(other)}
    cards = [card for card in store.cards(one) if card.model in there and card.kind == there[card.model].kind]
    if any(_identity(card) == _identity(there[card.model]) for card in cards):
        return 1.0
    cards = sorted(cards, key=lambda card: (card.contents.classes or 0, card.key))
    shares = []
    try:
        pairs = [_signatures(store, (one, other), card) for card in cards[:MOST_MODELS]]
    except StoreError:
        return None  # unreadable files are reported where they are needed
    joint = [tuple(sum(column) for column in zip(*pairs, strict=True))] if len(pairs) > 1 else []
    for first, second in [*pairs, *joint]:
        if (share := _excess(first, second)) is not None:
            shares.append(share)
    return max(shares, default=None)


def _identity(card: StoredCard) -> tuple[int, str]:
    return card.contents.rows, card.contents.content


def _excess(first: NDArray[np.uint64], second: NDArray[np.uint64]) -> float | None:
    """The share of `second` that is in `first`, beyond the share expected by chance: of `first`, the units that equal
    another unit of it."""
    values, counts = np.unique(first, return_counts=True)
    within = float((counts[counts > 1]).sum() / len(first))
    across = float(np.isin(second, values).mean())
    if within > ALIKE:
        same = len(first) == len(second) >= 20 and bool((np.sort(first) == np.sort(second)).all())
        return 1.0 if same else None
    chance = within + 4 * math.sqrt((within + 1 / len(second)) / len(second))
    return 0.0 if across < max(chance, LEAK) else (across - within) / (1 - within)


def _signatures(store: LogitStore, splits: tuple[str, str], card: StoredCard) -> tuple[NDArray[np.uint64], ...]:
    """uint64 [N] for each of two splits: equal numbers for units with equal outputs of the model."""
    if card.kind == "answers":
        words = [_of_texts(store.answers(card.model, split)) for split in splits]
        names = sorted(set.intersection(*(set(store.card(card.model, split).contents.scores) for split in splits)))
        columns = [
            np.column_stack([text, *(store.scores(card.model, split, name).view(np.uint32) for name in names)])
            for text, split in zip(words, splits, strict=True)
        ]
    else:
        outputs = [store.outputs(card.model, split) for split in splits]
        if card.kind == "cell_counts":
            columns = [np.asarray(values, np.uint64) for values in outputs]
        else:
            tops = [_top(values, card.kind) for values in outputs]
            grid = max(float(np.median(tops[0][1][:, -1])) / FINE, 1e-6)
            columns = [np.hstack([top, np.rint(gaps / grid).astype(np.uint64)]) for top, gaps in tops]
    odd = np.random.default_rng([_SEED, hash_text(card.model)]).integers(0, 2**63, columns[0].shape[1], np.uint64)
    return tuple((values * (2 * odd + np.uint64(1))).sum(axis=1, dtype=np.uint64) for values in columns)


def _top(outputs: NDArray[np.floating], kind: str) -> tuple[NDArray[np.uint64], NDArray[np.float64]]:
    """The five highest of at most 64 columns, and how far they lie below the first: [N, k] each."""
    columns = np.asarray(outputs[:, :: -(-outputs.shape[1] // MANY_COLUMNS)], np.float64)
    if kind == "probabilities":
        columns = np.log(np.maximum(columns, 1e-6))
    order = np.argsort(-columns, axis=1, kind="stable")[:, :5]
    values = np.take_along_axis(columns, order, axis=1)
    return order.astype(np.uint64), np.minimum(values[:, :1] - values, 1e6)


def _of_texts(texts: NDArray[np.str_]) -> NDArray[np.uint64]:
    return np.array([hash_text(text) for text in texts.tolist()], np.uint64)


def hash_text(text: str) -> int:
    """64 bits of a text, the same in every process."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")

"""The distinct prefixes of a set of combinations, as a trie."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Prefixes:
    """A trie of sets of models in depth-first order: each node is its parent and one model more.

    parents, members, sizes : int64 [nodes]: the parent of each node (-1 at the top), the model it adds, and its number
    of models
    find : {models: node}; the models ascending where a prefix averages them, only the newest where it answers alone
    """

    parents: NDArray[np.int64]
    members: NDArray[np.int64]
    sizes: NDArray[np.int64]
    find: dict[tuple[int, ...], int]

    def __len__(self) -> int:
        return len(self.parents)


def distinct(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The distinct rows of an array [n, k] of small numbers, in lexicographic order."""
    short = rows.astype(np.int16) if rows.max(initial=0) <= np.iinfo(np.int16).max else rows  # sorted by radix
    order = np.lexsort(short.T[::-1])
    ordered = rows[order]
    return ordered[np.r_[True, (ordered[1:] != ordered[:-1]).any(axis=1)][: len(rows)]]


def build_prefixes(wanted: Iterable[tuple[int, ...]]) -> Prefixes:
    """The trie of these prefixes, each in ascending order, and of their own prefixes."""
    every = {prefix[:size] for prefix in wanted for size in range(1, len(prefix) + 1)}
    order = sorted(every)  # lexicographic = depth first, a parent before its children
    find = {prefix: node for node, prefix in enumerate(order)}
    parents = [find[prefix[:-1]] if len(prefix) > 1 else -1 for prefix in order]
    return Prefixes(
        np.array(parents, dtype=np.int64),
        np.array([prefix[-1] for prefix in order], dtype=np.int64),
        np.array([len(prefix) for prefix in order], dtype=np.int64),
        find,
    )

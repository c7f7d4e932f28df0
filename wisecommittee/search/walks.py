"""The stage kernels over all units, in blocks and threads: from stored outputs to what every prefix answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.combine import softmax, unchanged
from wisecommittee.kernels import prefixes, products, rows
from wisecommittee.search.calibrated import CalibratedRows
from wisecommittee.search.powers import powers_of
from wisecommittee.search.quality import BITS, Quality
from wisecommittee.search.tries import Prefixes
from wisecommittee.search.workers import Progress

BLOCK_BYTES = 4 << 20  # summands that are made for one block of units: they stay in the cache
DIRECT_BYTES = 64 << 20  # the same where they are read where they lie: enough to make the work around the kernel small
RESULT_BYTES = 16 << 20  # what the kernel writes for a block, before it goes to the tables
CLOSE_BYTES = 512 << 10  # summands of units that are sorted by difficulty together


@dataclass(frozen=True, slots=True)
class Summands:
    """What one model adds to a prefix: rows [N, C] of its outputs, turned into float32 summands.

    space : where the mean of the summands lives, 'logits' or 'probabilities'
    """

    outputs: NDArray[np.floating] | CalibratedRows
    turn: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    space: str

    @property
    def classes(self) -> int:
        return self.outputs.shape[1]

    @property
    def direct(self) -> bool:
        """Whether the outputs can be read where they lie."""
        outputs = self.outputs
        return (
            self.turn is unchanged
            and isinstance(outputs, np.ndarray)
            and outputs.dtype == np.float32
            and outputs.flags.c_contiguous
            and outputs.flags.aligned
        )

    def block(self, start: int, stop: int) -> NDArray[np.float32]:
        """float32 [stop - start, C], contiguous."""
        wide = _wide(np.ascontiguousarray(self.outputs[start:stop]))
        if self.turn is softmax:
            out = np.empty_like(wide)
            rows.softmax(wide, out)
            return out
        return np.require(self.turn(wide), requirements=["C", "A"])


def _wide(stored: NDArray[np.floating]) -> NDArray[np.float32]:
    if stored.dtype != np.float16:
        return stored.astype(np.float32, copy=False)
    out = np.empty(stored.shape, np.float32)
    rows.widen(stored.view(np.uint16).reshape(-1), out.reshape(-1))
    return out


def walk_blocks(
    models: Sequence[int],
    summands: Sequence[Summands],
    labels: NDArray[np.int64],
    trie: Prefixes,
    scored: NDArray[np.bool_],
    wanted: set[str],
    *,
    ordered: bool = False,
    predict: bool = False,
    threads: int = 1,
    progress: Progress | None = None,
) -> tuple[Quality, NDArray[np.int32], dict[str, NDArray[np.float32]]]:
    """Correct of all nodes, prediction [nodes, N] or [0, N], statistics {name: [rows, N]} of the scored ones.

    models : the members that the trie is of, ascending, with their summands; wanted : names of statistics, none only
    where nothing is scored; ordered : a prefix answers as its newest member alone.
    Each block of units is independent, so any number of threads gives the same bits.
    """
    nodes, units, judged = len(trie), len(labels), int(scored.sum())
    assert wanted or not judged
    classes = summands[0].classes
    members = np.searchsorted(models, trie.members)
    correct = Quality.empty(nodes, units)
    predicted = np.empty((nodes if predict else 0, units), np.int32)
    statistics = {name: np.empty((judged, units), np.float32) for name in prefixes.STATISTICS if name in wanted}
    # Which walk depends on the rule, the confidence and the classes alone, so that a committee is scored alike wherever
    # it is.
    products_serve = not ordered and wanted <= {"rest", "top"} and len(wanted) < 2
    walk = (_products if products_serve else _every)(summands, trie, members, scored, wanted)
    direct = products_serve and all(source.direct for source in summands)
    most = (DIRECT_BYTES if direct else BLOCK_BYTES) // (4 * len(summands) * classes)
    words = min(most, RESULT_BYTES // (nodes + 4 * judged * max(1, len(wanted))), 1024) // BITS
    step = max(1, words - 1 + words % 2) * BITS  # odd: rows a power of two apart would share few places of the cache

    def block(start: int) -> int:
        stop = min(units, start + step)
        n = stop - start
        hit = np.empty((nodes, n), np.uint8)
        said = np.empty((nodes, n) if predict else (0, 0), np.int32)
        gathered = np.empty((len(statistics), judged, n), np.float32)
        walk([source.block(start, stop) for source in summands], labels[start:stop], hit, said, gathered)
        correct.put_block(start, hit)
        if predict:
            predicted[:, start:stop] = said
        for table, values in zip(statistics.values(), gathered, strict=True):
            table[:, start:stop] = values
        return n

    done = 0
    with ThreadPoolExecutor(threads) as workers:
        try:
            for n in workers.map(block, range(0, units, step)):
                done += n
                if progress:
                    progress("stage tables", done, units)
        except BaseException:
            workers.shutdown(cancel_futures=True)
            raise
    return correct, predicted, statistics


# Of blocks [B, C] of the models and labels [B]: fills correct [nodes, B], predictions [nodes, B] or [0, 0], and
# statistics [wanted, rows, B].
BlockWalk = Callable[
    [list[NDArray[np.float32]], NDArray[np.int64], NDArray[np.uint8], NDArray[np.int32], NDArray[np.float32]], None
]


def _every(
    summands: Sequence[Summands],
    trie: Prefixes,
    members: NDArray[np.int64],
    scored: NDArray[np.bool_],
    wanted: set[str],
) -> BlockWalk:
    """The direct walk, for any statistics."""
    needs = sum(1 << i for i, name in enumerate(prefixes.STATISTICS) if name in wanted)
    logit_space = np.array([summands[m].space == "logits" for m in members])
    score_rows = np.where(scored, np.cumsum(scored) - 1, -1)
    deepest, classes = int(trie.sizes.max()), summands[0].classes

    def walk(
        blocks: list[NDArray[np.float32]],
        labels: NDArray[np.int64],
        hit: NDArray[np.uint8],
        said: NDArray[np.int32],
        gathered: NDArray[np.float32],
    ) -> None:
        sums = np.empty((deepest + 1, classes), np.float32)
        prefixes.walk(
            np.stack(blocks, axis=1), labels, trie.parents, members, trie.sizes, logit_space, score_rows, needs, sums,
            hit, said, gathered,
        )  # fmt: skip

    return walk


def _products(
    summands: Sequence[Summands],
    trie: Prefixes,
    members: NDArray[np.int64],
    scored: NDArray[np.bool_],
    wanted: set[str],
) -> BlockWalk:
    """The walk for the one statistic that max_prob needs."""
    logits = wanted <= {"rest"} and all(source.space == "logits" for source in summands)
    powers = powers_of(trie.parents, members, trie.sizes, scored & logits)
    classes = summands[0].classes
    most = min(CLOSE_BYTES // (4 * len(summands) * classes), 2 * CLOSE_BYTES // (5 * len(trie)), 256)
    close = max(products.LANES, most // products.LANES * products.LANES)
    tree = (
        members,
        trie.sizes,
        int(trie.sizes.max()),
        _followers(trie, members),
        np.flatnonzero(scored),
        logits,
        powers.powers,
        powers.steps,
        powers.targets,
        powers.paths,
    )

    def walk(
        blocks: list[NDArray[np.float32]],
        labels: NDArray[np.int64],
        hit: NDArray[np.uint8],
        said: NDArray[np.int32],
        gathered: NDArray[np.float32],
    ) -> None:
        addresses = np.array([block.ctypes.data for block in blocks])
        statistic = gathered[0] if len(gathered) else np.empty((0, len(labels)), np.float32)
        if classes > products.UNIT_LANES:
            products.walk_classes(addresses, labels, classes, *tree, powers.rows, hit, said, statistic)
        else:
            products.walk_units(addresses, labels, close, classes, *tree, powers.rows, hit, said, statistic)

    return walk


def _followers(trie: Prefixes, members: NDArray[np.int64]) -> NDArray[np.float32]:
    """float32 [M], 1 for each model that only ever runs right after the one before it, as replicas do; [0] if none."""
    before = np.where(trie.parents < 0, -1, members[trie.parents])
    follows = np.ones(members.max() + 1, np.float32)
    follows[members[before != members - 1]] = 0.0
    follows[0] = 0.0
    return follows if follows.any() else follows[:0]

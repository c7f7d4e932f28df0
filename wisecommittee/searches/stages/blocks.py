"""The stage kernels over all units, in blocks and threads: from stored outputs to the predictions of every prefix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.kernels.simd.ir import LANES
from wisecommittee.kernels.stages import direct, products
from wisecommittee.searches.stages.correctness import BITS, Correctness
from wisecommittee.searches.stages.prefixes import Prefixes
from wisecommittee.searches.stages.product_plan import paths_of, product_plan
from wisecommittee.searches.stages.summands import Summands
from wisecommittee.searches.workers.threads import Progress, Workers

BLOCK_BYTES = 4 << 20  # bytes of the converted summands of a block of units: they stay in the cache
# bytes of the summands of a block if they are the stored outputs: large, so that the work around the kernel is small
DIRECT_BYTES = 64 << 20
RESULT_BYTES = 16 << 20  # bytes that the kernel writes for a block
CLOSE_BYTES = 512 << 10  # bytes of the summands of units that are sorted by difficulty at a time


RowStatistics = dict[str, NDArray[np.float32]]  # float32 [rows, n] of each name in kernels/stages/direct.STATISTICS


@dataclass(frozen=True, slots=True)
class TableRequest:
    """The results that are computed for every prefix of a trie.

    scored : bool [nodes], the prefixes whose confidence is computed
    statistics : names of the row statistics that `confidence` takes; empty only where nothing is scored
    ordered : whether the newest member of a prefix answers alone; predict : whether predictions are kept
    """

    trie: Prefixes
    scored: NDArray[np.bool_]
    statistics: frozenset[str]
    confidence: Callable[[RowStatistics], NDArray[np.float32]]
    ordered: bool = False
    predict: bool = False


def walk_blocks(
    models: Sequence[int],
    summands: Sequence[Summands],
    labels: NDArray[np.int64],
    request: TableRequest,
    *,
    threads: int = 1,
    progress: Progress | None = None,
) -> tuple[Correctness, NDArray[np.int32], NDArray[np.float32]]:
    """Returns the correctness of every prefix of the trie, its predictions int32 [nodes, N] ([0, N] if they are not
    kept), and the confidences float32 [rows, N] of the scored prefixes.

    models : the models of the trie, ascending; summands : of each of these models
    Each block of units is independent, so any number of threads gives the same bits.
    """
    trie, scored, wanted, predict = request.trie, request.scored, request.statistics, request.predict
    nodes, units, judged = len(trie), len(labels), int(scored.sum())
    assert wanted or not judged
    classes = summands[0].classes
    members = np.searchsorted(models, trie.members)
    correct = Correctness.empty(nodes, units)
    predicted = np.empty((nodes if predict else 0, units), np.int32)
    score = np.empty((judged, units), np.float32)
    names = [name for name in direct.STATISTICS if name in wanted]
    # The choice of the walk depends on the rule, the confidence and the number of classes only, so that a committee has
    # the same scores in a search of many models and in its own evaluation.
    served = {"rest"} if all(source.space == "logits" for source in summands) else {"top", "rest"}
    products_serve = not request.ordered and (not wanted or wanted == served)
    walk = (_products if products_serve else _every)(summands, trie, members, scored, wanted)
    in_place = products_serve and all(source.in_place is not None for source in summands)
    most = (DIRECT_BYTES if in_place else BLOCK_BYTES) // (4 * len(summands) * classes)
    words = min(most, RESULT_BYTES // (nodes + 4 * judged * max(1, len(wanted))), 1024) // BITS
    step = (
        max(1, words - 1 + words % 2) * BITS
    )  # odd: rows a power of two apart would compete for the same lines of the cache

    def block(start: int) -> int:
        stop = min(units, start + step)
        statistics = np.empty((len(names), judged, stop - start), np.float32)
        walk(start, stop, labels[start:stop], correct, predicted, statistics)
        if judged:
            score[:, start:stop] = request.confidence(dict(zip(names, statistics, strict=True)))
        return stop - start

    done = 0
    with Workers(threads) as workers:
        for n in workers.map(block, range(0, units, step)):
            done += n
            if progress:
                progress("stage tables", done, units)
    return correct, predicted, score


# walk(start, stop, labels, correct, predicted, statistics) fills units start to stop of `correct` and of `predicted`
# [nodes, N] (or [0, N]), and all of `statistics` [wanted, rows, stop - start].
BlockWalk = Callable[[int, int, NDArray[np.int64], Correctness, NDArray[np.int32], NDArray[np.float32]], None]


def _every(
    summands: Sequence[Summands],
    trie: Prefixes,
    members: NDArray[np.int64],
    scored: NDArray[np.bool_],
    wanted: frozenset[str],
) -> BlockWalk:
    """The direct walk, for any row statistics."""
    needs = sum(1 << i for i, name in enumerate(direct.STATISTICS) if name in wanted)
    logit_space = np.array([summands[m].space == "logits" for m in members])
    score_rows = np.where(scored, np.cumsum(scored) - 1, -1)
    walked = direct.Trie(trie.parents, members, trie.sizes, logit_space, score_rows)
    nodes, deepest, classes = len(trie), int(trie.sizes.max()), summands[0].classes

    def walk(
        start: int,
        stop: int,
        labels: NDArray[np.int64],
        correct: Correctness,
        predicted: NDArray[np.int32],
        statistics: NDArray[np.float32],
    ) -> None:
        sums = np.empty((deepest + 1, classes), np.float32)
        hit = np.empty((nodes, stop - start), np.uint8)
        said = np.empty((nodes, stop - start) if len(predicted) else (0, 0), np.int32)
        direct.walk(
            np.stack([source.block(start, stop) for source in summands], axis=1), labels, walked, needs, sums,
            direct.WalkOutputs(hit, said, statistics),
        )  # fmt: skip
        correct.put_block(start, hit)
        if len(predicted):
            predicted[:, start:stop] = said

    return walk


def _products(
    summands: Sequence[Summands],
    trie: Prefixes,
    members: NDArray[np.int64],
    scored: NDArray[np.bool_],
    wanted: frozenset[str],
) -> BlockWalk:
    """The walk for the row statistics of max_prob."""
    logits = all(source.space == "logits" for source in summands)
    plan = product_plan(trie.parents, members, trie.sizes, scored & logits)
    classes = summands[0].classes
    most = min(CLOSE_BYTES // (4 * len(summands) * classes), 2 * CLOSE_BYTES // (5 * len(trie)), 256)
    close = max(LANES, most // LANES * LANES)
    paths = paths_of(trie.parents, members, trie.sizes, scored)
    order = products.WalkOrder(
        members, trie.sizes, int(trie.sizes.max()), _followers(trie, members), np.flatnonzero(scored), paths
    )  # fmt: skip
    rows = [source.in_place for source in summands]
    firsts = np.array([0 if stored is None else stored.ctypes.data for stored in rows])

    def walk(
        start: int,
        stop: int,
        labels: NDArray[np.int64],
        correct: Correctness,
        predicted: NDArray[np.int32],
        statistics: NDArray[np.float32],
    ) -> None:
        arrays = [
            source.block(start, stop) if stored is None else stored
            for source, stored in zip(summands, rows, strict=True)
        ]
        addresses = firsts + 4 * classes * start
        for m, stored in enumerate(rows):
            if stored is None:
                addresses[m] = arrays[m].ctypes.data
        statistics = statistics if len(statistics) else np.empty((1, 0, stop - start), np.float32)
        block = products.Block(addresses, labels, start, classes)
        results = products.Results(correct.cells, predicted, statistics)
        if classes > products.UNIT_LANES:
            products.walk_classes(block, order, plan, logits, results)
        else:
            products.walk_units(block, close, order, plan, logits, results)

    return walk


def _followers(trie: Prefixes, members: NDArray[np.int64]) -> NDArray[np.float32]:
    """float32 [M], 1 for each model that only ever runs right after the one before it, as replicas do; [0] if none."""
    before = np.where(trie.parents < 0, -1, members[trie.parents])
    follows = np.ones(members.max() + 1, np.float32)
    follows[members[before != members - 1]] = 0.0
    follows[0] = 0.0
    return follows if follows.any() else follows[:0]

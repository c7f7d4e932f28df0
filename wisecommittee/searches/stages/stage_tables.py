"""Stage tables: what every prefix of members answers on every unit, and how sure it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.confidence import Confidence
from wisecommittee.kernels import jit
from wisecommittee.searches.stages import calibrated
from wisecommittee.searches.stages.blocks import Summands, walk_blocks
from wisecommittee.searches.stages.correctness import Quality
from wisecommittee.searches.stages.pool import Pool
from wisecommittee.searches.stages.prefixes import Prefixes
from wisecommittee.searches.workers.threads import Progress, Workers
from wisecommittee.tasks import Answers, Segmentation

READERS = 4  # models that are opened at a time: each that is decoded takes some row groups of memory


@dataclass(frozen=True, slots=True)
class StageTables:
    """Correctness and confidence of every prefix.

    correct : of each node (Task.scale of a fully right unit); score : float32 [rows, N]; score_row : int64 [nodes] row
    of a node in score, -1 where it is never compared (stored scores: by member instead). prediction : int32 class or
    text [nodes, N] where asked for.
    """

    prefixes: Prefixes
    correct: Quality
    score: NDArray[np.float32]
    score_row: NDArray[np.int64]
    prediction: NDArray[np.generic] | None = None


def correct_key(pool: Pool, sequence: Sequence[int]) -> tuple[int, ...]:
    """Which prefix decides the prediction after these stages."""
    members = pool.members(sequence)
    return members[-1:] if pool.combine.ordered else tuple(sorted(members))


def stage_tables(
    pool: Pool,
    trie: Prefixes,
    scored: NDArray[np.bool_],
    *,
    predict: bool = False,
    threads: int = 1,
    progress: Progress | None = None,
    opened: Callable[[], object] | None = None,
) -> StageTables:
    """Tables of all prefixes; scored : bool [nodes] marks those whose confidence is needed. opened : called when all
    logits and probabilities are decoded and the long part begins."""
    nodes = len(trie)
    prediction: NDArray[np.generic] | None = None
    score = np.empty((0, pool.units), np.float32)
    if isinstance(pool.task, Segmentation):
        correct = Quality.empty(nodes, 0)  # statistics are read for one committee at a time
    elif isinstance(pool.task, Answers):
        correct = Quality.empty(nodes, pool.units, pool.task.scale)
        for node, member in enumerate(trie.members):
            correct.put(node, _answer_statistics(pool, int(member)))
        if predict:
            prediction = np.stack([pool.store.answers(pool.cards[m].model, pool.split) for m in trie.members])
    else:
        correct, predicted, score = _walk(
            pool, trie, scored, predict=predict, threads=threads, progress=progress, opened=opened
        )
        prediction = predicted if predict else None
    if isinstance(pool.confidence, str):
        stored = [calibrated.scores(pool.store, pool.split, card, pool.confidence) for card in pool.cards]
        return StageTables(trie, correct, np.stack(stored), trie.members.copy(), prediction)
    score_row = np.where(scored, np.cumsum(scored) - 1, -1)
    return StageTables(trie, correct, score, score_row, prediction)


def _answer_statistics(pool: Pool, member: int) -> NDArray[np.int32]:
    assert isinstance(pool.task, Answers)
    model = pool.cards[member].model
    if pool.task.name == "score":
        return pool.task.grade(pool.store.quality(model, pool.split))
    return pool.task.statistics(pool.store.answers(model, pool.split), pool.labels)


def _confidence_of(
    pool: Pool, members: NDArray[np.int64]
) -> Callable[[dict[str, NDArray[np.float32]]], NDArray[np.float32]]:
    """From the kernel's row statistics [rows, n] to confidences; members : the newest one of each row's prefix."""
    spaces = np.array([pool.space(int(m)) for m in members])
    different = np.unique(spaces).tolist()

    def confidence(statistics: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        assert isinstance(pool.confidence, Confidence)
        if len(different) == 1:
            return pool.confidence(statistics, different[0])
        out = np.empty_like(next(iter(statistics.values())))
        for space in different:
            here = spaces == space
            out[here] = pool.confidence({name: values[here] for name, values in statistics.items()}, space)
        return out

    return confidence


def _walk(
    pool: Pool,
    trie: Prefixes,
    scored: NDArray[np.bool_],
    *,
    predict: bool,
    threads: int,
    progress: Progress | None,
    opened: Callable[[], object] | None,
) -> tuple[Quality, NDArray[np.int32], NDArray[np.float32]]:
    """`walk_blocks` over the members of the trie."""
    models = np.unique(trie.members).tolist()
    wanted: set[str] = set()
    if scored.any() and isinstance(pool.confidence, Confidence):
        wanted = {name for m in models for name in pool.confidence.needs(pool.space(m))}
    summands = _opened(pool, models, threads, progress)
    if opened:
        opened()
    return walk_blocks(
        models,
        summands,
        pool.labels.astype(np.int64),
        trie,
        scored,
        wanted,
        _confidence_of(pool, trie.members[scored]),
        ordered=pool.combine.ordered,
        predict=predict,
        threads=threads,
        progress=progress,
    )


def _opened(pool: Pool, members: Sequence[int], threads: int, progress: Progress | None) -> list[Summands]:
    """Summands of these members: checked, and decoded where they never were, side by side while the kernels load."""
    opened = []
    with Workers(min(threads, READERS)) as workers:
        opening = [workers.submit(pool.summands, m) for m in members]
        jit.load()
        for one in opening:
            opened.append(one.result())
            if progress:
                progress("outputs", len(opened), len(members))
    return opened

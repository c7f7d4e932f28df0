"""Stage tables: correctness, prediction and confidence of every prefix of members on every unit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.confidence import Confidence
from wisecommittee.kernels import jit
from wisecommittee.searches.stages.blocks import RowStatistics, TableRequest, walk_blocks
from wisecommittee.searches.stages.correctness import Correctness
from wisecommittee.searches.stages.lookup import StageLookup
from wisecommittee.searches.stages.pool import Pool, deciding_models
from wisecommittee.searches.stages.prefixes import Prefixes, build_prefixes
from wisecommittee.searches.stages.summands import Summands
from wisecommittee.searches.workers.threads import Progress, Workers

READERS = 4  # models that are opened at a time: decoding a model takes the memory of a few row groups


@dataclass(frozen=True, slots=True)
class StageTables:
    """Correctness and confidence of every prefix of a set of combinations of a pool's models.

    prefixes : a node for each prefix that decides a prediction; correct : of each node (Task.scale of a fully right
    unit); score : float32 [rows, N] confidences; score_row : int64 [nodes] row of a node in `score`, -1 where it is
    never compared. Stored scores have a row for each model instead. prediction : int32 class or text [nodes, N] where
    asked for.

    A combination lists tiers of the pool in the order in which they run.
    """

    pool: Pool
    prefixes: Prefixes
    correct: Correctness
    score: NDArray[np.float32]
    score_row: NDArray[np.int64]
    prediction: NDArray[np.generic] | None = None

    def of_units(self, rows: NDArray[np.int64]) -> StageTables:
        """The same tables over these units only: what each prefix predicts does not depend on the other units.

        rows : int64 [n] positions among the units of the pool, ascending.
        """
        return replace(
            self,
            pool=self.pool.of_units(rows),
            correct=self.correct.of_units(rows),
            score=np.take(self.score, rows, axis=1),
            prediction=None if self.prediction is None else self.prediction[:, rows],
        )

    @property
    def lookup(self) -> StageLookup:
        """Node and row of every combination."""
        ordered, stored = self.pool.combine.ordered, isinstance(self.pool.confidence, str)
        return StageLookup(self.pool.tiers, self.prefixes.find, self.score_row, self.correct, ordered, stored)

    def node(self, combination: Sequence[int]) -> int:
        """The node of the prefix that decides the prediction after these tiers."""
        return self.lookup.node(combination)

    def nodes(self, combinations: Iterable[Sequence[int]]) -> list[int]:
        return [*map(self.lookup.node, combinations)]

    def row(self, combination: Sequence[int]) -> int:
        """The row of `score` with the confidence after these tiers; -1 if it is never compared."""
        return self.lookup.score_row(combination)

    def scores(self, combinations: Iterable[Sequence[int]]) -> NDArray[np.float32]:
        """float32 [n, N]: the confidence after each of these combinations, all of which are compared."""
        return self.score[[*map(self.lookup.score_row, combinations)]]


def correct_key(pool: Pool, combination: Sequence[int]) -> tuple[int, ...]:
    """The models whose outputs decide the prediction after these stages, as Prefixes.find has them."""
    return deciding_models(pool.members(combination), pool.combine.ordered)


def prefixes_for(
    pool: Pool, combinations: Iterable[Sequence[int]], compared: Iterable[Sequence[int]] = ()
) -> tuple[Prefixes, NDArray[np.bool_]]:
    """The prefixes that decide the predictions after these combinations of tiers, and bool [nodes] those whose
    confidence is to be computed: the compared prefixes, unless confidences are stored."""
    keys = {correct_key(pool, combination) for combination in combinations}
    asked = {correct_key(pool, combination) for combination in compared}
    trie = build_prefixes(keys | asked)
    scored = np.zeros(len(trie), dtype=bool)
    if isinstance(pool.confidence, Confidence):
        scored[[trie.find[key] for key in asked]] = True
    return trie, scored


def tables_for(
    pool: Pool,
    combinations: Iterable[Sequence[int]],
    *,
    compared: Iterable[Sequence[int]] = (),
    predict: bool = False,
    threads: int = 1,
    progress: Progress | None = None,
) -> StageTables:
    """Stage tables that hold the correctness after each of these combinations of tiers, and after the compared ones the
    confidence too."""
    trie, scored = prefixes_for(pool, combinations, compared)
    return stage_tables(pool, trie, scored, predict=predict, threads=threads, progress=progress)


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
    """Tables of all prefixes of a trie.

    scored : bool [nodes], the prefixes whose confidence is computed; predict : keep predictions too
    opened : called when all logits and probabilities are decoded and the long part begins
    """
    prediction: NDArray[np.generic] | None = None
    score = np.empty((0, pool.units), np.float32)
    if pool.averaged:
        predicted: NDArray[np.generic]
        correct, predicted, score = _walk(
            pool,
            trie,
            scored,
            predict=predict or not pool.task.exact_match,
            threads=threads,
            progress=progress,
            opened=opened,
        )
        if not pool.task.exact_match:
            correct = _scored_by_task(pool, len(trie), predicted)
        prediction = predicted if predict else None
    elif pool.task.width > 1:
        correct = Correctness.empty(len(trie), 0)  # statistics are read for one committee at a time
    else:
        models = [pool.stored(int(m)) for m in trie.members]
        correct = _scored_by_task(pool, len(trie), (pool.task.read(model) for model in models))
        prediction = np.stack([model.predictions() for model in models]) if predict else None
    if isinstance(pool.confidence, str):
        stored = [pool.stored_scores(m) for m in range(len(pool.cards))]
        return StageTables(pool, trie, correct, np.stack(stored), trie.members.copy(), prediction)
    score_row = np.where(scored, np.cumsum(scored) - 1, -1)
    return StageTables(pool, trie, correct, score, score_row, prediction)


def _scored_by_task(pool: Pool, nodes: int, predictions: Iterable[NDArray[np.generic]]) -> Correctness:
    """The statistics of the predictions [N] of every node, which the kernels cannot compute."""
    correct = Correctness.empty(nodes, pool.units, pool.task.scale)
    for node, prediction in enumerate(predictions):
        correct.put(node, pool.task.statistics(prediction, pool.labels))
    return correct


def _confidence_of(pool: Pool, members: NDArray[np.int64]) -> Callable[[RowStatistics], NDArray[np.float32]]:
    """The function from the kernel's row statistics [rows, n] to confidences. members : the newest member of each row's
    prefix."""
    spaces = np.array([pool.space(int(m)) for m in members])
    different = np.unique(spaces).tolist()

    def confidence(statistics: RowStatistics) -> NDArray[np.float32]:
        assert isinstance(pool.confidence, Confidence)
        if len(different) == 1:
            return pool.confidence(statistics, different[0])
        out = np.empty_like(next(iter(statistics.values())))
        for space in different:
            rows = spaces == space
            out[rows] = pool.confidence({name: values[rows] for name, values in statistics.items()}, space)
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
) -> tuple[Correctness, NDArray[np.int32], NDArray[np.float32]]:
    """`walk_blocks` over the members of the trie."""
    models = np.unique(trie.members).tolist()
    statistics: frozenset[str] = frozenset()
    if scored.any() and isinstance(pool.confidence, Confidence):
        statistics = frozenset(name for m in models for name in pool.confidence.needs(pool.space(m)))
    confidence = _confidence_of(pool, trie.members[scored])
    request = TableRequest(trie, scored, statistics, confidence, pool.combine.ordered, predict)
    summands = _opened(pool, models, threads, progress)
    if opened:
        opened()
    return walk_blocks(models, summands, pool.labels.astype(np.int64), request, threads=threads, progress=progress)


def _opened(pool: Pool, members: Sequence[int], threads: int, progress: Progress | None) -> list[Summands]:
    """Summands of these members; outputs that were never read are checked and decoded, in threads, while the kernels
    load."""
    opened = []
    with Workers(min(threads, READERS)) as workers:
        opening = [workers.submit(pool.summands, m) for m in members]
        jit.load()
        for future in opening:
            opened.append(future.result())
            if progress:
                progress("outputs", len(opened), len(members))
    return opened

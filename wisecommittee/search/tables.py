"""Store -> arrays: the pool a search runs over, the stage tables of all its prefixes, the exit table of one
committee."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.cards import Committee, ModelCard
from wisecommittee.committees.combine import Combine, combine_named
from wisecommittee.committees.confidence import CONFIDENCES, Confidence, confidence_named
from wisecommittee.committees.cost import CostModel, common_costs, cost_model
from wisecommittee.committees.replicas import resolve_replicas
from wisecommittee.errors import CommitteeError, StoreError, UsageError
from wisecommittee.kernels import jit
from wisecommittee.search import calibrated
from wisecommittee.search.calibrated import CalibratedRows
from wisecommittee.search.quality import Quality
from wisecommittee.search.selection import selected
from wisecommittee.search.single import segmentation
from wisecommittee.search.tries import Prefixes, build_prefixes
from wisecommittee.search.walks import Summands, walk_blocks
from wisecommittee.search.workers import Progress, Workers
from wisecommittee.store import LogitStore
from wisecommittee.tasks import Answers, Classification, Segmentation, Task

READERS = 4  # models that are opened at a time: each that is decoded takes some row groups of memory
Tiers = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class ExitTable:
    """One committee over N units, ready to be evaluated.

    score : float32 [K, N]; higher exits earlier; row K-1 is not compared
    stats : int32 [K, N, S] additive statistics if unit i exits at stage k
    cost  : int64 [K] or [K, N]; cumulative integer cost if it exits at stage k (times CostModel.unit)
    prediction : int64 [K, N] class, or text [K, N] for answers; None where only figures were asked for
    further : every other cost, cumulative int64 [K]
    """

    score: NDArray[np.float32]
    stats: NDArray[np.int32]
    cost: NDArray[np.int64]
    prediction: NDArray[np.generic] | None = None
    further: tuple[tuple[CostModel, NDArray[np.int64]], ...] = ()


@dataclass(frozen=True, slots=True)
class Pool:
    """The models of a search on one split, in canonical order, with how they are combined, scored and charged.

    cards : a model is used with the calibration on its card here, which need not be the store's.
    confidence : a function, or the name of a score stored with every model. tiers : what one stage can add, the models
    by themselves first; None if nothing else. Sequences and stages are of indices into the tiers, and so are `cost` and
    `further`, the other costs that every card names.
    """

    store: LogitStore
    split: str
    cards: tuple[ModelCard, ...]
    combine: Combine
    confidence: Confidence | str
    task: Task
    cost: CostModel
    labels: NDArray[np.generic]
    tiers: Tiers | None = None
    further: tuple[CostModel, ...] = ()

    def with_tiers(self, tiers: Tiers) -> Pool:
        """The same models, of which a stage can add any of these tiers."""
        if len(tiers) == len(self.cards):
            return self
        further = tuple(charges.of(tiers) for charges in self.further)
        return replace(self, tiers=tiers, cost=self.cost.of(tiers), further=further)

    def members(self, sequence: Sequence[int]) -> tuple[int, ...]:
        """The models that have run after these stages."""
        return members_of(self.tiers, sequence)

    @property
    def units(self) -> int:
        return len(self.labels)

    @property
    def confidence_name(self) -> str:
        return self.confidence if isinstance(self.confidence, str) else self.confidence.name

    @property
    def answers(self) -> bool:
        return self.cards[0].kind == "answers"

    @property
    def sequenced(self) -> bool:
        """Whether the order of members matters beyond their set (`last`, stored scores)."""
        return self.combine.ordered or isinstance(self.confidence, str)

    def index(self, model: str) -> int:
        return next(i for i, card in enumerate(self.cards) if card.model == model)

    def outputs(self, member: int) -> NDArray[np.floating] | CalibratedRows:
        """Rows [N, C] of a member, of which slices can be read; their kind is kind(member)."""
        return calibrated.outputs(self.store, self.split, self.cards[member])

    def kind(self, member: int) -> str:
        return calibrated.row_kind(self.cards[member])

    def space(self, member: int) -> str:
        """Where the mean of this member's summands lives: 'logits' or 'probabilities'."""
        return self.combine.space[self.kind(member)]

    def summands(self, member: int) -> Summands:
        return Summands(self.outputs(member), self.combine.summand[self.kind(member)], self.space(member))


def members_of(tiers: Tiers | None, sequence: Sequence[int]) -> tuple[int, ...]:
    """The models of a sequence of tiers, in the order they run."""
    return tuple(sequence) if tiers is None else tuple(m for step in sequence for m in tiers[step])


def select_cards(
    store: LogitStore, split: str, models: Sequence[str] | None, *, with_calibration: bool = False
) -> tuple[ModelCard, ...]:
    """Cards of the models that the patterns mean (selection.py; all of them by default), in canonical order, each with
    the architecture and the replica that it has among all models of the split.

    with_calibration : each with the calibration fitted on this split, or an error; else all without one.
    """
    store.require_split(split)
    cards = resolve_replicas(store.cards(split))
    if not cards:
        raise StoreError(f"store {store.files.uri!r} has no models in split {split!r}; extract or import some")
    names = selected([card.model for card in cards], models, split) if models else {card.model for card in cards}
    found = tuple(card for card in cards if card.model in names)
    if with_calibration:
        calibrated.require_calibrated(found, split)
        return found
    return tuple(card.with_calibration(None) for card in found)


def open_pool(
    store: LogitStore,
    split: str,
    cards: Sequence[ModelCard],
    *,
    combine: str | None = None,
    confidence: str | None = None,
    cost: str = "flops",
) -> Pool:
    """Check that these models can be combined, scored and charged together, and load what is small.

    Defaults: mean_logits and max_prob for outputs, last and the stored score 'confidence' for answers.
    cards : with the calibrations to use.
    """
    kinds = {card.kind for card in cards}
    settled = next((kind for kind in ("answers", "statistics") if kind in kinds), None)  # nothing left to average
    if settled and len(kinds) > 1:
        raise UsageError(
            f"{' and '.join(sorted(kinds))} cannot be combined in one committee; choose models with --models"
        )
    rule = combine_named(combine or ("last" if settled else "mean_logits"))
    if settled and not rule.ordered:
        noun = {"answers": "answers", "statistics": "counts of pixels"}[settled]
        raise UsageError(f"{noun} cannot be averaged by {rule.name}; they go with `last`: the newest member answers")
    stored = _common_scores(cards)
    name = confidence or ("confidence" if settled else "max_prob")
    if settled and name in CONFIDENCES:
        raise UsageError(
            f"confidence {name!r} needs logits; {settled} carry their own: {', '.join(stored) or 'none stored'}"
        )
    function = confidence_named(name, stored)
    units = len(store.labels(split))
    varying = {
        card.model: store.unit_costs(card.model, split, cost)
        for card in cards
        if card.contents is not None and cost in card.contents.unit_costs
    }
    task: Task = Classification()
    if settled == "statistics":
        task = segmentation(cards[0])
    elif settled:
        graded = all(card.contents is not None and card.contents.graded for card in cards)
        task = Answers.graded([store.quality(c.model, split) for c in cards]) if graded else Answers()
    charges = cost_model(cards, cost, units, varying)
    further = tuple(cost_model(cards, other, units) for other in common_costs(cards) if other != cost)
    return Pool(store, split, tuple(cards), rule, function, task, charges, store.labels(split), further=further)


def _common_scores(cards: Sequence[ModelCard]) -> tuple[str, ...]:
    names = [set(card.contents.scores) if card.contents else set() for card in cards]
    return tuple(sorted(set.intersection(*names))) if names else ()


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


def score_row(pool: Pool, tables: StageTables, sequence: Sequence[int]) -> int:
    """Row of tables.score with the confidence after these stages; -1 if it is never compared."""
    if isinstance(pool.confidence, str):
        return pool.members(sequence)[-1]
    return int(tables.score_row[tables.prefixes.find[correct_key(pool, sequence)]])


def assemble(pool: Pool, tables: StageTables, stages: Sequence[Sequence[int]]) -> ExitTable:
    """The exit table of these stages, each of one or several tiers, from stage tables that hold all its prefixes."""
    sequences = running(stages)
    nodes = [tables.prefixes.find[correct_key(pool, sequence)] for sequence in sequences]
    if isinstance(pool.task, Segmentation):
        newest = [pool.store.outputs(pool.cards[sequence[-1]].model, pool.split) for sequence in sequences]
        stats = np.stack(newest).astype(np.int32)
    else:
        stats = tables.correct.rows(nodes).astype(np.int32)[:, :, None]
    prediction = None if tables.prediction is None else tables.prediction[nodes]
    further = tuple((charges, charges.stages(stages)) for charges in pool.further)
    return ExitTable(scores(pool, tables, sequences), stats, pool.cost.stages(stages), prediction, further)


def scores(pool: Pool, tables: StageTables, sequences: Sequence[Sequence[int]]) -> NDArray[np.float32]:
    """float32 [K, N] confidences after these stages; 0 after the last and where they are never compared."""
    score = np.zeros((len(sequences), pool.units), np.float32)
    for k, sequence in enumerate(sequences[:-1]):
        row = score_row(pool, tables, sequence)
        if row >= 0:  # the prefixes of an ensemble are never compared
            score[k] = tables.score[row]
    return score


def running(stages: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """The tiers a unit has run after each stage."""
    return [tuple(step for stage in stages[: k + 1] for step in stage) for k in range(len(stages))]


def committee_tables(pool: Pool, committees: Sequence[Committee], *, predict: bool = False) -> list[ExitTable]:
    """Exit tables of committees of pool members, straight from the stored outputs, in one pass over them."""
    tables = prefix_tables(pool, committees, predict=predict)
    return [assemble(pool, tables, stage_indices(pool, committee)) for committee in committees]


def prefix_tables(
    pool: Pool, committees: Sequence[Committee], *, predict: bool = False, threads: int = 1
) -> StageTables:
    """Stage tables of every prefix of these committees."""
    every = [running(stage_indices(pool, committee)) for committee in committees]
    keys = {correct_key(pool, sequence) for sequences in every for sequence in sequences}
    compared = {correct_key(pool, sequence) for sequences in every for sequence in sequences[:-1]}
    trie = build_prefixes(keys)
    scored = np.zeros(len(trie), dtype=bool)
    if isinstance(pool.confidence, Confidence):
        scored[[trie.find[key] for key in compared]] = True
    return stage_tables(pool, trie, scored, predict=predict, threads=threads)


def stage_indices(pool: Pool, committee: Committee) -> list[list[int]]:
    """The stages of a committee as indices of models."""
    try:
        return [[pool.index(model) for model in stage] for stage in committee.stages]
    except StopIteration:
        raise CommitteeError(f"{committee.label()}: not all of its members are in the pool") from None

"""The one place where a cascade is evaluated. Every reported figure comes from here."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wisecommittee.committees.cards import StoredCard
from wisecommittee.committees.committee import Committee
from wisecommittee.committees.confidence import scale_of
from wisecommittee.committees.cost import CostModel
from wisecommittee.errors import CommitteeError, WiseCommitteeError, counted
from wisecommittee.searches.evaluation import Cost, Evaluation
from wisecommittee.searches.stages.calibrated import as_chosen, recorded
from wisecommittee.searches.stages.exit_table import ExitTable, assemble, prefix_tables, stage_indices
from wisecommittee.searches.stages.pool import Pool, open_pool
from wisecommittee.searches.stages.stage_tables import StageTables
from wisecommittee.searches.workers.threads import thread_count
from wisecommittee.store import LogitStore, StoreLike, open_store
from wisecommittee.tasks import Task

BATCH_BITS = 1 << 28  # that committees of the same stages take at a time


def exit_stages(score: NDArray[np.float32], thresholds: ArrayLike) -> NDArray[np.int64]:
    """int64 [N]: the first stage k with score[k] >= thresholds[k], else the last (Wang et al. 2022, Alg. 1); both as
    they are carried (`Committee.carried`)."""
    units = score.shape[1]
    stage = np.zeros(units, np.int64)
    for waiting in _waiting(score, np.asarray(thresholds, np.float32)[None]):
        stage += np.unpackbits(waiting.view(np.uint8)[0], count=units)
    return stage


def exit_counts(score: NDArray[np.float32], thresholds: NDArray[np.float32]) -> NDArray[np.int64]:
    """int64 [n, K]: how many units exit at each stage with each vector of thresholds [n, K - 1]."""
    exits = []
    for some in _batches(thresholds, score.shape[1]):
        reached = [np.full(len(some), score.shape[1]), *map(_count, _waiting(score, some))]
        exits.append(-np.diff(reached, axis=0, append=0).T)
    return np.concatenate(exits)


def _batches(thresholds: NDArray[np.float32], bits: int) -> Iterator[NDArray[np.float32]]:
    """Vectors of thresholds [n, K - 1], some at a time; bits : that each of them takes."""
    step = max(1, BATCH_BITS // bits)
    for start in range(0, len(thresholds), step):
        yield thresholds[start : start + step]


def _waiting(score: NDArray[np.float32], thresholds: NDArray[np.float32]) -> Iterator[NDArray[np.uint64]]:
    """After each stage but the last, the units that go on with each vector of thresholds: bits, [n, ceil(N / 64)].

    score : float32 [K, N], of which the last row is not read; thresholds : float32 [n, K - 1].
    """
    waiting = _bits(np.ones(score.shape[1], dtype=bool))[None]
    for row, column in zip(score[:-1], thresholds.T, strict=True):
        distinct, which = np.unique(column, return_inverse=True)
        waiting = waiting & ~np.stack([_bits(row >= threshold) for threshold in distinct])[which]
        yield waiting


def _bits(units: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """One bit for each of [N]."""
    packed = np.packbits(units)
    words = np.zeros(-(-len(packed) // 8), np.uint64)
    words.view(np.uint8)[: len(packed)] = packed
    return words


def _count(bits: NDArray[np.uint64]) -> NDArray[np.int64]:
    """How many are set in each line."""
    return np.bitwise_count(bits).sum(axis=-1, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class _Sums:
    """exits : units by stage; interval : of a graded quality; cost : the committee's own."""

    exits: Sequence[int]
    correct: float
    quality: float
    interval: tuple[float, float] | None
    cost: Cost


def evaluate_table(
    table: ExitTable, committees: Sequence[Committee], task: Task, charges: CostModel, split: str
) -> list[Evaluation]:
    """Of committees of the same stages: sum the statistics and the cost each unit has at the stage where it exits."""
    units = table.score.shape[1]
    vectors = carried_thresholds(committees)
    if task.counts and table.cost.ndim == 1:
        sums = [own for some in _batches(vectors, units) for own in _counted(table, some, task, charges)]
    else:
        batches = _batches(vectors, 32 * units * task.width)
        sums = [own for some in batches for own in _summed(table, some, task, charges)]
    return [
        Evaluation(
            committee,
            split,
            units,
            own.correct,
            own.quality,
            {charges.name: own.cost}
            | {c.name: Cost.of(c, costs, own.exits, int(costs[-1])) for c, costs in table.further},
            tuple(e / units for e in own.exits),
            own.interval,
            task.measure,
        )
        for committee, own in zip(committees, sums, strict=True)
    ]


def carried_thresholds(committees: Sequence[Committee]) -> NDArray[np.float32]:
    """float32 [n, K - 1] of committees of the same confidence and number of stages, on the scale of stage tables."""
    shape = (len(committees), len(committees[0].stages) - 1)
    odds = [value for c in committees for value in c.log_odds or (None,) * shape[1]]
    values = [value for c in committees for value in c.thresholds]
    return scale_of(committees[0].confidence).carried(values, odds).reshape(shape)


def _counted(table: ExitTable, vectors: NDArray[np.float32], task: Task, charges: CostModel) -> list[_Sums]:
    """Where units are right or wrong and cost the same: with each vector of thresholds [n, K - 1], by counting bits."""
    stages, units = table.score.shape
    before, left = _bits(np.ones(units, dtype=bool))[None], np.zeros((1, 1), np.uint64)
    exits, correct = np.empty((stages, len(vectors)), np.int64), np.zeros(len(vectors), np.int64)
    for k, after in enumerate(itertools.chain(_waiting(table.score, vectors), [left])):
        leaving = before & ~after
        exits[k] = _count(leaving)
        correct += _count(leaving & _bits(table.stats[k, :, 0] != 0))
        before = after
    quality = task.quality(correct[:, None], units).tolist()
    worst, found = int(table.cost[-1]), []
    for counts, right, share in zip(exits.T.tolist(), correct.tolist(), quality, strict=True):
        found.append(_Sums(counts, right, share, None, Cost.of(charges, table.cost, counts, worst)))
    return found


def _summed(table: ExitTable, vectors: NDArray[np.float32], task: Task, charges: CostModel) -> list[_Sums]:
    """With each vector of thresholds [n, K - 1], from the statistics and the cost of every unit."""
    stages, units = table.score.shape
    everyone, worst = np.arange(units), int(np.max(table.cost[-1]))
    statistics = np.empty((len(vectors), units, task.width), np.int32)
    exits, costs = [], []
    for thresholds, line in zip(vectors, statistics, strict=True):
        stage = exit_stages(table.score, thresholds)
        # One flat index is twice as fast as two.
        np.take(table.stats.reshape(stages * units, -1), stage * units + everyone, axis=0, out=line)
        exits.append(np.bincount(stage, minlength=stages).tolist())
        if table.cost.ndim == 1:
            costs.append(Cost.of(charges, table.cost, exits[-1], worst))
        else:
            costs.append(Cost.of(charges, table.cost[stage, everyone], np.ones(units, np.int64), worst))
    totals = statistics.sum(axis=1, dtype=np.int64)
    correct, quality = [task.correct(total) for total in totals], task.quality(totals, units).tolist()
    return list(map(_Sums, exits, correct, quality, task.intervals(statistics), costs))


def evaluate(
    committee: Committee,
    store: StoreLike,
    split: str = "test",
    *,
    force: bool = False,
    cost: str | None = None,
    threads: int | None = None,
) -> Evaluation:
    """Evaluate a committee on a split of a store that holds its members.

    Refuses members whose weights, multiply-adds or calibration differ from those the committee was chosen with, unless
    force.
    """
    return evaluate_all([committee], store, split, force=force, cost=cost, threads=threads)[0]


def evaluate_all(
    committees: Sequence[Committee],
    store: StoreLike,
    split: str = "test",
    *,
    force: bool = False,
    cost: str | None = None,
    threads: int | None = None,
) -> list[Evaluation]:
    """Evaluate committees that share confidence, rule and cost, in one pass over their members' outputs."""
    if not committees:
        return []
    pool = members_pool(committees, open_store(store), split, force=force, cost=cost)
    return evaluate_in(pool, committees if cost is None else [replace(c, cost=cost) for c in committees], threads)


def members_alone(committee: Committee) -> list[Committee]:
    """Every member by itself, as the committee uses it; none of a single model."""
    if committee.shape == "single":
        return []
    return [
        replace(
            committee,
            stages=((model,),),
            thresholds=(),
            log_odds=(),
            members={model: committee.members[model]} if model in committee.members else {},
        )
        for model in committee.models
    ]


def members_pool(
    committees: Sequence[Committee], store: LogitStore, split: str, *, force: bool = False, cost: str | None = None
) -> Pool:
    """The pool that consists of the committees' members, checked to be the models they were chosen with."""
    store.require_split(split)
    first = committees[0]
    if len({(c.confidence, c.combine, c.cost) for c in committees}) > 1:
        raise CommitteeError("committees with different confidence, rule or cost cannot share one evaluation")
    members = sorted({model for committee in committees for model in committee.models})
    known = set(store.models(split))
    if missing := [model for model in members if model not in known]:
        raise CommitteeError(
            f"the committee has {', '.join(missing)}, which {store.files.uri!r} does not hold in split {split!r} "
            f"({counted(len(known), 'model')} there); extract or import it, or name the store it was chosen from"
        )
    cards = {model: store.card(model, split) for model in members}
    chosen_with: dict[str, Mapping[str, Any]] = {}
    for committee in committees:
        for model in committee.models:
            member = committee.members.get(model, {})
            if not force:
                check_identity(cards[model], member)
            if chosen_with.setdefault(model, member).get("calibration") != member.get("calibration"):
                raise CommitteeError(f"committees with different calibrations of {model} cannot share one evaluation")
    cards = {model: as_chosen(cards[model], chosen_with[model], store, split, force=force) for model in members}
    ordered = sorted(cards.values(), key=lambda card: card.key)
    try:
        return open_pool(
            store, split, ordered, combine=first.combine, confidence=first.confidence, cost=cost or first.cost
        )
    except WiseCommitteeError as error:
        raise CommitteeError(f"this committee cannot be evaluated on {store.files.uri!r}: {error}") from error


def evaluate_in(pool: Pool, committees: Sequence[Committee], threads: int | None = None) -> list[Evaluation]:
    """Evaluate committees of models of an open pool, straight from the stored outputs, in one pass over them."""
    return evaluate_with(pool, prefix_tables(pool, committees, threads=thread_count(threads)), committees)


def evaluate_with(pool: Pool, tables: StageTables, committees: Sequence[Committee]) -> list[Evaluation]:
    """Evaluate committees from stage tables that hold all their prefixes."""
    alike: dict[tuple[tuple[str, ...], ...], list[int]] = {}
    for place, committee in enumerate(committees):
        alike.setdefault(committee.stages, []).append(place)
    found: dict[int, Evaluation] = {}
    for places in alike.values():
        table = assemble(tables, stage_indices(pool, committees[places[0]]))
        some = evaluate_table(table, [committees[place] for place in places], pool.task, pool.cost, pool.split)
        found.update(zip(places, some, strict=True))
    return [found[place] for place in range(len(committees))]


def identity(card: StoredCard) -> dict[str, Any]:
    """What makes a member the same model elsewhere: its kind, its blocks and, where known, the hash of its weights;
    with the calibration it is used with, if any."""
    out: dict[str, Any] = {"kind": card.kind, "blocks": dict(card.blocks), "weights": card.weights}
    if card.calibration is not None:
        out["calibration"] = recorded(card)
    return out


def check_identity(card: StoredCard, recorded: Mapping[str, Any]) -> None:
    """Raise if the store's model is not the one the committee was chosen with."""
    if not recorded:
        return
    now = identity(card)
    for name, noun in (("weights", "weights"), ("blocks", "multiply-adds"), ("kind", "kind of outputs")):
        before = recorded.get(name)
        if before and now[name] and before != now[name]:
            raise CommitteeError(
                f"{card.model}: its {noun} differ from those the committee was chosen with "
                f"({_short(before)}, now {_short(now[name])}); search again, or evaluate anyway with --force"
            )


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."

"""The one place where a cascade is evaluated. Every reported figure comes from here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.cards import Committee, ModelCard
from wisecommittee.committees.cost import CostModel
from wisecommittee.errors import CommitteeError, UnknownNameError, WiseCommitteeError
from wisecommittee.search.axis import share_above
from wisecommittee.search.calibrated import as_chosen, recorded
from wisecommittee.search.statistics import bootstrap_interval, normal_interval, wilson_interval
from wisecommittee.search.tables import ExitTable, Pool, committee_tables, open_pool
from wisecommittee.store import LogitStore
from wisecommittee.tasks import Segmentation, Task


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a committee does on a split.

    quality : in [0, 1]; correct : sum of the task's statistic (segmentation: pixels that are right); n : units
    average_cost, worst_case_cost : in units of `cost` ('flops' = multiply-adds); exit_ratios : share of units per stage
    p99_cost : the least cost that 99 % of the units do not exceed; further : {name: (average, worst case)} of all other
    costs on every card
    graded_interval : 95 % interval of a graded quality or of mIoU; None where units are right or wrong
    measure : what quality is: accuracy (or mean grade), or mIoU
    """

    committee: Committee
    split: str
    n: int
    correct: float
    quality: float
    average_cost: float
    worst_case_cost: float
    exit_ratios: tuple[float, ...]
    p99_cost: float = 0.0
    further: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    graded_interval: tuple[float, float] | None = None
    measure: str = "accuracy"

    def cost_named(self, name: str) -> float:
        """average_cost, worst_case_cost, p99_cost, or average_NAME and worst_case_NAME of a further cost."""
        own = {"average_cost": self.average_cost, "worst_case_cost": self.worst_case_cost, "p99_cost": self.p99_cost}
        for other, (average, worst) in self.further.items():
            own |= {f"average_{other}": average, f"worst_case_{other}": worst}
        own |= {f"average_{self.committee.cost}": self.average_cost}
        own |= {f"worst_case_{self.committee.cost}": self.worst_case_cost}
        if name not in own:
            raise UnknownNameError("cost", name, own)
        return own[name]

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of quality: Wilson for counts, bootstrap for grades, linearised for mIoU."""
        return self.graded_interval or wilson_interval(int(self.correct), self.n)

    def figures(self) -> dict[str, Any]:
        """The figures of the contract, without the committee."""
        out: dict[str, Any] = {
            "n": self.n,
            "correct": self.correct,
            "quality": self.quality,
            "interval": list(self.interval),
            "average_cost": self.average_cost,
            "worst_case_cost": self.worst_case_cost,
            "p99_cost": self.p99_cost,
            "further_costs": {n: {"average": a, "worst_case": w} for n, (a, w) in self.further.items()},
            "exit_ratios": list(self.exit_ratios),
        }
        if self.committee.cost == "flops":
            out["average_flops"], out["worst_case_flops"] = self.average_cost, self.worst_case_cost
        return out


def exit_stages(score: NDArray[np.float32], thresholds: Sequence[float]) -> NDArray[np.int64]:
    """int64 [N]: the first stage k with score[k] >= thresholds[k], else the last (Wang et al. 2022, Alg. 1)."""
    waiting = np.ones(score.shape[1], dtype=bool)
    passed = np.zeros(score.shape[1], dtype=np.int64)
    for row, threshold in zip(score[:-1], thresholds, strict=True):
        waiting &= ~(row >= np.float32(threshold))
        passed += waiting
    return passed


def evaluate_table(table: ExitTable, committee: Committee, task: Task, charges: CostModel, split: str) -> Evaluation:
    """Sum the statistics and the cost each unit has at the stage where it exits."""
    stages, units = table.score.shape
    stage = exit_stages(table.score, committee.thresholds)
    everyone = np.arange(units)
    # One flat index is twice as fast as two.
    statistics = np.take(table.stats.reshape(stages * units, -1), stage * units + everyone, axis=0)
    correct, quality, interval = _scored(task, statistics)
    exits = np.bincount(stage, minlength=stages)
    place = units - share_above(units) - 1  # of the 99th percentile among the units by rising cost
    if table.cost.ndim == 1:
        spent = _total(exits, table.cost)
        p99 = table.cost[np.searchsorted(np.cumsum(exits), place, side="right")]
    else:
        paid = table.cost[stage, everyone]
        spent = int(paid.sum(dtype=np.int64))
        p99 = np.partition(paid, place)[place]
    return Evaluation(
        committee,
        split,
        units,
        correct,
        quality,
        charges.true(spent, units),
        charges.true(int(np.max(table.cost[-1]))),
        tuple(float(e) / units for e in exits),
        charges.true(int(p99)),
        {c.name: (c.true(_total(exits, own), units), c.true(int(own[-1]))) for c, own in table.further},
        interval,
        "mIoU" if isinstance(task, Segmentation) else "accuracy",
    )


def _total(exits: NDArray[np.int64], cost: NDArray[np.int64]) -> int:
    return sum(int(count) * int(each) for count, each in zip(exits, cost, strict=True))


def _scored(task: Task, statistics: NDArray[np.int32]) -> tuple[float, float, tuple[float, float] | None]:
    """Correct, quality and, unless units are right or wrong, its 95 % interval, from statistics [N, S]."""
    totals = statistics.sum(axis=0, dtype=np.int64)
    if isinstance(task, Segmentation):
        quality = float(task.quality(totals))
        return task.correct(totals), quality, normal_interval(quality, statistics @ task.gradient(totals))
    total, quality = int(totals[0]), task.quality(int(totals[0]), len(statistics))
    if task.scale == 1:
        return total, quality, None
    return total / task.scale, quality, bootstrap_interval(statistics[:, 0] / task.scale)


def evaluate(
    committee: Committee, store: LogitStore, split: str = "test", *, force: bool = False, cost: str | None = None
) -> Evaluation:
    """Evaluate a committee on a split of a store that holds its members.

    Refuses members whose weights, multiply-adds or calibration differ from those the committee was chosen with, unless
    force.
    """
    return evaluate_all([committee], store, split, force=force, cost=cost)[0]


def evaluate_all(
    committees: Sequence[Committee],
    store: LogitStore,
    split: str = "test",
    *,
    force: bool = False,
    cost: str | None = None,
) -> list[Evaluation]:
    """Evaluate committees that share confidence, rule and cost, in one pass over their members' outputs."""
    if not committees:
        return []
    pool = members_pool(committees, store, split, force=force, cost=cost)
    return evaluate_in(pool, committees if cost is None else [replace(c, cost=cost) for c in committees])


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
            f"({len(known)} models there); extract or import it, or name the store it was chosen from"
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


def evaluate_in(pool: Pool, committees: Sequence[Committee]) -> list[Evaluation]:
    """Evaluate committees of models of an open pool."""
    return [
        evaluate_table(table, committee, pool.task, pool.cost, pool.split)
        for table, committee in zip(committee_tables(pool, committees), committees, strict=True)
    ]


def identity(card: ModelCard) -> dict[str, Any]:
    """What makes a member the same model elsewhere: its kind, its blocks and, where known, the hash of its weights;
    with the calibration it is used with, if any."""
    out: dict[str, Any] = {"kind": card.kind, "blocks": dict(card.blocks), "weights": card.weights}
    if card.calibration is not None:
        out["calibration"] = recorded(card)
    return out


def check_identity(card: ModelCard, recorded: Mapping[str, Any]) -> None:
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

"""The models of a search on one split: how they are combined, scored and charged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.cards import StoredCard
from wisecommittee.committees.combine import Combine, combine_named, normalised_logs
from wisecommittee.committees.confidence import NO_CONFIDENCE, Confidence
from wisecommittee.committees.cost import CostModel, common_costs, cost_model
from wisecommittee.committees.replicas import resolve_replicas
from wisecommittee.errors import StoreError, UsageError, option
from wisecommittee.searches.distribution import NO_DETAIL, CostDetail
from wisecommittee.searches.stages import calibrated
from wisecommittee.searches.stages.calibrated import CalibratedRows
from wisecommittee.searches.stages.patterns import selected
from wisecommittee.searches.stages.pool_confidence import confidence_of
from wisecommittee.searches.stages.split_model import SplitModel
from wisecommittee.searches.stages.summands import Summands
from wisecommittee.store import LogitStore
from wisecommittee.store.feature_table import Features
from wisecommittee.tasks import Task, task_of
from wisecommittee.tasks.classification import BLOCK
from wisecommittee.tasks.task import agreement_with

Tiers = tuple[tuple[int, ...], ...]
# Kinds of outputs that cannot be averaged over members, as messages call them.
UNAVERAGED = {"answers": "answers", "cell_counts": "counts of pixels"}


@dataclass(frozen=True, slots=True)
class Pool:
    """The models of a search on one split, in canonical order, with how they are combined, scored and charged.

    cards : of the models; each model is used with the calibration on this card, which may differ from the store's
    confidence : a function of combined outputs, or the name of a score stored with every model
    tiers : the groups of models that a stage can add; tier m < M is model m alone. None: single models only
    cost : the cost that is searched; further : the other costs that every card names
    rows : int64 [N], the units of the pool as positions in the split, ascending; None: all of them
    detail : what evaluations on this pool say of the distribution of costs

    Combinations, stages, `cost` and `further` index tiers, not models.
    """

    store: LogitStore
    split: str
    cards: tuple[StoredCard, ...]
    combine: Combine
    confidence: Confidence | str
    task: Task
    cost: CostModel
    labels: NDArray[np.generic]
    tiers: Tiers | None = None
    further: tuple[CostModel, ...] = ()
    rows: NDArray[np.int64] | None = None
    detail: CostDetail = NO_DETAIL

    def of_units(self, rows: NDArray[np.int64]) -> Pool:
        """The same models on these units only. rows : int64 [n] positions among the units of this pool, ascending."""
        return replace(
            self,
            labels=self.labels[rows],
            cost=self.cost.of_units(rows),
            further=tuple(charges.of_units(rows) for charges in self.further),
            rows=rows if self.rows is None else self.rows[rows],
        )

    def with_fees(self, fees: Iterable[float | Fraction]) -> Pool:
        """The same pool, whose costs can be summed exactly with these costs of policies."""
        cost = self.cost
        for fee in fees:
            cost = cost.finer(fee, self.units)
        return self if cost is self.cost else replace(self, cost=cost)

    def with_tiers(self, tiers: Tiers) -> Pool:
        """The same pool, in which a stage can add any of these tiers."""
        if len(tiers) == len(self.cards):
            return self
        further = tuple(charges.of(tiers) for charges in self.further)
        return replace(self, tiers=tiers, cost=self.cost.of(tiers), further=further)

    def members(self, combination: Sequence[int]) -> tuple[int, ...]:
        """The models of these tiers, in the order in which they run."""
        return members_of(self.tiers, combination)

    @property
    def units(self) -> int:
        return len(self.labels)

    @property
    def parallel(self) -> tuple[str, ...]:
        """The costs of which a stage takes that of its dearest member."""
        return tuple(charges.name for charges in (self.cost, *self.further) if charges.parallel)

    @property
    def confidence_name(self) -> str:
        return self.confidence if isinstance(self.confidence, str) else self.confidence.name

    @property
    def quality(self) -> str:
        """The name of the quality on axes and in headings."""
        trusted = self.store.labels_from
        return self.task.label if trusted is None else agreement_with(trusted)

    @property
    def averaged(self) -> bool:
        """Whether outputs are rows over classes, which members average, and not answers or counts."""
        return self.cards[0].kind not in UNAVERAGED

    @property
    def sequenced(self) -> bool:
        """Whether predictions or confidences depend on the order of members (`last`, stored scores)."""
        return self.combine.ordered or isinstance(self.confidence, str)

    def index(self, model: str) -> int:
        return next(i for i, card in enumerate(self.cards) if card.model == model)

    def stored(self, member: int) -> SplitModel:
        return SplitModel(self.store, self.split, self.cards[member], self.rows)

    def outputs(self, member: int) -> NDArray[np.floating] | CalibratedRows:
        """Outputs [N, C] of a member, read by slices of units; their kind is kind(member)."""
        return calibrated.outputs(self.store, self.split, self.cards[member], self.rows)

    def stored_scores(self, member: int) -> NDArray[np.float32]:
        """float32 [N]: the confidence of a member that the pool names, where confidences are stored; 0 if it names
        none."""
        assert isinstance(self.confidence, str)
        if self.confidence == NO_CONFIDENCE:
            return np.zeros(self.units, np.float32)
        return calibrated.scores(self.store, self.split, self.cards[member], self.confidence, self.rows)

    def unit_ids(self) -> NDArray[np.str_]:
        """Text [N]."""
        every = np.asarray(self.store.unit_ids(self.split))
        return every if self.rows is None else every[self.rows]

    def features(self) -> Features:
        """{column: float64 or text [N]} that is known before any model runs; empty if the split has none."""
        every = self.store.features(self.split)
        return every if self.rows is None else {name: values[self.rows] for name, values in every.items()}

    def kind(self, member: int) -> str:
        return calibrated.row_kind(self.cards[member])

    def space(self, member: int) -> str:
        """Where the mean of this member's summands lives: 'logits' or 'probabilities'."""
        return self.combine.space[self.kind(member)]

    def log_probabilities(self, member: int) -> NDArray[np.float32]:
        """float32 [N, C]: logarithms of the probabilities that a member gives the classes."""
        outputs, kind = self.outputs(member), self.kind(member)
        step = max(1, BLOCK // outputs.shape[1])
        parts = [normalised_logs(outputs[a : a + step].astype(np.float32), kind) for a in range(0, self.units, step)]
        return np.concatenate(parts)

    def summands(self, member: int) -> Summands:
        return Summands(self.outputs(member), self.combine.summand[self.kind(member)], self.space(member))


def members_of(tiers: Tiers | None, combination: Sequence[int]) -> tuple[int, ...]:
    """The models of these tiers, in the order in which they run."""
    return tuple(combination) if tiers is None else tuple(m for tier in combination for m in tiers[tier])


def deciding_models(members: tuple[int, ...], ordered: bool) -> tuple[int, ...]:
    """The models whose outputs decide the prediction after these members, as Prefixes.find has them: the newest if the
    rule is ordered, else all, ascending."""
    return members[-1:] if ordered else tuple(sorted(members))


def select_cards(
    store: LogitStore, split: str, models: Sequence[str] | None, *, with_calibration: bool = False
) -> tuple[StoredCard, ...]:
    """Cards of the models that the patterns mean (patterns.py; None: all models), in canonical order, each with the
    architecture and the replica that it has among all models of the split.

    with_calibration : cards keep the calibration fitted on this split, which every model must have; else they have
    none.
    """
    store.require_split(split)
    cards = resolve_replicas(store.cards(split))
    if not cards:
        raise StoreError(f"store {store.files.uri!r} has no models in split {split!r}; extract or import some")
    names = selected([card.model for card in cards], models, split) if models else {card.model for card in cards}
    chosen = tuple(card for card in cards if card.model in names)
    if with_calibration:
        calibrated.require_calibrated(chosen, split)
        return chosen
    return tuple(card.with_calibration(None) for card in chosen)


def open_pool(
    store: LogitStore,
    split: str,
    cards: Sequence[StoredCard],
    *,
    combine: str | None = None,
    confidence: str | None = None,
    cost: str = "flops",
    labelled: bool = True,
    compared: bool = True,
    parallel: Sequence[str] = (),
) -> Pool:
    """The pool of these models, checked to be combined, scored and charged together; loads labels and costs, but no
    outputs.

    Defaults: mean_logits and max_prob for rows over classes, `last` and the stored score 'confidence' for answers and
    counts, 'none' for answers without that score. cards : with the calibrations to use; labelled : whether the split
    must have labels; compared : whether committees compare a confidence, so that answers need the one that is named;
    parallel : costs of which a stage takes that of its dearest member. Every stage is charged the overhead that the
    store has for a cost.
    """
    kinds = {card.kind for card in cards}
    settled = next((noun for kind, noun in UNAVERAGED.items() if kind in kinds), None)
    if settled and len(kinds) > 1:
        raise UsageError(
            f"{' and '.join(sorted(kinds))} cannot be combined in one committee; choose models with {option('models')}"
        )
    rule = combine_named(combine or ("last" if settled else "mean_logits"))
    if settled and not rule.ordered:
        raise UsageError(f"{settled} cannot be averaged by {rule.name}; they go with `last`: the newest member answers")
    function = confidence_of(cards, confidence, settled, compared=compared)
    labels = store.labels(split) if labelled else store.units(split).labels
    units, overheads = len(labels), store.stage_overhead().costs

    def charges_of(name: str) -> CostModel:
        varying = [card.model for card in cards if name in card.contents.unit_costs]
        per_unit = {model: store.unit_costs(model, split, name) for model in varying}
        model = cost_model(cards, name, units, per_unit, stage=overheads.get(name, 0))
        return replace(model, parallel=name in parallel)

    task, charges = task_of([SplitModel(store, split, card) for card in cards]), charges_of(cost)
    further = tuple(map(charges_of, (name for name in common_costs(cards) if name != cost)))
    return Pool(store, split, tuple(cards), rule, function, task, charges, labels, further=further)

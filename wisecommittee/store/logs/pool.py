"""The models of logs with labels, costs and what is stored for units without an answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from wisecommittee.committees.cards import ModelCard
from wisecommittee.errors import CostError, option
from wisecommittee.store.feature_table import FeatureTable
from wisecommittee.store.imports.missing import filled, recorded, said_of
from wisecommittee.store.imports.prices import Prices
from wisecommittee.store.logs.model_rows import LogModel
from wisecommittee.store.logs.spill import Spill
from wisecommittee.store.logs.truth import Truth
from wisecommittee.store.logs.unit_features import features_of
from wisecommittee.store.logs.units import Key, Units
from wisecommittee.store.rows import ModelRows


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """One model of the logs in figures.

    Attributes
    ----------
    records : int
        Number of its records.
    unanswered : int
        Number of the stored units that it did not answer.
    quality : float or None
        Mean over the units; None without labels.
    costs : {name: float}
        Mean of each cost of a unit.
    scores : tuple of str
        Names of its confidences.
    """

    records: int
    unanswered: int
    quality: float | None
    costs: Mapping[str, float]
    scores: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LogPool:
    """The models of logs, made one at a time.

    Attributes
    ----------
    spill : Spill
    models : {model: Key}
        By the name in the store.
    units : Units
        Those that are stored, N.
    ids : list of str [N]
    truth : Truth
    missing : str
        What is stored for units without an answer.
    cards : {model: ModelCard}
        With costs and origin.
    prices : {model: Prices}
    needs_cost : bool
        Whether a model without a cost is an error; if not, it is noted.
    notes : list of str
        What was left out or filled, of the models that were made.
    """

    spill: Spill
    models: Mapping[str, Key]
    units: Units
    ids: list[str]
    truth: Truth
    missing: str
    cards: Mapping[str, ModelCard]
    prices: Mapping[str, Prices]
    needs_cost: bool = True
    notes: list[str] = field(default_factory=list)

    def model(self, name: str) -> tuple[ModelCard, ModelRows]:
        """The card and the rows of one model."""
        of_log = LogModel(self.spill, self.units, self.models[name], self.ids)
        rows = of_log.rows(self.truth, self.notes)
        if name in self.prices:
            dollars = self.prices[name].dollars(rows.unit_costs, f"the log of {name}")
            rows = replace(rows, unit_costs={**rows.unit_costs, "usd": dollars})
        card, unanswered = self.cards[name], of_log.unanswered
        if not rows.unit_costs and not card.blocks and not card.costs:
            error = CostError(
                f"{name}: no cost in its log, and no {option('costs', placeholder='FILE')}; committees cannot be "
                f"compared without a cost"
            )
            if self.needs_cost:
                raise error
            self.notes.append(str(error))
        rows, used = filled(rows, unanswered, self.missing)
        if used:
            self.notes.append(said_of(name, used, int(unanswered.sum())))
        kind, *_ = self.spill.kinds
        card = replace(card, kind=kind, class_names=self.spill.class_names)
        return recorded(card, int(unanswered.sum()), self.missing), rows

    def summary(self, name: str, card: ModelCard, rows: ModelRows) -> ModelSummary:
        """A model that `model` made, in figures."""
        means = {cost: float(values.mean()) for cost, values in rows.unit_costs.items()}
        return ModelSummary(
            self.spill.records(self.models[name]),
            int(card.meta.get("unanswered", 0)),
            self._quality(rows),
            {**({"flops": float(sum(card.blocks.values()))} if card.blocks else {}), **card.costs, **means},
            tuple(sorted(rows.scores)),
        )

    def _quality(self, rows: ModelRows) -> float | None:
        if rows.quality is not None:
            return float(rows.quality.mean(dtype=np.float64))
        if self.truth.unlabelled:
            return None
        said = rows.answers if rows.outputs is None else rows.outputs.argmax(axis=1)
        return float(np.mean(np.asarray(said) == np.asarray(self.truth.labels.to_numpy(zero_copy_only=False))))

    def features(self) -> FeatureTable | None:
        """What the logs know of the units before any model runs; None if that is nothing."""
        table = features_of(self.spill, self.units, self.ids, self.truth.stored(), self.notes)
        return table if table.columns else None

"""`extract`: every model runs once over a split, and its logits go to the store in batches.

Two phases. First every model is loaded, runs on a few units and is checked against the data and the store; nothing is
written. Then they are streamed, models that see the same tensors in one pass over the data. A killed run leaves whole
parts; the same call continues after them, with the same bits.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from dataclasses import replace as with_fields
from functools import partial
from typing import Any

from wisecommittee.committees.cards import ModelCard, StoredCard
from wisecommittee.committees.replicas import numbering_notes
from wisecommittee.extraction.data.data import Data
from wisecommittee.extraction.models.loaded import LoadedModel
from wisecommittee.extraction.run.estimate import ExtractionEstimate, measure
from wisecommittee.extraction.run.plan import ModelPlan, Run
from wisecommittee.extraction.run.planning import make_plan
from wisecommittee.extraction.run.ranks import together
from wisecommittee.extraction.run.settings import Meter, Progress, Settings
from wisecommittee.extraction.run.stream import passes, run_pass
from wisecommittee.options import from_options, takes_options
from wisecommittee.store import LogitStore
from wisecommittee.store.leftovers import clear_leftovers


@dataclass(frozen=True, slots=True)
class Extracted:
    """A model as it now stands in a split. status : 'added', 'replaced', 'unchanged' or 'card updated'."""

    card: StoredCard
    split: str
    status: str


@takes_options(Settings)
def extract(
    models: Iterable[str | LoadedModel],
    data: str | Data,
    split: str,
    store: LogitStore,
    settings: Settings | None = None,
    *,
    progress: Progress | None = None,
    **options: Any,
) -> list[Extracted]:
    """Run models over data and keep their logits, float32 [N, C].

    Under torchrun every rank calls this with the same arguments.

    Parameters
    ----------
    models
        Model specs (see `extraction/models/spec.py`) or loaded modules.
    data
        A data spec (see `extraction/data/spec.py`) or data made in Python.
    split
        Split of the store to write to.
    store
        Where the logits go.
    settings
        Every option of the extraction; by default the defaults of `Settings`.
    progress
        Called with (task, units done, units in total or None), for each model and for all of them.
    {options}

    Returns
    -------
    list of Extracted
        One for each model, size and view, in the order given. A model that is in the split already with the same
        weights, data and outputs is left alone.

    Raises
    ------
    UsageError
        Options that no extraction can have, or that do not fit the data.
    StoreError
        Models, data and store do not fit together: other units, other classes, another model of the same name.
    """
    with together() as ranks:
        run, plans = make_plan(models, data, split, store, ranks, _settings(settings, options))
        cards = _settled(run, plans) | _streamed(run, plans, progress)
        if ranks.rank == 0:
            for note in numbering_notes(store.cards(split), cards):
                warnings.warn(note, stacklevel=2)
    return [Extracted(cards[plan.card.model], split, plan.status) for plan in plans]


@takes_options(Settings)
def estimate(
    models: Iterable[str | LoadedModel],
    data: str | Data,
    split: str,
    store: LogitStore,
    settings: Settings | None = None,
    **options: Any,
) -> ExtractionEstimate:
    """The plan, the cost and the time of `extract` with the same arguments, from two batches; writes nothing."""
    with together() as ranks:
        return measure(*make_plan(models, data, split, store, ranks, _settings(settings, options)))


def _settings(given: Settings | None, options: dict[str, Any]) -> Settings:
    """The options of a call: keywords override the fields of `settings`."""
    return with_fields(given or Settings(), **from_options({"settings": Settings}, options)["settings"])


def _streamed(run: Run, plans: Sequence[ModelPlan], progress: Progress | None) -> dict[str, StoredCard]:
    """Cards of the models that had to run."""
    due = passes(plans)
    costs = {f"{plan.card.model} in {run.split}": sum(plan.card.blocks.values()) for group in due for plan in group}
    units = run.data.units
    if units is not None:
        units = len(run.ranks.shard(units, run.settings.batch_size))
    meter = Meter(progress, run.split, costs, units)
    cards: dict[str, StoredCard] = {}
    while due:
        committed, left = run_pass(run, due.pop(0), meter)
        cards |= committed
        if left:
            due.insert(0, left)
    return cards


def _settled(run: Run, plans: Sequence[ModelPlan]) -> dict[str, StoredCard]:
    """Cards of the models that are in the split already, with their costs as they are now."""
    cards: dict[str, StoredCard] = {}
    for plan in plans:
        if plan.is_due:
            continue
        read = run.store.card(plan.card.model, run.split)
        card = _priced(read, plan.card) if plan.status == "card updated" else read
        if plan.status == "card updated" and run.ranks.rank == 0:
            run.store.update_card(run.split, read, partial(_priced, new=plan.card))
        if run.ranks.rank == 0:
            clear_leftovers(run.store, run.split, card.model)
        cards[card.model] = card
    return cards


def _priced(card: StoredCard, new: ModelCard) -> StoredCard:
    priced = with_fields(card, blocks=new.blocks, params=new.params, input_size=new.input_size)
    return priced if new.training_cost is None else with_fields(priced, training_cost=new.training_cost)

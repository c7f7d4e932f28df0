"""The one way in: every model runs once over a split, its logits go to the store in batches.

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
from typing import Unpack

from wisecommittee.committees.cards import ModelCard, StoredCard
from wisecommittee.committees.replicas import numbering_notes
from wisecommittee.extraction.data.spec import Data
from wisecommittee.extraction.models.spec import LoadedModel
from wisecommittee.extraction.run.estimate import Estimate, measure
from wisecommittee.extraction.run.plan import ModelPlan, Run, make_plan
from wisecommittee.extraction.run.ranks import together
from wisecommittee.extraction.run.settings import Meter, Options, Progress, Settings
from wisecommittee.extraction.run.stream import passes, run_pass
from wisecommittee.store import LogitStore
from wisecommittee.store.writer import clear_leftovers


@dataclass(frozen=True, slots=True)
class Extracted:
    """A model as it now stands in a split. status : 'added', 'replaced', 'unchanged' or 'card updated'."""

    card: StoredCard
    split: str
    status: str


def extract(
    models: Iterable[str | LoadedModel],
    data: str | Data,
    split: str,
    store: LogitStore,
    *,
    progress: Progress | None = None,
    **options: Unpack[Options],
) -> list[Extracted]:
    """Run models over data and keep their logits, float32 [N, C]; returns one entry per model, in the order given.

    models : specs (see models.py) or loaded modules; data : a spec (see data.py) or data made in Python; options : see
    run_settings.Settings; progress : called with (task, units done, units in total) for each model and for all.
    A model that is in the split already with the same weights, data and outputs is left alone. Under torchrun every
    rank calls this with the same arguments.
    """
    with together() as ranks:
        run, plans = make_plan(models, data, split, store, ranks, Settings(**options))
        cards = _settled(run, plans) | _streamed(run, plans, progress)
        if ranks.rank == 0:
            for note in numbering_notes(store.cards(split), cards):
                warnings.warn(note, stacklevel=2)
    return [Extracted(cards[plan.card.model], split, plan.status) for plan in plans]


def estimate(
    models: Iterable[str | LoadedModel],
    data: str | Data,
    split: str,
    store: LogitStore,
    **options: Unpack[Options],
) -> Estimate:
    """What `extract` with the same arguments would do, cost and take, from two batches; writes nothing."""
    with together() as ranks:
        return measure(*make_plan(models, data, split, store, ranks, Settings(**options)))


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

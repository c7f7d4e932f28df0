"""The one way in: every model runs once over a split, its logits go to the store in batches.

Two phases. First every model is loaded, runs on a few units and is checked against the data and the store; nothing is
written. Then they are streamed, models that see the same tensors in one pass over the data. A killed run leaves whole
parts; the same call continues after them, with the same bits.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from dataclasses import replace as with_fields
from typing import Unpack

from wisecommittee.committees.cards import ModelCard
from wisecommittee.extract.data import Data
from wisecommittee.extract.models import LoadedModel
from wisecommittee.extract.run_estimate import Estimate, measure
from wisecommittee.extract.run_pass import passes, run_pass
from wisecommittee.extract.run_plan import ModelPlan, Run, make_plan
from wisecommittee.extract.run_settings import Meter, Options, Progress, Settings
from wisecommittee.store import LogitStore


@dataclass(frozen=True, slots=True)
class Extracted:
    """A model as it now stands in a split. status : 'added', 'replaced', 'unchanged' or 'card updated'."""

    card: ModelCard
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
    run, plans = make_plan(models, data, split, store, Settings(**options))
    cards = {plan.card.model: _settled(run, plan) for plan in plans if not plan.is_due}
    due = passes(plans)
    costs = {f"{plan.card.model} in {split}": sum(plan.card.blocks.values()) for group in due for plan in group}
    units = run.data.units
    if units is not None:
        units = len(run.ranks.shard(units, run.settings.batch_size))
    meter = Meter(progress, split, costs, units)
    while due:
        committed, left = run_pass(run, due.pop(0), meter)
        cards |= committed
        if left:
            due.insert(0, left)
    return [Extracted(cards[plan.card.model], split, plan.status) for plan in plans]


def estimate(
    models: Iterable[str | LoadedModel],
    data: str | Data,
    split: str,
    store: LogitStore,
    **options: Unpack[Options],
) -> Estimate:
    """What `extract` with the same arguments would do, cost and take, from two batches; writes nothing."""
    run, plans = make_plan(models, data, split, store, Settings(**options))
    return measure(run, plans)


def _settled(run: Run, plan: ModelPlan) -> ModelCard:
    """The card of a model that is in the split already, with its costs as they are now."""
    if plan.status != "card updated":
        return plan.card
    committed = run.store.card(plan.card.model, run.split)
    new = plan.card
    card = with_fields(committed, blocks=new.blocks, params=new.params, input_size=new.input_size)
    if run.ranks.rank == 0:
        run.store.update_card(run.split, card)
    return card

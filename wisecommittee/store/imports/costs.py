"""Costs of models already in the store: their cards are exchanged, their outputs stay."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from wisecommittee.committees.cards import ModelCard, StoredCard
from wisecommittee.errors import AbsentNameError, StoreError, UsageError
from wisecommittee.store.imports.models_csv import read_cards
from wisecommittee.store.imports.segmentation import joint_card
from wisecommittee.store.logit_store import LogitStore
from wisecommittee.store.readers.frames import named_column, read_table


def import_costs(store: LogitStore, costs: str | os.PathLike[str]) -> dict[str, str]:
    """Add or change the costs of models already in the store, in every split; returns {model: 'unchanged' | 'card
    updated'}. Joint entries of several models (store/imports/segmentation.py) get the new costs of these models."""
    store.require()
    listed = named_column(read_table(costs), "model", costs).astype(str).str.strip()
    every = {model for split in store.splits() for model in store.models(split)}
    named = [model for model in listed if model in every]
    if not named:
        raise AbsentNameError("model (no row of the cost file is in the store)", listed.iloc[0], every)
    given = read_cards(costs, named)
    updates: list[tuple[str, StoredCard, StoredCard]] = []
    for split in store.splits():
        before = {card.model: card for card in store.cards(split)}
        after = {model: _priced(card, given[model]) if model in given else card for model, card in before.items()}
        after = with_sets(after, split)
        updates += [(split, before[m], after[m]) for m in after if m in given or after[m] != before[m]]
    return {
        new.model: "unchanged" if new == old else store.update_card(split, old, partial(_exchanged, new=new))
        for split, old, new in updates
    }


def _exchanged(now: StoredCard, new: StoredCard) -> StoredCard:
    """The card as it is now, with the costs of `new`."""
    return replace(
        now, blocks=new.blocks, costs=new.costs, params=new.params, training_cost=new.training_cost, meta=new.meta
    )


def with_sets(cards: Mapping[str, StoredCard], split: str) -> dict[str, StoredCard]:
    """The cards of a split, entries of several models priced by the cards of these models."""
    return {model: _together(card, cards, split) for model, card in cards.items()}


def _together(card: StoredCard, cards: Mapping[str, StoredCard], split: str) -> StoredCard:
    if card.kind != "cell_counts" or "members" not in card.meta:
        return card
    if missing := sorted(card.members - cards.keys()):
        raise StoreError(
            f"{card.model} in {split} has the costs of {', '.join(missing)}, which is not there any more by itself; "
            f"import the images again"
        )
    joint = joint_card(sorted((cards[m] for m in card.members), key=lambda c: c.key), card.meta["cell"])
    return replace(card, blocks=joint.blocks, costs=joint.costs, meta={**card.meta, **joint.meta})


def _priced(old: StoredCard, new: ModelCard) -> StoredCard:
    if len(old.members) > 1:
        members = " and ".join(sorted(old.members))
        raise UsageError(f"{old.model} is what {members} say together and costs what they cost; price those")
    return replace(
        old,
        blocks=new.blocks or old.blocks,
        costs={**old.costs, **new.costs},
        params=new.params or old.params,
        training_cost=old.training_cost if new.training_cost is None else new.training_cost,
    )

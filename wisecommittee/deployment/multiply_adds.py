"""Multiply-adds that a deployed committee runs for a unit, and those that an evaluation charges for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from wisecommittee.committees.cards import StoredCard
from wisecommittee.deployment.chains import Chain
from wisecommittee.deployment.deployed import Deployed
from wisecommittee.deployment.members import find_card
from wisecommittee.deployment.units import Units
from wisecommittee.errors import CostError
from wisecommittee.extraction.models.macs import count_macs
from wisecommittee.runtime.decisions import Decisions
from wisecommittee.store import LogitStore


@dataclass(frozen=True, slots=True)
class MultiplyAdds:
    """Averages over units. run : by the members as they are deployed; charged : by an evaluation, which counts blocks
    that members have in common on their cards once."""

    run: float
    charged: float

    @classmethod
    def of(cls, run: Deployed, store: LogitStore, units: Units, decisions: Decisions) -> MultiplyAdds | None:
        """Of these decisions on these units; None if the multiply-adds of a member are unknown."""
        found = {name: find_card(store, name) for name in run.committee.models}
        cards = {name: card for name, card in found.items() if card is not None and card.blocks}
        if len(cards) < len(found):
            return None
        total = cls(0.0, 0.0)
        routes, number = np.unique(decisions.ran, axis=0, return_counts=True)
        for route, count in zip(routes, number.tolist(), strict=True):
            stages = np.flatnonzero(route).tolist()
            names = [name for k in stages for name in run.committee.stages[k]]
            blocks = {block: macs for name in names for block, macs in cards[name].blocks.items()}
            try:
                macs = _run(run, cards, units, names)
            except CostError:
                return None
            share = count / len(decisions)
            total = cls(total.run + share * macs, total.charged + share * sum(blocks.values()))
        return total


def _run(run: Deployed, cards: dict[str, StoredCard], units: Units, names: Sequence[str]) -> float:
    """Multiply-adds of these members one after the other: whole, less the blocks that one before them has run."""
    total, before = 0.0, list[Chain]()
    for name in names:
        total += sum(cards[name].blocks.values())
        if name in run.sharing:
            chain = run.sharing[name].chain
            done, _ = chain.divided(before)
            if any(True for _ in done.parameters()):
                example = units.of(run.models[name])[:1]
                total -= count_macs(done, torch.empty(example.shape, dtype=example.dtype), name)
            before.append(chain)
    return total

"""Confidences of answers: a few percentages among values from 0 to 1, and models without any among models with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wisecommittee.committees.cards import StoredCard
from wisecommittee.committees.scale import LARGEST
from wisecommittee.errors import counted, option
from wisecommittee.searches.doctor.look import Look, listed
from wisecommittee.searches.stages.pool_confidence import STORED_NAME, lacking

PERCENT = 2.0  # confidences from 2 on are taken for percentages


def doubts(look: Look) -> list[str]:
    cards = look.of_kind("answers")
    return [*_partly(look, cards), *(text for card in cards for text in _of_model(look, card))]


def _partly(look: Look, cards: Sequence[StoredCard]) -> list[str]:
    """A doubt where some models have a confidence and others have none."""
    having = [card.model for card in cards if STORED_NAME in card.contents.scores]
    if not having or len(having) == len(cards):
        return []
    return [
        f"{lacking(cards)} in {look.split}, unlike {listed(having)}; policies that compare confidences take only "
        f"models that have one, choose them with {option('models')}"
    ]


def _of_model(look: Look, card: StoredCard) -> list[str]:
    """A doubt where a few confidences are far above 1 and all others lie from 0 to 1."""
    if STORED_NAME not in card.contents.scores:
        return []
    sure = look.store.scores(card.model, look.split, STORED_NAME)
    sure = sure[np.abs(sure) < LARGEST]
    above = sure[sure > 1]
    if not len(sure) or not 0 < len(above) < len(sure) / 2 or sure.min() < 0 or above.min() < PERCENT:
        return []
    return [
        f"{card.model} in {look.split}: {counted(len(above), 'confidence')} from {above.min():.6g} to "
        f"{above.max():.6g}, and all {len(sure) - len(above):,} others from 0 to 1; percent among shares? Divide them "
        f"by 100, or mend them, and import the answers with {option('replace', True)}"
    ]

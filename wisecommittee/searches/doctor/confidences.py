"""Confidences of answers: a few percentages among values from 0 to 1."""

from __future__ import annotations

from wisecommittee.committees.cards import StoredCard
from wisecommittee.errors import counted, option
from wisecommittee.searches.doctor.look import Look

PERCENT = 2.0  # confidences from 2 on are taken for percentages


def doubts(look: Look) -> list[str]:
    return [text for card in look.of_kind("answers") for text in _of_model(look, card)]


def _of_model(look: Look, card: StoredCard) -> list[str]:
    """A doubt where a few confidences are far above 1 and all others lie from 0 to 1."""
    if "confidence" not in card.contents.scores:
        return []
    sure = look.store.scores(card.model, look.split, "confidence")
    above = sure[sure > 1]
    if not 0 < len(above) < len(sure) / 2 or sure.min() < 0 or above.min() < PERCENT:
        return []
    return [
        f"{card.model} in {look.split}: {counted(len(above), 'confidence')} from {above.min():.6g} to "
        f"{above.max():.6g}, and all {len(sure) - len(above):,} others from 0 to 1; percent among shares? Divide them "
        f"by 100, or mend them, and import the answers with {option('replace', True)}"
    ]

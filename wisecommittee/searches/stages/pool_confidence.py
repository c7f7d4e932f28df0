"""The confidence that the committees of a pool compare: a function of outputs, or a score stored with every model."""

from __future__ import annotations

from collections.abc import Sequence

from wisecommittee.committees.cards import StoredCard
from wisecommittee.committees.confidence import CONFIDENCES, NO_CONFIDENCE, Confidence, confidence_named
from wisecommittee.errors import UsageError, counted, option

STORED_NAME = "confidence"  # the score that answers and counts are imported with
WITHOUT = "agreement|labels|adaptive|router"  # kinds of policies that need no confidence


def confidence_of(
    cards: Sequence[StoredCard], name: str | None, settled: str | None, *, compared: bool
) -> Confidence | str:
    """The confidence of that name (None: the default) for these models.

    settled : noun for outputs that cannot be averaged ('answers'), which carry stored scores; None for rows over
    classes. compared : whether a committee compares the confidence; if not, answers may lack it.
    """
    stored = common_scores(cards)
    if settled and name in CONFIDENCES:
        raise UsageError(
            f"confidence {name!r} needs logits; {settled} carry their own: {', '.join(stored) or 'none stored'}"
        )
    wanted = name or (STORED_NAME if settled else "max_prob")
    if settled and wanted not in (*stored, NO_CONFIDENCE):
        if name is None or not compared:
            return NO_CONFIDENCE
        if wanted == STORED_NAME or any(wanted in card.contents.scores for card in cards):
            raise UsageError(f"{lacking(cards, wanted)}; {_remedy(cards, wanted)}")
    return confidence_named(wanted, stored)


def common_scores(cards: Sequence[StoredCard]) -> tuple[str, ...]:
    """Names of the scores that are stored with every model."""
    names = [set(card.contents.scores) for card in cards]
    return tuple(sorted(set.intersection(*names))) if names else ()


def lacking(cards: Sequence[StoredCard], name: str = STORED_NAME) -> str:
    """Which of these models are stored without the score of that name, as text."""
    without = [card.model for card in cards if name not in card.contents.scores]
    more = f" and {counted(len(without) - 3, 'more model')}" if len(without) > 3 else ""
    return f"{', '.join(without[:3])}{more}: stored without the score {name!r}"


def require_confidence(confidence: Confidence | str, cards: Sequence[StoredCard], purpose: str) -> None:
    """UsageError if the committees of these models have no confidence; purpose : what needs one, as text."""
    if confidence == NO_CONFIDENCE:
        raise UsageError(f"{purpose} need a confidence; {lacking(cards)}; {_remedy(cards, STORED_NAME)}")


def _remedy(cards: Sequence[StoredCard], name: str) -> str:
    having = [card.model for card in cards if name in card.contents.scores]
    others = f", choose models that have it with {option('models')}" if having else ""
    return (
        f"import these answers with that column and {option('replace', True)}{others}, or search for a policy that "
        f"needs none, {option('policy', placeholder=WITHOUT)}"
    )

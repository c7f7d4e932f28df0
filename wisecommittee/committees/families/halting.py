"""Learned halting (IRENE 2023): the members of a group run in order until the stored halting score says stop.

The answer is the mean of the outputs so far (Eq. 7). "Exit iff score > m" is a threshold of the next float32 above m.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.cards import StoredCard
from wisecommittee.committees.confidence import CONFIDENCES
from wisecommittee.committees.families.family import Cards, Family
from wisecommittee.committees.families.groups import groups_of, whole_groups
from wisecommittee.errors import AbsentError, option

SCORE = "halting"


def combinations(cards: Cards, size: int, replicas: str = "canonical") -> NDArray[np.int64]:
    """int64 [combinations, size]: the first `size` members of every group, one per stage."""
    first = [members[:size] for members in groups_of(cards).values() if len(members) >= size]
    return np.array(sorted(first), dtype=np.int64).reshape(-1, size)


def members(cards: Cards, confidence: str | None) -> tuple[StoredCard, ...]:
    """Cards of groups whose members all store the score; of all groups if `confidence` is computed from outputs."""
    whole = whole_groups(cards, "halting", "train one with `wisecommittee train irene`")
    score = confidence or SCORE
    if score in CONFIDENCES:
        return whole
    without: dict[str, list[StoredCard]] = {}
    for card in whole:
        without.setdefault(str(card.group), [])
        if score not in card.contents.scores:
            without[str(card.group)].append(card)
    scored = tuple(card for card in whole if not without[str(card.group)])
    if scored:
        return scored
    lacking = [cards[0] for cards in without.values()]
    stored = sorted({name for card in whole for name in card.contents.scores})
    raise AbsentError(
        f"family halting needs a score {score!r} stored with every member of a group; {lacking[0].model} has none"
        f"{f' (nor has any of {len(lacking)} groups)' if len(lacking) > 1 else ''}. Stored scores here: "
        f"{', '.join(stored) or 'none'}. Train with `wisecommittee train irene`, or name a {option('confidence')} "
        f"({', '.join(CONFIDENCES)})"
    )


FAMILY = Family("halting", True, combinations, members=members, combine="mean_probs", confidence=SCORE, stages=None)

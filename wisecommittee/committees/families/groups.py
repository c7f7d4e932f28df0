"""Groups: members of one jointly trained network (the leaves of an HNE, the steps of IRENE), in order of position."""

from __future__ import annotations

from collections.abc import Sequence

from wisecommittee.committees.cards import StoredCard
from wisecommittee.errors import AbsentError, option


def groups_of(cards: Sequence[StoredCard]) -> dict[str, tuple[int, ...]]:
    """Indices of the members of every group by position (then in the order of the cards, where it is not known)."""
    found: dict[str, list[int]] = {}
    for index, card in enumerate(cards):
        if card.group is not None:
            found.setdefault(card.group, []).append(index)
    return {name: tuple(sorted(some, key=lambda m: _place(cards[m]))) for name, some in found.items()}


def _place(card: StoredCard) -> int:
    return card.key[1] if card.position is None else card.position


def doublings(members: int) -> tuple[int, ...]:
    """1, 2, 4, .. and all: what anytime inference reports."""
    return tuple(sorted({*(2**b for b in range(members.bit_length())), members}))


def stops(members: int, replicas: str) -> tuple[int, ...]:
    """How many of a group's members may be in use after a stage: 1, 2, 3, 4, 6, 8, 12, .. (every doubling and half way
    between) and all; every number with replicas 'all'."""
    if replicas == "all":
        return tuple(range(1, members + 1))
    between = (3 * 2**b for b in range(members.bit_length()) if 3 * 2**b < members)
    return tuple(sorted({*doublings(members), *between}))


def whole_groups(cards: Sequence[StoredCard], family: str, remedy: str) -> tuple[StoredCard, ...]:
    """The cards that belong to groups; AbsentError where there are none, or where a group has a hole."""
    found = groups_of(cards)
    if not found:
        raise AbsentError(
            f"family {family} needs the members of a jointly trained network (cards with a group and a position), and "
            f"none of the models chosen is one; {remedy}"
        )
    for name, members in found.items():
        places = [cards[m].position for m in members]
        if None in places:
            raise AbsentError(f"{cards[members[places.index(None)]].model}: of group {name!r} but without a position")
        if twice := [m for m, place in zip(members, places, strict=True) if places.count(place) > 1]:
            named = " and ".join(cards[m].model for m in twice[:2])
            raise AbsentError(f"group {name!r}: {named} have the same position {cards[twice[0]].position}")
        last = max(place for place in places if place is not None)
        missing = sorted(set(range(last)) - set(places))
        if missing:
            raise AbsentError(
                f"group {name!r}: nothing at position {', '.join(map(str, missing))} among these models, though up to "
                f"{last} there is; its members run in order. Choose them all with {option('models')}, or train it again"
            )
    return tuple(card for card in cards if card.group is not None)

"""Groups: members of one jointly trained network (the leaves of an HNE, the steps of IRENE), in order of position."""

from __future__ import annotations

from collections.abc import Sequence

from wisecommittee.committees.cards import StoredCard
from wisecommittee.errors import AbsentError, option


def groups_of(cards: Sequence[StoredCard]) -> dict[str, tuple[int, ...]]:
    """{group: indices of its members} in order of position; by replica where the position is unknown."""
    groups: dict[str, list[int]] = {}
    for index, card in enumerate(cards):
        if card.group is not None:
            groups.setdefault(card.group, []).append(index)
    return {name: tuple(sorted(indices, key=lambda m: _position(cards[m]))) for name, indices in groups.items()}


def _position(card: StoredCard) -> int:
    return card.key[1] if card.position is None else card.position


def doublings(members: int) -> tuple[int, ...]:
    """1, 2, 4, .. and all members: the committees of anytime inference."""
    return tuple(sorted({*(2**b for b in range(members.bit_length())), members}))


def stops(members: int, replicas: str) -> tuple[int, ...]:
    """Numbers of a group's members that may be in use after a stage: 1, 2, 3, 4, 6, 8, 12, .. and all members.

    These are the doublings and the middle between two doublings; with replicas 'all', every number.
    """
    if replicas == "all":
        return tuple(range(1, members + 1))
    between = (3 * 2**b for b in range(members.bit_length()) if 3 * 2**b < members)
    return tuple(sorted({*doublings(members), *between}))


def whole_groups(cards: Sequence[StoredCard], family: str, remedy: str) -> tuple[StoredCard, ...]:
    """The cards that belong to groups; AbsentError if there are none, or if a group lacks a position."""
    groups = groups_of(cards)
    if not groups:
        raise AbsentError(
            f"family {family} needs the members of a jointly trained network (cards with a group and a position), and "
            f"none of the models chosen is one; {remedy}"
        )
    for name, members in groups.items():
        positions = [cards[m].position for m in members]
        if None in positions:
            raise AbsentError(
                f"{cards[members[positions.index(None)]].model}: of group {name!r} but without a position"
            )
        if twice := [m for m, position in zip(members, positions, strict=True) if positions.count(position) > 1]:
            named = " and ".join(cards[m].model for m in twice[:2])
            raise AbsentError(f"group {name!r}: {named} have the same position {cards[twice[0]].position}")
        last = max(position for position in positions if position is not None)
        missing = sorted(set(range(last)) - set(positions))
        if missing:
            raise AbsentError(
                f"group {name!r}: nothing at position {', '.join(map(str, missing))} among these models, though up to "
                f"{last} there is; its members run in order. Choose them all with {option('models')}, or train it again"
            )
    return tuple(card for card in cards if card.group is not None)

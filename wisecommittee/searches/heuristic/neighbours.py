"""Which sequences of stages exist in a large pool, asked for one by one (families/chains.py lists them all)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from wisecommittee.committees.families.chains import Chain, steps

Walk = tuple[int, ...]  # tiers in the order their stages run
Move = tuple[int, int]  # a chain, and how many of its members are in use afterwards


@dataclass(frozen=True, slots=True)
class Moves:
    """What can follow what over some chains.

    move_of : tier -> what it does; following : (chain, members in use) -> tiers that can come next, smallest first;
    chains : how many there are
    """

    move_of: dict[int, Move]
    following: dict[Move, Walk]
    chains: int

    @classmethod
    def over(cls, chains: Sequence[Chain], models: int) -> Moves:
        every = steps(chains, models)
        move_of: dict[int, Move] = {}
        following: dict[Move, Walk] = {}
        moves = zip(every.after.tolist(), every.chain.tolist(), every.before.tolist(), strict=True)
        for after, tier, (chain, before) in sorted((a, t, (c, b)) for t, (a, c, b) in enumerate(moves) if b >= 0):
            move_of[tier] = chain, after
            following[chain, before] = (*following.get((chain, before), ()), tier)
        return cls(move_of, following, len(chains))

    def extensions(self, head: Walk) -> Walk:
        """Every tier that can come next."""
        used = [0] * self.chains
        for tier in head:
            chain, used[chain] = self.move_of[tier]
        return tuple(sorted(t for state in enumerate(used) for t in self.following.get(state, ())))

    def neighbours(self, walk: Walk, longest: int) -> Iterator[tuple[Walk, int, int]]:
        """(walk, place, change of length) one swap, insertion, removal or exchange of two successive stages away."""
        moves = [self.move_of[tier] for tier in walk]
        starts = [self.move_of[tier] for tier in self.extensions(())]
        changed: list[tuple[list[Move], int, int]] = []
        for q in range(len(moves)):
            changed += [([*moves[:q], move, *moves[q + 1 :]], q, 0) for move in starts]
            changed.append(([*moves[:q], *moves[q + 1 :]], q, -1))
            if q:
                changed.append(([*moves[: q - 1], moves[q], moves[q - 1], *moves[q + 1 :]], q, 0))
        if len(moves) < longest:
            changed += [([*moves[:q], move, *moves[q:]], q, 1) for q in range(len(moves) + 1) for move in starts]
        for some, q, longer in changed:
            if found := self._walked(some):
                yield found, q, longer

    def _walked(self, moves: Sequence[Move]) -> Walk | None:
        """The walk that makes these moves, each bringing at least so many members of its chain into use where that is
        possible; None where a chain has no more."""
        used: dict[int, int] = {}
        out = []
        for chain, wanted in moves:
            possible = self.following.get((chain, used.get(chain, 0)))
            if possible is None:
                return None
            out.append(next((t for t in possible if self.move_of[t][1] >= wanted), possible[-1]))
            used[chain] = self.move_of[out[-1]][1]
        return tuple(out)


def moved(below: tuple[int, ...], place: int, longer: int, units: int) -> tuple[int, ...]:
    """Thresholds of a neighbour: the same shares of units continue at the stages that stay."""
    if longer > 0:
        return (*below[:place], below[place] if place < len(below) else units, *below[place:])
    return (*below[:place], *below[place + 1 :]) if longer < 0 else below

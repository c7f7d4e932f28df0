"""The combinations next to a combination, for pools too large to list them all as families/chains.py does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from wisecommittee.committees.families.chains import Chain, steps

Combination = tuple[int, ...]  # tiers in the order their stages run
Move = tuple[int, int]  # a chain, and how many of its members are in use afterwards


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Which tiers can follow a combination, and which combinations differ from it by one change.

    move_of : tier -> the chain whose members it adds and how many of them are then in use. following : (chain, members
    in use) -> tiers that can come next, smallest first. chains : the number of chains.
    """

    move_of: dict[int, Move]
    following: dict[Move, Combination]
    chains: int

    @classmethod
    def over(cls, chains: Sequence[Chain], models: int) -> Neighbours:
        every = steps(chains, models)
        move_of: dict[int, Move] = {}
        following: dict[Move, Combination] = {}
        moves = zip(every.after.tolist(), every.chain.tolist(), every.before.tolist(), strict=True)
        for after, tier, (chain, before) in sorted((a, t, (c, b)) for t, (a, c, b) in enumerate(moves) if b >= 0):
            move_of[tier] = chain, after
            following[chain, before] = (*following.get((chain, before), ()), tier)
        return cls(move_of, following, len(chains))

    def extensions(self, head: Combination) -> Combination:
        """Every tier that can come next."""
        used = [0] * self.chains
        for tier in head:
            chain, used[chain] = self.move_of[tier]
        return tuple(sorted(t for state in enumerate(used) for t in self.following.get(state, ())))

    def of(self, combination: Combination, longest: int) -> Iterator[tuple[Combination, int, int]]:
        """Combinations that differ by one swap, insertion, removal or exchange of two successive stages, each with the
        stage that changed and the change of the number of stages (-1, 0, 1)."""
        moves = [self.move_of[tier] for tier in combination]
        starts = [self.move_of[tier] for tier in self.extensions(())]
        changed: list[tuple[list[Move], int, int]] = []
        for q in range(len(moves)):
            changed += [([*moves[:q], move, *moves[q + 1 :]], q, 0) for move in starts]
            changed.append(([*moves[:q], *moves[q + 1 :]], q, -1))
            if q:
                changed.append(([*moves[: q - 1], moves[q], moves[q - 1], *moves[q + 1 :]], q, 0))
        if len(moves) < longest:
            changed += [([*moves[:q], move, *moves[q:]], q, 1) for q in range(len(moves) + 1) for move in starts]
        for changes, q, longer in changed:
            if near := self._combination(changes):
                yield near, q, longer

    def _combination(self, moves: Sequence[Move]) -> Combination | None:
        """The combination of these moves. A tier that brings exactly the wanted number of members into use may not
        exist; the next larger one, else the largest, is taken. None if a chain has no member left."""
        used: dict[int, int] = {}
        out = []
        for chain, wanted in moves:
            possible = self.following.get((chain, used.get(chain, 0)))
            if possible is None:
                return None
            out.append(next((t for t in possible if self.move_of[t][1] >= wanted), possible[-1]))
            used[chain] = self.move_of[out[-1]][1]
        return tuple(out)


def moved(below: tuple[int, ...], stage: int, longer: int, units: int) -> tuple[int, ...]:
    """Thresholds of a neighbour: the same shares of units continue at the stages that stay."""
    if longer > 0:
        return (*below[:stage], below[stage] if stage < len(below) else units, *below[stage:])
    return (*below[:stage], *below[stage + 1 :]) if longer < 0 else below

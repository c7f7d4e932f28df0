"""Which sequences of members exist in a large pool, asked for one by one instead of listed (families/cascade.py lists
them)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from wisecommittee.errors import UsageError
from wisecommittee.search.tables import Pool

Members = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Slots:
    """What a sequence chooses from: architectures whose replicas come in order, or models, each once.

    models : slot -> its models in the order of use; slot_of : model -> slot.
    """

    models: tuple[Members, ...]
    slot_of: dict[int, int]

    @classmethod
    def of(cls, pool: Pool, replicas: str) -> Slots:
        if replicas not in ("canonical", "all"):
            raise UsageError(f"replicas {replicas!r}; expected canonical or all")
        found: dict[str, list[int]] = {}
        for index, card in enumerate(pool.cards):
            found.setdefault(card.architecture if replicas == "canonical" else card.model, []).append(index)
        models = tuple(tuple(some) for some in found.values())
        return cls(models, {m: slot for slot, some in enumerate(models) for m in some})

    def members(self, slots: Sequence[int]) -> Members | None:
        """The models of a sequence of slots; None where one is used more often than it has models."""
        used: dict[int, int] = {}
        out = []
        for slot in slots:
            place = used.get(slot, 0)
            if place == len(self.models[slot]):
                return None
            out.append(self.models[slot][place])
            used[slot] = place + 1
        return tuple(out)

    def extensions(self, head: Members) -> list[int]:
        """Every model that can come next."""
        used = [0] * len(self.models)
        for m in head:
            used[self.slot_of[m]] += 1
        return sorted(some[n] for some, n in zip(self.models, used, strict=True) if n < len(some))

    def neighbours(self, sequence: Members, longest: int) -> Iterator[tuple[Members, int, int]]:
        """(sequence, place, change of length) one swap, insertion, removal or exchange of two successive members
        away."""
        slots = [self.slot_of[m] for m in sequence]
        every = range(len(self.models))
        changed: list[tuple[list[int], int, int]] = []
        for q in range(len(slots)):
            changed += [([*slots[:q], s, *slots[q + 1 :]], q, 0) for s in every]
            changed.append(([*slots[:q], *slots[q + 1 :]], q, -1))
            if q:
                changed.append(([*slots[: q - 1], slots[q], slots[q - 1], *slots[q + 1 :]], q, 0))
        if len(slots) < longest:
            changed += [([*slots[:q], s, *slots[q:]], q, 1) for q in range(len(slots) + 1) for s in every]
        for some, q, longer in changed:
            found = self.members(some)
            if found:
                yield found, q, longer


def moved(below: tuple[int, ...], place: int, longer: int, units: int) -> tuple[int, ...]:
    """Thresholds of a neighbour: the same shares of units continue at the stages that stay."""
    if longer > 0:
        return (*below[:place], below[place] if place < len(below) else units, *below[place:])
    return (*below[:place], *below[place + 1 :]) if longer < 0 else below

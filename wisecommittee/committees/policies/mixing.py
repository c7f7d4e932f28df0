"""Two committees, one of which is drawn for each unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.policy import Policy, Route, State
from wisecommittee.errors import CommitteeError

if TYPE_CHECKING:
    from wisecommittee.committees.committee import Committee

RANGE = 1 << 64


@dataclass(frozen=True, slots=True)
class Mixing(Policy):
    """Run the second of two committees on a share of the units, the first on the others.

    The committee is drawn by a hash of the seed and the unit's id, so that a unit always gets the same one. Costs and
    qualities are then in expectation on the straight line between those of the two committees.

    Parameters
    ----------
    parts : tuple of two Committees
    share : float
        Probability of the second, in [0, 1].
    seed : int
        Another seed draws anew.
    """

    parts: tuple[Committee, ...]
    share: float
    seed: int = 0
    kind: ClassVar[str] = "mixing"
    needs: ClassVar[frozenset[str]] = frozenset({"unit_ids"})

    def __post_init__(self) -> None:
        if not isinstance(self.parts, tuple) or len(self.parts) != 2:
            raise CommitteeError('"parts" must be two committees')
        if isinstance(self.share, bool) or not isinstance(self.share, (int, float)) or not 0 <= self.share <= 1:
            raise CommitteeError(f'"share" {str(self.share)[:60]}; expected a number from 0 to 1')
        if isinstance(self.seed, bool) or not isinstance(self.seed, int):
            raise CommitteeError(f'"seed" {str(self.seed)[:60]}; expected a whole number')
        rules = {(part.confidence, part.combine) for part in self.parts if not isinstance(part.policy, Mixing)}
        if len(rules) != 1:
            raise CommitteeError("its parts must share confidence and combining rule, and not mix themselves")

    @property
    def stages(self) -> tuple[tuple[str, ...], ...]:
        """The stages of the committee: each member of the parts by itself."""
        return tuple((model,) for model in dict.fromkeys(model for part in self.parts for model in part.models))

    def drawn(self, unit_ids: NDArray[np.generic]) -> NDArray[np.int64]:
        """int64 [n]: 1 for the units that run the second part, else 0. unit_ids : text [n]."""
        limit = int(self.share * RANGE)
        return np.array([self.draw(str(unit)) < limit for unit in unit_ids.tolist()], np.int64)

    def draw(self, unit: str) -> int:
        """The number below RANGE that is drawn for a unit: a hash of the seed and its id."""
        import hashlib

        return int.from_bytes(hashlib.sha256(f"{self.seed}\0{unit}".encode()).digest()[:8])

    def in_stages(self, part: Committee, route: Route) -> Route:
        """The stages of the whole committee that a route of a part has run."""
        place = {model: number for number, (model,) in enumerate(self.stages)}
        return tuple(place[model] for stage in route for model in part.stages[stage])

    def next(self, state: State) -> NDArray[np.int64]:
        raise NotImplementedError("the parts decide")

    def routes(self, stages: int) -> Sequence[Route]:
        return ()

    def check_members(self, stages: Sequence[Sequence[str]]) -> None:
        if tuple(map(tuple, stages)) != self.stages:
            raise CommitteeError("a committee that mixes has each member of its parts as a stage, in their order")

    def conditions(self, stages: int, confidence: str) -> list[str]:
        return ["its part says so"] * (stages - 1)

    def to_json(self) -> dict[str, Any]:
        parts = [part.to_json() for part in self.parts]
        return {"kind": self.kind, "parts": parts, "share": self.share, "seed": self.seed}


def mixture(first: Committee, second: Committee, share: float, seed: int = 0) -> Committee:
    """The committee that runs `second` on a share of the units and `first` on the others.

    Parameters
    ----------
    first, second : Committee
        With the same confidence, combining rule and cost, of the same models.
    share : float
        In [0, 1].
    seed : int

    Returns
    -------
    Committee
        With the policy `Mixing`.

    Raises
    ------
    CommitteeError
        The two differ in confidence or combining rule, or mix themselves.
    """
    bare = tuple(part.altered(members={}, costs={}, stage_overhead=0.0) for part in (first, second))
    policy = Mixing(bare, float(share), seed)
    return first.altered(
        stages=policy.stages,
        policy=policy,
        members={**first.members, **second.members},
        costs={**first.costs, **second.costs},
    )

"""The models of a large pool that a search tries together."""

from __future__ import annotations

from wisecommittee.searches.policies.arrays import member_arrays
from wisecommittee.searches.stages.pool import Pool


def considered(pool: Pool, most: int) -> tuple[int, ...]:
    """All models, or of a larger pool `most` models: the skyline of single models, then that of the rest, .."""
    every = tuple(range(len(pool.cards)))
    if len(every) <= most:
        return every
    alone = member_arrays(pool)
    cost, quality = alone.cost.mean(axis=1), alone.worth.mean(axis=1)
    rest, out = sorted(every, key=lambda m: (cost[m], -quality[m])), list[int]()
    while len(out) < most:
        layer = [m for n, m in enumerate(rest) if all(quality[m] > quality[other] for other in rest[:n])]
        out += layer[::-1]  # the best first
        rest = [m for m in rest if m not in layer]
    return tuple(sorted(out[:most]))

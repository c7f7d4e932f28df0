"""A sweep of prices: the frontier of a search that can maximise quality minus price times cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

PRICES = 32  # in a sweep
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Priced(Generic[Found]):
    """The best found at a price.

    price : quality per unit of cost. quality, cost : averages over units. found : what has them.
    """

    price: float
    quality: float
    cost: float
    found: Found

    def at(self, price: float) -> float:
        """Its value at another price."""
        return self.quality - price * self.cost


def sweep(
    solve: Callable[[float], Priced[Found]],
    least: float,
    most: float,
    count: int = PRICES,
    go_on: Callable[[], bool] = lambda: True,
) -> list[Priced[Found]]:
    """Solutions at up to `count` prices, by falling price.

    From the two solutions at the ends on, the next price is the slope between two neighbours, those that lie furthest
    apart in cost and quality; an interval in which that price yields nothing between its ends is closed (the
    dichotomic scheme of Aneja and Nair 1979).

    Parameters
    ----------
    solve : callable
        price -> the best at that price.
    least, most : float
        Prices at which cost decides between equals only, and at which nothing is worth its cost.
    count : int
    go_on : callable
        Asked after every price but the ends; False ends the sweep.
    """
    ends = solve(most), solve(least)
    out, waiting = list(ends), [ends]
    span = abs(ends[1].cost - ends[0].cost) or 1.0, abs(ends[1].quality - ends[0].quality) or 1.0
    while waiting and len(out) < count:
        apart = [abs(b.cost - a.cost) / span[0] + abs(b.quality - a.quality) / span[1] for a, b in waiting]
        a, b = waiting.pop(apart.index(max(apart)))
        if b.cost == a.cost:
            continue
        slope = (b.quality - a.quality) / (b.cost - a.cost)
        price = slope if b.price < slope < a.price else (a.price * b.price) ** 0.5
        middle = solve(price)
        if a.cost < middle.cost < b.cost:
            out.append(middle)
            waiting += [(a, middle), (middle, b)]
        if not go_on():
            break
    return sorted(out, key=lambda each: -each.price)

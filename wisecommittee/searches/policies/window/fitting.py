"""Windows of chains, fitted to units at a price of cost.

The window of one stage is exact: the units that go on are the run of neighbours, by the probability of the positive
class, that gains most (Kadane's maximum sub-array). The stages of a chain follow each other in rounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.searches.policies.rules.prices import Priced
from wisecommittee.searches.policies.rules.said import Said
from wisecommittee.searches.policies.rules.trees import Tree

POSITIVE = 1  # class of rows over two classes
ROUNDS = 2  # of the ascent over the stages of a chain

Sides = tuple[NDArray[np.bool_], NDArray[np.bool_]]  # bool [N]: exits as unlikely, exits as likely enough


@dataclass(frozen=True, slots=True)
class Line:
    """What is known after a sequence of members, in the order of the probability of the positive class.

    order : int64 [N] units by rising probability; ends : int64 [D], where the units of each distinct probability end;
    divide : how many distinct probabilities are below 1/2, None if both thresholds may lie on one side of it
    """

    order: NDArray[np.int64]
    ends: NDArray[np.int64]
    divide: int | None

    def sides(self, gain: NDArray[np.float64]) -> Sides:
        """The units that exit on either side, so that the sum of the gains [N] of all others is largest."""
        sums = np.concatenate([[0.0], np.cumsum(gain[self.order])[self.ends - 1]])
        if self.divide is None:
            stop = int((sums - np.minimum.accumulate(sums)).argmax())
            start = int(sums[: stop + 1].argmin())
        else:
            start, stop = int(sums[: self.divide + 1].argmin()), self.divide + int(sums[self.divide :].argmax())
        borders = np.concatenate([[0], self.ends])
        place = np.empty(len(gain), np.int64)
        place[self.order] = np.arange(len(gain))
        return place < borders[start], place >= borders[stop]


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows of a chain, and where units exit.

    low, high : bool [K - 1, N], whether each unit would exit as unlikely, or as likely enough; stage : int64 [N]
    """

    chain: Tree
    low: NDArray[np.bool_]
    high: NDArray[np.bool_]
    stage: NDArray[np.int64]


class Fitting:
    """Fits the windows of chains. signed : whether confidences are max_prob, of the class that is predicted."""

    def __init__(self, said: Said, signed: bool) -> None:
        self.said = said
        self._lines = [self._line(row, signed) for row in range(len(said.score))]

    def _line(self, row: int, signed: bool) -> Line:
        place = self.said.known.rank[row].astype(np.int64) + 1
        if signed:
            place = np.where(self.said.labels[self.said.known.group[row]] == POSITIVE, place, -place)
        distinct, counts = np.unique(place, return_counts=True)
        divide = int((distinct < 0).sum()) if signed else None
        return Line(np.argsort(place, kind="stable"), np.cumsum(counts), divide)

    def ranked(self, chains: Sequence[Tree], price: float) -> list[Priced[Windows]]:
        """Every chain with its windows, from the best at a price down."""
        return sorted((self._priced(chain, price) for chain in chains), key=lambda each: -each.at(price))

    def _priced(self, chain: Tree, price: float) -> Priced[Windows]:
        rows = [self.said.row[route] for route in chain.routes]
        quality = self.said.known.quality[rows]
        stop = quality - price * chain.cost
        stages, units = stop.shape
        low, high = np.zeros((2, stages - 1, units), bool)
        for _ in range(ROUNDS if stages > 2 else 1):
            reached = np.logical_and.accumulate(~(low | high), axis=0)
            value = stop[-1]
            for k in range(stages - 2, -1, -1):
                gain = np.where(reached[k - 1], value - stop[k], 0.0) if k else value - stop[k]
                low[k], high[k] = self._lines[rows[k]].sides(gain)
                value = np.where(low[k] | high[k], stop[k], value)
        exits = np.vstack([low | high, np.ones(units, bool)])
        stage, every = exits.argmax(axis=0), np.arange(units)
        cost = chain.cost[stage, every if chain.cost.shape[1] > 1 else 0]
        return Priced(price, quality[stage, every].mean(), cost.mean(), Windows(chain, low, high, stage))

"""Which units a committee answers first: those that are surest to be right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.searches.certainty import Certainty, Pair

Shares = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SurestFirst:
    """The order in which units are answered, found from units with labels.

    Confidences of different stages cannot be compared: each is turned into the probability to be right, by isotonic
    regression within its stage and Laplace's rule of succession. Units with the same probability stand in the order of
    their stage, then of their confidence. Within a stage that is the order of the confidences, so each first part of
    the order is a threshold for every stage.

    Parameters
    ----------
    known : Certainty
        Of the units that the order was found from.
    place, score : int64, float32 [L]
        The distinct confidences, surest first.
    share : float64 [L]
        Of the known units, those that are as sure or surer.
    """

    known: Certainty
    place: NDArray[np.int64]
    score: NDArray[np.float32]
    share: Shares

    @classmethod
    def of(cls, known: Certainty, right: NDArray[np.float64]) -> SurestFirst:
        """right : float64 [n], 1 where the answer of a unit is right, else 0."""
        places, scores, counts, chances = [], [], [], []
        for place in np.unique(known.place).tolist():
            units = known.place == place
            values, at, number = np.unique(known.score[units], return_inverse=True, return_counts=True)
            places.append(np.full(len(values), place))
            scores.append(values)
            counts.append(number)
            chances.append(_chances(np.bincount(at, right[units]) / number, number))
        place, score, count, chance = map(np.concatenate, (places, scores, counts, chances))
        order = np.lexsort((-score.astype(np.float64), place, -chance))
        return cls(known, place[order], score[order], np.cumsum(count[order]) / len(right))

    def shares(self, units: Certainty) -> Shares:
        """float64 [n]: of the known units, the share that is answered if a unit just is."""
        out = np.ones(len(units.score))
        for place in np.unique(units.place).tolist():
            here, listed = np.flatnonzero(units.place == place), np.flatnonzero(self.place == place)[::-1]
            if len(listed):  # ascending confidences
                reached = np.searchsorted(self.score[listed], units.score[here], side="right") - 1
                out[here] = np.where(reached < 0, 1.0, self.share[listed[np.maximum(reached, 0)]])
        return out

    def least(self, share: float, places: int) -> list[Pair | None]:
        """For every place the threshold with which this share of the known units is answered, as nearly as ties
        allow."""
        size = int(np.argmin(np.abs(self.share - share))) + 1
        out: list[Pair | None] = [None] * places
        for place in np.unique(self.place[:size]).tolist():
            every = self.score[self.place == place]  # descending
            answered = int((self.place[:size] == place).sum())
            lower = every[answered] if answered < len(every) else None
            out[place] = self.known.scales[place].between(lower, every[answered - 1])
        return out


def _chances(means: Shares, units: NDArray[np.int64]) -> Shares:
    """float64 [n]: the probability to be right at each of n rising confidences, which never falls.

    means : the share that is right there, of so many units. Isotonic regression makes blocks of confidences; of a block
    with r right ones of u units it is (r + 1) / (u + 2), so that few units that are all right are not sure to be.
    """
    from scipy.optimize import isotonic_regression

    _, block = np.unique(isotonic_regression(means, weights=units).x, return_inverse=True)
    size = np.bincount(block, units)
    chance = (np.bincount(block, means * units) + 1) / (size + 2)
    return np.asarray(isotonic_regression(chance, weights=size).x)[block]


@dataclass(frozen=True, slots=True)
class RiskCoverage:
    """How many answers are right if the surest units are answered, and no others.

    Parameters
    ----------
    share : float64 [L]
        Distinct shares of units that are answered, rising.
    answered, right : float64 [L]
        Numbers of units with an answer, and with one that is right.
    """

    share: Shares
    answered: Shares
    right: Shares

    @classmethod
    def of(cls, shares: Sequence[Shares], right: Sequence[Shares], divisions: int = 1) -> RiskCoverage:
        """From units of one or several parts; divisions : how often each unit is among them."""
        share, at, count = np.unique(np.concatenate(shares), return_inverse=True, return_counts=True)
        of_each = np.bincount(at, np.concatenate(right), minlength=len(share))
        return cls(share, np.cumsum(count) / divisions, np.cumsum(of_each) / divisions)

    def worth_most(self, cost: float) -> float | None:
        """The share of answers that costs least if an error costs 1 and no answer `cost`; the largest of several; None
        if no answer is worth it."""
        gain = self.right - (1 - cost) * self.answered
        best = len(gain) - 1 - int(np.argmax(np.round(gain, 9)[::-1]))
        return float(self.share[best]) if gain[best] >= -1e-9 else None

    def widest(self, accuracy: float) -> float | None:
        """The largest share of answers of which this share is right even if one more were wrong; None if there is none.

        That unit pays for the choice of the largest share, which takes chance for truth (docs/honesty.md).
        """
        enough = np.flatnonzero(self.right >= accuracy * (self.answered + 1) - 1e-9)
        return float(self.share[enough[-1]]) if len(enough) else None

    def best(self) -> tuple[float, float]:
        """The largest accuracy of the answers if one more were wrong, and the share of answers that has it."""
        accuracy = self.right / (self.answered + 1)
        best = int(np.argmax(accuracy))
        return float(accuracy[best]), float(self.share[best])

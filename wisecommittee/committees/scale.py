"""Scales: the numbers that stage tables and thresholds hold in place of a confidence ("carried" numbers).

No float32 lies between 1 - 6e-8 and 1, where sure models put most units, so confidences themselves would tie there.
Tables carry a float32 number that rises with the confidence: the confidence itself up to an edge, and beyond it

    max_prob, prob_gap   from 31/32 on: the odds p / (1 - p), divided by 32, so that both meet at the edge; odds beyond
                         1e30 grow too fast for float32, there their logarithm, scaled
    neg_entropy          above -1e-28: minus the logarithm of the entropy

`Scale.shown` turns carried numbers back into the confidence that is printed. Carried numbers have the same order as the
confidence.

The same sum in another order, or in another program, gives a confidence that differs in its last bits. A threshold
between the two would be an accident of rounding: `Scale.lowest` replaces numbers that rounding can confuse by one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

Carried = NDArray[np.float32]
# Stored confidences of units without an answer: LEAST goes on to the last stage, LARGEST exits at once.
LEAST, LARGEST = -float(np.finfo(np.float32).max), float(np.finfo(np.float32).max)
EDGE = np.float32(31 / 32)  # a float32 step of p at the edge is 2e-6 of the odds: what rounding leaves uncertain
MOST = np.float32(3e38)  # carried where no other class has any probability
LEAST_AGAINST = 1e-30  # odds against, (1 - p) / p, below which their logarithm is carried
LEAST_ENTROPY = 1e-28
DEEP = -np.log(LEAST_ENTROPY)
ROUNDING = 4e-6  # relative difference of the odds, and of the entropy, between two programs
STEPS = 8 * 2.0**-24  # least distance of two confidences that any float32 softmax keeps on two sides of their middle
WIDEST = 100  # most roundings between the numbers that `lowest` replaces by one
FEW = 64  # most thresholds that are remembered together
POINTS = 1024  # numbers tried at once in the search for the carried number of a threshold
_NOWHERE = np.float32(np.inf)
_FAR = 1 / (32 * LEAST_AGAINST)
_FAR_LOG = -np.log(LEAST_AGAINST)


def carried_odds(value: NDArray[np.floating], against: NDArray[np.floating]) -> Carried:
    """Carried numbers of max_prob or prob_gap.

    value : the confidence; against : (1 - value) / value, which has the digits that value lacks near 1; below 1e-30 its
    natural logarithm (negative).
    """
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        odds = (against.dtype.type(1 / 32) / against).astype(np.float32)
        out = np.where(against < 1 / 31, np.minimum(odds, MOST), value.astype(np.float32))
        if (far := against < LEAST_AGAINST).any():
            few = against[far].astype(np.float64)
            logs = np.where(few < 0, -few, -np.log(np.maximum(few, 0)))
            out[far] = np.minimum(_odds_of(logs), MOST)
    return out


def carried_entropy(value: NDArray[np.floating]) -> Carried:
    """Carried numbers of neg_entropy; value : minus the entropy."""
    out = value.astype(np.float32)
    deep = value > -LEAST_ENTROPY
    if deep.any():
        with np.errstate(divide="ignore"):
            out[deep] = np.minimum(-np.log(-value[deep].astype(np.float64)), MOST)
    return out


def _same(x: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.asarray(x, np.float64)


def _odds_shown(x: NDArray[np.floating]) -> NDArray[np.float64]:
    wide = _same(x)
    with np.errstate(over="ignore", divide="ignore"):
        against = np.where(wide > _FAR, np.exp(-np.minimum(wide / _FAR * _FAR_LOG, 800)), 1 / (32 * np.abs(wide)))
    return np.where(wide > EDGE, 1 / (1 + against), wide)


def _odds_log(x: NDArray[np.floating]) -> NDArray[np.float64]:
    wide = _same(x)
    with np.errstate(divide="ignore", invalid="ignore"):
        near = np.where(wide > EDGE, np.log(32 * wide), np.log(wide) - np.log1p(-wide))
    return np.where(wide > _FAR, wide / _FAR * _FAR_LOG, near)


def _odds_of(log_odds: NDArray[np.floating]) -> NDArray[np.float64]:
    log_odds = _same(log_odds)
    with np.errstate(over="ignore"):
        far = np.where(log_odds > _FAR_LOG, log_odds / _FAR_LOG * _FAR, np.exp(np.minimum(log_odds, _FAR_LOG)) / 32)
        return np.where(log_odds > np.log(31), far, 1 / (1 + np.exp(-log_odds)))


def _odds_rounding(x: NDArray[np.floating]) -> NDArray[np.float64]:
    logs = np.where(x > EDGE, _odds_log(x), 0.0)
    near = np.where(x > EDGE, (ROUNDING + 1e-6 * logs) * x, ROUNDING * x * (1 - x))
    return np.where(x > _FAR, 1e-6 * x, near)


def _gap_rounding(x: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.where(x > EDGE, _odds_rounding(x), ROUNDING / 2 * (1 - x))


def _entropy_shown(x: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.where(_same(x) > 0, -np.exp(-np.minimum(np.abs(_same(x)), 800)), x)


def _entropy_log(x: NDArray[np.floating]) -> NDArray[np.float64]:
    wide = _same(x)
    with np.errstate(divide="ignore"):
        return np.where(wide > 0, wide, -np.log(np.maximum(-wide, 0)))


def _entropy_of(log: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.where(log > DEEP, log, -np.exp(-log))


def _entropy_rounding(x: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.where(x > 0, 1e-6, ROUNDING) * np.abs(x)


Function = Callable[[NDArray[np.floating]], NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Scale:
    """The map between carried numbers and a confidence.

    Parameters
    ----------
    rounding : callable or None
        From carried numbers to the largest distance that rounding puts between equal confidences; None for exact
        numbers.
    edge : float32
        Up to the edge, carried numbers are the confidence itself.
    start : float32
        About the least carried number beyond the edge.
    value : callable
        From carried numbers to the confidence.
    log : callable
        From carried numbers beyond the edge to their log-odds; of neg_entropy, minus the logarithm of the entropy.
    of_log : callable
        From log-odds to carried numbers.
    """

    rounding: Function | None = None
    edge: np.float32 = _NOWHERE
    start: np.float32 = _NOWHERE
    value: Function = _same
    log: Function = _same
    of_log: Function = _same

    @property
    def saturates(self) -> bool:
        """Whether thresholds beyond the edge need log-odds, since float32 cannot express them as a confidence."""
        return bool(np.isfinite(self.edge))

    def shown(self, carried: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 confidences, as printed, of carried numbers of any shape."""
        if not (carried > self.edge).any():
            return carried
        return self.value(carried).astype(np.float32) + np.float32(0)  # never -0

    def threshold(self, carried: np.float32) -> tuple[float, float | None]:
        """(confidence, log-odds) of a carried number; the log-odds are None up to the edge."""
        value = np.atleast_1d(carried)
        log = None if value[0] <= self.edge else float(self.log(value)[0])
        return float(self.shown(value)[0]), log

    def between(self, lower: np.float32 | None, upper: np.float32) -> tuple[float, float | None]:
        """(confidence, log-odds or None) of a threshold that `upper` reaches and `lower` does not.

        `lower` and `upper` are neighbours among carried numbers; lower is None if there is none. The confidence is the
        float32 midpoint of both if that lies strictly above the lower one, else the upper one. Where no float32 lies
        safely between them, the midpoint of their log-odds decides. LEAST and LARGEST are no confidences of answers:
        above LEAST the upper one is the threshold, below LARGEST the next float32 above the lower one, or 0.
        """
        lower = None if lower == np.float32(LEAST) else lower
        if upper == np.float32(LARGEST):
            return (0.0 if lower is None else float(np.nextafter(lower, upper))), None
        low, high = (None if x is None else self.shown(np.atleast_1d(x))[0] for x in (lower, upper))
        assert high is not None
        if low is None:
            return float(high), None
        middle = np.float32((np.float64(low) + np.float64(high)) / 2)
        confidence = float(middle if middle > low else high)
        if upper <= self.edge or np.float64(high) - np.float64(low) >= STEPS:
            return confidence, None
        return confidence, float(self.log(np.array([lower, upper])).mean())

    def carried(self, thresholds: ArrayLike, log_odds: Sequence[float | None] = ()) -> Carried:
        """float32 [n]: the least carried number that reaches each threshold; infinity if none does.

        thresholds : confidences [n]; log_odds : [n] the number that replaces the threshold, or None; may be empty.
        """
        wanted = np.asarray(thresholds, np.float32)
        if wanted.size <= FEW:  # a policy asks for the same ones at every batch of units
            return _carried(self, tuple(wanted.tolist()), tuple(log_odds)).copy()
        return self._all_carried(wanted, log_odds)

    def _all_carried(self, wanted: Carried, log_odds: Sequence[float | None]) -> Carried:
        out = wanted.copy()
        beyond = wanted > self.edge
        if beyond.any():
            out[beyond] = self._least(wanted[beyond])
        for k, log in enumerate(log_odds):
            if log is not None:
                out[k] = min(float(self.of_log(np.array([log]))[0]), float(MOST))
        return out

    def _least(self, wanted: Carried) -> Carried:
        """The least carried numbers above the edge whose confidence is at least `wanted`.

        By cutting the range of float32 numbers into equal parts again and again: positive ones, read as integers, have
        the same order.
        """
        parts = max(2, POINTS // len(wanted))
        low = np.full(wanted.shape, self.start.view(np.int32), np.int64)
        high = np.full(wanted.shape, np.float32(np.inf).view(np.int32), np.int64)
        while (high - low > 1).any():
            edges = low[:, None] + (high - low)[:, None] * np.arange(parts + 1) // parts
            reached = self.shown(edges[:, 1:-1].astype(np.int32).view(np.float32)) >= wanted[:, None]
            first = np.arange(len(wanted)), (~reached).sum(axis=1)
            low, high = edges[first], edges[:, 1:][first]
        return high.astype(np.int32).view(np.float32)

    def lowest(self, ordered: Carried) -> Carried:
        """Replace runs of numbers that rounding cannot tell apart by the least of each run.

        ordered : [n] ascending. Neighbours closer than one rounding are in one run; a run longer than WIDEST roundings
        is cut into runs of that length.
        """
        if self.rounding is None or len(ordered) < 2:
            return ordered
        steps, upper = np.diff(ordered), ordered[1:]
        most = np.abs(upper)  # upper bound on the rounding of each
        beyond = np.searchsorted(upper, self.edge, side="right")
        most[:beyond] += 1
        most[:beyond] *= 4e-6
        most[beyond:] *= 1e-4
        near = np.flatnonzero((steps <= most) & (steps > 0))
        near = near[steps[near] <= self.rounding(upper[near].astype(np.float64))]
        if not len(near):
            return ordered
        starts = np.r_[True, steps > 0]
        starts[near + 1] = False
        lowest = _least_of_runs(ordered, starts)
        inside = np.flatnonzero(lowest != ordered)
        room = WIDEST * np.maximum(self.rounding(lowest[inside].astype(np.float64)), 1e-300)
        number = np.floor((ordered[inside].astype(np.float64) - lowest[inside]) / room)
        if not number.any():
            return lowest
        whole = np.zeros(len(ordered))
        whole[inside] = number
        return _least_of_runs(ordered, starts | (np.diff(whole, prepend=0) != 0))


@lru_cache(maxsize=1 << 12)
def _carried(scale: Scale, thresholds: tuple[float, ...], log_odds: tuple[float | None, ...]) -> Carried:
    """As `Scale.carried`; the result is shared."""
    return scale._all_carried(np.array(thresholds, np.float32), log_odds)


def _least_of_runs(ordered: Carried, starts: NDArray[np.bool_]) -> Carried:
    at = np.flatnonzero(starts)
    return np.repeat(ordered[at], np.diff(at, append=len(ordered)))


def _plain_rounding(x: NDArray[np.floating]) -> NDArray[np.float64]:
    return ROUNDING / 2 * (1 + np.abs(x))


ODDS = Scale(_odds_rounding, EDGE, EDGE, _odds_shown, _odds_log, _odds_of)
GAP = Scale(_gap_rounding, EDGE, EDGE, _odds_shown, _odds_log, _odds_of)
ENTROPY = Scale(
    _entropy_rounding, np.float32(-LEAST_ENTROPY), np.float32(64), _entropy_shown, _entropy_log, _entropy_of
)
PLAIN = Scale(_plain_rounding)
STORED = Scale()  # scores of the store are exact

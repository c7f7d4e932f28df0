"""Confidence functions: how willing a stage is to answer (Wang et al. 2022, Sec. 4.1). Higher exits earlier.

A confidence is a numpy function of a few statistics of each output row, which the stage kernel gathers in one pass:

    top     [..] largest value              second  [..] second largest value
    of rows of mean logits z:
    rest    [..] sum exp(z - top) over all classes but one with the top; where that is below 1e-30, its logarithm
    spread  [..] sum exp(z - top) * (z - top); there divided by rest
    of rows of mean probabilities p:
    rest    [..] sum p over all classes but one with the top
    plogp   [..] sum p log p

A confidence that runs out of float32 numbers is carried on a scale of its own (scale.py), which its functions then
return. Add one by writing its two functions and naming it in CONFIDENCES.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.scale import (
    DEEP,
    ENTROPY,
    GAP,
    MOST,
    ODDS,
    PLAIN,
    STORED,
    Scale,
    carried_entropy,
    carried_odds,
)
from wisecommittee.errors import UnknownNameError

Statistics = Mapping[str, NDArray[np.float32]]
Function = Callable[[Statistics], NDArray[np.floating]]
LOG_FLOOR = np.float32(1e-38)  # log p of a stored zero
_LARGEST = float(np.finfo(np.float32).max)
_OPEN = 2.0**-23  # what rounding leaves open of a mean of probabilities near 1


@dataclass(frozen=True, slots=True)
class Confidence:
    """Name, and the function with the statistics it needs for rows of logits and for rows of probabilities.

    scale : how what the functions return is carried.
    """

    name: str
    logits_need: tuple[str, ...]
    from_logits: Function
    probabilities_need: tuple[str, ...]
    from_probabilities: Function
    scale: Scale = PLAIN

    def needs(self, space: str) -> tuple[str, ...]:
        return self.logits_need if space == "logits" else self.probabilities_need

    def __call__(self, statistics: Statistics, space: str) -> NDArray[np.float32]:
        """float32, finite, same shape as the statistics, on the scale; space is 'logits' or 'probabilities'."""
        function = self.from_logits if space == "logits" else self.from_probabilities
        with np.errstate(over="ignore", invalid="ignore"):  # of finite logits up to 3e38
            found = function(statistics).astype(np.float32, copy=False)
        if not np.isfinite(found).all():
            found = np.nan_to_num(found, nan=-_LARGEST, posinf=_LARGEST, neginf=-_LARGEST)
        return found


def _log(p: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.log(np.maximum(p, LOG_FLOOR))


def _rest(s: Statistics) -> NDArray[np.float64]:
    """0 where the kernel gives its logarithm."""
    return np.maximum(s["rest"].astype(np.float64), 0)


def _max_prob(s: Statistics) -> NDArray[np.float32]:
    return carried_odds(1 / (1 + _rest(s)), s["rest"])


def _prob_gap(s: Statistics) -> NDArray[np.float32]:
    rest, gap = _rest(s), s["top"].astype(np.float64) - s["second"]
    second = np.exp(-gap)
    with np.errstate(divide="ignore"):
        against = (rest + second) / -np.expm1(-gap)
    # Where rest is its logarithm: that of rest + second.
    log = s["rest"] + np.log1p(np.exp(np.minimum(-s["rest"] - gap, 0)))
    return carried_odds((1 - second) / (1 + rest), np.where(s["rest"] < 0, np.minimum(log, -0.0), against))


def _neg_entropy(s: Statistics) -> NDArray[np.float32]:
    rest = _rest(s)
    value = s["spread"] / (1 + rest) - np.log1p(rest)
    logs = s["rest"] < 0
    if not logs.any():
        return carried_entropy(value)
    log = -s["rest"][logs] - np.log1p(-s["spread"][logs].astype(np.float64))
    value[logs] = -np.exp(-log)
    out = carried_entropy(value)
    out[logs] = np.where(log > DEEP, np.minimum(log, MOST), out[logs])
    return out


def _others(s: Statistics) -> NDArray[np.float64]:
    """1 - top, from the other columns where they say it more precisely than top, and as far as top leaves it open."""
    below = 1 - s["top"].astype(np.float64)
    return np.maximum(np.clip(s["rest"], below - _OPEN, below + _OPEN), 0)


def _stored_max_prob(s: Statistics) -> NDArray[np.float32]:
    return carried_odds(s["top"], _others(s) / s["top"])


def _stored_prob_gap(s: Statistics) -> NDArray[np.float32]:
    gap, others = s["top"] - s["second"], _others(s) + s["second"]
    with np.errstate(divide="ignore"):
        return carried_odds(gap, others / np.maximum(gap, 0))


CONFIDENCES = {
    c.name: c
    for c in (
        Confidence("max_prob", ("rest",), _max_prob, ("top", "rest"), _stored_max_prob, ODDS),
        Confidence("prob_gap", ("top", "second", "rest"), _prob_gap, ("top", "second", "rest"), _stored_prob_gap, GAP),
        Confidence(
            "logit_gap",
            ("top", "second"),
            lambda s: s["top"] - s["second"],
            ("top", "second"),
            lambda s: _log(s["top"]) - _log(s["second"]),
        ),
        Confidence(
            "neg_entropy", ("rest", "spread"), _neg_entropy, ("plogp",), lambda s: carried_entropy(s["plogp"]), ENTROPY
        ),
    )
}


def scale_of(confidence: Confidence | str) -> Scale:
    """Of a confidence, of its name, or of a stored score."""
    named = CONFIDENCES.get(confidence) if isinstance(confidence, str) else confidence
    return STORED if named is None else named.scale


def confidence_named(name: str, stored: tuple[str, ...] = ()) -> Confidence | str:
    """The function of that name, or the name itself if it is a score the store holds for every model."""
    if name in CONFIDENCES:
        return CONFIDENCES[name]
    if name in stored:
        return name
    raise UnknownNameError("confidence", name, [*CONFIDENCES, *stored])


def threshold_above(margin: float) -> float:
    """The threshold t for which a float32 confidence is >= t iff it is > margin (IRENE halts above its margin).

    >>> threshold_above(1.0)
    1.0000001192092896
    """
    nearest = np.float32(margin)
    return float(nearest if nearest > margin else np.nextafter(nearest, np.float32(np.inf)))

"""Confidence functions: the confidence of a stage in its prediction (Wang et al. 2022, Sec. 4.1). Higher exits earlier.

A confidence is a numpy function of a few statistics of each output row, which the stage kernel computes in one pass:

    top     [..] largest value              second  [..] second largest value
    of rows of mean logits z:
    rest    [..] sum exp(z - top) over all classes but the top one; its natural logarithm where it is below 1e-30
    spread  [..] sum exp(z - top) * (z - top); divided by rest where rest is below 1e-30
    of rows of mean probabilities p:
    rest    [..] sum p over all classes but the top one
    plogp   [..] sum p log p

A confidence that saturates in float32 has a scale (scale.py); its functions return numbers on that scale.

May be added: a confidence, by its two functions and its line in CONFIDENCES.
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
NO_CONFIDENCE = "none"  # in place of a confidence: answers stored without one, whose committees compare none
LOG_FLOOR = np.float32(1e-38)  # log p of a stored zero
_LARGEST = float(np.finfo(np.float32).max)
_OPEN = 2.0**-23  # rounding error of a mean of probabilities near 1


@dataclass(frozen=True, slots=True)
class Confidence:
    """A confidence function for rows of logits and for rows of probabilities.

    Parameters
    ----------
    name : str
    logits_need, probabilities_need : tuple of str
        Statistics (see the module) that its function reads.
    from_logits, from_probabilities : callable
        From {statistic: [..]} to confidences [..], higher exits earlier, on `scale`.
    scale : Scale
        What the returned numbers mean; PLAIN if they are the confidence.
    """

    name: str
    logits_need: tuple[str, ...]
    from_logits: Function
    probabilities_need: tuple[str, ...]
    from_probabilities: Function
    scale: Scale = PLAIN

    def needs(self, space: str) -> tuple[str, ...]:
        """Names of the statistics that it reads from rows of 'logits' or of 'probabilities'."""
        return self.logits_need if space == "logits" else self.probabilities_need

    def __call__(self, statistics: Statistics, space: str) -> NDArray[np.float32]:
        """Finite float32 confidences on the scale, shaped like the statistics; space : 'logits' or 'probabilities'."""
        function = self.from_logits if space == "logits" else self.from_probabilities
        with np.errstate(over="ignore", invalid="ignore"):  # of finite logits up to 3e38
            confidence = function(statistics).astype(np.float32, copy=False)
        if not np.isfinite(confidence).all():
            confidence = np.nan_to_num(confidence, nan=-_LARGEST, posinf=_LARGEST, neginf=-_LARGEST)
        return confidence


def _log(p: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.log(np.maximum(p, LOG_FLOOR))


def _rest(s: Statistics) -> NDArray[np.float64]:
    """The statistic `rest`; 0 where the kernel gives its logarithm instead."""
    return np.maximum(s["rest"].astype(np.float64), 0)


def _max_prob(s: Statistics) -> NDArray[np.float32]:
    return carried_odds(1 / (1 + _rest(s)), s["rest"])


def _prob_gap(s: Statistics) -> NDArray[np.float32]:
    rest, gap = _rest(s), s["top"].astype(np.float64) - s["second"]
    second = np.exp(-gap)
    with np.errstate(divide="ignore"):
        against = (rest + second) / -np.expm1(-gap)
    # Where the kernel gives log(rest): log(rest + second).
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
    """1 - top [..]. The sum of the other columns is more precise; it is used within the rounding error of top."""
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
    """The scale of a confidence function or of its name; STORED for the name of a stored score."""
    named = CONFIDENCES.get(confidence) if isinstance(confidence, str) else confidence
    return STORED if named is None else named.scale


def confidence_named(name: str, stored: tuple[str, ...] = ()) -> Confidence | str:
    """The function of that name, or the name itself if it is a score the store holds for every model, or 'none'."""
    if name in CONFIDENCES:
        return CONFIDENCES[name]
    if name in stored or name == NO_CONFIDENCE:
        return name
    raise UnknownNameError("confidence", name, [*CONFIDENCES, *stored])


def threshold_above(margin: float) -> float:
    """The threshold t for which a float32 confidence is >= t iff it is > margin (IRENE halts above its margin).

    >>> threshold_above(1.0)
    1.0000001192092896
    """
    nearest = np.float32(margin)
    return float(nearest if nearest > margin else np.nextafter(nearest, np.float32(np.inf)))

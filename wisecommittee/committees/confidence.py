"""Confidence functions: how willing a stage is to answer (Wang et al. 2022, Sec. 4.1). Higher exits earlier.

A confidence is a numpy function of a few statistics of each output row, which the stage kernel gathers in one pass:

    top     [..] largest value              second  [..] second largest value
    of rows of mean logits z:
    rest    [..] sum exp(z - top) over all classes but one with the top
    spread  [..] sum exp(z - top) * (z - top)
    of rows of mean probabilities p:
    plogp   [..] sum p log p

Add one by writing its two functions and naming it in CONFIDENCES.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import UnknownNameError

Statistics = Mapping[str, NDArray[np.float32]]
Function = Callable[[Statistics], NDArray[np.floating]]
LOG_FLOOR = np.float32(1e-38)  # log p of a stored zero


@dataclass(frozen=True, slots=True)
class Confidence:
    """Name, and the function with the statistics it needs for rows of logits and for rows of probabilities."""

    name: str
    logits_need: tuple[str, ...]
    from_logits: Function
    probabilities_need: tuple[str, ...]
    from_probabilities: Function

    def needs(self, space: str) -> tuple[str, ...]:
        return self.logits_need if space == "logits" else self.probabilities_need

    def __call__(self, statistics: Statistics, space: str) -> NDArray[np.float32]:
        """float32, same shape as the statistics; space is 'logits' or 'probabilities'."""
        function = self.from_logits if space == "logits" else self.from_probabilities
        return function(statistics).astype(np.float32, copy=False)


def _log(p: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.log(np.maximum(p, LOG_FLOOR))


def _mass(s: Statistics) -> NDArray[np.float64]:
    return 1.0 + s["rest"].astype(np.float64)


def _exp_gap(s: Statistics) -> NDArray[np.float64]:
    return np.exp(s["second"].astype(np.float64) - s["top"])


CONFIDENCES = {
    c.name: c
    for c in (
        Confidence("max_prob", ("rest",), lambda s: 1 / _mass(s), ("top",), lambda s: s["top"]),
        Confidence(
            "prob_gap",
            ("top", "second", "rest"),
            lambda s: (1 - _exp_gap(s)) / _mass(s),
            ("top", "second"),
            lambda s: s["top"] - s["second"],
        ),
        Confidence(
            "logit_gap",
            ("top", "second"),
            lambda s: s["top"] - s["second"],
            ("top", "second"),
            lambda s: _log(s["top"]) - _log(s["second"]),
        ),
        Confidence(
            "neg_entropy",
            ("rest", "spread"),
            lambda s: s["spread"] / _mass(s) - np.log1p(s["rest"].astype(np.float64)),
            ("plogp",),
            lambda s: s["plogp"],
        ),
    )
}


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

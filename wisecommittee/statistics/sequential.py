"""A stream of values against a reference sample: a test of equal means that may look at the stream after every unit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.statistics.evidence import DriftEvidence

GROWTH = 1.02  # from one look at the stream to the next
MOST_VALUES = 200  # distinct values; more are rounded to steps of 1 / MOST_VALUES
AT_ONCE = 32  # looks that are computed together


@dataclass(frozen=True, slots=True)
class MeanChange:
    """The mean of a stream beside that of a reference sample.

    Parameters
    ----------
    reference, live : float
        The means of both samples.
    interval : (float, float)
        Of the population mean of the stream minus that of the reference, at level 1 - alpha, whatever the length of the
        stream at which it is computed.
    alarm : int or None
        Number of values of the stream after which the means are shown to differ; None if they are not.
    """

    reference: float
    live: float
    interval: tuple[float, float]
    alarm: int | None


def mean_change(reference: NDArray[np.floating], live: NDArray[np.floating], alpha: float = 0.05) -> MeanChange:
    """Compare a stream with a reference sample of the same quantity.

    Parameters
    ----------
    reference : float [m]
        Independent values in [0, 1], in any order.
    live : float [n]
        Independent values in [0, 1], in the order of the stream.
    alpha : float
        Largest probability of an alarm, ever, if both have the same mean.

    Returns
    -------
    MeanChange
    """
    means = float(np.mean(reference)), float(np.mean(live))
    values = np.unique(np.concatenate([reference, live]).astype(np.float64))
    if len(values) > MOST_VALUES:  # the rounded values are compared: they are a quantity in [0, 1] too
        values = np.arange(MOST_VALUES + 1) / MOST_VALUES
        reference, live = (np.rint(np.asarray(x) * MOST_VALUES) / MOST_VALUES for x in (reference, live))
    counts = np.bincount(np.searchsorted(values, reference), minlength=len(values)).astype(np.float64)
    evidence = DriftEvidence(values, counts)
    alarm = _first(evidence, np.searchsorted(values, live), math.log(1 / alpha))
    counted = np.bincount(np.searchsorted(values, live), minlength=len(values)).astype(np.float64)
    interval = evidence.interval(counted, alpha)
    return MeanChange(*means, interval, alarm)


def _first(evidence: DriftEvidence, at: NDArray[np.int64], wanted: float) -> int | None:
    """The first look at which the evidence reaches `wanted`. at : the index of each value of the stream."""
    seen, position = np.zeros(len(evidence.values)), 0
    for block in _blocks(len(at)):
        rows = []
        for look in block:
            seen = seen + np.bincount(at[position:look], minlength=len(seen))
            position = look
            rows.append(seen)
        reached = np.flatnonzero(evidence(np.array(rows)) >= wanted)
        if len(reached):
            return block[reached[0]]
    return None


def _blocks(units: int) -> Iterator[list[int]]:
    """The numbers of units after which the stream is looked at, AT_ONCE at a time: every unit at first, then at growing
    distances. They do not depend on the length of the stream, so that an alarm stays when the stream goes on."""
    block, look = [], 1
    while look <= units:
        block.append(look)
        if len(block) == AT_ONCE:
            yield block
            block = []
        look = max(look + 1, int(look * GROWTH))
    if block:
        yield block

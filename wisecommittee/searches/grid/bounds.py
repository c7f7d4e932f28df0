"""The limits of a query as the Bounds that kernels test."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.cost import INT64_SAFE
from wisecommittee.kernels.bounds import Bounds
from wisecommittee.searches.grid.virtual_stages import padded_columns
from wisecommittee.searches.limits import Limits

FEWEST = 4  # stages of a cascade in a kernel


def make_bounds(
    limits: Limits, sequences: NDArray[np.int64], caps: NDArray[np.int64], units: int, fewest: int = FEWEST
) -> Bounds:
    """Bounds of sequences int64 [m, K], with virtual stages in front up to `fewest`.

    caps : int64 [m, K] the most units that may run each stage, beside the limits
    """
    if not limits.fixed and (caps >= units).all():
        return unlimited(fewest)
    caps, ceilings = padded_columns(caps, fewest, units), np.zeros(0, np.int64)
    charges = np.zeros((len(sequences), 0, caps.shape[1]), np.int64)
    if limits.fixed:
        caps = np.minimum(caps, padded_columns(limits.caps(sequences), fewest, units))
        charges = padded_columns(limits.marginal(sequences), fewest)
        ceilings = np.array(limits.ceilings, np.int64)
    return Bounds(caps, np.ascontiguousarray(charges), ceilings)


def unlimited(stages: int = FEWEST) -> Bounds:
    """The bounds of cascades without limits."""
    return Bounds(np.zeros((0, stages), np.int64), np.zeros((0, 0, stages), np.int64), np.zeros(0, np.int64))


def of_cascade(bounds: Bounds, m: int) -> Bounds:
    """The bounds of one cascade; without limits, bounds that no cascade exceeds."""
    if len(bounds.caps):
        return Bounds(bounds.caps[m : m + 1], bounds.charges[m : m + 1], bounds.ceilings)
    return Bounds(np.full((1, FEWEST), INT64_SAFE), np.zeros((1, 0, FEWEST), np.int64), bounds.ceilings)


def after_stage(bounds: Bounds, units: int) -> Bounds:
    """The bounds of the later stages, once `units` units have run the first stage, which all cascades share."""
    if not len(bounds.caps):
        return bounds
    kept = units <= bounds.caps[:, 0]
    return Bounds(
        np.where(kept[:, None], bounds.caps[:, 1:], -1),
        np.ascontiguousarray(bounds.charges[:, :, 1:]),
        bounds.ceilings - bounds.charges[0, :, 0] * units,
    )


def can_be_met(bounds: Bounds) -> bool:
    """Whether some cascade has broken no limit yet."""
    return not len(bounds.caps) or bool((bounds.caps[:, 0] >= 0).any())

"""Why a policy decides about a unit as it does, as text with the number that decided."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from wisecommittee.committees.scale import LEAST, Scale


class Reason(NamedTuple):
    """text : of one comparison or value. margin : by how much a number passes its bound, below 0 where it does not
    reach it, in the unit of the text; None where nothing is compared."""

    text: str
    margin: float | None = None


def compared(
    confidence: str, scale: Scale, score: np.float32, threshold: float | None, log_odds: float | None = None
) -> Reason:
    """A confidence beside the threshold that it is compared with: 'max_prob 0.91 >= 0.83'.

    score : as it is carried on the scale. threshold : None lets no unit exit. log_odds : decide instead where there are
    any.
    """
    name, value = confidence, float(scale.shown(np.atleast_1d(score))[0])
    if threshold is None:
        return Reason(f"{name} {value:.6g}, and no {name} is enough here")
    if threshold == LEAST:
        return Reason(f"{name} {value:.6g}, and every {name} is enough here")
    bound, (carried,) = threshold, scale.carried([threshold], [log_odds])
    if log_odds is not None:
        name = f"-log(-{confidence})" if confidence == "neg_entropy" else f"log-odds of {confidence}"
        value, bound = float(scale.log(np.atleast_1d(score))[0]), log_odds
    return bounded(name, value, bound, met=bool(score >= carried))


def bounded(name: str, value: float, bound: float, *, met: bool, most: bool = False) -> Reason:
    """'name 0.91 >= 0.83', or 'name 0.91 > 0.83' for a bound that is not met. most : the value may be at most the
    bound."""
    sign = {(True, False): ">=", (False, False): "<", (True, True): "<=", (False, True): ">"}[met, most]
    apart = bound - value if most else value - bound
    margin = (max(apart, 0.0) if met else min(apart, 0.0)) if math.isfinite(apart) else None
    return Reason(f"{name} {value:.6g} {sign} {bound:.6g}", margin)

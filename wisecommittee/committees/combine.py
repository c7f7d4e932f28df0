"""Combining rules: how the members of a prefix become one prediction.

A rule says what each member adds to the float32 sum over members in canonical order, and whether the mean of that sum
is a row of logits or of probabilities. The prediction is the argmax of the sum, ties go to the lowest class.

References: Wang et al. 2022, Sec. 3; Kondratyuk et al. 2020.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.confidence import LOG_FLOOR
from wisecommittee.errors import UnknownNameError

Rows = NDArray[np.float32]  # [.., C]
PROBABILITY_TOLERANCE = 1e-3  # sums of real rows of probabilities differ from 1 by up to 3e-4


def log_probabilities(rows: Rows) -> Rows:
    """log p, floored at log 1e-38 so that stored zeros stay finite."""
    return np.log(np.maximum(rows, LOG_FLOOR))


def normalised_logs(rows: Rows, kind: str) -> Rows:
    """log p of each class, floored, from stored rows of this kind ('logits' or 'probabilities')."""
    logits = rows if kind == "logits" else log_probabilities(rows)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    total = np.exp(shifted).sum(axis=-1, keepdims=True, dtype=np.float64)
    return np.maximum(shifted - np.log(total), np.log(LOG_FLOOR)).astype(np.float32)


def softmax(rows: Rows) -> Rows:
    """Softmax over classes; the sum is float64, so that probabilities near 1 are rounded once."""
    shifted = np.exp(rows - rows.max(axis=-1, keepdims=True))
    scale = 1 / shifted.sum(axis=-1, keepdims=True, dtype=np.float64)
    return np.multiply(shifted, scale, out=shifted, casting="same_kind")


def unchanged(rows: Rows) -> Rows:
    return rows


@dataclass(frozen=True, slots=True)
class Combine:
    """A combining rule, for stored rows of each kind ('logits' and 'probabilities').

    Parameters
    ----------
    name : str
    summand : {kind: callable}
        From stored rows [.., C] to the rows that are summed.
    space : {kind: str}
        Whether the mean of the sum is 'logits' or 'probabilities'.
    ordered : bool
        Whether only the newest member decides; if so, the order of the members matters.
    """

    name: str
    summand: dict[str, Callable[[Rows], Rows]]
    space: dict[str, str]
    ordered: bool = False


COMBINES = {
    "mean_logits": Combine(
        "mean_logits",
        {"logits": unchanged, "probabilities": log_probabilities},
        {"logits": "logits", "probabilities": "logits"},
    ),
    "mean_probs": Combine(
        "mean_probs",
        {"logits": softmax, "probabilities": unchanged},
        {"logits": "probabilities", "probabilities": "probabilities"},
    ),
    # The newest member answers alone, in the space its outputs are stored in.
    "last": Combine(
        "last",
        {"logits": unchanged, "probabilities": unchanged},
        {"logits": "logits", "probabilities": "probabilities"},
        ordered=True,
    ),
}
# Softmax of mean log-probabilities is softmax of mean logits: one rule, two names in the papers.
ALIASES = {"geometric_mean": "mean_logits"}


def combine_named(name: str) -> Combine:
    """The combining rule of that name or alias; UnknownNameError if there is none."""
    try:
        return COMBINES[ALIASES.get(name, name)]
    except KeyError:
        raise UnknownNameError("combining rule", name, [*COMBINES, *ALIASES]) from None

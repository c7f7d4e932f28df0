"""Combining rules: how the members of a prefix become one prediction.

Sources: Wang et al. 2022, Sec. 3; Kondratyuk et al. 2020. A rule says what each member contributes to the float32 SUM
over members in canonical order, and in which space the mean of that sum lives. Argmax is taken of the sum, ties go to
the lowest class.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.confidence import LOG_FLOOR
from wisecommittee.errors import UnknownNameError

Rows = NDArray[np.float32]  # [.., C]


def log_probabilities(rows: Rows) -> Rows:
    """log p, floored at log 1e-38 so that stored zeros stay finite."""
    return np.log(np.maximum(rows, LOG_FLOOR))


def softmax(rows: Rows) -> Rows:
    """Softmax over classes; the sum is float64, so that probabilities near 1 are rounded once."""
    shifted = np.exp(rows - rows.max(axis=-1, keepdims=True))
    scale = 1 / shifted.sum(axis=-1, keepdims=True, dtype=np.float64)
    return np.multiply(shifted, scale, out=shifted, casting="same_kind")


def unchanged(rows: Rows) -> Rows:
    return rows


@dataclass(frozen=True, slots=True)
class Combine:
    """summand[kind] turns stored rows into summands, space[kind] is where their mean lives; kinds: logits,
    probabilities.

    ordered : only the newest member answers, so the order of members matters and not their set.
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
    try:
        return COMBINES[ALIASES.get(name, name)]
    except KeyError:
        raise UnknownNameError("combining rule", name, [*COMBINES, *ALIASES]) from None

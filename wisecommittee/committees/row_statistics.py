"""The statistics of rows of outputs from which a confidence is computed (confidence.py), in numpy.

They equal those of the stage kernels within the rounding of a float32 sum, which thresholds keep away from
(scale.py: `lowest`). Predictions are equal.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]  # [n, C]
MASKED = np.finfo(np.float32).min  # stored for a class that a model never predicts
LEAST_REST = 1e-30  # a smaller sum of exponentials is replaced by its logarithm
DEEPEST = -87.0  # exponentials of numbers below it do not count in a sum of float32
MOST = 3e38


def row_statistics(
    total: Rows, size: int, space: str, wanted: Iterable[str]
) -> tuple[NDArray[np.int64], dict[str, NDArray[np.float32]]]:
    """Predictions and statistics of sums of outputs.

    Parameters
    ----------
    total : float32 [n, C]
        The sum over the members; finite, 2 classes or more.
    size : int
        Number of members.
    space : str
        Whether the mean of the members is 'logits' or 'probabilities'.
    wanted : iterable of str
        Names of statistics, as confidence.py defines them.

    Returns
    -------
    prediction : int64 [n]
        The class with the largest sum; of equal ones the first.
    statistics : {name: float32 [n]}
    """
    every, best = np.arange(len(total)), total.argmax(axis=1)
    top, names = total[every, best], set(wanted)
    size32 = np.float32(size)
    out: dict[str, NDArray[np.float32]] = {}
    if "top" in names:
        out["top"] = top / size32
    if "plogp" in names:
        out["plogp"] = _plogp(total, size)
    if space == "logits" and names & {"rest", "spread"}:
        out |= _of_exponentials(total, best, size, names)
    elif "rest" in names:
        out["rest"] = _without(total, best, 0).sum(axis=1, dtype=np.float64).astype(np.float32) * (1 / size32)
    if "second" in names:
        out["second"] = _without(total, best, -np.inf).max(axis=1) / size32
    return best, {name: out[name] for name in out if name in names}


def _without(rows: Rows, best: NDArray[np.int64], value: float) -> Rows:
    """A copy of rows [n, C] with this value at class best [n] of each row."""
    out = rows.copy()
    out[np.arange(len(rows)), best] = value
    return out


def _of_exponentials(
    total: Rows, best: NDArray[np.int64], size: int, names: set[str]
) -> dict[str, NDArray[np.float32]]:
    """The statistics `rest` and, if it is among the names, `spread` of sums of logits."""
    every = np.arange(len(total))
    top = total[every, best]
    with np.errstate(over="ignore"):
        exponents = total - top[:, None]
        exponents *= np.float32(1) / np.float32(size)
    terms = np.exp(exponents)
    terms[every, best] = 0
    out = {"rest": terms.sum(axis=1, dtype=np.float64).astype(np.float32)}
    if "spread" in names:
        np.maximum(exponents, np.float32(2 * DEEPEST), out=exponents)  # finite, where terms are 0
        exponents *= terms
        out["spread"] = exponents.sum(axis=1, dtype=np.float64).astype(np.float32)
    if (small := np.flatnonzero(out["rest"] < LEAST_REST)).size:
        _put_logarithms(out, small, _without(total[small], best[small], -np.inf), top[small], size)
    return out


def _put_logarithms(
    out: dict[str, NDArray[np.float32]], rows: NDArray[np.int64], others: Rows, top: NDArray[np.float32], size: int
) -> None:
    """Replace the statistics `rest` and `spread` of rows whose sum of exponentials float32 cannot hold.

    rows : int64 [m] of the statistics. others : float32 [m, C] sums of outputs, -inf at the top class. The sums start
    from the second largest output, so that they do not underflow.
    """
    wide, scale = others.astype(np.float64), float(np.float32(1) / np.float32(size))
    second = wide.max(axis=1)
    alone = second <= MASKED  # all other classes are masked
    with np.errstate(over="ignore", invalid="ignore"):
        below = (wide - second[:, None]) * scale
        terms = np.where(below > -80, np.exp(below), 0)
        total = terms.sum(axis=1)
        logs = np.minimum((top - second) * scale - np.log(total), MOST)
        apart = np.where(terms > 0, terms * (wide - top[:, None]), 0).sum(axis=1)
        mean = np.maximum(apart / total * scale, -MOST)
    logs, mean = np.where(alone, MOST, logs), np.where(alone, -MOST, mean)
    is_small = logs > -np.log(LEAST_REST)
    out["rest"][rows] = np.where(is_small, -logs, np.exp(-np.minimum(logs, 80)))
    if "spread" in out:
        out["spread"][rows[is_small]] = mean[is_small]


def _plogp(total: Rows, size: int) -> NDArray[np.float32]:
    p = (total * (np.float32(1) / np.float32(size))).astype(np.float64)
    return np.asarray((p * np.log(np.where(p > 0, p, 1))).sum(axis=1).astype(np.float32))

"""Rows of summed outputs: the largest entry, the second largest, and sums over the others."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from wisecommittee.committees.row_statistics import MASKED

LOWEST = float(MASKED)


class Ranked(NamedTuple):
    """Rows float32 [n, C] and their largest entries.

    best : int64 [n] the first of the largest entries; top, second : float32 [n]; is_top : bool [n, C] true at `best`;
    others : float32 [n, C] the rows, with the least float32 at `best`
    """

    best: Tensor
    top: Tensor
    second: Tensor
    is_top: Tensor
    others: Tensor

    @classmethod
    def of(cls, rows: Tensor) -> Ranked:
        best = rows.argmax(dim=1)
        is_top = torch.arange(rows.shape[1], device=rows.device) == best[:, None]
        others = torch.where(is_top, LOWEST, rows)
        return cls(best, rows.amax(dim=1), others.amax(dim=1).clamp(min=LOWEST), is_top, others)


def softmax(rows: Tensor) -> Tensor:
    """Softmax over classes, float32 [n, C]."""
    ranked = Ranked.of(rows)
    terms = torch.where(ranked.is_top, 0.0, torch.exp(rows - ranked.top[:, None]))
    rest = terms.sum(dim=1)
    return torch.where(ranked.is_top, largest_of(rest)[:, None], terms / (1 + rest)[:, None])


def largest_of(rest: Tensor) -> Tensor:
    """1 / (1 + rest), rounded once also where it comes close to 1."""
    return torch.where(rest < 0.5, 1 - rest / (1 + rest), 1 / (1 + rest))


def log1p(x: Tensor) -> Tensor:
    """log(1 + x) of x >= 0, exact also near 0: ONNX has no such operator, and log(1 + x) loses the digits of x."""
    s = x / (2 + x)
    square = s * s
    series = 2 * s * (1 + square * (1 / 3 + square * (1 / 5 + square * (1 / 7 + square / 9))))
    return torch.where(x < 0.3, series, torch.log(1 + x))

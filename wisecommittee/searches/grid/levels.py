"""Percentile levels of the confidences of a stage: the thresholds of the grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.scale import LEAST, Scale
from wisecommittee.kernels.sweeps.bins import bin_units
from wisecommittee.searches.workers.threads import Workers


def level_values(ordered: NDArray[np.float32], levels: int) -> NDArray[np.float32]:
    """float32 [P - 1]: the finite levels of a stage, order statistics of its ascending confidences [N] over all
    units. Of levels at LEAST, which every unit reaches, all but the first become the least confidence of an answer."""
    n, steps = len(ordered), levels - 1
    values = ordered[np.minimum(n - 1, -(-np.arange(steps) * n // steps))]
    unanswered = int(np.searchsorted(ordered, np.float32(LEAST), side="right"))
    if 0 < unanswered < n:
        values[1:] = np.maximum(values[1:], ordered[unanswered])
    return values


def padded_levels(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Ascending levels, padded with NaN as `bin_units` takes them: no confidence reaches NaN."""
    padded = np.full((1 << len(values).bit_length()) - 1, np.nan, np.float32)
    padded[: len(values)] = values
    return padded


def level_vector(index: int, levels: int, stages: int) -> tuple[int, ...]:
    """The level of each stage behind a level index, which counts the vectors with the last stage fastest."""
    vector = []
    for _ in range(stages):
        index, level = divmod(index, levels)
        vector.append(level)
    return tuple(reversed(vector))


@dataclass(frozen=True, slots=True)
class GridLevels:
    """The levels of every row of confidences.

    number : P, with +inf as the last level; 1 means that nobody exits before the end
    bins : unsigned [rows, N] how many finite levels are at or below each unit's confidence
    values : for each row its finite levels, float32 [P - 1]; empty if P is 1
    """

    number: int
    bins: NDArray[np.unsignedinteger]
    values: list[NDArray[np.float32]]

    @classmethod
    def of(cls, score: NDArray[np.float32], number: int, scale: Scale, threads: int = 1) -> GridLevels:
        """score : float32 [rows, N]."""
        bins = np.zeros(score.shape, np.uint8 if number < 256 else np.uint16)

        def fill(row: int) -> NDArray[np.float32]:
            values = level_values(scale.lowest(np.sort(score[row])), number)
            bin_units(score[row], padded_levels(values), bins[row])
            return values

        if number == 1:
            return cls(number, bins, [])
        with Workers(threads) as workers:
            return cls(number, bins, list(workers.map(fill, range(len(score)))))

    def thresholds(self, rows: Sequence[int], index: int) -> tuple[float, ...]:
        """The thresholds behind a level index of stages with these rows of confidences; inf: nobody exits."""
        vector = level_vector(index, self.number, len(rows))
        return tuple(self._value(row, level) for row, level in zip(rows, vector, strict=True))

    def _value(self, row: int, level: int) -> float:
        return float(self.values[row][level]) if level < self.number - 1 else float("inf")

"""Semantic segmentation (Wang et al. 2022, Sec. 7.2 and App. F.2): a unit is a grid cell of an image, quality is mIoU.

For every class, a cell counts its labelled pixels that are right (tp), wrongly predicted as that class (fp) or missed
(fn). These counts add over cells; the mean intersection over union is computed from their sums.

From pixels to cells: `cell_numbers` cuts an image, `cell_confidence` gives the confidence of a cell and
`cell_statistics` its counts. The prediction of several members is the mean of their probabilities, which needs the
pixels; store/imports/segmentation.py goes through images and keeps the counts of every set of members.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import ContentError
from wisecommittee.tasks.intervals import normal_interval
from wisecommittee.tasks.task import Interval, ModelOutputs, Task

UNLABELLED = 0.5  # t_unlab of App. F.2: pixels no surer than this do not count towards the confidence of a cell


@dataclass(frozen=True, slots=True)
class Segmentation(Task):
    """S = 3C statistics of a cell, in the order tp [C], fp [C], fn [C].

    classes : C
    """

    name = "mIoU"
    label = "mIoU"
    kinds = ("cell_counts",)

    classes: int

    @classmethod
    def of(cls, models: Sequence[ModelOutputs]) -> Self | None:
        if not all(model.kind in cls.kinds for model in models):
            return None
        return cls((models[0].classes or 0) // 3)

    @property
    def measure(self) -> str:
        return "mIoU"

    @property
    def width(self) -> int:
        return 3 * self.classes

    def read(self, model: ModelOutputs) -> NDArray[np.generic]:
        return model.outputs()

    def statistics(self, predictions: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.int32]:
        """int32 [N, S]: the counts, which the store holds instead of predictions."""
        return predictions.astype(np.int32)

    def correct(self, totals: NDArray[np.integer]) -> int:
        """Pixels that are right, of totals [S]."""
        return int(totals[: self.classes].sum())

    def quality(self, totals: NDArray[np.integer], units: int) -> NDArray[np.float64]:
        """float64 [..]: mean of tp / (tp + fp + fn) of totals [.., S] over the classes that occur or are predicted.

        Classes are added in order, so that one total gives the same bits wherever it stands in an array.
        """
        tp, union = self._areas(totals)
        there = union > 0
        shares = np.divide(tp, union, out=np.zeros(tp.shape), where=there)
        summed = np.zeros(tp.shape[:-1])
        for c in range(self.classes):
            summed = summed + shares[..., c]
        return np.asarray(summed / np.maximum(there.sum(axis=-1), 1))

    def gradient(self, totals: NDArray[np.integer]) -> NDArray[np.float64]:
        """float64 [S]: how quality changes with each total."""
        tp, union = self._areas(totals)
        there = union > 0
        inverse = np.divide(1.0, union, out=np.zeros(tp.shape), where=there)
        lost = -tp * inverse**2
        return np.concatenate([inverse + lost, lost, lost]) / max(1, int(there.sum()))

    def worth(self, statistics: NDArray[np.integer]) -> NDArray[np.float64]:
        totals = statistics.sum(axis=0, dtype=np.int64)
        influence = len(statistics) * (statistics @ self.gradient(totals))
        return np.asarray(self.quality(totals, len(statistics)) + influence - influence.mean())

    def intervals(self, statistics: NDArray[np.int32]) -> list[Interval | None]:
        """Intervals of the linearised quality: totals are sums over many cells, and quality is smooth in them."""
        bounds: list[Interval | None] = []
        for counts in statistics:
            totals = counts.sum(axis=0, dtype=np.int64)
            quality = float(self.quality(totals, len(counts)))
            bounds.append(normal_interval(quality, counts @ self.gradient(totals)))
        return bounds

    def columns(self, statistics: NDArray[np.int32], labels: NDArray[Any]) -> dict[str, NDArray[Any]]:
        return {"pixels_right": statistics[:, : self.classes].sum(axis=1)}

    def _areas(self, totals: NDArray[np.integer]) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
        """tp [.., C] and tp + fp + fn [.., C]."""
        c = self.classes
        tp = totals[..., :c]
        return tp, tp + totals[..., c : 2 * c] + totals[..., 2 * c :]


def cell_numbers(height: int, width: int, size: int) -> NDArray[np.int64]:
    """int64 [height, width]: the number of each pixel's cell of size x size, row by row; smaller at the far edges."""
    across = -(-width // size)
    return (np.arange(height)[:, None] // size) * across + np.arange(width)[None, :] // size


def cell_confidence(
    probabilities: NDArray[np.floating], cells: NDArray[np.integer], count: int, unlabelled: float = UNLABELLED
) -> NDArray[np.float32]:
    """float32 [count]: mean of the largest probability over a cell's pixels where it exceeds `unlabelled`; 1 where none
    does.

    probabilities : [pixels, C]; cells : integer [pixels] cell of each, 0 to count - 1. Source: App. F.2; the paper
    leaves open what a cell without such a pixel does, here it exits.
    """
    sure = probabilities.max(axis=-1).astype(np.float64)
    counted = sure > unlabelled
    pixels = np.bincount(cells[counted], minlength=count)
    summed = np.bincount(cells[counted], weights=sure[counted], minlength=count)
    return np.divide(summed, pixels, out=np.ones(count), where=pixels > 0).astype(np.float32)


def cell_statistics(
    prediction: NDArray[np.integer],
    labels: NDArray[np.integer],
    cells: NDArray[np.integer],
    count: int,
    classes: int,
    ignored: int = 255,
) -> NDArray[np.int32]:
    """int32 [count, 3C] statistics of the pixels whose label is not `ignored`.

    prediction, labels, cells : integer [pixels].
    """
    labelled = labels != ignored
    truth, said, cell = (np.asarray(a)[labelled].astype(np.int64) for a in (labels, prediction, cells))
    outside = (truth < 0) | (truth >= classes)
    if outside.any():
        raise ContentError(
            f"a pixel is labelled {truth[outside][0]}; expected a class 0..{classes - 1}, or {ignored} for pixels that "
            f"do not count"
        )
    right = truth == said
    kinds = (
        cell[right] * classes + truth[right],
        cell[~right] * classes + said[~right],
        cell[~right] * classes + truth[~right],
    )
    counted = [np.bincount(kind, minlength=count * classes).reshape(count, classes) for kind in kinds]
    return np.concatenate(counted, axis=1).astype(np.int32)

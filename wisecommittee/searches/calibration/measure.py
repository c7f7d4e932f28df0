"""How well the confidences of one model agree with accuracy, without and with a calibration."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.calibration import Calibration
from wisecommittee.committees.confidence import LOG_FLOOR
from wisecommittee.searches.calibration.fit_data import FitData
from wisecommittee.searches.calibration.reliability import reliability
from wisecommittee.searches.calibration.result import Measures


def measure(data: FitData, calibration: Calibration | None, folds: NDArray[np.int8] | None = None) -> Measures:
    """NLL and ECE of the outputs: as stored, with a calibration, or with its fit without the fold of each unit."""
    if data.answers:
        scores = data.scores if calibration is None else calibration.scores(data.scores, folds)
        if scores.min() < 0 or scores.max() > 1:
            return Measures(None, None)
        floor = float(LOG_FLOOR)
        if_right = data.right * np.log(np.maximum(scores, floor))
        if_wrong = (1 - data.right) * np.log(np.maximum(1 - scores, floor))
        return Measures(-float((if_right + if_wrong).mean()), reliability(scores, data.right).ece)

    def block(units: slice) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
        rows: NDArray[np.floating] = data.rows(units)
        if calibration is not None:
            rows = calibration.rows(rows, None if folds is None else folds[units])
        every, winner, labels = np.arange(len(rows)), rows.argmax(axis=1), data.labels[units].astype(np.int64)
        rows -= rows[every, winner][:, None]
        of_label = rows[every, labels]
        mass = np.exp(rows, out=rows).sum(axis=1)
        return np.log(mass) - of_label, 1 / mass, winner == labels

    losses, confidences, right = zip(*data.over_blocks(block), strict=True)
    ece = reliability(np.concatenate(confidences), np.concatenate(right)).ece
    return Measures(float(np.concatenate(losses).mean()), ece)

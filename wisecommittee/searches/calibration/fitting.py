"""Fits a calibration of one model and cross-fits it: once on all units, and once without each fold of them.

The parameters without a fold are used on that fold, so no unit is calibrated by a fit that has seen it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.calibration import FOLDS, Calibration, Parameters
from wisecommittee.committees.confidence import LOG_FLOOR
from wisecommittee.errors import ContentError, UsageError, counted, option
from wisecommittee.searches.calibration.fit_data import FitData, MapFits
from wisecommittee.searches.calibration.measure import measure
from wisecommittee.searches.calibration.odds import fit_isotonic, fit_platt
from wisecommittee.searches.calibration.result import Calibrated, Measures
from wisecommittee.searches.calibration.temperature import ZERO, fit_temperature

LEAST_ISOTONIC = 100  # units; with fewer, the steps of the map are those of the sample
REPORTING = "test"

Fit = Callable[[FitData, NDArray[np.int8]], MapFits]  # of units and their folds


def uncalibrated(data: FitData) -> Calibrated:
    """The measures of a model as it is stored."""
    before = measure(data, None)
    return Calibrated(data.card.model, "none", data.split, data.n, None, before, before, None, None)


def cross_fit(data: FitData, method: str) -> Calibrated:
    """The calibration of a model by one of the methods, fitted on all units and without each fold."""
    _check(data, method)
    folds = data.folds()
    filled = np.unique(folds)
    if len(filled) < 2:
        raise ContentError(
            f"{data.card.model}: the {counted(data.n, 'unit')} of {data.split} fall into one of {FOLDS} folds, "
            f"too few to fit and to check a calibration"
        )
    fits = FITS[method](data, folds)
    note = fits.note
    zeros = _zeros(data)
    if zeros:
        limit = (
            f"{counted(zeros, 'unit')} of {data.n:,} {'has' if zeros == 1 else 'have'} a label of probability 0; in "
            f"the fit of a temperature it counts as {math.exp(ZERO):.1e}"
        )
        note = limit if note is None else f"{note}; {limit}"
    calibration = Calibration(method, fits.parameters, data.split, data.card.contents.content, tuple(fits.by_fold))
    return Calibrated(
        data.card.model,
        method,
        data.split,
        data.n,
        calibration,
        measure(data, None),
        measure(data, calibration),
        measure(data, calibration, folds),
        _on_test(data, calibration),
        note,
        zeros,
    )


def _zeros(data: FitData) -> int:
    """Units whose label has probability 0."""
    if data.answers or data.card.kind != "probabilities":
        return 0

    def block(units: slice) -> int:
        rows = data.outputs[units]
        return int((rows[np.arange(len(rows)), data.labels[units].astype(np.int64)] <= LOG_FLOOR).sum())

    return sum(data.over_blocks(block))


def _check(data: FitData, method: str) -> None:
    """Raise if the method cannot be fitted to these units."""
    model = data.card.model
    if data.card.kind == "cell_counts":
        raise UsageError(f"{model} has counts of pixels, which no calibration changes; calibrate the models behind it")
    if len(np.unique(data.labels)) < 2:
        raise ContentError(
            f"{model}: every unit of {data.split} has the label {data.labels[0]}; a calibration needs units of at "
            f"least two classes"
        )
    if data.answers and method == "temperature":
        raise UsageError(
            f"{model} has answers with a confidence and no logits; use {option('method', 'platt')} or isotonic"
        )
    if method == "isotonic" and data.n < LEAST_ISOTONIC:
        raise ContentError(
            f"{model}: {counted(data.n, 'unit')} in {data.split}, too few for isotonic regression (at least "
            f"{LEAST_ISOTONIC}); use {option('method', 'temperature')} or platt, or add units"
        )


def _on_test(data: FitData, calibration: Calibration) -> tuple[Measures, Measures] | None:
    store, model = data.store, data.card.model
    if not store.has_split(REPORTING) or model not in store.models(REPORTING):
        return None
    reporting = FitData(store, REPORTING, store.card(model, REPORTING), data.threads, data.passed)
    return measure(reporting, None), measure(reporting, calibration)


def _fit_odds(fit: Callable[[NDArray[np.float64], NDArray[np.float64], str], tuple[Parameters, str | None]]) -> Fit:
    """The cross-fit of a map of log-odds, from the function that fits it to given units."""

    def fit_all(data: FitData, folds: NDArray[np.int8]) -> MapFits:
        s, right = data.log_odds()
        what = f"{data.card.model} in {data.split}"
        parameters, note = fit(s, right, what)
        by_fold = [fit(s[folds != fold], right[folds != fold], what)[0] for fold in range(FOLDS)]
        return MapFits(parameters, by_fold, note)

    return fit_all


FITS: dict[str, Fit] = {
    "temperature": fit_temperature,
    "platt": _fit_odds(fit_platt),
    "isotonic": _fit_odds(fit_isotonic),
}

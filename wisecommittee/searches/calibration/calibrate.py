"""Calibrates models of a store: on the split that chooses, never on the one that reports."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from wisecommittee.committees.calibration import Calibration, method_named
from wisecommittee.committees.cards import StoredCard
from wisecommittee.errors import StoreError, UsageError, option
from wisecommittee.searches.calibration.fit_data import FitData
from wisecommittee.searches.calibration.fitting import REPORTING, cross_fit, uncalibrated
from wisecommittee.searches.calibration.result import Calibrated
from wisecommittee.searches.stages.pool import select_cards
from wisecommittee.searches.workers.threads import Progress, thread_count
from wisecommittee.store import LogitStore

PASSES = {"temperature": 14}  # over the outputs, about; 5 for other methods


def calibrate(
    store: LogitStore,
    models: Sequence[str],
    method: str = "temperature",
    *,
    split: str = "val",
    force: bool = False,
    threads: int | None = None,
    progress: Progress | None = None,
) -> list[Calibrated]:
    """Fit a calibration for every model that matches one of the globs, and store it on the model's card.

    Nothing is stored unless every model could be fitted.

    Parameters
    ----------
    models
        Globs of model names.
    method
        'temperature' (Guo et al. 2017), 'platt' or 'isotonic'; 'none' removes the calibration.
    split
        The split that chooses; test is refused.
    force
        Store also a calibration that makes its model worse on units that it was not fitted on.

    Returns
    -------
    list of Calibrated
        One for each model, in canonical order.

    Raises
    ------
    ContentError
        The outputs of a model leave the method without a best fit.
    """
    calibrated = []
    for fitted in fit(store, models, method, split=split, threads=threads, progress=progress):
        stored = force or fitted.worse is None
        if stored:
            store.update_card(split, store.card(fitted.model, split), partial(_with, calibration=fitted.calibration))
        else:
            warnings.warn(
                f"{fitted.model}: its {method} calibration makes it worse, each unit by a fit without its fold "
                f"({fitted.worse}), and was not stored; use another {option('method')}, or store it with "
                f"{option('force', True)}",
                stacklevel=2,
            )
        calibrated.append(replace(fitted, stored=stored))
    return calibrated


def _with(card: StoredCard, calibration: Calibration | None) -> StoredCard:
    """The card with this calibration, if its outputs are still those that the calibration was fitted on."""
    if calibration is not None and card.contents.content != calibration.content:
        raise StoreError(f"{card.model} was replaced while it was calibrated; its card stays as it is, run again")
    return card.with_calibration(calibration)


def fit(
    store: LogitStore,
    models: Sequence[str] | None,
    method: str = "temperature",
    *,
    split: str = "val",
    threads: int | None = None,
    progress: Progress | None = None,
) -> list[Calibrated]:
    """The calibrations that `calibrate` would store."""
    if split == REPORTING:
        raise UsageError("a calibration is fitted on val and test only reports; choose val (or another split)")
    if method != "none":
        method_named(method)
    threads = thread_count(threads)
    store.require_split(split)
    _explain_missing(store, split, models or ())
    cards = select_cards(store, split, models)
    fits = []
    for index, card in enumerate(cards):
        passes = _Passes(progress, index, len(cards), PASSES.get(method, 5))
        data = FitData(store, split, card, threads, passes)
        fits.append(uncalibrated(data) if method == "none" else cross_fit(data, method))
        passes.finish()
    return fits


def _explain_missing(store: LogitStore, split: str, models: Sequence[str]) -> None:
    """Raise if a model that was named is in other splits only."""
    stored = set(store.models(split))
    for name in models:
        if name not in stored and (others := [s for s in store.splits() if s != split and name in store.models(s)]):
            raise StoreError(
                f"{name} is in {', '.join(others)} and not in {split}, where a calibration is fitted; extract or "
                f"import its {split} outputs"
            )


class _Passes:
    """Progress over models, in percent: counts passes over the outputs of model `index`; `guess` is how many its fit
    may need."""

    def __init__(self, progress: Progress | None, index: int, models: int, guess: int) -> None:
        self.progress, self.index, self.models, self.guess = progress, index, models, guess
        self.passes = 0.0

    def __call__(self, passes: float) -> None:
        self.passes += passes
        self._report(min(self.passes / self.guess, 0.99))

    def finish(self) -> None:
        self._report(1.0)

    def _report(self, share: float) -> None:
        if self.progress:
            self.progress("calibrating, percent", round(100 * (self.index + share)), 100 * self.models)

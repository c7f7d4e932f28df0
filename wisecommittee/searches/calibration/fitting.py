"""Fitting calibrations: temperature, Platt, isotonic; on the split that chooses and never on the one that reports.

Everything is float64 from the stored float32. A fit reads the outputs in blocks, so its memory does not grow with them;
blocks are summed in their order, so any number of threads gives the same bits.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.calibration import (
    FOLDS,
    Calibration,
    Parameters,
    as_logits,
    log_odds,
    method_named,
    unit_folds,
)
from wisecommittee.committees.cards import StoredCard
from wisecommittee.committees.confidence import LOG_FLOOR
from wisecommittee.errors import ContentError, StoreError, UsageError, counted, option
from wisecommittee.searches.calibration.reliability import reliability
from wisecommittee.searches.stages.pool import select_cards
from wisecommittee.searches.workers.threads import Progress, Workers, thread_count
from wisecommittee.store import LogitStore
from wisecommittee.tasks import Answers

TEMPERATURES = (1e-3, 1e3)  # where the search for T ends
CLOSE = 1e-6  # the last step of 1 / T, relative: Newton's next would be of its square
CLOSE_FOLD = 1e-3  # the same for a fold
BLOCK = 1 << 18  # float64 values of one block: its scratch stays in the cache
LEAST_ISOTONIC = 100  # units; with fewer its steps are those of the sample
FEW_ISOTONIC = 1000  # Niculescu-Mizil and Caruana 2005: below, Platt generalises better
PASSES = {"temperature": 14}  # over the outputs, about
ZERO = float(np.log(2.0**-23))  # what a label of probability 0 counts as in a fit: a float32 step below 1
CONFIDENCE = "confidence"  # the stored score of answers
REPORTING = "test"


@dataclass(frozen=True, slots=True)
class Measures:
    """How well confidences agree with accuracy; both None for answers whose confidences are no probabilities.

    nll : mean negative log-likelihood of the labels in nats; of answers, of being right or wrong. ece : expected
    calibration error (reliability.py).
    """

    nll: float | None
    ece: float | None

    def to_json(self) -> dict[str, float | None]:
        return {"nll": self.nll, "ece": self.ece}


@dataclass(frozen=True, slots=True)
class Calibrated:
    """The calibration fitted for one model, and how well its confidences agree with accuracy before and after.

    Parameters
    ----------
    n
        Units of the split.
    calibration
        None for the method 'none'.
    before, after
        Without it, and with it on the split that it was fitted on.
    cross_fitted
        Each unit with the parameters fitted without its fold; a search with `calibrated` uses these.
    test
        (before, after) on the test split; None without one.
    note
        A limit of the fit, such as a bound that was reached.
    zeros
        Units to whose label the model gives probability 0.
    stored
        Whether the calibration is on the model's card.
    """

    model: str
    method: str
    split: str
    n: int
    calibration: Calibration | None
    before: Measures
    after: Measures
    cross_fitted: Measures | None
    test: tuple[Measures, Measures] | None
    note: str | None = None
    zeros: int = 0
    stored: bool = False

    @property
    def worse(self) -> str | None:
        """The measures that the calibration makes worse on units that it was not fitted on, by more than chance; None
        if there are none."""
        after, worse = self.cross_fitted, []
        if after is None or self.calibration is None:
            return None
        if None not in (self.before.nll, after.nll) and after.nll > self.before.nll + 1 / self.n:  # type: ignore[operator]
            worse.append(f"NLL {self.before.nll:.4f} -> {after.nll:.4f}")
        if None not in (self.before.ece, after.ece) and after.ece > self.before.ece + 0.25 / math.sqrt(self.n):  # type: ignore[operator]
            worse.append(f"ECE {self.before.ece:.4f} -> {after.ece:.4f}")
        return " and ".join(worse) or None

    def to_json(self) -> dict[str, Any]:
        """The object `calibrate --json` prints."""
        test = None if self.test is None else {"before": self.test[0].to_json(), "after": self.test[1].to_json()}
        return {
            "model": self.model,
            "method": self.method,
            "split": self.split,
            "n": self.n,
            "parameters": {} if self.calibration is None else dict(self.calibration.parameters),
            "before": self.before.to_json(),
            "after": self.after.to_json(),
            "cross_fitted": None if self.cross_fitted is None else self.cross_fitted.to_json(),
            "test": test,
            "note": self.note,
            "zeros": self.zeros,
            "stored": self.stored,
        }


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
    store : LogitStore
    models : sequence of str
        Globs of model names.
    method : str
        'temperature' (Guo et al. 2017), 'platt' or 'isotonic'; 'none' removes the calibration.
    split : str
        The split that chooses; test is refused.
    force : bool
        Store also a calibration that makes its model worse on units that it was not fitted on.
    threads : int, optional
        By default one per core.
    progress : callable, optional
        Called with (task, models done, models in total).

    Returns
    -------
    list of Calibrated
        One for each model, in canonical order.

    Raises
    ------
    ContentError
        The outputs of a model leave the method without a best fit.
    AbsentNameError
        A glob matches no model.
    UnknownNameError
        There is no such method.
    UsageError
        The split is test.
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
    for place, card in enumerate(cards):
        steps = _Steps(progress, place, len(cards), PASSES.get(method, 5))
        source = _Source(store, split, card, threads, steps)
        fits.append(_without(source) if method == "none" else _fitted(source, method))
        steps.finish()
    return fits


def _explain_missing(store: LogitStore, split: str, models: Sequence[str]) -> None:
    there = set(store.models(split))
    for name in models:
        if name not in there and (others := [s for s in store.splits() if s != split and name in store.models(s)]):
            raise StoreError(
                f"{name} is in {', '.join(others)} and not in {split}, where a calibration is fitted; extract or "
                f"import its {split} outputs"
            )


class _Steps:
    """Progress over models, in percent: passes over the outputs are counted, how many a fit needs is guessed."""

    def __init__(self, progress: Progress | None, place: int, models: int, guess: int) -> None:
        self.progress, self.place, self.models, self.guess = progress, place, models, guess
        self.passes = 0.0

    def __call__(self, passes: float) -> None:
        self.passes += passes
        self._tell(min(self.passes / self.guess, 0.99))

    def finish(self) -> None:
        self._tell(1.0)

    def _tell(self, share: float) -> None:
        if self.progress:
            self.progress("calibrating, percent", round(100 * (self.place + share)), 100 * self.models)


class _Source:
    """The units of one model: its rows in blocks, its labels, its folds."""

    def __init__(
        self, store: LogitStore, split: str, card: StoredCard, threads: int, passed: Callable[[float], None]
    ) -> None:
        self.store, self.split, self.card, self.threads, self.passed = store, split, card, threads, passed
        self.labels = store.labels(split)
        self.answers = card.kind == "answers"
        if self.answers:
            if CONFIDENCE not in card.contents.scores:
                raise ContentError(
                    f"{card.model}: its answers have no stored confidence to calibrate; import them with one"
                )
            self.scores = store.scores(card.model, split, CONFIDENCE).astype(np.float64)
            graded = card.contents.graded
            self.right = (
                store.quality(card.model, split).astype(np.float64)
                if graded
                else Answers().statistics(store.answers(card.model, split), self.labels).astype(np.float64)
            )
        else:
            self.outputs = store.outputs(card.model, split)

    @property
    def n(self) -> int:
        return len(self.labels)

    def folds(self) -> NDArray[np.int8]:
        return unit_folds(self.store.unit_ids(self.split))

    def rows(self, units: slice) -> NDArray[np.float64]:
        wide: NDArray[np.float64] = self.outputs[units].astype(np.float64)
        return as_logits(wide, self.card.kind).astype(np.float64, copy=False)

    def over_blocks(self, work: Callable[[slice], Any]) -> Iterator[Any]:
        """work(units) of every block, in order."""
        step = max(1, BLOCK // self.outputs.shape[1])
        blocks = [slice(start, min(start + step, self.n)) for start in range(0, self.n, step)]
        with Workers(self.threads) as workers:
            for units, result in zip(blocks, workers.map(work, blocks), strict=True):
                self.passed((units.stop - units.start) / self.n)
                yield result


def _without(source: _Source) -> Calibrated:
    before = _measure(source, None)
    return Calibrated(source.card.model, "none", source.split, source.n, None, before, before, None, None)


def _fitted(source: _Source, method: str) -> Calibrated:
    _check(source, method)
    folds = source.folds()
    filled = np.unique(folds)
    if len(filled) < 2:
        raise ContentError(
            f"{source.card.model}: the {counted(source.n, 'unit')} of {source.split} fall into one of {FOLDS} folds, "
            f"too few to fit and to check a calibration"
        )
    parameters, each, note = FITS[method](source, folds)
    zeros = _zeros(source)
    if zeros:
        told = (
            f"{counted(zeros, 'unit')} of {source.n:,} {'has' if zeros == 1 else 'have'} a label of probability 0; in "
            f"the fit of a temperature it counts as {math.exp(ZERO):.1e}"
        )
        note = told if note is None else f"{note}; {told}"
    calibration = Calibration(method, parameters, source.split, source.card.contents.content, tuple(each))
    return Calibrated(
        source.card.model,
        method,
        source.split,
        source.n,
        calibration,
        _measure(source, None),
        _measure(source, calibration),
        _measure(source, calibration, folds),
        _on_test(source, calibration),
        note,
        zeros,
    )


def _zeros(source: _Source) -> int:
    """Units whose label has probability 0."""
    if source.answers or source.card.kind != "probabilities":
        return 0

    def block(units: slice) -> int:
        rows = source.outputs[units]
        return int((rows[np.arange(len(rows)), source.labels[units].astype(np.int64)] <= LOG_FLOOR).sum())

    return sum(source.over_blocks(block))


def _check(source: _Source, method: str) -> None:
    """What no calibration can be fitted to."""
    model = source.card.model
    if source.card.kind == "cell_counts":
        raise UsageError(f"{model} has counts of pixels, which no calibration changes; calibrate the models behind it")
    if len(np.unique(source.labels)) < 2:
        raise ContentError(
            f"{model}: every unit of {source.split} has the label {source.labels[0]}; a calibration needs units of at "
            f"least two classes"
        )
    if source.answers and method == "temperature":
        raise UsageError(
            f"{model} has answers with a confidence and no logits; use {option('method', 'platt')} or isotonic"
        )
    if method == "isotonic" and source.n < LEAST_ISOTONIC:
        raise ContentError(
            f"{model}: {counted(source.n, 'unit')} in {source.split}, too few for isotonic regression (at least "
            f"{LEAST_ISOTONIC}); use {option('method', 'temperature')} or platt, or add units"
        )


def _on_test(source: _Source, calibration: Calibration) -> tuple[Measures, Measures] | None:
    store, model = source.store, source.card.model
    if not store.has_split(REPORTING) or model not in store.models(REPORTING):
        return None
    there = _Source(store, REPORTING, store.card(model, REPORTING), source.threads, source.passed)
    return _measure(there, None), _measure(there, calibration)


# What a confidence is worth


def _measure(source: _Source, calibration: Calibration | None, folds: NDArray[np.int8] | None = None) -> Measures:
    """NLL and ECE of the outputs, calibrated if a calibration is given (by fold if folds are)."""
    if source.answers:
        scores = source.scores if calibration is None else calibration.scores(source.scores, folds)
        if scores.min() < 0 or scores.max() > 1:
            return Measures(None, None)
        floor = float(LOG_FLOOR)
        said = source.right * np.log(np.maximum(scores, floor))
        denied = (1 - source.right) * np.log(np.maximum(1 - scores, floor))
        return Measures(-float((said + denied).mean()), reliability(scores, source.right).ece)

    def block(units: slice) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
        rows: NDArray[np.floating] = source.rows(units)
        if calibration is not None:
            rows = calibration.rows(rows, None if folds is None else folds[units])
        everyone, winner, labels = np.arange(len(rows)), rows.argmax(axis=1), source.labels[units].astype(np.int64)
        rows -= rows[everyone, winner][:, None]
        given = rows[everyone, labels]
        mass = np.exp(rows, out=rows).sum(axis=1)
        return np.log(mass) - given, 1 / mass, winner == labels

    losses, confidences, right = zip(*source.over_blocks(block), strict=True)
    found = reliability(np.concatenate(confidences), np.concatenate(right))
    return Measures(float(np.concatenate(losses).mean()), found.ece)


# Temperature


def _fit_temperature(source: _Source, folds: NDArray[np.int8]) -> tuple[Parameters, list[Parameters], str | None]:
    """The minimiser of the mean NLL of softmax(z / T), found in 1 / T, where the NLL is convex.

    A label of probability 0 counts as the least that float32 tells from 0 beside 1: else one such unit, at -87 nats,
    would outweigh hundreds. Where no temperature is best, the model stays as it is: T = 1.
    """
    floor = ZERO if source.card.kind == "probabilities" else -math.inf

    def sums(betas: Mapping[int, float]) -> dict[int, tuple[float, float]]:
        """{group: (slope, curvature)} of the NLL summed over the units without fold `group`, -1 for all units."""

        def block(units: slice) -> list[tuple[float, float]]:
            rows, labels = source.rows(units), source.labels[units].astype(np.int64)
            rows -= rows.max(axis=1, keepdims=True)
            out = []
            for group, beta in betas.items():
                kept = folds[units] != group
                z, y = (rows, labels) if kept.all() else (rows[kept], labels[kept])
                e = np.exp(z * beta)
                mass = e.sum(axis=1)
                mean = np.einsum("nc,nc->n", e, z) / mass
                e *= z
                square = np.einsum("nc,nc->n", e, z) / mass
                slope = mean - np.maximum(z[np.arange(len(z)), y], floor)
                out.append((float(slope.sum()), float((square - mean**2).sum())))
            return out

        parts = list(source.over_blocks(block))
        return {
            group: (math.fsum(p[i][0] for p in parts), math.fsum(p[i][1] for p in parts))
            for i, group in enumerate(betas)
        }

    whole = minimise(sums, {-1: 1.0})[-1]
    each = minimise(sums, dict.fromkeys(range(FOLDS), whole), CLOSE_FOLD)
    bounds = {1 / t: t for t in TEMPERATURES}
    note = None
    if whole in bounds:
        side = "every unit is right by a margin" if bounds[whole] < 1 else "labels do not follow the logits"
        note = (
            f"no temperature is best, T reaches the bound {bounds[whole]:g} of its range ({side}): kept as it is, T = 1"
        )
        whole, each = 1.0, dict.fromkeys(each, 1.0)
    elif any(beta in bounds for beta in each.values()):
        note = (
            "T of a fold reaches a bound of its range, too few wrong units to fit it: these units are kept as they are"
        )
        each = {fold: 1.0 if beta in bounds else beta for fold, beta in each.items()}
    return {"temperature": 1 / whole}, [{"temperature": 1 / b} for b in each.values()], note


def minimise(
    sums: Callable[[Mapping[int, float]], Mapping[int, tuple[float, float]]],
    start: Mapping[int, float],
    close: float = CLOSE,
) -> dict[int, float]:
    """The minimisers in beta = 1 / T of convex functions, by Newton's method with a bracket; all in the same passes.

    sums : {name: beta} -> {name: (slope, curvature)}. close : last relative step; what is left is of its square. A
    minimiser beyond the range of TEMPERATURES is its nearer end.
    """
    least, most = 1 / TEMPERATURES[1], 1 / TEMPERATURES[0]
    brackets = dict.fromkeys(start, (0.0, math.inf))
    running, found = dict(start), {}
    while running:
        for name, (slope, curvature) in sums(dict(running)).items():
            beta, (low, high) = running[name], brackets[name]
            if slope == 0 or (beta == least and slope > 0) or (beta == most and slope < 0):
                # Flat after a fall: the function has reached 0, as it would at any larger beta.
                found[name] = most if slope == curvature == 0 and low > 0 else beta
                del running[name]
                continue
            brackets[name] = low, high = (low, beta) if slope > 0 else (beta, high)
            step = slope / curvature if curvature > 0 else math.copysign(math.inf, slope)
            new = min(max(beta - step, least), most)
            if not low < new < high:
                new = math.sqrt(max(low, least) * min(high, most))
            running[name] = new
            if abs(new - beta) <= close * beta and least < new < most:
                found[name] = running.pop(name)
    return {name: found[name] for name in start}


# Confidence: right or wrong against the log-odds of the winner, or against the stored confidence of an answer


def _log_odds(source: _Source) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What a confidence is calibrated by, and whether (or how far) each unit is right; both [N]."""
    if source.answers:
        return source.scores, source.right

    def block(units: slice) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        rows = source.rows(units)
        winner = rows.argmax(axis=1)
        return log_odds(rows, winner), winner == source.labels[units]

    s, right = zip(*source.over_blocks(block), strict=True)
    return np.concatenate(s), np.concatenate(right).astype(np.float64)


def _fit_odds(
    fit_one: Callable[[NDArray[np.float64], NDArray[np.float64], str], tuple[Parameters, str | None]],
) -> Callable[[_Source, NDArray[np.int8]], tuple[Parameters, list[Parameters], str | None]]:
    def fitted(source: _Source, folds: NDArray[np.int8]) -> tuple[Parameters, list[Parameters], str | None]:
        s, right = _log_odds(source)
        what = f"{source.card.model} in {source.split}"
        parameters, note = fit_one(s, right, what)
        each = [fit_one(s[folds != fold], right[folds != fold], what)[0] for fold in range(FOLDS)]
        return parameters, each, note

    return fitted


def fit_platt(s: NDArray[np.float64], right: NDArray[np.float64], what: str) -> tuple[Parameters, str | None]:
    """Logistic regression of right [n] on s [n] without a penalty, its slope at least 0. No label smoothing: Platt 1999
    smooths for classes of a few units."""
    from scipy.optimize import minimize
    from scipy.special import expit

    if right.min() == right.max():
        raise ContentError(
            f"{what}: its units are all {'right' if right[0] else 'wrong'}, in a fold at least; Platt scaling needs "
            f"both; use {option('method', 'temperature')}, or add units"
        )
    if not s[right < 1].max() > s[right > 0].min():
        raise ContentError(
            f"{what}: a confidence of {s[right > 0].min():.4g} divides the right units from the wrong ones, so that no "
            f"finite Platt scaling is best; use {option('method', 'temperature')} or isotonic, or add units"
        )
    center, width = float(s.mean()), float(s.std())
    if width == 0:
        raise ContentError(f"{what}: every unit has the same confidence; there is nothing to calibrate")
    x = np.stack([(s - center) / width, np.ones(len(s))])

    def loss(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        odds = w @ x
        return float((np.logaddexp(0, odds) - right * odds).mean()), x @ (expit(odds) - right) / len(s)

    def hessian(w: NDArray[np.float64]) -> NDArray[np.float64]:
        p = expit(w @ x)
        return (x * (p * (1 - p))) @ x.T / len(s)

    w = minimize(loss, np.zeros(2), jac=True, hess=hessian, method="trust-exact").x
    for _ in range(3):  # the optimiser stops where the loss no longer falls visibly
        w -= np.linalg.solve(hessian(w), loss(w)[1])
    if w[0] <= 0:
        note = "confidence does not rise with accuracy, so that the slope reaches its bound 0: kept as it is, slope 1"
        return {"slope": 1.0, "intercept": 0.0}, note
    return {"slope": float(w[0] / width), "intercept": float(w[1] - w[0] * center / width)}, None


def fit_isotonic(s: NDArray[np.float64], right: NDArray[np.float64], what: str) -> tuple[Parameters, str | None]:
    """The non-decreasing function of s [n] nearest to right [n], as the knots of a piecewise linear one; floor keeps it
    half a unit from 0 and 1, so that its log-odds stay finite."""
    from scipy.optimize import isotonic_regression

    x, place, weight = np.unique(s, return_inverse=True, return_counts=True)
    mean = np.bincount(place, weights=right) / weight
    y = isotonic_regression(mean, weights=weight).x
    if y[0] == y[-1]:
        why = "its units are all right" if y[0] == 1 else "its confidence does not rise with accuracy"
        raise ContentError(
            f"{what}: {why}, in a fold at least, so that the best monotone fit is the same for every unit; there is "
            f"nothing to calibrate; add units, or use {option('method', 'temperature')}"
        )
    knot = np.ones(len(y), dtype=bool)
    knot[1:-1] = (y[1:-1] != y[:-2]) | (y[1:-1] != y[2:])  # ends of its steps
    few = f"{len(s)} units: below {FEW_ISOTONIC:,} isotonic regression follows the sample, prefer temperature or platt"
    parameters = {"x": x[knot].tolist(), "y": y[knot].tolist(), "floor": 0.5 / len(s)}
    return parameters, few if len(s) < FEW_ISOTONIC else None


Fit = Callable[[_Source, NDArray[np.int8]], tuple[Parameters, list[Parameters], str | None]]
FITS: dict[str, Fit] = {
    "temperature": _fit_temperature,
    "platt": _fit_odds(fit_platt),
    "isotonic": _fit_odds(fit_isotonic),
}

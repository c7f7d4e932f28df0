"""Calibration: a monotone map of one model's outputs that keeps its predictions and corrects its confidence.

    temperature  rows z -> z / T                                                            Guo et al. 2017
    platt        log-odds s of the confidence -> slope * s + intercept, slope >= 0          Wang et al. 2022, D.2
    isotonic     confidence -> a non-decreasing function of s, linear between its knots

Predictions stay: where a map would let the runner-up win, the winner keeps a margin (MARGIN) over it. A temperature may
turn two logits that differ in their last bits into a tie, no more.

The log-odds s = log p - log(1 - p) of the winning class move and the other classes keep their proportions, so
a calibrated row is again a row of logits. Stored answers have no rows: s is their stored confidence itself.
Departs from D.2, which calls its map "a learned monotonic calibration network" and says no more: Platt's two
parameters are the smallest such network.

A split that chooses must not see itself in its calibration: there, the parameters of a unit are those fitted
without the units of its fold (cross-fitting).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.combine import log_probabilities
from wisecommittee.errors import StoreError, UnknownNameError

FOLDS = 5
MARGIN = np.float32(1e-5)  # between winner and runner-up: survives a softmax in float32
Parameters = Mapping[str, Any]
Rows = NDArray[np.floating]  # logits [n, C]


def _temperature(rows: Rows, p: Parameters) -> Rows:
    with np.errstate(over="ignore"):
        return rows / rows.dtype.type(p["temperature"])


def _platt(log_odds: NDArray[np.float64], p: Parameters) -> NDArray[np.float64]:
    return p["slope"] * log_odds + p["intercept"]


def _isotonic(log_odds: NDArray[np.float64], p: Parameters) -> NDArray[np.float64]:
    q = np.clip(np.interp(log_odds, p["x"], p["y"]), p["floor"], 1 - p["floor"])
    return np.log(q) - np.log1p(-q)


# Maps of the log-odds; the temperature is the one method that moves whole rows.
ODDS: dict[str, Callable[[NDArray[np.float64], Parameters], NDArray[np.float64]]] = {
    "platt": _platt,
    "isotonic": _isotonic,
}
METHODS = ("temperature", *ODDS)
_NUMBERS = {"temperature": ("temperature",), "platt": ("slope", "intercept"), "isotonic": ("floor",)}
_LISTS = {"temperature": (), "platt": (), "isotonic": ("x", "y")}


@dataclass(frozen=True, slots=True)
class Calibration:
    """A fitted map.

    Parameters
    ----------
    method : str
        One of METHODS.
    parameters : {name: number or list of numbers}
    split : str
        The split that the map was fitted on.
    content : str
        Hash of the decoded outputs that the map was fitted on.
    folds : tuple of parameters
        For each fold, the parameters fitted without its units; empty in a committee.
    """

    method: str
    parameters: Parameters
    split: str
    content: str
    folds: tuple[Parameters, ...] = ()

    @property
    def digest(self) -> str:
        """Hash of method and parameters, without the folds."""
        import hashlib
        import json

        return hashlib.sha256(json.dumps([self.method, self.parameters], sort_keys=True).encode()).hexdigest()[:16]

    def without_folds(self) -> Calibration:
        return replace(self, folds=())

    def rows(self, rows: Rows, folds: NDArray[np.integer] | None = None) -> Rows:
        """Calibrated logits [n, C] from logits [n, C], in the same precision.

        folds : fold [n] of each unit, which chooses its parameters; None uses the parameters fitted on all units.
        """
        if folds is None:
            out = calibrated_rows(self.method, self.parameters, rows)
        else:
            out = np.empty_like(rows)
            for fold, parameters in enumerate(self.folds):
                inside = folds == fold
                if inside.any():
                    out[inside] = calibrated_rows(self.method, parameters, rows[inside])
        largest = np.finfo(out.dtype).max
        return np.clip(out, -largest, largest, out=out)  # finite, as stored outputs are

    def scores(self, scores: NDArray[np.floating], folds: NDArray[np.integer] | None = None) -> NDArray[np.float64]:
        """Calibrated confidences [n] in [0, 1] from stored confidences [n]; folds as of `rows`."""
        if folds is None:
            return calibrated_scores(self.method, self.parameters, scores)
        out = np.empty(len(scores))
        for fold, parameters in enumerate(self.folds):
            inside = folds == fold
            out[inside] = calibrated_scores(self.method, parameters, scores[inside])
        return out

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {
            "method": self.method,
            "parameters": dict(self.parameters),
            "split": self.split,
            "content": self.content,
        }
        if self.folds:
            out["folds"] = [dict(p) for p in self.folds]
        return out

    @classmethod
    def from_json(cls, data: Any) -> Calibration:
        """The calibration that `to_json` wrote; StoreError for anything else."""
        try:
            read = cls(data["method"], data["parameters"], data["split"], data["content"], tuple(data.get("folds", ())))
            sound = read.to_json() == data and all(map(read._sound, (read.parameters, *read.folds)))
            sound = sound and isinstance(read.split, str) and isinstance(read.content, str)
        except (TypeError, KeyError, AttributeError, ValueError):
            sound = False
        if not sound or len(read.folds) not in (0, FOLDS):
            shown = {k: data[k] for k in ("method", "parameters") if k in data} if isinstance(data, dict) else data
            raise StoreError(f"calibration {str(shown)[:120]}, which `wisecommittee calibrate` does not write")
        return read

    def _sound(self, p: Parameters) -> bool:
        """Whether the parameters have the method's names, are finite, and make the map monotone."""
        numbers, lists = _NUMBERS[self.method], _LISTS[self.method]
        if set(p) != {*numbers, *lists}:
            return False
        values = [p[name] for name in numbers] + [v for name in lists for v in p[name]]
        if any(isinstance(v, bool) or not isinstance(v, (int, float)) or not math.isfinite(v) for v in values):
            return False
        if self.method == "temperature":
            return bool(p["temperature"] > 0)
        if self.method == "platt":
            return bool(p["slope"] >= 0)
        x, y = np.array(p["x"]), np.array(p["y"])
        shapes = len(x) == len(y) > 0 and bool((np.diff(x) > 0).all() and (np.diff(y) >= 0).all())
        return shapes and bool(y[0] >= 0 and y[-1] <= 1 and 0 < p["floor"] <= 0.5)


def as_logits(rows: Rows, kind: str) -> Rows:
    """Stored rows as logits in the same precision: probabilities become log p, floored."""
    return log_probabilities(rows) if kind == "probabilities" else rows


def calibrated_rows(method: str, parameters: Parameters, rows: Rows) -> Rows:
    """Logits [n, C] -> logits [n, C]; the prediction (first argmax) of every row stays."""
    if method == "temperature":
        return _temperature(rows, parameters)
    everyone = np.arange(len(rows))
    winner = rows.argmax(axis=1)
    s = log_odds(rows, winner)
    top = rows[everyone, winner]
    out = rows.copy()
    out[everyone, winner] = -np.inf
    second = out.max(axis=1)
    # Below `least` the runner-up would win.
    with np.errstate(over="ignore"):
        least = second + MARGIN * np.maximum(1, np.abs(second))
        out[everyone, winner] = np.maximum((top - s + ODDS[method](s, parameters)).astype(rows.dtype), least)
    return out


def log_odds(rows: Rows, winner: NDArray[np.integer] | None = None) -> NDArray[np.float64]:
    """log p - log(1 - p) [n] of the largest softmax probability of rows [n, C]; at most 745 by float64."""
    everyone = np.arange(len(rows))
    winner = rows.argmax(axis=1) if winner is None else winner
    wide = rows.astype(np.float64)
    wide -= wide[everyone, winner][:, None]
    np.exp(wide, out=wide)
    wide[everyone, winner] = 0
    return -np.log(np.maximum(wide.sum(axis=1), np.nextafter(0.0, 1.0)))


def calibrated_scores(method: str, parameters: Parameters, scores: NDArray[np.floating]) -> NDArray[np.float64]:
    """Stored confidences [n] -> probabilities [n]."""
    odds = ODDS[method](scores.astype(np.float64), parameters)
    return np.exp(-np.logaddexp(0, -odds))


def method_named(name: str) -> str:
    """The name itself if it is a calibration method, else UnknownNameError."""
    if name not in METHODS:
        raise UnknownNameError("calibration method", name, [*METHODS, "none"])
    return name


def unit_folds(unit_ids: Iterable[str]) -> NDArray[np.int8]:
    """Fold [N] of every unit, from the hash of its id alone."""
    import hashlib

    hashes = (hashlib.blake2b(unit.encode(), digest_size=8).digest() for unit in unit_ids)
    return np.fromiter((int.from_bytes(h, "little") % FOLDS for h in hashes), np.int8)

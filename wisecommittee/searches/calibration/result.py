"""What fitting a calibration answers: its parameters, and how well confidences agree with accuracy before and after."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from wisecommittee.committees.calibration import Calibration


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

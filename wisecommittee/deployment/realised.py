"""How much of a predicted saving becomes time, in calls of several sizes, as values and JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from wisecommittee.extraction.timing import Quartiles, rounded


@dataclass(frozen=True, slots=True)
class Realised:
    """A committee against a single model, in calls of one size.

    Every round times both on the same units; quartiles are over rounds.

    Parameters
    ----------
    model : str
        The single model.
    time : Quartiles
        Milliseconds of it per unit.
    speedup : Quartiles
        Its time divided by the committee's, of each round.
    by_flops : float or None
        The speed-up that multiply-adds predict; None if those of a member are unknown.
    by_latency : Quartiles
        The speed-up that the forward passes of the stages and of the single model predict, each timed by itself on all
        units of a call.
    of_latency : Quartiles
        `speedup` divided by the predicted speed-up of the same round.
    """

    model: str
    time: Quartiles
    speedup: Quartiles
    by_flops: float | None
    by_latency: Quartiles
    of_latency: Quartiles

    @property
    def of_flops(self) -> float | None:
        """The measured speed-up divided by the one that multiply-adds predict."""
        return None if self.by_flops is None else self.speedup.median / self.by_flops

    def to_json(self) -> dict[str, Any]:
        def predicted(value: float | None, spread: Quartiles) -> dict[str, Any]:
            return {
                "flops": value and rounded(value),
                "latency": rounded(spread.median),
                **_quartiles("latency", spread),
            }

        return {
            "model": self.model,
            "ms": rounded(self.time.median),
            **_quartiles("ms", self.time),
            "speedup": rounded(self.speedup.median),
            **_quartiles("speedup", self.speedup),
            "predicted": predicted(self.by_flops, self.by_latency),
            "realised": predicted(self.of_flops, self.of_latency),
        }


@dataclass(frozen=True, slots=True)
class AtBatchSize:
    """A committee in calls of `batch_size` units, of which every stage runs those that are left.

    Parameters
    ----------
    batch_size : int
    rounds : int
        How often it was measured.
    time : Quartiles
        Milliseconds of the committee per unit.
    singles : tuple of Realised
        Against each single model.
    """

    batch_size: int
    rounds: int
    time: Quartiles
    singles: tuple[Realised, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "batch_size": self.batch_size,
            "rounds": self.rounds,
            "ms": rounded(self.time.median),
            **_quartiles("ms", self.time),
            "singles": [single.to_json() for single in self.singles],
        }


def _quartiles(name: str, spread: Quartiles) -> dict[str, list[float]]:
    return {f"{name}_quartiles": [rounded(spread.q1), rounded(spread.q3)]}

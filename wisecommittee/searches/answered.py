"""The share of units that a committee answers, and the accuracy on these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from wisecommittee.statistics.binomial import wilson_interval

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Answered:
    """The two figures of a committee that abstains.

    Parameters
    ----------
    share, interval : float, (float, float)
        Units with an answer among all, and its 95 % interval (Wilson).
    quality, quality_interval : float, (float, float), or None
        Accuracy on the units with an answer, and its 95 % interval; None where none has one.
    """

    share: float
    interval: Interval
    quality: float | None
    quality_interval: Interval | None

    @classmethod
    def of(cls, right: float, answered: float, units: float, wider: tuple[float, float] = (1.0, 1.0)) -> Self:
        """From numbers of units: right, with an answer, and all; wider : by what factors the errors of share and
        accuracy exceed those of independent units."""
        few, of_these = units / wider[0] ** 2, answered / wider[1] ** 2
        share, quality = answered / units, right / answered if answered else None
        around = None if quality is None else wilson_interval(quality * of_these, of_these)
        return cls(share, wilson_interval(share * few, few), quality, around)

    def to_json(self) -> dict[str, Any]:
        """The keys that stand beside the other figures."""
        return {
            "answered": self.share,
            "answered_interval": list(self.interval),
            "answered_quality": self.quality,
            "answered_quality_interval": None if self.quality_interval is None else list(self.quality_interval),
        }

"""The verdict on a stream, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from wisecommittee.operations.outcomes import UnitOutcomes
from wisecommittee.operations.watching import Watched

EXPECTED = "expected"


@dataclass(frozen=True, slots=True)
class Monitored:
    """A committee on a stream beside a reference split.

    Parameters
    ----------
    reference : UnitOutcomes or None
        None if the stream stands beside the expected figures of committee.json.
    live : UnitOutcomes
    watched : tuple of Watched
    alpha : float
        Largest probability that any figure of a stream without drift is ever called drifted.
    with_labels : int
        Number of units of the stream whose label is known.
    """

    reference: UnitOutcomes | None
    live: UnitOutcomes
    watched: tuple[Watched, ...]
    alpha: float
    with_labels: int

    @property
    def unit(self) -> int | None:
        """Number of the first unit of the stream with which any drift was shown."""
        return min((each.unit for each in self.watched if each.unit is not None), default=None)

    @property
    def verdict(self) -> str:
        """'steady' as long as no drift is shown, else 'drifted'."""
        return "steady" if self.unit is None else "drifted"

    @property
    def against(self) -> str:
        """The reference split, or 'expected'."""
        return EXPECTED if self.reference is None else self.reference.split

    @property
    def reference_chose(self) -> bool:
        """Whether the committee was chosen on the reference split, whose figures are optimistic then."""
        return self.reference is not None and self.reference.split == self.live.committee.chosen_on

    def to_json(self) -> dict[str, Any]:
        """The object that `monitor --json` prints."""
        return {
            "committee": self.live.committee.to_json(),
            "split": self.live.split,
            "n": len(self.live),
            "with_labels": self.with_labels,
            "against": self.against,
            "against_n": None if self.reference is None else len(self.reference),
            "against_chose": self.reference_chose,
            "alpha": self.alpha,
            "verdict": self.verdict,
            "unit": self.unit,
            "watched": [each.to_json() for each in self.watched],
            "exit_ratios": {
                "reference": None if self.reference is None else list(self.reference.exit_ratios()),
                "live": list(self.live.exit_ratios()),
            },
        }

"""What a tool claims of a policy, beside what its outputs show."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from wisecommittee.searches.evaluation import Evaluation

ONE_DIGIT = 0.02  # a claim of one digit counts as rounded to 2 %


@dataclass(frozen=True, slots=True)
class Claim:
    """A figure that a tool claims, beside the measured one.

    Parameters
    ----------
    claimed, measured : float
    interval : (float, float)
        95 % interval of the measured figure.
    """

    claimed: float
    measured: float
    interval: tuple[float, float]

    @property
    def within(self) -> bool:
        """Whether the claim lies within the interval."""
        return self.interval[0] <= self.claimed <= self.interval[1]

    def to_json(self) -> dict[str, Any]:
        """{"claimed", "measured", "difference", "interval", "within"}; difference : measured minus claimed."""
        return {
            "claimed": self.claimed,
            "measured": self.measured,
            "difference": self.measured - self.claimed,
            "interval": list(self.interval),
            "within": self.within,
        }


@dataclass(frozen=True, slots=True)
class Audited:
    """A policy on a store.

    Parameters
    ----------
    evaluation : Evaluation
        Every model that ran is charged.
    cost_interval : (float, float)
        95 % interval of the average cost.
    answering_cost : float
        Average cost if only the models of the stage that answers are charged: too low, a common mistake.
    answering_interval : (float, float)
    quality, average_cost : Claim or None
        None where the tool claims nothing.
    """

    evaluation: Evaluation
    cost_interval: tuple[float, float]
    answering_cost: float
    answering_interval: tuple[float, float]
    quality: Claim | None
    average_cost: Claim | None

    @property
    def forgets_models(self) -> bool:
        """Whether the claimed cost is, within its rounding, that of the answering models alone and not the measured."""
        claim = self.average_cost
        if claim is None or rounds_to(claim.measured, claim.claimed):
            return False
        return rounds_to(self.answering_cost, claim.claimed)

    @property
    def may_forget_models(self) -> bool:
        """Whether the claimed cost fits the answering models alone, and not every model that ran: it lies in the
        interval of the one only."""
        claim = self.average_cost
        if claim is None or claim.within:
            return False
        return self.answering_interval[0] <= claim.claimed <= self.answering_interval[1]

    def to_json(self) -> dict[str, Any]:
        """The object that `audit --json` prints."""
        cost = None
        if self.average_cost is not None:
            doubts = {"is_answering_cost": self.forgets_models, "fits_answering_cost": self.may_forget_models}
            cost = {**self.average_cost.to_json(), **doubts}
        return {
            "committee": self.evaluation.committee.to_json(),
            "split": self.evaluation.split,
            **self.evaluation.figures(),
            "cost_interval": list(self.cost_interval),
            "answering_cost": self.answering_cost,
            "answering_cost_interval": list(self.answering_interval),
            "claims": {"quality": None if self.quality is None else self.quality.to_json(), "average_cost": cost},
        }


def rounds_to(value: float, claimed: float) -> bool:
    """Whether a value becomes the claimed one when it is rounded to as many digits.

    A claim of one digit stands for values within 2 % of it.
    """
    digits = Decimal(repr(claimed)).normalize()
    half = float(Decimal(5).scaleb(int(digits.as_tuple().exponent) - 1))
    return abs(value - claimed) <= max(min(half, ONE_DIGIT * abs(claimed)), 1e-9 * abs(claimed))

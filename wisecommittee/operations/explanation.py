"""Why a unit left a committee where it left, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.reasons import Reason

Answer = int | str | None  # a class, its name or a text; None: no answer, or no prediction is stored


@dataclass(frozen=True, slots=True)
class Said:
    """A prediction with its confidence.

    confidence : as printed; None where there is none. log_odds : of a confidence that saturates (of neg_entropy, minus
    the logarithm of the entropy), else None.
    """

    prediction: Answer
    confidence: float | None = None
    log_odds: float | None = None

    def to_json(self) -> dict[str, Any]:
        return {"prediction": self.prediction, "confidence": self.confidence, "log_odds": self.log_odds}


@dataclass(frozen=True, slots=True)
class Step:
    """A stage that a unit runs, or that it does not run.

    Parameters
    ----------
    stage : int
        From 0, of the committee, or of the part of a mixture.
    members : {model: Said}
        What each member of the stage says by itself.
    answer : Said or None
        What the unit is answered if it exits here; None after stages that the policy does not run in this order.
    cost : float or None
        Of all stages up to this one, in units of the committee's cost; None as for `answer`.
    exits : bool
        Whether the unit exits here.
    condition : str or None
        The condition to exit here; None at the last stage that can follow, and for stages that do not run.
    reasons : tuple of Reason
        What was compared with the condition.
    """

    stage: int
    members: Mapping[str, Said]
    answer: Said | None
    cost: float | None
    exits: bool = False
    condition: str | None = None
    reasons: tuple[Reason, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """With the stage from 1."""
        out: dict[str, Any] = {
            "stage": self.stage + 1,
            "members": {model: said.to_json() for model, said in self.members.items()},
            "answer": None if self.answer is None else self.answer.to_json(),
            "cost": self.cost,
        }
        return out | {"exits": self.exits, "condition": self.condition, "reasons": reasons_json(self.reasons)}


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a unit left a committee where it left.

    Parameters
    ----------
    committee : Committee
    split, unit : str
    stage : int
        At which it exits, from 0; of a mixture, among the stages of the whole committee.
    start : tuple of Reason
        Why the first stage runs, where there are several first stages.
    steps : tuple of Step
        The stages that the unit ran, in order; it exits at the last one.
    not_run : tuple of Step
        The other stages, with what they would have answered and cost if they had followed in their order.
    answer : Said
        What the unit is answered.
    answer_reasons : tuple of Reason
    outcome : {"label", "correct" | "score" | "pixels_right"}
        Empty where the split has no labels.
    part : {"part", "share", "draw"} or None
        Of a mixture: the part that the unit runs, from 1; the share of the second part; and the number from 0 to 1 that
        is drawn for the unit, which runs the second part if it is below the share.
    """

    committee: Committee
    split: str
    unit: str
    stage: int
    start: tuple[Reason, ...]
    steps: tuple[Step, ...]
    not_run: tuple[Step, ...]
    answer: Said
    answer_reasons: tuple[Reason, ...]
    outcome: Mapping[str, Any]
    part: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """The object that `explain --json` prints for a unit; stages from 1, as in the table of units of
        `evaluate`."""
        return {
            "unit_id": self.unit,
            "split": self.split,
            **self.answer.to_json(),
            "stage": self.stage + 1,
            "cost": self.steps[-1].cost,
            **self.outcome,
            "part": None if self.part is None else dict(self.part),
            "start": reasons_json(self.start),
            "steps": [step.to_json() for step in self.steps],
            "answer_reasons": reasons_json(self.answer_reasons),
            "not_run": [step.to_json() for step in self.not_run],
        }


def reasons_json(reasons: tuple[Reason, ...]) -> list[dict[str, Any]]:
    return [each._asdict() for each in reasons]

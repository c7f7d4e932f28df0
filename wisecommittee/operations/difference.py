"""What differs between two committees, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Field:
    """A field of committee.json that differs: 'members.b3/0.weights'. a, b : None where the field is not there."""

    name: str
    a: Any
    b: Any

    def to_json(self) -> dict[str, Any]:
        return {"field": self.name, "a": self.a, "b": self.b}


@dataclass(frozen=True, slots=True)
class UnitPair:
    """A unit that the two committees answer differently, or that exits at another stage. prediction, stage (from 1),
    cost, correct : of (a, b); correct is None without labels."""

    unit: str
    prediction: tuple[Any, Any]
    stage: tuple[int, int]
    cost: tuple[float, float]
    correct: tuple[bool, bool] | None

    def to_json(self) -> dict[str, Any]:
        correct = None if self.correct is None else list(self.correct)
        pairs = {name: list(getattr(self, name)) for name in ("prediction", "stage", "cost")}
        return {"unit_id": self.unit, **pairs, "correct": correct}


@dataclass(frozen=True, slots=True)
class OnUnits:
    """Two committees on the units of a split.

    Parameters
    ----------
    split : str
    n : int
        Number of units.
    measure : str
        The name of the quality.
    answers, stages : int
        On how many units the two answer differently, and exit at another stage.
    right : {"both", "a_only", "b_only", "neither"} or None
        Numbers of units, where units are right or wrong.
    quality : {"a", "b", "difference", "interval", "p"} or None
        difference : of b less a, with its 95 % interval on these units; p : of the hypothesis that both are equally
        good (McNemar 1947; of grades None). None without labels, and where quality is no mean over units.
    cost : {"name", "a", "b", "difference", "interval"}
        Averages in the cost of a, and the difference of b less a with its 95 % interval.
    chose : tuple of str
        Which of "a" and "b" this split chose, so that its figures flatter them.
    units : tuple of UnitPair
        The first units that differ.
    """

    split: str
    n: int
    measure: str
    answers: int | None
    stages: int
    right: Mapping[str, int] | None
    quality: Mapping[str, Any] | None
    cost: Mapping[str, Any]
    chose: tuple[str, ...]
    units: tuple[UnitPair, ...]

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {
            "split": self.split,
            "n": self.n,
            "measure": self.measure,
            "answers": self.answers,
            "stages": self.stages,
        }
        out |= {
            name: None if getattr(self, name) is None else dict(getattr(self, name)) for name in ("right", "quality")
        }
        return out | {"cost": dict(self.cost), "chose": list(self.chose), "units": [u.to_json() for u in self.units]}


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs between two committees, or between a committee and a store.

    Parameters
    ----------
    fields : tuple of Field or None
        Of their committee.json; None where one committee is compared with a store.
    alike : bool or None
        Whether both run the same members and give the same answers to the same units, by their stages and policies
        alone; None for one committee.
    store : {"a": sentences, "b": sentences} or None
        What the store holds otherwise than when each was chosen; None without a store.
    on : OnUnits or None
        Of two committees and a store.
    """

    fields: tuple[Field, ...] | None
    alike: bool | None
    store: Mapping[str, tuple[str, ...]] | None = None
    on: OnUnits | None = None

    def to_json(self) -> dict[str, Any]:
        """The object that `diff --json` prints."""
        return {
            "alike": self.alike,
            "fields": None if self.fields is None else [field.to_json() for field in self.fields],
            "store": None if self.store is None else {name: list(lines) for name, lines in self.store.items()},
            "on": None if self.on is None else self.on.to_json(),
        }

"""Policies: at which stage each unit exits, which stage it runs next if it does not, and what it is answered.

After every stage the policy gets a `State` of the units that have run the same stages, and returns for each unit: exit,
or the stage that runs next. `committees/walk.py` calls the policy, for stored outputs and for deployed models alike.

May be added: a kind of policy, as a file of `committees/policies/`. CONTRIBUTING.md has an example.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.fields import plain
from wisecommittee.committees.reasons import Reason
from wisecommittee.committees.scale import LEAST, STORED, Scale

EXIT = -1  # in place of the next stage
NO_CLASS, NO_TEXT = -1, ""  # in place of a predicted class, and of a text, where a committee gives no answer
ALWAYS = LEAST  # a threshold that every confidence reaches
MOST_STAGES = 1024  # of a committee: its routes take the square of them
Route = tuple[int, ...]  # the stages that a unit has run, from 0, in the order in which they ran


@dataclass(frozen=True, slots=True)
class State:
    """The values that a policy may read about n units that have run the same stages.

    The fields after `scale` are filled only if the policy names them in `needs`.

    Parameters
    ----------
    route : tuple of int
        The stages that have run, in the order in which they ran (ascending for an unordered policy); empty before the
        first.
    stages : int
        K, the number of stages of the committee.
    scores : float32 [len(route), n]
        Confidence of the combination after each stage of `route`; higher exits earlier. 0 after stages that no other
        follows, unless `needs` has "last_score", and for policies that do not combine.
    scale : Scale
        How `scores` and `member_scores` relate to the confidence that is printed (committees/scale.py).
    prediction : integer class or text [n]
        Prediction of the combination after the newest stage.
    members : {model: integer class or text [n]}
        Prediction of each member that has run, by itself, in the order in which they ran.
    member_scores : {model: float32 [n]}
        Confidence of each member that has run, by itself, on `scale`.
    outputs : {model: float32 [n, C]}
        Logarithms of the probabilities that each member that has run gives the classes, by itself.
    unit_ids : text [n]
    features : {column: float64 or text [n]}
        What is known of the units before any model runs.
    """

    route: Route
    stages: int
    scores: NDArray[np.float32]
    scale: Scale = STORED
    prediction: NDArray[np.generic] | None = None
    members: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)
    member_scores: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    outputs: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    unit_ids: NDArray[np.generic] | None = None
    features: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.scores.shape[1]

    @property
    def stage(self) -> int:
        """The newest stage; -1 before the first."""
        return self.route[-1] if self.route else -1

    def only(self, rows: NDArray[np.int64]) -> State:
        """The units at these positions."""
        return replace(
            self,
            scores=self.scores[:, rows],
            prediction=None if self.prediction is None else self.prediction[rows],
            members={model: values[rows] for model, values in self.members.items()},
            member_scores={model: values[rows] for model, values in self.member_scores.items()},
            outputs={model: values[rows] for model, values in self.outputs.items()},
            unit_ids=None if self.unit_ids is None else self.unit_ids[rows],
            features={name: values[rows] for name, values in self.features.items()},
        )

    def exit_where(self, exits: NDArray[np.bool_]) -> NDArray[np.int64]:
        """int64 [n]: EXIT where `exits` is true, else the stage after the newest."""
        return np.where(exits, EXIT, self.stage + 1)


class Policy(ABC):
    """When a unit exits, which stage it runs next, and what it is answered.

    The parameters of a kind are the fields of its dataclass: JSON values, lists as tuples, checked by `__post_init__`.

    Attributes
    ----------
    kind : str
        Name in POLICIES and in committee.json.
    needs : frozenset of str
        Which of the fields after `scale` of a State it reads; "last_score" for the confidence after stages that no
        other follows.
    needs_every_member : bool
        Whether it can decide only where every member that has run has given outputs. Else a member that failed is one
        without an answer and of the least confidence, LEAST.
    combines : bool
        Whether it reads `scores` or `prediction`, or the combination of the members answers.
    answers : bool
        Whether `answer` predicts, instead of the combination of the members that have run.
    abstains : bool
        Whether units may get no answer.
    unordered : bool
        Whether only the set of stages that have run matters, not their order. Routes are then sets, written ascending,
        and a unit may go from any of them to any other of them that has one stage more.
    words : str
        What decides, in a sentence without its full stop; printed where units do not run all stages in order.
    """

    __slots__ = ()
    kind: ClassVar[str]

    @property
    def words(self) -> str:
        return "decides which members run"

    @property
    def needs(self) -> frozenset[str]:
        return frozenset()

    @property
    def needs_every_member(self) -> bool:
        return bool(self.needs & {"members", "member_scores", "outputs"})

    @property
    def numbers_per_unit(self) -> int:
        """About how many numbers `next` and `answer` hold for each unit, so that units are decided in blocks that fit
        into memory."""
        return 0

    @property
    def combines(self) -> bool:
        return True

    @property
    def answers(self) -> bool:
        return False

    @property
    def abstains(self) -> bool:
        return False

    @property
    def unordered(self) -> bool:
        return False

    @abstractmethod
    def next(self, state: State) -> NDArray[np.int64]:
        """int64 [n]: for each unit EXIT, or the stage that it runs next.

        Asked after every route that `routes` continues; before the first stage only if there are several first stages.
        """

    def answer(self, state: State) -> NDArray[np.generic]:
        """Integer class or text [n]: the prediction for units that exit, of policies that answer; NO_CLASS or NO_TEXT
        for units without an answer."""
        raise NotImplementedError(f"a policy of kind {self.kind!r} leaves the answer to the combination")

    def quoted(self, state: State) -> NDArray[np.int64] | None:
        """int64 [n]: whose prediction the answer is, as a number in `state.members`; None for kinds whose answer may
        be no member's prediction, which therefore has no grade where only these are graded."""
        return None

    def certainty(self, state: State) -> tuple[NDArray[np.float32], Scale]:
        """The confidence float32 [n] in what units that exit are answered, and the scale that it is carried on; of the
        combination unless the kind has its own."""
        return state.scores[-1], state.scale

    def routes(self, stages: int) -> Sequence[Route]:
        """Every sequence of stages after which a unit can exit, of a committee of K stages.

        By default a unit runs the stages in order: (0,), (0, 1), .. A policy that skips or reorders stages lists its
        routes; the members of the stages of a route answer together, and only these are charged.
        """
        return [tuple(range(size)) for size in range(1, stages + 1)]

    def check(self, stages: int, confidence: str) -> None:  # noqa: B027
        """CommitteeError if the policy does not fit a committee of K stages that exits by this confidence."""

    def check_members(self, stages: Sequence[Sequence[str]]) -> None:  # noqa: B027
        """CommitteeError if the policy does not fit these members of the stages."""

    def fee(self, cost: str) -> float:
        """What the policy itself costs for each unit, beside its members, in units of the cost of that name."""
        return 0.0

    def conditions(self, stages: int, confidence: str) -> list[str]:
        """The condition to exit at each stage but the last, as text."""
        return [f"its policy, {self.kind}, says so"] * (stages - 1)

    def reasons(self, state: State, confidence: str) -> list[Reason]:
        """Why `next` decides as it does about the unit of a state of one; nothing beside the condition by default.

        confidence : the name of the committee's confidence.
        """
        return []

    def answer_reasons(self, state: State, confidence: str) -> list[Reason]:
        """Why the unit of a state of one, which exits, is answered as it is; nothing by default."""
        return []

    def to_json(self) -> dict[str, Any]:
        values = {f.name: plain(getattr(self, f.name)) for f in fields(self) if f.init}  # type: ignore[arg-type]
        return {"kind": self.kind, **values}


def reaches(score: NDArray[np.float32], threshold: np.float32 | float | NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether units exit by a threshold: score >= threshold. Equality exits; a threshold of infinity lets no unit exit.

    Both are carried numbers (committees/scale.py). Outside the kernels only this function compares scores with
    thresholds.
    """
    return score >= np.asarray(threshold, np.float32)


def following(routes: Sequence[Route], *, unordered: bool) -> dict[Route, set[int]]:
    """{route: the stages that can run after it}; the empty route is among them."""
    listed, out = set(routes), dict[Route, set[int]]()
    for route in routes:
        for place in range(len(route)) if unordered else range(len(route) - 1, len(route)):
            before = route[:place] + route[place + 1 :]
            if not before or before in listed:
                out.setdefault(before, set()).add(route[place])
    return out


def extended(route: Route, stage: int, *, unordered: bool) -> Route:
    """The route with one stage more."""
    return tuple(sorted((*route, stage))) if unordered else (*route, stage)

"""Policies: at which stage each unit exits, and which stage it runs next if it does not.

After every stage the policy gets a `State` of the units that have run it, and returns for each unit: exit, or the
stage that runs next. The last stage always exits. `committees/walk.py` calls the policy, for stored outputs and for
deployed models alike.

May be added: a kind of policy. Write a frozen, slotted subclass of `Policy` with `kind` and `next`, name in `needs`
the fields of `State` that it reads besides the scores, and add it to POLICIES. CONTRIBUTING.md has an example.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.cards import plain
from wisecommittee.committees.confidence import NO_CONFIDENCE, scale_of
from wisecommittee.committees.fields import listed, shown
from wisecommittee.committees.scale import STORED, Scale
from wisecommittee.errors import CommitteeError, counted

EXIT = -1  # in place of the next stage
Route = tuple[int, ...]  # the stages that a unit has run, from 0, ascending


@dataclass(frozen=True, slots=True)
class State:
    """The values that a policy may read about n units that have run the same stages.

    The last four fields are filled only if the policy names them in `needs`.

    Parameters
    ----------
    route : tuple of int
        The stages that have run; empty before the first.
    stages : int
        K, the number of stages of the committee.
    scores : float32 [len(route), n]
        Confidence of the combination after each stage of `route`; higher exits earlier.
    scale : Scale
        How `scores` relate to the confidence that is printed (committees/scale.py).
    prediction : integer class or text [n]
        Prediction of the combination after the newest stage.
    members : {model: integer class or text [n]}
        Prediction of each member that has run, by itself, in the order in which they ran.
    unit_ids : text [n]
    features : {column: [n]}
        Columns of a table of the units. Stores have none so far.
    """

    route: Route
    stages: int
    scores: NDArray[np.float32]
    scale: Scale = STORED
    prediction: NDArray[np.generic] | None = None
    members: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)
    unit_ids: NDArray[np.generic] | None = None
    features: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.scores.shape[1]

    @property
    def stage(self) -> int:
        """The newest stage; -1 before the first."""
        return self.route[-1] if self.route else -1

    def exit_where(self, exits: NDArray[np.bool_]) -> NDArray[np.int64]:
        """int64 [n]: EXIT where `exits` is true, else the stage after the newest."""
        return np.where(exits, EXIT, self.stage + 1)


class Policy(ABC):
    """When a unit exits, and which stage it runs next.

    The parameters of a kind are the fields of its dataclass: JSON values, lists as tuples, checked by `__post_init__`.

    Attributes
    ----------
    kind : str
        Name in POLICIES and in committee.json.
    needs : frozenset of str
        Which of the fields "prediction", "members", "unit_ids" and "features" of a State it reads.
    """

    __slots__ = ()
    kind: ClassVar[str]
    needs: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def next(self, state: State) -> NDArray[np.int64]:
        """int64 [n]: for each unit EXIT, or the stage that it runs next.

        Asked after every route that `routes` continues; before the first stage only if there are several first stages.
        """

    def routes(self, stages: int) -> Sequence[Route]:
        """Every sequence of stages after which a unit can exit, of a committee of K stages.

        By default a unit runs the stages in order: (0,), (0, 1), .. A policy that skips stages lists its
        routes; the members of the stages of a route answer together, and only these are charged.
        """
        return [tuple(range(size)) for size in range(1, stages + 1)]

    def check(self, stages: int, confidence: str) -> None:  # noqa: B027
        """CommitteeError if the policy does not fit a committee of K stages that exits by this confidence."""

    def conditions(self, stages: int, confidence: str) -> list[str]:
        """The condition to exit at each stage but the last, as text."""
        return [f"its policy, {self.kind}, says so"] * (stages - 1)

    def to_json(self) -> dict[str, Any]:
        values = {f.name: plain(getattr(self, f.name)) for f in fields(self)}  # type: ignore[arg-type]
        return {"kind": self.kind, **values}


def policy_from_json(data: Any) -> Policy:
    """The policy that `to_json` wrote; CommitteeError for anything else."""
    if not isinstance(data, dict) or not isinstance(data.get("kind"), str):
        raise CommitteeError(f'"policy" is {shown(data)}; expected an object with the text "kind"')
    if data["kind"] not in POLICIES:
        raise CommitteeError(f"policy of kind {shown(data['kind'])}; known: {', '.join(sorted(POLICIES))}")
    policy = POLICIES[data["kind"]]
    known = {f.name: f for f in fields(policy)}  # type: ignore[arg-type]
    given = {name: value for name, value in data.items() if name != "kind"}
    if unknown := sorted(set(given) - set(known)):
        raise CommitteeError(f"policy {policy.kind!r}: unknown field {listed(unknown)}; known: {listed(sorted(known))}")
    required = {f.name for f in known.values() if f.default is MISSING and f.default_factory is MISSING}
    if missing := sorted(required - set(given)):
        raise CommitteeError(f"policy {policy.kind!r}: field {listed(missing)} is missing")
    try:
        return policy(**{name: _frozen(value) for name, value in given.items()})
    except (TypeError, ValueError, OverflowError, ArithmeticError) as error:
        raise CommitteeError(f"policy {policy.kind!r}: {error}") from error


def _frozen(value: Any) -> Any:
    """A JSON value with its lists as tuples."""
    if isinstance(value, list):
        return tuple(map(_frozen, value))
    return {name: _frozen(item) for name, item in value.items()} if isinstance(value, dict) else value


def reaches(score: NDArray[np.float32], threshold: np.float32 | float) -> NDArray[np.bool_]:
    """Whether units exit by a threshold: score >= threshold. Equality exits; a threshold of infinity lets no unit exit.

    Both are carried numbers (committees/scale.py). Outside the kernels only this function compares scores with
    thresholds.
    """
    return score >= np.float32(threshold)


@dataclass(frozen=True, slots=True)
class Thresholds(Policy):
    """Exit at stage k iff the confidence is at least values[k] (Wang et al. 2022, Algorithm 1).

    Parameters
    ----------
    values : tuple of float
        A float32 number for every stage but the last.
    log_odds : tuple of (float or None)
        A number that decides instead of values[k] where float32 cannot express that threshold (near 1, or near 0 for
        neg_entropy), else None; empty if no stage has one. Exit iff log(p / (1 - p)) >= log_odds[k] for p = max_prob or
        prob_gap, iff -log(-neg_entropy) >= log_odds[k] for neg_entropy. No other confidence has log-odds. values[k] is
        the same threshold, rounded to float32.
    """

    values: tuple[float, ...] = ()
    log_odds: tuple[float | None, ...] = ()
    kind: ClassVar[str] = "thresholds"

    def __post_init__(self) -> None:
        for value in self.values:
            if not math.isfinite(value):
                raise CommitteeError(f"threshold {value!r} is not finite; merge the stages instead of never exiting")
        if len(self.log_odds) not in (0, len(self.values)):
            raise CommitteeError(
                f"{counted(len(self.log_odds), 'number')} of log-odds for {counted(len(self.values), 'threshold')}; "
                f"expected one for each, or null"
            )

    @classmethod
    def of(cls, pairs: Sequence[tuple[float, float | None]]) -> Self:
        """From (value, log-odds or None) of every stage but the last."""
        odds = tuple(log_odds for _, log_odds in pairs)
        return cls(tuple(value for value, _ in pairs), odds if any(number is not None for number in odds) else ())

    @property
    def pairs(self) -> list[tuple[float, float | None]]:
        """(value, log-odds or None) of every stage but the last."""
        return list(zip(self.values, self.log_odds or (None,) * len(self.values), strict=True))

    def next(self, state: State) -> NDArray[np.int64]:
        value, log_odds = self.pairs[state.stage]
        (threshold,) = state.scale.carried([value], [log_odds])
        return state.exit_where(reaches(state.scores[-1], threshold))

    def check(self, stages: int, confidence: str) -> None:
        if len(self.values) != stages - 1:
            raise CommitteeError(
                f"{counted(len(self.values), 'threshold')} for {counted(stages, 'stage')}; "
                f"expected {stages - 1}: one for every stage but the last"
            )
        if self.values and confidence == NO_CONFIDENCE:
            raise CommitteeError(
                "thresholds compare a confidence, and this committee has none; name a stored score, or take a policy "
                "without"
            )
        for value, log_odds in self.pairs:
            if log_odds is not None:
                _check_log_odds(value, log_odds, confidence)

    def conditions(self, stages: int, confidence: str) -> list[str]:
        odds = f"-log(-{confidence})" if confidence == "neg_entropy" else f"log-odds of {confidence}"
        return [
            f"{confidence} >= {value:.6g}" if log_odds is None else f"{odds} >= {log_odds:.6g}"
            for value, log_odds in self.pairs
        ]


def _check_log_odds(threshold: float, log_odds: float, confidence: str) -> None:
    """CommitteeError unless the log-odds are those of the threshold, rounded to float32."""
    scale = scale_of(confidence)
    if not scale.saturates or not math.isfinite(log_odds):
        raise CommitteeError(f"log-odds {log_odds!r} for a threshold on {confidence}, which has none")
    (carried,) = scale.carried([threshold], [log_odds])
    meant, _ = scale.threshold(carried)
    if abs(meant - threshold) > 1e-6:
        raise CommitteeError(
            f"threshold {threshold!r} and its log-odds {log_odds!r}, which mean {confidence} {meant:.8g}; change "
            f"both, or leave the log-odds out"
        )


POLICIES: dict[str, type[Policy]] = {policy.kind: policy for policy in (Thresholds,)}

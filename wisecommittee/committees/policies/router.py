"""A router: the cascade that a unit runs depends on what is known of it before any model runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.confidence import NO_CONFIDENCE
from wisecommittee.committees.fields import shown
from wisecommittee.committees.policies.feature_terms import (
    Terms,
    check_number,
    objects,
    term_matrix,
    terms_from_json,
    terms_to_json,
    weighted_terms,
)
from wisecommittee.committees.policy import EXIT, MOST_STAGES, Policy, Route, State, reaches
from wisecommittee.committees.reasons import Reason, compared
from wisecommittee.errors import CommitteeError

SHOWN = 3  # features among the reasons of a router
MOST_PARTS = 1024


@dataclass(frozen=True, slots=True)
class Part:
    """A cascade that a router can send a unit to.

    Parameters
    ----------
    stages : tuple of int
        The stages of the committee that it runs, in this order.
    thresholds : tuple of (float or None)
        For each of its stages but the last: exit iff the confidence is at least this; None: never exit there.
    log_odds : tuple of (float or None)
        As of Thresholds: the number that decides where float32 cannot express a threshold; empty if no stage has one.
    start : float
        Estimate of its value for a unit whose terms are all 0.
    weights : tuple of float
        What each term (feature_terms.py) adds to that estimate.
    """

    stages: tuple[int, ...]
    thresholds: tuple[float | None, ...] = ()
    log_odds: tuple[float | None, ...] = ()
    start: float = 0.0
    weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name in ("stages", "thresholds", "log_odds", "weights"):
            if not isinstance(getattr(self, name), tuple):
                raise CommitteeError(f"parts: {name} {shown(getattr(self, name))}; expected a list")
        if not all(type(stage) is int and 0 <= stage < MOST_STAGES for stage in self.stages):
            raise CommitteeError(f"parts: stages {shown(self.stages)}; expected whole numbers from 0")
        if not self.stages or len(set(self.stages)) != len(self.stages):
            raise CommitteeError(f"parts: stages {shown(self.stages)}; expected one stage or more, each once")
        if len(self.thresholds) != len(self.stages) - 1 or len(self.log_odds) not in (0, len(self.thresholds)):
            raise CommitteeError(
                f"parts: {len(self.thresholds)} thresholds and {len(self.log_odds)} log-odds for {len(self.stages)} "
                f"stages; expected one for each stage but the last, or null"
            )
        for number in (self.start, *self.weights):
            check_number(number, "parts: weight")
        for threshold in (*self.thresholds, *self.log_odds):
            if threshold is not None:
                check_number(threshold, "parts: threshold")

    def exits(self, state: State) -> NDArray[np.bool_]:
        """bool [n]: which units that have run the first stages of this part exit."""
        done = len(state.route)
        value = None if done == len(self.stages) else self.thresholds[done - 1]
        if value is None:
            return np.full(len(state), done == len(self.stages))
        (threshold,) = state.scale.carried([value], [self.log_odds[done - 1] if self.log_odds else None])
        return reaches(state.scores[-1], threshold)


@dataclass(frozen=True, slots=True)
class Router(Policy):
    """Send each unit to the part of the highest estimated value: expected quality minus a price times expected cost,
    linear in terms of the unit's features. The part is a cascade with its own stages and thresholds.

    Parameters
    ----------
    columns : tuple of {"name", "values"} or {"name", "center", "scale", "low", "high", "knots"}
        The features that it reads, and their terms (feature_terms.py).
    parts : tuple of {"stages", "thresholds", "log_odds", "start", "weights"}
        See `Part`. Of equal estimates the first decides.
    costs : {cost: float}
        What the router itself costs for each unit, by the name of the cost.
    """

    columns: tuple[Mapping[str, Any], ...]
    parts: tuple[Mapping[str, Any], ...]
    costs: Mapping[str, float] = field(default_factory=dict)
    kind: ClassVar[str] = "router"
    needs: ClassVar[frozenset[str]] = frozenset({"features"})

    def __post_init__(self) -> None:
        terms = self.terms()
        width = sum(column.width for column in terms)
        cascades = self.cascades()
        if not cascades:
            raise CommitteeError("a router without parts; expected one or more")
        if len(cascades) > MOST_PARTS:
            raise CommitteeError(f"a router of {len(cascades):,} parts; expected at most {MOST_PARTS:,}")
        for part in cascades:
            if len(part.weights) != width:
                raise CommitteeError(f"parts: {len(part.weights):,} weights; expected {width:,}, one for each term")
        if not isinstance(self.costs, Mapping):
            raise CommitteeError(f"costs: {shown(self.costs)}; expected an object of numbers")
        for name, cost in self.costs.items():
            check_number(cost, f"costs: {name}")
            if cost < 0:
                raise CommitteeError(f"costs: {name} {cost}; expected a number from 0")

    @classmethod
    def of(cls, terms: Terms, parts: Sequence[Part], costs: Mapping[str, float]) -> Router:
        """From values instead of JSON objects."""
        written = [
            {"stages": p.stages, "thresholds": p.thresholds, "start": p.start, "weights": p.weights}
            | ({"log_odds": p.log_odds} if any(number is not None for number in p.log_odds) else {})
            for p in parts
        ]
        columns = tuple({k: tuple(v) if isinstance(v, list) else v for k, v in c.items()} for c in terms_to_json(terms))
        return cls(columns, tuple(written), dict(costs))

    def terms(self) -> Terms:
        return terms_from_json(self.columns)

    def cascades(self) -> list[Part]:
        """The parts, checked."""
        known = set(Part.__dataclass_fields__)
        parts = []
        for each in objects(self.parts, "parts"):
            if not {"stages", "weights"} <= set(each) <= known:
                raise CommitteeError(f"parts: fields {shown(sorted(each))}; expected {', '.join(sorted(known))}")
            parts.append(Part(**each))
        return parts

    @property
    def words(self) -> str:
        names = [column.name for column in self.terms()]
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return f"by {', '.join(names[:3])}{more} each unit runs one of {len(self.parts)} cascades"

    @property
    def numbers_per_unit(self) -> int:
        return len(self.parts)

    def fee(self, cost: str) -> float:
        return float(self.costs.get(cost, 0.0))

    def routes(self, stages: int) -> list[Route]:
        return sorted({part.stages[:size] for part in self.cascades() for size in range(1, len(part.stages) + 1)})

    def check(self, stages: int, confidence: str) -> None:
        cascades = self.cascades()
        used = {stage for part in cascades for stage in part.stages}
        if used != set(range(stages)):
            raise CommitteeError(
                f"parts run stages {shown(sorted(used))} of {stages}; expected every stage in some part, and no other"
            )
        if confidence == NO_CONFIDENCE and any(t is not None for part in cascades for t in part.thresholds):
            raise CommitteeError("parts have thresholds on a confidence, and this committee has none")

    def next(self, state: State) -> NDArray[np.int64]:
        cascades, chosen = self.cascades(), self.chosen(state)
        out = np.full(len(state), EXIT)
        done = len(state.route)
        for number, part in enumerate(cascades):
            if part.stages[:done] == state.route and (rows := np.flatnonzero(chosen == number)).size:
                exits = part.exits(state.only(rows)) if done else np.zeros(len(rows), np.bool_)
                out[rows[~exits]] = part.stages[min(done, len(part.stages) - 1)]
        return out

    def chosen(self, state: State) -> NDArray[np.int64]:
        """int64 [n]: the part that each unit is sent to, by its number."""
        return self.estimates(state).argmax(axis=0)

    def estimates(self, state: State) -> NDArray[np.float64]:
        """float64 [parts, n]: the estimated value of each part for each unit."""
        cascades = self.cascades()
        weights = np.array([part.weights for part in cascades], np.float64).reshape(len(cascades), -1)
        start = np.array([part.start for part in cascades], np.float64)
        return weighted_terms(self.terms(), state.features, weights, start)

    def reasons(self, state: State, confidence: str) -> list[Reason]:
        cascades, values = self.cascades(), self.estimates(state)[:, 0]
        chosen = int(values.argmax())
        part, done = cascades[chosen], len(state.route)
        out = [] if done and len({each.stages[0] for each in cascades}) > 1 else self._why(state, values)
        if not done or done == len(part.stages):
            return out
        odds = part.log_odds[done - 1] if part.log_odds else None
        return [*out, compared(confidence, state.scale, state.scores[-1, 0], part.thresholds[done - 1], odds)]

    def _why(self, state: State, values: NDArray[np.float64]) -> list[Reason]:
        """The two best parts of a unit, and the features that speak most for the best of them."""
        order = np.argsort(-values, kind="stable").tolist()
        best = Reason(f"cascade {order[0] + 1} of {len(order)} has the highest estimate, {values[order[0]]:.6g}")
        if len(order) == 1:
            return [best]
        cascades, terms = self.cascades(), term_matrix(self.terms(), state.features, 1)[0]
        apart = terms * (np.array(cascades[order[0]].weights) - np.array(cascades[order[1]].weights))
        ends = np.cumsum([column.width for column in self.terms()])[:-1]
        by_column = {c.name: float(p.sum()) for c, p in zip(self.terms(), np.split(apart, ends), strict=True)}
        most = sorted(by_column.items(), key=lambda item: -abs(item[1]))[:SHOWN]
        features = [Reason(f"{name} = {state.features[name][0]} speaks {gain:+.6g} for it") for name, gain in most]
        second = values[order[1]]
        ahead = Reason(f"ahead of cascade {order[1] + 1}, {second:.6g}", float(values[order[0]] - second))
        return [best, ahead, *features]

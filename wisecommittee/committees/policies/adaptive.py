"""Which member runs next, when to stop, and what to answer, from everything that the members said so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.fields import shown
from wisecommittee.committees.policies.adaptive_states import KnownState, numbers
from wisecommittee.committees.policies.feature_terms import objects
from wisecommittee.committees.policy import EXIT, Policy, Route, State, following
from wisecommittee.committees.posterior import (
    STOPPING,
    Evidence,
    among_answers,
    coded,
    rank_terms,
    value_features,
    weighted,
)
from wisecommittee.committees.reasons import Reason
from wisecommittee.committees.scale import STORED, Scale
from wisecommittee.errors import CommitteeError

Labels = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Adaptive(Policy):
    """Run the member whose answer is worth most after its cost; stop where no answer is worth its cost.

    The state of a unit is the set of stages that have run, each of one member, and what these members said. Each set
    has a posterior over the labels (committees/posterior.py). Its likeliest label is the answer. Its largest
    probability, corrected by how often such answers were right, is the value of stopping. For each stage that may run
    next, the set has the expected value of going on with it, less its cost, which is linear in features of the
    posterior. This is the dynamic programme of cost-sensitive feature acquisition (Ji and Carin 2007, Sec. 3), with
    models in place of features and fitted values in place of their hidden Markov model.

    Parameters
    ----------
    labels : tuple of int, or of text
        The classes of the posterior. If there are none, its classes are the answers of the members that have run, and
        one more for every other label.
    others : tuple of int, or of text
        Further answers that members gave when the policy was fitted, and that were never right.
    ranks : tuple of {"score", "rank"}
        For each stage, the rank of its member's confidence among the units that the policy was fitted on, linear
        between knots; no knots where answers have no confidence.
    states : tuple of {"stages", "bias", "votes", "corrections", "weights", "stopping", "next"}
        For each set of stages that a unit can have run: see KnownState and Posterior. `corrections` lack the row of
        unknown answers; a state need not have them. `weights` are there where members have outputs over classes.
    by_answer : bool
        Whether the values of going on depend on what was answered.
    """

    labels: Labels
    others: Labels
    ranks: tuple[Mapping[str, tuple[float, ...]], ...]
    states: tuple[Mapping[str, Any], ...]
    by_answer: bool = False
    kind: ClassVar[str] = "adaptive"
    words: ClassVar[str] = "the member whose answer is worth its cost runs next; a posterior over the labels answers"
    combines: ClassVar[bool] = False
    answers: ClassVar[bool] = True
    unordered: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check_labels(self.labels, self.others)
        if not isinstance(self.by_answer, bool):
            raise CommitteeError(f"by_answer {shown(self.by_answer)}; expected true or false")
        for each in objects(self.ranks, "ranks"):
            _check_ranks(each)
        states = [self._known(each) for each in objects(self.states, "states")]
        sets = {state.stages for state in states}
        if not states or len(sets) < len(states):
            raise CommitteeError("states: none, or two with the same stages; expected each set of stages once")
        after = following(sorted(sets), unordered=True)
        for state in states:
            ahead = {stage for stage, _ in state.values}
            if not ahead <= after.get(state.stages, set()):
                raise CommitteeError(f"states: next of stages {shown(state.stages)} leads to a set that has no state")
        if len({state.posterior.weights is None for state in states}) > 1 or (not self.labels and self.pooled):
            raise CommitteeError("states: expected weights in every state of a policy with labels, or in none")

    @property
    def pooled(self) -> bool:
        """Whether the posteriors weigh the outputs of the members."""
        return bool(self.states[0].get("weights"))

    @property
    def needs(self) -> frozenset[str]:
        """Fields of a State that it reads."""
        ranked = any(ranks["score"] for ranks in self.ranks)
        return frozenset(
            {"members"} | ({"outputs"} if self.pooled else set()) | ({"member_scores"} if ranked else set())
        )

    @property
    def numbers_per_unit(self) -> int:
        return 4 * (len(self.labels) + len(self.others) + len(self.ranks) + 1)

    def routes(self, stages: int) -> list[Route]:
        return [tuple(state["stages"]) for state in self.states]

    def check(self, stages: int, confidence: str) -> None:
        used = {stage for state in self.states for stage in state["stages"]}
        if len(self.ranks) != stages or used != set(range(stages)):
            raise CommitteeError(
                f"ranks of {len(self.ranks)} stages, states of stages {shown(sorted(used))}; the committee has "
                f"{stages}; expected all of them and no other"
            )

    def conditions(self, stages: int, confidence: str) -> list[str]:
        return ["no further answer is worth its cost"] * (stages - 1)

    def next(self, state: State) -> NDArray[np.int64]:
        best, ahead = self._values(state)
        going = np.full(len(state), EXIT)
        for stage, value in ahead:
            going[value > best] = stage
            best = np.maximum(best, value)
        return going

    def _values(self, state: State) -> tuple[NDArray[np.float64], list[tuple[int, NDArray[np.float64]]]]:
        """The value of stopping [n], and (stage, value of going on with it [n]) of each stage that may run next."""
        known, evidence = self._state(state.route), self._evidence(state)
        posterior = known.posterior(evidence)
        features = value_features(posterior, evidence, by_answer=self.by_answer)
        best = posterior[: evidence.answerable].max(axis=0) + weighted(known.stopping, features[:STOPPING])
        return best, [(stage, weighted(weights, features)) for stage, weights in known.values]

    def reasons(self, state: State, confidence: str) -> list[Reason]:
        stopping, ahead = self._values(state)
        going = [
            Reason(f"going on with stage {stage + 1} {value[0]:.6g}", float(stopping[0] - value[0]))
            for stage, value in ahead
        ]
        return [Reason(f"stopping is worth {stopping[0]:.6g}"), *going]

    def answer_reasons(self, state: State, confidence: str) -> list[Reason]:
        return [Reason(f"the likeliest answer has a posterior of {self.certainty(state)[0][0]:.6g}")]

    def answer(self, state: State) -> NDArray[np.generic]:
        evidence = self._evidence(state)
        posterior = self._state(state.route).posterior(evidence)
        likeliest = posterior[: evidence.answerable].argmax(axis=0)
        if self.labels:
            return np.array(self.labels)[likeliest]
        said = np.stack(list(state.members.values()))
        return np.asarray(said[likeliest, np.arange(len(state))])

    def certainty(self, state: State) -> tuple[NDArray[np.float32], Scale]:
        evidence = self._evidence(state)
        posterior = self._state(state.route).posterior(evidence)
        return posterior[: evidence.answerable].max(axis=0).astype(np.float32), STORED

    def _known(self, state: Mapping[str, Any]) -> KnownState:
        answers = len(self.labels) + len(self.others)
        return KnownState.from_json(state, answers, len(self.labels), by_answer=self.by_answer)

    def _state(self, route: Route) -> KnownState:
        return self._known(next(state for state in self.states if tuple(state["stages"]) == route))

    def _evidence(self, state: State) -> Evidence:
        said, scores = list(state.members.values()), list(state.member_scores.values())
        ranks = [self.ranks[stage] for stage in state.route]
        scores = scores or [np.zeros(len(state), np.float32)] * len(said)  # no member has a confidence
        terms = np.stack([rank_terms(s, r["score"], r["rank"]) for s, r in zip(scores, ranks, strict=True)])
        if not self.labels:
            return among_answers(said, terms)
        names = self.labels + self.others
        outputs = np.stack([rows.T for rows in state.outputs.values()]) if self.pooled else None
        if outputs is not None and outputs.shape[1] != len(self.labels):
            raise CommitteeError(f"outputs over {outputs.shape[1]} classes; the policy has {len(self.labels)}")
        return Evidence(coded(said, names), terms, len(names), len(self.labels), outputs=outputs)


def _check_labels(labels: Any, others: Any) -> None:
    if not isinstance(labels, tuple) or not isinstance(others, tuple) or (others and not labels):
        raise CommitteeError(f"labels {shown(labels)} and others {shown(others)}; expected two lists")
    every = labels + others
    if {type(label) for label in every} not in (set(), {int}, {str}) or len(set(every)) < len(every):
        raise CommitteeError(f"labels {shown(every)}; expected different whole numbers, or different texts")
    if any(isinstance(label, int) and abs(label) >= 1 << 62 for label in every):
        raise CommitteeError(f"labels {shown(every)}; expected numbers of 64 bits")


def _check_ranks(ranks: Mapping[str, Any]) -> None:
    if set(ranks) != {"score", "rank"} or not isinstance(ranks["score"], tuple):
        raise CommitteeError(f"ranks: {shown(ranks)}; expected lists of scores and of their ranks")
    score = numbers(ranks["score"], (len(ranks["score"]),), "ranks of scores", most=1e39)
    rank = numbers(ranks["rank"], score.shape, "ranks")
    if (np.diff(score) <= 0).any() or (rank < 0).any() or (rank > 1).any():
        raise CommitteeError(f"ranks: {shown(ranks)}; expected rising scores, and ranks from 0 to 1")

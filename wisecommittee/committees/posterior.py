"""What members said of a unit, as numbers, and the posterior over the labels that follows from them.

A posterior is a multinomial logit over C classes. Its logits add, for every member that has run: a vote for the class
that it said, whose strength depends on its confidence; a correction of every class by what it said; and, where rows
over classes are known, its weighted logarithms of probabilities. A confidence enters by its rank among the units that
the policy was fitted on, so that any scale will do.

Every number of a unit is computed from that unit alone and in the same order for any batch: a decision never depends on
which other units are in the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
CENTRES = (0.2, 0.4, 0.6, 0.8)  # of the hat functions of a rank
TERMS = 3 + len(CENTRES)  # functions of a rank
PLAIN_TERMS = 3  # the first of them: constant, rank, log-odds of the rank
TOPS = (0.4, 0.55, 0.7, 0.85)  # centres of the hat functions of the largest probability
STOPPING = 5 + len(TOPS)  # the first features of a value, which the value of stopping is corrected by
NEVER = -1e4  # logit of a class that a unit cannot have


def rank_terms(score: ArrayLike, knots: ArrayLike, ranks: ArrayLike) -> Floats:
    """float64 [TERMS, n]: functions of the rank of each confidence, linear between knots; without knots it is 1/2."""
    rank = np.full(np.shape(score), 0.5)
    if np.size(knots):
        rank = np.interp(np.asarray(score, np.float64), np.asarray(knots, np.float64), np.asarray(ranks, np.float64))
    inside = np.clip(rank, 0.01, 0.99)
    hats = [np.maximum(0, 1 - np.abs(rank - centre) / 0.2) for centre in CENTRES]
    return np.stack([np.ones_like(rank), rank - 0.5, np.log(inside / (1 - inside)) / 3, *hats])


@dataclass(frozen=True, slots=True)
class Evidence:
    """What s members said of n units.

    Parameters
    ----------
    said : int64 [s, n]
        Number of each member's answer, below `answers`; `answers` for an answer that is not among them. Answers below
        `classes` are classes.
    terms : float64 [s, TERMS, n]
        Functions of the rank of each member's confidence.
    answers, classes : int
        Number of distinct answers, and of classes of the posterior.
    possible : bool [classes, n], optional
        Which classes a unit can have; by default all.
    outputs : float64 [s, classes, n], optional
        Logarithms of each member's probabilities.
    """

    said: NDArray[np.int64]
    terms: Floats
    answers: int
    classes: int
    possible: NDArray[np.bool_] | None = None
    outputs: NDArray[np.floating] | None = None

    @property
    def members(self) -> int:
        return len(self.said)

    @property
    def answerable(self) -> int:
        """Number of classes that can be answered: all, but the last where it is any other label."""
        return self.classes if self.possible is None else self.members

    @property
    def units(self) -> int:
        return self.said.shape[1]


def coded(said: Sequence[NDArray[np.generic]], names: Sequence[int | str]) -> NDArray[np.int64]:
    """int64 [s, n]: the number of each answer among `names`; len(names) for any other."""
    known = np.array(names)
    order = np.argsort(known, kind="stable")
    ordered = known[order]
    out = []
    for answers in said:
        if (answers.dtype.kind == "U") != (known.dtype.kind == "U"):
            out.append(np.full(len(answers), len(names)))
            continue
        at = np.minimum(np.searchsorted(ordered, answers), len(ordered) - 1)
        out.append(np.where(ordered[at] == answers, order[at], len(names)))
    return np.array(out, np.int64)


def first_to_say(said: Sequence[NDArray[np.generic]]) -> NDArray[np.int64]:
    """int64 [s, n]: for each member, the first member with the same answer."""
    out = np.zeros((len(said), len(said[0])), np.int64)
    for m, answers in enumerate(said):
        out[m] = m
        for earlier in range(m - 1, -1, -1):
            out[m][said[earlier] == answers] = earlier
    return out


def among_answers(said: Sequence[NDArray[np.generic]], terms: Floats) -> Evidence:
    """Evidence for the posterior over the answers of the members themselves.

    Class m is the answer of member m, unless an earlier member said the same, or it is empty: no answer; the last class
    is any other label.
    """
    numbers, s = first_to_say(said), len(said)
    possible = np.ones((s + 1, numbers.shape[1]), bool)
    possible[:s] = numbers == np.arange(s)[:, None]
    if said[0].dtype.kind == "U":
        possible[:s] &= np.stack(said) != ""
    return Evidence(numbers, terms, s, s + 1, possible)


@dataclass(frozen=True, slots=True)
class Posterior:
    """The parameters of a posterior.

    Parameters
    ----------
    bias : float64 [classes]
    votes : float64 [s, TERMS]
    corrections : float64 [s, answers + 1, TERMS, classes], or None
        The last answer is an unknown one: 0.
    weights : float64 [s], or None
        Of the members' log-probabilities.
    """

    bias: Floats
    votes: Floats
    corrections: Floats | None = None
    weights: Floats | None = None

    def __call__(self, evidence: Evidence) -> Floats:
        """float64 [classes, n]: the probability of every class."""
        logits = np.repeat(self.bias[:, None], evidence.units, axis=1)
        every = np.arange(evidence.units)
        for m, (said, terms) in enumerate(zip(evidence.said, evidence.terms, strict=True)):
            voted = np.flatnonzero(said < evidence.classes)
            logits[said[voted], every[voted]] += weighted(self.votes[m], terms)[voted]
            if self.corrections is not None:
                for term, table in zip(terms, self.corrections[m].swapaxes(0, 1), strict=True):
                    logits += np.take(table, said, axis=0).T * term
            if self.weights is not None and evidence.outputs is not None:
                logits += self.weights[m] * evidence.outputs[m]
        if evidence.possible is not None:
            logits[~evidence.possible] = NEVER
        logits -= logits.max(axis=0)
        np.exp(logits, out=logits)
        return logits / sum(logits)  # row by row: numpy's own sum depends on the number of units


def weighted(weights: ArrayLike, rows: Sequence[Floats] | Floats) -> Floats:
    """float64 [n]: the sum of the rows [d, n], each times its weight, added one after the other."""
    total = np.zeros(rows[0].shape)
    for weight, row in zip(np.asarray(weights, np.float64), rows, strict=True):
        total += weight * row
    return total


def value_features(posterior: Floats, evidence: Evidence, *, by_answer: bool) -> Floats:
    """float64 [d, n]: what the values of going on and of stopping are linear in.

    A constant, the two largest probabilities, the entropy, hat functions of the largest probability, the share of
    members that said the likeliest class; then, if `by_answer`, the whole posterior and for every member three terms of
    its rank where it said each answer, else these terms alone.
    """
    ordered = np.sort(posterior, axis=0)
    top, second = ordered[-1], ordered[-2] if len(ordered) > 1 else np.zeros_like(ordered[-1])
    entropy = -sum(posterior * np.log(np.maximum(posterior, 1e-9)))
    hats = [np.maximum(0, 1 - np.abs(top - centre) / 0.15) for centre in TOPS]
    agree = (evidence.said == posterior.argmax(axis=0)).sum(axis=0) / evidence.members
    rows = [np.ones_like(top), top, second, entropy, *hats, agree]
    if not by_answer:
        return np.stack(rows + [term for terms in evidence.terms for term in terms[1:PLAIN_TERMS]])
    rows += list(posterior)
    for said, terms in zip(evidence.said, evidence.terms, strict=True):
        where = said == np.arange(evidence.answers)[:, None]
        rows += [where[a] * term for a in range(evidence.answers) for term in terms[:PLAIN_TERMS]]
    return np.stack(rows)


def value_size(members: int, answers: int, classes: int, *, by_answer: bool) -> int:
    """d: the number of value features."""
    return STOPPING + (classes + members * answers * PLAIN_TERMS if by_answer else members * (PLAIN_TERMS - 1))

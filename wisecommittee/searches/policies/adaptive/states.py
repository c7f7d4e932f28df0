"""The sets of members that a unit can have asked, their costs, and their cross-fitted posteriors."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.policy import Route
from wisecommittee.committees.posterior import Evidence, Floats, Posterior, among_answers, coded, rank_terms
from wisecommittee.searches.policies.adaptive.logit import (
    Design,
    Penalties,
    Small,
    design,
    fit,
    plain,
    probabilities,
)

FOLDS = 3
MANY = 1500  # units from which a single fold tells which penalties are best
KNOTS = 33  # quantiles of each confidence
MOST_CLASSES = 40  # of a posterior over labels; beyond, it is over the answers of the members
OF_ANSWERS = tuple(
    Penalties(corrections, 0.01 * (corrections or 1), 0.01) for corrections in (None, 30.0, 10.0, 3.0, 1.0, 0.3)
)
OF_OUTPUTS = (
    *(Penalties(None, *rigid) for rigid in ((1e4, 1e4, 1e3), (1e3, 1e3, 1e2), (1e3, 1e2, 1e2), (1e3, 10.0, 1e2))),
    *(Penalties(corrections, 1e3, 1e2, 10.0) for corrections in (100.0, 10.0)),
)


@dataclass(frozen=True, slots=True)
class Said:
    """What every member said of every unit.

    Parameters
    ----------
    answers : integer class or text [M, N]
    truth : integer class or text [N]
    ranks : list of ([q], [q])
        For each member, knots of its confidence and their ranks.
    terms : float64 [M, TERMS, N]
    labels : list of int, or of text
        Classes of the posterior; none: the answers of the members.
    others : list of int, or of text
        Further answers.
    outputs : float32 [M, C, N], or None
    """

    answers: NDArray[np.generic]
    truth: NDArray[np.generic]
    ranks: list[tuple[Floats, Floats]]
    terms: Floats
    labels: list[int | str]
    others: list[int | str]
    outputs: Small | None = None

    @classmethod
    def of(
        cls,
        answers: NDArray[np.generic],
        score: NDArray[np.float32],
        truth: NDArray[np.generic],
        outputs: Small | None = None,
        *,
        ranked: bool = True,
    ) -> Said:
        """answers : [M, N]; score : float32 [M, N], higher is surer, if `ranked`; truth : [N]; outputs :
        log-probabilities."""
        ranks = [rank_knots(each) if ranked else (np.zeros(0), np.zeros(0)) for each in score]
        terms = np.stack([rank_terms(each, *knots) for each, knots in zip(score, ranks, strict=True)])
        labels = np.unique(truth).tolist() if outputs is None else list(range(outputs.shape[1]))
        if len(labels) > MOST_CLASSES:
            return cls(answers, truth, ranks, terms, [], [])
        others = np.setdiff1d(answers, np.array(labels)).tolist()
        return cls(answers, truth, ranks, terms, labels, others, outputs)

    def evidence(self, members: Route) -> Evidence:
        """What these members said."""
        which, names = list(members), self.labels + self.others
        if not self.labels:
            return among_answers(list(self.answers[which]), self.terms[which])
        said = coded(list(self.answers[which]), names)
        outputs = None if self.outputs is None else self.outputs[which]
        return Evidence(said, self.terms[which], len(names), len(self.labels), outputs=outputs)

    def true_classes(self, evidence: Evidence, members: Route) -> NDArray[np.int64]:
        """int64 [N]: the class that is right."""
        if self.labels:
            return coded([self.truth], self.labels)[0]
        right = self.answers[list(members)] == self.truth
        return np.where(right.any(axis=0), right.argmax(axis=0), evidence.classes - 1)


def rank_knots(score: NDArray[np.float32]) -> tuple[Floats, Floats]:
    """Quantiles of a confidence, as they are written, and their ranks: the share of units below and half of those
    equal."""
    ordered = np.sort(score.astype(np.float64))
    knots = np.unique(np.quantile(ordered, np.linspace(0, 1, KNOTS), method="nearest"))
    ranks = (np.searchsorted(ordered, knots) + np.searchsorted(ordered, knots, side="right")) / (2 * len(ordered))
    knots, first = np.unique([float(f"{knot:.6g}") for knot in knots], return_index=True)
    return knots, np.round(ranks[first], 6)


def sets_of(members: int, most: int) -> list[Route]:
    """All sets of at most so many members, by size."""
    return [route for size in range(1, most + 1) for route in combinations(range(members), size)]


def folds_of(units: int, seed: int) -> NDArray[np.int64]:
    """int64 [N]: the fold of every unit."""
    return np.random.default_rng(seed).permutation(units) % FOLDS


@dataclass(frozen=True, slots=True)
class Fitted:
    """The posterior of a set of members.

    posterior : fitted on all units; held_out : float32 [C, N], of every unit by the posterior fitted on the units of
    the other folds; evidence : of all units; right : bool [N], whether the likeliest held-out answer is right
    """

    posterior: Posterior
    held_out: Small
    evidence: Evidence
    right: NDArray[np.bool_]

    @property
    def stopping(self) -> Small:
        """float32 [N]: the value of stopping: the largest held-out probability of an answer."""
        return np.asarray(self.held_out[: self.evidence.answerable].max(axis=0), np.float32)


def fitted(said: Said, members: Route, penalties: Penalties, folds: NDArray[np.int64]) -> Fitted:
    """The posterior of these members, and that of every unit by cross-fitting."""
    evidence = said.evidence(members)
    true = said.true_classes(evidence, members)
    columns, truth = design(evidence, penalties), one_hot(true, evidence.classes)
    held_out, numbers = np.empty_like(truth), None
    for fold in range(FOLDS):
        numbers, held_out[:, folds == fold] = _without(columns, truth, folds, fold)
    every = fit(columns, truth, numbers)
    likeliest = held_out[: evidence.answerable].argmax(axis=0)
    return Fitted(plain(every, columns, evidence), held_out, evidence, likeliest == true)


def _without(columns: Design, truth: Small, folds: NDArray[np.int64], fold: int) -> tuple[Floats, Small]:
    """Numbers fitted on all other folds, and the posterior [C, n] of the units of this fold.

    The fit starts from 0: from that of all units, it would stop before it has forgotten the truth of this fold.
    """
    others, these = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
    numbers = fit(columns.of_units(others), np.ascontiguousarray(truth[:, others]))
    return numbers, probabilities(numbers, columns.of_units(these), len(truth))


def one_hot(true: NDArray[np.int64], classes: int) -> Small:
    """float32 [C, n]: 1 at the class of each unit."""
    return (true == np.arange(classes)[:, None]).astype(np.float32)


def best_penalties(said: Said, members: Route, folds: NDArray[np.int64]) -> Penalties:
    """The most rigid penalties whose held-out loss for this set of members exceeds the least one by at most its
    standard error (Breiman et al. 1984, Classification and regression trees, Sec. 3.4.3)."""
    tried = OF_ANSWERS if said.outputs is None else OF_OUTPUTS
    held = range(FOLDS) if len(folds) < MANY else range(1)
    units = np.isin(folds, held)
    losses = np.zeros((len(tried), len(folds)))
    evidence = said.evidence(members)
    truth = one_hot(said.true_classes(evidence, members), evidence.classes)
    for loss, penalties in zip(losses, tried, strict=True):
        columns = design(evidence, penalties)
        for fold in held:
            _, held_out = _without(columns, truth, folds, fold)
            these = folds == fold
            loss[these] = -np.log(np.maximum((held_out * truth[:, these]).sum(axis=0), 1e-9))
    excess = losses[:, units] - losses[losses.sum(axis=1).argmin(), units]
    error = excess.std(axis=1) / np.sqrt(units.sum())
    return tried[int((excess.mean(axis=1) <= error).argmax())]

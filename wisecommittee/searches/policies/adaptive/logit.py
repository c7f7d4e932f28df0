"""Penalised maximum likelihood of a posterior (committees/posterior.py): a convex problem, by L-BFGS."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.posterior import NEVER, Evidence, Floats, Posterior

Small = NDArray[np.float32]
PRECISION = 1e-4  # relative; a closer fit answers no new unit better, and takes twice as long


@dataclass(frozen=True, slots=True)
class Penalties:
    """Half of these numbers times the squares of parameters are added to the loss, summed over units.

    corrections : None: there are none. bias, votes : of these parameters. weights : of the distance from equal weights.
    """

    corrections: float | None
    bias: float
    votes: float
    weights: float = 1.0


@dataclass(frozen=True, slots=True)
class Design:
    """The columns of a posterior over n units, in coordinates in which the objective is about round.

    Parameters
    ----------
    columns : float32 [n, D]
        A constant, then for every member and answer the terms where it said that; times `to_plain`.
    rows : float32 [D, n]
        The same, transposed in memory: logits are computed twice as fast from it.
    terms : float32 [s, TERMS, n]
        The terms of every member, times `to_votes`.
    voted : list of int64 [..]
        For every member, the units whose answer is a class.
    classes_voted : list of int64 [..]
        The classes of these answers.
    offset : float32 [C, n], or None
        Logits that are not fitted: the mean of the log-probabilities, NEVER for impossible classes.
    outputs : float32 [s, C, n], or None
    to_plain : float32 [D, D]
        Plain corrections [C, D] are the fitted ones times this.
    to_votes : float32 [s, TERMS, TERMS]
        Plain votes of a member are the fitted ones times its matrix.
    penalties : Penalties
    penalty : float32 [D, D]
        The penalty of fitted corrections.
    weight_scale : float64 [s]
        Plain differences from equal weights are the fitted ones times this.
    """

    columns: Small
    rows: Small
    terms: Small
    voted: list[NDArray[np.int64]]
    classes_voted: list[NDArray[np.int64]]
    offset: Small | None
    outputs: Small | None
    to_plain: Small
    to_votes: Small
    penalties: Penalties
    penalty: Small
    weight_scale: Floats

    def of_units(self, rows: NDArray[np.int64]) -> Design:
        """The same columns of these units, in the same coordinates."""
        place = np.full(len(self.columns), -1)
        place[rows] = np.arange(len(rows))
        kept = [place[voted] >= 0 for voted in self.voted]
        return replace(
            self,
            columns=self.columns[rows],
            rows=np.ascontiguousarray(self.rows[:, rows]),
            terms=np.ascontiguousarray(self.terms[:, :, rows]),
            voted=[place[voted[keep]] for voted, keep in zip(self.voted, kept, strict=True)],
            classes_voted=[c[keep] for c, keep in zip(self.classes_voted, kept, strict=True)],
            offset=None if self.offset is None else self.offset[:, rows],
            outputs=None if self.outputs is None else np.ascontiguousarray(self.outputs[:, :, rows]),
        )


def design(evidence: Evidence, penalties: Penalties) -> Design:
    """The columns of a posterior."""
    n, s = evidence.units, evidence.members
    terms = evidence.terms.astype(np.float32)
    columns = [np.ones((n, 1), np.float32)]
    if penalties.corrections is not None:
        for said, each in zip(evidence.said, terms, strict=True):
            where = (said[:, None] == np.arange(evidence.answers)).astype(np.float32)
            columns.append((where[:, :, None] * each.T[:, None, :]).reshape(n, -1))
    plain = np.concatenate(columns, axis=1)
    of_columns = np.full(plain.shape[1], penalties.corrections or 0.0)
    of_columns[0] = penalties.bias
    to_plain = _whitening(plain.T, of_columns)
    to_votes = np.stack([_whitening(each, np.full(len(each), penalties.votes)) for each in terms])
    voted = [np.flatnonzero(said < evidence.classes) for said in evidence.said]
    offset = None if evidence.possible is None else np.where(evidence.possible, 0, NEVER).astype(np.float32)
    outputs, scale = None, np.zeros(0)
    if evidence.outputs is not None:
        outputs = evidence.outputs.astype(np.float32)
        offset = outputs.mean(axis=0)
        scale = 1 / np.sqrt(outputs.var(axis=(1, 2), dtype=np.float64) * outputs[0].size / 4 + penalties.weights)
    columns_of_fit = plain @ to_plain.T
    return Design(
        columns_of_fit,
        np.ascontiguousarray(columns_of_fit.T),
        to_votes @ terms,
        voted,
        [said[rows] for said, rows in zip(evidence.said, voted, strict=True)],
        offset,
        outputs,
        to_plain,
        to_votes,
        penalties,
        ((to_plain * of_columns.astype(np.float32)) @ to_plain.T).astype(np.float32),
        scale[:s],
    )


def _whitening(rows: Small, penalties: Floats) -> Small:
    """float32 [d, d]: L^-1 of the Cholesky factor L of a bound on the second derivative of the objective in the weights
    of these rows [d, n] (Boehning 1992, Multinomial logistic regression algorithm, with 1/4 in place of 1/2)."""
    curvature = (rows @ rows.T).astype(np.float64) / 4
    curvature[np.diag_indices(len(rows))] += penalties
    return np.linalg.inv(np.linalg.cholesky(curvature)).astype(np.float32)


def fit(columns: Design, truth: Small, start: Floats | None = None, precision: float = PRECISION) -> Floats:
    """The fitted numbers [C * D + s * TERMS (+ s)] that minimise the penalised loss.

    truth : float32 [C, n], 1 at the true class; start : numbers to start from, by default 0; precision : relative
    change of the objective at which L-BFGS stops
    """
    from scipy.optimize import minimize

    if start is None:
        width = len(truth) * columns.columns.shape[1] + columns.terms.shape[0] * columns.terms.shape[1]
        start = np.zeros(width + len(columns.weight_scale))

    options: Any = {"maxiter": 200, "ftol": precision, "gtol": 1e-2}
    given: Any = (columns, truth)
    found = minimize(objective, start, given, method="L-BFGS-B", jac=True, options=options)
    return np.asarray(found.x, np.float64)


def objective(numbers: Floats, columns: Design, truth: Small) -> tuple[float, Floats]:
    """The penalised loss: minus the sum of the log-probabilities of the true classes, plus penalties; its gradient."""
    corrections, votes, weights = _parts(numbers, columns, len(truth))
    logits = _logits(columns, corrections, votes, weights)
    logits -= logits.max(axis=0)
    true = float((logits * truth).sum(dtype=np.float64))
    np.exp(logits, out=logits)
    total = logits.sum(axis=0)
    loss = float(np.log(total).sum(dtype=np.float64)) - true
    error = logits / total - truth
    pull = corrections @ columns.penalty
    loss += 0.5 * float((corrections * pull).sum(dtype=np.float64))
    gradient = [(error @ columns.columns + pull).ravel()]
    width = error.shape[1]
    for each, terms, to_votes, units, said in zip(
        votes, columns.terms, columns.to_votes, columns.voted, columns.classes_voted, strict=True
    ):
        plain = to_votes.T @ each
        loss += 0.5 * columns.penalties.votes * float(plain @ plain)
        here = error.reshape(-1)[said * width + units]
        part = terms @ here if len(units) == width else terms[:, units] @ here
        gradient.append(part + columns.penalties.votes * (to_votes @ plain))
    if columns.outputs is not None:
        scale, penalty = columns.weight_scale, columns.penalties.weights
        loss += 0.5 * penalty * float(((weights * scale) ** 2).sum())
        inner = np.array([float((error * rows).sum(dtype=np.float64)) for rows in columns.outputs])
        gradient.append(inner * scale + penalty * weights * scale**2)
    return loss, np.concatenate(gradient).astype(np.float64)


def _logits(columns: Design, corrections: Small, votes: Small, weights: Floats) -> Small:
    logits = corrections @ columns.rows
    if columns.offset is not None:
        logits += columns.offset
    if columns.outputs is not None:
        for weight, scale, rows in zip(weights, columns.weight_scale, columns.outputs, strict=True):
            logits += np.float32(weight * scale) * rows
    flat, width = logits.reshape(-1), logits.shape[1]
    for each, terms, units, said in zip(votes, columns.terms, columns.voted, columns.classes_voted, strict=True):
        strength = each @ terms
        flat[said * width + units] += strength if len(units) == width else strength[units]
    return logits


def _parts(numbers: Floats, columns: Design, classes: int) -> tuple[Small, Small, Floats]:
    """Corrections float32 [C, D], votes float32 [s, TERMS] and differences of weights float64 [s], as fitted."""
    s, size, _ = columns.terms.shape
    width = classes * columns.columns.shape[1]
    corrections = numbers[:width].reshape(classes, -1).astype(np.float32)
    votes = numbers[width : width + s * size].reshape(s, size).astype(np.float32)
    return corrections, votes, numbers[width + s * size :]


def probabilities(numbers: Floats, columns: Design, classes: int) -> Small:
    """float32 [C, n]: the posterior of fitted numbers."""
    logits = _logits(columns, *_parts(numbers, columns, classes))
    logits -= logits.max(axis=0)
    np.exp(logits, out=logits)
    return np.asarray(logits / logits.sum(axis=0), np.float32)


def plain(numbers: Floats, columns: Design, evidence: Evidence) -> Posterior:
    """The posterior of fitted numbers, in the terms of committees/posterior.py."""
    corrections, votes, weights = _parts(numbers, columns, evidence.classes)
    matrix = corrections.astype(np.float64) @ columns.to_plain
    s, size = votes.shape
    tables = None
    if matrix.shape[1] > 1:
        tables = np.zeros((s, evidence.answers + 1, size, evidence.classes))
        tables[:, :-1] = matrix[:, 1:].T.reshape(s, evidence.answers, size, evidence.classes)
    return Posterior(
        matrix[:, 0],
        np.stack([each @ to_votes for each, to_votes in zip(votes, columns.to_votes, strict=True)]).astype(np.float64),
        tables,
        1 / s + weights * columns.weight_scale if columns.outputs is not None else None,
    )

"""What the next stage gains: estimates for each unit from a fit without its fold, and coefficients from all units."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.policies.evidence import Source, linear
from wisecommittee.searches.policies.deferral.answers import Answers, Models
from wisecommittee.searches.policies.deferral.known import Known, fitted_source
from wisecommittee.searches.policies.deferral.ridge import ridge

Step = tuple[Models, Models]  # the models that have run, and those that have run after the next stage
ERRORS = 3.0  # standard errors by which an estimated gain must be better than the confidence


@dataclass(frozen=True, slots=True)
class Gain:
    """score : float32 [N], minus the estimated gain. coefficients : float64 [1 + F] of the gain, for the evidence of
    the models in ascending order. answered : how the answer enters the evidence, if it does."""

    score: NDArray[np.float32]
    coefficients: NDArray[np.float64]
    answered: Source | None


def fit_gains(
    steps: Iterable[Step],
    answers: Answers,
    known: Known,
    fold: NDArray[np.integer],
    scale: int,
    *,
    apart: bool,
    go_on: Callable[[], bool] = lambda: True,
) -> dict[Step, Gain]:
    """The gain of every step, by ridge regression on the evidence of the models that have run; where that is not
    clearly better, the order of the confidence in the answer.

    scale : the statistic of a fully right unit. apart : whether the answer is evidence beside that of the members.
    go_on : asked after each set of models; False leaves the rest out.
    """
    after: dict[Models, list[Step]] = defaultdict(list)
    for models, larger in steps:
        after[tuple(sorted(models))].append((models, larger))
    out: dict[Step, Gain] = {}
    for models, alike in sorted(after.items(), key=lambda item: len(item[0])):
        columns, answered = known.evidence(models), None
        if apart:
            output = answers.of(models).output
            answered = fitted_source(output)
            columns = np.concatenate([columns, answered.columns(output)], axis=1)
        pairs = {(answers.key(now), answers.key(later)): (now, later) for now, later in alike}
        worths = [answers.of(later).worth - answers.of(now).worth for now, later in pairs.values()]
        fit = ridge(columns, np.stack(worths, axis=1) / np.float64(scale), fold)
        column = {keys: number for number, keys in enumerate(pairs)}
        scores = -fit.out_of_fold.T.astype(np.float32)
        for now, later in alike:
            number = column[answers.key(now), answers.key(later)]
            gain = Gain(scores[number], fit.coefficients[:, number], answered)
            rank = _by_confidence(now, columns, known, answered)
            out[now, later] = gain if _better(gain.score, rank.score, worths[number]) else rank
        if not go_on():
            break
    return out


def _by_confidence(models: Models, columns: NDArray[np.float64], known: Known, answered: Source | None) -> Gain:
    """Minus the rank of the confidence in the answer, in place of a gain: the order of thresholds on the confidence."""
    if answered is None:  # the newest model answers
        older = sorted(models)[: sorted(models).index(models[-1])]
        start, source = sum(known.sources[m].width for m in older), known.sources[models[-1]]
    else:
        start, source = columns.shape[1] - answered.width, answered
    coefficients = np.zeros(1 + columns.shape[1])
    coefficients[1 + start : 1 + start + len(source.knots)] = -np.linspace(0, 1, len(source.knots))
    return Gain(-linear(columns, coefficients).astype(np.float32), coefficients, answered)


def _better(score: NDArray[np.float32], other: NDArray[np.float32], gains: NDArray[np.integer]) -> bool:
    """Whether the units that `score` lets exit later gain more than those that `other` lets exit later: the mean of
    gain times the difference of both ranks is above 0 by ERRORS standard errors."""
    ahead = gains * (_rank(other) - _rank(score))
    return bool(ahead.mean() > ERRORS * ahead.std() / np.sqrt(len(ahead)))


def _rank(score: NDArray[np.float32]) -> NDArray[np.float64]:
    """float64 [N]: the mean position of each unit and its equals in ascending order."""
    order = np.argsort(score)
    ordered = score[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    stops = np.append(starts[1:], len(score))
    out = np.empty(len(score))
    out[order] = np.repeat((starts + stops) / 2, stops - starts)
    return out

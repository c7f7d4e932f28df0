"""From the points of a sweep to committees."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policies.deferral import Deferral
from wisecommittee.committees.policies.evidence import Source
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.committees.scale import STORED
from wisecommittee.committees.threshold_vectors import exit_counts
from wisecommittee.searches.policies.building import committee_of
from wisecommittee.searches.policies.deferral.answers import RuleAnswers, shortened
from wisecommittee.searches.policies.deferral.known import Known
from wisecommittee.searches.policies.deferral.thresholds import Point
from wisecommittee.searches.reporter import reported_threshold
from wisecommittee.searches.stages.pool import Pool


def committee_at(pool: Pool, known: Known, point: Point) -> Committee:
    """The committee of a point, with gains and answers fitted to all units.

    A stage at which no unit exits is merged into the next, stages that no unit reaches are dropped, as the scores from
    fits without each unit's fold have it.
    """
    answers, gains, chain = point.learned.answers, point.learned.gains, point.chain
    ran = [pool.members(chain[:size]) for size in range(1, len(chain) + 1)]
    every = [gains[step] for step in itertools.pairwise(ran)]
    scores = np.stack([*(gain.score for gain in every), np.zeros(pool.units, np.float32)])
    exits = exit_counts(scores, np.array([point.thresholds], np.float32))[0]
    used = np.flatnonzero(exits).tolist()
    ran = [ran[k] for k in used]
    stages = [now[len(before) :] for before, now in zip([(), *ran], ran, strict=False)]
    if len(stages) == len(ran[0]) == 1 and isinstance(answers, RuleAnswers):
        return committee_of(pool, stages, Thresholds())
    coefficients, thresholds, answered = [], [], []
    for k, models in zip(used[:-1], ran, strict=False):
        order = known.in_order(models)
        gain = every[k].coefficients
        coefficients.append(shortened(np.concatenate([gain[order], gain[len(order) :]])))
        value, _ = reported_threshold(np.sort(every[k].score), np.float32(point.thresholds[k]), STORED)
        thresholds.append(value)
        answered += [source_json(source) for source in [every[k].answered] if source is not None]
    policy = Deferral(
        sizes=tuple(map(len, ran)),
        members=tuple(source_json(known.sources[m]) for m in ran[-1]),
        gains=tuple(coefficients),
        thresholds=tuple(thresholds),
        answering=answers.to_json(ran),
        answered=tuple(answered),
    )
    return committee_of(pool, stages, policy)


def source_json(source: Source) -> dict[str, Sequence[float | int | str]]:
    return {"knots": tuple(source.knots.tolist()), "labels": tuple(source.labels.tolist())}

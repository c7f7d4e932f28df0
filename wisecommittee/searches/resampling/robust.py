"""A search that fits the noise of the choosing units less.

With few units, the best of many thresholds is best by chance. Fewer levels and smoothed correctness find committees
that are as good on the choosing units up to noise, and better on new units (docs/honesty.md). Both fade as units are
more: from 5,000 units on there are 100 levels, and a tenth of the correctness is smoothed. That holds where the
confidence is computed from outputs over classes. Confidences that are stored, such as those of paid APIs, come in a few
values on scales of their own, and need not rise with correctness: there the search stays as it is.
"""

from __future__ import annotations

from dataclasses import replace

from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.searches.resampling.smoothing import smoothed
from wisecommittee.searches.strategies.problem import Problem

FEWEST_LEVELS = 20
UNITS_OF_A_LEVEL = 50


def robust_problem(problem: Problem) -> Problem:
    """The problem with few levels and smoothed correctness, where confidences are computed and thresholds decide; a
    search for another policy regularises what it fits itself."""
    if problem.query.policy != Thresholds.kind or isinstance(problem.pool.confidence, str):
        return problem
    levels = min(problem.query.levels, max(FEWEST_LEVELS, round(problem.pool.units / UNITS_OF_A_LEVEL)))
    return smoothed(replace(problem, query=replace(problem.query, levels=levels)))

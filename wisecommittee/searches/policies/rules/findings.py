"""The findings of a search over prices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.errors import InfeasibleError
from wisecommittee.searches.policies.building import committee_of
from wisecommittee.searches.policies.rules.trees import Tree
from wisecommittee.searches.strategies.problem import Findings, Problem


def findings(problem: Problem, kind: str, trees: int, committees: Sequence[Committee], **more: Any) -> Findings:
    """These committees, and every single model.

    trees : how many were fitted at the first prices. Nothing is proved: rules are fitted one route at a time, and where
    they are drawn towards each other they are not meant to be best on these units.
    """
    singles = [committee_of(problem.pool, [[m]], Thresholds()) for m in range(len(problem.cards))]
    searched = {
        "combinations": trees,
        "threshold_vectors": len(committees),
        "method": kind,
        "exact": False,
        "complete": True,
        "certified": False,
    }
    return Findings((), None, searched | more, committees=[*singles, *committees])


def require_trees(problem: Problem, trees: Sequence[Tree]) -> None:
    if not trees:
        raise InfeasibleError(f"no committee keeps the limits: {problem.limits}; raise one of them")

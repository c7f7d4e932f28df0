"""Evaluations and frontiers made by hand."""

from __future__ import annotations

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.searches.evaluation import Cost, Evaluation
from wisecommittee.searches.frontier import Frontier

N = 1000


def evaluation(stages, cost, correct, exits=(1.0,), *, unit="flops", split="val"):
    tiers = tuple(tuple(tier.split("+")) for tier in stages.split("|"))
    committee = Committee(tiers, Thresholds((0.5,) * (len(tiers) - 1)), cost=unit)
    return Evaluation(committee, split, N, correct, correct / N, {unit: Cost(cost, 1.5 * cost, 2 * cost)}, tuple(exits))


def frontier_in(unit="flops", scale=1.0):
    a, b, c = (evaluation(m, scale * x, y, unit=unit) for m, x, y in (("a", 10, 700), ("b", 30, 690), ("c", 90, 800)))
    return Frontier(
        (
            a,
            evaluation("a|b", scale * 14, 760, (0.8, 0.2), unit=unit),
            evaluation("a+b", scale * 40, 780, unit=unit),
            evaluation("a|b|c", scale * 60, 850, (0.5, 0.3, 0.2), unit=unit),
        ),
        (a, b, c),
    )


FRONTIER = frontier_in()

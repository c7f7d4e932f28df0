"""The upper hull of a frontier: the figures that mixtures of its committees reach in expectation."""

from __future__ import annotations

from collections.abc import Sequence

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policies.mixing import mixture
from wisecommittee.searches.evaluation import Evaluation


def hull(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """The committees on the upper concave hull of average cost and quality.

    Parameters
    ----------
    evaluations : sequence of Evaluation
        By rising cost and quality.

    Returns
    -------
    list of Evaluation
        By rising cost, with falling slopes between neighbours.
    """
    kept: list[Evaluation] = []
    for point in evaluations:
        while len(kept) > 1 and _below(kept[-2], kept[-1], point):
            kept.pop()
        kept.append(point)
    return kept


def _below(first: Evaluation, middle: Evaluation, last: Evaluation) -> bool:
    """Whether the middle one is on or below the straight line between the others."""
    rise = (middle.quality - first.quality) * (last.average_cost - first.average_cost)
    return rise <= (last.quality - first.quality) * (middle.average_cost - first.average_cost)


def mixed(evaluations: Sequence[Evaluation], limit: float, seed: int = 0) -> Committee:
    """The best committee or mixture of two neighbours on the hull whose average cost is, in expectation, at most a
    limit.

    Parameters
    ----------
    evaluations : sequence of Evaluation
        By rising cost and quality; the cheapest is taken where none costs as little as the limit.
    limit : float
        In units of the committees' cost.
    seed : int
        Of the draw.
    """
    points = hull(evaluations)
    cheaper = [e for e in points if e.average_cost <= limit]
    if len(cheaper) in (0, len(points)):
        return (cheaper[-1] if cheaper else points[0]).committee
    first, second = cheaper[-1], points[len(cheaper)]
    share = (limit - first.average_cost) / (second.average_cost - first.average_cost)
    return mixture(first.committee, second.committee, share, seed) if share else first.committee

"""Every ensemble of the frontier as a cascade of the same members (Wang et al. 2022, Sec. 4.2 and Fig. 2): the least
average cost at no less accuracy than the ensemble has, over all orders of its members and all real thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

from wisecommittee.analyses.match import Shown, show
from wisecommittee.analyses.study import Study
from wisecommittee.errors import AbsentError, AbsentNameError, UsageError, option
from wisecommittee.searches.evaluation import Evaluation
from wisecommittee.searches.sequences import GivenSequences, cheapest


@dataclass(frozen=True, slots=True)
class Conversion:
    """single : the cheapest model as accurate as the ensemble on the split that chooses, None if there is none.

    The cascade may leave a member out, if all units exit before it.
    """

    ensemble: Shown
    cascade: Shown
    single: Evaluation | None


def conversion(study: Study) -> tuple[Conversion, ...]:
    """Convert the ensembles that the user named, else all ensembles on the frontier of ensembles, by cost."""
    pool = study.pool()
    index = {card.model: i for i, card in enumerate(pool.cards)}
    if study.committees:
        together = [c.models for c in study.committees]
        if any(len(models) < 2 for models in together):
            raise UsageError(
                "an ensemble has two members or more; name such committees with "
                f"{option('committees', flag='committee')}"
            )
        if missing := [model for models in together for model in models if model not in index]:
            raise AbsentNameError("member", missing[0], index)
    else:
        if len(index) < 2:
            raise AbsentError("there is one model only, so there is no ensemble; extract or import another")
        frontier = study.search(family="ensemble")
        together = [e.committee.models for e in frontier if len(e.committee.models) > 1]
        if not together:
            raise AbsentError(
                "no ensemble is worth its cost here: a single model is as accurate as each; name one with "
                f"{option('committees', flag='committee')}"
            )
    members = [tuple(sorted(index[m] for m in models)) for models in together]
    orders = {ensemble: _orders(study, ensemble) for ensemble in members}
    threads = study.threads
    given = GivenSequences(pool, [o for ensemble in orders.values() for o in ensemble], threads=threads)
    ensembles, cascades = [], []
    for done, ensemble in enumerate(members):
        ensembles.append(given.ensemble(ensemble))
        least = cheapest(given.frontier(orders[ensemble], study.query.levels), ensembles[-1].quality)
        cascades.append(least or ensembles[-1])
        if study.progress:
            study.progress("conversions", done + 1, len(members))
    shown = show(study, [*ensembles, *cascades])
    singles = [study.search(family="ensemble").cheapest_single_matching(e.quality) for e in ensembles]
    n = len(members)
    rows = zip(shown[:n], shown[n:], singles, strict=True)
    return tuple(sorted((Conversion(*row) for row in rows), key=lambda c: c.ensemble.val.average_cost))


def _orders(study: Study, members: Sequence[int]) -> list[tuple[int, ...]]:
    if len(members) > MOST:
        raise UsageError(f"an ensemble of {len(members)} members; conversion tries every order of up to {MOST}")
    return list(permutations(members))


MOST = 6  # members: 720 orders

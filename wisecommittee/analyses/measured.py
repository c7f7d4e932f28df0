"""How much of a speed-up in FLOPs measured time keeps (Wang et al. 2022, Tables 1, 2, 8, 9 and 14): committees chosen
by FLOPs and charged in milliseconds, beside those chosen by milliseconds."""

from __future__ import annotations

from dataclasses import dataclass

from wisecommittee.analyses.match import Shown, match
from wisecommittee.analyses.study import Study
from wisecommittee.errors import AbsentError
from wisecommittee.searches.evaluate import evaluate_all


@dataclass(frozen=True, slots=True)
class MeasuredCost:
    """single, by_cost : in the measured cost; by_flops : the committee that FLOPs choose, charged in the measured cost,
    and flops : the same and the model, charged in FLOPs (None where cards have none)."""

    single: Shown
    by_cost: Shown
    by_flops: Shown | None
    flops: tuple[Shown, Shown] | None


def measured(study: Study, cost: str) -> tuple[MeasuredCost, ...]:
    """The comparison for every single model, by measured cost ('latency_ms', or 'batch_ms' per unit of a batch)."""
    if missing := [card.model for card in study.cards() if cost not in card.costs]:
        raise AbsentError(
            f"no {cost} on the card of {missing[0]} (lacking on {len(missing)} of {len(study.cards())}); measure "
            f"it with `wisecommittee bench-models MODEL --store {study.store.files.uri}`, or add the column with "
            "`wisecommittee import --costs models.csv`"
        )
    timed = match(study.over(cost))
    if not all(card.blocks for card in study.cards()):
        return tuple(MeasuredCost(m.single, m.similar_quality, None, None) for m in timed)
    counted = {m.single.val.committee.models: m for m in match(study.over("flops"))}
    out = []
    for m in timed:
        in_flops = counted[m.single.val.committee.models]
        chosen = in_flops.similar_quality
        again = [evaluate_all([e.committee], study.store, e.split, cost=cost)[0] for e in chosen.on()]
        charged = Shown(again[0], again[1] if len(again) > 1 else None)
        out.append(MeasuredCost(m.single, m.similar_quality, charged, (in_flops.single, chosen)))
    return tuple(out)

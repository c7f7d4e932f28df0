"""Self-cascades: one checkpoint at two input sizes instead of two checkpoints (Wang et al. 2022, Sec. 6, Table 5)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

from wisecommittee.analyses.match import Shown, show
from wisecommittee.analyses.study import Study
from wisecommittee.committees.cards import StoredCard
from wisecommittee.errors import AbsentError
from wisecommittee.searches.sequences import GivenSequences, cheapest


@dataclass(frozen=True, slots=True)
class SelfCascade:
    """single : a checkpoint at its least input size; cascade : the cheapest self-cascade, of whatever checkpoint, that
    is as accurate on the split that chooses and more accurate than its first stage alone; None if there is none.
    sizes : of its two stages."""

    single: Shown
    cascade: Shown | None
    sizes: tuple[int, ...] | None

    @property
    def checkpoint(self) -> str:
        """'b1-240-300', as the paper names them."""
        if self.cascade is None or self.sizes is None:
            return ""
        return "-".join(map(str, (base_name(self.cascade.val.committee.models[0]), *self.sizes)))


def base_name(model: str) -> str:
    """'b3@240/1' -> 'b3/1': the checkpoint, by name."""
    before, at, after = model.partition("@")
    return before + after.lstrip("0123456789") if at else before


def input_side(card: StoredCard) -> int | None:
    """The input size in pixels: what stands after the @, else the last side on the card."""
    _, at, after = card.model.partition("@")
    digits = after[: len(after) - len(after.lstrip("0123456789"))]
    if at and digits:
        return int(digits)
    return card.input_size[-1] if card.input_size else None


def checkpoints(cards: tuple[StoredCard, ...]) -> list[list[StoredCard]]:
    """The cards of each checkpoint (the same weights, or the same name before the @), by input size."""
    by_weights: dict[str, list[StoredCard]] = {}
    for card in cards:
        by_weights.setdefault(card.weights or base_name(card.model), []).append(card)
    return [sorted(versions, key=lambda card: (input_side(card) or 0, card.key)) for versions in by_weights.values()]


def self_cascades(study: Study) -> tuple[SelfCascade, ...]:
    """The best self-cascade for every single model, by the cost of the models."""
    every = checkpoints(study.cards())
    pool = study.pool()
    sides = {card.model: input_side(card) for card in pool.cards}
    pairs = [
        (pool.index(low.model), pool.index(high.model))
        for versions in every
        for low, high in combinations(versions, 2)
        if sides[low.model] is not None and sides[high.model] is not None and sides[low.model] != sides[high.model]
    ]
    if not pairs:
        raise AbsentError(
            "no checkpoint is in the store at two input sizes; extract one at several "
            "(`wisecommittee extract timm:efficientnet_b1 --sizes 240,300 ..`), or name imported models b1@240, b1@300"
        )
    given = GivenSequences(pool, pairs, threads=study.threads)
    cascades = [
        e for pair in pairs for e in given.frontier([pair], study.query.levels) if e.committee.shape == "cascade"
    ]
    least = {versions[0].model for versions in every}
    singles = [e for e in study.search(max_models=1).singles if e.committee.models[0] in least]
    matching = [cheapest(cascades, e.quality) for e in singles]
    shown = iter(show(study, [e for e in matching if e is not None]))
    out = []
    for single, cascade in zip(show(study, singles), matching, strict=True):
        sizes = None if cascade is None else tuple(sides[model] or 0 for model in cascade.committee.models)
        out.append(SelfCascade(single, None if cascade is None else next(shown), sizes))
    return tuple(out)

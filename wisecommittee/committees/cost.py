"""The cost of a set of members: the union of their blocks, in exact integers.

Inside a search every cost is an integer multiple of one unit. FLOPs are integers, dollars and milliseconds become fixed
point numbers; all are divided by their greatest common divisor, and the sum over units is kept within int64.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.cards import ModelCard, StoredCard
from wisecommittee.errors import CostError, option

INT64_SAFE = 2**62


@dataclass(frozen=True, slots=True)
class CostModel:
    """Integer costs of M models (or of M tiers of models) for one cost.

    Parameters
    ----------
    name : str
    unit : Fraction
        True cost = integer cost * unit.
    blocks : int64 [B]
        Cost of every block.
    uses : bool [M, B]
        Which blocks a model runs.
    per_unit : int64 [M, N] or None
        Cost of a stage of each model on each unit if it varies, with `stage`; then sets of models add up and blocks are
        unused.
    parallel : bool
        The members of a stage run at the same time, so that a stage costs as much as its dearest member, as their
        latency does. Else their costs add up. The costs of stages always add up.
    stage : int
        Cost of every stage beside its members, such as the time in which units are gathered and decisions taken.
    """

    name: str
    unit: Fraction
    blocks: NDArray[np.int64]
    uses: NDArray[np.bool_]
    per_unit: NDArray[np.int64] | None = None
    parallel: bool = False
    stage: int = 0

    def cumulative(self, sequences: NDArray[np.integer]) -> NDArray[np.int64]:
        """int64 [.., n]: cost of the first 1..n stages of each sequence [.., n] of models, one for each stage (not per
        unit)."""
        shared = self.uses.sum(axis=0) > 1
        alone = self.uses[:, ~shared] @ self.blocks[~shared]  # cost of the blocks that no other model runs
        added = alone[sequences]
        for k in range(1, added.shape[-1]):
            added[..., k] *= (sequences[..., :k] != sequences[..., k : k + 1]).all(axis=-1)
        total = np.cumsum(added, axis=-1)
        if shared.any():
            seen = np.logical_or.accumulate(self.uses[:, shared][sequences], axis=-2)
            total += seen @ self.blocks[shared]
        return total + self._overheads(total.shape[-1])

    def marginal(self, sequence: Sequence[int], units: int) -> list[NDArray[np.int64]]:
        """int64 [N] for each stage of a sequence of models, one for each stage: the cost that it adds."""
        if self.per_unit is not None:
            return [self.per_unit[m] for m in sequence]
        return [np.full(units, step) for step in np.diff(self.cumulative(np.array(sequence, np.int64)), prepend=0)]

    def worst(self, sequences: NDArray[np.integer]) -> NDArray[np.int64]:
        """int64 [..]: cost of all stages of each sequence of models, one for each stage; if the cost varies per unit,
        for the dearest unit."""
        if self.per_unit is None:
            return self.cumulative(sequences)[..., -1]
        flat = sequences.reshape(-1, sequences.shape[-1])
        sums = [self.per_unit[list(row)].sum(axis=0).max() for row in flat]
        return np.array(sums, dtype=np.int64).reshape(sequences.shape[:-1])

    def stages(self, stages: Sequence[Sequence[int]]) -> NDArray[np.int64]:
        """int64 [K], or [K, N] for a cost that varies per unit: cumulative cost of a unit that exits at stage k."""
        if self.per_unit is not None:
            return np.cumsum([self._together(stage) for stage in stages], axis=0)
        if self.parallel:
            dearest = [self._alone()[list(stage)].max() for stage in stages]
            return np.cumsum(dearest) + self._overheads(len(stages))
        used = np.zeros(len(self.blocks), dtype=bool)
        out = []
        for stage in stages:
            used = used | self.uses[list(stage)].any(axis=0)
            out.append(int(self.blocks[used].sum()))
        return np.array(out, dtype=np.int64) + self._overheads(len(stages))

    def of_units(self, rows: NDArray[np.int64]) -> CostModel:
        """The costs of these units only. rows : int64 [n] positions among the units."""
        return self if self.per_unit is None else replace(self, per_unit=self.per_unit[:, rows])

    def of(self, sets: Sequence[Sequence[int]]) -> CostModel:
        """The cost model of tiers: entry i is the cost of running all models of sets[i] together."""
        if self.per_unit is not None:
            return replace(
                self, per_unit=np.stack(list(map(self._together, sets))), uses=np.zeros((len(sets), 0), dtype=bool)
            )
        if self.parallel:  # a block for each tier
            dearest = np.array([self._alone()[list(models)].max() for models in sets], np.int64)
            return replace(self, blocks=dearest, uses=np.eye(len(sets), dtype=bool))
        return replace(self, uses=np.array([self.uses[list(models)].any(axis=0) for models in sets], dtype=bool))

    def _together(self, models: Sequence[int]) -> NDArray[np.int64]:
        """int64 [N]: the cost of one stage of these models, which varies per unit."""
        assert self.per_unit is not None
        fees = self.per_unit[list(models)] - self.stage
        return np.asarray(fees.max(axis=0) if self.parallel else fees.sum(axis=0)) + self.stage

    def _alone(self) -> NDArray[np.int64]:
        """int64 [M]: the cost of each model without that of a stage, the same for every unit."""
        return np.asarray(self.uses @ self.blocks)

    def _overheads(self, stages: int) -> NDArray[np.int64]:
        """int64 [K]: what the first 1..K stages cost beside their members."""
        return self.stage * np.arange(1, stages + 1)

    def finer(self, amount: float | Fraction, units: int) -> CostModel:
        """The same costs in a unit of which `amount` is a whole multiple, so that sums over N units with it are
        exact."""
        exact, unit = exactly(amount), self.unit
        common = math.gcd(exact.numerator * unit.denominator, unit.numerator * exact.denominator)
        finest = Fraction(common, exact.denominator * unit.denominator)
        if finest == unit:
            return self
        times = int(unit / finest)
        dearest = self.blocks if self.per_unit is None else self.per_unit.max(axis=1, initial=0)
        most = int(dearest.sum()) + self.stage * len(self.uses)
        if (most * times + int(exact / finest)) * units >= INT64_SAFE:
            raise CostError(
                f"{float(amount)!r} {self.name} beside the costs of the models spans too many digits; round it"
            )
        per_unit = None if self.per_unit is None else self.per_unit * times
        return replace(self, unit=finest, blocks=self.blocks * times, per_unit=per_unit, stage=self.stage * times)

    def coarser(self, shift: int) -> CostModel:
        """The same costs divided by 2**shift and rounded down, in the same unit."""
        per_unit = None if self.per_unit is None else self.per_unit >> shift
        return replace(self, blocks=self.blocks >> shift, per_unit=per_unit, stage=self.stage >> shift)

    def integer(self, amount: float) -> int:
        """The integer cost of a true one, which is a whole multiple of the unit (see `finer`)."""
        number = exactly(amount) / self.unit
        assert number.denominator == 1, f"{amount!r} {self.name} is no multiple of the unit {self.unit}"
        return int(number)

    def true(self, total: int, count: int = 1) -> float:
        """True average cost of `count` units whose integer costs sum to `total`."""
        return int(total) * self.unit.numerator / (self.unit.denominator * count)  # rounded once, like a Fraction

    def ceiling(self, limit: float, count: int = 1) -> int:
        """Largest integer total over `count` units whose true average does not exceed `limit`."""
        return math.floor(Fraction(Decimal(repr(limit))) * count / self.unit)


def exactly(amount: float | Fraction) -> Fraction:
    """The number as it is written in decimals."""
    return amount if isinstance(amount, Fraction) else Fraction(Decimal(repr(amount)))


def fixed_point(values: Sequence[int | float], headroom: int = 1) -> tuple[list[int], Fraction]:
    """Integers and a unit with values = integers * unit, exact unless sum(values) * headroom / unit would pass int64.

    >>> fixed_point([0.0005, 0.0015])
    ([1, 3], Fraction(1, 2000))
    """
    exact = [Decimal(repr(v)) if isinstance(v, float) else Decimal(int(v)) for v in values]
    digits = max((-int(d.normalize().as_tuple().exponent) for d in exact), default=0)
    digits = max(0, digits)
    fractions = [Fraction(d) for d in exact]
    while True:
        integers = [round(f * 10**digits) for f in fractions]
        divisor = math.gcd(*integers) or 1
        integers = [i // divisor for i in integers]
        if sum(integers) * headroom < INT64_SAFE:
            break
        if digits == 0:
            raise CostError(
                f"costs up to {max(values):.3g} over {headroom} units do not fit exact 64-bit sums; use a larger unit"
            )
        digits -= 1
    if any(f > 0 and i == 0 for f, i in zip(fractions, integers, strict=True)):
        raise CostError(f"costs from {min(values):.3g} to {max(values):.3g} span too many digits for exact sums")
    return integers, Fraction(divisor, 10**digits)


def cost_model(
    cards: Sequence[ModelCard],
    name: str,
    units: int,
    per_unit: Mapping[str, NDArray[np.float64]] | None = None,
    *,
    stage: float = 0,
) -> CostModel:
    """The cost `name` of these cards, over `units` units.

    per_unit : {model: float64 [N]} for models whose cost varies per unit. 'flops' is the union of blocks; any other
    cost is on the cards and adds up over members. stage : cost of every stage beside its members.
    """
    given = per_unit or {}
    table = [block_costs(card, name, given.get(card.model)) for card in cards]
    if absent := [card.model for card, charges in zip(cards, table, strict=True) if charges == {}]:
        have = ", ".join(sorted(cost_names(cards))) or "none"
        raise CostError(
            f"{absent[0]} has no cost {name!r}; costs in this pool: {have}. "
            f"Choose one with {option('cost')}, or add the column with `wisecommittee import --costs models.csv`"
        )
    if None in table:
        rows = [
            given[card.model] if charges is None else np.full(units, float(sum(charges.values())))
            for card, charges in zip(cards, table, strict=True)
        ]
        matrix = np.stack(rows)
        if not np.isfinite(matrix).all() or (matrix < 0).any():
            raise CostError(f"cost {name!r} varies per unit and holds negative or non-finite values")
        distinct, inverse = np.unique(matrix, return_inverse=True)
        dearest = float((matrix + stage).max(axis=1).sum()) / max(float(distinct.sum() + stage), 1e-300)
        overheads = [stage] if stage else []
        integers, unit = fixed_point(distinct.tolist() + overheads, headroom=max(1, math.ceil(units * dearest)))
        overhead = integers[-1] if stage else 0
        counted = np.array(integers, dtype=np.int64)[inverse.reshape(matrix.shape)] + overhead
        none = np.zeros(0, dtype=np.int64)
        return CostModel(name, unit, none, np.zeros((len(cards), 0), dtype=bool), counted, stage=overhead)
    return of_blocks(name, [charges or {} for charges in table], units, stage)


def block_costs(
    card: ModelCard, name: str, per_unit: NDArray[np.float64] | None = None
) -> Mapping[str, int | float] | None:
    """{block: cost} of a model: a block that several models run is charged once. None where the cost varies per unit,
    {} where the card does not have that cost.

    per_unit : float64 [N], the cost of each unit. A column that is constant over units is a cost of the model, such as
    the price of a call.
    """
    if per_unit is not None:
        constant = len(per_unit) > 0 and np.ptp(per_unit) == 0
        return {f"{card.model}\0{name}": float(per_unit[0])} if constant else None
    if name == "flops":
        return card.blocks
    return {f"{model}\0{name}": value for model, value in _shares(card, name).items()} if name in card.costs else {}


def of_blocks(name: str, table: Sequence[Mapping[str, int | float]], units: int, stage: float = 0) -> CostModel:
    """The cost model of models that run these blocks, {block: cost} for each model, over `units` units.

    stage : cost of every stage beside its members
    """
    ids: dict[str, int | float] = {}
    for costs in table:
        for block, value in costs.items():
            if ids.setdefault(block, value) != value:
                model, _, cost = block.partition("\0")
                subject, remedy = (
                    (f"{name} of {model}", "import the cost file again") if cost else (f"block {block!r}", "")
                )
                raise CostError(
                    f"{subject} costs {ids[block]} in one card and {value} in another; {remedy or 'give it two ids'}"
                )
    names = list(ids)
    overheads = [stage] * len(table) if stage else []  # a committee has at most as many stages as there are models
    integers, unit = fixed_point([*ids.values(), *overheads], headroom=units)
    uses = np.array([[block in costs for block in names] for costs in table], dtype=bool)
    overhead = integers[-1] if stage else 0
    return CostModel(name, unit, np.array(integers[: len(names)], dtype=np.int64), uses, stage=overhead)


def cost_names(cards: Sequence[ModelCard]) -> set[str]:
    """Names of all costs on these cards, constant or per unit."""
    known: set[str] = set()
    for card in cards:
        known |= set(card.costs) | ({"flops"} if card.blocks else set())
        known |= set(card.contents.unit_costs) if isinstance(card, StoredCard) else set()
    return known


def default_cost(cards: Sequence[ModelCard]) -> str:
    """The cost to use if none is named: the only cost on these cards, else FLOPs."""
    known = cost_names(cards)
    return known.pop() if len(known) == 1 else "flops"


def common_costs(cards: Sequence[StoredCard]) -> tuple[str, ...]:
    """Names of the costs that every card has, the same for every unit or not."""
    return tuple(sorted(set.intersection(*(cost_names([card]) for card in cards))))


def _shares(card: ModelCard, name: str) -> Mapping[str, int | float]:
    """{model: cost} of the models behind a card; a card of cell counts stands for several models."""
    if len(card.members) == 1:
        return {card.model: card.costs[name]}
    return {model: costs[name] for model, costs in card.meta["members"].items()}

"""How much work an exhaustive search would be, counted without listing a single combination."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from wisecommittee.committees.cards import StoredCard
from wisecommittee.committees.families.chains import Chain
from wisecommittee.committees.families.family import Family

MOST_SECONDS = 3600.0  # CPU seconds of one thread; for longer searches, auto takes the beam
MOST_COMBINATIONS = 20_000_000  # they are listed in memory
MOST_MEMORY = 0.7  # share of this machine's memory

# CPU seconds, measured by `python -m benchmarks grid tables large large32 five` and rounded up; they choose a method,
# nothing else.
PER_VECTOR = 3e-11
PER_SHARED_THRESHOLD = 2e-8
PER_UNIT_AND_COMBINATION = 3e-9
PER_EARLIER_LEVEL = 1e-5  # per combination and level of the stages before the last four, which are taken one by one
PER_UNIT_AND_PREFIX, PER_UNIT_PREFIX_AND_CLASS = 2e-8, 1e-10


@dataclass(frozen=True, slots=True)
class Estimate:
    """combinations, vectors, prefixes : counts; memory : bytes; cpu_seconds : of one thread."""

    combinations: int
    vectors: int
    prefixes: int
    memory: int
    cpu_seconds: float

    def fits(self, threads: int) -> bool:
        return (
            self.combinations <= MOST_COMBINATIONS
            and self.memory <= MOST_MEMORY * machine_memory()
            and self.cpu_seconds <= MOST_SECONDS * threads
        )

    def __str__(self) -> str:
        return (
            f"{_count(self.combinations)} combinations, {_count(self.vectors)} threshold vectors, about "
            f"{_duration(self.cpu_seconds)} of CPU time and {_size(self.memory)}"
        )


def machine_memory() -> int:
    """Bytes of this machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def table_memory(prefixes: int, scored: int, units: int, *, exact: bool = False, graded: bool = False) -> int:
    """Bytes of the stage tables and of the arrays made from them: for each prefix and unit a bit, or a prediction and a
    statistic if units are graded; a float32 and a bin for each confidence; in exact mode also the distinct confidences,
    their numbers and tiles."""
    return units * prefixes * (64 if graded else 1) // 8 + units * (16 if exact else 6) * scored


def estimate(
    cards: Sequence[StoredCard],
    units: int,
    family: Family,
    *,
    max_models: int,
    levels: int,
    replicas: str,
    ordered: bool,
    shared: bool = False,
) -> Estimate:
    """The work of an exhaustive search, an upper bound.

    ordered : only the newest member answers, so there is one prefix per model
    shared : one threshold for all stages, tried at every confidence of every compared stage
    """
    sizes = range(1, min(max_models, len(cards)) + 1)
    combinations = count_combinations(cards, sizes, family, replicas)
    if family.chains is None:  # sequences share only their beginnings
        sets, alone = combinations, 0
    else:
        nodes = [_ways(chain)[1] for chain in family.chains(cards, replicas)]
        sets = {n: arrangements(nodes, n, ordered=False) for n in sizes}
        alone = combinations[1] - len(
            family.combinations(cards, 1, replicas)
        )  # models that no longer sequence starts with
    total = sum(combinations.values())
    earlier = 0
    if shared:
        vectors = sum(number * ((n - 1) * units + 1) for n, number in combinations.items())
    else:
        vectors = sum(number * (levels if family.thresholded else 1) ** (n - 1) for n, number in combinations.items())
        if family.thresholded:
            earlier = sum(number * levels ** (n - 4) for n, number in combinations.items() if n > 4)
    prefixes = len(cards) if ordered else sum(sets.values()) + alone
    scored = sum(number for n, number in sets.items() if n < max(sizes, default=1)) if family.thresholded else 0
    classes = max((card.contents.classes or 0 for card in cards), default=0)
    seconds = (
        vectors * (PER_SHARED_THRESHOLD if shared else PER_VECTOR)
        + total * units * PER_UNIT_AND_COMBINATION
        + earlier * PER_EARLIER_LEVEL
        + prefixes * units * (PER_UNIT_AND_PREFIX + classes * PER_UNIT_PREFIX_AND_CLASS)
    )
    listed = 32 * sum(n * number for n, number in combinations.items())
    memory = table_memory(prefixes, min(scored, prefixes), units) + listed
    return Estimate(total, vectors, prefixes, memory, seconds)


def count_combinations(
    cards: Sequence[StoredCard], sizes: Iterable[int], family: Family, replicas: str
) -> dict[int, int]:
    """{stages: how many sequences of so many stages a search tries}, without listing the long ones."""
    if family.chains is None:  # few enough to list
        return {n: len(family.sequences(cards, n, replicas)) for n in sizes}
    walks = [_ways(chain)[0] for chain in family.chains(cards, replicas)]
    return {
        n: arrangements(walks, n, ordered=family.thresholded) if n > 1 else len(family.sequences(cards, n, replicas))
        for n in sizes
    }


def left_out(cards: Sequence[StoredCard], sizes: Iterable[int], family: Family, replicas: str) -> int:
    """How many more combinations replicas='all' would try."""
    sizes = list(sizes)
    every, tried = (count_combinations(cards, sizes, family, which) for which in ("all", replicas))
    return sum(every.values()) - sum(tried.values())


def _ways(chain: Chain) -> tuple[list[int], list[int]]:
    """By number of moves 0, 1, ..: how many walks a chain has, and how many prefixes its walks reach for the first time
    (with the prefixes on the way, which the tables hold too)."""
    at, walks, nodes, furthest = {0: 1}, [], [], 0
    while at:
        walks.append(sum(at.values()))
        nodes.append(max(at) - furthest if walks[1:] else 1)
        furthest = max(furthest, *at)
        later: dict[int, int] = {}
        for before, after in chain.moves:
            if before in at:
                later[after] = later.get(after, 0) + at[before]
        at = later
    return walks, nodes


def arrangements(ways: Sequence[Sequence[int]], size: int, *, ordered: bool) -> int:
    """How many committees of `size` stages there are when chain c serves j of them in ways[c][j] ways; ordered: stages
    of different chains may come in any order.

    The coefficient of x^size in the product of sum_j ways[c][j] x^j (/ j! where ordered, times size!).

    >>> eight_with_four_replicas = [[1, 1, 1, 1, 1]] * 8
    >>> [arrangements(eight_with_four_replicas, 4, ordered=ordered) for ordered in (True, False)]
    [4096, 330]
    """
    coefficients = [Fraction(1)] + [Fraction(0)] * size
    for of_chain in ways:
        factor = [Fraction(w, math.factorial(j) if ordered else 1) for j, w in enumerate(of_chain[: size + 1])]
        coefficients = [
            sum((coefficients[n - j] * factor[j] for j in range(min(n, len(factor) - 1) + 1)), Fraction(0))
            for n in range(size + 1)
        ]
    return int(coefficients[size] * (math.factorial(size) if ordered else 1))


def _count(number: int) -> str:
    return f"{number:,}" if number < 1e7 else f"{number:.2g}"


def _size(memory: float) -> str:
    return f"{memory / 1e9:.2g} GB" if memory >= 1e8 else f"{memory / 1e6:.2g} MB"


def _duration(seconds: float) -> str:
    for size, name in ((86400.0, "days"), (3600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {name}"
    return f"{seconds:.2g} s"

"""The chains of stages that are tried: all of a small pool; of a large pool those that thresholds favour."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from wisecommittee.searches.strategies.exhaustive import EXHAUSTIVE
from wisecommittee.searches.strategies.large_pools import BEAM
from wisecommittee.searches.strategies.problem import Problem

MOST_CHAINS = 400  # of a pool whose chains are all tried: five models have 325
Chain = tuple[int, ...]  # tiers of the pool, in the order in which they run


class Chains(NamedTuple):
    """every : the chains to try. favoured : the chains of these that may cost more time. complete : whether `every` is
    all there are within the worst case."""

    every: list[Chain]
    favoured: list[Chain]
    complete: bool


def chains_of(problem: Problem) -> Chains:
    """The chains to try.

    Of a large pool these are the chains on the frontier of thresholds and their beginnings, which are favoured, and
    every chain of the same tiers that differs from one of them by one stage: removed, added, or replaced.
    """
    listable = problem.estimate.fits(problem.execution.thread_count)
    every = [tuple(row) for c in problem.candidates() for row in c.sequences.tolist()] if listable else []
    if listable and len(every) <= MOST_CHAINS:
        return Chains(every, every, complete=True)
    quiet = replace(problem, execution=replace(problem.execution, progress=None, notify=None))
    points = (EXHAUSTIVE if listable else BEAM).run(quiet).points
    favoured = {sequence[:size] for sequence, _ in points for size in range(1, len(sequence) + 1)}
    near = neighbours(favoured) & set(every)
    return Chains(sorted(favoured | near), sorted(favoured), complete=False)


def neighbours(chains: Iterable[Chain]) -> set[Chain]:
    """The sequences of these chains' tiers that differ from one of them by one stage."""
    chains = list(chains)
    tiers = sorted({tier for chain in chains for tier in chain})
    out: set[Chain] = set()
    for chain in chains:
        for at in range(len(chain) + 1):
            out |= {(*chain[:at], tier, *chain[at:]) for tier in tiers}
            out |= {(*chain[:at], tier, *chain[at + 1 :]) for tier in tiers}
            out.add((*chain[:at], *chain[at + 1 :]))
    return out - {()}

"""Schedules of groups: the number of nodes of each block, and the nodes that a leaf passes through."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from wisecommittee.errors import UnknownNameError, UsageError

SCHEDULES = ("tree", "independent", "multi-branch")


def group_schedule(name: str, leaves: int, blocks: int) -> tuple[int, ...]:
    """Nodes of each block. 'tree' doubles them from block to block until there are as many as leaves; 'multi-branch'
    shares all blocks but the last two."""
    if leaves < 1:
        raise UsageError(f"{leaves} leaves; expected at least 1")
    if name == "independent":
        return (leaves,) * blocks
    if name == "multi-branch":
        return (1,) * (blocks - 2) + (leaves,) * 2
    if name != "tree":
        raise UnknownNameError("schedule", name, SCHEDULES)
    most = 2 ** (blocks - 1)
    if leaves & (leaves - 1) or leaves > most:
        raise UsageError(f"{leaves} leaves: a tree of {blocks} blocks has a power of two of them, up to {most}")
    return tuple(min(2**block, leaves) for block in range(blocks))


@dataclass(frozen=True, slots=True)
class Tree:
    """A subset of the leaves of a schedule and the nodes they pass through.

    groups : nodes of each block in the whole; leaves : ascending, of 0..N-1.
    """

    groups: tuple[int, ...]
    leaves: tuple[int, ...]

    @classmethod
    def whole(cls, groups: Sequence[int]) -> Tree:
        groups = tuple(groups)
        if not groups or groups[0] < 1 or any(b % a for a, b in itertools.pairwise(groups)):
            raise UsageError(f"groups {list(groups)}: expected each a multiple of the one before it")
        return cls(groups, tuple(range(groups[-1])))

    def part(self, leaves: Iterable[int]) -> Tree:
        """The sub-tree of these leaves."""
        chosen = tuple(sorted(set(leaves)))
        if not chosen or not set(chosen) <= set(self.leaves):
            raise UsageError(f"leaves {list(chosen)}: expected leaves of {list(self.leaves)}")
        return Tree(self.groups, chosen)

    def nodes(self, block: int) -> tuple[int, ...]:
        """The nodes of a block that the leaves pass through, ascending."""
        per_node = self.groups[-1] // self.groups[block]
        return tuple(sorted({leaf // per_node for leaf in self.leaves}))

    def parents(self, block: int) -> tuple[int, ...]:
        """For each of `nodes(block)`, the index of its parent in `nodes(block - 1)`."""
        if block == 0:
            return (0,) * len(self.nodes(0))
        index_of = {node: i for i, node in enumerate(self.nodes(block - 1))}
        return tuple(index_of[node * self.groups[block - 1] // self.groups[block]] for node in self.nodes(block))

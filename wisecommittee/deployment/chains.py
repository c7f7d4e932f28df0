"""Modules as chains of blocks, and the blocks that several members begin with.

The leaves of a hierarchical neural ensemble and the exits of an early-exit network begin with the same blocks: these
run once for each unit (Ruiz and Verbeek 2021, Sec. 3.1). A module is a chain if it is an `nn.Sequential`, or if it has
a method `chain` that returns modules whose composition it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from wisecommittee.extraction.models.loaded import LoadedModel

CONTENTS = ("_parameters", "_buffers", "_modules")
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


@dataclass(frozen=True, slots=True)
class Chain:
    """A member as a chain of blocks.

    Parameters
    ----------
    blocks : tuple of modules
        Their composition is the member's module.
    numbers : tuple of int
        One for each block. Two members have the same number at the same place if and only if they take the same inputs
        and all their blocks up to there are equal.
    shared : frozenset of int
        The numbers of the last blocks that this member and another one have in common.
    """

    blocks: tuple[nn.Module, ...]
    numbers: tuple[int, ...]
    shared: frozenset[int]

    def divided(self, earlier: Iterable[Chain]) -> tuple[nn.Sequential, nn.Sequential]:
        """The blocks that one of the earlier members has run too, and the other blocks."""
        common = max((shared_blocks(self.numbers, other.numbers) for other in earlier), default=0)
        return nn.Sequential(*self.blocks[:common]), nn.Sequential(*self.blocks[common:])


def chains_of(models: Mapping[str, LoadedModel]) -> dict[str, Chain]:
    """{member: its chain} of the members that begin with the same blocks as another one."""
    blocks = {name: found for name, model in models.items() if len(found := blocks_of(model.module)) > 1}
    after: dict[tuple[Any, int], list[tuple[nn.Module, int]]] = {}  # {(inputs, number): blocks that follow}
    numbers: dict[str, tuple[int, ...]] = {}
    total = 0
    for name, chain in blocks.items():
        path, before = list[int](), -1
        for block in chain:
            following = after.setdefault((models[name].preprocess_key if before < 0 else None, before), [])
            number = next((n for other, n in following if equal_modules(block, other)), total)
            if number == total:
                following.append((block, total))
                total += 1
            path.append(number)
            before = number
        numbers[name] = tuple(path)
    shared = {
        name: frozenset(
            own[common - 1]
            for other, others in numbers.items()
            if other != name and _has_weights(blocks[name][: (common := shared_blocks(own, others))])
        )
        for name, own in numbers.items()
    }
    return {name: Chain(blocks[name], numbers[name], shared[name]) for name in blocks if shared[name]}


def _has_weights(blocks: Sequence[nn.Module]) -> bool:
    return any(True for block in blocks for _ in block.parameters())


def shared_blocks(own: Sequence[int], others: Sequence[int]) -> int:
    """How many blocks two paths begin with in common."""
    return next((k for k, (a, b) in enumerate(zip(own, others, strict=False)) if a != b), min(len(own), len(others)))


def blocks_of(module: nn.Module) -> tuple[nn.Module, ...]:
    """The modules whose composition a module is; the module itself if it is no chain."""
    if any(getattr(module, hooks, None) for hooks in HOOKS):
        return (module,)
    if callable(chain := getattr(module, "chain", None)):
        children = list(chain())
        if children == [module]:
            return (module,)
    elif isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward:
        children = list(module)
    else:
        return (module,)
    return tuple(block for child in children for block in blocks_of(child))


def equal_modules(one: nn.Module, other: nn.Module) -> bool:
    """Whether two modules compute the same: the same class with equal attributes and weights, or the same object."""
    if one is other:
        return True
    if type(one) is not type(other) or isinstance(one, torch.jit.ScriptModule):
        return False
    mine, theirs = vars(one), vars(other)
    if mine.keys() != theirs.keys():
        return False
    plain = (name for name in mine if name not in CONTENTS)
    if not all(_equal_values(mine[name], theirs[name]) for name in plain):
        return False
    for kind in CONTENTS:
        if mine[kind].keys() != theirs[kind].keys():
            return False
        if not all(_equal_values(value, theirs[kind][name]) for name, value in mine[kind].items()):
            return False
    return True


def _equal_values(one: Any, other: Any) -> bool:
    if one is other:
        return True
    if isinstance(one, nn.Module):
        return isinstance(other, nn.Module) and equal_modules(one, other)
    if isinstance(one, torch.Tensor):
        same = isinstance(other, torch.Tensor) and (one.dtype, one.shape, one.device) == (
            other.dtype, other.shape, other.device
        )  # fmt: skip
        return same and bool(torch.equal(one, other))
    if isinstance(one, (list, tuple)):
        return type(one) is type(other) and len(one) == len(other) and all(map(_equal_values, one, other))
    if isinstance(one, dict):
        return type(one) is type(other) and one.keys() == other.keys() and all(
            _equal_values(value, other[name]) for name, value in one.items()
        )  # fmt: skip
    plain = (bool, int, float, str, type(None), set, frozenset)
    return isinstance(one, plain) and type(one) is type(other) and bool(one == other)

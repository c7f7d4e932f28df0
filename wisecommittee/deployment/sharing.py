"""Members that begin with the same blocks: each block runs once for each unit, and what it gave is kept for others."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from wisecommittee.deployment.chains import Chain
from wisecommittee.deployment.units import Picked, Units
from wisecommittee.extraction.models.loaded import LoadedModel
from wisecommittee.extraction.run.forward import Forward


@dataclass(frozen=True, slots=True)
class SharingMember:
    """A member that begins with the same blocks as another one.

    forward : of the whole module; blocks that other members run too are taken from, and kept in, the units.
    """

    model: LoadedModel
    forward: Forward
    chain: Chain

    def __call__(self, units: Units) -> NDArray[np.float32]:
        """The outputs [n, C] for all units."""
        done = max((k for k, n in enumerate(self.chain.numbers) if n in units.activations), default=-1)
        inputs = units.of(self.model) if done < 0 else units.activations[self.chain.numbers[done]].get()
        rest = _Rest(self.chain, done + 1)
        forward = copy(self.forward)
        forward.module = rest
        outputs = forward(inputs)
        self.forward.at_once = forward.at_once
        units.activations.update(rest.whole(len(units)))
        return outputs


class _Rest(nn.Module):
    """The blocks of a chain from one of them on. Keeps what the blocks give that other members run too: copies, because
    a block may change its input in place."""

    def __init__(self, chain: Chain, start: int) -> None:
        super().__init__()
        self.start, self.blocks = start, nn.ModuleList(chain.blocks[start:])
        self.numbers, self.shared = chain.numbers[start:], chain.shared
        self.kept: dict[int, list[torch.Tensor]] = {}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        units, kept = len(x), {}
        x = x.clone() if self.start else x
        for block, number in zip(self.blocks, self.numbers, strict=True):
            x = block(x)
            if number in self.shared and isinstance(x, torch.Tensor) and x.ndim and len(x) == units:
                kept[number] = x.clone()
        for number, given in kept.items():  # a pass that runs out of memory keeps nothing
            self.kept.setdefault(number, []).append(given)
        return x

    def whole(self, units: int) -> dict[int, Picked]:
        """{number: activations of all units}"""
        joined = {n: parts[0] if len(parts) == 1 else torch.cat(parts) for n, parts in self.kept.items()}
        return {number: Picked(given) for number, given in joined.items() if len(given) == units}

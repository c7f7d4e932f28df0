"""One model trained by several processes: each takes a share of every minibatch, gradients are averaged over all units.

Under torchrun every rank makes the same call, and methods need no code for it. Batch normalisation uses the units of
its own rank, as usual; the statistics of rank 0 are kept.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, distributed, nn
from torch.optim import Optimizer

from wisecommittee.extraction.run.ranks import connected, find_ranks


@dataclass(frozen=True, slots=True)
class TrainingRanks:
    """This process's rank and the number of ranks that train the same model."""

    rank: int = 0
    count: int = 1

    def read(self, file: Path) -> bytes | None:
        """The bytes that rank 0 reads from a file, None if there is no file; other ranks need no access to its disk."""
        contents = [file.read_bytes() if self.rank == 0 and file.exists() else None]
        if self.count > 1:
            distributed.broadcast_object_list(contents, src=0)
        return contents[0]

    def equalise(self, modules: Iterable[nn.Module]) -> None:
        """Parameters and buffers as rank 0 has them."""
        if self.count == 1:
            return
        with torch.no_grad():
            for module in modules:
                for tensor in (*module.parameters(), *module.buffers()):
                    distributed.broadcast(tensor, src=0)

    def average_gradients(self, optimizers: Iterable[Optimizer], units: int) -> None:
        """Turn gradients of the mean loss over this rank's `units` into those of the mean over all ranks' units."""
        if self.count == 1:
            return
        parameters = [p for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]]
        device = parameters[0].device
        used = torch.tensor([p.grad is not None for p in parameters], device=device)
        counts = torch.cat([torch.tensor([units], device=device), used]).float()
        distributed.all_reduce(counts)
        share = units / counts[0]
        for parameter, ranks_with_gradient in zip(parameters, counts[1:].tolist(), strict=True):
            if not ranks_with_gradient:
                continue  # no loss reaches it: without a gradient it does not decay either
            gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad * share
            distributed.all_reduce(gradient)
            parameter.grad = gradient

    def total(self, sums: dict[str, Tensor], units: int, device: torch.device) -> tuple[dict[str, float], int]:
        """(sums, number of units) over all ranks."""
        if self.count == 1:
            return {name: float(value) for name, value in sums.items()}, units
        every: list[dict[str, float] | None] = [None] * self.count
        distributed.all_gather_object(every, {"": float(units), **{name: float(v) for name, v in sums.items()}})
        known = [sums_of_rank for sums_of_rank in every if sums_of_rank is not None]
        names = {name for sums_of_rank in known for name in sums_of_rank}
        added = {name: sum(sums_of_rank.get(name, 0.0) for sums_of_rank in known) for name in sorted(names)}
        return {name: value for name, value in added.items() if name}, int(added[""])


@contextlib.contextmanager
def replicas(device: torch.device) -> Iterator[TrainingRanks]:
    """The ranks during a training; connects the processes if they are not connected."""
    ranks = find_ranks()
    if ranks.count == 1:
        yield TrainingRanks()
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    with connected(ranks, "nccl" if device.type == "cuda" else "gloo"):
        yield TrainingRanks(ranks.rank, ranks.count)

"""A hierarchical neural ensemble of 16 leaves (HNE_small): a training step and inference, against other ways to run the
same. On a GPU where there is one (wall time), else on one core (CPU time)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from wisecommittee.train.hne_designs import DESIGNS
from wisecommittee.train.hne_losses import LeafLoss
from wisecommittee.train.hne_nets import LeafNet
from wisecommittee.train.hne_tree import Tree, group_schedule

DESIGN, LEAVES, CLASSES = "hne-small", 16, 10
CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
BATCH, REPEATS = (128, 20) if CUDA else (16, 4)


def net(schedule: str, leaves: int = LEAVES) -> LeafNet:
    torch.manual_seed(0)
    groups = group_schedule(schedule, leaves, DESIGNS[DESIGN].depth)
    return LeafNet(DESIGN, Tree.whole(groups), CLASSES).to(DEVICE)


class ByMatrices(nn.Conv2d):
    """A 1x1 convolution in groups as a batched product of matrices."""

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :, :: self.stride[0], :: self.stride[1]]
        weights = self.weight.view(self.groups, self.out_channels // self.groups, -1)
        return (weights @ x.flatten(2).unflatten(1, (self.groups, -1))).flatten(1, 2).unflatten(2, x.shape[2:])


def by_matrices(made: LeafNet) -> LeafNet:
    for module in made.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1):
            module.__class__ = ByMatrices
    return made


def least(actions: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Seconds of each; they take turns, so that a busy machine slows all."""
    clock = time.perf_counter if CUDA else time.process_time
    found = dict.fromkeys(actions, float("inf"))
    for _ in range(REPEATS + 1):  # the first is a rehearsal that never is the least
        for name, action in actions.items():
            started = clock()
            action()
            if CUDA:
                torch.cuda.synchronize()
            found[name] = min(found[name], clock() - started)
    return found


def steps(images: Tensor, labels: Tensor) -> dict[str, Callable[[], object]]:
    loss = LeafLoss()
    tree, matrices, grouped = net("tree"), by_matrices(net("tree")), net("independent")
    alone = [net("tree", 1) for _ in range(LEAVES)]

    def one_after_another() -> None:
        for single in alone:
            functional.cross_entropy(single(images)[:, 0], labels).backward()

    def together(made: LeafNet) -> Callable[[], object]:
        return lambda: loss(made(images), labels).backward()

    return {
        "ours": together(tree),
        "its 1x1 convolutions as products of matrices": together(matrices),
        "16 independent networks, as groups": together(grouped),
        "16 independent networks, one after another": one_after_another,
    }


def inference(images: Tensor) -> dict[str, Callable[[], object]]:
    tree = net("tree").eval()
    leaves = [tree.part([leaf]) for leaf in range(LEAVES)]
    matrices = by_matrices(net("tree").eval())
    return {
        "ours": lambda: tree(images),
        "its 1x1 convolutions as products of matrices": lambda: matrices(images),
        "leaf by leaf": lambda: [leaf(images) for leaf in leaves],
    }


def run() -> list[dict]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        images = torch.randn(BATCH, *DESIGNS[DESIGN].shape, device=DEVICE)
        labels = torch.arange(BATCH, device=DEVICE) % CLASSES
        found = {"training step": least(steps(images, labels))}
        with torch.inference_mode():
            found["inference"] = least(inference(images))
    finally:
        torch.set_num_threads(threads)
    where = torch.cuda.get_device_name() if CUDA else "CPU"
    return [
        {
            "benchmark": f"{DESIGN}, {LEAVES} leaves, {what}, {BATCH} images, {where}",
            "seconds" if CUDA else "cpu_seconds": round(seconds["ours"], 4),
            "opponent": opponent,
            "opponent_seconds": round(other, 4),
            "ratio": round(other / seconds["ours"], 2),
        }
        for what, seconds in found.items()
        for opponent, other in seconds.items()
        if opponent != "ours"
    ]


if __name__ == "__main__":
    for line in run():
        print(json.dumps(line))

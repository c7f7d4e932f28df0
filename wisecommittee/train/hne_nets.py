"""Networks that share their early blocks (Ruiz and Verbeek 2021): a schedule of groups, and blocks to put on it.

Block b = 0..B has G_b nodes with weights of their own; leaf n of N = G_B passes through node n G_b // N of each. A tree
is (1, 2, 4, 8, 16), independent networks (16,) * 5, a multi-branch network (1, 1, 1, 16, 16). All nodes of a block run
at once, as the groups of one convolution: activations are [n, G_b * channels, height, width], a node's channels
together. Nodes differ in their initial weights only.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from wisecommittee.errors import ContentError, UnknownNameError, UsageError
from wisecommittee.extraction.models.macs import count_macs, meta_copy

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
    """Some leaves of a schedule and the nodes they pass through.

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
            raise UsageError(f"leaves {list(chosen)}: expected some of {list(self.leaves)}")
        return Tree(self.groups, chosen)

    def nodes(self, block: int) -> tuple[int, ...]:
        """The nodes of a block that the leaves pass through, ascending."""
        per_node = self.groups[-1] // self.groups[block]
        return tuple(sorted({leaf // per_node for leaf in self.leaves}))

    def parents(self, block: int) -> tuple[int, ...]:
        """For each of `nodes(block)` the place of the node it follows among those of the block before."""
        if block == 0:
            return (0,) * len(self.nodes(0))
        place = {node: i for i, node in enumerate(self.nodes(block - 1))}
        return tuple(place[node * self.groups[block - 1] // self.groups[block]] for node in self.nodes(block))


# Layers. `nodes` run at once; channels are those of one node.


def conv(nodes: int, inputs: int, outputs: int, kernel: int, stride: int = 1, *, depthwise: bool = False) -> nn.Conv2d:
    groups = nodes * inputs if depthwise else nodes
    return nn.Conv2d(nodes * inputs, nodes * outputs, kernel, stride, kernel // 2, groups=groups, bias=False)


def unit(
    nodes: int, inputs: int, outputs: int, kernel: int, stride: int = 1, *, depthwise: bool = False, six: bool = False
) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU (ReLU6 with six)."""
    activation = nn.ReLU6(inplace=True) if six else nn.ReLU(inplace=True)
    return nn.Sequential(
        conv(nodes, inputs, outputs, kernel, stride, depthwise=depthwise), nn.BatchNorm2d(nodes * outputs), activation
    )


class Bottleneck(nn.Module):
    """1x1, depthwise 3x3, 1x1 at a quarter of the output's width, beside a shortcut (Fig. 7). With `projected` the
    shortcut is a 1x1 convolution: the first layer after a branching."""

    def __init__(self, nodes: int, inputs: int, outputs: int, stride: int = 1, *, projected: bool = False) -> None:
        super().__init__()
        inner = outputs // 4
        self.inner = nn.Sequential(
            unit(nodes, inputs, inner, 1),
            unit(nodes, inner, inner, 3, stride, depthwise=True),
            conv(nodes, inner, outputs, 1),
            nn.BatchNorm2d(nodes * outputs),
        )
        self.shortcut = (
            nn.Sequential(conv(nodes, inputs, outputs, 1, stride), nn.BatchNorm2d(nodes * outputs))
            if projected
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.inner(x) + self.shortcut(x))


class Inverted(nn.Module):
    """MobileNetV2's layer: 1x1 to six times the width, depthwise 3x3, 1x1; added to its input where shapes allow."""

    def __init__(self, nodes: int, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        wide = 6 * inputs
        self.residual = stride == 1 and inputs == outputs
        self.inner = nn.Sequential(
            unit(nodes, inputs, wide, 1, six=True),
            unit(nodes, wide, wide, 3, stride, depthwise=True, six=True),
            conv(nodes, wide, outputs, 1),
            nn.BatchNorm2d(nodes * outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        inner: Tensor = self.inner(x)
        return x + inner if self.residual else inner


class Wide(nn.Module):
    """Wide ResNet's layer (Zagoruyko and Komodakis 2016): normalised and rectified before each of two 3x3."""

    def __init__(self, nodes: int, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.before = nn.Sequential(nn.BatchNorm2d(nodes * inputs), nn.ReLU())
        self.inner = nn.Sequential(unit(nodes, inputs, outputs, 3, stride), conv(nodes, outputs, outputs, 3))
        self.shortcut = None if inputs == outputs and stride == 1 else conv(nodes, inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        ready = self.before(x)
        inner: Tensor = self.inner(ready)
        return inner + (x if self.shortcut is None else self.shortcut(ready))


class Head(nn.Module):
    """Mean over positions, then linear layers of each node: [n, nodes * widths[0], h, w] -> [n, nodes, widths[-1]].
    ReLU6 between layers."""

    def __init__(self, nodes: int, *widths: int) -> None:
        super().__init__()
        self.nodes = nodes
        pairs = list(itertools.pairwise(widths))
        self.weights = nn.ParameterList(torch.empty(nodes, inputs, outputs) for inputs, outputs in pairs)
        self.biases = nn.ParameterList(torch.zeros(nodes, 1, outputs) for _, outputs in pairs)
        for weight, (inputs, _) in zip(self.weights, pairs, strict=True):
            nn.init.uniform_(weight, -1 / math.sqrt(inputs), 1 / math.sqrt(inputs))

    def forward(self, x: Tensor) -> Tensor:
        x = x.mean(dim=(2, 3)).unflatten(1, (self.nodes, -1)).transpose(0, 1)
        for place, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, nn.functional.relu6(x) if place else x, weight)
        return x.transpose(0, 1)


# Designs


# (nodes of each block, classes) -> the blocks; the last one gives logits [n, nodes, classes]
Blocks = Callable[[Sequence[int], int], list[nn.Module]]


@dataclass(frozen=True, slots=True)
class Design:
    """A network without its schedule. shape : channels, height and width of its images; depth : number of blocks."""

    shape: tuple[int, int, int]
    depth: int
    blocks: Blocks


def _resnet(scale: int) -> Blocks:
    """Table 2: 16 networks of 50 layers; every width divided by `scale`."""
    stem, first, second, third = (width // scale for width in (16, 64, 128, 256))

    def blocks(nodes: Sequence[int], classes: int) -> list[nn.Module]:
        def stage(g: int, inputs: int, outputs: int, stride: int, repeats: int) -> list[nn.Module]:
            branching = Bottleneck(g, inputs, outputs, stride, projected=True)
            return [branching, *(Bottleneck(g, outputs, outputs) for _ in range(repeats))]

        g0, g1, g2, g3, g4 = nodes
        return [
            nn.Sequential(unit(g0, 3, stem, 3), unit(g0, stem, first, 1)),
            nn.Sequential(*stage(g1, first, first, 1, 2)),
            nn.Sequential(*stage(g2, first, second, 2, 3)),
            nn.Sequential(*stage(g3, second, third, 2, 3)),
            nn.Sequential(*stage(g4, third, third, 1, 4), Head(g4, third, classes)),
        ]

    return blocks


def _mobilenet(nodes: Sequence[int], classes: int) -> list[nn.Module]:
    """Table 3: MobileNetV2 of width 1.4. Departs: the printed stride 2 of block 3 is 1, as its resolutions say."""

    def stage(g: int, inputs: int, outputs: int, stride: int) -> list[nn.Module]:
        return [Inverted(g, inputs, outputs, stride), *(Inverted(g, outputs, outputs) for _ in range(2))]

    g0, g1, g2, g3, g4 = nodes
    stem = [unit(g0, 3, 24, 3, 2, six=True), unit(g0, 24, 24, 3, depthwise=True, six=True)]
    return [
        nn.Sequential(*stem, Inverted(g0, 24, 32, 2), Inverted(g0, 32, 32)),
        nn.Sequential(*stage(g1, 32, 48, 2)),
        nn.Sequential(*stage(g2, 48, 88, 2), Inverted(g2, 88, 88)),
        nn.Sequential(*stage(g3, 88, 136, 1)),
        nn.Sequential(*stage(g4, 136, 224, 2), unit(g4, 224, 1344, 1, six=True), Head(g4, 1344, 1792, classes)),
    ]


def _wide_resnet(factor: int) -> Blocks:
    """Wide ResNet 16-factor: the stem and three stages of two layers are the four blocks."""

    def blocks(nodes: Sequence[int], classes: int) -> list[nn.Module]:
        g0, g1, g2, g3 = nodes
        a, b, c = 16 * factor, 32 * factor, 64 * factor
        return [
            conv(g0, 3, 16, 3),
            nn.Sequential(Wide(g1, 16, a), Wide(g1, a, a)),
            nn.Sequential(Wide(g2, a, b, 2), Wide(g2, b, b)),
            nn.Sequential(Wide(g3, b, c, 2), Wide(g3, c, c), nn.BatchNorm2d(g3 * c), nn.ReLU(), Head(g3, c, classes)),
        ]

    return blocks


def _digits(nodes: Sequence[int], classes: int) -> list[nn.Module]:
    """One 3x3 unit per block, at 8x8, 8x8, 4x4 and 2x2."""
    g0, g1, g2, g3 = nodes
    return [
        unit(g0, 1, 8, 3),
        nn.Sequential(unit(g1, 8, 12, 3), nn.MaxPool2d(2)),
        nn.Sequential(unit(g2, 12, 16, 3), nn.MaxPool2d(2)),
        nn.Sequential(unit(g3, 16, 16, 3), Head(g3, 16, classes)),
    ]


DESIGNS = {
    "hne": Design((3, 32, 32), 5, _resnet(1)),
    "hne-small": Design((3, 32, 32), 5, _resnet(2)),
    "hne-mobilenet": Design((3, 224, 224), 5, _mobilenet),
    **{f"wrn16-{k}": Design((3, 32, 32), 4, _wide_resnet(k)) for k in (1, 2, 4, 8)},
    "digits": Design((1, 8, 8), 4, _digits),
}


class LeafNet(nn.Module):
    """Images [n, *shape] -> logits [n, K, classes] of the K leaves of a tree."""

    def __init__(self, design: str, tree: Tree, classes: int) -> None:
        super().__init__()
        if design not in DESIGNS:
            raise UnknownNameError("design", design, DESIGNS)
        self.design, self.tree, self.classes = design, tree, classes
        self.shape = DESIGNS[design].shape
        depth = DESIGNS[design].depth
        if len(tree.groups) != depth:
            raise UsageError(f"groups {list(tree.groups)}: {design} has {depth} blocks, give a number for each")
        self.blocks = nn.ModuleList(DESIGNS[design].blocks([len(tree.nodes(b)) for b in range(depth)], classes))

    def forward(self, images: Tensor) -> Tensor:
        if tuple(images.shape[1:]) != self.shape:
            found, expected = (" x ".join(map(str, shape)) for shape in (images.shape[1:], self.shape))
            raise ContentError(f"{self.design}: images of {found}; expected {expected}")
        x, before = images, 1
        for index, block in enumerate(self.blocks):
            x = _branch(x, before, self.tree.parents(index))
            x, before = block(x), len(self.tree.nodes(index))
        return x

    def part(self, leaves: Iterable[int]) -> LeafNet:
        """The network of some leaves, on a copy of their weights; the first k leaves share them."""
        tree = self.tree.part(leaves)
        with torch.device("meta"):
            net = LeafNet(self.design, tree, self.classes)
        state = {}
        for name, value in self.state_dict().items():
            block = int(name.split(".")[1])
            nodes, kept = self.tree.nodes(block), tree.nodes(block)
            if value.ndim:  # not the count of batches seen
                by_node = value.unflatten(0, (len(nodes), -1))
                first = kept == nodes[: len(kept)]
                value = (by_node[: len(kept)] if first else by_node[[nodes.index(k) for k in kept]]).flatten(0, 1)
            state[name] = value
        net.load_state_dict(state, assign=True)
        return net.train(self.training)

    def block_macs(self) -> list[int]:
        """Multiply-adds of one node of each block."""
        path = meta_copy(self.part(self.tree.leaves[:1]))
        x, macs = torch.empty(1, *self.shape, device="meta"), []
        for block in path.blocks:  # type: ignore[union-attr]
            macs.append(count_macs(block, x, self.design))
            x = block(x)
        return macs


def _branch(x: Tensor, groups: int, parents: Sequence[int]) -> Tensor:
    """[n, groups * c, h, w] -> [n, len(parents) * c, h, w]: of each parent, as often as it has children."""
    if tuple(parents) == tuple(range(groups)):
        return x
    times = len(parents) // groups
    by_node = x.unflatten(1, (groups, 1, -1))
    if tuple(parents) == tuple(i // times for i in range(groups * times)):
        return by_node.expand(-1, -1, times, -1, -1, -1).flatten(1, 3)
    return by_node[:, parents].flatten(1, 3)

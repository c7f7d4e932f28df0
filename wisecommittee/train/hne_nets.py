"""Networks that share their early blocks (Ruiz and Verbeek 2021): a schedule of groups, and blocks to put on it.

Block b = 0..B has G_b nodes with weights of their own; leaf n of N = G_B passes through node n G_b // N of each. A tree
is (1, 2, 4, 8, 16), independent networks (16,) * 5, a multi-branch network (1, 1, 1, 16, 16). All nodes of a block run
at once, as the groups of one convolution: activations are [n, G_b * channels, height, width], a node's channels
together. Nodes differ in their initial weights only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from wisecommittee.errors import ContentError, UnknownNameError, UsageError
from wisecommittee.extraction.models.macs import count_macs, meta_copy
from wisecommittee.train.hne_designs import DESIGNS
from wisecommittee.train.hne_tree import Tree


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
            given, expected = (" x ".join(map(str, shape)) for shape in (images.shape[1:], self.shape))
            raise ContentError(f"{self.design}: images of {given}; expected {expected}")
        x, before = images, 1
        for index, block in enumerate(self.blocks):
            x = _branch(x, before, self.tree.parents(index))
            x, before = block(x), len(self.tree.nodes(index))
        return x

    def chain(self) -> list[nn.Module]:
        """Modules whose composition this network is: its blocks, if it has one leaf."""
        return list(self.blocks) if len(self.tree.leaves) == 1 else [self]

    def part(self, leaves: Iterable[int]) -> LeafNet:
        """The network of these leaves. The first k leaves share the weights of this network, other leaves copy them."""
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

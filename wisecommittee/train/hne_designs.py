"""Designs of networks: the blocks of a network for any number of nodes, without a schedule of groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn

from wisecommittee.train.hne_layers import Bottleneck, Head, Inverted, Wide, conv, unit

# (nodes of each block, classes) -> the blocks; the last one gives logits [n, nodes, classes]
Blocks = Callable[[Sequence[int], int], list[nn.Module]]


@dataclass(frozen=True, slots=True)
class Design:
    """A design of a network. shape : channels, height and width of its images; depth : number of blocks."""

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

"""Layers that run several nodes at once, as the groups of one convolution. Channels are those of one node."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn


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
        for index, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, nn.functional.relu6(x) if index else x, weight)
        return x.transpose(0, 1)

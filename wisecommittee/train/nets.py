"""The networks of the digits pool: a ladder of costs, 640 to 398,208 multiply-adds for one 8 x 8 image.

On noisy digits (see extraction/data/digits.py) accuracy rises with cost, from 83 % (linear/0) to 97 % (conv16/0) on the
600 images of val with seed 0, as `wisecommittee train pool` and then `wisecommittee models` show.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from wisecommittee.errors import UnknownNameError


def linear() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


def mlp(hidden: int = 32) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, 10))


def conv(first: int, second: int, third: int, classes: int = 10, channels: int = 1) -> nn.Sequential:
    """Two 3x3 convolutions at 8x8, one at 4x4, a linear layer on 2x2; images [n, channels, 8, 8] -> [n, classes]."""
    return nn.Sequential(
        *_unit(channels, first),
        *_unit(first, second),
        nn.MaxPool2d(2),
        *_unit(second, third),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(4 * third, classes),
    )


def _unit(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()


NETS: dict[str, Callable[[], nn.Module]] = {
    "linear": linear,
    "mlp": mlp,
    "conv4": lambda: conv(4, 4, 8),
    "conv8": lambda: conv(8, 12, 16),
    "conv16": lambda: conv(16, 24, 48),
}


def build(architecture: str) -> nn.Module:
    if architecture not in NETS:
        raise UnknownNameError("digits architecture", architecture, NETS)
    return NETS[architecture]()

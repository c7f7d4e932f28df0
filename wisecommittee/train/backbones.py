"""Networks from which committees are trained: each is features and one linear layer on top.

CIFAR's ResNets (He et al. 2016: ResNet-32 of Sec. 4.2 with parameter-free shortcuts; ResNet-18 of Table 1 with a 3x3
stem at full resolution and projections), Wide ResNets 16-k (Zagoruyko and Komodakis 2016, without dropout), the
convolutional net of the digits, and any network of the user's that ends in a linear layer.

May be added: a function and its line in BACKBONES.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from wisecommittee.errors import UnknownNameError, UsageError
from wisecommittee.extraction.models.python_code import call, find_object
from wisecommittee.train.nets import conv


class Backbone(nn.Module):
    """body : images [n, C, H, W] -> features [n, width]; head : features -> logits [n, classes]."""

    def __init__(self, body: nn.Module, head: nn.Linear) -> None:
        super().__init__()
        self.body, self.head = body, head

    @property
    def width(self) -> int:
        return self.head.in_features

    @property
    def classes(self) -> int:
        return self.head.out_features

    def features(self, images: Tensor) -> Tensor:
        return cast(Tensor, self.body(images))

    def forward(self, images: Tensor) -> Tensor:
        return cast(Tensor, self.head(self.features(images)))


def build(name: str, classes: int = 10, channels: int = 3) -> Backbone:
    """A new backbone of BACKBONES, or of `package.module:factory`, with weights drawn from torch's generator."""
    if name in BACKBONES:
        return BACKBONES[name](classes, channels)
    if ":" not in name:
        raise UnknownNameError("backbone", name, [*BACKBONES, "package.module:factory"])
    return _from_code(name, classes, channels)


def short_name(name: str) -> str:
    """The backbone's part of model names: 'mine.nets:tiny' gives 'tiny'."""
    return name.rpartition(":")[2]


def resnet18(classes: int, channels: int) -> Backbone:
    return _resnet((2, 2, 2, 2), 64, classes, channels, projection=True)


def resnet32(classes: int, channels: int) -> Backbone:
    return _resnet((5, 5, 5), 16, classes, channels, projection=False)


def wide_resnet16(widening: int, classes: int, channels: int) -> Backbone:
    layers: list[nn.Module] = [_conv3(channels, 16)]
    inputs = 16
    for group, outputs in enumerate((16 * widening, 32 * widening, 64 * widening)):
        for block in range(2):
            layers.append(PreactivationBlock(inputs, outputs, 2 if group and not block else 1))
            inputs = outputs
    layers += [nn.BatchNorm2d(inputs), nn.ReLU()]
    return _finished(layers, inputs, classes)


def digits_cnn(classes: int, channels: int) -> Backbone:
    """Convolutions of 12, 24 and 32 channels, for 8 x 8 images."""
    *body, head = conv(12, 24, 32, classes, channels)
    return Backbone(nn.Sequential(*body), cast(nn.Linear, head))


BACKBONES: dict[str, Callable[[int, int], Backbone]] = {
    "digits-cnn": digits_cnn,
    "resnet18": resnet18,
    "resnet32": resnet32,
    "wrn16-1": partial(wide_resnet16, 1),
    "wrn16-2": partial(wide_resnet16, 2),
    "wrn16-4": partial(wide_resnet16, 4),
    "wrn16-8": partial(wide_resnet16, 8),
}


class BasicBlock(nn.Module):
    """Two 3x3 convolutions; the shortcut of a block that changes shape is a 1x1 convolution (`projection`), or
    subsampling and zeros in the new channels."""

    def __init__(self, inputs: int, outputs: int, stride: int, projection: bool) -> None:
        super().__init__()
        self.conv1, self.norm1 = _conv3(inputs, outputs, stride), nn.BatchNorm2d(outputs)
        self.conv2, self.norm2 = _conv3(outputs, outputs), nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.shortcut = (
                nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
                if projection
                else Subsample(stride, outputs - inputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.norm1(self.conv1(x)))
        return functional.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class Subsample(nn.Module):
    """Every stride-th pixel, and zeros in the channels that are new."""

    def __init__(self, stride: int, new: int) -> None:
        super().__init__()
        self.stride, self.new = stride, new

    def forward(self, x: Tensor) -> Tensor:
        return functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.new // 2, -(-self.new // 2)))


class PreactivationBlock(nn.Module):
    """Normalisation and ReLU before each convolution; a 1x1 shortcut, of the activated input, where shapes change."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(inputs), _conv3(inputs, outputs, stride)
        self.norm2, self.conv2 = nn.BatchNorm2d(outputs), _conv3(outputs, outputs)
        same = stride == 1 and inputs == outputs
        self.shortcut = None if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        active = functional.relu(self.norm1(x))
        y = self.conv2(functional.relu(self.norm2(self.conv1(active))))
        return cast(Tensor, y + (x if self.shortcut is None else self.shortcut(active)))


def _resnet(blocks: tuple[int, ...], width: int, classes: int, channels: int, *, projection: bool) -> Backbone:
    """Groups of blocks; every group but the first halves the resolution and doubles the channels."""
    layers: list[nn.Module] = [_conv3(channels, width), nn.BatchNorm2d(width), nn.ReLU()]
    inputs = width
    for group, count in enumerate(blocks):
        outputs = width << group
        for block in range(count):
            layers.append(BasicBlock(inputs, outputs, 2 if group and not block else 1, projection))
            inputs = outputs
    return _finished(layers, inputs, classes)


def _finished(layers: list[nn.Module], width: int, classes: int) -> Backbone:
    body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    for module in body.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return Backbone(body, nn.Linear(width, classes))


def _conv3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)


def _from_code(spec: str, classes: int, channels: int) -> Backbone:
    """A backbone from the user's factory, which gets those of `classes` and `channels` that are among its parameters.

    The last linear layer of its network becomes the head.
    """
    factory = find_object(spec, spec)
    given = {"classes": classes, "channels": channels}
    if callable(factory):
        factory = partial(factory, **{name: n for name, n in given.items() if name in _parameters(factory)})
    net = call(factory, spec)
    if isinstance(net, Backbone):
        backbone = net
    elif isinstance(net, nn.Module):
        backbone = _split(net, spec)
    else:
        raise UsageError(f"backbone {spec!r}: gave a {type(net).__name__}; expected a torch.nn.Module")
    if backbone.classes != classes:
        raise UsageError(
            f"backbone {spec!r}: has {backbone.classes:,} classes, the data {classes:,}; "
            f"let its factory take the number as an argument named `classes`"
        )
    return backbone


def _parameters(factory: Callable[..., object]) -> list[str]:
    try:
        return list(inspect.signature(factory).parameters)
    except ValueError:  # builtins
        return []


def _split(net: nn.Module, spec: str) -> Backbone:
    """A network as a backbone: its last linear layer becomes the head, and an identity takes that layer's place."""
    names = [name for name, module in net.named_modules() if isinstance(module, nn.Linear)]
    if not names or not names[-1]:
        raise UsageError(f"backbone {spec!r}: has no linear layer on top of its features")
    head = cast(nn.Linear, net.get_submodule(names[-1]))
    parent, _, attribute = names[-1].rpartition(".")
    setattr(net.get_submodule(parent), attribute, nn.Identity())
    return Backbone(net, head)


def check_backbone(backbone: Backbone, name: str, shape: tuple[int, int, int]) -> None:
    """UsageError unless images of this shape (channels, height, width) give features [n, width] of the backbone."""
    size = " x ".join(map(str, shape))
    backbone.eval()
    try:
        with torch.inference_mode():
            given = tuple(backbone.features(torch.zeros(2, *shape)).shape)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"backbone {name!r}: cannot take images of {size} ({reason})") from error
    if given != (2, backbone.width):
        raise UsageError(
            f"backbone {name!r}: its last linear layer takes {backbone.width} features, "
            f"but images of {size} give {' x '.join(map(str, given[1:]))} of them"
        )

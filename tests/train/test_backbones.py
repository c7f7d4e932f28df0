"""Backbones: costs against closed forms and the published ones; features and head against the undivided network."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from wisecommittee.errors import UnknownNameError, UsageError
from wisecommittee.extraction.models.macs import count_macs
from wisecommittee.extraction.models.weights import state_hash
from wisecommittee.train.backbones import BACKBONES, Subsample, build, check_backbone, short_name

torch.set_num_threads(1)

SHAPES = {name: (1, 8, 8) if name == "digits-cnn" else (3, 32, 32) for name in BACKBONES}


def conv(inputs, outputs, side, size=3):
    return inputs * outputs * size * size * side * side


def resnet_macs(blocks, width, projection):
    """One 3x3 convolution, then groups of two-convolution blocks at 32, 16, 8, .. pixels; the linear layer."""
    total, inputs = conv(3, width, 32), width
    for group, count in enumerate(blocks):
        outputs, side = width * 2**group, 32 // 2**group
        for _ in range(count):
            total += conv(inputs, outputs, side) + conv(outputs, outputs, side)
            if projection and inputs != outputs:
                total += conv(inputs, outputs, side, 1)
            inputs = outputs
    return total + 10 * inputs


def wide_macs(k):
    """Wide ResNet 16-k: (16 - 4) / 6 = 2 blocks in each of three groups; 16-1 needs no shortcut in the first."""
    total, inputs = conv(3, 16, 32), 16
    for outputs, side in ((16 * k, 32), (32 * k, 16), (64 * k, 8)):
        total += conv(inputs, outputs, side) + 3 * conv(outputs, outputs, side)
        total += conv(inputs, outputs, side, 1) if inputs != outputs else 0
        inputs = outputs
    return total + 10 * inputs


MACS = {
    "digits-cnn": conv(1, 12, 8) + conv(12, 24, 8) + conv(24, 32, 4) + 128 * 10,
    "resnet18": resnet_macs((2, 2, 2, 2), 64, projection=True),
    "resnet32": resnet_macs((5, 5, 5), 16, projection=False),
} | {f"wrn16-{k}": wide_macs(k) for k in (1, 2, 4, 8)}
# Millions at 32x32 with 10 classes, as published for Wide ResNets
PUBLISHED = {"wrn16-1": 26.7, "wrn16-2": 101.1, "wrn16-4": 392.6, "wrn16-8": 1548.1}
PARAMETERS = {"resnet32": 464_154, "resnet18": 11_173_962}  # He et al. 2016, Table 6: 0.46 M


@pytest.mark.parametrize("name", BACKBONES)
def test_multiply_adds(name):
    with torch.device("meta"):
        net = build(name, 10, SHAPES[name][0])
    counted = count_macs(net, torch.zeros(1, *SHAPES[name]))
    assert counted == MACS[name]
    if name in PUBLISHED:
        assert round(counted / 1e6, 1) == PUBLISHED[name]
    if name in PARAMETERS:
        assert sum(parameter.numel() for parameter in net.parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", ["digits-cnn", "resnet32", "wrn16-1", "wrn16-2"])
def test_features_and_head(name):
    torch.manual_seed(0)
    net = build(name, 7, SHAPES[name][0]).eval()
    images = torch.randn(3, *SHAPES[name])
    with torch.no_grad():
        features, logits = net.features(images), net(images)
        assert features.shape == (3, net.width)
        torch.testing.assert_close(logits, features @ net.head.weight.T + net.head.bias)
    assert logits.shape == (3, 7)
    check_backbone(net, name, SHAPES[name])


def test_weights_come_from_the_generator():
    hashes = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        hashes.append(state_hash(build("digits-cnn", 10, 1)))
    assert hashes[0] == hashes[1] != hashes[2]


def test_every_path_of_a_backbone_learns():
    """No layer is left out: the loss has a gradient in every parameter."""
    torch.manual_seed(0)
    for name in ("resnet32", "wrn16-1", "wrn16-2"):
        net = build(name)
        net(torch.randn(4, 3, 32, 32)).logsumexp(dim=1).sum().backward()
        assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in net.parameters())


def test_parameter_free_shortcut():
    x = torch.arange(2 * 3 * 4 * 4, dtype=torch.float32).reshape(2, 3, 4, 4)
    y = Subsample(2, 3)(x)
    assert y.shape == (2, 6, 2, 2)
    for n in range(2):
        for row in range(2):
            for column in range(2):
                values = y[n, :, row, column].tolist()
                assert sorted(values) == sorted([0.0] * 3 + [float(x[n, c, 2 * row, 2 * column]) for c in range(3)])


FACTORIES = """
from torch import nn

class Odd(nn.Module):
    def __init__(self, classes, channels):
        super().__init__()
        self.stem = nn.Conv2d(channels, 4, 3)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(4, classes))

    def forward(self, x):
        return self.classifier(self.stem(x).mean(dim=(2, 3)))

def fits(classes, channels):
    return Odd(classes, channels)

def fixed():
    return Odd(5, 3)

def no_head():
    return nn.Conv2d(3, 10, 32)

def bare():
    return nn.Linear(64, 10)

def number():
    return 3

def gated():
    net = Odd(10, 3)
    net.unused = nn.Linear(9, 10)
    return net
"""


@pytest.fixture
def factories(tmp_path, monkeypatch):
    (tmp_path / "their_backbones.py").write_text(FACTORIES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    import their_backbones

    return their_backbones


def test_a_factory_of_the_users(factories):
    assert short_name("their_backbones:fits") == "fits"
    assert short_name("wrn16-2") == "wrn16-2"
    torch.manual_seed(0)
    whole = factories.fits(7, 1).eval()
    torch.manual_seed(0)
    net = build("their_backbones:fits", 7, 1).eval()
    assert net.width == 4
    images = torch.randn(3, 1, 9, 9)
    with torch.no_grad():
        assert torch.equal(net(images), whole(images))
        assert torch.equal(net(images), copy.deepcopy(net)(images))
    assert isinstance(net.head, nn.Linear)
    check_backbone(net, "fits", (1, 9, 9))


def test_bad_backbones(factories):
    with pytest.raises(UnknownNameError, match=r"unknown backbone 'resnet-18'; did you mean 'resnet18'\?"):
        build("resnet-18")
    with pytest.raises(UsageError, match="has 5 classes, the data 10; let its factory take the number"):
        build("their_backbones:fixed")
    for name in ("no_head", "bare"):
        with pytest.raises(UsageError, match="has no linear layer on top of its features"):
            build(f"their_backbones:{name}")
    with pytest.raises(UsageError, match=r"gave a int; expected a torch\.nn\.Module"):
        build("their_backbones:number")
    with pytest.raises(UnknownNameError, match="did you mean 'fits'"):
        build("their_backbones:fit")
    with pytest.raises(UsageError, match="no module 'there_is_none'"):
        build("there_is_none:fits")
    with pytest.raises(UsageError, match="'wrn16-1': cannot take images of 1 x 16 x 16 "):
        check_backbone(build("wrn16-1"), "wrn16-1", (1, 16, 16))
    with pytest.raises(UsageError, match="takes 128 features, but images of 1 x 16 x 16 give 512 of them"):
        check_backbone(build("digits-cnn", 10, 1), "digits-cnn", (1, 16, 16))
    with pytest.raises(UsageError, match="last linear layer takes 9 features, but images of 3 x 8 x 8 give 10"):
        check_backbone(build("their_backbones:gated"), "gated", (3, 8, 8))

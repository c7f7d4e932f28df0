"""Multiply-adds against hand counts and the figures published for well-known networks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from wisecommittee.errors import CostError
from wisecommittee.extraction.models.macs import count_macs

torch.set_num_threads(1)


class Bottleneck(nn.Module):
    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = 4 * width
        self.body = nn.Sequential(
            *(nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)),
            *(nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)),
            *(nn.Conv2d(width, outputs, 1, bias=False), nn.BatchNorm2d(outputs)),
        )
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.body(x) + self.shortcut(x), inplace=True)


def resnet50() -> nn.Module:
    blocks: list[nn.Module] = []
    inputs = 64
    for width, depth in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for i in range(depth):
            blocks.append(Bottleneck(inputs, width, 2 if i == 0 and width > 64 else 1))
            inputs = 4 * width
    stem = (nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000))


class InvertedResidual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = inputs * expansion
        expand = (nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU6(inplace=True))
        self.body = nn.Sequential(
            *(expand if expansion > 1 else ()),
            *(nn.Conv2d(width, width, 3, stride, 1, groups=width, bias=False), nn.BatchNorm2d(width), nn.ReLU6()),
            *(nn.Conv2d(width, outputs, 1, bias=False), nn.BatchNorm2d(outputs)),
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.residual else self.body(x)


def mobilenet_v2() -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(3, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU6()]
    inputs = 32
    settings = (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    )
    for expansion, outputs, depth, stride in settings:
        for i in range(depth):
            layers.append(InvertedResidual(inputs, outputs, stride if i == 0 else 1, expansion))
            inputs = outputs
    head = (nn.Conv2d(320, 1280, 1, bias=False), nn.BatchNorm2d(1280), nn.ReLU6(), nn.AdaptiveAvgPool2d(1))
    return nn.Sequential(*layers, *head, nn.Flatten(), nn.Dropout(0.2), nn.Linear(1280, 1000))


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.qkv, self.out = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, tokens, width = x.shape
        q, k, v = self.qkv(x).view(n, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        return self.out(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, tokens, width))


class Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = nn.Sequential(nn.LayerNorm(width), Attention(width, heads))
        mlp = (nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.mlp = nn.Sequential(nn.LayerNorm(width), *mlp)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(x)
        return x + self.mlp(x)


class ViTSmall(nn.Module):
    """ViT-S/16; with `fused` its blocks are nn.TransformerEncoderLayer, which has a fast path of its own."""

    def __init__(self, fused: bool) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 384, 16, 16)
        self.token, self.position = nn.Parameter(torch.zeros(1, 1, 384)), nn.Parameter(torch.zeros(1, 197, 384))
        make = (
            (lambda: nn.TransformerEncoderLayer(384, 6, 1536, activation="gelu", batch_first=True, norm_first=True))
            if fused
            else (lambda: Block(384, 6))
        )
        self.blocks = nn.Sequential(*(make() for _ in range(12)))
        self.head = nn.Sequential(nn.LayerNorm(384), nn.Linear(384, 1000))

    def forward(self, x: Tensor) -> Tensor:
        patches = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), patches], dim=1) + self.position
        return self.head(self.blocks(x)[:, 0])


VIT_BY_HAND = 196 * 384 * 768 + 12 * (197 * 12 * 384**2 + 2 * 197**2 * 384) + 384 * 1000


@pytest.mark.parametrize(
    ("build", "published"),
    [
        pytest.param(resnet50, 4.089e9, id="resnet50"),
        pytest.param(mobilenet_v2, 0.3008e9, id="mobilenet_v2"),
        pytest.param(lambda: ViTSmall(False), 4.60e9, id="vit_s"),
    ],
)
def test_published_networks_at_224(build, published):
    with torch.device("meta"):
        module = build()
    assert count_macs(module, torch.empty(1, 3, 224, 224)) == pytest.approx(published, rel=1e-3)


@pytest.mark.parametrize("fused", [False, True])
def test_attention_products_are_counted(fused):
    with torch.device("meta"):
        module = ViTSmall(fused)
    assert count_macs(module, torch.empty(1, 3, 224, 224)) == VIT_BY_HAND


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.Module], **options: object) -> None:
        super().__init__()
        self.cell = kind(12, 7, batch_first=True, **options)

    def forward(self, x: Tensor) -> Tensor:
        return self.cell(x)[0][:, -1]


class SelfAttention(nn.Module):
    def __init__(self, need_weights: bool) -> None:
        super().__init__()
        self.attention, self.need_weights = nn.MultiheadAttention(12, 3, batch_first=True), need_weights

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(x, x, x, need_weights=self.need_weights)[0]


class Products(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        vector = x[0, 0]  # [12]
        return torch.einsum("nic,njc->nij", x, x).sum() + torch.mv(x[0], vector).sum() + torch.dot(vector, vector)


# (module, shape of one unit, multiply-adds written down by hand)
BY_HAND = [
    pytest.param(nn.Linear(12, 5), (12,), 12 * 5, id="linear"),
    pytest.param(nn.Linear(12, 5), (10, 12), 10 * 12 * 5, id="linear on tokens"),
    pytest.param(nn.Conv2d(4, 6, 3, padding=1), (4, 8, 8), 64 * 6 * 4 * 9, id="conv"),
    pytest.param(nn.Conv2d(4, 6, 3, stride=2), (4, 9, 9), 16 * 6 * 4 * 9, id="strided conv"),
    pytest.param(nn.Conv2d(4, 8, 3, groups=4), (4, 8, 8), 36 * 8 * 9, id="grouped conv"),
    pytest.param(nn.Conv1d(4, 8, 5), (4, 20), 16 * 8 * 4 * 5, id="conv1d"),
    pytest.param(nn.ConvTranspose2d(4, 6, 2, stride=2), (4, 5, 5), 25 * 4 * 6 * 4, id="transposed conv"),
    pytest.param(Recurrent(nn.LSTM), (10, 12), 10 * 4 * 7 * (12 + 7), id="lstm"),
    pytest.param(Recurrent(nn.LSTM, bidirectional=True), (10, 12), 2 * 10 * 4 * 7 * (12 + 7), id="bidirectional lstm"),
    pytest.param(Recurrent(nn.GRU), (10, 12), 10 * 3 * 7 * (12 + 7), id="gru"),
    pytest.param(Recurrent(nn.RNN), (10, 12), 10 * 7 * (12 + 7), id="rnn"),
    pytest.param(SelfAttention(False), (10, 12), 10 * 4 * 12 * 12 + 2 * 10 * 10 * 12, id="attention"),
    pytest.param(SelfAttention(True), (10, 12), 10 * 4 * 12 * 12 + 2 * 10 * 10 * 12, id="attention with weights"),
    pytest.param(Products(), (10, 12), 10 * 10 * 12 + 10 * 12 + 12, id="einsum, matrix by vector, dot"),
    pytest.param(nn.Sequential(nn.Embedding(9, 5), nn.Flatten(), nn.Linear(50, 2)), (10,), 100, id="embedding"),
]


@pytest.mark.parametrize(("module", "shape", "by_hand"), BY_HAND)
def test_by_hand(module, shape, by_hand):
    whole_numbers = isinstance(module, nn.Sequential)
    example = torch.zeros(3, *shape, dtype=torch.int64 if whole_numbers else torch.float32)
    assert count_macs(module, example) == by_hand


def test_the_cpu_would_count_too_little():
    """Why the meta device: on the CPU the same counter misses what the LSTM's kernel does."""
    from torch.utils.flop_counter import FlopCounterMode

    module, x = Recurrent(nn.LSTM).eval(), torch.zeros(1, 10, 12)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(x)
    assert counter.get_total_flops() / 2 < count_macs(module, x)


@torch.library.custom_op("wisecommittee_tests::product", mutates_args=())
def product(left: Tensor, right: Tensor) -> Tensor:
    return left @ right


@product.register_fake
def _(left: Tensor, right: Tensor) -> Tensor:
    return left.new_empty(left.shape[0], right.shape[1])


class Custom(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(12, 12))

    def forward(self, x: Tensor) -> Tensor:
        return product(x, self.weight) @ self.weight


class Distances(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cdist(x, x) @ x


class DependsOnData(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x @ x.T if x.sum() > 0 else x


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bilinear = nn.Bilinear(12, 12, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.bilinear(x, x)


@pytest.mark.parametrize(
    ("module", "named"),
    [
        pytest.param(Custom(), "wisecommittee_tests.product", id="custom operator beside counted ones"),
        pytest.param(Distances(), "_cdist_forward", id="cdist"),
        pytest.param(TwoInputs(), "_trilinear", id="bilinear"),
        pytest.param(DependsOnData(), "cannot be counted", id="data-dependent"),
        pytest.param(nn.ReLU(), "0 multiply-adds", id="nothing to count"),
    ],
)
def test_what_cannot_be_counted_is_refused(module, named):
    with pytest.raises(CostError, match=r"macs=N") as caught:
        count_macs(module, torch.ones(2, 12), "net/0")
    assert named in str(caught.value)
    assert str(caught.value).startswith("net/0: ")


def test_the_module_is_left_as_it_was():
    module = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    count_macs(module, torch.ones(2, 4))
    assert module.training
    for name, value in module.state_dict().items():
        assert value.device.type == "cpu"
        assert torch.equal(value, before[name])


def test_double_precision_modules_are_counted():
    assert count_macs(nn.Linear(4, 3).double(), torch.ones(2, 4)) == 12

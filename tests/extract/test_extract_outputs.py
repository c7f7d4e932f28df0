"""What a forward pass may return, and what not."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from extractions import (
    CLASSES,
    FEATURES,
    PHOTOS,
    N,
    Returns,
    net,
    rows,
)
from torch import nn

from wisecommittee.errors import (
    AlignmentError,
    ContentError,
    CostError,
    UsageError,
    WiseCommitteeError,
)
from wisecommittee.extraction.data.wrap import wrap_data
from wisecommittee.extraction.extract import extract
from wisecommittee.extraction.models.loaded import wrap_module


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda y: SimpleNamespace(logits=y, hidden=None), id=".logits"),
        pytest.param(lambda y: {"logits": y, "hidden": y}, id="dict with logits"),
        pytest.param(lambda y: {"out": y}, id="dict of one"),
        pytest.param(lambda y: (y,), id="tuple of one"),
        pytest.param(lambda y: y.double(), id="double"),
    ],
)
def test_outputs_that_are_understood(change, store):
    x, y = rows()
    torch.manual_seed(0)
    module = Returns(change)
    extract([wrap_module(module, "net/0")], wrap_data(lambda: (x, y), "test"), "val", store)
    with torch.no_grad():
        np.testing.assert_allclose(store.outputs("net/0", "val"), module.linear(x).numpy(), atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(lambda y: (y, y), r"returned a tuple; expected a tensor of logits", id="two tensors"),
        pytest.param(lambda y: {"a": y, "b": y}, r"returned a dict with a, b", id="dict of two"),
        pytest.param(lambda y: y[:, :, None], r"shape \[2, 4, 1\] for 2 units", id="three dimensions"),
        pytest.param(lambda y: y[:1], r"shape \[1, 4\] for 2 units", id="rows lost"),
        pytest.param(lambda y: y[:, :1], r"2 classes or more", id="one class"),
        pytest.param(lambda y: y.argmax(1), r"torch.int64 outputs", id="predictions"),
        pytest.param(lambda y: y / 0 * 0, r"(?i)bad/0 in val: nan .*in row 0", id="nan"),
        pytest.param(lambda y: y.nonsense(), r"forward pass raised AttributeError", id="raises"),
    ],
)
def test_outputs_that_are_refused_before_anything_is_written(change, message, store):
    x, y = rows()
    good, bad = wrap_module(net(), "good/0"), wrap_module(Returns(change), "bad/0")
    with pytest.raises(WiseCommitteeError, match=message) as caught:
        extract([good, bad], wrap_data(lambda: (x, y), "test"), "val", store)
    assert "bad/0 in val" in str(caught.value)
    assert store.models("val") == ()
    assert store.splits() == ()


def test_a_nan_far_into_the_data_leaves_no_model(store):
    x, y = rows()
    x[40] = torch.nan
    with pytest.raises(ContentError, match=r"(?i)net/0 in val: nan "):
        extract([wrap_module(net(), "net/0")], wrap_data(lambda: (x, y), "test"), "val", store, batch_size=8)
    assert store.models("val") == ()


def test_softmax_outputs_are_warned_about(store):
    x, y = rows()
    module = nn.Sequential(nn.Linear(FEATURES, CLASSES), nn.Softmax(1))
    with pytest.warns(UserWarning, match="net/0 in val: its outputs look like probabilities"):
        extract([wrap_module(module, "net/0")], wrap_data(lambda: (x, y), "test"), "val", store)


class Noisy(nn.Module):
    """Dropout that eval mode leaves on, noise, or statistics of the batch."""

    def __init__(self, kind):
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.norm, self.kind = nn.Linear(FEATURES, CLASSES), nn.BatchNorm1d(FEATURES), kind

    def train(self, mode=True):
        super().train(mode)
        self.norm.train()
        return self

    def forward(self, x):
        if self.kind == "dropout":
            return self.linear(nn.functional.dropout(x, 0.2))
        if self.kind == "noise":
            return self.linear(x) + 0.05 * torch.randn(len(x), CLASSES)
        return self.linear(self.norm(x))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("dropout", r"net in val: its outputs differ from one pass to the next, by up to \d.* dropout or noise is on"),
        ("noise", r"net in val: its outputs differ from one pass to the next, by up to 0\.\d"),
        ("batch", r"net in val: the outputs of a unit depend on the others in its batch, .* into eval mode"),
    ],
)
def test_outputs_that_differ_from_pass_to_pass_are_refused(kind, message, store):
    x, y = rows()
    with pytest.raises(ContentError, match=message):
        extract([wrap_module(Noisy(kind), "net")], wrap_data(lambda: (x, y), "test"), "val", store)
    assert store.models("val") == ()


def test_uncounted_models_need_declared_macs(store):
    x, y = rows()
    module = Returns(lambda y: y + torch.cdist(y[:, :, None], y[:, :, None]).sum(2))
    data = wrap_data(lambda: (x, y), "test")
    with pytest.raises(CostError, match=r"net/0: no multiply-add formula for _cdist_forward.*--macs N"):
        extract([wrap_module(module, "net/0")], data, "val", store)
    (item,) = extract([wrap_module(module, "net/0")], data, "val", store, macs=[24])
    assert item.card.blocks == {"net/0": 24}


def test_models_of_a_split_must_fit_together(store):
    x, y = rows()
    data = wrap_data(lambda: (x, y), "test")

    def run(*models, **options):
        return extract(models, data, "val", store, **options)

    with pytest.raises(UsageError, match="two models are called 'a/0'"):
        run(wrap_module(net(), "a/0"), wrap_module(net(9), "a/0"))
    with pytest.raises(UsageError, match="both replica 0 of 'a'"):
        run(wrap_module(net(), "a"), wrap_module(net(9), "a/0"))
    with pytest.raises(ContentError, match="wide: 5 classes, a/0 has 4"):
        run(wrap_module(net(), "a/0"), wrap_module(nn.Linear(FEATURES, 5), "wide"))
    assert store.splits() == ()
    run(wrap_module(net(), "a/0"))
    with pytest.raises(ContentError, match="5 classes"):
        run(wrap_module(nn.Linear(FEATURES, 5), "wide"))
    with pytest.raises(AlignmentError, match=r"20 units, val has 50.*another --split"):
        run(wrap_module(net(9), "b/0"), limit=20)
    for changed, message in (((x, (y + 1) % 4), "label"), ((x, y, PHOTOS), "unit 'photo-0'")):
        with pytest.raises(AlignmentError, match=message):
            extract([wrap_module(net(9), "b/0")], wrap_data(lambda c=changed: c, "test"), "val", store, batch_size=N)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        pytest.param(torch.full((N,), 4), "outside the 4 classes", id="too large"),
        pytest.param(torch.full((N,), -1), "outside the 4 classes", id="negative"),
        pytest.param(torch.full((N,), 0.5), "expected whole numbers", id="fractions"),
        pytest.param(torch.zeros(N, 4), r"labels of shape \[50, 4\]", id="one-hot"),
        pytest.param(torch.zeros(N - 1), "arrays of", id="one missing"),
    ],
)
def test_labels_are_checked(labels, message, store):
    x, _ = rows()
    with pytest.raises(WiseCommitteeError, match=message):
        extract([wrap_module(net(), "net/0")], wrap_data(lambda: (x, labels), "test"), "val", store)
    assert store.splits() == ()

"""Memory that runs out, reduced precision, and the layout of images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from extractions import (
    CLASSES,
    FEATURES,
    PHOTOS,
    Hungry,
    N,
    Reads,
    by_hand,
    net,
    rows,
)
from torch import nn

from wisecommittee.errors import (
    ContentError,
    StoreError,
    WiseCommitteeError,
)
from wisecommittee.extraction.data.wrap import wrap_data
from wisecommittee.extraction.extract import extract
from wisecommittee.extraction.models.loaded import wrap_module


def test_out_of_memory_halves_this_and_the_following_batches(store):
    x, y = rows()
    module = Hungry(5)
    with pytest.warns(UserWarning, match=r"net/0 in val: cpu ran out of memory at 20 units") as warned:
        extract([wrap_module(module, "net/0")], wrap_data(lambda: (x, y), "test"), "val", store, batch_size=20)
    assert len(warned) == 1
    assert module.sizes == [2, 2, 2, 2, 20, 10, *[5] * 10]
    np.testing.assert_allclose(store.outputs("net/0", "val"), by_hand(module, x), atol=1e-6)


def test_not_even_one_unit_fits(store):
    x, y = rows()
    module = Hungry(2)
    data = wrap_data(lambda: (x, y), "test")
    message = r"net/0 in val: cpu ran out of memory at a single unit \(CUDA out"
    with pytest.raises(WiseCommitteeError, match=message), pytest.warns(UserWarning, match="at 2 units"):
        extract([wrap_module(Hungry(0), "net/0")], data, "val", store, batch_size=1)
    assert store.models("val") == ()
    extract([wrap_module(module, "net/0")], data, "val", store, batch_size=1)


def test_models_without_room_beside_others_run_in_a_later_pass(store, monkeypatch):
    from wisecommittee.extraction.run.forward import Forward

    here = []
    enter, leave = Forward.__enter__, Forward.__exit__

    def entered(self):
        if len(here) == 2:
            from wisecommittee.errors import OutOfMemoryError

            raise OutOfMemoryError("no room")
        here.append(self)
        return enter(self)

    def left(self, *error):
        here.remove(self)
        return leave(self, *error)

    monkeypatch.setattr(Forward, "__enter__", entered)
    monkeypatch.setattr(Forward, "__exit__", left)
    x, y = rows()
    items = Reads(x, y)
    data = wrap_data(lambda: items, "reads")
    items.read.clear()
    models = [wrap_module(net(h, seed=h), f"net-{h}") for h in range(3, 8)]
    done = extract(models, data, "val", store)
    assert items.read == [0, 1, *range(N), *range(N), *range(N)]
    assert [item.card.model for item in done] == [model.name for model in models]
    for model in models:
        np.testing.assert_allclose(store.outputs(model.name, "val"), by_hand(model.module, x), atol=1e-6)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_reduced_precision(store, precision):
    x, y = rows()
    module = net()
    (item,) = extract([wrap_module(module, "net/0")], wrap_data(lambda: (x, y), "t"), "val", store, precision=precision)
    exact = by_hand(module, x)
    with torch.no_grad(), torch.autocast("cpu", getattr(torch, precision)):
        expected = module(x).float().numpy()
    np.testing.assert_array_equal(store.outputs("net/0", "val"), expected)
    assert 0 < np.abs(expected - exact).max() < 0.05
    assert item.card.meta["precision"] == precision
    with pytest.raises(StoreError, match=r"with other precision \(\w+, now None\)"):
        extract([wrap_module(module, "net/0")], wrap_data(lambda: (x, y), "t"), "val", store)


def test_what_is_not_finite_in_reduced_precision_is_computed_in_float32(store):
    x, y = rows()
    x[20] *= 1e5  # more than float16 holds
    x[45] *= 1e5
    module = nn.Linear(FEATURES, CLASSES)
    with pytest.warns(UserWarning, match="net/0 in val: NaN or infinity in float16") as warned:
        extract(
            [wrap_module(module, "net/0")],
            wrap_data(lambda: (x, y), "t"),
            "val",
            store,
            precision="float16",
            batch_size=10,
        )
    assert len(warned) == 1
    got, exact = np.array(store.outputs("net/0", "val")), by_hand(module, x)
    again = np.r_[20:30, 40:50]
    np.testing.assert_allclose(got[again], exact[again], rtol=1e-5, atol=1e-6)
    assert np.abs(np.delete(got - exact, again, 0)).max() > 1e-5


def test_a_nan_in_float32_names_the_unit(store):
    x, y = rows()
    x[37, 2] = torch.nan
    for precision in ("float32", "bfloat16"):
        with pytest.raises(ContentError, match=r"net/0 in val: NaN.* in row 37 \(unit 'photo-37'\), class 0"):
            extract(
                [wrap_module(net(), "net/0")],
                wrap_data(lambda: (x, y, PHOTOS), "test"),
                "val",
                store,
                batch_size=8,
                precision=precision,
            )


def small_convolutions():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(8 * 16, CLASSES))


def test_channels_last(store):
    x, y = torch.randn(20, 3, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(20) % CLASSES
    module, seen = small_convolutions(), []
    module[0].register_forward_pre_hook(
        lambda _, given: seen.append(given[0].is_contiguous(memory_format=torch.channels_last))
    )
    data = wrap_data(lambda: (x, y), "test")
    extract([wrap_module(module, "net/0")], data, "val", store, layout="channels_last")
    assert seen[-1]
    assert module[0].weight.is_contiguous()
    expected = by_hand(module, x)
    np.testing.assert_allclose(store.outputs("net/0", "val"), expected, atol=1e-6)


def test_the_faster_layout_is_picked(monkeypatch):
    from wisecommittee.extraction.run.forward import Forward

    x, module = torch.randn(4, 3, 8, 8), small_convolutions()
    for faster in ("contiguous", "channels_last"):
        monkeypatch.setattr(Forward, "seconds", lambda self, _, f=faster: 1.0 if self.layout == f else 2.0)
        with Forward(module, "net", torch.device("cpu")) as forward:
            assert forward.pick_layout(x) == faster
            assert module[0].weight.is_contiguous() == (faster == "contiguous")
        assert module[0].weight.is_contiguous()
    with Forward(net(), "net", torch.device("cpu")) as forward:
        assert forward.pick_layout(torch.randn(4, FEATURES)) == "contiguous"

"""Models at several input sizes and views."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from extractions import (
    CLASSES,
    FEATURES,
    Returns,
    by_hand,
    net,
)
from PIL import Image
from torch import nn
from torch.utils.data import Dataset

from wisecommittee.errors import (
    ContentError,
    UsageError,
    WiseCommitteeError,
)
from wisecommittee.extraction.data.spec import open_data
from wisecommittee.extraction.data.wrap import wrap_data
from wisecommittee.extraction.extract import extract
from wisecommittee.extraction.models.loaded import LoadedModel, wrap_module
from wisecommittee.extraction.models.preprocess import Preprocess
from wisecommittee.extraction.models.spec import load_model
from wisecommittee.extraction.models.weights import state_hash


def test_clips_of_a_unit_are_averaged_and_paid_for(store):
    """Data of several views, as the clips of a video (Wang et al. 2022, Sec. 7.1: 30 of them, cost x 30)."""
    clips = torch.randn(20, 3, FEATURES, generator=torch.Generator().manual_seed(0))
    module = net()
    data = wrap_data(lambda: (clips, torch.arange(20) % CLASSES), "videos")
    (item,) = extract([wrap_module(module, "net/0")], data, "val", store, views=["clips"], batch_size=7)
    card = item.card
    assert (card.model, card.architecture, card.input_size) == ("net+clips/0", "net+clips", (3, FEATURES))
    assert card.blocks == {"net+clips/0": 3 * (FEATURES * 8 + 8 * CLASSES)}
    expected = np.mean([by_hand(module, clips[:, v]) for v in range(3)], axis=0)
    np.testing.assert_allclose(store.outputs("net+clips/0", "val"), expected, atol=1e-6)
    pictures = wrap_data(lambda: Pictures(), "own")
    with pytest.raises(UsageError, match=r"--views clips is for tensors \[n, views, ..\], and this gives images"):
        extract([sizable()], pictures, "val", store, views=["clips"])


@pytest.mark.parametrize("change", [lambda y: {"logits": y}, lambda y: (y,), lambda y: {"a": y, "b": y}])
def test_what_views_return_is_read_as_without_them(change, store):
    clips, module = torch.randn(8, 2, FEATURES), Returns(change)
    data = wrap_data(lambda: (clips, torch.arange(8) % CLASSES), "videos")
    if len(change(0)) == 2:
        with pytest.raises(ContentError, match="returned a dict with a, b"):
            extract([wrap_module(module, "net/0")], data, "val", store, views=["clips"], macs=None)
        return
    extract([wrap_module(module, "net/0")], data, "val", store, views=["clips"])
    with torch.no_grad():
        expected = module.linear(clips).mean(1).numpy()
    np.testing.assert_allclose(store.outputs("net+clips/0", "val"), expected, atol=1e-6)


class Pictures(Dataset):
    def __len__(self):
        return 9

    def __getitem__(self, i):
        return Image.fromarray(np.random.default_rng(i).integers(0, 256, (12, 12, 3), dtype=np.uint8)), i % CLASSES


def sizable():
    """A model of images that takes every size; the tensors are the image's corner."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, CLASSES))

    def resize(size):
        def whole(image):
            return torch.from_numpy(np.array(image)[:size, :size].transpose(2, 0, 1).copy()).float() / 255

        return module, Preprocess(f"corner {size}", (3, size, size), whole)

    made = resize(8)
    return LoadedModel(
        module, "net/0", "net", 0, "made", state_hash(module), input_size=(3, 8, 8), preprocess=made[1], resize=resize
    )


def test_every_model_at_every_size_and_view(store):
    data = wrap_data(lambda: Pictures(), "own")
    loaded = sizable()
    done = extract([loaded], data, "val", store, sizes=[8, 10], views=["center", "flip"], batch_size=4)
    names = [item.card.model for item in done]
    assert names == ["net@8/0", "net@8+flip/0", "net@10/0", "net@10+flip/0"]
    macs = [sum(item.card.blocks.values()) for item in done]
    assert macs == [4 * 27 * 36 + 16, 2 * (4 * 27 * 36 + 16), 4 * 27 * 64 + 16, 2 * (4 * 27 * 64 + 16)]
    images = [Pictures()[i][0] for i in range(9)]
    for size in (8, 10):
        tensors = torch.stack([loaded.resize(size)[1].whole(image) for image in images])
        with torch.no_grad():
            plain, mirrored = loaded.module(tensors).numpy(), loaded.module(tensors.flip(-1)).numpy()
        np.testing.assert_allclose(store.outputs(f"net@{size}/0", "val"), plain, atol=1e-6)
        np.testing.assert_allclose(store.outputs(f"net@{size}+flip/0", "val"), (plain + mirrored) / 2, atol=1e-6)
    with pytest.raises(UsageError, match="--macs declares one number per model"):
        extract([loaded], data, "val", store, sizes=[8, 10], macs=[1])


OWN_IMAGES = """
import numpy as np, torch
from torch import nn
from wisecommittee.extraction.models.preprocess import Preprocess
def at(size):
    def whole(image):
        return torch.from_numpy(np.array(image.resize((size, size)))).permute(2, 0, 1).float() / 255
    return Preprocess(f"own {size}", (3, size, size), whole)
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4))
def fixed(): return net()
fixed.preprocess = at(12)
def sized(): return net()
sized.preprocess, sized.preprocess_at = at(12), at
def tensors():
    x = torch.rand(9, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    return x, torch.arange(9) % 4
"""


@pytest.fixture
def own_images(tmp_path, monkeypatch):
    (tmp_path / "own_images.py").write_text(OWN_IMAGES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield load_model("own_images:net").module
    sys.modules.pop("own_images", None)


def brought_to(tensors, size):
    return nn.functional.interpolate(tensors, (size, size), mode="bilinear", antialias=True)


def test_own_modules_run_at_several_sizes(own_images, store):
    """Tensors are brought to the size; images are prepared for it where the factory says how."""
    done = extract(["own_images:net"], "own_images:tensors", "val", store, sizes=[8, 12], batch_size=4)
    assert [item.card.model for item in done] == ["net@8", "net@12"]
    assert [item.card.input_size for item in done] == [(3, 8, 8), (3, 12, 12)]
    assert [sum(item.card.blocks.values()) for item in done] == [4 * 27 * 36 + 16, 4 * 27 * 100 + 16]
    tensors = open_data("own_images:tensors", "val").make()[0]
    with torch.no_grad():
        for size in (8, 12):
            expected = own_images(brought_to(tensors, size)).numpy()
            np.testing.assert_allclose(store.outputs(f"net@{size}", "val"), expected, atol=1e-6)
    data = wrap_data(Pictures, "own")
    extract(["own_images:fixed", "own_images:sized"], data, "test", store, sizes=[8, 12], views=["center", "flip"])
    factory = sys.modules["own_images"]
    images = [Pictures()[i][0] for i in range(9)]
    for size in (8, 12):
        card = store.card(f"fixed@{size}", "test")
        assert (card.input_size, sum(card.blocks.values())) == ((3, size, size), 4 * 27 * (size - 2) ** 2 + 16)
        whole = torch.stack([factory.at(12)(image) for image in images])
        at_size = torch.stack([factory.at(size)(image) for image in images])
        with torch.no_grad():
            for name, inputs in (("fixed", brought_to(whole, size)), ("sized", at_size)):
                plain, mirrored = own_images(inputs).numpy(), own_images(inputs.flip(-1)).numpy()
                np.testing.assert_allclose(store.outputs(f"{name}@{size}", "test"), plain, atol=1e-6)
                both = (plain + mirrored) / 2
                np.testing.assert_allclose(store.outputs(f"{name}@{size}+flip", "test"), both, atol=1e-5)
    with pytest.raises(UsageError, match=r"net@10/0 in more: its input size is 3 x 10 x 10, .* of 3 x 12 x 12"):
        extract([sizable()], "own_images:tensors", "more", store, sizes=[10])
    with pytest.raises(WiseCommitteeError, match=r"fixed: cannot take inputs of 2 x 2"):
        extract(["own_images:fixed"], data, "more", store, sizes=[2])

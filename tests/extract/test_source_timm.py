"""Models of timm against timm itself: outputs, preprocessing, class order, sizes."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from sources import rgb, same, same_in_a_worker

from wisecommittee.errors import (
    UsageError,
)
from wisecommittee.extraction.models.spec import load_model


@pytest.mark.parametrize("name", ["test_resnet.r160_in1k", "test_vit.r160_in1k"])
@pytest.mark.parametrize("file", ["a.pt", "a.safetensors"])
def test_timm(name, file, timm, weights, images):
    torch.manual_seed(3)
    own = timm.create_model(name, pretrained=False, num_classes=7).eval()
    loaded = load_model(f"timm:{name}@{weights(own, file)}")
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(own), is_training=False)
    for image in images:
        assert torch.equal(loaded.preprocess(image), transform(rgb(image)))
    assert torch.equal(loaded.preprocess(np.asarray(images[0])), transform(images[0]))
    same_in_a_worker(loaded.preprocess.with_view("fivecrop"), images[0])
    same(loaded, own, torch.stack([transform(rgb(image)) for image in images]))
    assert (loaded.name, loaded.architecture, loaded.input_size) == (name, name, (3, 160, 160))
    assert loaded.params == sum(p.numel() for p in own.parameters())
    assert not loaded.classes  # seven classes of its own, unknown to timm


def test_timm_knows_imagenet(timm):
    loaded = load_model("timm:test_resnet", random_weights=True)
    info = timm.data.ImageNetInfo()
    assert loaded.classes["synset"] == tuple(info.label_names())
    assert loaded.meta["random_weights"]
    np.testing.assert_array_equal(loaded.columns(["n01443537", "n01440764"]), [1, 0])
    np.testing.assert_array_equal(loaded.columns(["Great White Shark", "tench"]), [2, 0])
    again = load_model("timm:test_resnet", random_weights=True)
    assert again.weights == loaded.weights
    assert load_model("timm:test_resnet", "r/1", random_weights=True).weights != loaded.weights


def test_timm_at_another_size(timm, images):
    """A position table is resampled as timm does it; a convolutional network keeps its weights as they are."""
    vit = load_model("timm:test_vit", random_weights=True)
    resized = vit.at_size(192)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"torch.searchsorted|Using a non-tuple sequence", UserWarning)
        own = timm.create_model("test_vit", pretrained=False, img_size=192)
        state = timm.models.vision_transformer.checkpoint_filter_fn(vit.module.state_dict(), own)
    own.load_state_dict(state)
    same(resized, own.eval(), torch.stack([resized.preprocess(image) for image in images[:3]]))
    assert (resized.name, resized.architecture, resized.input_size) == ("test_vit@192", "test_vit@192", (3, 192, 192))
    assert vit.module.patch_embed.img_size == (160, 160)
    resnet = load_model("timm:test_resnet", "r/1", random_weights=True)
    large = resnet.at_size(192)
    assert (large.name, large.replica, large.weights) == ("r@192/1", 1, resnet.weights)
    config = timm.data.resolve_data_config({"input_size": (3, 192, 192)}, model=resnet.module)
    transform = timm.data.create_transform(**config, is_training=False)
    assert torch.equal(large.preprocess(images[0]), transform(images[0]))
    assert large.preprocess_key != resnet.preprocess_key
    with pytest.raises(UsageError, match=r"test_vit: cannot take inputs of 100 x 100|timm cannot bring it to 100"):
        vit.at_size(100)


def test_timm_tests_at_a_size_of_its_own(timm):
    """resnet50.a1_in1k was trained at 224 and is tested at 288 with all of the image."""
    loaded = load_model("timm:resnet50.a1_in1k", random_weights=True)
    assert '"crop_pct": 0.95' in loaded.preprocess_key
    assert '"crop_pct": 1.0' in loaded.at_size(288).preprocess_key
    assert '"crop_pct": 0.95' in loaded.at_size(256).preprocess_key

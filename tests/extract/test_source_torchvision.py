"""Models of torchvision against torchvision itself: outputs, preprocessing, class order, sizes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sources import rgb, same, same_in_a_worker
from torch import nn

from wisecommittee.errors import (
    UsageError,
)
from wisecommittee.extraction.models.macs import count_macs
from wisecommittee.extraction.models.spec import load_model


@pytest.mark.parametrize("name", ["squeezenet1_1", "shufflenet_v2_x0_5"])
def test_torchvision(name, torchvision, weights, images):
    torch.manual_seed(3)
    own = torchvision.models.get_model(name, weights=None, num_classes=7).eval()
    loaded = load_model(f"torchvision:{name}@{weights(own, 'a.pt', state_dict=1)}")
    transform = torchvision.models.get_model_weights(name).DEFAULT.transforms()
    for image in images:
        assert torch.equal(loaded.preprocess(image), transform(rgb(image)))
    same_in_a_worker(loaded.preprocess.with_view("fivecrop"), images[0])
    same(loaded, own, torch.stack([transform(rgb(image)) for image in images]))
    assert (loaded.name, loaded.input_size) == (name, (3, 224, 224))


def test_torchvision_weights_choose_the_preprocessing(torchvision, weights):
    own = torchvision.models.resnet18()
    table = torchvision.models.get_model_weights("resnet50")
    assert load_model("torchvision:resnet50@IMAGENET1K_V1", random_weights=True).preprocess_key == (
        load_model(f"torchvision:resnet18@{weights(own, 'resnet18-f37072fd.pth')}").preprocess_key
    )
    second = load_model("torchvision:resnet50", random_weights=True)
    assert second.meta == {"random_weights": True}
    assert f"[{table.DEFAULT.transforms().resize_size[0]}]" in second.preprocess_key


def test_torchvision_knows_imagenet(torchvision):
    loaded = load_model("torchvision:squeezenet1_1", random_weights=True)
    names = torchvision.models.get_model_weights("squeezenet1_1").DEFAULT.meta["categories"]
    np.testing.assert_array_equal(loaded.columns(names[::-1]), np.arange(1000)[::-1])


def test_torchvision_synsets_are_in_the_same_order(torchvision, timm):
    loaded = load_model("torchvision:squeezenet1_1", random_weights=True)
    np.testing.assert_array_equal(loaded.columns(["n02134084", "n01440764"]), [296, 0])
    assert loaded.classes["name"][296] == "ice bear"


def test_torchvision_at_another_size(torchvision, images):
    loaded = load_model("torchvision:squeezenet1_1", random_weights=True)
    large = loaded.at_size(448)
    transform = torchvision.transforms._presets.ImageClassification(crop_size=448, resize_size=512)
    assert torch.equal(large.preprocess(images[0]), transform(images[0]))
    assert count_macs(large.module, torch.empty(1, *large.input_size)) > 3.9 * count_macs(
        loaded.module, torch.empty(1, *loaded.input_size)
    )
    with pytest.raises(UsageError, match=r"maxvit_t: cannot take inputs of 256 x 256 .*it takes 3 x 224 x 224"):
        load_model("torchvision:maxvit_t", random_weights=True).at_size(256)


def test_torchvision_positions_are_interpolated(torchvision):
    zoo = torchvision.models
    loaded = load_model("torchvision:vit_b_32", random_weights=True)
    nn.init.normal_(loaded.module.encoder.pos_embedding)
    nn.init.normal_(loaded.module.heads.head.weight)
    resized = loaded.at_size(256)
    own = zoo.vit_b_32(image_size=256)
    own.load_state_dict(zoo.vision_transformer.interpolate_embeddings(256, 32, dict(loaded.module.state_dict())))
    same(resized, own.eval(), torch.rand(1, 3, 256, 256))

"""Image classifiers of transformers against transformers itself; and pickled files, which are refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sources import Bomb, rgb, same, same_in_a_worker

from wisecommittee.errors import (
    AbsentError,
    UsageError,
    WiseCommitteeError,
)
from wisecommittee.extraction.models.spec import load_model


def test_hf(vit_folder, transformers, images):
    own = transformers.AutoModelForImageClassification.from_pretrained(vit_folder).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(vit_folder)
    loaded = load_model(f"hf:{vit_folder}")
    inputs = torch.cat([processor(images=rgb(i), return_tensors="pt")["pixel_values"] for i in images])
    for image, row in zip(images, inputs, strict=True):
        assert torch.equal(loaded.preprocess(image), row)
    same_in_a_worker(loaded.preprocess, images[0])
    same(loaded, own, inputs)
    assert (loaded.name, loaded.input_size) == ("small-vit", (3, 32, 32))
    np.testing.assert_array_equal(loaded.columns(["owl", "cat"]), [2, 0])
    large = loaded.at_size(48)
    with torch.no_grad():
        expected = own(large.preprocess(images[0])[None], interpolate_pos_encoding=True).logits
        np.testing.assert_allclose(large.module(large.preprocess(images[0])[None]), expected, atol=1e-6)
    assert large.preprocess(images[0]).shape == (3, 48, 48)


@pytest.mark.parametrize(("edge", "crop"), [(40, {"height": 32, "width": 32}), (32, None)])
def test_hf_processors_that_crop(edge, crop, vit_folder, transformers, images):
    from wisecommittee.extraction.models.from_hf import preprocess_of

    if crop:
        processor = transformers.CLIPImageProcessor(size={"shortest_edge": edge}, crop_size=crop)
    else:
        processor = transformers.ConvNextImageProcessor(size={"shortest_edge": edge})
    preprocess = preprocess_of(processor)
    assert preprocess.size == (3, 32, 32)
    for image in images[:3]:
        expected = processor(images=image, return_tensors="pt")["pixel_values"][0]
        assert torch.equal(preprocess(image), expected)
    if crop:
        five = preprocess.with_view("fivecrop")(images[0])
        whole = processor(images=images[0], do_center_crop=False, return_tensors="pt")["pixel_values"][0]
        assert torch.equal(five[0], whole[:, :32, :32])
        assert torch.equal(five[4], preprocess(images[0]))


def test_hf_labels_of_imagenet(timm, transformers):
    from wisecommittee.extraction.models.from_hf import _vocabularies

    info = timm.data.ImageNetInfo()
    labels = dict(enumerate(info.label_descriptions()))
    found = _vocabularies(transformers.ViTConfig(id2label=labels))
    assert found["synset"] == tuple(info.label_names())
    assert found["label"] == tuple(labels.values())
    other = _vocabularies(transformers.ViTConfig(id2label={i: f"kind {i}" for i in range(1000)}))
    assert list(other) == ["label"]
    assert _vocabularies(transformers.ViTConfig(num_labels=3)) == {}


def test_hf_without_its_files(vit_folder, tmp_path):
    with pytest.raises(AbsentError, match=r"holds no config.json"):
        load_model(f"hf:{tmp_path}")
    with pytest.raises(UsageError, match=r"no-one/nothing/config.json is not in the cache .*moved with HF_HUB_CACHE"):
        load_model("hf:no-one/nothing")
    for file in ("config.json", "preprocessor_config.json"):
        (tmp_path / file).write_bytes((vit_folder / file).read_bytes())
    with pytest.raises(AbsentError, match=r"holds no model.safetensors .*--random-weights"):
        load_model(f"hf:{tmp_path}")
    assert load_model(f"hf:{tmp_path}", random_weights=True).params == load_model(f"hf:{vit_folder}").params


def test_hf_weights_are_not_unpickled(vit_folder, tmp_path):
    for file in ("config.json", "preprocessor_config.json"):
        (tmp_path / file).write_bytes((vit_folder / file).read_bytes())
    torch.save({"bomb": Bomb(tmp_path / "exploded")}, tmp_path / "pytorch_model.bin")
    with pytest.raises(WiseCommitteeError):
        load_model(f"hf:{tmp_path}")
    assert not (tmp_path / "exploded").exists()

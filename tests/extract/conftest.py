"""Fixtures of the tests of extractions: a cache, a store and a module of networks for each test; images and weights."""

from __future__ import annotations

import os
import sys
import warnings

import numpy as np
import pytest
import torch
from extractions import NETS
from sources import Small
from torch import nn

from wisecommittee.store import LogitStore


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("WISECOMMITTEE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def nets(tmp_path, monkeypatch):
    """A user's module in the current folder."""
    (tmp_path / "user_nets.py").write_text(NETS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p not in ("", os.getcwd())])
    yield "user_nets"
    sys.modules.pop("user_nets", None)


@pytest.fixture
def store(tmp_path):
    return LogitStore(tmp_path / "logits")


@pytest.fixture(scope="module")
def pillow():
    return pytest.importorskip("PIL.Image")


@pytest.fixture(scope="module")
def images(pillow):
    """Wider, higher, and smaller than the crop; grey; with transparency; and as an array."""
    rng = np.random.default_rng(0)
    pixels = {shape: rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in ((300, 401), (260, 231), (50, 70))}
    pictures = [pillow.fromarray(array) for array in pixels.values()]
    return [*pictures, pictures[0].convert("L"), pictures[1].convert("RGBA")]


@pytest.fixture
def weights(tmp_path):
    def save(module, name="weights.pt", **wrapped):
        path = tmp_path / name
        if path.suffix == ".safetensors":
            pytest.importorskip("safetensors.torch").save_file(module.state_dict(), path)
        else:
            torch.save({key: module.state_dict() for key in wrapped} or module.state_dict(), path)
        return path

    return save


@pytest.fixture(scope="module")
def vit_folder(transformers, tmp_path_factory):
    transformers.utils.logging.disable_progress_bar()
    folder = tmp_path_factory.mktemp("hf") / "small-vit"
    labels = {0: "cat", 1: "dog", 2: "owl"}
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = transformers.ViTConfig(
        **sizes, image_size=32, patch_size=8, id2label=labels, label2id={v: k for k, v in labels.items()}
    )
    torch.manual_seed(3)
    model = transformers.AutoModelForImageClassification.from_config(config)
    nn.init.normal_(model.vit.embeddings.position_embeddings)
    model.save_pretrained(folder)
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """{name: file} of Small in every format, for any batch size and for a fixed one."""
    folder = tmp_path_factory.mktemp("exported")
    module, inputs = Small().eval(), torch.rand(2, 3, 16, 16)
    dynamic = {"dynamic_shapes": ({0: torch.export.Dim("n", min=1)},)}
    files = {name: folder / name for name in ("any.pt2", "one.pt2", "two.pt2", "traced.ts", "frozen.ts")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # exporters warn of their own future
        torch.export.save(torch.export.export(module, (inputs,), **dynamic), files["any.pt2"])
        torch.export.save(torch.export.export(module, (inputs[:1],)), files["one.pt2"])
        torch.export.save(torch.export.export(module, (inputs,)), files["two.pt2"])
        traced = torch.jit.trace(module, inputs)
        traced.save(files["traced.ts"])
        torch.jit.freeze(traced).save(files["frozen.ts"])
    return files


@pytest.fixture(scope="module")
def onnx_files(tmp_path_factory):
    for package in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(package)
    folder = tmp_path_factory.mktemp("onnx")
    module, inputs = Small().eval(), torch.rand(2, 3, 16, 16)
    dynamic = {"dynamic_shapes": ({0: torch.export.Dim("n", min=1)},)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module, (inputs,), folder / "any.onnx", dynamo=True, verbose=False, external_data=False, **dynamic
        )
        torch.onnx.export(module, (inputs,), folder / "two.onnx", dynamo=True, verbose=False, external_data=True)
    return folder

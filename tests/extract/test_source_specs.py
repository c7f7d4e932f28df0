"""Model specs that are refused, and what is said of them."""

from __future__ import annotations

import sys
import urllib.error

import numpy as np
import pytest
import torch
from sources import Bomb, saved
from torch import nn

from wisecommittee.errors import (
    AbsentError,
    ContentError,
    MissingExtraError,
    UnknownNameError,
    UsageError,
)
from wisecommittee.extraction.models.spec import load_model


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("timm:resnet5", UnknownNameError, "unknown timm model 'resnet5'; did you mean 'resnet50'"),
        ("timm:resnet18.a9", UnknownNameError, "unknown weights of the timm model resnet18 'a9'.*a1_in1k"),
        ("timm:test_vit@none.pt", AbsentError, "there is no weights file 'none.pt' in the current folder"),
        ("torchvision:resnet51", UnknownNameError, "unknown torchvision model 'resnet51'; did you mean 'resnet50'"),
        ("torchvision:resnet50@IMAGENET1K_V9", UnknownNameError, "did you mean 'IMAGENET1K_V2'"),
        ("torchvision:resnet50@none.pt", AbsentError, "there is no weights file 'none.pt' in the current folder"),
        ("tim:resnet50", UnknownNameError, "unknown model source 'tim'; did you mean 'timm'"),
        ("photo.jpg", UsageError, r"or a file ending in .pt2, .ts, .onnx"),
    ],
)
def test_specs_that_are_refused(spec, error, message, timm):
    with pytest.raises(error, match=message):
        load_model(spec)


def test_missing_weights_are_named(timm, torchvision, monkeypatch, tmp_path):
    def offline(*_args, **_named):
        raise urllib.error.URLError("no network here")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(
        UsageError, match=r"squeezenet1_1-b8a52dc0.pth is not in the cache .*TORCH_HOME.*@FILE"
    ) as caught:
        load_model("torchvision:squeezenet1_1")
    assert "no network here" in str(caught.value)
    assert "--random-weights" in str(caught.value)
    message = r"timm/test_resnet.r160_in1k/model.safetensors is not in the cache .*timm:test_resnet@FILE.*--random"
    with pytest.raises(UsageError, match=message):
        load_model("timm:test_resnet")
    torch.save(torchvision.models.squeezenet1_1().state_dict(), tmp_path / "squeezenet1_1-b8a52dc0.pth")
    (tmp_path / "checkpoints").mkdir(exist_ok=True)
    (tmp_path / "squeezenet1_1-b8a52dc0.pth").rename(tmp_path / "checkpoints/squeezenet1_1-b8a52dc0.pth")
    assert len(load_model("torchvision:squeezenet1_1").weights) == 64


@pytest.mark.parametrize("spec", ["timm:test_resnet", "torchvision:squeezenet1_1"])
def test_weights_files_are_not_unpickled(spec, timm, tmp_path):
    (tmp_path / "bomb.pt").write_bytes(saved({"state_dict": Bomb(tmp_path / "exploded")}))
    (tmp_path / "bomb.safetensors").write_bytes(saved({"state_dict": Bomb(tmp_path / "exploded")}))
    (tmp_path / "other.pt").write_bytes(saved(nn.Linear(2, 2).state_dict()))
    for file, message in (("bomb.pt", "plain tensors"), ("bomb.safetensors", "plain tensors"), ("other.pt", "not fit")):
        with pytest.raises(ContentError, match=message):
            load_model(f"{spec}@{tmp_path / file}")
    assert not (tmp_path / "exploded").exists()


def test_weights_of_wrapped_modules(timm, tmp_path):
    own = timm.create_model("test_resnet")
    state = {f"module.{key}": value for key, value in own.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "ddp.pt")
    loaded = load_model(f"timm:test_resnet@{tmp_path / 'ddp.pt'}")
    for key, value in own.state_dict().items():
        assert torch.equal(loaded.module.state_dict()[key], value)


@pytest.mark.parametrize(
    ("spec", "missing", "extra"),
    [
        ("timm:test_vit", "timm", "zoo"),
        ("timm:test_vit", "torchvision", "zoo"),
        ("torchvision:resnet50", "torchvision", "zoo"),
        ("hf:folder", "transformers", "hf"),
        ("net.onnx", "onnx", "onnx"),
        ("net.onnx", "onnxruntime", "onnx"),
    ],
)
def test_missing_packages_name_their_extra(spec, missing, extra, request, monkeypatch):
    if missing == "timm":
        request.getfixturevalue("torchvision")
    if missing == "onnxruntime":
        pytest.importorskip("onnx")
    ours = tuple(f"wisecommittee.extraction.models.{start}" for start in ("from_", "onnx_"))
    for name in [name for name in sys.modules if name.startswith(ours)]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(
        MissingExtraError, match=rf"{missing} is not installed; run: pip install 'wisecommittee\[{extra}\]'"
    ):
        load_model(spec)


def test_code_says_what_it_knows(tmp_path, monkeypatch, vit_folder):
    (tmp_path / "said_nets.py").write_text(
        "from torch import nn\nfrom wisecommittee.extraction.models.spec import load_model\n"
        "def net(): return nn.Sequential(nn.Flatten(), nn.Linear(3072, 2))\n"
        f"net.preprocess = load_model('hf:{vit_folder}').preprocess\nnet.classes = ['cat', 'dog']\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    loaded = load_model("said_nets:net")
    assert loaded.input_size == (3, 32, 32)
    np.testing.assert_array_equal(loaded.columns(["dog", "cat"]), [1, 0])

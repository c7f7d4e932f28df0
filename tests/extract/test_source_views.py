"""Several views of a unit, and the preprocessing of another model."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from sources import Small, by_hand
from torch import nn

from wisecommittee.errors import (
    ContentError,
    UnknownNameError,
    UsageError,
)
from wisecommittee.extraction.extract import extract
from wisecommittee.extraction.models.loaded import wrap_module
from wisecommittee.extraction.models.macs import count_macs
from wisecommittee.extraction.models.preprocess import COUNTS, VIEWS
from wisecommittee.extraction.models.spec import load_model
from wisecommittee.store import LogitStore


def test_views(torchvision, images):
    from torchvision.transforms import functional

    loaded = load_model("torchvision:squeezenet1_1", random_weights=True)
    preset = torchvision.models.get_model_weights("squeezenet1_1").DEFAULT.transforms()
    for image in images[:2]:
        resized = functional.resize(image, preset.resize_size, antialias=True)
        tensors = [functional.pil_to_tensor(crop) / 255 for crop in functional.five_crop(resized, 224)]
        crops = functional.normalize(torch.stack(tensors), preset.mean, preset.std)
        expected = {
            "center": crops[4:],
            "flip": torch.cat([crops[4:], crops[4:].flip(-1)]),
            "fivecrop": crops,
            "tencrop": torch.cat([crops, crops.flip(-1)]),
        }
        for view, tensor in expected.items():
            made = VIEWS[view](loaded.preprocess, image)
            torch.testing.assert_close(made, tensor, rtol=0, atol=1e-6)
            assert len(made) == COUNTS[view]
    flipped = loaded.with_view("flip")
    inputs = torch.stack([flipped.preprocess(image) for image in images])
    with torch.no_grad():
        mean = torch.stack([loaded.module(views).mean(0) for views in inputs])
        np.testing.assert_allclose(flipped.module(inputs), mean, atol=1e-6)
    assert (flipped.name, flipped.input_size, flipped.unit_shape) == (
        "squeezenet1_1+flip",
        (3, 224, 224),
        (2, 3, 224, 224),
    )
    assert count_macs(flipped.module, inputs) == 2 * count_macs(loaded.module, inputs[:, 0])
    assert flipped.preprocess_key != loaded.preprocess_key
    assert loaded.with_view("center") is loaded
    assert loaded.at_size(256).with_view("flip").name == "squeezenet1_1@256+flip"


def test_views_that_are_refused(vit_folder, images):
    loaded = load_model(f"hf:{vit_folder}")
    with pytest.raises(UsageError, match="crops nothing; use center or flip"):
        loaded.with_view("fivecrop")
    with pytest.raises(UnknownNameError, match="did you mean 'flip'"):
        loaded.with_view("flips")
    with pytest.raises(UsageError, match="choose the input size before"):
        loaded.with_view("flip").at_size(48)
    with pytest.raises(UsageError, match="has a view already"):
        loaded.with_view("flip").with_view("flip")
    with pytest.raises(UsageError, match="views need preprocessing"):
        wrap_module(nn.Linear(2, 2), "net").with_view("flip")
    for wrong in (np.zeros((4, 4, 3), np.float32), np.zeros((4, 4, 2), np.uint8), "photo.png"):
        with pytest.raises(ContentError, match="expected"):
            loaded.preprocess(wrong)


def test_models_that_share_preprocessing_share_its_key(torchvision, vit_folder):
    first, second, third = (
        load_model(f"torchvision:{n}", random_weights=True).preprocess_key
        for n in ("squeezenet1_1", "shufflenet_v2_x0_5", "resnet50")
    )
    assert first == second != third
    assert wrap_module(nn.Linear(2, 2), "net").preprocess_key is None


def test_files_borrow_preprocessing(exported, vit_folder, torchvision):
    vit = load_model(f"hf:{vit_folder}")
    program = load_model(str(exported["traced.ts"])).with_preprocess_of(vit)
    assert program.preprocess_key == vit.preprocess_key
    assert list(program.classes.values()) == list(vit.classes.values())
    fixed = load_model(str(exported["any.pt2"])).with_preprocess_of(vit)
    assert fixed.preprocess_key == vit.at_size(16).preprocess_key
    assert fixed.input_size == (3, 16, 16)


@pytest.fixture
def lender(tmp_path, monkeypatch):
    """Code that says how images become tensors, at its own size and at others."""
    (tmp_path / "lending_nets.py").write_text(
        "import numpy as np, torch\nfrom torch import nn\n"
        "from wisecommittee.extraction.models.preprocess import Preprocess\n"
        "def halved(image): return torch.from_numpy(np.array(image)[:16, :16].transpose(2, 0, 1) / 510).float()\n"
        "def net(): return nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 4))\n"
        "net.preprocess, net.classes = Preprocess('halved', (3, 16, 16), halved), ['ant', 'bee', 'cat', 'dog']\n"
        "def five(): return nn.Linear(6, 5)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("WISECOMMITTEE_CACHE", str(tmp_path / "cache"))
    yield "lending_nets:net"
    sys.modules.pop("lending_nets", None)


@pytest.mark.parametrize("name", ["any.pt2", "two.pt2", "traced.ts"])
def test_a_file_runs_on_images(name, lender, exported, pillow, tmp_path):
    """With the preprocessing of the model that --preprocess names; its class names do not fit these five outputs."""
    pixels = np.random.default_rng(0).integers(0, 256, (10, 20, 18, 3), dtype=np.uint8)
    np.savez(tmp_path / "data.npz", images=pixels, labels=np.arange(10) % 5, classes=np.array(list("vwxyz")))
    store, spec = LogitStore(tmp_path / "logits"), str(exported[name])
    with pytest.raises(UsageError, match=rf"{Path(name).stem} in val: .*gives images.*preprocess='timm:resnet50'$"):
        extract([spec], "npz:data.npz", "val", store)
    (item,) = extract([spec], "npz:data.npz", "val", store, preprocess=lender, batch_size=4)
    inputs = torch.from_numpy(pixels[:, :16, :16].transpose(0, 3, 1, 2) / 510).float()
    np.testing.assert_allclose(store.outputs(Path(name).stem, "val"), by_hand(Small().eval(), inputs), atol=1e-6)
    assert (item.card.input_size, item.card.meta["preprocess"]) == ((3, 16, 16), "halved")
    for other, message in (
        (spec, "such a file holds no preprocessing"),
        ("lending_nets:five", "preprocess='lending_nets:five': defines no preprocessing"),
        ("lending_nets:nett", "did you mean 'net'"),
    ):
        with pytest.raises(UsageError, match=message):
            extract([spec], "npz:data.npz", "val", store, preprocess=other)
    with pytest.raises(UsageError, match="items are tensors, not images; leave preprocess= out"):
        extract([lender], "digits", "val", store, preprocess=lender)


def test_onnx_on_images_as_its_source_runs(onnx_files, timm, pillow, tmp_path, monkeypatch):
    """Exported from a timm model, it gives that model's logits on photographs, at its own size and at others."""
    monkeypatch.setenv("WISECOMMITTEE_CACHE", str(tmp_path / "cache"))
    torch.manual_seed(3)
    own = timm.create_model("test_resnet").eval()
    torch.save(own.state_dict(), tmp_path / "w.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        axes = {"x": {0: "n", 2: "h", 3: "w"}}
        inputs = (torch.rand(2, 3, 160, 160),)
        torch.onnx.export(own, inputs, tmp_path / "net.onnx", dynamo=True, verbose=False, dynamic_axes=axes)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 200, 230, 3), dtype=np.uint8)
    np.savez(tmp_path / "data.npz", images=pixels, labels=[0, 1, 0, 1], classes=np.array(["goldfish", "tench"]))
    store, options = LogitStore(tmp_path / "logits"), {"preprocess": "timm:test_resnet", "sizes": [160, 192]}
    specs = [str(tmp_path / "net.onnx"), f"timm:test_resnet@{tmp_path / 'w.pt'}"]
    extract(specs, f"npz:{tmp_path / 'data.npz'}", "val", store, **options)
    for size in (160, 192):
        source = store.outputs(f"test_resnet@{size}", "val")
        np.testing.assert_allclose(store.outputs(f"net@{size}", "val"), source, atol=1e-5)

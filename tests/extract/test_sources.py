"""Model sources against their own libraries: outputs, preprocessing, class order, sizes, cost; and every refusal."""

from __future__ import annotations

import builtins
import io
import json
import pickle
import sys
import urllib.error
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from wisecommittee.errors import (  # noqa: E402
    AbsentError,
    ContentError,
    CostError,
    MissingExtraError,
    UnknownNameError,
    UsageError,
    WiseCommitteeError,
)
from wisecommittee.extraction.extract import extract  # noqa: E402
from wisecommittee.extraction.models.classes import select_classes  # noqa: E402
from wisecommittee.extraction.models.macs import count_macs  # noqa: E402
from wisecommittee.extraction.models.preprocess import COUNTS, VIEWS  # noqa: E402
from wisecommittee.extraction.models.spec import load_model, wrap_module  # noqa: E402
from wisecommittee.store import LogitStore  # noqa: E402
from wisecommittee.store.readers.classes import read_classes  # noqa: E402

torch.set_num_threads(1)


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


def by_hand(module, inputs):
    """One unit at a time, with the library's own module."""
    with torch.no_grad():
        rows = [module(row[None]) for row in inputs]
    return torch.cat([getattr(row, "logits", row) for row in rows])


def same(loaded, module, inputs):
    with torch.no_grad():
        np.testing.assert_allclose(loaded.module(inputs), by_hand(module, inputs), rtol=0, atol=1e-6)


def same_in_a_worker(preprocess, image):
    """Loading processes get a pickled copy."""
    copied = pickle.loads(pickle.dumps(preprocess))
    assert copied.key == preprocess.key
    assert torch.equal(copied(image), preprocess(image))


def rgb(image):
    return image.convert("RGB")


# timm


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


# torchvision


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


# transformers


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


class Bomb:
    """Unpickled, it leaves a file behind."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return builtins.open, (self.mark, "w")


def test_hf_weights_are_not_unpickled(vit_folder, tmp_path):
    for file in ("config.json", "preprocessor_config.json"):
        (tmp_path / file).write_bytes((vit_folder / file).read_bytes())
    torch.save({"bomb": Bomb(tmp_path / "exploded")}, tmp_path / "pytorch_model.bin")
    with pytest.raises(WiseCommitteeError):
        load_model(f"hf:{tmp_path}")
    assert not (tmp_path / "exploded").exists()


# Files


class Small(nn.Module):
    def __init__(self, classes=5):
        super().__init__()
        torch.manual_seed(3)
        self.conv, self.norm, self.head = nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.Linear(8, classes)
        self.qkv = nn.Linear(8, 24)

    def forward(self, x):
        x = torch.relu(self.norm(self.conv(x))).flatten(2).transpose(1, 2)
        q, k, v = self.qkv(x)[:, None].chunk(3, dim=-1)  # one head
        return self.head(nn.functional.scaled_dot_product_attention(q, k, v)[:, 0].mean(dim=1))


SMALL_MACS = 49 * 8 * 27 + 49 * 8 * 24 + 2 * 49 * 49 * 8 + 8 * 5  # 16 x 16 pixels, 7 x 7 tokens


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


def check_file(path):
    loaded = load_model(str(path))
    inputs = torch.rand(5, 3, 16, 16)
    same(loaded, Small().eval(), inputs)
    assert count_macs(loaded.module, inputs) == SMALL_MACS
    assert (loaded.name, loaded.architecture, loaded.preprocess) == (path.stem, path.stem, None)
    return loaded


@pytest.mark.parametrize("name", ["any.pt2", "one.pt2", "two.pt2", "traced.ts", "frozen.ts"])
def test_torch_files(name, exported):
    loaded = check_file(exported[name])
    assert loaded.input_size == ((3, 16, 16) if name.endswith("pt2") else None)
    assert load_model(str(exported[name]), "small/1").name == "small/1"
    with pytest.raises(UsageError, match="--random-weights does not apply"):
        load_model(str(exported[name]), random_weights=True)
    with pytest.raises(UsageError, match=rf"{Path(name).stem}: cannot take another input size, 32"):
        loaded.at_size(32)


@pytest.mark.parametrize("name", ["any.onnx", "two.onnx"])
def test_onnx(name, onnx_files):
    loaded = check_file(onnx_files / name)
    # The norm is folded into the convolution; the scale of the attention is a number of the graph.
    assert loaded.params == sum(p.numel() for p in Small().parameters()) - 16 + 1
    assert loaded.input_size == (3, 16, 16)
    with pytest.raises(UsageError, match="fixed to inputs of 3 x 16 x 16"):
        loaded.at_size(32)
    weights = load_model(str(onnx_files / name)).weights
    if name == "two.onnx":  # weights in a file of their own
        beside = onnx_files / "two.onnx.data"
        before = beside.read_bytes()
        beside.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
        assert load_model(str(onnx_files / name)).weights != weights
        beside.write_bytes(before)


def graph(nodes, shape, initializers=(), domain=""):
    from onnx import TensorProto, helper, numpy_helper

    stored = [numpy_helper.from_array(np.ones(s, np.float32), n) for n, s in initializers]
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    made = [helper.make_node(kind, ins, outs, domain=domain, **more) for kind, ins, outs, more in nodes]
    return helper.make_model(
        helper.make_graph(made, "g", [value], [output], stored),
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("custom", 1)],
        ir_version=8,
    )


@pytest.mark.parametrize(
    ("node", "shape", "initializers", "macs"),
    [
        pytest.param(("Conv", {"group": 4}), (4, 8, 8), [("w", (8, 1, 3, 3))], 36 * 8 * 9, id="grouped conv"),
        pytest.param(
            ("ConvTranspose", {"strides": [2, 2]}), (4, 5, 5), [("w", (4, 6, 2, 2))], 25 * 4 * 6 * 4, id="transposed"
        ),
        pytest.param(("Gemm", {"transB": 1}), (12,), [("w", (5, 12))], 60, id="gemm"),
        pytest.param(("MatMul", {}), (10, 12), [("w", (12, 5))], 600, id="matmul on tokens"),
    ],
)
@pytest.mark.parametrize("batch", [1, 3])
def test_onnx_by_hand(node, shape, initializers, macs, batch):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    from wisecommittee.extraction.models.onnx_macs import count_graph

    kind, attributes = node
    model = graph([(kind, ["x", "w"], ["y"], attributes)], ("n", *shape), initializers)
    assert count_graph(model, shape, batch, "net") == macs


NESTED = {  # where a tensor can be in a model
    "an initializer": lambda model, w: model.graph.initializer.append(w),
    "a node": lambda model, w: model.graph.node[0].attribute.add(name="value", type=4).t.CopyFrom(w),
    "a graph in a node": lambda model, w: (
        model.graph.node[0].attribute.add(name="then_branch", type=5).g.initializer.append(w)
    ),
    "a function": lambda model, w: (
        model.functions.add(name="f").node.add().attribute.add(name="value", type=4).t.CopyFrom(w)
    ),
}


def external(place, location):
    """A model with a tensor there whose numbers are said to be in a file."""
    from onnx import TensorProto

    model = graph([("Relu", ["x"], ["y"], {})], ("n", 4))
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("length", "16")):
        tensor.external_data.add(key=key, value=value)
    NESTED[place](model, tensor)
    return model


@pytest.mark.parametrize("place", NESTED)
@pytest.mark.parametrize(
    "location", ["../secret", "{}/secret", "sub/../../secret", "link", "linked/secret", "sub/../link", "..\\secret"]
)
def test_weights_of_an_onnx_model_are_in_its_folder(place, location, tmp_path, monkeypatch):
    onnx = pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    inner = tmp_path / "inner"
    (inner / "sub").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(bytes(16))
    (inner / "link").symlink_to(tmp_path / "secret")
    (inner / "linked").symlink_to(tmp_path)
    (inner / "net.onnx").write_bytes(external(place, location.format(tmp_path)).SerializeToString())
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_, **__: pytest.fail("the runtime was asked"))
    monkeypatch.setattr(onnx, "load_external_data_for_model", lambda *_: pytest.fail("the file was opened"))
    with pytest.raises(ContentError, match=r"its weights are said to be in .* its folder .*expected a file in that"):
        load_model(str(inner / "net.onnx"))


@pytest.mark.parametrize("location", ["w.bin", "./w.bin", "sub/w.bin"])
def test_weights_of_an_onnx_model_beside_it_are_read(location, tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    (tmp_path / "sub").mkdir()
    (tmp_path / location).write_bytes(np.arange(4, dtype=np.float32).tobytes())
    model = external("an initializer", location)
    model.graph.node[0].op_type = "Mul"
    model.graph.node[0].input.append("w")
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    loaded = load_model(str(tmp_path / "net.onnx"))
    assert loaded.module(torch.ones(2, 4)).tolist() == [[0, 1, 2, 3]] * 2


def test_onnx_refuses_what_it_cannot_count(tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from wisecommittee.extraction.models.onnx_macs import count_graph

    model = graph([("Einsum", ["x", "x"], ["y"], {"equation": "ni,nj->nij"})], ("n", 4))
    with pytest.raises(CostError, match=r"net: no multiply-add formula for Einsum.*--macs N"):
        count_graph(model, (4,), 1, "net")
    with pytest.raises(CostError, match=r"formula for custom.MatMul"):
        count_graph(graph([("MatMul", ["x", "x"], ["y"], {})], ("n", 4), domain="custom"), (4,), 1, "net")
    onnx.save(graph([("Relu", ["x"], ["y"], {})], ("n", 4)), tmp_path / "relu.onnx")
    relu = load_model(str(tmp_path / "relu.onnx"))
    with pytest.raises(CostError, match="0 multiply-adds"):
        count_macs(relu.module, torch.empty(1, 4))


@pytest.mark.parametrize("ending", ["pt2", "ts", "onnx"])
def test_files_that_are_none(ending, tmp_path):
    if ending == "onnx":
        pytest.importorskip("onnx")
        pytest.importorskip("onnxruntime")
    with pytest.raises(AbsentError, match="there is no weights file"):
        load_model(str(tmp_path / f"missing.{ending}"))
    (tmp_path / f"text.{ending}").write_text("no model")
    with pytest.raises(ContentError, match=f"text.{ending}"):
        load_model(str(tmp_path / f"text.{ending}"))


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ("data/constants/opaque_obj_0", "would be unpickled"),
        ("data/constants/custom_obj_0", "would be unpickled"),
        ("data/aotinductor/model/x.so", "loaded as a library"),
        ("data/sample_inputs/model.pt", "without unpickling"),
        ("data/weights/model.pt", "without unpickling"),  # where older releases put a pickle
    ],
)
def test_exported_files_are_not_unpickled(record, message, exported, tmp_path):
    """An archive with a bomb in each of the places that torch.export.load unpickles."""
    pickled = io.BytesIO()
    torch.save((Bomb(tmp_path / "exploded"),), pickled)
    target = tmp_path / "any.pt2"
    with zipfile.ZipFile(exported["any.pt2"]) as old, zipfile.ZipFile(target, "w") as new:
        root = old.namelist()[0].partition("/")[0]
        for name in old.namelist():
            if name != f"{root}/{record}":
                new.writestr(name, old.read(name))
        new.writestr(f"{root}/{record}", pickled.getvalue())
    with pytest.raises(ContentError, match=message):
        load_model(str(target))
    assert not (tmp_path / "exploded").exists()


def test_the_bomb_explodes(tmp_path):
    torch.load(io.BytesIO(saved(Bomb(tmp_path / "exploded"))), weights_only=False).close()
    assert (tmp_path / "exploded").exists()


def saved(value):
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


# Views


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
    with pytest.raises(UsageError, match=rf"{Path(name).stem} in val: .*gives images.*--preprocess timm:resnet50$"):
        extract([spec], "npz:data.npz", "val", store)
    (item,) = extract([spec], "npz:data.npz", "val", store, preprocess=lender, batch_size=4)
    inputs = torch.from_numpy(pixels[:, :16, :16].transpose(0, 3, 1, 2) / 510).float()
    np.testing.assert_allclose(store.outputs(Path(name).stem, "val"), by_hand(Small().eval(), inputs), atol=1e-6)
    assert (item.card.input_size, item.card.meta["preprocess"]) == ((3, 16, 16), "halved")
    for other, message in (
        (spec, "such a file holds no preprocessing"),
        ("lending_nets:five", "lending_nets:five: defines no preprocessing"),
        ("lending_nets:nett", "did you mean 'net'"),
    ):
        with pytest.raises(UsageError, match=message):
            extract([spec], "npz:data.npz", "val", store, preprocess=other)
    with pytest.raises(UsageError, match="items are tensors, not images; leave --preprocess out"):
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


# Classes


def test_select_classes():
    model = ["tench", "goldfish", "great white shark", "Tench"]
    np.testing.assert_array_equal(select_classes(model, ["goldfish", "tench"]), [1, 0])
    np.testing.assert_array_equal(select_classes(model, ["Great_White_Shark", "Tench"]), [2, 3])
    np.testing.assert_array_equal(select_classes(None, ["a", "b", "c"]), [0, 1, 2])
    assert select_classes(model, model).dtype == np.int64
    with pytest.raises(ContentError, match=r"2 of 3 classes .*not among the model's 4: 'cat', 'dog' .*--classes FILE"):
        select_classes(model, ["cat", "tench", "dog"])
    with pytest.raises(ContentError, match="'crane' is the name of the model's outputs 0 and 2"):
        select_classes(["crane", "owl", "crane"], ["owl", "crane"])
    with pytest.raises(ContentError, match="'a' more than once"):
        select_classes(None, ["a", "b", "a"])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", "cat\ndog\n owl \n\n"),
        ("a.json", json.dumps(["cat", "dog", "owl"])),
        ("a.json", json.dumps({"2": "owl", "0": "cat", "1": "dog"})),
        ("a.json", json.dumps({"owl": 2, "cat": 0, "dog": 1})),
        ("a.csv", "cat\ndog\nowl\n"),
        ("a.csv", "class\ncat\ndog\nowl\n"),
        ("a.csv", "index,class\n1,dog\n0,cat\n2,owl\n"),
        ("a.csv", '0,cat\n1,dog\n2,"owl"\n'),
    ],
)
def test_read_classes(name, text, tmp_path):
    (tmp_path / name).write_text(text)
    assert read_classes(tmp_path / name) == ("cat", "dog", "owl")
    net = wrap_module(nn.Linear(2, 3), "net").with_classes(tmp_path / name)
    np.testing.assert_array_equal(net.columns(["owl"]), [2])
    with pytest.raises(ContentError, match="net: 1 of 1 classes of the data"):
        net.columns(["fox"])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "cat", "names 1 classes"),
        ("a.json", "{", "expected a name for every output"),
        ("a.json", '{"0": "cat", "2": "dog"}', "indices are not 0 to 1"),
        ("a.csv", "0,cat\nx,dog", "expected a name for every output"),
    ],
)
def test_class_files_that_are_refused(name, text, message, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(ContentError, match=message):
        read_classes(tmp_path / name)
    with pytest.raises(AbsentError, match="no such file"):
        read_classes(tmp_path / "missing")


# Cost

SWIN_T = (
    56 * 56 * 96 * 48
    + sum(
        depth * (tokens := (56 >> stage) ** 2) * (12 * (width := 96 << stage) ** 2 + 2 * 49 * width)
        for stage, depth in enumerate((2, 2, 6, 2))
    )
    + sum((28 >> stage) ** 2 * (4 * 96 << stage) * (2 * 96 << stage) for stage in range(3))
    + 768 * 1000
)


def macs_of(spec, size=224):
    loaded = load_model(spec, random_weights=True)
    return count_macs(loaded.module, torch.empty(1, 3, size, size), loaded.name)


@pytest.mark.parametrize(
    ("spec", "published"),
    [
        ("timm:resnet50", 4.089e9),
        ("timm:efficientnet_b0", 0.3858e9),
        ("timm:mobilenetv2_100", 0.3008e9),
        ("timm:vit_small_patch16_224", 4.60e9),
        ("timm:swin_tiny_patch4_window7_224", 4.491e9),
    ],
)
def test_published_cost_of_timm_models(spec, published, timm):
    assert macs_of(spec) == pytest.approx(published, rel=1e-3)


@pytest.mark.parametrize(
    "name", ["resnet50", "efficientnet_b0", "mobilenet_v2", "swin_t", "vit_b_32", "convnext_tiny", "regnet_y_400mf"]
)
def test_cost_in_torchvisions_own_table(name, torchvision):
    published = torchvision.models.get_model_weights(name).DEFAULT.meta["_ops"]
    assert macs_of(f"torchvision:{name}") / 1e9 == pytest.approx(published, abs=6e-4)


def test_swin_by_hand(torchvision):
    """Attention counted: 4.49 G; the 4.5 G of the paper are this, rounded."""
    assert macs_of("torchvision:swin_t") == SWIN_T


# Refusals


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

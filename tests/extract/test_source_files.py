"""Exported programs and ONNX files against the modules they were made of; and hostile files."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from sources import Bomb, Small, same, saved

from wisecommittee.errors import (
    AbsentError,
    ContentError,
    CostError,
    UsageError,
)
from wisecommittee.extraction.models.macs import count_macs
from wisecommittee.extraction.models.spec import load_model

SMALL_MACS = 49 * 8 * 27 + 49 * 8 * 24 + 2 * 49 * 49 * 8 + 8 * 5  # 16 x 16 pixels, 7 x 7 tokens


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

"""Damaged checkpoints: .pt as torch writes it, as it wrote it, as trainers nest it; .safetensors; programs; graphs."""

from __future__ import annotations

import json
import os
import pickle
import warnings
import zipfile
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from torch import nn

from fuzz.damage import damage_file, damaged, damaged_json
from fuzz.product import run
from wisecommittee.errors import WiseCommitteeError
from wisecommittee.extraction.models.spec import load_model
from wisecommittee.extraction.models.weights import load_weights

try:
    from safetensors.torch import save_file
except ModuleNotFoundError:
    save_file = None

try:
    import onnxruntime  # noqa: F401
    from onnx import TensorProto, helper, numpy_helper, save
except ModuleNotFoundError:
    save = None

WEIGHTS = ("plain.pt", "plain.pt", "old.pt", "nested.pt", "wrapped.pt", "plain.safetensors", "plain.safetensors")
PROGRAMS = ("script.ts", "exported.pt2")
NAMES = (*WEIGHTS, *PROGRAMS, *PROGRAMS, "graph.onnx", "graph.onnx")


def net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 3))


def make(folder: Path) -> None:
    os.chdir(folder)
    torch.manual_seed(0)
    state = net().state_dict()
    torch.save(state, folder / "plain.pt")
    torch.save(state, folder / "old.pt", _use_new_zipfile_serialization=False)
    torch.save({"epoch": 3, "optimizer": {"state": {0: torch.zeros(2)}}, "state_dict": state}, folder / "nested.pt")
    torch.save({f"module.{key}": value for key, value in state.items()}, folder / "wrapped.pt")
    if save_file is not None:
        save_file(state, folder / "plain.safetensors")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(net().eval(), torch.zeros(2, 1, 4, 4)).save(folder / "script.ts")
        torch.export.save(torch.export.export(net().eval(), (torch.zeros(2, 1, 4, 4),)), folder / "exported.pt2")
    if save is not None:
        save(_graph(), folder / "graph.onnx")
    np.savez(folder / "data.npz", images=np.zeros((4, 1, 4, 4), np.float32), labels=[0, 1, 2, 0])
    (folder / "case.json").write_text("{}")
    for name in PROGRAMS:
        code, _, err = run("extract", name, "--data", "npz:data.npz", "--store", "store")
        assert code == 0, err
        committee = {"version": 1, "stages": [[Path(name).stem]], "thresholds": []}
        (folder / f"{name}.json").write_text(json.dumps(committee))


def _graph() -> Any:
    """The net as ONNX, written node by node: no exporter is needed."""
    values = {name: numpy_helper.from_array(value.numpy(), name) for name, value in net().state_dict().items()}
    nodes = [
        helper.make_node("Conv", ["x", "0.weight", "0.bias"], ["a"]),
        helper.make_node("Flatten", ["a"], ["b"]),
        helper.make_node("Gemm", ["b", "2.weight", "2.bias"], ["y"], transB=1),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", 1, 4, 4))]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("n", 3))]
    graph = helper.make_graph(nodes, "net", inputs, outputs, list(values.values()))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


class Payload:
    """Unpickled without restraint it makes a folder where nobody may write."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (os.path.abspath("outside/ran"),)


def damage(folder: Path, random: Random) -> str:
    names = [name for name in NAMES if (folder / name).exists()]
    name = random.choice(names)
    (folder / "case.json").write_text(json.dumps(name))
    path = folder / name
    if random.random() < 0.5:
        return damage_file(path, random, [folder / other for other in names])
    if path.suffix == ".safetensors":
        return f"{name}: {_header(path, random)}"
    if path.suffix == ".onnx":
        return f"{name}: {_nodes(path, random)}"
    if random.random() < 0.5 or name in PROGRAMS:
        return f"{name}: {_members(path, random)}"
    return f"{name}: {_other(path, random)}"


def _members(path: Path, random: Random) -> str:
    """A member of the archive changed, with its checksum made right."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
    except zipfile.BadZipFile:
        return damage_file(path, random, [path])
    chosen = random.choice(sorted(members) + [name for name in members if name.endswith("data.pkl")] * 4)
    what = random.choice(("damaged", "damaged", "damaged", "removed", "bomb", "pickle"))
    method = zipfile.ZIP_STORED
    if what == "damaged":
        members[chosen], what = damaged(members[chosen], random, random.choice(list(members.values())))
    elif what == "removed":
        del members[chosen]
    elif what == "pickle":
        members[chosen] = pickle.dumps(Payload())
    else:
        method = zipfile.ZIP_DEFLATED
        members[chosen] = members[chosen] + bytes(random.choice((1 << 10, 1 << 20, 1 << 27)))
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return f"{chosen}: {what}"


def _header(path: Path, random: Random) -> str:
    """One place of the JSON that says what lies where."""
    data = path.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    text, done = damaged_json(json.loads(data[8:end]), random)
    header = text.encode("utf-8", "surrogateescape")
    path.write_bytes(len(header).to_bytes(8, "little") + header + data[end:])
    return done


def _nodes(path: Path, random: Random) -> str:
    """One place of the graph: weights that lie in another file, shapes, operators, names."""
    model = _graph()
    graph = model.graph
    what = random.choice(("outside", "outside", "shape", "operator", "names", "input", "output", "huge", "type"))
    place = random.randrange(len(graph.initializer))
    stored, node = graph.initializer[place], random.choice(graph.node)
    if what == "outside":
        os.mkfifo("pipe")
        where = random.choice(("pipe", "outside/file", "../case/outside/file", "/dev/zero", "none", "", ".", "a\0b"))
        what = f"{stored.name} in {where!r}"
        stored.ClearField("raw_data")
        stored.data_location = TensorProto.EXTERNAL
        for key, value in {"location": where, "offset": random.choice(("0", "x", "-1", "9" * 30))}.items():
            stored.external_data.add(key=key, value=value)
    elif what == "shape":
        stored.dims[0] = random.choice((0, -1, 1 << 40, (1 << 63) - 1, 7))
    elif what == "operator":
        node.op_type = random.choice(("", "Relu", "Loop", "If", "Einsum", "x" * 5000))
    elif what == "names":
        node.input[0] = node.output[0] = random.choice(("x", "y", "", "0.weight"))
    elif what == "input":
        del graph.input[:]
    elif what == "output":
        del graph.output[:]
    elif what == "huge":
        graph.initializer.append(numpy_helper.from_array(np.array([1 << 20, 1 << 20]), "sides"))
        graph.node.insert(0, helper.make_node("ConstantOfShape", ["sides"], ["0.bias"]))
        del graph.initializer[1]
    else:
        stored.data_type = random.choice((0, 2, 7, 8, 10, 16, 99))
    save(model, path)
    return what


def _other(path: Path, random: Random) -> str:
    """Values that are no state dict of this net."""
    state = net().state_dict()
    values: dict[str, Any] = {
        "numbered": dict(enumerate(state.values())),
        "a list": list(state.values()),
        "a number": 3,
        "nothing": None,
        "empty": {},
        "texts": dict.fromkeys(state, "x"),
        "numbers": dict.fromkeys(state, 1.5),
        "nested deeply": {"state_dict": {"state_dict": {"model": state}}},
        "nested list": {"state_dict": [1, 2]},
        "sparse": {key: value.to_sparse() for key, value in state.items()},
        "complex": {key: value.to(torch.complex64) for key, value in state.items()},
        "other shapes": {key: value[..., :1] for key, value in state.items()},
        "NaN": {key: value * float("nan") for key, value in state.items()},
        "more": {**state, "more": torch.zeros(1), "_metadata": 3},
        "mixed keys": {**state, 3: torch.zeros(1), ("a",): 1},
        "meta": {key: value.to("meta") for key, value in state.items()},
        "expanded": {key: torch.zeros(1).expand(value.shape) for key, value in state.items()},
        "huge": {key: torch.zeros(1).expand(1 << 40) for key in state},
        "tensors of text": {b"a": torch.zeros(1)},
        "an object": nn.Linear(1, 1),
    }
    what = random.choice(sorted(values))
    torch.save(values[what], path)
    return what


def attempt(folder: Path, random: Random) -> None:
    name = json.loads((folder / "case.json").read_text())
    if name in WEIGHTS:
        _fill(name)
    elif name in PROGRAMS and random.random() < 0.2:
        _named_by_a_card(name)
    elif random.random() < 0.3:
        run("extract", name, "--data", "npz:data.npz", "--store", "other")
    else:
        _load(name)


def _named_by_a_card(name: str) -> None:
    """A program that only the store names does not run, whatever is in it."""
    code, _, _ = run(
        "bench-models", "--committee", f"{name}.json", "--store", "store", "--data", "npz:data.npz", "--force"
    )
    assert code == 1, "it ran"


def _fill(name: str) -> None:
    """Weights that load fill every parameter; others are refused in a line."""
    module = net()
    shapes = [parameter.shape for parameter in module.parameters()]
    try:
        load_weights(module, Path(name), f"net.py:make@{name}")
    except WiseCommitteeError:
        return
    assert [parameter.shape for parameter in module.parameters()] == shapes


def _load(name: str) -> None:
    """A model that is named by the caller loads, or is refused in a line."""
    try:
        load_model(name)
    except WiseCommitteeError:
        return

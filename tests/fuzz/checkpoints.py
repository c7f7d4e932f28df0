"""Damaged checkpoints: .pt as torch writes it, as it wrote it, as trainers nest it, and .safetensors."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import nn

from fuzz.damage import damage_file, damaged
from wisecommittee.errors import WiseCommitteeError
from wisecommittee.extraction.models.weights import load_weights

try:
    from safetensors.torch import save_file
except ModuleNotFoundError:
    save_file = None

NAMES = ("plain.pt", "plain.pt", "old.pt", "nested.pt", "wrapped.pt", "plain.safetensors")


def net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 3))


def make(folder: Path) -> None:
    torch.manual_seed(0)
    state = net().state_dict()
    torch.save(state, folder / "plain.pt")
    torch.save(state, folder / "old.pt", _use_new_zipfile_serialization=False)
    torch.save({"epoch": 3, "optimizer": {"state": {0: torch.zeros(2)}}, "state_dict": state}, folder / "nested.pt")
    torch.save({f"module.{key}": value for key, value in state.items()}, folder / "wrapped.pt")
    if save_file is not None:
        save_file(state, folder / "plain.safetensors")
    (folder / "case.json").write_text("{}")


def damage(folder: Path, random: Random) -> str:
    names = [name for name in NAMES if (folder / name).exists()]
    name = random.choice(names)
    (folder / "case.json").write_text(json.dumps(name))
    path = folder / name
    if random.random() < 0.5 or path.suffix != ".pt":
        return damage_file(path, random, [folder / other for other in names])
    if random.random() < 0.5:
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
    what = random.choice(("damaged", "damaged", "damaged", "removed", "bomb"))
    method = zipfile.ZIP_STORED
    if what == "damaged":
        members[chosen], what = damaged(members[chosen], random, random.choice(list(members.values())))
    elif what == "removed":
        del members[chosen]
    else:
        method = zipfile.ZIP_DEFLATED
        members[chosen] = members[chosen] + bytes(random.choice((1 << 10, 1 << 20, 1 << 27)))
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return f"{chosen}: {what}"


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
    """Weights that load fill every parameter; others are refused in a line."""
    name = json.loads((folder / "case.json").read_text())
    module = net()
    shapes = [parameter.shape for parameter in module.parameters()]
    try:
        load_weights(module, Path(name), f"net.py:make@{name}")
    except WiseCommitteeError:
        return
    assert [parameter.shape for parameter in module.parameters()] == shapes

"""Tiny networks of three classes and eight inputs, and a store with their outputs, for the tests of exports."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from wisecommittee.committees.cards import ModelCard
from wisecommittee.store import LogitStore

UNITS, WIDTH, CLASSES = 240, 8, 3
SIZES = {"small": 2, "middle": 6, "large/0": 16, "large/1": 16}


def inputs() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((UNITS, WIDTH)).astype(np.float32)


def nets() -> dict[str, nn.Module]:
    """Networks of random weights; the larger ones are surer."""
    torch.manual_seed(0)
    made = {}
    for name, hidden in SIZES.items():
        module = nn.Sequential(nn.Linear(WIDTH, hidden), nn.ReLU(), nn.Linear(hidden, CLASSES))
        with torch.no_grad():
            module[2].weight.mul_(40)
        made[name] = module.eval()
    return made


def outputs(module: nn.Module, kind: str = "logits") -> np.ndarray:
    with torch.no_grad():
        rows = module(torch.from_numpy(inputs()))
        return (rows.softmax(1) if kind == "probabilities" else rows).numpy()


def stored(folder, modules: dict[str, nn.Module], kind: str = "logits") -> LogitStore:
    """A store with the outputs of the networks on split val; labels are what most networks predict."""
    store = LogitStore(folder)
    labels = sum(outputs(module) for module in modules.values()).argmax(axis=1)
    for name, module in modules.items():
        card = ModelCard(name, kind=kind, blocks={name: 10 * SIZES[name]})
        store.add(card, "val", labels=labels, outputs=outputs(module, kind))
    return store

"""Extraction of a real network over images, against the bare forward loop that keeps its outputs in memory."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from wisecommittee.extraction.data.wrap import wrap_data
from wisecommittee.extraction.extract import extract
from wisecommittee.extraction.models.loaded import wrap_module
from wisecommittee.store import LogitStore

UNITS, SIDE, CLASSES, BATCH, REPEATS = 4_096, 64, 100, 64, 5


class Block(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)])
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = torch.relu(self.norms[0](self.first(x)))
        return torch.relu(self.norms[1](self.second(inner)) + self.shortcut(x))


def small_resnet() -> nn.Module:
    """[n, 3, 64, 64] -> [n, 100], 28 M multiply-adds for an image."""
    torch.manual_seed(0)
    blocks = [Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2), Block(64, 128, 2)]
    stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
    return nn.Sequential(stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, CLASSES)).eval()


def bare(module: nn.Module, images: torch.Tensor, device: str) -> NDArray[np.float32]:
    module.to(device)
    with torch.inference_mode():
        batches = (images[i : i + BATCH].to(device) for i in range(0, len(images), BATCH))
        logits = np.concatenate([module(batch).cpu().numpy() for batch in batches])
    module.to("cpu")
    return logits


def both_seconds(actions: dict[str, Callable[[], object]]) -> dict[str, tuple[float, float]]:
    """Least (process, wall) time of each; they take turns, so that a busy machine slows both."""
    found = {name: (float("inf"), float("inf")) for name in actions}
    for _ in range(REPEATS):
        for name, action in actions.items():
            process, wall = time.process_time(), time.perf_counter()
            action()
            spent = time.process_time() - process, time.perf_counter() - wall
            found[name] = min(found[name][0], spent[0]), min(found[name][1], spent[1])
    return found


def run() -> list[dict]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # on a busy machine several would wait for each other, in both
    try:
        return [line for device in ("cpu", "cuda")[: 1 + torch.cuda.is_available()] for line in _measured(device)]
    finally:
        torch.set_num_threads(threads)


def _measured(device: str) -> list[dict]:
    images = torch.randn(UNITS, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(UNITS) % CLASSES
    module = small_resnet()
    data, loaded = wrap_data(lambda: (images, labels), "noise"), wrap_module(module, "resnet/0")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "logits")

        def extracted() -> None:
            shutil.rmtree(place, ignore_errors=True)
            extract([loaded], data, "val", LogitStore(place), device=device, batch_size=BATCH)

        extracted()  # imports and first calls
        close = 1e-6 if device == "cpu" else 1e-3  # a GPU may choose another layout
        np.testing.assert_allclose(
            LogitStore(place).outputs("resnet/0", "val"), bare(module, images, device), atol=close
        )
        seconds = both_seconds({"bare": lambda: bare(module, images, device), "extract": extracted})
    lines = []
    for place_of, kind in enumerate(("process", "wall")):
        ours, loop = seconds["extract"][place_of], seconds["bare"][place_of]
        lines.append(
            {
                "benchmark": f"extract {UNITS:,} x 3 x {SIDE} x {SIDE} on {device}, {kind} time",
                "cpu_seconds": round(ours, 3),
                "opponent": "the bare forward loop",
                "opponent_cpu_seconds": round(loop, 3),
                "ratio": round(ours / loop, 3),
            }
        )
    return lines


if __name__ == "__main__":
    for line in run():
        print(json.dumps(line))

"""A cascade in ONNX Runtime: one graph with conditions, one graph without, and the graphs of the stages with gathers in
numpy between them; against the last stage alone on every unit."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from benchmarks.timing import cpu_seconds
from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.exporting.export import export
from wisecommittee.exporting.golden import Wanted
from wisecommittee.exporting.manifest import Manifest, read_manifest
from wisecommittee.exporting.onnx_cascade import whole_cascade
from wisecommittee.exporting.replay import run_cascade, run_stages
from wisecommittee.exporting.run_onnx import opened

BATCHES, IMAGES, SIDE, EXITING = (1, 8, 64, 256), 1024, 32, 0.7


def net(width: int) -> nn.Module:
    """[n, 3, 32, 32] -> [n, 10]"""
    layers: list[nn.Module] = []
    for inputs, outputs in ((3, width), (width, 2 * width), (2 * width, 4 * width)):
        layers += [nn.Conv2d(inputs, outputs, 3, 2, 1), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, 10)).eval()


def run() -> list[dict]:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    nets = {"small": net(8), "large": net(48)}
    images = torch.randn(IMAGES, 3, SIDE, SIDE)
    with torch.no_grad():
        sure = nets["small"](images).softmax(dim=1).amax(dim=1)
    committee = Committee((("small",), ("large",)), Thresholds((float(sure.quantile(1 - EXITING)),)))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "exported"
        export(committee, "onnx", folder, nets, wanted=Wanted(images[:64]))
        return _measured(folder, read_manifest(folder), images.numpy())


def _measured(folder: Path, manifest: Manifest, images: np.ndarray) -> list[dict]:
    whole = manifest.graphs["cascade"]
    stages = [manifest.graphs[f"stage_{k}"] for k in (0, 1)]
    plain = whole_cascade([onnx.load(folder / stage.file) for stage in stages], ["inputs"], conditional=False)
    onnx.save(plain, folder / "plain.onnx")
    parts = [([spec.name for spec in stage.inputs], opened(folder / stage.file, stage)) for stage in stages]
    conditional, compacted = opened(folder / whole.file, whole), opened(folder / "plain.onnx", whole)
    sums = np.zeros((len(images), 10), np.float32)
    lines = []
    for size in BATCHES:
        batches = [{"inputs": images[start : start + size]} for start in range(0, len(images), size)]
        ways = {
            "large alone": lambda batch: parts[1][1]({**batch, "sum_before": sums[: len(batch["inputs"])]}),
            "stages": lambda batch: run_stages(parts, batch),
            "cascade with If": lambda batch: run_cascade(conditional, batch),
            "cascade without If": lambda batch: run_cascade(compacted, batch),
        }
        taken = {}
        for name, way in ways.items():
            taken[name] = cpu_seconds(lambda way=way, batches=batches: [way(batch) for batch in batches])
            ratio = round(taken["large alone"] / taken[name], 2)
            line = {"benchmark": f"export, batch {size}, {name}", "cpu_seconds": round(taken[name], 4), "ratio": ratio}
            lines.append(line | {"opponent": "the last stage alone on every unit"})
    return lines

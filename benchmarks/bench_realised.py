"""How much of a predicted saving becomes time: cascades of networks with random weights, in calls of 1 to 256 units.

Networks of torchvision where it is installed, else residual networks of similar size; images of 128 x 128 at random.
Thresholds let 70 % of the units exit at the first stage, and half of the others at the second of three.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.deployment.deployed import Deployed
from wisecommittee.deployment.interleaved import at_batch_size
from wisecommittee.deployment.timed_run import TimedRun
from wisecommittee.deployment.units import Units
from wisecommittee.extraction.models.loaded import LoadedModel, wrap_module
from wisecommittee.extraction.models.macs import count_macs
from wisecommittee.extraction.timing import device_name

SIZES = tuple(int(size) for size in os.environ.get("REALISED_SIZES", "1,8,64,256").split(","))
LAYOUT = os.environ.get("REALISED_LAYOUT", "contiguous")
LEAVING = (0.7, 0.5)  # share of the units that exit at each stage but the last
UNITS = 256
CASCADES = (("mobilenet_v3_large", "resnet50"), ("resnet18", "resnet50"), ("resnet18", "resnet34", "resnet50"))


class Net(NamedTuple):
    make: Callable[[], nn.Module]
    pixels: int


def zoo(pixels: int = 128) -> dict[str, Net]:
    """{name: network}; of torchvision, or else residual networks of the same names."""
    try:
        _without_detection()
        from torchvision import models
    except ImportError:
        return {name: Net(lambda depth=depth: residual(depth), pixels) for name, depth in DEPTHS.items()}
    return {name: Net(getattr(models, name), pixels) for name in DEPTHS}


def _without_detection() -> None:
    """torchvision beside a CPU build of torch fails at import unless two operators of detection are declared."""
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, name):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    KEPT.append(library)


KEPT: list[object] = []
DEPTHS = {
    "mobilenet_v3_large": (1, 1, 1, 1),
    "resnet18": (2, 2, 2, 2),
    "resnet34": (3, 4, 6, 3),
    "resnet50": (4, 6, 9, 5),
}


class Residual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.inner(x) + self.shortcut(x))


def residual(depths: Sequence[int]) -> nn.Module:
    """A residual network with so many blocks of 64, 128, 256 and 512 channels (He et al. 2016)."""
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 7, 2, 3), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    before = 64
    for level, depth in enumerate(depths):
        width = 64 << level
        for number in range(depth):
            layers.append(Residual(before, width, 2 if level and not number else 1))
            before = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 1000))


def cascade(names: Sequence[str]) -> tuple[list[TimedRun], list[float | None]]:
    """The cascade of these networks and the last of them alone, on random units; and their multiply-adds per unit."""
    torch.manual_seed(0)
    nets = zoo()
    models: dict[str, LoadedModel] = {}
    pixels = nets[names[0]].pixels
    images = torch.randn(UNITS, 3, pixels, pixels) * torch.rand(UNITS, 1, 1, 1)
    for name in names:
        models[name] = wrap_module(normalised(nets[name].make(), images[:16]), name)
    units = Units.of_tensors({None: images})
    macs = {name: count_macs(model.module, torch.empty(1, 3, pixels, pixels)) for name, model in models.items()}
    committee = Committee(tuple((name,) for name in names), Thresholds((2.0,) * (len(names) - 1)))
    scores = prefix_scores(models, units, names)
    committee = Committee(committee.stages, Thresholds(tuple(thresholds(scores))))
    alone = Committee(((names[-1],),))
    ids = [str(unit) for unit in range(UNITS)]
    runs = [TimedRun(Deployed(each, models, device="cpu", layout=LAYOUT), units, ids) for each in (committee, alone)]
    ran = runs[0].decide().ran.mean(axis=0)
    return runs, [float(np.dot(ran, [macs[name] for name in names])), float(macs[names[-1]])]


def normalised(module: nn.Module, images: torch.Tensor) -> nn.Module:
    """The module with the statistics of these images in its batch normalisations: its outputs differ between units."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = None
    with torch.no_grad():
        module.train()(images)
    return module.eval()


def prefix_scores(models: dict[str, LoadedModel], units: Units, names: Sequence[str]) -> list[np.ndarray]:
    """The confidence of every unit after each stage but the last: of a committee from which nobody exits earlier."""
    scores = []
    for size in range(1, len(names)):
        committee = Committee((tuple(names[:size]),))
        with Deployed(committee, models, device="cpu", batch_size=64) as run:
            scores.append(run(units).confidence)
    return scores


def thresholds(scores: Sequence[np.ndarray]) -> list[float]:
    """Thresholds that let the shares LEAVING of the units that are left exit."""
    left, values = np.ones(len(scores[0]), bool), []
    for score, share in zip(scores, LEAVING, strict=False):
        values.append(float(np.float32(np.quantile(score[left], 1 - share))))
        left &= score < values[-1]
    return values


def run() -> list[dict]:
    lines = []
    for names in CASCADES:
        runs, macs = cascade(names)
        leaving = (np.bincount(runs[0].decide().stage, minlength=len(names)) / UNITS).tolist()
        for size in SIZES:
            found = at_batch_size(runs, macs, size, seconds=float(os.environ.get("REALISED_SECONDS", "2")))
            (single,) = found.singles
            lines.append(
                {
                    "benchmark": f"{' | '.join(names)}, calls of {size}",
                    "cpu_seconds": round(found.time.median / 1e3, 5),
                    "ratio": round(single.of_latency.median, 2),
                    "opponent": f"predicted by passes; by multiply-adds {single.of_flops or 0:.2f}",
                    "device": device_name(torch.device("cpu")),
                    "threads": torch.get_num_threads(),
                    "torch": torch.__version__,
                    "layout": LAYOUT,
                    "exit_ratios": leaving,
                    **found.to_json(),
                }
            )
            print(lines[-1], file=sys.stderr, flush=True)
    return lines

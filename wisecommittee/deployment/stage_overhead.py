"""What a stage costs beside its members: gathering units, checks, copies, decisions and Python.

Measured on a cascade of two members that compute nothing, of whose units half exit at the first stage. Inputs and
outputs are as large as those of real members, because they are copied.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.deployment.deployed import Deployed
from wisecommittee.deployment.timed_run import TimedRun, spread
from wisecommittee.deployment.units import Units
from wisecommittee.extraction.models.loaded import LoadedModel
from wisecommittee.extraction.timing import device_name, rounded
from wisecommittee.store.stage_overhead import StageOverhead

SURE = 9.0  # the logit of one class of a unit that exits at the first stage; all others are 0


class Idle(nn.Module):
    """Gives the same rows float32 [most, C] for whatever inputs."""

    rows: torch.Tensor

    def __init__(self, rows: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("rows", rows)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.rows[: len(inputs)]


def measure_overhead(
    shape: tuple[int, ...], classes: int, device: torch.device, batch_size: int, seconds: float
) -> StageOverhead:
    """The overhead of a stage in latency_ms, of a unit by itself, and in batch_ms, per unit in calls of batch_size.

    shape : of one unit; classes : number of outputs; seconds : approximate time per figure
    """
    with _idle(shape, classes, device, (True,)) as leaving, _idle(shape, classes, device, (False,)) as staying:
        latency = spread(lambda: (leaving.elapsed() + staying.elapsed()) / 3, seconds)
    batch = latency
    if batch_size > 1:
        half = tuple(unit % 2 == 0 for unit in range(batch_size))
        passes = 2 * batch_size - sum(half)
        with _idle(shape, classes, device, half) as timed:
            batch = spread(lambda: timed.elapsed() / passes, seconds)
    figures = {"latency_ms": latency, "batch_ms": batch}
    conditions = {
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "batch_size": batch_size,
        "input_shape": list(shape),
        "classes": classes,
        **{f"{name}_quartiles": [rounded(each.q1), rounded(each.q3)] for name, each in figures.items()},
    }
    return StageOverhead({name: rounded(each.median) for name, each in figures.items()}, conditions)


@contextlib.contextmanager
def _idle(shape: tuple[int, ...], classes: int, device: torch.device, leaving: tuple[bool, ...]) -> Iterator[TimedRun]:
    """A cascade of two idle members on units of that shape. leaving : whether each of them exits at the first stage."""
    first = torch.zeros(len(leaving), classes)
    first[:, 0] = SURE * torch.tensor(leaving)
    rows = {"first": first, "second": torch.zeros_like(first)}
    models = {name: LoadedModel.called(name, Idle(given).eval(), "idle", "") for name, given in rows.items()}
    committee = Committee((("first",), ("second",)), Thresholds((0.75,)))
    units = Units.of_tensors({None: torch.zeros(len(leaving), *shape)})
    with Deployed(committee, models, device=str(device), batch_size=len(leaving)) as run:
        yield TimedRun(run, units, [str(unit) for unit in range(len(leaving))])

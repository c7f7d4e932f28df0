"""A whole cascade as one torch module: each later stage runs on the units that are left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from wisecommittee.exporting.graphs.stage import StageGraph

OUTPUTS = ("prediction", "stage", "confidence")
Decided = tuple[Tensor, Tensor, Tensor]


class CascadeGraph(nn.Module):
    """Inputs [n, ..] -> prediction int64 [n], stage int64 [n] and confidence float32 [n]. To be traced.

    The stages are unrolled, each inside a condition (torch.cond): one that no unit reaches costs nothing.
    """

    def __init__(self, stages: Sequence[StageGraph], inputs: Sequence[str]) -> None:
        super().__init__()
        self.stages, self.inputs = nn.ModuleList(stages), tuple(inputs)

    def forward(self, *tensors: Tensor) -> Decided:
        return self._from(0, dict(zip(self.inputs, tensors, strict=True)))

    def _from(self, number: int, tensors: dict[str, Tensor]) -> Decided:
        """The decisions on units that reach this stage."""
        stage = cast(StageGraph, self.stages[number])
        given = [tensors[name] for name in stage.names.taken]
        out = dict(zip(stage.names.outputs, stage(*given), strict=True))
        prediction, confidence = out["prediction"], out["confidence"]
        here = (prediction, torch.full_like(prediction, number), confidence)
        if stage.last:
            return here
        known = {name: tensors[name] for name in self.inputs}
        known |= {f"{name}_before": out[name] for name in ("sum", "votes") if name in out}
        names = list(known)

        def some(prediction: Tensor, stage: Tensor, confidence: Tensor, stays: Tensor, *values: Tensor) -> Decided:
            left = torch.nonzero(stays)[:, 0]
            torch._check(left.shape[0] >= 1)  # so that torch need not ask whether a batch is empty
            later = self._from(
                number + 1, {name: value.index_select(0, left) for name, value in zip(names, values, strict=True)}
            )
            return (
                prediction.index_copy(0, left, later[0]),
                stage.index_copy(0, left, later[1]),
                confidence.index_copy(0, left, later[2]),
            )

        def none(prediction: Tensor, stage: Tensor, confidence: Tensor, stays: Tensor, *values: Tensor) -> Decided:
            return prediction.clone(), stage.clone(), confidence.clone()

        stays = ~out["exit"]
        decided: Decided = torch.cond(stays.any(), some, none, (*here, stays, *known.values()))
        return decided

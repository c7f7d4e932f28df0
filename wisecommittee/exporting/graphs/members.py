"""Members as torch modules: from inputs to outputs as they were stored, and to the rows that are summed."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from wisecommittee.committees.combine import PROBABILITY_TOLERANCE, Combine
from wisecommittee.exporting.graphs.calibrations import as_logits, calibrated
from wisecommittee.exporting.graphs.rows import softmax
from wisecommittee.extraction.models.macs import floating_dtype
from wisecommittee.extraction.models.outputs import logits_of
from wisecommittee.runtime.membership import Membership


class MemberGraph(nn.Module):
    """Inputs [n, ..] -> outputs float32 [n, C], of the kind and with the columns that the store has."""

    def __init__(self, module: nn.Module, membership: Membership) -> None:
        super().__init__()
        self.module, self.membership = module, membership
        self.softmax_behind = False  # of members chosen on probabilities that give logits
        self.dtype = floating_dtype(module)

    def outputs(self, inputs: Tensor) -> Tensor:
        """All outputs float32 of the module."""
        given: Any = self.module(inputs.to(self.dtype) if inputs.is_floating_point() else inputs)
        return logits_of(given).float()

    def forward(self, *tensors: Tensor) -> Tensor:
        (inputs,) = tensors
        rows = self.outputs(inputs)
        if self.membership.kind == "probabilities":
            rows = softmax(rows) if self.softmax_behind else _normalised(rows)
        columns = self.membership.columns
        return rows if columns is None else rows.index_select(1, torch.from_numpy(columns))

    def summands(self, rows: Tensor, rule: Combine) -> Tensor:
        """The rows that are summed, from stored ones; a row with a number that is not finite is NaN throughout."""
        member = self.membership
        finite = torch.isfinite(rows).all(dim=1, keepdim=True)
        if member.calibration is not None:
            rows = calibrated(as_logits(rows, member.kind), member.calibration)
        if rule.name == "mean_logits":
            rows = as_logits(rows, member.rows_kind)
        elif rule.name == "mean_probs" and member.rows_kind == "logits":
            rows = softmax(rows)
        return torch.where(finite, rows, torch.nan)


def _normalised(rows: Tensor) -> Tensor:
    """Probabilities; rows whose sum misses 1 by more than a store allows are divided by it."""
    sums = rows.sum(dim=1, keepdim=True)
    return torch.where((sums - 1).abs() > PROBABILITY_TOLERANCE, rows / sums, rows)

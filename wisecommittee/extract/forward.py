"""One forward pass: inputs [n, ..] -> checked logits float32 [n, C] on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from wisecommittee.errors import ContentError, UsageError, WiseCommitteeError
from wisecommittee.extract.macs import floating_dtype
from wisecommittee.store import gate


def pick_device(device: str) -> torch.device:
    """'auto' is the first of cuda, mps, cpu that is there."""
    if device == "auto":
        return torch.device(
            "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        )
    try:
        target = torch.device(device)
        torch.empty(1, device=target)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UsageError(
            f"device {device!r} is not to be had here ({str(error).splitlines()[0]}); try auto or cpu"
        ) from error
    return target


def forward(module: nn.Module, inputs: torch.Tensor, what: str) -> NDArray[np.float32]:
    """Logits float32 [n, C] on the CPU, checked. inputs : [n, ..] on any device."""
    parameter = next(module.parameters(), None)
    device = inputs.device if parameter is None else parameter.device
    dtype = floating_dtype(module) if inputs.is_floating_point() else inputs.dtype
    try:
        with torch.inference_mode():
            outputs = module(inputs.to(device, dtype))
    except torch.OutOfMemoryError as error:
        raise WiseCommitteeError(
            f"{what}: {device} ran out of memory at {len(inputs)} units; use a smaller --batch-size"
        ) from error
    except Exception as error:
        raise WiseCommitteeError(
            f"{what}: its forward pass raised {type(error).__name__} on inputs of shape {list(inputs.shape)}: {error}"
        ) from error
    outputs = _logits(outputs, what)
    if outputs.ndim != 2 or outputs.shape[0] != len(inputs) or not outputs.is_floating_point():
        raise ContentError(
            f"{what}: {outputs.dtype} outputs of shape {list(outputs.shape)} for {len(inputs)} units; "
            f"expected floating point logits [{len(inputs)}, classes]"
        )
    logits = outputs.float().cpu().numpy()
    gate.check_outputs(logits, "logits", what, warn=False)
    return logits


def _logits(outputs: Any, what: str) -> torch.Tensor:
    if isinstance(outputs, torch.Tensor):
        return outputs
    if isinstance(found := getattr(outputs, "logits", None), torch.Tensor):
        return found
    values = list(outputs.values()) if isinstance(outputs, dict) else outputs
    if isinstance(outputs, dict) and isinstance(outputs.get("logits"), torch.Tensor):
        return outputs["logits"]
    if isinstance(values, (tuple, list)) and len(values) == 1 and isinstance(values[0], torch.Tensor):
        return values[0]
    shown = f"{type(outputs).__name__}" + (f" with {', '.join(map(str, outputs))}" if isinstance(outputs, dict) else "")
    raise ContentError(
        f"{what}: its forward pass returned a {shown}; expected a tensor of logits [n, classes], or .logits"
    )

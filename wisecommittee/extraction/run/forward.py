"""Forward passes of one model: inputs [n, ..] -> checked logits float32 [n, C] on the CPU.

If memory runs out, the batch and all later ones run in halves. Batches with NaN or infinity in reduced precision are
computed again in float32.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from wisecommittee.errors import ContentError, OutOfMemoryError, UsageError, WiseCommitteeError, first_line
from wisecommittee.extraction.models.macs import floating_dtype
from wisecommittee.extraction.models.outputs import logits_of

PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
LAYOUTS = ("auto", "contiguous", "channels_last")
TIMED_PASSES = 3


def pick_device(device: str) -> torch.device:
    """'auto' is the first available of cuda, mps, cpu."""
    if device == "auto":
        return torch.device(
            "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        )
    try:
        target = torch.device(device)
        torch.empty(1, device=target)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UsageError(f"device {device!r} is not to be had here ({first_line(error)}); try auto or cpu") from error
    return target


class Forward:
    """A module on a device for as long as the context lasts; afterwards it is back on the CPU as it was.

    what : its name in messages; precision : 'float32', or 'bfloat16' or 'float16' for autocast; layout : of inputs [n,
    C, H, W] and of the weights that meet them, 'contiguous' or 'channels_last'; at_once : units in one pass, lowered
    when memory runs out.
    """

    def __init__(
        self,
        module: nn.Module,
        what: str,
        device: torch.device,
        *,
        precision: str = "float32",
        layout: str = "contiguous",
    ) -> None:
        self.module, self.what, self.device = module, what, device
        self.precision, self.layout = precision, layout
        self.at_once: int | None = None
        self._dtype = floating_dtype(module)
        self._warned_of_precision = False

    def __enter__(self) -> Self:
        try:
            self.module.to(self.device)
        except Exception as error:
            self.module.to("cpu")
            if is_out_of_memory(error):
                raise OutOfMemoryError(f"{self.what}: {self.device} has no room for its weights") from error
            raise
        self._arrange(self.layout)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._arrange("contiguous")
        self.module.to("cpu")

    def _arrange(self, layout: str) -> None:
        if "channels_last" in (layout, self.layout):
            channels_last = layout == "channels_last"
            self.module.to(memory_format=torch.channels_last if channels_last else torch.contiguous_format)  # type: ignore[call-overload]
        self.layout = layout

    def pick_layout(self, inputs: torch.Tensor) -> str:
        """channels_last if these inputs [n, C, H, W] go through no slower than in the other layout, measured."""
        if inputs.ndim != 4 or not any(parameter.ndim == 4 for parameter in self.module.parameters()):
            return self.layout
        seconds: dict[str, float] = {}
        for layout in ("channels_last", "contiguous"):
            self._arrange(layout)
            self(inputs)
            seconds[layout] = self.seconds(inputs)
        if seconds["channels_last"] <= seconds["contiguous"]:
            self._arrange("channels_last")
        return self.layout

    def seconds(self, inputs: torch.Tensor) -> float:
        """Wall time of a batch, the least of a few."""
        best = float("inf")
        for _ in range(TIMED_PASSES):
            started = time.perf_counter()
            self(inputs)
            best = min(best, time.perf_counter() - started)
        return best

    def __call__(
        self, inputs: torch.Tensor, unit_ids: Sequence[str] | None = None, start: int = 0
    ) -> NDArray[np.float32]:
        """Logits float32 [n, C]. inputs : [n, ..] on any device; unit_ids and start : the units' names and rows."""
        parts: list[torch.Tensor] = []
        done = 0
        while done < len(inputs):
            stop = len(inputs) if self.at_once is None else min(len(inputs), done + self.at_once)
            reason = None
            try:
                parts.append(self._finite(inputs[done:stop], unit_ids, start, done))
            except WiseCommitteeError:
                raise
            except Exception as error:
                if not is_out_of_memory(error):
                    raise WiseCommitteeError(
                        f"{self.what}: its forward pass raised {type(error).__name__} on inputs of shape "
                        f"{list(inputs.shape)}: {error}"
                    ) from error
                reason = first_line(error)
            if reason is None:
                done = stop
            else:  # outside the handler: the error's frames held the memory that is needed now
                self._halve(stop - done, reason)
        return (parts[0] if len(parts) == 1 else torch.cat(parts)).numpy()

    def _halve(self, units: int, reason: str) -> None:
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if units == 1:
            raise WiseCommitteeError(
                f"{self.what}: {self.device} ran out of memory at a single unit ({reason}); use another device, "
                f"or fewer models at a time"
            )
        if self.at_once is None:
            warnings.warn(
                f"{self.what}: {self.device} ran out of memory at {units} units; going on with halves of a batch "
                f"(a smaller batch size avoids the attempt)",
                stacklevel=3,
            )
        self.at_once = units // 2

    def _finite(self, inputs: torch.Tensor, unit_ids: Sequence[str] | None, start: int, done: int) -> torch.Tensor:
        """Logits float32 [n, C] on the CPU, every one a number."""
        logits = self._logits(inputs, PRECISIONS[self.precision])
        if _all_finite(logits):
            return logits
        if self.precision != "float32":
            again = self._logits(inputs, None)
            if _all_finite(again):
                if not self._warned_of_precision:
                    warnings.warn(
                        f"{self.what}: NaN or infinity in {self.precision}; such batches are computed in float32",
                        stacklevel=4,
                    )
                self._warned_of_precision = True
                return again
            logits = again
        row, column = (int(indices[0]) for indices in torch.nonzero(~torch.isfinite(logits), as_tuple=True))
        unit = f" (unit {unit_ids[done + row]!r})" if unit_ids is not None else ""
        raise ContentError(
            f"{self.what}: NaN or infinity, {logits[row, column]} in row {start + done + row}{unit}, class {column}; "
            f"expected finite logits; mend the model, or leave the unit out of the data"
        )

    def _logits(self, inputs: torch.Tensor, autocast: torch.dtype | None) -> torch.Tensor:
        dtype = self._dtype if inputs.is_floating_point() else inputs.dtype
        inputs = inputs.to(self.device, dtype, non_blocking=True)
        if self.layout == "channels_last" and inputs.ndim == 4:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(), torch.autocast(self.device.type, autocast, enabled=autocast is not None):
            outputs = self.module(inputs)
        try:
            outputs = logits_of(outputs)
        except ContentError as error:
            raise ContentError(f"{self.what}: {error}") from error
        if outputs.ndim != 2 or outputs.shape[0] != len(inputs) or not outputs.is_floating_point():
            raise ContentError(
                f"{self.what}: {outputs.dtype} outputs of shape {list(outputs.shape)} for {len(inputs)} units; "
                f"expected floating point logits [{len(inputs)}, classes]"
            )
        if outputs.shape[1] < 2:
            raise ContentError(
                f"{self.what}: outputs of shape {list(outputs.shape)}; expected [units, classes], 2 classes or more"
            )
        return outputs.float().cpu()


def is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    signs = ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in signs)


def _all_finite(logits: torch.Tensor) -> bool:
    return bool(torch.isfinite(logits).all())

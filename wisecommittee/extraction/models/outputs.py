"""The result of a forward pass -> its tensor of logits."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from wisecommittee.errors import ContentError


def logits_of(outputs: Any) -> Tensor:
    """A tensor itself, its `logits`, or the only one in a dict, tuple or list; ContentError names any other result."""
    if isinstance(outputs, Tensor):
        return outputs
    named = outputs.get("logits") if isinstance(outputs, dict) else getattr(outputs, "logits", None)
    values = list(outputs.values()) if isinstance(outputs, dict) else outputs
    if named is None and isinstance(values, (tuple, list)) and len(values) == 1:
        named = values[0]
    if isinstance(named, Tensor):
        return named
    shown = f"{type(outputs).__name__}" + (f" with {', '.join(map(str, outputs))}" if isinstance(outputs, dict) else "")
    raise ContentError(f"its forward pass returned a {shown}; expected a tensor of logits [n, classes], or .logits")

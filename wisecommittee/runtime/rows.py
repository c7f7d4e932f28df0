"""Inputs of units in any container: sequences, arrays, sparse matrices, tables, or a value with `only` and a length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def count(inputs: Any) -> int:
    """The number of units."""
    return int(inputs.shape[0]) if hasattr(inputs, "shape") else len(inputs)


def taken(inputs: Any, chosen: NDArray[np.int64]) -> Any:
    """The units at these positions."""
    if hasattr(inputs, "only"):
        return inputs.only(chosen)
    if hasattr(inputs, "iloc"):
        return inputs.iloc[chosen]
    return inputs[chosen] if hasattr(inputs, "shape") else [inputs[row] for row in chosen]


def slices(inputs: Any, size: int) -> Sequence[Any]:
    """Consecutive parts of at most `size` units; the inputs themselves if they are one part."""
    n = count(inputs)
    if n <= size:
        return [inputs] if n else []
    if hasattr(inputs, "only") or hasattr(inputs, "iloc"):
        return [taken(inputs, np.arange(start, min(start + size, n))) for start in range(0, n, size)]
    return [inputs[start : start + size] for start in range(0, n, size)]

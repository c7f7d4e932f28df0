"""Inputs of units in any container: sequences, arrays, sparse matrices, tables, or a value with `only`, `joined` and a
length."""

from __future__ import annotations

import sys
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import UsageError


def count(inputs: Any) -> int:
    """The number of units; UsageError for a value that holds no units."""
    try:
        return int(inputs.shape[0]) if hasattr(inputs, "shape") else len(inputs)
    except (TypeError, IndexError):
        raise UsageError(
            f"inputs: a {type(inputs).__name__}; expected n units, in a list, an array [n, ..], a tensor or a table"
        ) from None


def taken(inputs: Any, chosen: NDArray[np.int64]) -> Any:
    """The units at these positions."""
    if hasattr(inputs, "only"):
        return inputs.only(chosen)
    if hasattr(inputs, "iloc"):
        return inputs.iloc[chosen]
    return inputs[chosen] if hasattr(inputs, "shape") else [inputs[row] for row in chosen]


def unit(inputs: Any, row: int) -> Any:
    """The input of one unit: an element of a sequence, a row of an array or a table."""
    if hasattr(inputs, "only"):
        return inputs.only(np.array([row]))
    return inputs.iloc[row] if hasattr(inputs, "iloc") else inputs[row]


def slices(inputs: Any, size: int) -> Sequence[Any]:
    """Consecutive parts of at most `size` units; the inputs themselves if they are one part."""
    n = count(inputs)
    if n <= size:
        return [inputs] if n else []
    if hasattr(inputs, "only") or hasattr(inputs, "iloc"):
        return [taken(inputs, np.arange(start, min(start + size, n))) for start in range(0, n, size)]
    return [inputs[start : start + size] for start in range(0, n, size)]


def form(inputs: Any) -> Hashable:
    """Equal for inputs that can be joined."""
    if hasattr(inputs, "form"):
        return (type(inputs), inputs.form)
    if hasattr(inputs, "iloc"):
        return (type(inputs), tuple(inputs.columns), *map(str, inputs.dtypes))
    if hasattr(inputs, "shape"):
        device = str(getattr(inputs, "device", ""))
        dtype = getattr(inputs, "dtype", None)
        is_text = getattr(dtype, "kind", "") in "US" and dtype is not None
        return (type(inputs), tuple(inputs.shape[1:]), "text" if is_text else str(dtype), device)
    return "sequence"


def joined(parts: Sequence[Any]) -> Any:
    """The units of all parts, which have the same form, in their order; sequences become a list."""
    first = parts[0]
    if len(parts) == 1:
        return first
    if hasattr(first, "joined"):
        return first.joined(parts[1:])
    if isinstance(first, np.ndarray):
        return np.concatenate(parts)
    library = type(first).__module__.split(".")[0]
    if hasattr(first, "iloc"):
        return sys.modules[library].concat(list(parts))
    if library == "torch":
        return sys.modules["torch"].cat(list(parts))
    if library == "scipy":
        return sys.modules["scipy.sparse"].vstack(parts, format=first.format)
    if hasattr(first, "__array_namespace__"):
        return first.__array_namespace__().concat(list(parts))
    if hasattr(first, "shape"):
        raise UsageError(f"inputs of type {type(first).__name__}: no way is known to join them; give numpy arrays")
    return [each for part in parts for each in part]

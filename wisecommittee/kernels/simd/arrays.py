"""New arrays within kernels: empty, zeros (shape, dtype), as numpy's.

For numpy's own functions, numba compiles a function and its allocators anew for each dtype and number of axes: a tenth
of the compile time of a first search.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import config, types
from numba.core import cgutils
from numba.core.imputils import impl_ret_new_ref
from numba.extending import intrinsic

try:
    from numba.np.arrayobj import _empty_nd_impl as allocate
except ImportError:  # numba does not promise to keep this import
    allocate = None  # type: ignore[assignment]


def _allocating(clear: bool) -> Callable[..., Any]:
    def typed(typing_context: Any, shape: Any, dtype: Any) -> Any:
        several = isinstance(shape, types.BaseTuple)
        axes = list(shape) if several else [shape]
        kind = types.Array(dtype.dtype, len(axes), "C")

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            sizes = [builder.extract_value(arguments[0], i) for i in range(len(axes))] if several else arguments[:1]
            sizes = [context.cast(builder, size, axis, types.intp) for size, axis in zip(sizes, axes, strict=True)]
            array = allocate(context, builder, kind, sizes)
            if clear:
                cgutils.memset(builder, array.data, builder.mul(array.itemsize, array.nitems), 0)
            return impl_ret_new_ref(context, builder, kind, array._getvalue())

        return kind(shape, dtype), codegen

    return typed


if config.DISABLE_JIT or allocate is None:  # type: ignore[attr-defined]
    empty, zeros = np.empty, np.zeros
else:
    empty, zeros = intrinsic(_allocating(clear=False)), intrinsic(_allocating(clear=True))

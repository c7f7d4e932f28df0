"""The JIT policy: which compile options the kernels use, and why.

Kernels are serial and release the GIL; callers run them in Python threads over blocks. A cached parallel=True kernel
has a crash history (numba #4807, #8578, #10128). Floating-point flags are the fewest that let a loop vectorise:

njit_exact  no reordering: integers, comparisons, and the polynomial of exp, whose error terms must stay where they are
njit_inner  the same, for functions that only other kernels call; njit_poly and njit_sums are such functions too
njit_poly   products and sums may be contracted njit_sums   sums may be reassociated into lanes. Inputs are finite
(store/checks.py), but sums of masked classes may overflow: nothing promises finite numbers, and that none is NaN, which
max needs, only for classes that can win
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, njit, types
from numba.core import event
from numba.core.caching import FunctionCache
from numba.core.registry import CPUDispatcher
from numba.extending import intrinsic

# numba reuses compiled code as long as the file of the function is unchanged; but a kernel calls functions of others.
_SOURCES = hashlib.sha256(
    b"".join(file.read_bytes() for file in sorted(Path(__file__).parent.rglob("*.py")))
).hexdigest()


class _Inner(CPUDispatcher):
    """A kernel without a wrapper for Python: without this check, a call from Python would jump to no address."""

    def __call__(self, *arguments: Any) -> Any:
        raise TypeError(
            f"{self.py_func.__name__} is for other kernels: only what njit_exact decorates runs from Python."
        )


class _Cache(FunctionCache):
    """Compiled code on disk, thrown away when any kernel's source changes; a file that cannot be read is replaced."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._cache_file._source_stamp = (self._cache_file._source_stamp, _SOURCES)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # whatever unpickling a damaged file raises
            with contextlib.suppress(OSError):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError:
            self.disable()
            _warn_uncached()


@functools.cache
def _warn_uncached() -> None:
    warnings.warn(
        "compiled code cannot be kept, so every run compiles anew, half a minute each time; set NUMBA_CACHE_DIR to a "
        "folder that can be written",
        stacklevel=4,
    )


def _kernel(inner: bool = True, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    # C wrappers, which nothing calls, would take a quarter of the time to compile; Python wrappers a little more.
    options |= {"no_cfunc_wrapper": True, "no_cpython_wrapper": inner}

    def compiled(function: Callable[..., Any]) -> Any:
        dispatcher = njit(nogil=True, error_model="numpy", **options)(function)
        if config.DISABLE_JIT:  # type: ignore[attr-defined]
            return dispatcher
        if inner:
            dispatcher.__class__ = _Inner
        try:
            dispatcher._cache = _Cache(function)
        except RuntimeError:  # numba finds no folder that it may write to
            _warn_uncached()
        return dispatcher

    return compiled


njit_exact = _kernel(inner=False, boundscheck=None)
njit_inner = _kernel(boundscheck=None)
njit_poly = _kernel(fastmath={"contract", "nnan", "nsz"})
njit_sums = _kernel(fastmath={"reassoc", "contract", "nnan", "nsz"})


if config.DISABLE_JIT:  # type: ignore[attr-defined]
    # The same in plain Python, for a run that checks bounds and coverage.
    def larger(a, b):
        return a if a > b else b

    def float_bits(value):
        return np.float32(value).view(np.int32)

    def bits_float(value):
        return np.int32(value).view(np.float32)

    def trailing_zeros(value):
        return np.uint64((int(value) & -int(value)).bit_length() - 1)

    def ones(value):
        return np.uint64(int(value).bit_count())
else:

    @intrinsic
    def larger(typing_context, a, b):
        """max(a, b) of float32 values that are never NaN, in the one form LLVM vectorises as a reduction."""

        def codegen(context, builder, signature, arguments):
            flags = ("nnan", "nsz")
            compare = builder.fcmp_ordered(">", arguments[0], arguments[1], flags=flags)
            return builder.select(compare, arguments[0], arguments[1], flags=flags)

        return types.float32(types.float32, types.float32), codegen

    @intrinsic
    def float_bits(typing_context, value):
        """The bits of a float32 as int32."""

        def codegen(context, builder, signature, arguments):
            return builder.bitcast(arguments[0], ir.IntType(32))

        return types.int32(types.float32), codegen

    @intrinsic
    def bits_float(typing_context, value):
        """The float32 with these int32 bits."""

        def codegen(context, builder, signature, arguments):
            return builder.bitcast(arguments[0], ir.FloatType())

        return types.float32(types.int32), codegen

    @intrinsic
    def trailing_zeros(typing_context, value):
        """The number of the lowest bit that is set in a uint64 other than 0."""

        def codegen(context, builder, signature, arguments):
            return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

        return types.uint64(types.uint64), codegen

    @intrinsic
    def ones(typing_context, value):
        """How many bits of a uint64 are set."""

        def codegen(context, builder, signature, arguments):
            return builder.ctpop(arguments[0])

        return types.uint64(types.uint64), codegen


_LOG2E = np.float32(1.4426950408889634)
_MAGIC = np.float32(12582912.0)  # 1.5 * 2**23: adding it rounds to an integer that sits in the low bits
_LN2_HIGH = np.float32(0.693359375)
_LN2_LOW = np.float32(-2.12194440e-4)
_LEAST = np.float32(-87.0)
_C6, _C5, _C4 = np.float32(1.9875691500e-4), np.float32(1.3981999507e-3), np.float32(8.3334519073e-3)
_C3, _C2, _C1 = np.float32(4.1665795894e-2), np.float32(1.6666665459e-1), np.float32(5.0000001201e-1)
_ONE = np.float32(1.0)


@njit_poly
def exp_nonpositive(x):
    """exp(x) for float32 x <= 0, within 2 ulp above -87 (below, exp(-87)): the Cephes polynomial, branch-free.

    PyPI's llvmlite has no SVML, so math.exp would be one call per element; this vectorises.
    """
    x = larger(x, _LEAST)
    t = x * _LOG2E + _MAGIC
    n = t - _MAGIC
    r = x - n * _LN2_HIGH
    r = r - n * _LN2_LOW
    p = _C6
    p = p * r + _C5
    p = p * r + _C4
    p = p * r + _C3
    p = p * r + _C2
    p = p * r + _C1
    p = p * r * r + r + _ONE
    return p * bits_float((float_bits(t) << np.int32(23)) + np.int32(0x3F800000))


@njit_exact
def _nothing():
    return 0


def load() -> None:
    """Make numba import the modules that it needs to run a kernel; else the first kernel call takes half a second
    longer."""
    _nothing()


class _Compiling(event.Listener):
    """Counts the functions that numba starts and ends compiling. A function is compiled only after all that it calls,
    so those that call others stay under way."""

    def __init__(self, progress: Callable[[str, int, int], None]) -> None:
        self.progress, self.done, self.under_way = progress, 0, 0

    def on_start(self, heard: Any) -> None:
        self.under_way += 1
        self.tell()

    def on_end(self, heard: Any) -> None:
        self.under_way, self.done = self.under_way - 1, self.done + 1
        self.tell()

    def tell(self) -> None:
        self.progress("compiling, once per installation", self.done, self.done + self.under_way)


def announced(progress: Callable[[str, int, int], None] | None) -> AbstractContextManager[object]:
    """A block in which `progress` is called for every function that numba compiles: half a minute at the first
    search."""
    return nullcontext() if progress is None else event.install_listener("numba:compile", _Compiling(progress))

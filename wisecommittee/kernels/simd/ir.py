"""Instructions on vectors of eight float32 lanes, for loops that LLVM does not vectorise by itself.

Offsets are not checked: their bounds hold by construction, and a run without JIT checks them in the Python twins. LLVM
splits or joins the vectors to fit the registers of the machine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir

LANES = 8
FLOAT, INT, BYTE, INDEX = ir.FloatType(), ir.IntType(32), ir.IntType(8), ir.IntType(64)
FLOATS, INTS, BYTES = (ir.VectorType(kind, LANES) for kind in (FLOAT, INT, BYTE))


def floats(value: float) -> ir.Constant:
    return ir.Constant(FLOATS, [float(np.float32(value))] * LANES)


def ints(values: int | list[int]) -> ir.Constant:
    return ir.Constant(INTS, [values] * LANES if isinstance(values, int) else values)


def data_of(context: Any, builder: Any, kind: Any, array: Any, offset: Any) -> Any:
    """Pointer to an element of an array, counted through all its axes."""
    return builder.gep(context.make_array(kind)(context, builder, array).data, [offset])


def unpacked(builder: Any, kind: Any, values: Any) -> list[Any]:
    """The values of a tuple."""
    return [builder.extract_value(values, i) for i in range(len(kind))]


def load(builder: Any, row: Any, at: Any, kind: Any = FLOATS) -> Any:
    return builder.load(builder.bitcast(builder.gep(row, [at]), kind.as_pointer()), align=4)


def store(builder: Any, value: Any, row: Any, at: Any) -> None:
    align = 1 if value.type == BYTES else 4
    builder.store(value, builder.bitcast(builder.gep(row, [at]), value.type.as_pointer()), align=align)


def loop(
    builder: Any, start: Any, stop: Any, step: int, states: list[Any], body: Callable[..., list[Any]]
) -> list[Any]:
    """for at in range(start, stop, step): states = body(at, states); returns the last states."""
    before = builder.block
    head = builder.append_basic_block("lanes.head")
    inside = builder.append_basic_block("lanes.body")
    after = builder.append_basic_block("lanes.after")
    builder.branch(head)
    builder.position_at_end(head)
    at = builder.phi(INDEX)
    at.add_incoming(start, before)
    phis = [builder.phi(state.type) for state in states]
    for phi, state in zip(phis, states, strict=True):
        phi.add_incoming(state, before)
    builder.cbranch(builder.icmp_signed("<", at, stop), inside, after)
    builder.position_at_end(inside)
    new = body(at, phis)
    at.add_incoming(builder.add(at, INDEX(step)), builder.block)
    for phi, state in zip(phis, new, strict=True):
        phi.add_incoming(state, builder.block)
    builder.branch(head)
    builder.position_at_end(after)
    return phis


def spread(builder: Any, value: Any) -> Any:
    """A number in every lane."""
    first = builder.insert_element(ir.Constant(ir.VectorType(value.type, LANES), None), value, INT(0))
    return builder.shuffle_vector(first, first, ints(0))


def fold(builder: Any, value: Any, join: Callable[[Any, Any], Any]) -> Any:
    """Combine all lanes into one value, by halves; every lane of the result holds that value."""
    for distance in (4, 2, 1):
        value = join(value, builder.shuffle_vector(value, value, ints([(u + distance) % LANES for u in range(LANES)])))
    return value


def first_lane(builder: Any, value: Any) -> Any:
    return builder.extract_element(value, INT(0))


def larger_of(builder: Any, a: Any, b: Any) -> Any:
    """max(a, b) of numbers that are never NaN."""
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


def floor_to(builder: Any, value: Any, multiple: int) -> Any:
    """The largest multiple of a power of two that is no larger."""
    return builder.and_(value, INDEX(-multiple))

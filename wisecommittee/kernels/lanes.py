"""Eight float32 lanes side by side, written as vector instructions: loops that LLVM does not find by itself.

Rows are pieces of one flat array, given by their offsets. A lane is a unit of its own (a row holds class 0 of eight
units, then class 1, ..) or every eighth class of one unit. LLVM splits or joins the vectors as the machine's registers
want. Offsets are not checked: their bounds hold by construction, and a run without JIT checks them.

rest, rest4, rest_product, rest4_product (rows, a, [a2,] b.., n, without, out)
    Units side by side. out[8 j:8 j + 8] = the lanes' sums over n entries of rows[a..] (times rows[a2..]) * rows[b_j..]
    but for each lane's step without[8 j:8 j + 8]; what is left out goes to out[32 + 8 j:40 + 8 j].
dot, dot4, dot_product, dot4_product (rows, a, [a2,] b.., n, without, out)
    One unit. The same but for the one entry `without`, of lanes still to be added; n is a multiple of 16.

A sum has the same bits by itself and among four, which share the loads of the left row.
"""

from __future__ import annotations

import ctypes

import numpy as np
from llvmlite import ir
from numba import carray, config, types
from numba.extending import intrinsic

from wisecommittee.kernels.jit import njit_exact

LANES = 8
STRETCH = 16  # steps that are summed before they join the total
PAIR = 2 * LANES  # what the loops over one unit go on by: two sums of each under way
_APART = 4 * LANES

if config.DISABLE_JIT:  # type: ignore[attr-defined]
    # The same in plain Python, for a run that checks bounds and coverage.
    def _without(lefts, rights, entries):
        def sums(rows, *arguments):
            places, (n, without, out) = arguments[: lefts + rights], arguments[lefts + rights :]
            left = np.prod([rows[a : a + n] for a in places[:lefts]], axis=0)
            number = entries(n).reshape(-1, LANES)
            for j, b in enumerate(places[lefts:]):
                here = slice(j * LANES, (j + 1) * LANES)
                lines = (left * rows[b : b + n]).reshape(-1, LANES)
                apart = number == (without[here] if np.ndim(without) else without)
                assert apart.sum() == (LANES if np.ndim(without) else 1)
                out[here] = np.where(apart, np.float32(0), lines).sum(axis=0, dtype=np.float32)
                out[_APART:][here] = np.where(apart, lines, np.float32(0)).sum(axis=0, dtype=np.float32)

        return sums

    def _steps(n):
        return np.arange(n) // LANES

    rest, rest4 = _without(1, 1, _steps), _without(1, 4, _steps)
    rest_product, rest4_product = _without(2, 1, _steps), _without(2, 4, _steps)
    dot, dot4 = _without(1, 1, np.arange), _without(1, 4, np.arange)
    dot_product, dot4_product = _without(2, 1, np.arange), _without(2, 4, np.arange)

    def advance(sums, out, before, columns, own, n, truth, hits, places, tops, o):
        sums[out : out + n] = sums[before : before + n] + columns[own : own + n]
        lines = sums[out : out + n].reshape(-1, LANES)
        best = lines.argmax(axis=0)
        places[o : o + LANES] = best
        hits[o : o + LANES] = best == truth
        tops[o : o + LANES] = lines.max(axis=0)

    def advance_one(sums, out, before, columns, own, n, truth, hits, places, tops, o):
        assert n % LANES == 0
        total = sums[before : before + n] + columns[own : own + n]
        sums[out : out + n] = total
        places[o], tops[o] = total.argmax(), total.max()
        hits[o] = places[o] == truth

    def row_at(address, offset, size):
        first = address + 4 * int(offset)
        return np.frombuffer((ctypes.c_float * int(size)).from_address(int(first)), np.float32)

    def prefetch(address):
        pass

    def shift(x, stride, n, tops, z):
        rows = np.stack([x[u * stride : u * stride + n] for u in range(LANES)], axis=1)
        assert n % LANES == 0
        z[: n * LANES] = (rows - tops).reshape(-1)
else:
    _FLOAT, _INT, _BYTE, _INDEX = ir.FloatType(), ir.IntType(32), ir.IntType(8), ir.IntType(64)
    _FLOATS, _INTS, _BYTES = (ir.VectorType(kind, LANES) for kind in (_FLOAT, _INT, _BYTE))
    _ZERO, _NONE, _ONE = (
        ir.Constant(_FLOATS, [0.0] * LANES),
        ir.Constant(_INTS, [0] * LANES),
        ir.Constant(_INTS, [1] * LANES),
    )

    def _row(context, builder, array_type, array, offset):
        """Pointer to an element of an array, counted through all its axes."""
        return builder.gep(context.make_array(array_type)(context, builder, array).data, [offset])

    def _load(builder, row, at, kind=_FLOATS):
        return builder.load(builder.bitcast(builder.gep(row, [at]), kind.as_pointer()), align=4)

    def _store(builder, value, row, at):
        align = 1 if value.type == _BYTES else 4
        builder.store(value, builder.bitcast(builder.gep(row, [at]), value.type.as_pointer()), align=align)

    def _loop(builder, start, stop, step, states, body):
        """for at in range(start, stop, step): states = body(at, states); returns the last states."""
        before = builder.block
        head = builder.append_basic_block("lanes.head")
        inside = builder.append_basic_block("lanes.body")
        after = builder.append_basic_block("lanes.after")
        builder.branch(head)
        builder.position_at_end(head)
        at = builder.phi(_INDEX)
        at.add_incoming(start, before)
        phis = [builder.phi(state.type) for state in states]
        for phi, state in zip(phis, states, strict=True):
            phi.add_incoming(state, before)
        builder.cbranch(builder.icmp_signed("<", at, stop), inside, after)
        builder.position_at_end(inside)
        new = body(at, phis)
        at.add_incoming(builder.add(at, _INDEX(step)), builder.block)
        for phi, state in zip(phis, new, strict=True):
            phi.add_incoming(state, builder.block)
        builder.branch(head)
        builder.position_at_end(after)
        return phis

    def _fold(builder, value, join):
        """All lanes joined, by halves; every lane of the result holds it."""
        for distance in (4, 2, 1):
            order = ir.Constant(_INTS, [(u + distance) % LANES for u in range(LANES)])
            value = join(value, builder.shuffle_vector(value, value, order))
        return value

    def _spread(builder, value):
        one = builder.insert_element(_NONE, value, _INT(0))
        return builder.shuffle_vector(one, one, _NONE)

    def _left(builder, rows, at):
        value = _load(builder, rows[0], at)
        return builder.fmul(value, _load(builder, rows[1], at)) if len(rows) > 1 else value

    def _rests(lefts, rights):
        def codegen(context, builder, signature, arguments):
            rows, *offsets, n, without, out = arguments
            places = [_row(context, builder, signature.args[0], rows, offset) for offset in offsets]
            steps = _row(context, builder, signature.args[-2], without, _INDEX(0))
            steps = [_load(builder, steps, _INDEX(j * LANES), _INTS) for j in range(rights)]

            def body(at, states):
                sums, apart, step = states[:rights], states[rights:-1], states[-1]
                left = _left(builder, places[:lefts], at)
                new_sums, new_apart = [], []
                for j, row in enumerate(places[lefts:]):
                    product = builder.fmul(left, _load(builder, row, at))
                    here = builder.icmp_signed("==", step, steps[j])
                    new_sums.append(builder.fadd(sums[j], builder.select(here, _ZERO, product)))
                    new_apart.append(builder.select(here, product, apart[j]))
                return [*new_sums, *new_apart, builder.add(step, _ONE)]

            def stretch(at, states):
                """Some steps by themselves: long sums of float32 lose bits."""
                end = builder.add(at, _INDEX(STRETCH * LANES))
                end = builder.select(builder.icmp_signed("<", end, n), end, n)
                inner = _loop(builder, at, end, LANES, [_ZERO] * rights + states[rights:], body)
                return [*(builder.fadd(*both) for both in zip(states, inner[:rights], strict=False)), *inner[rights:]]

            start = [_ZERO] * (2 * rights) + [_NONE]
            *totals, _ = _loop(builder, _INDEX(0), n, STRETCH * LANES, start, stretch)
            target = _row(context, builder, signature.args[-1], out, _INDEX(0))
            for j in range(rights):
                _store(builder, totals[j], target, _INDEX(j * LANES))
                _store(builder, totals[rights + j], target, _INDEX(_APART + j * LANES))
            return context.get_dummy_value()

        return codegen

    def _dots(lefts, rights):
        def codegen(context, builder, signature, arguments):
            rows, *offsets, n, without, out = arguments
            places = [_row(context, builder, signature.args[0], rows, offset) for offset in offsets]

            def plain(at, sums):
                new = []
                for half in range(2):
                    here = builder.add(at, _INDEX(half * LANES))
                    left = _left(builder, places[:lefts], here)
                    for j, row in enumerate(places[lefts:]):
                        product = builder.fmul(left, _load(builder, row, here), flags=("contract",))
                        new.append(builder.fadd(sums[half * rights + j], product, flags=("contract",)))
                return new

            middle = builder.and_(without, _INDEX(-PAIR))
            sums = _loop(builder, _INDEX(0), middle, PAIR, [_ZERO] * (2 * rights), plain)
            entry = _spread(builder, builder.trunc(builder.sub(without, middle), _INT))
            apart = [_ZERO] * rights
            for half in range(2):
                here = builder.add(middle, _INDEX(half * LANES))
                number = ir.Constant(_INTS, [half * LANES + u for u in range(LANES)])
                inside = builder.icmp_signed("==", number, entry)
                left = _left(builder, places[:lefts], here)
                for j, row in enumerate(places[lefts:]):
                    product = builder.fmul(left, _load(builder, row, here))
                    place = half * rights + j
                    sums[place] = builder.fadd(sums[place], builder.select(inside, _ZERO, product))
                    apart[j] = builder.select(inside, product, apart[j])
            sums = _loop(builder, builder.add(middle, _INDEX(PAIR)), n, PAIR, sums, plain)
            target = _row(context, builder, signature.args[-1], out, _INDEX(0))
            for j in range(rights):
                _store(builder, builder.fadd(sums[j], sums[rights + j]), target, _INDEX(j * LANES))
                _store(builder, apart[j], target, _INDEX(_APART + j * LANES))
            return context.get_dummy_value()

        return codegen

    @intrinsic
    def rest(typing_context, rows, a, b, n, without, out):
        return types.void(rows, a, b, n, without, out), _rests(1, 1)

    @intrinsic
    def rest4(typing_context, rows, a, b0, b1, b2, b3, n, without, out):
        return types.void(rows, a, b0, b1, b2, b3, n, without, out), _rests(1, 4)

    @intrinsic
    def rest_product(typing_context, rows, a, a2, b, n, without, out):
        return types.void(rows, a, a2, b, n, without, out), _rests(2, 1)

    @intrinsic
    def rest4_product(typing_context, rows, a, a2, b0, b1, b2, b3, n, without, out):
        return types.void(rows, a, a2, b0, b1, b2, b3, n, without, out), _rests(2, 4)

    @intrinsic
    def dot(typing_context, rows, a, b, n, without, out):
        return types.void(rows, a, b, n, without, out), _dots(1, 1)

    @intrinsic
    def dot4(typing_context, rows, a, b0, b1, b2, b3, n, without, out):
        return types.void(rows, a, b0, b1, b2, b3, n, without, out), _dots(1, 4)

    @intrinsic
    def dot_product(typing_context, rows, a, a2, b, n, without, out):
        return types.void(rows, a, a2, b, n, without, out), _dots(2, 1)

    @intrinsic
    def dot4_product(typing_context, rows, a, a2, b0, b1, b2, b3, n, without, out):
        return types.void(rows, a, a2, b0, b1, b2, b3, n, without, out), _dots(2, 4)

    def _advance(context, builder, kinds, arguments, first, by):
        """sums[out:out + n] = sums[before:before + n] + columns[own:own + n]; each lane's largest value and the number
        of the entry where it first stands, numbers starting with `first` and growing by `by`."""
        sums, out, before, columns, own, n = arguments
        target = _row(context, builder, kinds[0], sums, out)
        source = _row(context, builder, kinds[0], sums, before)
        added = _row(context, builder, kinds[3], columns, own)

        def body(at, states):
            top, best, number = states
            value = builder.fadd(_load(builder, source, at), _load(builder, added, at))
            _store(builder, value, target, at)
            above = builder.fcmp_ordered(">", value, top)
            return [
                builder.select(above, value, top),
                builder.select(above, number, best),
                builder.add(number, ir.Constant(_INTS, [by] * LANES)),
            ]

        low = ir.Constant(_FLOATS, [-np.inf] * LANES)
        first = ir.Constant(_INTS, first)
        top, best, _ = _loop(builder, _INDEX(0), n, LANES, [low, first, first], body)
        return top, best

    @intrinsic
    def advance(typing_context, sums, out, before, columns, own, n, truth, hits, places, tops, o):
        """Units side by side: sums[out:out + n] = sums[before:before + n] + columns[own:own + n]; to o.. go each
        lane's largest value, its first step and whether that is the lane's truth."""

        def codegen(context, builder, signature, arguments):
            *summed, truth, hits, places, tops, o = arguments
            kinds = signature.args
            top, best = _advance(context, builder, kinds, summed, [0] * LANES, 1)
            right = _load(builder, _row(context, builder, kinds[6], truth, _INDEX(0)), _INDEX(0), _INTS)
            hit = builder.zext(builder.icmp_signed("==", best, right), _BYTES)
            _store(builder, hit, _row(context, builder, kinds[7], hits, o), _INDEX(0))
            _store(builder, best, _row(context, builder, kinds[8], places, o), _INDEX(0))
            _store(builder, top, _row(context, builder, kinds[9], tops, o), _INDEX(0))
            return context.get_dummy_value()

        return types.void(sums, out, before, columns, own, n, truth, hits, places, tops, o), codegen

    @intrinsic
    def advance_one(typing_context, sums, out, before, columns, own, n, truth, hits, places, tops, o):
        """One unit: the same over all lanes together."""

        def codegen(context, builder, signature, arguments):
            *summed, truth, hits, places, tops, o = arguments
            kinds = signature.args
            top, best = _advance(context, builder, kinds, summed, list(range(LANES)), LANES)

            def larger(a, b):
                return builder.select(builder.fcmp_ordered(">", a, b), a, b)

            def smaller(a, b):
                return builder.select(builder.icmp_signed("<", a, b), a, b)

            largest = _fold(builder, top, larger)
            far = ir.Constant(_INTS, [2**31 - 1] * LANES)
            place = _fold(builder, builder.select(builder.fcmp_ordered("==", top, largest), best, far), smaller)
            one = builder.extract_element(place, _INT(0))
            hit = builder.zext(builder.icmp_signed("==", one, builder.trunc(truth, _INT)), _BYTE)
            builder.store(hit, _row(context, builder, kinds[7], hits, o))
            builder.store(one, _row(context, builder, kinds[8], places, o))
            builder.store(builder.extract_element(largest, _INT(0)), _row(context, builder, kinds[9], tops, o))
            return context.get_dummy_value()

        return types.void(sums, out, before, columns, own, n, truth, hits, places, tops, o), codegen

    @intrinsic
    def _pointer(typing_context, address):
        def codegen(context, builder, signature, arguments):
            return builder.inttoptr(arguments[0], _FLOAT.as_pointer())

        return types.CPointer(types.float32)(types.int64), codegen

    @intrinsic
    def prefetch(typing_context, address):
        """Ask for the line of memory at an address."""

        def codegen(context, builder, signature, arguments):
            pointer = builder.inttoptr(arguments[0], _BYTE.as_pointer())
            kinds = [_BYTE.as_pointer(), _INT, _INT, _INT]
            function = builder.module.declare_intrinsic(
                "llvm.prefetch", (kinds[0],), ir.FunctionType(ir.VoidType(), kinds)
            )
            builder.call(function, [pointer, _INT(0), _INT(2), _INT(1)])
            return context.get_dummy_value()

        return types.void(types.int64), codegen

    @njit_exact
    def row_at(address, offset, size):
        """float32 [size] view, without a copy, of what lies so many elements behind an address."""
        return carray(_pointer(address + 4 * offset), (size,))

    @intrinsic
    def shift(typing_context, x, stride, n, tops, z):
        """z[8 c + u] = x[u * stride + c] - tops[u] for c below n, which is a multiple of 8."""

        def codegen(context, builder, signature, arguments):
            x, stride, n, tops, z = arguments
            kinds = signature.args
            rows = [_row(context, builder, kinds[0], x, builder.mul(stride, _INDEX(u))) for u in range(LANES)]
            below = _load(builder, _row(context, builder, kinds[3], tops, _INDEX(0)), _INDEX(0))
            target = _row(context, builder, kinds[4], z, _INDEX(0))

            def mixed(a, b, order):
                return builder.shuffle_vector(a, b, ir.Constant(_INTS, order))

            def stage(values, distance, first, second):
                out = list(values)
                for i in range(LANES):
                    if not i & distance:
                        out[i] = mixed(values[i], values[i | distance], first)
                        out[i | distance] = mixed(values[i], values[i | distance], second)
                return out

            def body(at, states):
                values = [_load(builder, row, at) for row in rows]
                values = stage(values, 1, [0, 8, 2, 10, 4, 12, 6, 14], [1, 9, 3, 11, 5, 13, 7, 15])
                values = stage(values, 2, [0, 1, 8, 9, 4, 5, 12, 13], [2, 3, 10, 11, 6, 7, 14, 15])
                values = stage(values, 4, [0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7, 12, 13, 14, 15])
                here = builder.mul(at, _INDEX(LANES))
                for c, value in enumerate(values):
                    _store(builder, builder.fsub(value, below), target, builder.add(here, _INDEX(c * LANES)))
                return []

            _loop(builder, _INDEX(0), n, LANES, [], body)
            return context.get_dummy_value()

        return types.void(x, stride, n, tops, z), codegen

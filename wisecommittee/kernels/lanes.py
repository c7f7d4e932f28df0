"""Loops over eight float32 lanes side by side. A lane is a unit of its own (a row holds class 0 of eight units, then
class 1, ..) or every eighth class of one unit. Rows are pieces of one flat array, given by their offsets.

rest, rest4, rest_product, rest4_product (rows, a, [a2,] b.., n, winners, sums, apart, t..)
    Units side by side. sums[t_j:t_j + 8] = the lanes' sums over n entries of rows[a..] (times rows[a2..]) * rows[b_j..]
    but for each lane's step winners[t_j:t_j + 8]; what is left out goes to apart[t_j:t_j + 8].
dot, dot4, dot_product, dot4_product (rows, a, [a2,] b.., n, winner, sums, apart, t..)
    One unit. sums[t_j] = the sum but for the one entry `winner`, which goes to apart[t_j]; n is a multiple of 16.

A sum has the same bits by itself and among four, which share the loads of the left row.
"""

from __future__ import annotations

import ctypes

import numpy as np
from llvmlite import ir
from numba import carray, config, types
from numba.extending import intrinsic

from wisecommittee.kernels.jit import njit_exact
from wisecommittee.kernels.vectors import (
    BYTE,
    BYTES,
    FLOAT,
    INDEX,
    INT,
    INTS,
    LANES,
    data_of,
    first_lane,
    floats,
    floor_to,
    fold,
    ints,
    larger_of,
    load,
    loop,
    spread,
    store,
)

STRETCH = 16  # steps that are summed before they join the total
PAIR = 2 * LANES  # what the loops over one unit go on by: two sums of each under way

if config.DISABLE_JIT:  # type: ignore[attr-defined]
    # The same in plain Python, for a run that checks bounds and coverage.
    def _sums(lefts, rights, sides):
        def sums(rows, *arguments):
            places, (n, winners, totals, apart, *targets) = arguments[: lefts + rights], arguments[lefts + rights :]
            left = np.prod([rows[a : a + n] for a in places[:lefts]], axis=0)
            for b, t in zip(places[lefts:], targets, strict=True):
                lines = (left * rows[b : b + n]).reshape(-1, sides)
                winner = winners[t : t + sides] if sides > 1 else winners
                here = np.arange(len(lines))[:, None] == winner
                assert (here.sum(axis=0) == 1).all()
                totals[t : t + sides] = np.where(here, np.float32(0), lines).sum(axis=0, dtype=np.float32)
                apart[t : t + sides] = np.where(here, lines, np.float32(0)).sum(axis=0, dtype=np.float32)

        return sums

    rest, rest4 = _sums(1, 1, LANES), _sums(1, 4, LANES)
    rest_product, rest4_product = _sums(2, 1, LANES), _sums(2, 4, LANES)
    dot, dot4, dot_product, dot4_product = _sums(1, 1, 1), _sums(1, 4, 1), _sums(2, 1, 1), _sums(2, 4, 1)

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

    def shift(x, first, classes, tops, t, z):
        assert classes >= LANES
        rows = row_at(x, first, LANES * classes).reshape(LANES, classes)
        z[: LANES * classes] = (rows - tops[t : t + LANES, None]).T.reshape(-1)
else:

    def _left(builder, rows, at):
        value = load(builder, rows[0], at)
        return builder.fmul(value, load(builder, rows[1], at)) if len(rows) > 1 else value

    def _rests(lefts, rights):
        def codegen(context, builder, signature, arguments):
            rows, *offsets, n, winners, sums, apart = arguments[: lefts + rights + 5]
            kinds, targets = signature.args, arguments[-rights:]
            places = [data_of(context, builder, kinds[0], rows, offset) for offset in offsets]
            winners, sums, apart = (
                data_of(context, builder, kinds[lefts + rights + 2 + i], array, INDEX(0))
                for i, array in enumerate((winners, sums, apart))
            )
            steps = [load(builder, winners, target, INTS) for target in targets]

            def body(at, states):
                totals, out, step = states[:rights], states[rights:-1], states[-1]
                left = _left(builder, places[:lefts], at)
                new_totals, new_out = [], []
                for j, row in enumerate(places[lefts:]):
                    product = builder.fmul(left, load(builder, row, at))
                    here = builder.icmp_signed("==", step, steps[j])
                    new_totals.append(builder.fadd(totals[j], builder.select(here, floats(0), product)))
                    new_out.append(builder.select(here, product, out[j]))
                return [*new_totals, *new_out, builder.add(step, ints(1))]

            def stretch(at, states):
                """Some steps by themselves: long sums of float32 lose bits."""
                end = builder.add(at, INDEX(STRETCH * LANES))
                end = builder.select(builder.icmp_signed("<", end, n), end, n)
                inner = loop(builder, at, end, LANES, [floats(0)] * rights + states[rights:], body)
                return [*(builder.fadd(*both) for both in zip(states, inner[:rights], strict=False)), *inner[rights:]]

            start = [floats(0)] * (2 * rights) + [ints(0)]
            *totals, _ = loop(builder, INDEX(0), n, STRETCH * LANES, start, stretch)
            for j, target in enumerate(targets):
                store(builder, totals[j], sums, target)
                store(builder, totals[rights + j], apart, target)
            return context.get_dummy_value()

        return codegen

    def _dots(lefts, rights):
        def codegen(context, builder, signature, arguments):
            rows, *offsets, n, winner, sums, apart = arguments[: lefts + rights + 5]
            kinds, targets = signature.args, arguments[-rights:]
            places = [data_of(context, builder, kinds[0], rows, offset) for offset in offsets]

            def plain(at, totals):
                new = []
                for half in range(2):
                    here = builder.add(at, INDEX(half * LANES))
                    left = _left(builder, places[:lefts], here)
                    for j, row in enumerate(places[lefts:]):
                        product = builder.fmul(left, load(builder, row, here), flags=("contract",))
                        new.append(builder.fadd(totals[half * rights + j], product, flags=("contract",)))
                return new

            middle = floor_to(builder, winner, PAIR)
            totals = loop(builder, INDEX(0), middle, PAIR, [floats(0)] * (2 * rights), plain)
            entry = spread(builder, builder.trunc(builder.sub(winner, middle), INT))
            out = [floats(0)] * rights
            for half in range(2):
                here = builder.add(middle, INDEX(half * LANES))
                inside = builder.icmp_signed("==", ints([half * LANES + u for u in range(LANES)]), entry)
                left = _left(builder, places[:lefts], here)
                for j, row in enumerate(places[lefts:]):
                    product = builder.fmul(left, load(builder, row, here))
                    place = half * rights + j
                    totals[place] = builder.fadd(totals[place], builder.select(inside, floats(0), product))
                    out[j] = builder.select(inside, product, out[j])
            totals = loop(builder, builder.add(middle, INDEX(PAIR)), n, PAIR, totals, plain)
            for j, target in enumerate(targets):
                values = (builder.fadd(totals[j], totals[rights + j]), out[j])
                for i, (array, value) in enumerate(zip((sums, apart), values, strict=True)):
                    place = data_of(context, builder, kinds[lefts + rights + 3 + i], array, target)
                    builder.store(first_lane(builder, fold(builder, value, builder.fadd)), place)
            return context.get_dummy_value()

        return codegen

    @intrinsic
    def rest(typing_context, rows, a, b, n, winners, sums, apart, t):
        return types.void(rows, a, b, n, winners, sums, apart, t), _rests(1, 1)

    @intrinsic
    def rest4(typing_context, rows, a, b0, b1, b2, b3, n, winners, sums, apart, t0, t1, t2, t3):
        return types.void(rows, a, b0, b1, b2, b3, n, winners, sums, apart, t0, t1, t2, t3), _rests(1, 4)

    @intrinsic
    def rest_product(typing_context, rows, a, a2, b, n, winners, sums, apart, t):
        return types.void(rows, a, a2, b, n, winners, sums, apart, t), _rests(2, 1)

    @intrinsic
    def rest4_product(typing_context, rows, a, a2, b0, b1, b2, b3, n, winners, sums, apart, t0, t1, t2, t3):
        return types.void(rows, a, a2, b0, b1, b2, b3, n, winners, sums, apart, t0, t1, t2, t3), _rests(2, 4)

    @intrinsic
    def dot(typing_context, rows, a, b, n, winner, sums, apart, t):
        return types.void(rows, a, b, n, winner, sums, apart, t), _dots(1, 1)

    @intrinsic
    def dot4(typing_context, rows, a, b0, b1, b2, b3, n, winner, sums, apart, t0, t1, t2, t3):
        return types.void(rows, a, b0, b1, b2, b3, n, winner, sums, apart, t0, t1, t2, t3), _dots(1, 4)

    @intrinsic
    def dot_product(typing_context, rows, a, a2, b, n, winner, sums, apart, t):
        return types.void(rows, a, a2, b, n, winner, sums, apart, t), _dots(2, 1)

    @intrinsic
    def dot4_product(typing_context, rows, a, a2, b0, b1, b2, b3, n, winner, sums, apart, t0, t1, t2, t3):
        return types.void(rows, a, a2, b0, b1, b2, b3, n, winner, sums, apart, t0, t1, t2, t3), _dots(2, 4)

    def _advance(context, builder, kinds, arguments, first, by):
        """sums[out:out + n] = sums[before:before + n] + columns[own:own + n]; each lane's largest value and the number
        of the entry where it first stands, numbers starting with `first` and growing by `by`."""
        sums, out, before, columns, own, n = arguments
        target = data_of(context, builder, kinds[0], sums, out)
        source = data_of(context, builder, kinds[0], sums, before)
        added = data_of(context, builder, kinds[3], columns, own)

        def body(at, states):
            top, best, number = states
            value = builder.fadd(load(builder, source, at), load(builder, added, at))
            store(builder, value, target, at)
            above = builder.fcmp_ordered(">", value, top)
            return [
                builder.select(above, value, top),
                builder.select(above, number, best),
                builder.add(number, ints(by)),
            ]

        top, best, _ = loop(builder, INDEX(0), n, LANES, [floats(-np.inf), ints(first), ints(first)], body)
        return top, best

    @intrinsic
    def advance(typing_context, sums, out, before, columns, own, n, truth, hits, places, tops, o):
        """Units side by side: sums[out:out + n] = sums[before:before + n] + columns[own:own + n]; to o.. go each
        lane's largest value, its first step and whether that is the lane's truth."""

        def codegen(context, builder, signature, arguments):
            *summed, truth, hits, places, tops, o = arguments
            kinds = signature.args
            top, best = _advance(context, builder, kinds, summed, [0] * LANES, 1)
            right = load(builder, data_of(context, builder, kinds[6], truth, INDEX(0)), INDEX(0), INTS)
            hit = builder.zext(builder.icmp_signed("==", best, right), BYTES)
            store(builder, hit, data_of(context, builder, kinds[7], hits, o), INDEX(0))
            store(builder, best, data_of(context, builder, kinds[8], places, o), INDEX(0))
            store(builder, top, data_of(context, builder, kinds[9], tops, o), INDEX(0))
            return context.get_dummy_value()

        return types.void(sums, out, before, columns, own, n, truth, hits, places, tops, o), codegen

    @intrinsic
    def advance_one(typing_context, sums, out, before, columns, own, n, truth, hits, places, tops, o):
        """One unit: the same over all lanes together."""

        def codegen(context, builder, signature, arguments):
            *summed, truth, hits, places, tops, o = arguments
            kinds = signature.args
            top, best = _advance(context, builder, kinds, summed, list(range(LANES)), LANES)

            def smaller(a, b):
                return builder.select(builder.icmp_signed("<", a, b), a, b)

            largest = fold(builder, top, lambda a, b: larger_of(builder, a, b))
            at_top = builder.fcmp_ordered("==", top, largest)
            one = first_lane(builder, fold(builder, builder.select(at_top, best, ints(2**31 - 1)), smaller))
            hit = builder.zext(builder.icmp_signed("==", one, builder.trunc(truth, INT)), BYTE)
            builder.store(hit, data_of(context, builder, kinds[7], hits, o))
            builder.store(one, data_of(context, builder, kinds[8], places, o))
            builder.store(first_lane(builder, largest), data_of(context, builder, kinds[9], tops, o))
            return context.get_dummy_value()

        return types.void(sums, out, before, columns, own, n, truth, hits, places, tops, o), codegen

    @intrinsic
    def _pointer(typing_context, address):
        def codegen(context, builder, signature, arguments):
            return builder.inttoptr(arguments[0], FLOAT.as_pointer())

        return types.CPointer(types.float32)(types.int64), codegen

    @intrinsic
    def prefetch(typing_context, address):
        """Ask for the line of memory at an address."""

        def codegen(context, builder, signature, arguments):
            pointer = builder.inttoptr(arguments[0], BYTE.as_pointer())
            kinds = [BYTE.as_pointer(), INT, INT, INT]
            function = builder.module.declare_intrinsic(
                "llvm.prefetch", (kinds[0],), ir.FunctionType(ir.VoidType(), kinds)
            )
            builder.call(function, [pointer, INT(0), INT(2), INT(1)])
            return context.get_dummy_value()

        return types.void(types.int64), codegen

    @njit_exact
    def row_at(address, offset, size):
        """float32 [size] view, without a copy, of what lies so many elements behind an address."""
        return carray(_pointer(address + 4 * offset), (size,))

    @intrinsic
    def shift(typing_context, x, first, classes, tops, t, z):
        """z[8 c + u] = row u's entry c - tops[t + u], of eight rows one after the other, `first` elements behind an
        address; at least eight classes."""

        def codegen(context, builder, signature, arguments):
            x, first, classes, tops, t, z = arguments
            kinds = signature.args
            start = builder.gep(builder.inttoptr(x, FLOAT.as_pointer()), [first])
            rows = [builder.gep(start, [builder.mul(classes, INDEX(u))]) for u in range(LANES)]
            below = load(builder, data_of(context, builder, kinds[3], tops, t), INDEX(0))
            target = data_of(context, builder, kinds[5], z, INDEX(0))

            def stage(values, distance, one, other):
                out = list(values)
                for i in range(LANES):
                    if not i & distance:
                        out[i] = builder.shuffle_vector(values[i], values[i | distance], ints(one))
                        out[i | distance] = builder.shuffle_vector(values[i], values[i | distance], ints(other))
                return out

            def body(at, states):
                values = [load(builder, row, at) for row in rows]
                values = stage(values, 1, [0, 8, 2, 10, 4, 12, 6, 14], [1, 9, 3, 11, 5, 13, 7, 15])
                values = stage(values, 2, [0, 1, 8, 9, 4, 5, 12, 13], [2, 3, 10, 11, 6, 7, 14, 15])
                values = stage(values, 4, [0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7, 12, 13, 14, 15])
                here = builder.mul(at, INDEX(LANES))
                for c, value in enumerate(values):
                    store(builder, builder.fsub(value, below), target, builder.add(here, INDEX(c * LANES)))
                return []

            whole = floor_to(builder, classes, LANES)
            loop(builder, INDEX(0), whole, LANES, [], body)
            # The last eight, some of them once more.
            rest = builder.icmp_signed("<", whole, classes)
            again = builder.select(rest, builder.sub(classes, INDEX(LANES)), classes)
            loop(builder, again, classes, LANES, [], body)
            return context.get_dummy_value()

        whole = types.int64
        return types.void(whole, whole, whole, tops, whole, z), codegen

"""Loops over eight float32 lanes side by side. Each lane is a unit (a row holds class 0 of eight units, then class 1,
..), or the lanes share one unit (lane u has the classes u, u + 8, ..). Rows are pieces of one flat array, given by
their offsets.

rests (rows, common, lefts, rights, n, winners, sums, apart, targets)
    Eight units side by side. For each (left, right) pair, its target t and each lane u: sums[t + u] = sum over the
    n / 8 classes i of common[i, u] * left[i, u] * right[i, u], skipping i = winners[t + u]; that one term is stored in
    apart[t + u].
dots (rows, common, lefts, rights, n, spans, filled, winners, sums, apart, targets)
    One unit. For each (left, right) pair and its target t: sums[t] = sum over the n entries i of common[i] * left[i] *
    right[i], skipping i = winners[t]; that one term is stored in apart[t]. n is a multiple of 16; spans[:filled] are
    multiples of 16 below n, ascending, and every winner lies within 16 entries of one of them.

Lefts, rights and targets are tuples. Sums that are computed together share loads; each has the same bits as a sum
computed by itself.
"""

from __future__ import annotations

import ctypes
import itertools

import numpy as np
from llvmlite import ir
from numba import carray, config, types
from numba.extending import intrinsic

from wisecommittee.kernels.jit import njit_inner
from wisecommittee.kernels.simd.ir import (
    BYTE,
    BYTES,
    FLOAT,
    FLOATS,
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
    unpacked,
)

STRETCH = 16  # steps that are summed before they join the total
PAIR = 2 * LANES  # entries per step of the loops over one unit: two partial sums each

if config.DISABLE_JIT:  # type: ignore[attr-defined]
    # The same in plain Python, for a run that checks bounds and coverage.
    def rests(rows, common, lefts, rights, n, winners, sums, apart, targets):
        for (left, right), t in zip(itertools.product(lefts, rights), targets, strict=True):
            lines = np.prod([rows[a : a + n] for a in (common, left, right)], axis=0).reshape(-1, LANES)
            winner = np.arange(len(lines))[:, None] == winners[t : t + LANES]
            assert (winner.sum(axis=0) == 1).all()
            sums[t : t + LANES] = np.where(winner, np.float32(0), lines).sum(axis=0, dtype=np.float32)
            apart[t : t + LANES] = np.where(winner, lines, np.float32(0)).sum(axis=0, dtype=np.float32)

    def dots(rows, common, lefts, rights, n, spans, filled, winners, sums, apart, targets):
        assert n % PAIR == 0
        for (left, right), t in zip(itertools.product(lefts, rights), targets, strict=True):
            line = np.prod([rows[a : a + n] for a in (common, left, right)], axis=0)
            assert winners[t] // PAIR * PAIR in spans[:filled]
            apart[t] = line[winners[t]]
            sums[t] = line[: winners[t]].sum() + line[winners[t] + 1 :].sum()

    def advance(sums, out, before, columns, column, n, truth, hits, argmax, tops, o):
        sums[out : out + n] = sums[before : before + n] + columns[column : column + n]
        lines = sums[out : out + n].reshape(-1, LANES)
        best = lines.argmax(axis=0)
        argmax[o : o + LANES] = best
        hits[o : o + LANES] = best == truth
        tops[o : o + LANES] = lines.max(axis=0)

    def advance_one(sums, out, before, columns, column, n, truth, hits, argmax, tops, o):
        assert n % LANES == 0
        total = sums[before : before + n] + columns[column : column + n]
        sums[out : out + n] = total
        argmax[o], tops[o] = total.argmax(), total.max()
        hits[o] = argmax[o] == truth

    def row_at(address, offset, size):
        first = address + 4 * int(offset)
        return np.frombuffer((ctypes.c_float * int(size)).from_address(int(first)), np.float32)

    def prefetch(address):
        pass

    def eight_bits(row, at):
        return np.uint8(sum(1 << u for u in range(LANES) if row[at + u]))

    def shift(x, first, classes, tops, t, z):
        assert classes >= LANES
        rows = row_at(x, first, LANES * classes).reshape(LANES, classes)
        z[: LANES * classes] = (rows - tops[t : t + LANES, None]).T.reshape(-1)
else:

    class _Products:
        """Products of a common row, each of the left rows and each of the right rows."""

        def __init__(self, context, builder, kinds, arguments):
            rows, common, *groups = arguments
            self.builder, self.common = builder, data_of(context, builder, kinds[0], rows, common)
            self.lefts, self.rights = (
                [data_of(context, builder, kinds[0], rows, offset) for offset in unpacked(builder, kind, group)]
                for kind, group in zip(kinds[2:], groups, strict=True)
            )

        def __len__(self):
            return len(self.lefts) * len(self.rights)

        def factors(self, at):
            """(common * left, right) at an entry, eight lanes each, of each product; left rows change slowest."""
            builder = self.builder
            common = load(builder, self.common, at)
            lefts = [builder.fmul(common, load(builder, row, at)) for row in self.lefts]
            rights = [load(builder, row, at) for row in self.rights]
            return [(left, right) for left in lefts for right in rights]

        def single(self, entries):
            """The value of each product at one entry."""
            builder, values = self.builder, []
            for at, (left, right) in zip(entries, itertools.product(self.lefts, self.rights), strict=True):
                value = builder.load(builder.gep(self.common, [at]))
                for row in (left, right):
                    value = builder.fmul(value, builder.load(builder.gep(row, [at])))
                values.append(value)
            return values

    def _multiply_add(builder, left, right, total):
        function = builder.module.declare_intrinsic("llvm.fmuladd.v8f32", (), ir.FunctionType(FLOATS, [FLOATS] * 3))
        return builder.call(function, [left, right, total])

    @intrinsic
    def rests(typing_context, rows, common, lefts, rights, n, winners, sums, apart, targets):
        def codegen(context, builder, signature, arguments):
            kinds = signature.args
            n, winners, sums, apart, targets = arguments[4:]
            products = _Products(context, builder, kinds[:4], arguments[:4])
            many, targets = len(products), unpacked(builder, kinds[8], targets)
            winners, sums, apart = (
                data_of(context, builder, kinds[5 + i], array, INDEX(0))
                for i, array in enumerate((winners, sums, apart))
            )
            steps = [load(builder, winners, target, INTS) for target in targets]

            def body(at, states):
                totals, step, new = states[:-1], states[-1], []
                for j, (left, right) in enumerate(products.factors(at)):
                    is_winner = builder.icmp_signed("==", step, steps[j])
                    new.append(builder.select(is_winner, totals[j], _multiply_add(builder, left, right, totals[j])))
                return [*new, builder.add(step, ints(1))]

            def stretch(at, states):
                """STRETCH steps summed by themselves: long sums of float32 lose bits."""
                end = builder.add(at, INDEX(STRETCH * LANES))
                end = builder.select(builder.icmp_signed("<", end, n), end, n)
                inner = loop(builder, at, end, LANES, [floats(0)] * many + states[many:], body)
                return [*(builder.fadd(*both) for both in zip(states, inner[:many], strict=False)), *inner[many:]]

            *totals, _ = loop(builder, INDEX(0), n, STRETCH * LANES, [floats(0)] * many + [ints(0)], stretch)
            for total, target in zip(totals, targets, strict=True):
                store(builder, total, sums, target)
            for u in range(LANES):  # one lane after the other: cheaper than keeping the values aside in the loop
                lane = [builder.add(target, INDEX(u)) for target in targets]
                classes = [builder.sext(builder.load(builder.gep(winners, [t])), INDEX) for t in lane]
                entries = [builder.add(builder.mul(c, INDEX(LANES)), INDEX(u)) for c in classes]
                for t, product in zip(lane, products.single(entries), strict=True):
                    builder.store(product, builder.gep(apart, [t]))
            return context.get_dummy_value()

        return types.void(rows, common, lefts, rights, n, winners, sums, apart, targets), codegen

    @intrinsic
    def dots(typing_context, rows, common, lefts, rights, n, spans, filled, winners, sums, apart, targets):
        def codegen(context, builder, signature, arguments):
            kinds = signature.args
            n, spans, filled, winners, sums, apart, targets = arguments[4:]
            products = _Products(context, builder, kinds[:4], arguments[:4])
            many, targets = len(products), unpacked(builder, kinds[10], targets)
            winners, sums, apart = (
                data_of(context, builder, kinds[7 + i], array, INDEX(0))
                for i, array in enumerate((winners, sums, apart))
            )
            spans = data_of(context, builder, kinds[5], spans, INDEX(0))
            left_out = [builder.load(builder.gep(winners, [target])) for target in targets]

            def plain(at, totals):
                new = []
                for half in range(2):
                    for left, right in products.factors(builder.add(at, INDEX(half * LANES))):
                        new.append(_multiply_add(builder, left, right, totals[len(new)]))
                return new

            def span(i, states):
                """Sum the entries up to a span that holds winners, and then the entries of that span."""
                start, totals, out = states[0], states[1 : 1 + 2 * many], states[1 + 2 * many :]
                first = builder.load(builder.gep(spans, [i]))
                totals = loop(builder, start, first, PAIR, totals, plain)
                entry = builder.trunc(first, INT)
                steps = [spread(builder, builder.sub(winner, entry)) for winner in left_out]
                for half in range(2):
                    number = ints([half * LANES + u for u in range(LANES)])
                    for j, (left, right) in enumerate(products.factors(builder.add(first, INDEX(half * LANES)))):
                        total, inside = half * many + j, builder.icmp_signed("==", number, steps[j])
                        added = _multiply_add(builder, left, right, totals[total])
                        totals[total] = builder.select(inside, totals[total], added)
                        out[j] = builder.select(inside, builder.fmul(left, right), out[j])
                return [builder.add(first, INDEX(PAIR)), *totals, *out]

            last, *states = loop(builder, INDEX(0), filled, 1, [INDEX(0)] + [floats(0)] * (3 * many), span)
            totals, out = loop(builder, last, n, PAIR, states[: 2 * many], plain), states[2 * many :]
            for j, target in enumerate(targets):
                for array, value in ((sums, builder.fadd(totals[j], totals[many + j])), (apart, out[j])):
                    total = fold(builder, value, builder.fadd)
                    builder.store(first_lane(builder, total), builder.gep(array, [target]))
            return context.get_dummy_value()

        return types.void(rows, common, lefts, rights, n, spans, filled, winners, sums, apart, targets), codegen

    def _advance(context, builder, kinds, arguments, first, by):
        """sums[out:out + n] = sums[before:before + n] + columns[column:column + n]; each lane's largest value and the
        number of the entry where it first stands, numbers starting with `first` and growing by `by`."""
        sums, out, before, columns, column, n = arguments
        target = data_of(context, builder, kinds[0], sums, out)
        source = data_of(context, builder, kinds[0], sums, before)
        added = data_of(context, builder, kinds[3], columns, column)

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
    def advance(typing_context, sums, out, before, columns, column, n, truth, hits, argmax, tops, o):
        """Units side by side: sums[out:out + n] = sums[before:before + n] + columns[column:column + n]. Writes from
        entry o on, for each lane: its largest value (tops), the first step that has it (argmax) and whether that step
        is the lane's label (hits)."""

        def codegen(context, builder, signature, arguments):
            *summed, truth, hits, argmax, tops, o = arguments
            kinds = signature.args
            top, best = _advance(context, builder, kinds, summed, [0] * LANES, 1)
            right = load(builder, data_of(context, builder, kinds[6], truth, INDEX(0)), INDEX(0), INTS)
            hit = builder.zext(builder.icmp_signed("==", best, right), BYTES)
            store(builder, hit, data_of(context, builder, kinds[7], hits, o), INDEX(0))
            store(builder, best, data_of(context, builder, kinds[8], argmax, o), INDEX(0))
            store(builder, top, data_of(context, builder, kinds[9], tops, o), INDEX(0))
            return context.get_dummy_value()

        return types.void(sums, out, before, columns, column, n, truth, hits, argmax, tops, o), codegen

    @intrinsic
    def advance_one(typing_context, sums, out, before, columns, column, n, truth, hits, argmax, tops, o):
        """One unit: as `advance`, over all lanes together."""

        def codegen(context, builder, signature, arguments):
            *summed, truth, hits, argmax, tops, o = arguments
            kinds = signature.args
            top, best = _advance(context, builder, kinds, summed, list(range(LANES)), LANES)

            def smaller(a, b):
                return builder.select(builder.icmp_signed("<", a, b), a, b)

            largest = fold(builder, top, lambda a, b: larger_of(builder, a, b))
            at_top = builder.fcmp_ordered("==", top, largest)
            one = first_lane(builder, fold(builder, builder.select(at_top, best, ints(2**31 - 1)), smaller))
            hit = builder.zext(builder.icmp_signed("==", one, builder.trunc(truth, INT)), BYTE)
            builder.store(hit, data_of(context, builder, kinds[7], hits, o))
            builder.store(one, data_of(context, builder, kinds[8], argmax, o))
            builder.store(first_lane(builder, largest), data_of(context, builder, kinds[9], tops, o))
            return context.get_dummy_value()

        return types.void(sums, out, before, columns, column, n, truth, hits, argmax, tops, o), codegen

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

    @intrinsic
    def eight_bits(typing_context, row, at):
        """uint8 with bit u set where row[at + u], of eight uint8, is not 0."""

        def codegen(context, builder, signature, arguments):
            row, at = arguments
            values = load(builder, data_of(context, builder, signature.args[0], row, INDEX(0)), at, BYTES)
            return builder.bitcast(builder.icmp_unsigned("!=", values, ir.Constant(BYTES, None)), BYTE)

        return types.uint8(row, types.int64), codegen

    @njit_inner
    def row_at(address, offset, size):
        """float32 [size] view, without a copy, of what lies `offset` elements behind an address."""
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

            def mixed(values, distance, lanes, other):
                """Each value and the one `distance` behind it, by two shuffles."""
                out = list(values)
                for i in range(LANES):
                    if not i & distance:
                        out[i] = builder.shuffle_vector(values[i], values[i | distance], ints(lanes))
                        out[i | distance] = builder.shuffle_vector(values[i], values[i | distance], ints(other))
                return out

            def body(at, states):
                values = [load(builder, row, at) for row in rows]
                # Shuffles that machines have: pairs of numbers, pairs of two, halves.
                values = mixed(values, 1, [0, 8, 1, 9, 4, 12, 5, 13], [2, 10, 3, 11, 6, 14, 7, 15])
                values = mixed(values, 2, [0, 1, 8, 9, 4, 5, 12, 13], [2, 3, 10, 11, 6, 7, 14, 15])
                values = mixed(values, 4, [0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7, 12, 13, 14, 15])
                target_of_at = builder.mul(at, INDEX(LANES))
                for c, value in zip((0, 2, 1, 3, 4, 6, 5, 7), values, strict=True):
                    store(builder, builder.fsub(value, below), target, builder.add(target_of_at, INDEX(c * LANES)))
                return []

            whole = floor_to(builder, classes, LANES)
            loop(builder, INDEX(0), whole, LANES, [], body)
            # The last eight entries, some of which have been written already.
            rest = builder.icmp_signed("<", whole, classes)
            again = builder.select(rest, builder.sub(classes, INDEX(LANES)), classes)
            loop(builder, again, classes, LANES, [], body)
            return context.get_dummy_value()

        whole = types.int64
        return types.void(whole, whole, whole, tops, whole, z), codegen

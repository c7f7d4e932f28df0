"""Which classes can win a prefix at all: all but a few lie below a pivot class in every sum.

1. `_near`: a class that lies below the pivot in every model does so in every sum.
2. `_reaching`, where some models only ever run right after another, as replicas do: a prefix is then made of runs, each
   from a run's first model on, and a class is out if every such partial run lies below the pivot's.

Both keep classes within a slack of the pivot that covers the rounding of float32 sums, so that classes which draw level
stay in. Any superset of the winners gives the same tables.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import config, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from wisecommittee.kernels.jit import larger, njit_inner, njit_sums, trailing_zeros
from wisecommittee.kernels.simd.ir import (
    BYTE,
    FLOAT,
    INDEX,
    LANES,
    data_of,
    first_lane,
    floats,
    floor_to,
    fold,
    larger_of,
    load,
    loop,
    spread,
    store,
)
from wisecommittee.kernels.simd.loops import row_at
from wisecommittee.kernels.stages.rows import LOWEST, ZERO, add_to, first_largest

AT_ONCE = 4  # rows (models) that are read together
SAMPLED = 4  # models whose sum chooses the pivot
LARGEST = np.float32(1e37)  # beyond (classes masked by the least float), runs overflow: nothing is left out
_ULP = np.float32(2.0**-22)  # four rounding errors of 1


class Buffers(NamedTuple):
    """Scratch of one unit, or of several units, each of which has its part of the arrays from `begin` on.

    gap : float32 [>= C, a multiple of 8] scratch; at : float32 [M] the pivot's outputs
    tops : float32 [M * units] each model's largest value, at t, t + stride, ..
    chosen, which : int32, from `begin` on: the classes that can win, ascending, and their places in the columns
    columns : float32, from M * begin on: the outputs of every class that `_near` leaves, model by model
    """

    gap: NDArray[np.float32]
    at: NDArray[np.float32]
    tops: NDArray[np.float32]
    chosen: NDArray[np.int32]
    which: NDArray[np.int32]
    columns: NDArray[np.float32]


if config.DISABLE_JIT:  # type: ignore[attr-defined]
    # The same in plain Python, for runs that check bounds and coverage.
    def raise_gaps(x, m, first, pivot, classes, gap, at, tops, t, stride):
        assert classes >= LANES
        for j in range(m, min(m + AT_ONCE, len(x))):
            row = row_at(x[j], first, classes)
            at[j] = row[pivot]
            gap[:classes] = np.maximum(gap[:classes], row - row[pivot])
            tops[t + j * stride] = row.max()

    def at_least(row, c, value):
        assert c + LANES <= len(row)
        return np.uint64(sum(1 << u for u in range(LANES) if row[c + u] >= value))

    def runs_that_reach(columns, start, length, at, follows, largest, slack):
        run, best, size = np.zeros(LANES, np.float32), np.full(LANES, -np.inf, np.float32), np.full(LANES, largest)
        for m in range(len(at)):
            values = columns[start + m * length : start + m * length + LANES]
            with np.errstate(over="ignore", invalid="ignore"):
                run = (values - at[m]) + run * follows[m]
            best, size = np.fmax(best, run), np.maximum(size, abs(values))
        out = (best < size * -slack) & (size <= LARGEST)
        return np.uint64(sum(1 << u for u in range(LANES) if not out[u]))
else:

    @intrinsic
    def raise_gaps(typing_context, x, m, first, pivot, classes, gap, at, tops, t, stride):
        """For up to four models from m on: gap = max(gap, row - row[pivot]), at[m] = row[pivot], and the row's largest
        value to tops[t + m * stride]. x : addresses of the models' rows, which start `first` elements behind; at least
        eight classes."""

        def codegen(context, builder, signature, arguments):
            x, m, first, pivot, classes, gap, at, tops, t, stride = arguments
            kinds = signature.args
            models = context.make_array(kinds[0])(context, builder, x).nitems
            addresses = data_of(context, builder, kinds[0], x, INDEX(0))
            gap, at, tops = (
                data_of(context, builder, kinds[5 + i], array, INDEX(0)) for i, array in enumerate((gap, at, tops))
            )
            rows, pivots, numbers = [], [], []
            for j in range(AT_ONCE):  # fewer than four models: the last one is read again
                number = builder.add(m, INDEX(j))
                last = builder.sub(models, INDEX(1))
                number = builder.select(builder.icmp_signed("<", number, last), number, last)
                address = builder.load(builder.gep(addresses, [number]))
                row = builder.gep(builder.inttoptr(address, FLOAT.as_pointer()), [first])
                at_pivot = builder.load(builder.gep(row, [pivot]))
                builder.store(at_pivot, builder.gep(at, [number]))
                rows.append(row)
                pivots.append(spread(builder, at_pivot))
                numbers.append(number)

            def body(c, states):
                most, new = load(builder, gap, c), []
                for row, at_pivot, top in zip(rows, pivots, states, strict=True):
                    value = load(builder, row, c)
                    most = larger_of(builder, builder.fsub(value, at_pivot), most)
                    new.append(larger_of(builder, value, top))
                store(builder, most, gap, c)
                return new

            whole = floor_to(builder, classes, LANES)
            largest_of = loop(builder, INDEX(0), whole, LANES, [floats(LOWEST)] * AT_ONCE, body)
            # The last eight entries; some of them have been compared already.
            rest = builder.icmp_signed("<", whole, classes)
            start = builder.select(rest, builder.sub(classes, INDEX(LANES)), classes)
            for number, top in zip(numbers, loop(builder, start, classes, LANES, largest_of, body), strict=True):
                largest = fold(builder, top, lambda a, b: larger_of(builder, a, b))
                builder.store(
                    first_lane(builder, largest), builder.gep(tops, [builder.add(t, builder.mul(number, stride))])
                )
            return context.get_dummy_value()

        whole = types.int64
        return types.void(x, whole, whole, whole, whole, gap, at, tops, whole, whole), codegen

    @intrinsic
    def at_least(typing_context, row, c, value):
        """Bit u of the result: row[c + u] >= value."""

        def codegen(context, builder, signature, arguments):
            row, c, value = arguments
            lanes = load(builder, data_of(context, builder, signature.args[0], row, c), INDEX(0))
            passes = builder.fcmp_ordered(">=", lanes, spread(builder, value))
            return builder.zext(builder.bitcast(passes, BYTE), INDEX)

        return types.uint64(row, types.int64, types.float32), codegen

    @intrinsic
    def runs_that_reach(typing_context, columns, start, length, at, follows, largest, slack):
        """Bit u of the result: whether entry u, of eight from columns[start] on with the models `length` apart, reaches
        the pivot `at` in some run of models: its sum lies at most slack times the largest number below the pivot's."""

        def codegen(context, builder, signature, arguments):
            columns, start, length, at, follows, largest, slack = arguments
            kinds = signature.args
            models = context.make_array(kinds[3])(context, builder, at).nitems
            columns = data_of(context, builder, kinds[0], columns, start)
            at = data_of(context, builder, kinds[3], at, INDEX(0))
            follows = data_of(context, builder, kinds[4], follows, INDEX(0))

            def body(m, states):
                run, best, size = states
                values = load(builder, columns, builder.mul(m, length))
                gap = builder.fsub(values, spread(builder, builder.load(builder.gep(at, [m]))))
                kept = builder.fmul(run, spread(builder, builder.load(builder.gep(follows, [m]))))
                run = builder.fadd(gap, kept)
                size = larger_of(builder, larger_of(builder, values, builder.fneg(values)), size)
                return [run, larger_of(builder, run, best), size]

            initial = [floats(0), floats(-np.inf), spread(builder, largest)]
            _, best, size = loop(builder, INDEX(0), models, 1, initial, body)
            far = builder.fcmp_ordered("<", best, builder.fmul(size, spread(builder, builder.fneg(slack))))
            out = builder.and_(far, builder.fcmp_ordered("<=", size, floats(LARGEST)))
            return builder.zext(builder.bitcast(builder.not_(out), BYTE), INDEX)

        number, whole = types.float32, types.int64
        return types.uint64(columns, whole, whole, at, follows, number, number), codegen


@njit_sums
def _gap_and_top(gap, row, at):
    """gap = max(gap, row - at); returns the largest value of the row."""
    top = LOWEST
    for c in range(row.size):
        gap[c] = larger(gap[c], row[c] - at)
        top = larger(top, row[c])
    return top


@njit_sums
def _size(at):
    largest = ZERO
    for m in range(at.size):
        largest = larger(largest, abs(at[m]))
    return largest


@njit_inner
def _near(x, first, classes, deepest, buffers, t, stride, begin):
    """Number of classes that some model puts at or above the pivot; these go to buffers.chosen.

    x : int64 [M] addresses of the models' rows, which start `first` elements behind; deepest : members of the longest
    prefix

    Rounded sums keep the order of their parts, so a class below the pivot in every model never passes it; that it does
    not draw level either is what the slack is for.
    """
    gap, at, tops, chosen = buffers.gap, buffers.at, buffers.tops, buffers.chosen
    models = x.size
    gap[:] = ZERO
    sampled = min(SAMPLED, models)
    for s in range(sampled):
        add_to(gap, row_at(x[s * models // sampled], first, classes))
    pivot = first_largest(gap[:classes])
    gap[:] = LOWEST
    if classes >= LANES:
        for m in range(0, models, AT_ONCE):
            raise_gaps(x, m, first, pivot, classes, gap, at, tops, t, stride)
    else:
        for m in range(models):
            row = row_at(x[m], first, classes)
            at[m] = row[pivot]
            tops[t + m * stride] = _gap_and_top(gap, row, row[pivot])
    slack = -(_ULP * np.float32(deepest) * _size(at) + np.float32(1e-30))
    near = 0
    for c in range(0, gap.size, LANES):
        passes = at_least(gap, c, slack)
        if c + LANES > classes:
            passes &= np.uint64((1 << (classes - c)) - 1)
        while passes != 0:
            chosen[begin + near] = c + np.int64(trailing_zeros(passes))
            near += 1
            passes &= passes - np.uint64(1)
    if near == 0:  # sums overflow, so that no comparison holds
        chosen[begin] = pivot
        near = 1
    return near


@njit_inner
def _gather(x, first, classes, buffers, begin, near, length):
    """The models' outputs of the `near` chosen classes to buffers.columns, `length` apart, with zeros behind."""
    chosen, columns = buffers.chosen, buffers.columns
    for m in range(x.size):
        row, to = row_at(x[m], first, classes), np.uint64(x.size * begin + m * length)
        for d in range(np.uint64(near)):
            columns[to + d] = row[np.uint64(chosen[np.uint64(begin) + d])]
        for d in range(np.uint64(near), np.uint64(length)):
            columns[to + d] = ZERO


@njit_inner
def _reaching(buffers, follows, deepest, begin, near, length):
    """Returns how many of the chosen classes some run of models brings to the pivot. They stay in buffers.chosen; their
    indices in the columns go to buffers.which.

    follows : float32 [M], 1 where a model only ever runs right after the one before it, else 0

    The float32 sum of k numbers up to L is off by k^2 2^-24 L at most. Four such sums are compared: the class and the
    pivot, each in the prefix and in its run.
    """
    at, chosen, which, columns = buffers.at, buffers.chosen, buffers.which, buffers.columns
    slack, largest = _ULP * np.float32(deepest * deepest), _size(at)
    left = 0
    for first in range(0, near, LANES):
        passes = runs_that_reach(columns, at.size * begin + first, length, at, follows, largest, slack)
        passes &= np.uint64((1 << min(LANES, near - first)) - 1)
        while passes != 0:
            d = first + np.int64(trailing_zeros(passes))
            chosen[begin + left] = chosen[begin + d]
            which[begin + left] = d
            left += 1
            passes &= passes - np.uint64(1)
    return left


@njit_inner
def candidates(x, first, classes, deepest, follows, alone, buffers, t, stride, begin):
    """Returns the number of candidates of a unit, and the distance between the models' columns, a multiple of eight.

    buffers : Buffers, which take the candidates; the columns of an only one are written where `alone`
    follows : float32 [M] as in `_reaching`, or [0] where no model follows another; the rest as in `_near`
    """
    near = _near(x, first, classes, deepest, buffers, t, stride, begin)
    length = (near + LANES - 1) // LANES * LANES
    if near == 1 and not alone:
        return near, length
    _gather(x, first, classes, buffers, begin, near, length)
    if follows.size > 0 and near > 1:
        return _reaching(buffers, follows, deepest, begin, near, length), length
    which = buffers.which
    for d in range(near):
        which[begin + d] = d
    return near, length

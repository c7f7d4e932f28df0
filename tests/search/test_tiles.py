"""The sweep of one group against numpy over every cell at once; what tiles skip, and the lists they are made of."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pools import cases, envelope_of

from wisecommittee.kernels.envelope import steps
from wisecommittee.kernels.sweeps import grid, tiles
from wisecommittee.kernels.sweeps.metered import Metered
from wisecommittee.searches.grid.bounds import unlimited
from wisecommittee.searches.stages import prefixes

seeds = st.integers(0, 2**32 - 1)


def lists(before, after):
    """{member: {unit: change}}"""
    return [{i: int(x) for i, x in enumerate(line - before) if x} for line in np.array(after, np.int64)]


def as_lists(units, changes, starts):
    pairs = list(itertools.pairwise(starts.tolist()))
    return [dict(zip(units[a:b].tolist(), changes[a:b].tolist(), strict=True)) for a, b in pairs]


@cases(40)
@given(seeds, st.integers(1, 200))
def test_changes_are_those_of_the_lines(seed, units):
    rng = np.random.default_rng(seed)
    before, after = rng.integers(0, 2, units), rng.integers(0, 2, (3, units))
    words = np.zeros((4, -(-units // 64) * 8), np.uint8)
    words[:, : -(-units // 8)] = np.packbits(np.vstack([before, after]), axis=1, bitorder="little")
    words = words.view(np.uint64)
    assert as_lists(*tiles.changed_words(words[0], words[1:])) == lists(before, after)
    before, after = rng.integers(0, 4, units, dtype=np.int32), rng.integers(0, 4, (3, units), dtype=np.int32)
    found = tiles.changed_grades(before, after)
    assert as_lists(*found) == lists(before, after)
    bins = rng.integers(0, 5, units).astype(np.uint8)
    units_of, changes_of, begins = tiles.by_bin(found, found.starts[1:].copy(), np.array([2, 0]), bins, 4)
    for row, member in enumerate((2, 0)):
        for level, (a, b) in enumerate(itertools.pairwise(begins[row].tolist())):
            expected = {i: x for i, x in lists(before, after)[member].items() if bins[i] == level}
            assert dict(zip(units_of[a:b].tolist(), changes_of[a:b].tolist(), strict=True)) == expected


@cases(40)
@given(seeds, st.integers(0, 30), st.sampled_from([3, 40_000]))
def test_distinct_rows(seed, rows, most):
    drawn = np.random.default_rng(seed).integers(0, most, (rows, 3))
    assert prefixes.distinct(drawn).tolist() == [list(row) for row in sorted(set(map(tuple, drawn.tolist())))]


@pytest.mark.parametrize("levels", [1, 7, 25, 26, 60, 100])
def test_tiles_of_units(levels):
    """Every level lies in the tile whose highest corner continues its units; lowest corners continue no others."""
    count, high, low = tiles.tile_maps(levels, tiles.TILES)
    assert count <= tiles.TILES
    step = -(-levels // tiles.TILES)
    for b, u in itertools.product(range(levels), range(count)):
        first, last = u * step, min(levels, (u + 1) * step) - 1
        assert (b <= last) == (high[b] <= u)
        assert (b <= first) == (low[b] <= u)


class Drawn:
    """A random group: bins and quality of four stages, quality and cost of three last members."""

    def __init__(self, seed, levels, units=40, members=3, scale=1, per_unit=False):
        rng = np.random.default_rng(seed)
        self.levels, self.units = levels, units
        self.bins = [rng.integers(0, p, units).astype(np.uint8) for p in levels]
        ease = rng.integers(0, 3, units)
        self.right = [np.minimum(rng.integers(0, 2, units) * (ease > 0) * scale, scale) for _ in levels]
        if levels[0] == 1:
            self.right[0][:] = 0
        self.last = rng.integers(0, scale + 1, (members, units))
        fees = rng.integers(1, 9, (4, units if per_unit else 1))
        self.fees = np.broadcast_to(fees, (4, units)).astype(np.int64)
        last = rng.integers(1, 9, (members, units if per_unit else 1))
        self.last_fees = np.broadcast_to(last, (members, units)).astype(np.int64)
        self.per_unit, self.scale = per_unit, scale
        self.offsets, self.ranks = rng.integers(0, 3, members), rng.permutation(members)

    def cells(self):
        """(correct, cost, rank, level) of every cell where somebody gets to the third stage (elsewhere it is a shorter
        cascade), from where each unit exits."""
        levels = [np.arange(p) for p in self.levels]
        j = np.meshgrid(*levels, indexing="ij")
        waiting, correct, cost = np.ones((*self.levels, self.units), bool), 0, 0
        for k in range(4):
            there = waiting.any(axis=-1).ravel()
            cost = cost + (waiting * self.fees[k] * (k > 0 or self.levels[0] > 1)).sum(axis=-1)
            leaves = waiting & (self.bins[k] > j[k][..., None])
            correct = correct + (leaves * self.right[k]).sum(axis=-1)
            waiting = waiting & ~leaves
        level = np.arange(correct.size)
        for m, rank in enumerate(self.ranks.tolist()):
            here = correct + (waiting * self.last[m]).sum(axis=-1)
            paid = cost + (waiting * self.last_fees[m]).sum(axis=-1) + self.offsets[m]
            yield from zip(here.ravel()[there], paid.ravel()[there], itertools.repeat(rank), level[there], strict=False)

    def sweep(self, envelope, batch=2):
        before = self.right[3].astype(np.int32)
        changed = tiles.changed_grades(before, self.last.astype(np.int32))
        outer = self.levels[0] > 1
        columns = self.units if self.per_unit else 1
        correct = tuple(r.astype(np.int32) for r in self.right)
        stages = grid.GridStages(tuple(self.bins), tuple(self.levels), correct, self.fees[1:, :columns].copy())
        lasts = grid.Lasts(changed, self.last_fees[:, :columns].copy(), self.offsets, self.ranks)
        settled = grid.Settled(int(self.right[0].sum()), int(self.fees[0].sum()) if outer else 0, 0)
        shape = self.levels[2:]
        costs = np.empty((batch, *shape) if self.per_unit else (0, 0, 0), np.int64)
        scratch = grid.Histograms(np.empty(shape, np.int32), np.empty((batch, *shape), np.int32), costs)
        nothing = Metered(np.zeros((0, 3, self.units), np.int64), np.zeros((0, len(self.ranks), self.units), np.int64),
            np.zeros(0, np.int64))  # fmt: skip
        grid.sweep_group(stages, lasts, unlimited(), nothing, settled, scratch, envelope)


@pytest.mark.parametrize("levels", [(1, 1, 1, 60), (1, 1, 40, 30), (1, 30, 12, 40), (6, 7, 8, 9), (4, 1, 27, 17)])
@pytest.mark.parametrize("options", [{}, {"scale": 3}, {"per_unit": True}])
@pytest.mark.parametrize("seed", range(4))
def test_a_group_equals_every_cell(levels, options, seed):
    drawn = Drawn(seed, levels, **options)
    cells = list(drawn.cells())
    best = drawn.units * drawn.scale
    expected = envelope_of(cells, best)
    # From an empty envelope, from one that holds most of it already, and from the finished one.
    some = np.random.default_rng(seed).permutation(len(cells))[: len(cells) // 3]
    for start in ([], [cells[i] for i in some], cells):
        envelope = envelope_of(start, best)
        drawn.sweep(envelope)
        assert envelope.cost.tolist() == expected.cost.tolist()
        at = steps(expected.cost)
        for found, wanted in zip(envelope, expected, strict=True):
            assert found[at].tolist() == wanted[at].tolist()


@cases(15)
@given(seeds, st.sampled_from([(1, 30, 40), (28, 26, 20), (5, 6, 7)]))
def test_tiles_hold_every_cell_that_can_enter(seed, levels):
    """Cells outside the tiles are strictly worse than the envelope; against a good envelope most tiles are left out."""
    drawn = Drawn(seed, (1, *levels), members=1)
    cells = np.array(list(drawn.cells()))
    good = envelope_of(cells[np.random.default_rng(seed).permutation(len(cells))[: len(cells) // 2]], drawn.units).cost
    masks = masks_of(drawn, good)
    for correct, cost, _, level in cells:
        j1, j2, j3 = np.unravel_index(level, levels)
        steps = [-(-p // most) for p, most in zip(levels, (tiles.TILES, tiles.TILES, tiles.BLOCKS), strict=True)]
        kept = masks[j1 // steps[0], j2 // steps[1]] >> (j3 // steps[2]) & 1
        b1, b2 = drawn.bins[1:3]
        fresh = (b1 == j1).any() and ((b1 <= j1) & (b2 == j2)).any()
        if not kept and fresh:
            assert good[correct] < cost
    assert not masks_of(drawn, np.full_like(good, -1)).any()


def masks_of(drawn, env_cost):
    """The tiles of a single last member, from tables made by numpy."""
    (_, p1, p2, p3), (b1, b2, b3) = drawn.levels, drawn.bins[1:]
    counted = [tiles.tile_maps(p, most) for p, most in ((p1, tiles.TILES), (p2, tiles.TILES), (p3, tiles.BLOCKS))]
    base, passed, paid = (np.zeros((p1, p2), t) for t in (np.int32, np.int32, np.int64))
    r, f = drawn.right, drawn.fees
    for j1, j2 in itertools.product(range(p1), range(p2)):
        one = b1 <= j1
        two = one & (b2 <= j2)
        base[j1, j2] = np.where(two, r[3], np.where(one, r[2], r[1])).sum()
        passed[j1, j2], paid[j1, j2] = two.sum(), f[1].sum() + f[2][one].sum() + f[3][two].sum()
    us, vs = counted[0][0], counted[1][0]
    top, low = np.empty((us, vs), np.int64), np.empty((us, vs), np.int64)
    tiles.corners(base, passed, paid, top, low)
    gain, loss, load = np.zeros((3, us, vs, tiles.BLOCKS), np.int32)
    for i, change in enumerate((drawn.last[0] - r[3]).tolist()):
        high, least = ([maps[which][b[i]] for maps, b in zip(counted, (b1, b2, b3), strict=True)] for which in (1, 2))
        if change > 0:
            gain[high[0] :, high[1] :, high[2] :] += change
        if change < 0:
            loss[least[0] :, least[1] :, least[2] :] -= change
        load[least[0] :, least[1] :, least[2] :] += 1
    masks = np.zeros((us, vs), np.uint16)
    reached = gain[:, :, -1].copy()
    some = tiles.blocks(top, gain, loss, low, load, int(drawn.offsets[0]), int(drawn.last_fees[0, 0]), env_cost, masks)
    assert tiles.reach(top, reached, low, int(drawn.offsets[0]), env_cost) or not some
    return masks

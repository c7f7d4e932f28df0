"""What the exact mode skips: levels, tiles of thresholds and boxes of levels, against loops over every cell."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pools import cases, envelope_of

from wisecommittee.kernels.bounds import Bounds
from wisecommittee.kernels.envelope import Envelope, steps
from wisecommittee.kernels.exact import branch_and_bound, screening
from wisecommittee.kernels.exact.gain_levels import gain_levels, number_confidences
from wisecommittee.kernels.sweeps import tiles
from wisecommittee.searches.exact.profiles import UnitProfiles

seeds = st.integers(0, 2**32 - 1)


@cases(40)
@given(seeds, st.integers(1, 40))
def test_levels_are_the_gain_confidences(seed, units):
    rng = np.random.default_rng(seed)
    order = np.unique(rng.integers(0, 12, units), return_inverse=True)[1].astype(np.int32)
    kind, gains = rng.integers(0, 4, units).astype(np.int32), rng.integers(0, 2, 4).astype(bool)
    turn, bins = rng.permutation(units).astype(np.int32), np.zeros((units, 4), np.int32)
    level_of = np.zeros(order.max() + 2, np.int32)
    numbers = gain_levels(order, kind, gains, level_of, turn, bins[:, 1]).tolist()
    assert numbers == sorted({int(d) for d, k in zip(order, kind, strict=True) if gains[k]})
    assert bins[:, 1].tolist() == [sum(number < order[i] for number in numbers) for i in turn]


@cases(40)
@given(seeds, st.integers(1, 60), st.sampled_from([1, 3, 32]))
def test_confidences_are_numbered_and_cut(seed, units, most):
    rng = np.random.default_rng(seed)
    score = (rng.integers(-9, 9, units) / np.float32(4)).astype(np.float32)
    weights = rng.integers(1, 70, units)
    by_score = np.argsort(score)
    distinct, order, tile_of, tile = number_confidences(score[by_score], by_score, weights, most)
    values, inverse = np.unique(score, return_inverse=True)
    assert distinct.tolist() == values.tolist()
    assert order.tolist() == inverse.tolist()
    assert tile_of.tolist() == [int(weights[score < v].sum()) * most // int(weights.sum()) for v in values]
    assert tile.tolist() == tile_of[order].tolist()


class Cascade:
    """A random cascade of four stages (virtual ones in front): bins by stage, some of which never continue."""

    def __init__(self, seed, levels, units=30, scale=1, per_unit=False):
        rng = np.random.default_rng(seed)
        self.levels, self.units, self.per_unit = levels, units, per_unit
        self.bins = [rng.integers(0, p + 1 if p > 1 else 1, units) for p in levels]
        ease = rng.integers(0, 3, units)
        self.right = [np.minimum(rng.integers(0, 2, units) * (ease > 0) * scale, scale) for _ in range(4)]
        fees = rng.integers(0, 9, (4, units if per_unit else 1))
        self.fees = np.broadcast_to(fees, (4, units)).astype(np.int64)
        self.offset, self.rank = int(rng.integers(0, 5)), int(rng.integers(0, 9))
        self.caps, self.charges = np.full(4, 2**60), np.zeros((0, 4), np.int64)
        self.ceilings = np.zeros(0, np.int64)

    def limit(self, seed):
        rng = np.random.default_rng(seed)
        self.caps[rng.integers(1, 4)] = rng.integers(1, self.units + 1)
        self.charges = rng.integers(0, 4, (1, 4))
        self.ceilings = rng.integers(self.units, 5 * self.units, 1)

    def cells(self):
        """(correct, cost, rank, level) of every cell within the limits where somebody runs the third stage."""
        out = []
        for level, vector in enumerate(itertools.product(*map(range, self.levels))):
            correct, cost, waiting, ran = 0, self.offset, np.ones(self.units, bool), []
            for k in range(4):
                ran.append(int(waiting.sum()))
                cost += int(self.fees[k][waiting].sum())
                goes = waiting & (self.bins[k] <= vector[k]) if k < 3 else np.zeros(self.units, bool)
                correct += int(self.right[k][waiting & ~goes].sum())
                waiting = goes
            kept = all(n <= cap for n, cap in zip(ran, self.caps.tolist(), strict=True))
            kept &= all(int(row @ ran) <= top for row, top in zip(self.charges, self.ceilings.tolist(), strict=True))
            if kept and ran[2]:
                out.append((correct, cost, self.rank, level))
        return out

    def profiles(self, stages=4):
        few = max(r.max() for r in self.right) <= 1 and not self.per_unit
        profiles = UnitProfiles.start(self.units, few=few)
        for right, fee in zip(self.right[:stages], self.fees, strict=stages == 4):
            profiles = profiles.then(right.astype(np.uint8) if few else right, int(fee[0]) if few else fee)
        return profiles

    def search(self, envelope):
        profiles = self.profiles()
        rows = 2 if self.units % 2 else 3  # little room: it grows
        units = np.zeros((rows * self.units, 4), np.int32)
        units[: self.units] = np.stack([*self.bins, profiles.profile], axis=1)
        shift = max(0, profiles.total_cost(1, 4).bit_length() - branch_and_bound.COST_BITS)
        most, fees = max(self.levels), profiles.fees_from(1)
        tile_of, every_tile = np.zeros((3, most), np.int64), np.ones((1, 1), np.uint16)
        opened = branch_and_bound.Open(*np.zeros((2, 3, most), np.int64), np.zeros(3, np.int64))
        return branch_and_bound.search_boxes(
            units, self.units, branch_and_bound.Profiles(profiles.correct.T.copy(), fees, fees >> shift),
            branch_and_bound.Levels(self.levels, tile_of, every_tile), shift, profiles.total_cost(0, 1) + self.offset,
            Bounds(self.caps[None], self.charges[None], self.ceilings), self.rank, opened, envelope,
        )  # fmt: skip


@pytest.mark.parametrize("levels", [(1, 1, 20), (1, 9, 14), (9, 8, 10), (12, 11, 13)])
@pytest.mark.parametrize("options", [{}, {"scale": 3}, {"per_unit": True}, {"units": 31, "limited": True}])
@pytest.mark.parametrize("seed", range(4))
def test_boxes_equal_every_cell(levels, options, seed):
    options = dict(options)
    limited = options.pop("limited", False)
    cascade = Cascade(seed, levels, **options)
    if limited:
        cascade.limit(seed)
    cells, best = cascade.cells(), int(sum(np.max(cascade.right, axis=0)))
    expected = envelope_of(cells, best)
    # From an empty envelope, from one that holds some of it already, and from the finished one.
    some = np.random.default_rng(seed).permutation(len(cells))[: len(cells) // 3]
    for start in ([], [cells[i] for i in some], cells):
        envelope = envelope_of(start, best)
        cascade.search(envelope)
        assert envelope.cost.tolist() == expected.cost.tolist()
        at = steps(expected.cost)
        for found, wanted in zip(envelope, expected, strict=True):
            assert found[at].tolist() == wanted[at].tolist()


def test_an_envelope_out_of_reach_leaves_no_box():
    cascade = Cascade(0, (9, 8, 10))
    best = cascade.units
    assert cascade.search(Envelope(*np.zeros((3, best + 1), np.int64))) == 1


@cases(25)
@given(seeds, st.sampled_from([0, 1, 2]), st.booleans())
def test_tiles_hold_every_threshold_that_can_enter(seed, virtual, per_unit):
    """Thresholds at any confidence; those outside the marked tiles are strictly worse than the envelope."""
    rng = np.random.default_rng(seed)
    units, members, count = 24, 2, [1 if k < virtual else 12 for k in range(3)]
    cascade = Cascade(seed, tuple(count), units, per_unit=per_unit)
    order = [rng.integers(0, p, units) for p in count]
    cascade.bins = order
    if virtual:
        for k in range(virtual):
            cascade.right[k] = np.zeros(units, np.int64)
    profiles = cascade.profiles(3)
    tile_of = [np.sort(rng.integers(0, screening.TILES, p)) if p > 1 else np.zeros(1, np.int64) for p in count]
    tile = [t[o].astype(np.uint8) for t, o in zip(tile_of, order, strict=True)]
    lasts = rng.integers(0, 2, (members, units))
    changed = tiles.changed_grades(cascade.right[2].astype(np.int32), lasts.astype(np.int32))
    fees = rng.integers(0, 9, members)
    cells = []
    for last, fee in zip(lasts, fees, strict=True):
        cascade.right[3], cascade.fees = last, np.vstack([cascade.fees[:3], np.full(units, fee)])
        cells.append(cascade.cells())
    every = [cell for part in cells for cell in part]
    good = envelope_of([every[i] for i in rng.permutation(len(every))[: len(every) // 2]], units).cost
    masks = np.zeros((members, *(screening.TILES if k >= virtual else 1 for k in range(2))), np.uint16)
    real = (int(virtual < 1), int(virtual < 2))
    screened = screening.ScreenedUnits(tuple(tile), real, profiles.profile, profiles.best(), profiles.fees_from(1))
    rest = (changed, profiles.total_cost(0, 1), np.full(members, cascade.offset), fees * (not per_unit))
    found = screening.screen(screened, *rest, good, masks)
    assert [bool(mask.any()) for mask in masks] == found.tolist()
    for mask, part in zip(masks, cells, strict=True):
        for correct, cost, _, level in part:
            j1, j2, j3 = np.unravel_index(level, count)
            if not mask[tile_of[0][j1], tile_of[1][j2]] >> (tile_of[2][j3] // 2) & 1:
                assert good[correct] < cost
    masks[:] = 0
    assert not screening.screen(screened, *rest, np.full_like(good, -1), masks).any()

"""Correctness of prefixes: what was put in comes out, in an eighth of the memory where units are right or wrong."""

import numpy as np
import pytest

from wisecommittee.searches.stages.correctness import Correctness


@pytest.mark.parametrize("units", [1, 7, 8, 9, 1000])
@pytest.mark.parametrize("scale", [1, 5])
def test_lines_come_back(units, scale):
    rng = np.random.default_rng(units)
    lines = rng.integers(0, scale + 1, (6, units))
    quality = Correctness.empty(6, units, scale)
    for node, line in enumerate(lines):
        quality.put(node, line.astype(np.int32))
    assert [quality.row(node).tolist() for node in range(6)] == lines.tolist()
    assert quality.rows([4, 0, 4]).tolist() == lines[[4, 0, 4]].tolist()
    assert quality.totals().tolist() == lines.sum(axis=1).tolist()
    assert quality.row(0).dtype == quality.dtype == (np.uint8 if scale == 1 else np.int32)
    assert quality.cells.nbytes == 6 * (-(-units // 64) * 8 if scale == 1 else 4 * units)


@pytest.mark.parametrize("step", [8, 24])
def test_blocks_of_units_are_put_beside_each_other(step):
    rng = np.random.default_rng(step)
    lines = rng.integers(0, 2, (5, 61))
    quality = Correctness.empty(5, 61)
    for start in range(0, 61, step):
        quality.put_block(start, lines[:, start : start + step].astype(np.uint8))
    assert (quality.rows(range(5)) == lines).all()
    assert quality.totals().tolist() == lines.sum(axis=1).tolist()

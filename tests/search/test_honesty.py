"""Whether the figures of a choice hold on units that nobody has looked at, on the digits pool; `make honesty` for other
stores."""

from __future__ import annotations

import math

import pytest

from wisecommittee import LogitStore, Query
from wisecommittee.searches.selection import Selection

DRAWS, UNITS = 60, 300


@pytest.mark.slow
def test_figures_hold_on_units_that_were_not_drawn(tmp_path):
    pytest.importorskip("torch")
    from benchmarks.honesty import digits, simulate, table

    store = LogitStore(digits(str(tmp_path / "digits")))
    rows = simulate(store, Query(max_models=3, levels=20), UNITS, DRAWS, (0.25, 0.5, 1, 2), Selection(folds=10))
    print(f"\n{UNITS} units drawn {DRAWS} times")
    print(table(rows))
    by_chance = 100 * 2 * math.sqrt(0.93 * 0.07 / DRAWS)
    for row in rows:
        for covered in (row.quality, row.cost, row.p99, row.difference, row.speedup):
            assert covered >= 93 - by_chance, row
        assert abs(row.bias) <= 0.3 + 2 * row.error, row
        assert row.false_use <= 5 + 100 * 2 * math.sqrt(0.05 * 0.95 / DRAWS), row
        assert row.gain >= -2 * row.gain_error - 0.1, row

"""Facts of a pool that an analysis lacks are named."""

from __future__ import annotations

import pytest
from analyses_pool import Case

from wisecommittee.errors import AbsentError
from wisecommittee.report import tables

POOL = {"a": (2, 10, 1.0), "b": (2, 27, 1.6), "c": (1, 90, 2.2)}


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("self-cascades", r"two input sizes; extract .*--sizes 240,300"),
        ("scaled-cascades", r"no ladder of 3 .*b0, b1, b2"),
        ("training", r"no training cost on the card of a/0 \(5 of 5"),
        ("latency", r"no latency_ms .*bench-models MODEL --store memory"),
        ("throughput", "no batch_ms"),
    ],
)
def test_what_is_missing_is_named(kind, message):
    with pytest.raises(AbsentError, match=message):
        tables.fill(kind, Case(POOL, n=12).study)

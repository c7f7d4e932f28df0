"""What the tests of operations share: a committee of the imported store."""

from __future__ import annotations

import pytest

from wisecommittee import Committee, LogitStore, Thresholds


@pytest.fixture
def committee():
    """Chosen on val; units exit at each of its three stages."""
    return Committee((("small",), ("mid",), ("large",)), Thresholds((0.8, 0.7)), chosen_on="val")


@pytest.fixture
def store(imported_store):
    return LogitStore(imported_store)

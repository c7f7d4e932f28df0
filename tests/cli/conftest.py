"""What the tests of the command line share: a store with three models and the files it was imported from."""

from __future__ import annotations

import pytest


@pytest.fixture
def store(imported_store):
    return imported_store

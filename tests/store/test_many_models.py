"""The cost of many models: files that are read and locks that are held."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from stored import RNG, X, Y, card, is_mapped

from wisecommittee.errors import StoreError
from wisecommittee.store import LogitStore, cache
from wisecommittee.store.parquet import parts

pytestmark = pytest.mark.usefixtures("small_groups")


def test_a_split_of_many_models_is_read_once_for_each(store, monkeypatch):
    """Adding, verifying and reading M models opens of the order of M cards, not of M times M."""
    opened = []
    real = LogitStore.read_card

    def read_card(self, split, model):
        opened.append(model)
        return real(self, split, model)

    monkeypatch.setattr(LogitStore, "read_card", read_card)
    counts = []
    for models in (10, 20, 40):
        one = LogitStore(store.files.local / str(models))
        opened.clear()
        for i in range(models):
            one.add(card(f"m/{i}"), "val", labels=Y, outputs=X + i)
        assert one.verify() == []
        assert len({one.outputs(f"m/{i}", "val")[0, 0] for i in range(models)}) == models
        counts.append(len(opened))
    assert counts[2] - counts[1] == 2 * (counts[1] - counts[0])


def test_arrays_in_use_keep_no_file_open(store):
    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc")
    kept = []
    for i in range(20):
        store.add(card(f"m/{i}"), "val", labels=Y, outputs=X + i, scores={"s": X[:, 0]})
        kept += [store.outputs(f"m/{i}", "val"), store.scores(f"m/{i}", "val", "s")]
        if i == 1:
            first = len(os.listdir("/proc/self/fd"))
    assert all(map(is_mapped, kept))
    assert len(os.listdir("/proc/self/fd")) <= first


def test_too_many_open_files_are_called_so(filled, monkeypatch):
    def none_left(*_, **__):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "open", none_left)
    with pytest.raises(StoreError, match=r"too many open files; raise the limit with `ulimit -n"):
        filled.card("a/0", "val")


def test_a_cache_that_several_fill_at_once_keeps_its_bound(store, monkeypatch):
    monkeypatch.setattr(parts, "ROW_GROUP", 5_000)
    x = RNG.normal(size=(2_000, 10)).astype(np.float32)
    for i in range(12):
        store.add(card(f"m/{i}"), "val", labels=np.zeros(2_000, int), outputs=x + i)
    monkeypatch.setenv("WISECOMMITTEE_CACHE_GB", str(5.5 * x.nbytes / 1e9))

    def read(models: range) -> None:
        own = LogitStore(store.files.uri)
        for i in models:
            assert own.outputs(f"m/{i}", "val")[0, 0] == x[0, 0] + np.float32(i)

    threads = [threading.Thread(target=read, args=(range(k, 12, 4),)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 4 * x.nbytes < sum(path.stat().st_size for path in cache.cache_folder().iterdir()) <= 5.5 * x.nbytes

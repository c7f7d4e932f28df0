"""Places where nothing can be written: full disks, missing permissions, files instead of folders."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest
from stored import IDS, RNG, X, Y, card, failing, is_mapped, tree

from wisecommittee.errors import StoreError, UsageError
from wisecommittee.store import LogitStore
from wisecommittee.store.parquet import parts

pytestmark = pytest.mark.usefixtures("small_groups")


def test_a_full_disk_leaves_the_store_as_it_was(filled, monkeypatch):
    before = tree(filled)
    for count in range(1, 7):
        with monkeypatch.context() as patch:
            failing("fsync", count, OSError(errno.ENOSPC, "No space left on device"), patch)
            if count % 2:  # the even ones are those of folders, which may fail
                with pytest.raises(StoreError, match="the disk is full; free some space and run again"):
                    filled.add(card("b"), "val", labels=Y, outputs=X, unit_ids=IDS)
                assert {name: data for name, data in tree(filled).items() if "model=b" not in name} == before
                assert filled.models("val") == ("a/0",)
    assert filled.add(card("b"), "val", labels=Y, outputs=X, unit_ids=IDS) == "added"
    assert filled.verify() == []


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 512 KB."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "none", str(place)], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("mounting is not permitted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_disk_that_really_is_full(small_disk, monkeypatch):
    monkeypatch.setattr(parts, "ROW_GROUP", 5_000)
    store = LogitStore(small_disk / "logits")
    x = RNG.normal(size=(3_000, 30)).astype(np.float32)
    y = np.zeros(3_000, int)
    store.add(card(), "val", labels=y, outputs=x)
    monkeypatch.setattr(parts, "ROW_GROUP", 100)
    with pytest.raises(StoreError, match="disk is full"):
        store.add(card("b"), "val", labels=y, outputs=x + 1)
    with pytest.raises(StoreError, match="disk is full"):
        store.add(card(), "val", labels=y, outputs=x + 1, replace=True)
    assert store.models("val") == ("a/0",)
    monkeypatch.setenv("WISECOMMITTEE_CACHE", str(small_disk / "cache"))
    assert np.array_equal(store.outputs("a/0", "val"), x)
    assert not is_mapped(store.outputs("a/0", "val"))
    store.remove("b")
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    store.add(card("b"), "val", labels=y, outputs=x + 1)
    assert is_mapped(store.outputs("b", "val"))
    assert store.verify() == []


@pytest.fixture
def unprivileged():
    """Act as an ordinary user, in a folder that root made."""
    with tempfile.TemporaryDirectory() as root:
        os.chmod(root, 0o755)
        yield Path(root)
        os.chmod(root, 0o755)


@contextlib.contextmanager
def ordinary_user():
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_read_only_store_can_be_read_and_says_why_not_written(unprivileged, monkeypatch):
    store = LogitStore(unprivileged / "logits")
    store.add(card(), "val", labels=Y, outputs=X)
    assert store.verify() == []
    before = tree(store)
    paths = [unprivileged, *unprivileged.rglob("*")]
    for path in paths:
        os.chmod(path, 0o555 if path.is_dir() else 0o444)
    monkeypatch.setenv("WISECOMMITTEE_CACHE", str(unprivileged / "cache"))
    with ordinary_user():
        assert np.array_equal(store.outputs("a/0", "val"), X)
        assert store.verify() == []
        for action in (
            lambda: store.add(card("b"), "val", labels=Y, outputs=X),
            lambda: store.add(card(), "test", labels=Y, outputs=X),
            lambda: store.add(card(), "val", labels=Y, outputs=X, replace=True),
            lambda: store.add(card(params=1), "val", labels=Y, outputs=X),
            lambda: store.remove("a/0"),
            lambda: LogitStore(unprivileged / "new").add(card(), "val", labels=Y, outputs=X),
        ):
            with pytest.raises(StoreError, match=r"no permission; .* or choose another place"):
                action()
    for path in paths:
        os.chmod(path, 0o755 if path.is_dir() else 0o644)
    assert tree(store) == before
    os.chmod(unprivileged / "logits", 0)
    with ordinary_user(), pytest.raises(StoreError, match="no permission"):
        store.splits()
    os.chmod(unprivileged / "logits", 0o755)


def test_a_store_that_is_a_file(tmp_path):
    (tmp_path / "f").write_text("x")
    store = LogitStore(tmp_path / "f")
    for action in (
        lambda: store.add(card(), "val", labels=Y, outputs=X),
        lambda: store.splits(),
        lambda: store.labels("val"),
        lambda: store.verify(),
        lambda: store.remove("a/0"),
        lambda: LogitStore(tmp_path / "f/below").add(card(), "val", labels=Y, outputs=X),
    ):
        with pytest.raises(StoreError, match="a file stands where"):
            action()
    assert (tmp_path / "f").read_text() == "x"


def test_where_a_store_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert LogitStore().files.local == tmp_path / "logits"
    monkeypatch.setenv("WISECOMMITTEE_STORE", "elsewhere")
    assert LogitStore().files.local == tmp_path / "elsewhere"
    assert LogitStore(f"file://{tmp_path}/a%20b").files.local == tmp_path / "a b"
    assert "nowhere" in repr(LogitStore(tmp_path / "nowhere"))
    with pytest.raises(StoreError, match=r"there is no store at .*wisecommittee extract"):
        LogitStore(tmp_path / "nowhere").labels("val")
    for wrong in ("", "a\0b", "ftp://host/x", "~nobody-of-that-name/x"):
        with pytest.raises(UsageError, match="expected a folder"):
            LogitStore(wrong)
    with pytest.raises(UsageError) as caught:
        LogitStore("s3x://key:secret@bucket/x")
    assert "secret" not in str(caught.value)

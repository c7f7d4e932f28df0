"""The cache of decoded arrays."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from stored import IDS, C, N, X, Y, card, is_mapped

from wisecommittee.errors import UsageError
from wisecommittee.store import LogitStore, cache
from wisecommittee.store.parquet import parts

pytestmark = pytest.mark.usefixtures("small_groups")


def cached_file() -> Path:
    (path,) = cache.cache_folder().glob("*.npy")
    return path


def swap_rows(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[-80:-72], raw[-88:-80] = raw[-88:-80], raw[-80:-72]
    path.write_bytes(bytes(raw))


def moved(raw: bytearray, start: int, stop: int, target: int) -> None:
    raw[target : target + stop - start], raw[start:stop] = raw[start:stop], raw[target : target + stop - start]


def in_the_values(change):
    """A change of the bytes between header and checksum."""

    def damage(path: Path) -> None:
        raw = path.read_bytes()
        start = len(raw) - X.nbytes - 64
        values = bytearray(raw[start:-64])
        change(values)
        assert values != raw[start:-64]
        path.write_bytes(raw[:start] + values + raw[-64:])

    return damage


def reverse_words(values: bytearray) -> None:
    values[:] = np.frombuffer(values, np.uint32)[::-1].tobytes()


DAMAGE = {
    "words": in_the_values(lambda raw: moved(raw, 0, 8, 64)),
    "half words": in_the_values(lambda raw: moved(raw, 4, 8, 16)),
    "rows": in_the_values(lambda raw: moved(raw, 0, 4 * C, 4 * C * 9)),
    "reversed": in_the_values(reverse_words),
    "garbage": lambda path: path.write_bytes(b"garbage"),
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-10]),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"x"),
    "a bit": lambda path: path.write_bytes(path.read_bytes()[:-100] + b"\x01" + path.read_bytes()[-99:]),
    "swapped": swap_rows,
    "zeros": lambda path: np.save(path, np.zeros((N, C), np.float32)),
    "other shape": lambda path: np.save(path, np.zeros((N, C + 1), np.float32)),
    "a zip": lambda path: path.write_bytes(b"PK\x03\x04" + path.read_bytes()[4:]),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
    "a link": lambda path: (path.rename(path.with_name("elsewhere")), path.symlink_to("elsewhere")),
    "a link to itself": lambda path: (path.unlink(), path.symlink_to(path.name)),
}


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.__setitem__(5, x[5] ^ 1),
        lambda x: x.__setitem__([3, 4], x[[4, 3]]),
        lambda x: x.__setitem__([3, 8192 * 300], x[[8192 * 300, 3]]),
        lambda x: x.__setitem__([3, 3 + 8192], x[[3 + 8192, 3]]),
        lambda x: x.__setitem__(slice(0, 8192), x[:8192][::-1].copy()),
        lambda x: x.__setitem__(slice(0, 16384), np.roll(x[:16384], 8192)),
        lambda x: x.__setitem__(slice(0, 8192), np.roll(x[:8192], 1)),
        lambda x: x.__setitem__([9, 17], x[[9, 17]] + np.array([1, 2**64 - 1], np.uint64)),
        lambda x: x.__setitem__([9, 9 + 8192], x[[9, 9 + 8192]] + np.array([1, 2**64 - 1], np.uint64)),
        lambda x: x.__setitem__(-1, x[-1] + np.uint64(1)),
    ],
)
def test_the_checksum_sees_what_is_moved_or_changed(change):
    """Words of 8 bytes, 8192 in a row, and some beyond the last whole row."""
    x = np.random.default_rng(3).integers(0, 1 << 63, 8192 * 301 + 7, np.uint64)
    before = cache._checksum("key", x)
    change(x)
    assert cache._checksum("key", x) != before


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_cache_file_is_not_believed(case, filled):
    assert np.array_equal(filled.outputs("a/0", "val"), X)
    DAMAGE[case](cached_file())
    assert np.array_equal(LogitStore(filled.files.uri).outputs("a/0", "val"), X)
    if case != "a folder":
        assert np.array_equal(np.load(cached_file()), X)  # repaired
        assert not cached_file().is_symlink()


def test_the_cache_is_used_and_shared_by_equal_stores(filled, tmp_path, monkeypatch):
    first = filled.outputs("a/0", "val")
    changed = cached_file().stat().st_mtime_ns
    copied = shutil.copytree(filled.files.local, tmp_path / "copy")
    monkeypatch.setattr(parts, "decode", lambda *_: pytest.fail("decoded again"))
    assert np.array_equal(LogitStore(copied).outputs("a/0", "val"), first)
    assert cached_file().stat().st_mtime_ns == changed


def test_one_model_does_not_take_the_file_of_another(filled):
    filled.add(card("b"), "val", labels=Y, outputs=X + 1, unit_ids=IDS)
    filled.outputs("a/0", "val")
    first = cached_file()
    filled.outputs("b", "val")
    (second,) = set(cache.cache_folder().glob("*.npy")) - {first}
    shutil.copy(first, second)
    assert np.array_equal(LogitStore(filled.files.uri).outputs("b", "val"), X + 1)


def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_without_a_usable_cache_the_arrays_are_in_memory(filled, tmp_path, monkeypatch):
    (tmp_path / "a file").write_text("x")

    def read() -> np.ndarray:
        outputs = LogitStore(filled.files.uri).outputs("a/0", "val")
        assert np.array_equal(outputs, X)
        assert not outputs.flags.writeable
        return outputs

    monkeypatch.setenv("WISECOMMITTEE_CACHE", str(tmp_path / "a file"))
    assert not is_mapped(read())
    monkeypatch.setenv("WISECOMMITTEE_CACHE", str(tmp_path / "a file/below"))
    assert not is_mapped(read())
    monkeypatch.setenv("WISECOMMITTEE_CACHE", "/proc/nowhere")
    assert not is_mapped(read())
    monkeypatch.setenv("WISECOMMITTEE_CACHE", str(tmp_path / "full"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        assert not is_mapped(read())
        assert list((tmp_path / "full").iterdir()) == []
    monkeypatch.setenv("WISECOMMITTEE_CACHE_GB", "0")
    assert not is_mapped(read())
    monkeypatch.setenv("WISECOMMITTEE_CACHE_GB", "many")
    with pytest.raises(UsageError, match="WISECOMMITTEE_CACHE_GB is 'many'"):
        read()
    monkeypatch.delenv("WISECOMMITTEE_CACHE_GB")
    assert is_mapped(read())


def test_a_user_without_a_home(filled, monkeypatch):
    monkeypatch.delenv("WISECOMMITTEE_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    assert np.array_equal(filled.outputs("a/0", "val"), X)
    with pytest.raises(UsageError, match="name one with WISECOMMITTEE_CACHE"):
        cache.cache_folder()


def test_the_least_recently_used_leave_the_cache(store, monkeypatch):
    models = ["a", "b", "c"]
    for i, model in enumerate(models):
        store.add(card(model), "val", labels=Y, outputs=X + i)
    for model in models[:2]:
        store.outputs(model, "val")
    abandoned = cache.cache_folder() / ".old.tmp"
    abandoned.write_text("x")
    os.utime(abandoned, (0, 0))
    store.outputs("a", "val")  # used again
    kept = set(cache.cache_folder().glob("*.npy"))
    monkeypatch.setenv("WISECOMMITTEE_CACHE_GB", str((sum(path.stat().st_size for path in kept) + 100) / 1e9))
    store.outputs("c", "val")
    assert len(kept & set(cache.cache_folder().glob("*.npy"))) == 1
    assert not abandoned.exists()
    monkeypatch.setattr(parts, "decode", lambda *_: pytest.fail("decoded again"))
    for i, model in ((0, "a"), (2, "c")):
        assert np.array_equal(store.outputs(model, "val"), X + i)

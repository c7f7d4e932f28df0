"""kill -9 at any point of writing: the store is as it was, and the rerun ends where an uninterrupted run does.

Run as a script this file is the victim: it forks writers and kills them, at random times or at every change of a file.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from wisecommittee.committees.cards import ModelCard
from wisecommittee.errors import BusyError, StoreError
from wisecommittee.store import LogitStore
from wisecommittee.store.splitting import split_store

KILLS = 8
N, C, PART = 45, 10, 16
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, C)).astype(np.float32)
Y = RNG.integers(0, C, N)
IDS = [f"unit {i}" for i in range(N)]
OLD, NEW = (ModelCard(name, blocks={name: 1}) for name in ("old", "new"))


# What is interrupted: each is (before, action), and may be run again


def nothing(store: LogitStore) -> None:
    pass


def an_old_model(store: LogitStore) -> None:
    store.add(OLD, "val", labels=Y, outputs=X, unit_ids=IDS)


def an_old_new_model(store: LogitStore) -> None:
    an_old_model(store)
    stream(store)


def stream(store: LogitStore, rank: int = 0, ranks: int = 1) -> None:
    """As an extraction does: batches, several parts; all ranks but 0 only finish."""
    if "new" in store.models("val"):
        return
    mine = range(rank, N, ranks)
    options = {"classes": C, "identity": "the same", "rows_per_part": PART, "rank": rank, "ranks": ranks}
    with store.writer(NEW, "val", **options) as writer:
        for start in range(writer.rows_done, len(mine), 7):
            some = list(mine[start : start + 7])
            writer.append([IDS[i] for i in some], Y[some], X[some])
        writer.finish()
        if ranks == 1:
            writer.commit()


def replace(store: LogitStore) -> None:
    order = np.random.default_rng(1).permutation(N)
    columns = {"labels": Y[order], "outputs": -X[order], "unit_ids": [IDS[i] for i in order]}
    store.add(NEW, "val", **columns, replace=True)


def add(store: LogitStore) -> None:
    store.add(NEW, "val", labels=Y, outputs=X, unit_ids=IDS)


def remove(store: LogitStore) -> None:
    if (store.files.local / "val/model=new").exists():
        store.remove("new")


SCENARIOS = {
    "the first model": (nothing, stream),
    "another model": (an_old_model, stream),
    "an import": (nothing, add),
    "a replacement": (an_old_new_model, replace),
    "a removal": (an_old_new_model, remove),
}


def divide(store: LogitStore) -> None:
    split_store(store, {"val": 0.5, "test": 0.5}, source="val")


ALL = SCENARIOS | {"a division": (an_old_model, divide)}


# The killing


def prepare() -> None:
    """Small row groups; and what pyarrow imports at its first array, once instead of in every fork."""
    import pandas  # noqa: F401

    from wisecommittee.store.parquet import parts

    parts.ROW_GROUP = 8


def fork(action, *arguments) -> int:
    if pid := os.fork():
        return pid
    try:
        action(*arguments)
        os._exit(0)
    except BaseException as error:
        print(repr(error), file=sys.stderr)
        os._exit(1)


def ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def die_at(count: int, action, store: LogitStore) -> None:
    """Run the action and die before its count-th change of the disk."""
    left = count

    def counted(real):
        def wrapped(*arguments, **keywords):
            nonlocal left
            left -= 1
            if left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **keywords)

        return wrapped

    for name in ("fsync", "replace", "rename", "unlink", "mkdir", "rmdir"):
        setattr(os, name, counted(getattr(os, name)))
    for name in ("delete", "delete_folder"):
        setattr(type(store.files), name, counted(getattr(type(store.files), name)))
    action(store)


def kill_at_random(before, action, root: Path) -> None:
    """KILLS copies of the store, each left by a writer killed at some time."""
    pid = fork(before, LogitStore(root / "start"))
    assert ended(pid) == 0
    for i in range(KILLS + 3):
        store = LogitStore(root / str(i))
        if (root / "start").exists():
            shutil.copytree(root / "start", root / str(i))
        started = time.monotonic()
        pid = fork(action, store)
        if i < 3:  # to know how long it takes
            assert ended(pid) == 0
            longest = time.monotonic() - started
            shutil.rmtree(root / str(i), ignore_errors=True)
            continue
        time.sleep(random.Random(i).uniform(0, longest))
        os.kill(pid, signal.SIGKILL)
        ended(pid)


def kill_at_every_step(before, action, root: Path) -> None:
    """One copy of the store for each change of the disk, left by a writer killed before it."""
    pid = fork(before, LogitStore(root / "start"))
    assert ended(pid) == 0
    code = -signal.SIGKILL
    count = 0
    while code == -signal.SIGKILL:
        count += 1
        if (root / "start").exists():
            shutil.copytree(root / "start", root / str(count))
        code = ended(fork(die_at, count, action, LogitStore(root / str(count))))
    assert code == 0


def kill_a_rank(root: Path) -> None:
    """Rank 0 of 2 finishes, rank 1 is killed at some time."""
    for i in range(KILLS):
        store = LogitStore(root / str(i))
        pids = [fork(stream, store, rank, 2) for rank in (0, 1)]
        time.sleep(random.Random(i).uniform(0, 0.1))
        os.kill(pids[1], signal.SIGKILL)
        assert ended(pids[0]) == 0
        ended(pids[1])


def hold(root: Path) -> None:
    """Be in the middle of writing, with a child that outlives the writing."""
    store = LogitStore(root / "held")
    with store.writer(NEW, "val", classes=C) as writer:
        writer.append(IDS[:20], Y[:20], X[:20])
        print("writing", flush=True)
        signal.pause()


def leave_a_child(root: Path) -> None:
    store = LogitStore(root / "held")
    with store.writer(NEW, "val", classes=C) as writer:
        child = fork(signal.pause)
        writer.append(IDS, Y, X)
        writer.commit()
    print(child, flush=True)


def victim(how: str, scenario: str, folder: str) -> None:
    prepare()
    if how in ("random", "steps"):
        (kill_at_random if how == "random" else kill_at_every_step)(*ALL[scenario], Path(folder))
    else:
        {"ranks": kill_a_rank, "hold": hold, "child": leave_a_child}[how](Path(folder))


if __name__ == "__main__":
    victim(*sys.argv[1:])


# The checks


@pytest.fixture(autouse=True)
def settings(monkeypatch, tmp_path):
    from wisecommittee.store.parquet import parts

    monkeypatch.setattr(parts, "ROW_GROUP", 8)
    monkeypatch.setenv("WISECOMMITTEE_CACHE", str(tmp_path / "cache"))


def run(how: str, scenario: str, folder: Path) -> None:
    arguments = [sys.executable, "-W", "ignore", __file__, how, scenario, str(folder)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stderr


def seen(store: LogitStore) -> dict:
    """What readers see: content hashes, outputs by unit, labels by unit."""
    found: dict = {}
    for split in store.splits():
        ids = store.unit_ids(split)
        found[split] = dict(zip(ids, store.labels(split).tolist(), strict=True))
        for model in store.models(split):
            outputs = dict(zip(ids, store.outputs(model, split).tolist(), strict=True))
            found[split, model] = store.card(model, split).contents.content, outputs
    return found


def inodes(store: LogitStore) -> dict[str, int]:
    """Whole parts of the new model (every one but the last)."""
    folder = store.files.local / "val/model=new"
    paths = sorted(folder.glob("part-*.parquet"), key=lambda path: [int(n) for n in path.stem.split("-")[1:]])
    return {path.name: path.stat().st_ino for path in paths[:-1]}


@pytest.mark.parametrize("how", ["random", "steps"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_killed_and_run_again(scenario, how, tmp_path):
    before, action = SCENARIOS[scenario]
    whole = LogitStore(tmp_path / "whole")
    before(whole)
    earlier = seen(whole)
    action(whole)
    later = seen(whole)
    assert later != earlier
    (tmp_path / "killed").mkdir()
    run(how, scenario, tmp_path / "killed")
    left = sorted((tmp_path / "killed").glob("[0-9]*"))
    assert len(left) >= 7
    continued = 0
    for root in left:
        store = LogitStore(root)
        assert seen(store) in (earlier, later)
        assert all("unfinished" in problem or "empty" in problem for problem in store.verify())
        kept = inodes(store)
        action(store)
        assert seen(store) == later
        assert store.verify() == [] or not later
        # Whole parts were continued after, not written again.
        if action in (stream, add):
            now = inodes(store)
            continued += any(now[name] == inode for name, inode in kept.items())
            assert all(now[name] == inode for name, inode in kept.items())
            card = store.card("new", "val")
            assert [part.sha256 for part in card.contents.parts] == [
                part.sha256 for part in whole.card("new", "val").contents.parts
            ]
        action(store)
        assert seen(store) == later
    if how == "steps" and action in (stream, add):
        assert continued > 2


@pytest.mark.parametrize("how", ["random", "steps"])
def test_a_division_that_was_killed_is_completed(how, tmp_path):
    """However often it is cut off: the parts of one division of the whole, never a part of a part."""
    before, action = ALL["a division"]
    whole = LogitStore(tmp_path / "whole")
    before(whole)
    action(whole)
    later = seen(whole)
    assert sorted(len(later[split]) for split in ("val", "test")) == [N // 2, N - N // 2]
    (tmp_path / "killed").mkdir()
    run(how, "a division", tmp_path / "killed")
    left = sorted((tmp_path / "killed").glob("[0-9]*"))
    assert len(left) >= (KILLS if how == "random" else 20)
    for root in left:
        store = LogitStore(root)
        cut_off = any(path.name.startswith((".dividing", ".held")) for path in root.iterdir())
        assert any("a `wisecommittee split` was cut off" in problem for problem in store.verify()) == cut_off
        for _ in range(2):
            action(store)
            assert seen(store) == later
        assert store.verify() == []
        assert {path.name for path in root.iterdir()} == {"val", "test"}


def test_a_rank_that_was_killed_runs_again(tmp_path):
    run("ranks", "", tmp_path)
    finished = 0
    for i in range(KILLS):
        store = LogitStore(tmp_path / str(i))
        assert store.splits() == ()
        options = {"classes": C, "identity": "the same", "rows_per_part": PART, "ranks": 2}
        with store.writer(NEW, "val", **options) as writer:
            assert writer.rows_done == len(IDS[::2])
            with contextlib.suppress(StoreError):
                writer.commit()
                finished += 1  # the kill came too late
            if not store.splits():
                stream(store, 1, 2)
                writer.commit()
        place = [IDS.index(unit) for unit in store.unit_ids("val")]
        assert sorted(place) == list(range(N))
        assert np.array_equal(store.outputs("new", "val"), X[place])
        assert np.array_equal(store.labels("val"), Y[place])
        assert store.verify() == []
        assert len(store.card("new", "val").contents.parts) == 4
    assert finished < KILLS


def test_another_process_is_busy_until_it_dies(tmp_path):
    arguments = [sys.executable, __file__, "hold", "", str(tmp_path)]
    store = LogitStore(tmp_path / "held")
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"writing\n"
        with pytest.raises(BusyError, match="new in val: another process is writing it"):
            add(store)
        an_old_model(store)
        process.kill()
    add(store)
    assert store.verify() == []
    assert np.array_equal(store.outputs("new", "val"), X)


def test_a_child_of_the_writer_keeps_nobody_waiting(tmp_path):
    """Workers that load data inherit the lock's file; the writer lets go of it for them too."""
    arguments = [sys.executable, "-W", "ignore", __file__, "child", "", str(tmp_path)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        try:
            replace(LogitStore(tmp_path / "held"))
        finally:
            os.kill(child, signal.SIGKILL)

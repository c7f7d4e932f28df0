"""Several writers of one store, and the ranks of one model."""

from __future__ import annotations

import fcntl
import itertools
import threading

import numpy as np
import pytest
from stored import IDS, C, N, X, Y, card, folder, naive_content

from wisecommittee.errors import BusyError, StoreError, WiseCommitteeError
from wisecommittee.store import LogitStore
from wisecommittee.store.leftovers import Plan
from wisecommittee.store.storage.opening import open_files
from wisecommittee.store.writer import Writer

pytestmark = pytest.mark.usefixtures("small_groups")


def test_the_same_model_has_one_writer_at_a_time(store):
    with store.writer(card(), "val", classes=C) as writer:
        writer.append(IDS[:5], Y[:5], X[:5])
        busy = "a/0 in val: another process is writing it; wait"
        with pytest.raises(BusyError, match=busy), store.writer(card(), "val", classes=C):
            pass
        with pytest.raises(BusyError, match=busy):
            store.add(card(), "val", labels=Y, outputs=X)
        with pytest.raises(BusyError, match=busy):
            store.remove("a/0", "val")
        store.add(card("b"), "val", labels=Y, outputs=X, unit_ids=IDS)
        writer.append(IDS[5:], Y[5:], X[5:])
        writer.commit()
    assert store.verify() == []
    with store.writer(card("c"), "val", classes=C):
        pass
    assert not list(store.files.local.rglob(".lock*"))


def test_a_lock_whose_file_was_removed_meanwhile_is_taken_again(tmp_path, monkeypatch):
    """Its last holder removes the file; a lock on what is no longer there would exclude nobody."""
    path, real, calls = tmp_path / "split" / ".lock", fcntl.flock, itertools.count()

    def flock(handle, how):
        if next(calls) == 0:
            path.unlink()
        real(handle, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with open_files(tmp_path).lock("split/.lock", "m"):
        with pytest.raises(BusyError), open_files(tmp_path).lock("split/.lock", "m"):
            pass
        assert path.exists()
    assert not path.parent.exists()


@pytest.mark.parametrize("conflict", [False, True])
def test_models_that_create_a_split_at_once(store, conflict):
    """Equal units: all succeed. Other labels: those that come second are refused, and nothing of them is seen."""
    ready = threading.Barrier(4)
    ended: dict[str, object] = {}

    def write(i: int) -> None:
        own = LogitStore(store.files.uri)
        labels = (Y + i) % C if conflict else Y
        order = np.roll(np.arange(N), i)
        ready.wait()
        try:
            ids = [IDS[j] for j in order]
            ended[f"m{i}"] = own.add(card(f"m{i}"), "val", labels=labels[order], outputs=X[order] + i, unit_ids=ids)
        except WiseCommitteeError as error:
            ended[f"m{i}"] = error

    threads = [threading.Thread(target=write, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    added = sorted(model for model, end in ended.items() if end == "added")
    assert len(added) == (1 if conflict else 4)
    assert list(store.models("val")) == added
    for model in added:
        i = int(model[1:])
        place = [IDS.index(unit) for unit in store.unit_ids("val")]
        assert np.array_equal(store.outputs(model, "val"), X[place] + i)
        assert np.array_equal(store.labels("val"), ((Y + i) % C if conflict else Y)[place])
    assert [p for p in store.verify() if "unfinished" not in p] == []


def rank_writer(store: LogitStore, rank: int, **options) -> Writer:
    return store.writer(card(), "val", classes=C, rank=rank, rows_per_part=4, identity="same", **options)


def test_ranks_write_parts_and_one_commits(store):
    for rank in (1, 0):
        with rank_writer(store, rank) as writer:
            writer.append(IDS[rank::2], Y[rank::2], X[rank::2])
            if rank:
                writer.finish()
            else:
                written = writer.commit()
    assert {part.file for part in written.contents.parts} == {f"part-{r}-{n}.parquet" for r in (0, 1) for n in range(3)}
    assert written.contents.content == naive_content(IDS, (X, "<f4"))
    place = [IDS.index(unit) for unit in store.unit_ids("val")]
    assert sorted(place) == list(range(N))
    assert np.array_equal(store.outputs("a/0", "val"), X[place])
    assert store.verify() == []


def test_nobody_commits_before_every_rank_has_finished(store):
    with rank_writer(store, 0, ranks=2) as first:
        first.append(IDS[::2], Y[::2], X[::2])
        with pytest.raises(StoreError, match="rank 1 of 2 has not begun"):
            first.commit()
        with rank_writer(store, 1, ranks=2) as second:
            second.append(IDS[1::2], Y[1::2], X[1::2])
            with pytest.raises(StoreError, match="rank 1 has not finished; wait for it or run it again"):
                first.commit()
            second.finish()
        first.commit()
    assert store.verify() == []


def test_a_rank_of_other_settings_is_not_mixed_in(store):
    with rank_writer(store, 0) as first:
        first.append(IDS, Y, X)
        with store.writer(card(), "val", classes=C, rank=1, identity="other") as second:
            second.append(IDS[:3], Y[:3], X[:3] + 9)
            second.finish()
            with pytest.raises(BusyError):
                first.commit()
        first.commit()  # it left: its rows are an earlier run's
    assert np.array_equal(store.outputs("a/0", "val"), X)
    assert sorted(p.name for p in folder(store).iterdir() if p.name != "card.json") == [
        f"part-0-{n}.parquet" for n in range(6)
    ]


def test_a_finished_rank_need_not_be_run_again(store):
    for rank in (0, 1):
        with rank_writer(store, rank) as writer:
            writer.append(IDS[rank::2], Y[rank::2], X[rank::2])
            writer.finish()
    with rank_writer(store, 0) as writer:
        assert writer.rows_done == len(IDS[::2])
        writer.commit()
    assert store.verify() == []


@pytest.mark.parametrize("plan", [b"", b"no", b"[]", b"{}", b'{"identity": 1}', b"[" * 50_000, b"1" * (1 << 17)])
def test_a_plan_that_cannot_be_read_is_no_plan(store, plan):
    assert Plan.from_bytes(plan) is None
    with rank_writer(store, 0) as writer:
        writer.append(IDS[:9], Y[:9], X[:9])
    (folder(store) / ".writing-0.json").write_bytes(plan)
    with rank_writer(store, 0) as writer:
        assert writer.rows_done == 0
        writer.append(IDS, Y, X)
        writer.commit()
    assert np.array_equal(store.outputs("a/0", "val"), X)

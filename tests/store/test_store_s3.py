"""The same store on an object store: moto's S3 in this process, reached through pyarrow.fs."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pyarrow.parquet as pq
import pytest
from moto.server import ThreadedMotoServer
from pyarrow import fs

from wisecommittee.committees.cards import ModelCard
from wisecommittee.errors import AlignmentError, BusyError, StoreError, UsageError
from wisecommittee.store import LogitStore
from wisecommittee.store.admission import Admission
from wisecommittee.store.layout import turn_name
from wisecommittee.store.parquet import parts
from wisecommittee.store.storage import object_store

N, C = 23, 4
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, C)).astype(np.float32)
Y = RNG.integers(0, C, N)
IDS = [f"u{i:02d}" for i in range(N)]
GIVEN = {"labels": Y, "outputs": X, "unit_ids": IDS}
BUCKETS = itertools.count()


def card(model: str = "a/0", **fields) -> ModelCard:
    return ModelCard(model, **{"blocks": {model: 10}, **fields})


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """host:port. Nothing outside this machine is asked for credentials or a region."""
    names = {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in names.items():
            patch.setenv(name, value)
        running = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
        running.start()
        host, port = running.get_host_and_port()
        yield f"{host}:{port}"
        running.stop()


@pytest.fixture(autouse=True)
def settings(monkeypatch, tmp_path):
    monkeypatch.setattr(parts, "ROW_GROUP", 5)
    monkeypatch.setenv("WISECOMMITTEE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def uri(server) -> str:
    bucket = f"bucket{next(BUCKETS)}"
    fs.S3FileSystem(endpoint_override=server, scheme="http", allow_bucket_creation=True).create_dir(bucket)
    return f"s3://{bucket}/some/logits?endpoint_override={server}&scheme=http"


@pytest.fixture
def store(uri) -> LogitStore:
    return LogitStore(uri)


def objects(store: LogitStore) -> dict[str, bytes]:
    """Every object below the root and its bytes; markers of folders are none."""
    root = store.files.root
    found = store.files.fs.get_file_info(fs.FileSelector(root, recursive=True, allow_not_found=True))
    names = [info.path for info in found if info.type == fs.FileType.File]
    return {name.removeprefix(f"{root}/"): store.files.fs.open_input_file(name).read() for name in names}


def test_written_read_verified_and_removed(store, uri):
    assert (store.splits(), store.models("val")) == ((), ())
    assert "there is no store at" in store.verify()[0]
    assert store.add(card(), "val", **GIVEN) == "added"
    names = ["card.json", "part-0-0.parquet", "part-0-1.parquet"]
    assert sorted(objects(store)) == [*(f"val/model=a%2F0/{name}" for name in names), "val/units.parquet"]
    for part in store.card("a/0", "val").contents.parts:
        assert hashlib.sha256(objects(store)[f"val/model=a%2F0/{part.file}"]).hexdigest() == part.sha256
    with store.files.fs.open_input_file(f"{store.files.root}/val/units.parquet") as source:
        assert pq.read_table(source)["unit_id"].to_pylist() == IDS
    order = RNG.permutation(N)
    mixed = {"labels": Y[order], "outputs": X[order] + 1, "unit_ids": [IDS[i] for i in order]}
    assert store.add(card("b"), "val", **mixed, scores={"s": X[order, 0]}) == "added"
    again = LogitStore(uri)
    assert again.splits() == ("val",)
    assert again.models("val") == ("a/0", "b")
    assert np.array_equal(again.outputs("a/0", "val"), X)
    assert np.array_equal(again.outputs("b", "val"), X + 1)
    assert np.array_equal(again.scores("b", "val", "s"), X[:, 0])
    assert np.array_equal(again.labels("val"), Y)
    assert again.verify() == []
    assert store.add(card(), "val", **GIVEN) == "unchanged"
    assert store.add(card(costs={"usd": 1.5}), "val", **GIVEN) == "card updated"
    with pytest.raises(StoreError, match="--replace"):
        store.add(card(), "val", labels=Y, outputs=X + 2, unit_ids=IDS)
    assert store.add(card(), "val", labels=Y, outputs=X + 2, unit_ids=IDS, replace=True) == "replaced"
    assert np.array_equal(again.outputs("a/0", "val"), X + 2)
    assert again.verify() == []
    assert store.remove("c") == ()
    assert store.remove("a/0") == ("val",)
    assert np.array_equal(again.outputs("b", "val"), X + 1)
    assert store.remove("b") == ("val",)
    assert objects(store) == {}
    assert again.splits() == ()
    assert store.add(card(), "val", labels=Y[:5], outputs=X[:5]) == "added"
    assert again.unit_ids("val") == [str(i) for i in range(5)]


def test_an_equal_local_store_shares_the_cache(store, tmp_path, monkeypatch):
    local = LogitStore(tmp_path / "logits")
    for one in (local, store):
        one.add(card(), "val", **GIVEN)
    assert objects(store) == {
        str(path.relative_to(local.files.local)): path.read_bytes()
        for path in local.files.local.rglob("*")
        if path.is_file()
    }
    local.outputs("a/0", "val")
    monkeypatch.setattr(parts, "decode", lambda *_: pytest.fail("decoded again"))
    assert np.array_equal(store.outputs("a/0", "val"), X)


@pytest.mark.parametrize("place", ["s3://{}", "s3://{}/", "s3://{}/one", "s3://{}/one/two/"])
def test_any_folder_of_a_bucket(server, uri, place):
    bucket = uri.removeprefix("s3://").partition("/")[0]
    store = LogitStore(f"{place.format(bucket)}?endpoint_override={server}&scheme=http")
    store.add(card(), "val", **GIVEN)
    assert store.splits() == ("val",)
    assert store.verify() == []
    assert all("//" not in name for name in objects(store))


class Stop(Exception):
    pass


def stopping(count: int, monkeypatch) -> None:
    """Raise at the count-th PUT."""
    real, calls = object_store.ObjectFiles.write, itertools.count(1)

    def write(self, path, data):
        if next(calls) == count:
            raise Stop
        real(self, path, data)

    monkeypatch.setattr(object_store.ObjectFiles, "write", write)


def test_an_interrupted_import_continues(store, monkeypatch):
    """Stopped before each PUT in turn: nothing is seen, whole parts are kept, the end is the same."""
    store.add(card("b"), "val", **GIVEN)
    before = objects(store)
    count = 0
    while "a/0" not in store.models("val"):
        count += 1
        with monkeypatch.context() as patch:
            stopping(count, patch)
            try:
                store.add(card(), "val", **GIVEN)
            except Stop:
                assert store.models("val") == ("b",)
                assert before.items() <= objects(store).items()
    assert count > 5
    assert np.array_equal(store.outputs("a/0", "val"), X)
    assert store.card("a/0", "val").contents.content == store.card("b", "val").contents.content
    assert store.verify() == []
    assert not [name for name in objects(store) if "/." in name]


def test_ranks(store):
    for rank in (1, 0):
        options = {"classes": C, "rank": rank, "ranks": 2, "identity": "x", "rows_per_part": 5}
        with store.writer(card(), "val", **options) as writer:
            writer.append(IDS[rank::2], Y[rank::2], X[rank::2])
            writer.finish()
            if rank == 0:
                writer.commit()
    place = [IDS.index(unit) for unit in store.unit_ids("val")]
    assert sorted(place) == list(range(N))
    assert np.array_equal(store.outputs("a/0", "val"), X[place])
    assert store.verify() == []


@pytest.mark.parametrize("conflict", [False, True])
def test_models_that_create_a_split_at_once(store, uri, conflict):
    ready = threading.Barrier(3)
    ended: dict[str, object] = {}

    def write(i: int) -> None:
        own = LogitStore(uri)
        labels = (Y + i) % C if conflict else Y
        ready.wait()
        try:
            ended[f"m{i}"] = own.add(card(f"m{i}"), "val", labels=labels, outputs=X + i, unit_ids=IDS)
        except AlignmentError as error:
            ended[f"m{i}"] = error

    threads = [threading.Thread(target=write, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ended) == 3
    added = sorted(model for model, end in ended.items() if end == "added")
    assert len(added) == (1 if conflict else 3)
    assert list(store.models("val")) == added
    for model in added:
        i = int(model[1:])
        assert np.array_equal(store.outputs(model, "val"), X + i)
        assert np.array_equal(store.labels("val"), (Y + i) % C if conflict else Y)
    assert [problem for problem in store.verify() if "unfinished" not in problem] == []


class Clock:
    """Time passes only where somebody waits, in steps of one second; `events` happen meanwhile, one for each wait."""

    def __init__(self, monkeypatch, events: Iterable[Callable[[], None]] = ()) -> None:
        self.time, self.events = 0.0, iter(events)
        monkeypatch.setattr(object_store, "TURN_STALE", 5.0)
        monkeypatch.setattr(object_store, "TURN_WAIT", 30.0)
        monkeypatch.setattr(object_store, "now", lambda: self.time)
        monkeypatch.setattr(object_store, "pause", self.pause)

    def pause(self, _: float) -> None:
        self.time += 1
        next(self.events, lambda: None)()


@pytest.mark.parametrize("other", ["0-first", "zz-last"])
def test_a_turn_waits_for_the_claims_of_others(store, other, monkeypatch):
    """However long, as long as they show signs of life."""
    claim = f"val/.turn-{other}"
    signs = [lambda size=size: store.files.write(claim, b"x" * size) for size in range(5)]
    events = [event for sign in signs for event in [sign, *[lambda: None] * 3]]
    clock = Clock(monkeypatch, [*events, lambda: store.files.delete(claim)])
    store.files.write(claim, b"before")
    with store.files.turn("val", "own", "m") as keep_turn:
        assert clock.time == len(events) + 1 > 4 * object_store.TURN_STALE
        keep_turn()
    assert not [name for name in objects(store) if ".turn" in name]


def test_a_wait_without_end_is_given_up(store, monkeypatch):
    store.files.write("val/.turn-0-first", b"")
    signs = (lambda size=size: store.files.write("val/.turn-0-first", b"x" * (size % 50)) for size in itertools.count())
    Clock(monkeypatch, signs)
    with pytest.raises(BusyError, match="a/0 in val: others keep"):
        store.add(card(), "val", **GIVEN)
    assert store.models("val") == ()
    assert [name for name in objects(store) if ".turn" in name] == ["val/.turn-0-first"]


def test_a_claim_without_signs_of_life_is_removed(store, monkeypatch):
    clock = Clock(monkeypatch)
    store.files.write("val/.turn-0-first", b"")
    assert store.add(card(), "val", **GIVEN) == "added"
    assert clock.time == object_store.TURN_STALE
    assert not [name for name in objects(store) if ".turn" in name]


def test_who_was_taken_for_dead_writes_nothing(store, uri, monkeypatch):
    """A process that was stopped for long goes on in the middle of its turn."""
    other = LogitStore(uri)
    taken = []
    real = Admission.check

    def stopped(self, split, *arguments, **options):
        if self is store.admission and store.files.names("val").count(f".turn-{turn_name('a/0')}") and not taken:
            taken.append(other.add(card("b"), "val", **GIVEN))
        real(self, split, *arguments, **options)

    monkeypatch.setattr(Admission, "check", stopped)
    monkeypatch.setattr(object_store, "TURN_BEAT", 3600.0)
    Clock(monkeypatch)
    with pytest.raises(BusyError, match="a/0 in val: another process took this one for dead and went on; run again"):
        store.add(card(), "val", **GIVEN)
    assert taken == ["added"]
    assert store.models("val") == ("b",)
    assert store.add(card(), "val", **GIVEN) == "added"
    assert store.verify() == []


def test_whoever_has_the_turn_shows_signs_of_life(store, monkeypatch):
    monkeypatch.setattr(object_store, "TURN_BEAT", 0.001)
    with store.files.turn("val", "own", "m"):
        seen = set()
        while len(seen) < 5:
            seen.add(store.files.stamp("val/.turn-own")[1])


def test_turns_exclude_each_other(store, uri):
    inside, most, done = [], [], []

    def take(i: int) -> None:
        own = LogitStore(uri)
        for _ in range(3):
            with own.files.turn("val", f"owner{i}", "m"):
                inside.append(i)
                most.append(len(inside))
                time.sleep(0.01)
                inside.remove(i)
            done.append(i)

    threads = [threading.Thread(target=take, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 9
    assert max(most) == 1


def test_damage_is_found(store):
    store.add(card(), "val", **GIVEN)
    part = "val/model=a%2F0/part-0-1.parquet"
    data = objects(store)[part]
    store.files.write(part, data[:-1])
    with pytest.raises(StoreError, match=r"s3://bucket\d+/some/logits/val/model=a%2F0/part-0-1\.parquet changed"):
        store.outputs("a/0", "val")
    store.files.delete(part)
    with pytest.raises(StoreError, match="is missing"):
        store.outputs("a/0", "val")
    store.files.write("val/model=a%2F0/card.json", b"{")
    assert re.search(r"card\.json: not JSON", store.verify()[0])
    assert store.add(card(), "val", **GIVEN, replace=True) == "added"
    assert store.verify() == []


def test_places_that_cannot_be_reached(server):
    store = LogitStore(f"s3://no-such-bucket/x?endpoint_override={server}&scheme=http")
    with pytest.raises(StoreError, match="there is no store at"):
        store.labels("val")
    with pytest.raises(StoreError, match=r"s3://no-such-bucket/x/val/.*NO_SUCH_BUCKET"):
        store.add(card(), "val", **GIVEN)
    for wrong in ("s3://", "s3://b?surprise=1", "s4://b/x"):
        with pytest.raises(UsageError, match=r"expected a folder or s3://BUCKET/FOLDER"):
            LogitStore(wrong)


def test_credentials_in_the_address_stay_out_of_messages(server):
    store = LogitStore(f"s3://key:hush@no-such-bucket/x?endpoint_override={server}&scheme=http")
    assert "hush" not in store.files.uri + repr(store)
    with pytest.raises(StoreError) as caught:
        store.add(card(), "val", **GIVEN)
    assert "hush" not in str(caught.value)
    assert os.environ["AWS_SECRET_ACCESS_KEY"] == "secret"


def test_what_is_waited_for_is_said_and_google_s_client_gives_up_in_time(monkeypatch):
    assert object_store._with_patience("gs://bucket/a") == f"gs://bucket/a?retry_limit_seconds={object_store.PATIENCE}"
    assert object_store._with_patience("gs://b/a?x=1").endswith(f"?x=1&retry_limit_seconds={object_store.PATIENCE}")
    for uri in ("s3://bucket/a?region=x", "gs://bucket/a?retry_limit_seconds=7"):
        assert object_store._with_patience(uri) == uri
    said = threading.Event()
    monkeypatch.setattr(object_store, "SAID_AFTER", 0.0)
    monkeypatch.setattr(object_store.warnings, "warn", lambda text, **_: said.set() if "waiting for" in text else None)
    files = object_store.ObjectFiles("gs://bucket/a", "gs://bucket/a")
    with files._explained("val"):
        said.wait()


class Silent:
    """An object store that never answers; its calls hear no Ctrl-C, so none may be waited for in the main thread."""

    def __init__(self) -> None:
        self.asked, self.released = threading.Event(), threading.Event()

    def __getattr__(self, name: str) -> Callable[..., None]:
        def wait(*_: object, **__: object) -> None:
            assert threading.current_thread() is not threading.main_thread()
            self.asked.set()
            self.released.wait()

        return wait


WAITING = {
    "exists": lambda files: files.exists("a"),
    "names": lambda files: files.names("a"),
    "read": lambda files: files.read("a"),
    "write": lambda files: files.write("a", b"1"),
    "delete": lambda files: files.delete("a"),
    "delete_folder": lambda files: files.delete_folder("a"),
    "a turn": lambda files: files.turn("a", "b", "c").__enter__(),
}


@pytest.fixture
def silent(monkeypatch) -> Iterator[Silent]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    found = Silent()
    monkeypatch.setattr(object_store, "PARTING", 0.01)
    monkeypatch.setattr(object_store, "HEEDED", 0.01)
    yield found
    found.released.set()
    signal.signal(signal.SIGINT, before)


def interrupt(silent: Silent) -> None:
    """Ctrl-C as soon as the store is asked."""
    main = threading.main_thread().ident
    threading.Thread(
        target=lambda: (silent.asked.wait(), signal.pthread_kill(main, signal.SIGINT)), daemon=True
    ).start()


@pytest.mark.parametrize("call", WAITING.values(), ids=WAITING)
def test_what_waits_for_the_object_store_ends_at_ctrl_c(silent, call):
    files = object_store.ObjectFiles("gs://bucket/a", "gs://bucket/a")
    files.fs = silent
    interrupt(silent)
    with pytest.raises(KeyboardInterrupt):
        call(files)
    assert not silent.released.is_set()


def test_connecting_ends_at_ctrl_c(silent, monkeypatch):
    monkeypatch.setattr(object_store, "_with_patience", lambda uri: silent.connect())
    interrupt(silent)
    with pytest.raises(KeyboardInterrupt):
        LogitStore("s3://bucket/a")


def test_errors_of_the_object_store_come_through(silent):
    files = object_store.ObjectFiles("gs://bucket/a", "gs://bucket/a")
    files.fs = fs.LocalFileSystem()
    with pytest.raises(FileNotFoundError):
        files.read("nothing")

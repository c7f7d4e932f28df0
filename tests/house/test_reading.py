"""Files of strangers: what is no regular file is refused at once, JSON is bounded, claims are compared with memory."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading

import numpy as np
import pytest

from wisecommittee import reading
from wisecommittee.committees.card_json import card_from_json
from wisecommittee.committees.cards import ModelCard
from wisecommittee.committees.committee import Committee
from wisecommittee.errors import AbsentError, CommitteeError, ContentError, StoreError, WiseCommitteeError
from wisecommittee.searches.choosing import search_and_choose
from wisecommittee.searches.frontier import Frontier
from wisecommittee.searches.query import Query
from wisecommittee.searches.target import Target
from wisecommittee.store import LogitStore
from wisecommittee.store.parquet.tables import read_parquet
from wisecommittee.store.readers.arrays import Npz, load_npy
from wisecommittee.store.readers.frames import read_table

READERS = {
    "committee": (Committee.load, CommitteeError),
    "frontier": (Frontier.load, StoreError),
    "npy": (load_npy, ContentError),
    "npz": (Npz, ContentError),
    "parquet": (read_parquet, ContentError),
}


@pytest.mark.parametrize("name", READERS)
def test_a_pipe_is_refused_and_not_waited_for(tmp_path, name):
    read, kind = READERS[name]
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    found: list[BaseException] = []

    def attempt() -> None:
        try:
            read(pipe)
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive(), "it waits for the pipe"
    assert isinstance(found[0], kind)
    assert "a pipe; expected a regular file" in str(found[0])


@pytest.mark.parametrize("name", READERS)
def test_folders_devices_and_what_is_missing_are_named(tmp_path, name):
    read, kind = READERS[name]
    with pytest.raises(AbsentError, match="no such file"):
        read(tmp_path / "missing")
    for path, what in ((tmp_path, "a folder"), ("/dev/zero", "a device")):
        with pytest.raises(kind, match=what):
            read(path)


def test_a_link_to_a_file_is_a_file(tmp_path):
    (tmp_path / "a.txt").write_text("hello")
    (tmp_path / "link").symlink_to("a.txt")
    assert reading.read_text(tmp_path / "link", limit=5) == "hello"
    with pytest.raises(ContentError, match="more than 4 bytes"):
        reading.read_text(tmp_path / "link", limit=4)


def test_text_is_utf8_with_or_without_a_mark(tmp_path):
    for data in ("ä".encode(), "\ufeffä".encode()):
        (tmp_path / "a.txt").write_bytes(data)
        assert reading.read_text(tmp_path / "a.txt", limit=9) == "ä"
    (tmp_path / "a.txt").write_bytes(b"ok \xe4")
    with pytest.raises(ContentError, match=r"not UTF-8 .* at byte 3"):
        reading.read_text(tmp_path / "a.txt", limit=9)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 600 + "]" * 600, "nested more than 24 deep"),
        ("[" * 200_000, "nested more than 24 deep"),
        ('{"a":' * 30 + "1" + "}" * 30, "nested more than 24 deep"),
        ("[NaN]", "not finite"),
        ("[-Infinity]", "not finite"),
        ("[1e999]", "not finite"),
        ("[" + "9" * 400 + "]", "400 digits"),
        ("[" + "9" * 5_000 + "]", "5,000 digits"),
        ('{"a": 1, "a": 2}', "'a' stands twice"),
        ('["\\ud800"]', "surrogate"),
        ('["\\udc00\\ud800"]', "surrogate"),
        ("{", "Expecting"),
        ("", "Expecting"),
    ],
    ids=lambda text: text[:20],
)
def test_json_that_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        reading.parse_json(text)
    with pytest.raises(ValueError, match=message):
        reading.parse_json(text.encode())


@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, -2.5, 1e300, True, None, "[[[[{{{{"], "b": {}},
        "[" * 100,
        ['\\"[[[[', "\U0001f600", "ä", "\\ud800"],
        json.loads("[" * 20 + "]" * 20),
    ],
)
def test_json_as_the_standard_library_writes_it_is_read(value):
    for escaped in (True, False):
        assert reading.parse_json(json.dumps(value, ensure_ascii=escaped)) == value


CASCADE = {"version": 1, "stages": [["a"], ["b"]], "thresholds": [0.5]}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"members": {"a": {"kind": 3}, "b": {}}}, "member 'a': 'kind' is 3"),
        ({"members": {"a": {"blocks": {"x": -1}}, "b": {}}}, "member 'a': block 'x' is -1"),
        ({"members": {"a": {"blocks": 7}, "b": {}}}, "member 'a': 'blocks' is 7"),
        ({"members": {"a": {"calibration": {"method": "x"}}, "b": {}}}, "member 'a': calibration"),
        ({"thresholds": [10**39]}, "not a finite float32 number"),
        ({"stages": [["a"] * 3, ["b"]]}, "'a' stands more than once"),
        ({"confidence": ["x" * 5_000]}, r"'confidence' is \['xxx.{80,100}\.\.; expected str"),
    ],
)
def test_a_committee_of_wrong_values_is_refused_in_a_short_line(tmp_path, changed, message):
    (tmp_path / "c.json").write_text(json.dumps({**CASCADE, **changed}))
    with pytest.raises(CommitteeError, match=message) as caught:
        Committee.load(tmp_path / "c.json")
    assert len(str(caught.value)) < 400 + len(str(tmp_path))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"replica": -1}, "replica -1"),
        ({"replica": None}, "replica"),
        ({"params": 1 << 60}, "params"),
        ({"position": -3}, "position -3"),
        ({"blocks": {"a": 10**400}}, "expected a finite number"),
        ({"meta": {"data": 7}}, "'meta.data' is 7"),
        ({"kind": "cell_counts", "meta": {"members": [1]}}, "meta.members"),
        ({"kind": "cell_counts", "meta": {"members": {"a": {"usd": "x"}}}}, "cost 'usd' of member 'a'"),
        ({"kind": "cell_counts", "meta": {"members": {"a": {}}, "cell": 0}}, "meta.cell"),
    ],
)
def test_a_card_of_wrong_values_is_refused(changed, message):
    contents = {"rows": 1, "classes": 2, "dtype": "float32", "content": "0" * 64}
    assert card_from_json({"version": 1, "model": "a", "contents": contents}).model == "a"
    with pytest.raises(StoreError, match=message):
        card_from_json({"version": 1, "model": "a", "contents": contents, **changed})


def test_a_claim_is_compared_with_the_file_and_with_memory(monkeypatch):
    monkeypatch.setattr(reading, "free_memory", lambda: 8_000_000_000)
    reading.check_claim(900_000_000, 1_000, "f", "mend it")  # anything below a gigabyte
    reading.check_claim(5_000_000_000, 4_000_000_000, "f", "mend it")
    with pytest.raises(ContentError, match=r"f: 4,000,000 bytes that claim to unpack to 3.8 GB, 950 times .*; mend it"):
        reading.check_claim(3_800_000_000, 4_000_000, "f", "mend it")
    with pytest.raises(ContentError, match=r"f: 9.0 GB of memory needed, 8.0 GB are free; mend it"):
        reading.check_claim(9_000_000_000, 8_000_000_000, "f", "mend it")


def test_free_memory_is_what_a_limit_leaves():
    free = reading.free_memory()
    assert free is not None
    assert 0 < free <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    code = f"""if True:
        import resource
        from wisecommittee.reading import free_memory
        resource.setrlimit(resource.RLIMIT_AS, ({1 << 30}, resource.RLIM_INFINITY))
        print(free_memory())
    """
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 0 < int(done.stdout) < 1 << 30


@pytest.mark.parametrize("module", ["wisecommittee.store", "wisecommittee.kernels.jit"])
def test_too_little_address_space_is_said_before_a_library_ends_the_process(module):
    code = f"""if True:
        import resource
        from wisecommittee.errors import WiseCommitteeError
        from wisecommittee.reading import _of_limit
        import numpy
        taken = {1 << 40}
        resource.setrlimit(resource.RLIMIT_AS, (taken, resource.RLIM_INFINITY))
        taken -= _of_limit()
        resource.setrlimit(resource.RLIMIT_AS, (taken + {100 << 20}, resource.RLIM_INFINITY))
        try:
            import {module}
        except WiseCommitteeError as error:
            print(error)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "GB of address space, the limit leaves 0.1" in done.stdout


# Files of one kind where another is expected


@pytest.fixture
def kinds(tmp_path):
    labels = np.arange(40) % 4
    store = LogitStore(tmp_path / "S")
    store.add(ModelCard("a", blocks={"a": 10}), "val", labels=labels, outputs=9 * np.eye(4, dtype=np.float32)[labels])
    found = search_and_choose(store, Query(), Target("target_accuracy", 0.5))
    np.save(tmp_path / "labels.npy", labels)
    np.savez(tmp_path / "labels.npz", labels)
    (tmp_path / "models.csv").write_text("model,flops\na,10\n")
    (tmp_path / "answer.json").write_text(json.dumps(found.to_json()))
    found.val.committee.save(tmp_path / "committee.json")
    found.frontier.save(tmp_path / "frontier.parquet")
    return tmp_path


WHAT = {
    "labels.npy": r"a NumPy array; `wisecommittee import` takes it with --labels",
    "labels.npz": r"an archive; `wisecommittee import` takes arrays",
    "models.csv": r"a csv table; `wisecommittee import` takes it with --labels, --costs",
    "answer.json": r"the answer of `search --json`; `search --save FILE` writes its committee",
    "S/val/model=a/card.json": r"the card of a model in a store; name the store's folder with --store",
    "S/val/units.parquet": r"a Parquet table; `wisecommittee import` takes tables",
    "committee.json": r"a committee; `wisecommittee evaluate` takes it",
    "frontier.parquet": r"a frontier; `wisecommittee report`, `plot` and `tables` take it with --frontier",
}


@pytest.mark.parametrize("file", WHAT)
def test_a_file_of_another_kind_is_named_with_the_command_that_takes_it(kinds, file):
    expected = {
        "committee.json": (Committee.load, "a committee, as `search --save` writes it"),
        "frontier.parquet": (Frontier.load, "a frontier, as `search --frontier` writes it"),
    }
    for own, (load, wanted) in expected.items():
        if own == file:
            load(kinds / file)
        else:
            with pytest.raises(WiseCommitteeError, match=rf"{file}: {WHAT[file]}.*; expected {wanted}$"):
                load(kinds / file)


@pytest.mark.parametrize("file", ["committee.json", "frontier.parquet", "answer.json"])
def test_what_is_no_table_is_named_where_one_is_expected(kinds, file):
    with pytest.raises(WiseCommitteeError, match=rf"{file}: {WHAT[file]}.*; expected "):
        read_table(kinds / file)


def test_a_damaged_file_is_not_taken_for_another_kind(kinds):
    whole = (kinds / "frontier.parquet").read_bytes()
    (kinds / "frontier.parquet").write_bytes(whole[:-20])
    with pytest.raises(StoreError, match="is not a frontier written by"):
        Frontier.load(kinds / "frontier.parquet")
    (kinds / "committee.json").write_text('{"version": 1, "stages": [["a"], ["b"]], "thresholds": []}')
    with pytest.raises(CommitteeError, match="0 thresholds for 2 stages"):
        Committee.load(kinds / "committee.json")

"""The files of a log: which are found, what they unpack to, and how lines of JSON are refused."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os

import pytest

from wisecommittee.errors import AbsentError, ContentError
from wisecommittee.store.logs import json_lines as reading
from wisecommittee.store.logs import opening
from wisecommittee.store.logs.json_lines import json_document, json_lines
from wisecommittee.store.logs.metering import metered
from wisecommittee.store.logs.opening import beginning, files_of, open_text

LINES = b'{"a": 1}\n\n  \n{"b": "\\ud83d\\ude00 \\ud83d", "c": NaN}\r\n{"d": []}'


@pytest.mark.parametrize(
    ("ending", "pack"), [("", bytes), (".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)]
)
def test_packed_files_are_read_like_plain_ones(tmp_path, ending, pack):
    path = tmp_path / f"log.jsonl{ending}"
    path.write_bytes(pack(b"\xef\xbb\xbf" + LINES))
    (one, first), (four, second), (five, third) = json_lines(path)
    assert (one, four, five) == (1, 4, 5)
    assert first == {"a": 1}
    assert second["b"] == "\U0001f600 \ufffd"
    assert second["c"] != second["c"]
    assert third == {"d": []}
    assert beginning(path).endswith(LINES[-10:])
    with open_text(path) as text:
        assert text.read().encode() == LINES


def test_a_file_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "log.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"a": 1}\n' * 400_000))
    monkeypatch.setattr(opening, "ANY_SIZE", 1 << 20)
    with pytest.raises(ContentError, match="unpacks to more than 250 times its size"):
        list(json_lines(path))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"a": 1', "line 2: no JSON"),
        (b"[1, 2]\n", "line 2: list .* expected an object in braces"),
        (b"null\n", "line 2: NoneType"),
        (b'{"a": "\xff"}\n', "line 2: not UTF-8"),
        (b"[" * 100_000 + b"\n", "line 2: nested too deep"),
        (b'{"a": "' + b"x" * 2000 + b'"}\n', "line 2: more than 1,000 bytes"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, monkeypatch, line, message):
    if b"xxx" in line:
        monkeypatch.setattr(reading, "MOST_LINE", 1000)
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"a": 1}\n' + line)
    with pytest.raises(ContentError, match=message):
        list(json_lines(path))


def test_a_document_is_one_object(tmp_path):
    path = tmp_path / "log.json"
    path.write_text('{"records": [1, 2]}')
    assert json_document(path) == {"records": [1, 2]}
    path.write_text("[1, 2]")
    with pytest.raises(ContentError, match="expected an object"):
        json_document(path)


def test_files_of_a_folder_are_found_once_and_in_order(tmp_path):
    for name in (
        "b/samples_2.jsonl",
        "a/samples_1.jsonl.gz",
        "samples_3.jsonl",
        "results.json",
        ".hidden/samples_4.jsonl",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"{}")
    os.symlink("../samples_3.jsonl", tmp_path / "a" / "samples_0.jsonl")
    os.symlink("a", tmp_path / "again")
    found = files_of(tmp_path, "samples_*.jsonl")
    assert [str(file.relative_to(tmp_path)) for file in found] == [
        "a/samples_1.jsonl.gz",
        "b/samples_2.jsonl",
        "samples_3.jsonl",
    ]
    assert files_of(found[0], "anything") == [found[0]]
    with pytest.raises(AbsentError, match=r"is named none\*"):
        files_of(tmp_path, "none*")


def test_links_that_lead_out_and_pipes_are_refused(tmp_path):
    (tmp_path / "log").mkdir()
    (tmp_path / "elsewhere.jsonl").write_text("{}")
    os.symlink("../elsewhere.jsonl", tmp_path / "log" / "x.jsonl")
    with pytest.raises(ContentError, match="a link that leads out of"):
        files_of(tmp_path / "log", "*.jsonl")
    os.mkfifo(tmp_path / "pipe.jsonl")
    with pytest.raises(ContentError, match="a pipe"):
        list(json_lines(tmp_path / "pipe.jsonl"))
    assert beginning(tmp_path / "pipe.jsonl") == b""


def test_reading_is_followed(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"a": 1}\n' * 100_000)
    with metered() as meter:
        for file in files_of(tmp_path, "*.jsonl"):
            done = [meter.done for _ in json_lines(file)]
        assert meter.total == path.stat().st_size == meter.done
    assert done == sorted(done)
    assert 0 < done[50_000] < meter.total

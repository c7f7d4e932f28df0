"""Records of one large JSON object, read in pieces, against `json.load` of the whole."""

from __future__ import annotations

import json

import numpy as np
import pytest

from wisecommittee.errors import ContentError
from wisecommittee.store.logs import json_records as module
from wisecommittee.store.logs.json_records import json_records

TEXTS = ['a "quoted" [one]', "\\", '{"records": [', "é\u2028漢", "", "line\nend", '\\\\"', "]}"]


def value(rng, depth=0):
    kind = rng.integers(0, 6 if depth < 3 else 4)
    if kind == 4:
        return [value(rng, depth + 1) for _ in range(rng.integers(0, 4))]
    if kind == 5:
        return {TEXTS[rng.integers(len(TEXTS))]: value(rng, depth + 1) for _ in range(rng.integers(0, 4))}
    return [TEXTS[rng.integers(len(TEXTS))], float(rng.normal()), None, bool(rng.integers(2))][kind]


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
@pytest.mark.parametrize("indent", [None, 2])
def test_the_records_and_what_stands_before_them_are_those_of_the_object(chunk, indent, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_CHUNK", chunk)
    rng = np.random.default_rng(chunk)
    for number in range(30):
        head = {f"f{at}": value(rng) for at in range(rng.integers(0, 4))} | {"x": {"records": [1]}, "y": "records"}
        records = [{"index": at, "v": value(rng)} for at in range(rng.integers(0, 5))]
        content = head | {"records": records} | {"after": value(rng)}
        (path := tmp_path / f"{number}.json").write_text(
            json.dumps(content, indent=indent, ensure_ascii=number % 2 == 0)
        )
        found = list(json_records(path, "records"))
        assert [record for _, record, _ in found] == records
        assert [at for at, _, _ in found] == list(range(1, len(records) + 1))
        assert all(before == head for _, _, before in found)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "ends within its outermost object"),
        ('{"a": 1}', "no list 'records'"),
        ('{"records": [{"a": 1}, {"b": ', "record 2: no JSON, cut off"),
        ('{"records": [{"a": 1}', "record 2: no JSON, cut off"),
        ('{"records": [{"a": 1}]', "ends within its outermost object"),
        ('{"records": [{"a": 1}, 7]}', "record 2: '7'; expected an object"),
        ('{"records": [{"a": x}]}', "record 1: no JSON"),
        ('{"records": [' + "[" * 100_000, "record 1: nested too deep"),
        ('[{"records": []}]', "no list 'records'"),
    ],
)
def test_what_is_no_such_object_is_named_with_its_record(text, says, tmp_path):
    (path := tmp_path / "r.json").write_text(text)
    with pytest.raises(ContentError, match=f"r.json: {says}|{says}"):
        list(json_records(path, "records"))


def test_half_a_surrogate_pair_becomes_a_replacement_character(tmp_path):
    (path := tmp_path / "r.json").write_text('{"records": [{"a": "x\\ud83d"}]}')
    assert [record for _, record, _ in json_records(path, "records")] == [{"a": "x\ufffd"}]


def test_a_record_that_is_too_long_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MOST_LINE", 1000)
    monkeypatch.setattr(module, "_CHUNK", 100)
    (path := tmp_path / "r.json").write_text(json.dumps({"records": [{"a": "x"}, {"a": "x" * 5000}]}))
    with pytest.raises(ContentError, match="record 2: no JSON, cut off or too long"):
        list(json_records(path, "records"))

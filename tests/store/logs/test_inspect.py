"""Logs of Inspect, written by inspect_ai itself (tests/data/make_logs.py)."""

from __future__ import annotations

import gzip
import json
import math
import struct
import sys
import zipfile
import zlib
from pathlib import Path
from types import SimpleNamespace as Object

import numpy as np
import pytest

from wisecommittee.errors import AbsentNameError, ContentError, MissingExtraError, UsageError
from wisecommittee.store.logs.formats import LOG_FORMATS
from wisecommittee.store.logs.formats.inspect import samples
from wisecommittee.store.logs.formats.inspect.archives import check_archive
from wisecommittee.store.logs.records import LogOptions

GOLDEN = Path(__file__).parents[2] / "data" / "logs" / "inspect"


def read(path, **options):
    return list(LOG_FORMATS["inspect"].read(Path(path), LogOptions(**options)))


def usage(**fields):
    known = {"input_tokens": 9, "output_tokens": 3, "input_tokens_cache_read": None, "input_tokens_cache_write": None}
    return Object(**{**known, "total_cost": None, **fields})


def sample(value="C", **fields):
    """What the reader takes of an EvalSample."""
    choice = Object(stop_reason="stop", logprobs=None)
    known = {
        "id": "q1",
        "epoch": 1,
        "input": "2 + 2?",
        "target": "4",
        "scores": None if value is None else {"match": Object(value=value, answer=None)},
        "output": Object(choices=[choice], completion="4", usage=None),
        "model_usage": {},
        "turn_count": 2,
        "working_time": None,
        "error": None,
        "limit": None,
    }
    return Object(**{**known, **fields})


def taken(given, metric=None):
    return samples.sample_of(1, "m", "", metric, given)


@pytest.mark.parametrize("name", ["sums.eval", "sums.json"])
def test_golden_logs_are_read_as_their_json_says(name):
    pytest.importorskip("inspect_ai")
    content = json.loads((GOLDEN / "sums.json").read_text())["samples"]
    records = read(GOLDEN / name)
    assert [(r.model, r.sample) for r in records] == [("mockllm/model", 0), ("mockllm/model", 1)]
    for block in records:
        rows = sorted((s for s in content if s["epoch"] == block.sample + 1), key=lambda s: s["id"])
        at = np.argsort(block.unit_ids)
        assert [block.unit_ids[i] for i in at] == [s["id"] for s in rows]
        texts = [s["output"]["choices"][0]["message"]["content"] for s in rows]
        assert [block.answers[i] for i in at] == [text or None for text in texts]
        assert [block.labels[i] for i in at] == [s["target"] for s in rows]
        np.testing.assert_array_equal(block.grades[at], [s["scores"]["match"]["value"] == "C" for s in rows])
        spent = [s["output"]["usage"] for s in rows]
        np.testing.assert_allclose(block.unit_costs["usd"][at], [s["total_cost"] for s in spent])
        prompts = [s["input_tokens"] + s["input_tokens_cache_read"] for s in spent]
        np.testing.assert_array_equal(block.unit_costs["prompt_tokens"][at], prompts)
        tokens = [s["output"]["choices"][0]["logprobs"]["content"] for s in rows]
        means = [np.mean([token["logprob"] for token in answer]) for answer in tokens]
        np.testing.assert_allclose(block.scores["mean_logprob"][at], means)
        gaps = [np.mean([t["top_logprobs"][0]["logprob"] - t["top_logprobs"][1]["logprob"] for t in a]) for a in tokens]
        np.testing.assert_allclose(block.scores["margin_logprob"][at], np.abs(gaps))


def test_a_folder_with_both_forms_of_a_run_reads_one_and_says_so():
    pytest.importorskip("inspect_ai")
    with pytest.warns(UserWarning, match="several logs of a model, such as sums of mockllm/model"):
        assert len(read(GOLDEN)) == 2


def test_the_folder_is_recognised_without_the_library():
    assert [name for name, log in LOG_FORMATS.items() if log.matches(GOLDEN)] == ["inspect"]
    for name in ("sums.eval", "sums.json"):
        assert [known for known, log in LOG_FORMATS.items() if log.matches(GOLDEN / name)] == ["inspect"]


def test_without_the_library_the_command_that_installs_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "inspect_ai", None)
    monkeypatch.setitem(sys.modules, "inspect_ai.log", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'wisecommittee\[inspect\]'"):
        read(GOLDEN / "sums.eval")


@pytest.mark.parametrize(
    ("value", "grade"),
    [("C", 1), ("P", 0.5), ("I", 0), ("N", 0), (True, 1), (0.25, 0.25), ("0.75", 0.75), ("yes", 1), ("False", 0)],
)
def test_values_of_scorers_are_grades(value, grade):
    known = taken(sample(value))
    assert samples.grades_of(Path("f"), [known], None)[0] == grade
    assert (known.answer is None) == (value == "N")


@pytest.mark.parametrize("value", ["c", "good", 37, -1, [1, 0]])
def test_other_values_are_refused_by_sample(value):
    with pytest.raises(ContentError, match=r"f: sample q1, epoch 1: match is .*; expected C, I, P, N or a number"):
        samples.grades_of(Path("f"), [taken(sample(value))], None)


def test_one_of_several_scorers_and_of_several_values_is_named():
    scores = {"match": Object(value="C", answer="4"), "judge": Object(value={"tone": 0.5, "fact": 1}, answer="four")}
    given = [taken(sample(scores=scores), "judge/tone")]
    with pytest.raises(UsageError, match="the scorers judge/fact, judge/tone, match; choose one with metric="):
        samples.grades_of(Path("f"), given, None)
    with pytest.raises(AbsentNameError, match="unknown scorer of f 'judge'"):
        samples.grades_of(Path("f"), given, "judge")
    assert samples.grades_of(Path("f"), given, "judge/tone")[0] == 0.5
    assert given[0].answer == "four"
    assert taken(sample(scores=scores), "match").answer == "4"


def test_errors_limits_filtered_and_empty_answers_are_missing():
    filtered = Object(choices=[Object(stop_reason="content_filter", logprobs=None)], completion="I cannot", usage=None)
    assert taken(sample()).answer == "4"
    assert taken(sample(error=Object(message="no"))).answer is None
    assert taken(sample(limit=Object(type="time"))).answer is None
    assert taken(sample(output=filtered)).answer is None
    assert taken(sample(output=Object(choices=[], completion=" ", usage=None))).answer is None
    assert math.isnan(samples.grades_of(Path("f"), [taken(sample(None))], None)[0])


def test_costs_are_those_of_the_model_and_not_of_its_grader():
    several = {"m": usage(input_tokens_cache_read=100, total_cost=0.5), "grader": usage(input_tokens=10**6)}
    assert taken(sample(model_usage=several, working_time=2.0)).costs == (0.5, 109, 3, 2000)
    single = Object(choices=[], completion="4", usage=usage(input_tokens=1))
    assert taken(sample(model_usage=several, turn_count=1, output=single)).costs[1] == 1
    assert all(math.isnan(cost) for cost in taken(sample()).costs)


def test_several_targets_are_no_label():
    assert [taken(sample(target=target)).label for target in ("4", ["4"], ["4", "four"])] == ["4", "4", None]


def test_a_run_that_broke_off_has_its_other_samples_as_missing(tmp_path):
    log = pytest.importorskip("inspect_ai.log")
    run = log.read_eval_log(GOLDEN / "sums.json")
    run.status, run.samples = "error", [s for s in run.samples if s.id != "q2"]
    log.write_eval_log(run, tmp_path / "broken.eval")
    for block in read(tmp_path):
        assert sorted(block.unit_ids) == ["q0", "q1", "q2"]
        assert [block.answers[i] for i, unit in enumerate(block.unit_ids) if unit == "q2"] == [None]


def test_damaged_files_are_named(tmp_path):
    pytest.importorskip("inspect_ai")
    whole = (GOLDEN / "sums.eval").read_bytes()
    for name, data in (("cut", whole[:-200]), ("changed", whole[:60] + b"\0\0\0\0" + whole[64:]), ("empty", b"")):
        file = tmp_path / f"{name}.eval"
        file.write_bytes(data)
        with pytest.raises(ContentError, match=rf"{name}\.eval: "):
            read(file)
    for name, text in (("cut", (GOLDEN / "sums.json").read_text()[:-500]), ("other", '{"version": 2}'), ("no", "")):
        file = tmp_path / f"{name}.json"
        file.write_text(text)
        with pytest.raises(ContentError, match=rf"{name}\.json: inspect_ai cannot read it"):
            read(file)
    (packed := tmp_path / "sums.json.gz").write_bytes(gzip.compress((GOLDEN / "sums.json").read_bytes()))
    with pytest.raises(ContentError, match="unpack it first"):
        read(packed)


def archive(path, method=zipfile.ZIP_DEFLATED, size=4 << 20):
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr("header.json", b"0" * size)
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_whole_archives_pass(tmp_path, method):
    check_archive(archive(tmp_path / "a.eval", method))


def test_an_archive_that_claims_to_unpack_to_much_is_refused(tmp_path):
    file = archive(tmp_path / "a.eval")
    data = file.read_bytes()
    at = data.rindex(b"PK\x01\x02") + 24  # the size in the central directory
    file.write_bytes(data[:at] + struct.pack("<I", 3 << 30) + data[at + 4 :])
    with pytest.raises(ContentError, match=r"a\.eval: .* claim to unpack to 3\.2 GB"):
        check_archive(file)


def test_an_archive_that_unpacks_to_more_than_it_claims_is_refused(tmp_path):
    """The claim, and the checksum of as many bytes, fit; what the member holds beyond them is not unpacked."""
    file = archive(tmp_path / "a.eval")
    data = bytearray(file.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 14), (b"PK\x01\x02", 16)):
        at = data.rindex(mark) + offset
        data[at : at + 4] = struct.pack("<I", zlib.crc32(b"0" * 10))
        data[at + 8 : at + 12] = struct.pack("<I", 10)
    file.write_bytes(bytes(data))
    assert zipfile.ZipFile(file).read("header.json") == b"0" * 10
    with pytest.raises(ContentError, match=r"header\.json claims 10 bytes and unpacks to more"):
        check_archive(file)

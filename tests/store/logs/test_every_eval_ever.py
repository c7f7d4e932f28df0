"""Logs of Every Eval Ever, written by its own converter (tests/data/make_logs.py)."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path

import numpy as np
import pytest

from wisecommittee.errors import AbsentNameError, ContentError, UsageError
from wisecommittee.store.logs.formats import LOG_FORMATS
from wisecommittee.store.logs.records import LogOptions

GOLDEN = Path(__file__).parents[2] / "data" / "logs" / "every_eval_ever"
STRICT = "sums/strict-match"


def read(path, **options):
    return list(LOG_FORMATS["every-eval-ever"].read(Path(path), LogOptions(**options)))


def line(sample="q1", **fields):
    """A line with the fields that the schema requires, and those of output."""
    return {
        "schema_version": "0.3.0",
        "evaluation_id": "e",
        "model_id": "org/m",
        "evaluation_name": "sums",
        "sample_id": sample,
        "interaction_type": "single_turn",
        "input": {"raw": "2 + 2?", "reference": ["4"]},
        "output": {"raw": ["It is 4."]},
        "answer_attribution": [],
        "evaluation": {"score": 1.0, "is_correct": True},
        **fields,
    }


def write(path, lines):
    path.write_text("".join(json.dumps(each) + "\n" for each in lines))
    return path


def test_the_folder_is_recognised_as_this_format_and_no_other():
    assert [name for name, log in LOG_FORMATS.items() if log.matches(GOLDEN)] == ["every-eval-ever"]


def test_golden_logs_have_the_answers_grades_and_labels_of_their_lines():
    records = read(GOLDEN, tasks=(STRICT,))
    assert [r.model for r in records] == ["toy/large", "toy/small"]
    for number, block in enumerate(records):
        lines = [json.loads(each) for each in (GOLDEN / f"{number}_samples.jsonl").read_text().splitlines()]
        lines = [each for each in lines if each["evaluation_name"] == STRICT]
        found = [each["answer_attribution"][0]["extracted_value"] for each in lines]
        assert list(block.unit_ids) == [each["sample_id"] for each in lines]
        assert list(block.answers) == [None if text == "[invalid]" else text for text in found]
        assert list(block.grades) == [each["evaluation"]["score"] for each in lines]
        assert list(block.labels) == [each["input"]["reference"][0] for each in lines]


def test_several_evaluations_are_told_apart_in_unit_ids_and_features():
    (block, _) = read(GOLDEN)
    assert set(block.features["task"]) == {STRICT, "sums/flexible-extract"}
    assert f"{STRICT}/0" in block.unit_ids
    with pytest.raises(AbsentNameError, match="task 'sum'"):
        read(GOLDEN, tasks=("sum",))


def test_tokens_and_latencies_are_costs_of_a_unit_and_those_that_no_line_has_are_left_out(tmp_path):
    usage = {"input_tokens": 9, "output_tokens": 3, "total_tokens": 12}
    rows = [line("a", token_usage=usage, performance={"latency_ms": 2.5}), line("b", token_usage=None)]
    (block,) = read(write(tmp_path / "1_samples.jsonl", rows))
    assert set(block.unit_costs) == {"prompt_tokens", "completion_tokens", "latency_ms"}
    np.testing.assert_array_equal(block.unit_costs["prompt_tokens"], [9, math.nan])
    np.testing.assert_array_equal(block.features["prompt_characters"], [6, 6])


ANSWERS = {
    "the extracted one": ({"answer_attribution": [{"is_terminal": True, "extracted_value": "4"}]}, "4"),
    "the last that is final": (
        {"answer_attribution": [{"is_terminal": i < 2, "extracted_value": str(i)} for i in range(3)]},
        "1",
    ),
    "the whole output": ({}, "It is 4."),
    "the last message of the model": (
        {"output": None, "messages": [{"role": "assistant", "content": "a"}, {"role": "user", "content": "b"}]},
        "a",
    ),
    "none after an error": ({"error": "timeout"}, None),
    "none where the output is empty": ({"output": {"raw": [""]}}, None),
    "none where there is no output": ({"output": {"raw": []}}, None),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_the_answer_is(tmp_path, case):
    fields, answer = ANSWERS[case]
    (block,) = read(write(tmp_path / "1_samples.jsonl", [line(**fields)]))
    assert list(block.answers) == [answer]


def test_one_line_for_each_metric_is_read_for_one_metric(tmp_path):
    rows = [line(evaluation_result_id=name, evaluation={"score": s}) for name, s in (("f1", 0.25), ("em", 0))]
    file = write(tmp_path / "1_samples.jsonl", rows)
    with pytest.raises(UsageError, match="sums: the metrics em, f1; choose one with metric='em'"):
        read(file)
    with pytest.raises(AbsentNameError, match="metric of sums 'bleu'"):
        read(file, metric="bleu")
    (block,) = read(file, metric="f1")
    assert list(block.grades) == [0.25]


def test_epochs_are_samples_and_models_of_one_file_are_told_apart(tmp_path):
    rows = [line(metadata={"epoch": str(e)}, model_id=m) for m in ("a", "b") for e in (1, 2)]
    found = read(write(tmp_path / "1_samples.jsonl", rows))
    assert [(r.model, r.sample) for r in found] == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]


def test_a_packed_folder_reads_as_the_plain_one(tmp_path):
    for file in GOLDEN.iterdir():
        (tmp_path / f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
    plain, packed = read(GOLDEN, tasks=(STRICT,)), read(tmp_path, tasks=(STRICT,))
    assert [list(r.answers) for r in plain] == [list(r.answers) for r in packed]


REFUSED = {
    "another version": ({"schema_version": "0.4.0"}, "schema_version '0.4.0'; expected 0.2 or 0.3"),
    "no model": ({"model_id": None}, "model_id 'None'; expected text"),
    "a number as id": ({"sample_id": 3}, "sample_id '3'; expected text"),
    "input that is text": ({"input": "Q"}, "input 'Q'; expected an object"),
    "a score beyond 1": ({"evaluation": {"score": 37}}, "evaluation.score '37'; expected a number from 0 to 1"),
    "no score": ({"evaluation": {}}, "evaluation.score 'None'"),
    "negative tokens": (
        {"token_usage": {"input_tokens": -1}},
        "token_usage.input_tokens '-1'; expected a number from 0",
    ),
    "several outputs": ({"output": {"raw": ["1", "2"]}}, "2 outputs and no answer_attribution"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_lines_are_named(tmp_path, case):
    fields, message = REFUSED[case]
    file = write(tmp_path / "1_samples.jsonl", [line("a"), line("b", **fields)])
    with pytest.raises(ContentError, match=rf"1_samples.jsonl: line 2: {message}"):
        read(file)


def test_a_line_that_is_cut_off_and_an_empty_file_are_named(tmp_path):
    file = write(tmp_path / "1_samples.jsonl", [line("a"), line("b")])
    file.write_text(file.read_text()[:-9])
    with pytest.raises(ContentError, match=r"line 2: no JSON .*the file ends within it"):
        read(file)
    file.write_text("")
    with pytest.raises(ContentError, match="no records"):
        read(file)


def test_lines_of_these_tests_fit_the_published_schema():
    """The types of the package itself, where it is installed."""
    types = pytest.importorskip("every_eval_ever.instance_level_types")
    types.InstanceLevelEvaluationLog.model_validate(line())

"""Logs of lm-evaluation-harness, written by itself (tests/data/make_logs.py): what is read gives its own metrics."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from wisecommittee.errors import AbsentNameError, ContentError, UsageError
from wisecommittee.store.logs.formats import LOG_FORMATS
from wisecommittee.store.logs.records import LogOptions

GOLDEN = Path(__file__).parents[2] / "data" / "logs" / "lm_eval"
CHOICES = ("by_number", "by_text", "by_digit")


def read(path, **options):
    return list(LOG_FORMATS["lm-eval"].read(Path(path), LogOptions(**options)))


def lines_of(model, task):
    (file,) = (GOLDEN / model.replace("/", "__")).glob(f"samples_{task}_*.jsonl")
    return [json.loads(line) for line in file.read_text().splitlines()]


def write(folder, lines, task="t", date="_2026-01-02T03-04-05.678"):
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"samples_{task}{date}.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def accuracy(records):
    right = [np.argmax(o) == label for r in records for o, label in zip(r.outputs, r.labels, strict=True)]
    return float(np.mean(right))


def published(model, task, metric):
    (file,) = (GOLDEN / model.replace("/", "__")).glob("results_*.json")
    return json.loads(file.read_text())["results"][task][metric]


def test_the_folder_is_recognised_as_this_format_and_no_other():
    assert [name for name, log in LOG_FORMATS.items() if log.matches(GOLDEN)] == ["lm-eval"]


@pytest.mark.parametrize("task", CHOICES)
@pytest.mark.parametrize("model", ["toy/small", "toy/large"])
def test_accuracies_of_choices_are_those_of_the_harness(model, task):
    folder = GOLDEN / model.replace("/", "__")
    raw, normalised = read(folder, tasks=(task,)), read(folder, tasks=(task,), per_byte=True)
    assert {r.model for r in raw} == {model}
    assert {r.kind for r in raw} == {"logits"}
    assert accuracy(raw) == pytest.approx(published(model, task, "acc,none"))
    name = "acc_bytes,none" if task == "by_text" else "acc_norm,none"
    assert accuracy(normalised) == pytest.approx(published(model, task, name))


def test_log_likelihoods_are_divided_by_characters_where_the_log_has_acc_norm_and_by_bytes_where_it_has_acc_bytes():
    for task, length in (("by_number", len), ("by_text", lambda text: len(text.encode()))):
        (records,) = read(GOLDEN / "toy__small", tasks=(task,), per_byte=True)
        for line, outputs in zip(lines_of("toy/small", task), records.outputs, strict=True):
            expected = [
                float(resp[0]) / length(line["arguments"][f"gen_args_{i}"]["arg_1"][1:])
                for i, resp in enumerate(line["filtered_resps"])
            ]
            np.testing.assert_allclose(outputs, expected)


@pytest.mark.parametrize("task", CHOICES)
def test_the_target_means_the_choice_that_the_document_names(task):
    for records in read(GOLDEN, tasks=(task,)):
        assert list(records.labels) == [line["doc"]["number"] for line in lines_of("toy/small", task)]


def test_texts_are_those_of_the_filter_and_graded_by_its_metric():
    for name in ("strict-match", "flexible-extract"):
        for records in read(GOLDEN, tasks=("sums",), filter=name):
            lines = [line for line in lines_of(records.model, "sums") if line["filter"] == name]
            found = [line["filtered_resps"][0] for line in lines]
            assert list(records.answers) == [None if text == "[invalid]" else text for text in found]
            assert None in records.answers
            assert list(records.grades) == [line["exact_match"] for line in lines]
            assert list(records.labels) == [line["target"] for line in lines]
            assert records.grades.mean() == pytest.approx(published(records.model, "sums", f"exact_match,{name}"))


def test_several_tasks_are_told_apart_in_unit_ids_and_features():
    records = read(GOLDEN, tasks=("by_*",))
    assert {task for r in records for task in r.features["task"]} == set(CHOICES)
    assert all(
        unit.startswith(f"{task}/") for r in records for unit, task in zip(r.unit_ids, r.features["task"], strict=True)
    )
    assert read(GOLDEN, tasks=("by_text",))[0].unit_ids[0] == "0"


def test_several_filters_and_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(UsageError, match=r"flexible-extract, strict-match; choose one with filter="):
        read(GOLDEN, tasks=("sums",))
    with pytest.raises(AbsentNameError, match="did you mean 'strict-match'"):
        read(GOLDEN, tasks=("sums",), filter="strict")
    with pytest.raises(AbsentNameError, match=r"metric of sums 'f1'.*Known: exact_match"):
        read(GOLDEN, tasks=("sums",), filter="strict-match", metric="f1")
    with pytest.raises(AbsentNameError, match=r"task 'mmlu'.*by_digit"):
        read(GOLDEN, tasks=("mmlu",))
    with pytest.raises(UsageError, match="log-likelihoods of choices"):
        read(GOLDEN, tasks=("by_text",), metric="acc")
    with pytest.raises(UsageError, match="different splits"):
        read(GOLDEN, filter="strict-match")
    assert read(GOLDEN, tasks=("by_text",), filter="strict-match")  # a task without filters


def test_of_several_runs_the_newest_is_read_and_said(tmp_path):
    lines = lines_of("toy/small", "by_number")
    write(tmp_path / "m", lines[:3], date="_2026-01-01T00-00-00.1")
    write(tmp_path / "m", lines, date="_2026-02-01T00-00-00.1")
    with pytest.warns(UserWarning, match=r"several runs of a model.*2026-02-01"):
        (records,) = read(tmp_path)
    assert (records.model, len(records)) == ("m", len(lines))


def test_results_beside_the_samples_name_the_model_of_their_date(tmp_path):
    lines = lines_of("toy/small", "by_number")
    for day, model in (("01", "org/a"), ("02", "org/b")):
        write(tmp_path, lines, date=f"_2026-01-{day}T00-00-00.1")
        (tmp_path / f"r_2026-01-{day}T00-00-00.1.json").write_text(json.dumps({"model_name": model}))
    assert [r.model for r in read(tmp_path)] == ["org/a", "org/b"]


def test_a_packed_file_reads_as_the_plain_one(tmp_path):
    (file,) = (GOLDEN / "toy__small").glob("samples_by_text_*")
    packed = tmp_path / "m" / f"{file.name}.gz"
    packed.parent.mkdir()
    packed.write_bytes(gzip.compress(file.read_bytes()))
    (plain,), (unpacked,) = read(file), read(tmp_path)
    np.testing.assert_array_equal(np.array(plain.outputs), np.array(unpacked.outputs))
    assert list(plain.labels) == list(unpacked.labels)


def test_models_on_other_documents_are_refused(tmp_path):
    lines = lines_of("toy/small", "by_number")
    write(tmp_path / "a", lines)
    write(tmp_path / "b", [*lines[:2], {**lines[2], "doc_hash": "other"}])
    with pytest.raises(ContentError, match=r"b/samples_t_.*line 3: doc_id 2 of t is another document than in .*a/sam"):
        read(tmp_path)


def test_numbers_and_requests_as_lists_read_as_the_harness_writes_them(tmp_path):
    lines = lines_of("toy/small", "by_number")
    other = [
        {
            **line,
            "arguments": [list(each.values()) for each in line["arguments"].values()],
            "filtered_resps": [[float(ll), greedy == "True"] for ll, greedy in line["filtered_resps"]],
            "target": line["doc"]["number"],
        }
        for line in lines
    ]
    write(tmp_path / "m", other)
    (records,), (golden,) = read(tmp_path), read(GOLDEN / "toy__small", tasks=("by_number",))
    np.testing.assert_array_equal(np.array(records.outputs), np.array(golden.outputs))
    assert list(records.labels) == list(golden.labels)


def choice(doc, logliks, target, texts=("yes", "no"), **metrics):
    return {
        "doc_id": doc,
        "target": target,
        "arguments": {f"gen_args_{i}": {"arg_0": f"Q{doc}{i}", "arg_1": f" {text}"} for i, text in enumerate(texts)},
        "filtered_resps": [[str(ll), "False"] for ll in logliks],
        **metrics,
    }


@pytest.mark.parametrize("target", ["1", "no", "B", "[1]", "(B)"])
def test_targets_are_numbers_texts_or_letters(tmp_path, target):
    write(tmp_path / "m", [choice(i, (-1, -2), target, acc=0.0) for i in range(3)])
    (records,) = read(tmp_path)
    assert list(records.labels) == [1, 1, 1]


def test_of_two_choices_in_the_prompt_acc_says_which_is_right(tmp_path):
    """Winogrande: the choices stand in the prompts, and the target is the text after both."""
    right = [i != 7 for i in range(200)]
    lines = [choice(i, (-1, -2), "of it.", ("of it.", "of it."), acc=float(r)) for i, r in enumerate(right)]
    write(tmp_path / "m", lines)
    (records,) = read(tmp_path)
    assert list(records.labels) == [1 - r for r in right]


def test_acc_tells_the_text_of_a_choice_from_its_number(tmp_path):
    """Of the choices 1, 2 and 3 the first is taken: acc is 1 where the target is the text '1', the number 0."""
    digits, targets = ("1", "2", "3"), (1, 2, 1, 2)
    write(
        tmp_path / "texts", [choice(i, (-1, -2, -3), str(t), digits, acc=float(t == 1)) for i, t in enumerate(targets)]
    )
    (records,) = read(tmp_path / "texts")
    assert list(records.labels) == [0, 1, 0, 1]
    lines = [choice(i, (-3, -1, -2), str(t), digits, acc=float(t == 1)) for i, t in enumerate(targets)]
    write(tmp_path / "numbers", lines)
    (records,) = read(tmp_path / "numbers")
    assert list(records.labels) == [1, 2, 1, 2]


def test_conditional_scores_are_left_out_of_the_choices(tmp_path):
    """With acc_mutual_info, the second half of the log-likelihoods is without the question."""
    texts = ("yes", "no") * 2
    write(tmp_path / "m", [choice(i, (-1, -2, -9, -1), "0", texts, acc=1.0, acc_mutual_info=1.0) for i in range(2)])
    (records,) = read(tmp_path)
    assert [list(outputs) for outputs in records.outputs] == [[-1, -2], [-1, -2]]


def test_a_target_that_may_be_two_choices_is_refused(tmp_path):
    digits = ("1", "2", "3")
    write(tmp_path / "m", [choice(i, (-1, -2, -3), "2", digits, acc=0.0) for i in range(4)])
    with pytest.raises(ContentError, match=r"target '2' of line 1 may be the number of a choice or its text"):
        read(tmp_path)


def test_a_scoring_of_its_own_is_refused(tmp_path):
    write(tmp_path / "m", [choice(i, (-1, -2), "0", acc=0.7) for i in range(4)])
    with pytest.raises(ContentError, match=r"on 4 of 4 lines acc is not whether the likeliest choice is the target"):
        read(tmp_path)
    write(tmp_path / "m", [choice(i, (-1, -2), "neither") for i in range(4)])
    with pytest.raises(ContentError, match=r"line 1: target 'neither'; expected the number, the text or the letter"):
        read(tmp_path)


def text(doc, answer="4", **fields):
    return {"doc_id": doc, "target": "4", "arguments": [["Q", {}]], "filtered_resps": [answer], "em": 1, **fields}


REFUSED = {
    "no doc_id": ({"doc_id": None}, "doc_id is 'None'"),
    "no requests": ({"arguments": {}}, r"arguments is '\{\}'"),
    "no responses": ({"filtered_resps": []}, r"filtered_resps is '\[\]'"),
    "several answers": ({"filtered_resps": ["3", "4"]}, ".*expected one text; choose a filter that takes one"),
    "the log-likelihood of one text": ({"filtered_resps": [["-3.1", "False"]]}, "the log-likelihood of one text"),
    "a metric beyond 1": ({"em": 37.2}, "em is '37.2'; expected a number from 0 to 1"),
    "a metric that is text": ({"em": "good"}, "em is 'good'"),
    "a filter that is no text": ({"filter": 3}, "filter is '3'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_lines_are_named(tmp_path, case):
    fields, message = REFUSED[case]
    write(tmp_path / "m", [text(0), text(1, **fields)])
    with pytest.raises(ContentError, match=rf"samples_t_.*: line 2: {message}"):
        read(tmp_path)


def test_a_line_that_is_cut_off_and_an_empty_file_are_named(tmp_path):
    file = write(tmp_path / "m", [text(0), text(1)])
    file.write_text(file.read_text()[:-20])
    with pytest.raises(ContentError, match=r"line 2: no JSON .*the file ends within it"):
        read(tmp_path)
    file.write_text("")
    with pytest.raises(ContentError, match="no records; evaluate t again with --log_samples"):
        read(tmp_path)


def test_several_metrics_need_one_to_be_named(tmp_path):
    write(tmp_path / "m", [text(0, f1=0.5)])
    with pytest.raises(UsageError, match="the metrics em, f1; choose one with metric='em'"):
        read(tmp_path)
    assert read(tmp_path, metric="f1")[0].grades[0] == 0.5


def test_the_installed_harness_writes_what_is_read(tmp_path):
    """The harness's own writer, on answers that are made up."""
    loggers = pytest.importorskip("lm_eval.loggers")
    tracker = loggers.EvaluationTracker(output_path=str(tmp_path))
    tracker.general_config_tracker.log_experiment_args("toy", "pretrained=org/toy", None, None, False)
    hashes = {"doc_hash": "d", "prompt_hash": "p", "target_hash": "t"}
    sample = {
        "doc_id": 0,
        "doc": {},
        "target": 1,
        "arguments": [("Q", " yes"), ("Q", " no")],
        "filter": "none",
        "resps": [[(-2.0, False)], [(-1.0, False)]],
        "filtered_resps": [(-2.0, False), (-1.0, False)],
        "metrics": ["acc"],
        "acc": 1.0,
        **hashes,
    }
    tracker.save_results_aggregated(results={}, samples={"toy": [sample]})
    tracker.save_results_samples("toy", [sample])
    (records,) = read(tmp_path)
    assert (records.model, list(records.labels), [list(o) for o in records.outputs]) == ("org/toy", [1], [[-2.0, -1.0]])


def test_a_folder_of_golden_logs_is_imported_whole(tmp_path):
    from wisecommittee.store import LogitStore
    from wisecommittee.store.logs.importing import import_log

    shutil.copytree(GOLDEN, tmp_path / "logs")
    (tmp_path / "models.csv").write_text("model,flops\ntoy/small,1\ntoy/large,9\n")
    store = LogitStore(tmp_path / "store")
    options = LogOptions(tasks=("by_number", "by_text"))
    done = import_log(store, "val", [str(tmp_path / "logs")], costs=tmp_path / "models.csv", options=options)
    assert set(done.models) == {"toy/small", "toy/large"}
    for model in done.models:
        right = store.outputs(model, "val").argmax(1) == store.labels("val")
        expected = np.mean([published(model, task, "acc,none") for task in ("by_number", "by_text")])
        assert right.mean() == pytest.approx(expected)

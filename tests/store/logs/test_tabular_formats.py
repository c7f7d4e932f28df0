"""Formats of tables and arrays: each layout is read as its schema says; a damaged one is refused by name and row."""

from __future__ import annotations

import gzip
import json
import pickle
import shutil

import log_tables
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from wisecommittee.errors import AbsentError, ContentError, UsageError, WiseCommitteeError
from wisecommittee.store.logs.formats import LOG_FORMATS
from wisecommittee.store.logs.formats.routerbench import response
from wisecommittee.store.logs.records import MOST_RECORDS, LogOptions
from wisecommittee.store.logs.spec import log_spec

LAYOUTS = [(name, write) for name, writers in log_tables.LAYOUTS.items() for write in writers]
BY_LAYOUT = pytest.mark.parametrize(("name", "write"), LAYOUTS, ids=lambda value: getattr(value, "__name__", ""))


def read(name, path, **options):
    return list(LOG_FORMATS[name].read(path, LogOptions(**options)))


def rows_of(records):
    """{(model, unit): (record's block, its row)} of all blocks."""
    return {(r.model, unit): (r, row) for r in records for row, unit in enumerate(r.unit_ids)}


@BY_LAYOUT
def test_each_layout_is_recognised_as_its_own_format_and_no_other(name, write, tmp_path):
    path = write(tmp_path)
    assert [known for known, log in LOG_FORMATS.items() if log.matches(path)] == [name]


@BY_LAYOUT
def test_each_layout_is_recognised_in_a_folder(name, write, tmp_path):
    path = write(tmp_path)
    (outer := tmp_path / "outer").mkdir()
    shutil.move(path, outer / path.name)
    assert [known for known, log in LOG_FORMATS.items() if log.matches(outer)] == [name]
    assert sum(map(len, read(name, outer))) > 0


@BY_LAYOUT
def test_columns_of_a_block_are_as_long_as_the_block(name, write, tmp_path):
    for records in read(name, write(tmp_path)):
        columns = [records.lines, records.answers, records.outputs, records.labels, records.grades]
        columns += [*records.scores.values(), *records.unit_costs.values(), *records.features.values()]
        assert {len(column) for column in columns if column is not None} == {len(records)}
        assert (records.answers is None) != (records.outputs is None)


@BY_LAYOUT
@pytest.mark.parametrize("option", [{"metric": "acc"}, {"filter": "none"}, {"per_byte": True}])
def test_an_option_without_a_use_is_refused(name, write, option, tmp_path):
    with pytest.raises(UsageError, match="leave it out"):
        read(name, write(tmp_path), **option)


@BY_LAYOUT
def test_nothing_but_an_error_of_ours_comes_of_a_damaged_file(name, write, tmp_path):
    path = write(tmp_path)
    files = sorted(file for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file())
    rng = np.random.default_rng(3)
    for file in files[:4]:
        whole = file.read_bytes()
        damaged = [
            whole[: len(whole) // 2],
            b"",
            whole[:-1],
            b"\x80\x04" + whole,
            bytes(rng.integers(0, 256, 200, np.uint8)),
        ]
        for at in rng.integers(0, len(whole), 20):
            damaged.append(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        for content in damaged:
            file.write_bytes(content)
            for log in LOG_FORMATS.values():
                log.matches(path)
            try:
                read(name, path)
            except WiseCommitteeError as error:
                said = str(error)
            else:
                continue
            assert "\n" not in said
            assert str(tmp_path) in said
        file.write_bytes(whole)


@BY_LAYOUT
def test_a_file_that_is_cut_off_is_refused(name, write, tmp_path):
    path = write(tmp_path)
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.suffix != ".json")
    file = next((file for file in files if file.is_file()), None) or next(path.rglob("*.json"))
    data = file.read_bytes()
    file.write_bytes(data[: len(data) - 30 if name != "tabarena" else len(data) - 3])
    with pytest.raises(ContentError, match=str(file.name) if name != "tabarena" else "labels"):
        read(name, path)


@pytest.mark.parametrize("name", ["routerbench", "proxy-oracle", "probabilities", "answers", "huggingface"])
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_pickle_under_the_name_of_a_table_is_never_loaded(name, suffix, tmp_path):
    path = tmp_path / f"table.{suffix}"
    path.write_bytes(pickle.dumps(log_tables.routerbench_frame()))
    assert not any(log.matches(path) for log in LOG_FORMATS.values())
    for reading in (lambda: read(name, path), lambda: log_spec(str(path))):
        with pytest.raises(ContentError, match="a pickle, which can run any program"):
            reading()


def test_the_published_pickle_is_refused_with_how_to_convert_it(tmp_path):
    path = tmp_path / "routerbench_0shot.pkl"
    log_tables.routerbench_frame().to_pickle(path)
    assert LOG_FORMATS["routerbench"].matches(path)
    with pytest.raises(ContentError, match=r"pandas.read_pickle\('routerbench_0shot.pkl'\).to_parquet") as refused:
        read("routerbench", path)
    assert "routerbench_0shot.pkl: a pickle" in str(refused.value)


@pytest.mark.parametrize("name", ["routerbench", "probabilities"])
def test_a_link_that_leads_out_of_the_folder_is_refused(name, tmp_path):
    (inside := tmp_path / "inside").mkdir()
    path = log_tables.LAYOUTS[name][0](tmp_path)
    (inside / path.name).symlink_to(path)
    with pytest.raises(ContentError, match="a link that leads out"):
        read(name, inside)


def test_an_empty_folder_is_refused(tmp_path):
    for log in LOG_FORMATS.values():
        assert not log.matches(tmp_path)
        with pytest.raises(AbsentError, match="no file in this folder"):
            list(log.read(tmp_path, LogOptions()))


@pytest.mark.parametrize("write", [log_tables.routerbench, log_tables.routerbench_csv])
def test_scores_responses_and_costs_of_routerbench_are_those_of_the_table(write, tmp_path):
    frame, found = log_tables.routerbench_frame(), rows_of(read("routerbench", write(tmp_path)))
    assert len(found) == len(frame) * len(log_tables.MODELS)
    for number, row in frame.iterrows():
        for model in log_tables.MODELS:
            records, at = found[model, f"{row['eval_name']}/{row['sample_id']}"]
            assert records.answers[at] == f"the {'ABCD'[number % 4]}\nit's {model}"
            assert records.grades[at] == row[model]
            assert records.unit_costs["usd"][at] == row[f"{model}|total_cost"]
            assert records.features["task"][at] == row["eval_name"]
            assert records.features["prompt_characters"][at] == len(f"Question {number}?\n")
            assert records.labels is None


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("['B']", "B"),
        ('["it\'s"]', "it's"),
        ("['a\\n\\'b\\'']", "a\n'b'"),
        ("['first', \"second\"]", "first\nsecond"),
        ("B", "B"),
        ("[1, 2]", "[1, 2]"),
        ("[x for x in y]", "[x for x in y]"),
        ("[__import__('os').system('true')]", "[__import__('os').system('true')]"),
        ("['\\d']", "\\d"),
        ("['a' 'b']", "['a' 'b']"),
        ("[]", None),
        ("['']", None),
        (None, None),
        ("[" * 100_000 + "]", "[" * 100_000 + "]"),
    ],
)
def test_a_response_is_a_list_of_texts_as_python_writes_it_or_itself(cell, text):
    assert response(cell) == text


def test_a_response_that_is_absent_is_no_answer(tmp_path):
    frame = log_tables.routerbench_frame()
    frame.loc[2, ["mini", "mini|model_response", "mini|total_cost"]] = None
    frame.to_parquet(tmp_path / "r.parquet")
    frame.to_csv(tmp_path / "r.csv", index=False)
    for file in ("r.parquet", "r.csv"):
        mini = next(records for records in read("routerbench", tmp_path / file) if records.model == "mini")
        assert mini.answers[2] is None
        assert np.isnan([mini.grades[2], mini.unit_costs["usd"][2]]).all()
        assert None not in mini.answers[:2] + mini.answers[3:]


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("mini", 1.5, "mini 1.5; expected a number from 0 to 1"),
        ("mini", "good", "mini 'good'; expected a number"),
        ("mini|total_cost", -0.1, r"mini\|total_cost -0.1; expected a number from 0"),
        ("sample_id", None, "sample_id is empty"),
    ],
)
def test_a_wrong_value_is_named_with_its_line(column, value, says, tmp_path):
    frame = log_tables.routerbench_frame().astype({column: object})
    frame.loc[3, column] = value
    frame.to_csv(tmp_path / "r.csv", index=False)
    with pytest.raises(ContentError, match=f"r.csv: line 5: {says}"):
        read("routerbench", tmp_path / "r.csv")


def test_a_model_without_one_of_its_three_columns_is_named(tmp_path):
    log_tables.routerbench_frame().drop(columns="mini|total_cost").to_parquet(tmp_path / "r.parquet")
    with pytest.raises(ContentError, match=r"no column 'mini\|total_cost' of model 'mini'"):
        read("routerbench", tmp_path / "r.parquet")


def test_tasks_choose_rows(tmp_path):
    path = log_tables.routerbench(tmp_path)
    assert {unit.split("/")[0] for r in read("routerbench", path, tasks=("mmlu*",)) for unit in r.unit_ids} == {
        "mmlu-law"
    }
    assert read("routerbench", path, tasks=("none",)) == []


def test_lines_are_those_of_the_file_although_texts_hold_line_ends(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('unit_id,model,answer\n1,m,"two\nlines"\n\n2,m,one\n3,m,"a ""quoted"" one"\n')
    (records,) = read("answers", path)
    assert records.lines.tolist() == [2, 5, 6]
    assert records.answers == ["two\nlines", "one", 'a "quoted" one']
    path.write_text(path.read_text() + "4,m\n")
    with pytest.raises(ContentError, match=r"a\.csv: line 7: 2 cells, 3 headings"):
        read("answers", path)


def test_blocks_are_bounded(tmp_path):
    rows = 2 * MOST_RECORDS + 5
    frame = pd.DataFrame({"id": range(rows), "proxy_score": 0.5, "label": 0})
    for path in (tmp_path / "t.csv", tmp_path / "t.parquet"):
        frame.to_csv(path, index=False) if path.suffix == ".csv" else frame.to_parquet(path)
        proxy = [records for records in read("proxy-oracle", path) if records.model == "proxy"]
        assert max(map(len, proxy)) == MOST_RECORDS
        assert [unit for records in proxy for unit in records.unit_ids] == [str(row) for row in range(rows)]


def test_proxy_scores_are_probabilities_and_the_oracle_is_always_right(tmp_path):
    proxy, oracle = read("proxy-oracle", log_tables.proxy_oracle(tmp_path))
    assert (proxy.model, oracle.model) == ("proxy", "oracle")
    assert np.allclose(proxy.outputs, [[0.1, 0.9], [0.9, 0.1], [0.45, 0.55], [1, 0], [0, 1]])
    assert np.argmax(oracle.outputs, axis=1).tolist() == oracle.labels.tolist() == [1, 0, 0, 0, 1]
    assert proxy.class_names == oracle.class_names == ("0", "1")


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("7,1.2,1", "proxy_score 1.2; expected"),
        ("7,,1", "proxy_score is empty"),
        ("7,0.5,2", "label '2'; expected 0 or 1"),
        (",0.5,1", "id is empty"),
        ("7,inf,1", "proxy_score inf; expected"),
        ("7,0.5,", "label ''; expected 0 or 1"),
    ],
)
def test_a_wrong_row_of_a_proxy_is_named(row, says, tmp_path):
    (path := tmp_path / "p.csv").write_text(f"id,proxy_score,label\n1,0.5,True\n{row}\n")
    with pytest.raises(ContentError, match=f"p.csv: line 3: {says}"):
        read("proxy-oracle", path)


@pytest.mark.parametrize("write", [log_tables.probabilities, log_tables.probabilities_by_file])
def test_classes_are_matched_by_name(write, tmp_path):
    frame, found = log_tables.probabilities_frame(), rows_of(read("probabilities", write(tmp_path)))
    for _, row in frame.iterrows():
        for model in ("logreg", "random_forest"):
            records, at = found[model, row["unit_id"]]
            assert records.class_names == ("cat", "dog", "emu")
            assert np.allclose(records.outputs[at], [row[f"{model}_proba_{name}"] for name in records.class_names])
            assert records.labels[at] == row["label"]


def test_numbered_classes_are_in_the_order_of_their_numbers_and_bars_part_models(tmp_path):
    frame = pd.DataFrame({f"a/b|proba_{name}": [float(name == 10)] for name in (10, 9, 0)})
    frame["label"] = [10.0]
    frame.to_parquet(tmp_path / "p.parquet")
    (records,) = read("probabilities", tmp_path / "p.parquet")
    assert (records.model, records.class_names, records.labels) == ("a/b", ("0", "9", "10"), ["10"])
    assert records.outputs.tolist() == [[0, 0, 1]]
    assert records.unit_ids == ["0"]


def test_a_model_with_empty_cells_has_no_record_of_the_unit(tmp_path):
    frame = log_tables.probabilities_frame()
    frame.loc[1, [name for name in frame if name.startswith("logreg")]] = np.nan
    frame.to_csv(tmp_path / "p.csv", index=False)
    logreg, forest = read("probabilities", tmp_path / "p.csv")
    assert (logreg.unit_ids, len(forest)) == (["u0", "u2", "u3", "u4"], 5)
    frame.loc[2, "logreg_proba_dog"] = np.nan
    frame.to_csv(tmp_path / "p.csv", index=False)
    with pytest.raises(ContentError, match="line 4: logreg_proba_dog is empty"):
        read("probabilities", tmp_path / "p.csv")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda frame: frame.drop(columns="logreg_proba_dog"), "expected the same two or more"),
        (lambda frame: frame.assign(label="bat"), "line 2: label 'bat'; expected one of the classes cat, dog, emu"),
        (lambda frame: frame.assign(logreg_proba_dog=1.1), "line 2: logreg_proba_dog 1.1"),
    ],
)
def test_other_classes_and_other_values_are_named(change, says, tmp_path):
    change(log_tables.probabilities_frame()).to_csv(tmp_path / "p.csv", index=False)
    with pytest.raises(ContentError, match=says):
        read("probabilities", tmp_path / "p.csv")


@pytest.mark.parametrize("labels", ["dat", "zip"])
@pytest.mark.parametrize("split", ["val", "test"])
def test_arrays_of_tabarena_are_read_in_place(labels, split, tmp_path):
    root = log_tables.tabarena(tmp_path, labels=labels)
    found = read("tabarena", root, split=split)
    assert {(records.model, len(records.outputs[0])) for records in found} == {
        (model, classes) for model in ("CatBoost_c1", "TabM_r7") for classes in (2, 3)
    }
    for records in found:
        dataset = records.unit_ids[0].split("/")[0]
        metadata = json.loads((root / dataset / "0" / "metadata.json").read_text())
        shape = metadata[f"pred_{split}_shape"]
        raw = np.fromfile(root / dataset / "0" / f"pred-{split}.dat", "float32").reshape(shape)
        expected = raw[metadata["models"].index(records.model)]
        assert np.allclose(records.outputs if expected.ndim == 2 else records.outputs[:, 1], expected)
        assert np.allclose(records.outputs.sum(axis=1), 1, atol=1e-6)
        if labels == "zip":
            expected_labels = pd.read_csv(root / dataset / "0" / f"label-{split}.csv.zip", index_col=0)["y"].tolist()
            assert records.labels.tolist() == expected_labels
        assert set(records.labels.tolist()) <= {0, 1, 2}


def test_tasks_without_labels_leave_them_to_be_given(tmp_path):
    assert all(records.labels is None for records in read("tabarena", log_tables.tabarena(tmp_path, labels="none")))


def test_a_task_of_tabarena_is_chosen_by_its_name(tmp_path):
    root = log_tables.tabarena(tmp_path)
    for tasks in (("blood",), ("blood/0",)):
        assert {unit.rpartition("/")[0] for r in read("tabarena", root, tasks=tasks) for unit in r.unit_ids} == {
            "blood/0"
        }


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("dtype", "object", "expected different models"),
        ("models", ["a", "a"], "expected different models"),
        ("pred_val_shape", [2, 10**12], "bytes; its metadata says"),
        ("pred_val_shape", [2, -7], "expected different models"),
        ("pred_val_shape", None, "no metadata of TabArena"),
    ],
)
def test_metadata_that_do_not_fit_are_refused(field, value, says, tmp_path):
    root = log_tables.tabarena(tmp_path)
    file = root / "blood" / "0" / "metadata.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {field: value}))
    with pytest.raises(ContentError, match=says):
        read("tabarena", root, tasks=("blood",))


def test_a_task_of_regression_is_refused(tmp_path):
    root = log_tables.tabarena(tmp_path, labels="zip")
    pd.DataFrame({"y": np.linspace(0, 1, 7)}).to_csv(root / "blood" / "0" / "label-val.csv.zip")
    with pytest.raises(ContentError, match="no classes; expected a task of classification"):
        read("tabarena", root)


def test_answers_in_packed_files_of_a_folder_are_those_of_one_table(tmp_path):
    frame = log_tables.answers_frame()
    (folder := tmp_path / "parts").mkdir()
    frame[:3].to_csv(folder / "a.csv", index=False)
    frame[3:5].to_csv(folder / "b.csv.gz", index=False)
    frame[5:].to_parquet(folder / "c.parquet")
    found = rows_of(read("answers", folder))
    assert len(found) == len(frame)
    for _, row in frame.iterrows():
        records, at = found[row["model"], row["unit_id"]]
        assert (records.answers[at], records.labels[at]) == (row["answer"], row["label"])
        assert records.scores["confidence"][at] == row["confidence"]
        assert records.unit_costs["usd"][at] == row["usd"]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_answers_with_log_probabilities_of_their_tokens_have_confidences(suffix, tmp_path):
    frame = log_tables.answers_frame(1).drop(columns="confidence")
    frame["token_logprobs"] = [[-1.0, -3.0], None]
    if suffix == "csv":
        frame["token_logprobs"] = ["[-1.0, -3.0]", ""]
        frame.to_csv(path := tmp_path / "a.csv", index=False)
    else:
        frame.to_parquet(path := tmp_path / "a.parquet")
    mini, large = read("answers", path)
    assert {name: float(values[0]) for name, values in mini.scores.items()} == {
        "mean_logprob": -2,
        "min_logprob": -3,
        "first_logprob": -1,
    }
    assert np.isnan(large.scores["mean_logprob"]).all()


@pytest.mark.parametrize(
    ("cell", "says"), [("0.5", "expected a list"), ("[0.5]", "expected a number up to 0"), ("[-1", "token_logprobs")]
)
def test_log_probabilities_in_another_form_are_named_with_their_line(cell, says, tmp_path):
    frame = log_tables.answers_frame(1)
    frame["token_logprobs"] = ["[-1.0]", cell]
    frame.to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(ContentError, match=f"a.csv: line 3: .*{says}"):
        read("answers", tmp_path / "a.csv")


def test_a_column_that_is_no_cost_is_refused(tmp_path):
    log_tables.answers_frame().assign(split="val").to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(ContentError, match="column 'split' is no cost"):
        read("answers", tmp_path / "a.csv")


@pytest.mark.parametrize("write", [log_tables.huggingface, log_tables.huggingface_disk])
def test_columns_of_the_hub_are_named_in_several_ways_and_classes_by_their_schema(write, tmp_path):
    found = rows_of(read("huggingface", write(tmp_path)))
    assert set(found) == {(model, f"q{row}") for model in log_tables.MODELS for row in range(4)}
    for (_, unit), (records, at) in found.items():
        row = int(unit[1:])
        assert records.answers[at] == ("positive" if row % 2 else "negative")
        assert records.labels[at] == ("positive" if row < 3 else "negative")
        assert records.scores["mean_logprob"][at] == pytest.approx((-0.1 - 0.2 * row) / 2, abs=1e-6)
        assert records.scores["margin_logprob"][at] == pytest.approx((2.9 + 1) / 2)
        assert records.unit_costs["usd"][at] == pytest.approx(0.001 * (row + 1))


def test_outputs_of_the_hub_are_those_of_the_classes(tmp_path):
    features = {"label": {"names": ["neg", "pos"], "_type": "ClassLabel"}}
    table = pa.table(
        {"id": ["1", "2", "3"], "model": ["m"] * 3, "logits": [[1.0, -1.0], [0.0, 2.0], None], "label": [0, 1, 1]}
    )
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, tmp_path / "t.parquet")
    (records,) = read("huggingface", tmp_path / "t.parquet")
    assert (records.kind, records.class_names, records.labels) == ("logits", ("neg", "pos"), ["neg", "pos"])
    assert np.array_equal(records.outputs, [[1, -1], [0, 2]])
    assert records.unit_ids == ["1", "2"]


def test_a_class_that_the_schema_does_not_name_is_refused(tmp_path):
    table = log_tables.hub_table()
    at = table.column_names.index("label")
    pq.write_table(table.set_column(at, "label", pa.array([-1] * len(table))), tmp_path / "t.parquet")
    assert set(read("huggingface", tmp_path / "t.parquet")[0].labels) == {None}  # -1 stands for no label
    pq.write_table(table.set_column(at, "label", pa.array([7] * len(table))), tmp_path / "t.parquet")
    with pytest.raises(ContentError, match="row 1: label '7'; expected a class from 0 to 1"):
        read("huggingface", tmp_path / "t.parquet")


def test_two_splits_in_a_folder_are_refused(tmp_path):
    place = log_tables.huggingface(tmp_path)
    shutil.copy(place / "train-00000-of-00002.parquet", place / "test-00000-of-00001.parquet")
    with pytest.raises(ContentError, match="holds test, train; expected the files of one split"):
        read("huggingface", place)


@pytest.mark.parametrize("save", ["to_parquet", "save_to_disk"])
def test_what_the_library_datasets_writes_is_read(save, tmp_path):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {
            "id": datasets.Value("string"),
            "model": datasets.Value("string"),
            "prediction": datasets.ClassLabel(names=["no", "yes"]),
            "label": datasets.ClassLabel(names=["no", "yes"]),
            "logprobs": datasets.Sequence(datasets.Value("float32")),
        }
    )
    rows = {
        "id": ["1", "2"],
        "model": ["m", "m"],
        "prediction": [1, 0],
        "label": [1, 1],
        "logprobs": [[-0.5], [-1.0, -2.0]],
    }
    dataset = datasets.Dataset.from_dict(rows, features=features)
    path = tmp_path / ("saved" if save == "save_to_disk" else "train-00000-of-00001.parquet")
    getattr(dataset, save)(str(path))
    assert [name for name, log in LOG_FORMATS.items() if log.matches(path)] == ["huggingface"]
    (records,) = read("huggingface", path)
    assert (records.answers, records.labels) == (["yes", "no"], ["yes", "yes"])
    assert records.scores["mean_logprob"].tolist() == [-0.5, -1.5]


def test_a_small_file_that_claims_to_be_large_is_refused(tmp_path, monkeypatch):
    log_tables.answers_frame(5_000).assign(answer="x" * 4000).to_csv(path := tmp_path / "a.csv.gz", index=False)
    monkeypatch.setattr("wisecommittee.store.logs.opening.ANY_SIZE", 1 << 20)
    with pytest.raises(ContentError, match="unpacks to more than"):
        read("answers", path)


def test_a_dictionary_of_one_long_text_does_not_fill_memory(tmp_path):
    rows = 20_000  # of a text of 1 MB: 20 GB if spelled out
    answer = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array(["x" * 1_000_000]))
    units = pa.array([str(row) for row in range(rows)])
    pq.write_table(pa.table({"unit_id": units, "model": ["m"] * rows, "answer": answer}), tmp_path / "a.parquet")
    sizes = []
    for records in LOG_FORMATS["answers"].read(tmp_path / "a.parquet", LogOptions()):
        assert {len(answer) for answer in records.answers} == {1_000_000}
        sizes.append(len(records))
        if len(sizes) == 3:
            break
    assert max(sizes) * 1_000_000 <= 256 << 20


def test_a_damaged_gz_names_its_file(tmp_path):
    (path := tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"unit_id,model,answer\n1,m,a\n" * 200)[:-10])
    with pytest.raises(ContentError, match="no whole gz file"):
        read("answers", path)

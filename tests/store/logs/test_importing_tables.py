"""Tables of other programs in the store: what a log says of a unit is what the store holds; what is wrong is named."""

from __future__ import annotations

import json
import shutil

import log_tables
import numpy as np
import pandas as pd
import pytest

from wisecommittee.errors import StoreError
from wisecommittee.searches.search import search
from wisecommittee.store import LogitStore
from wisecommittee.store.logs.formats import LOG_FORMATS
from wisecommittee.store.logs.importing import import_log
from wisecommittee.store.logs.records import LogOptions

LAYOUTS = [(name, write) for name, writers in log_tables.LAYOUTS.items() for write in writers]
BY_LAYOUT = pytest.mark.parametrize(("name", "write"), LAYOUTS, ids=lambda value: getattr(value, "__name__", ""))


@pytest.fixture
def store(tmp_path):
    return LogitStore(tmp_path / "logits")


def prices(tmp_path, records):
    """models.csv with a price for each model, of logs without costs; else None."""
    if any(block.unit_costs for block in records):
        return None
    models = list(dict.fromkeys(block.model for block in records))
    pd.DataFrame({"model": models, "usd": range(1, len(models) + 1)}).to_csv(
        file := tmp_path / "models.csv", index=False
    )
    return file


@BY_LAYOUT
def test_the_store_holds_what_the_log_says(name, write, tmp_path, store):
    path = write(tmp_path)
    records = list(LOG_FORMATS[name].read(path, LogOptions()))
    costs = prices(tmp_path, records)
    done = import_log(store, "val", [str(path)], costs=costs)
    assert set(done.models.values()) == {"added"}
    assert set(done.models) == {block.model for block in records}
    row_of = {unit: row for row, unit in enumerate(store.unit_ids("val"))}
    for block in records:
        at = [row_of[unit] for unit in block.unit_ids]
        if block.outputs is not None:
            held = store.outputs(block.model, "val")[at]
            assert np.allclose(held[:, : len(block.outputs[0])], block.outputs, atol=1e-6)
        for score, values in block.scores.items():
            assert np.allclose(store.scores(block.model, "val", score)[at], values)
    again = import_log(store, "val", [f"{name}:{path}"], costs=costs)
    assert set(again.models.values()) == {"unchanged"}


@BY_LAYOUT
def test_a_dry_run_writes_nothing(name, write, tmp_path, store):
    path = write(tmp_path)
    records = list(LOG_FORMATS[name].read(path, LogOptions()))
    import_log(store, "val", [str(path)], costs=prices(tmp_path, records), dry_run=True)
    assert not (tmp_path / "logits").exists()


@BY_LAYOUT
def test_a_record_that_stands_twice_is_refused_and_nothing_is_written(name, write, tmp_path, store):
    """The log beside a copy of it under another name: each unit of each model then stands twice."""
    path = write(tmp_path)
    records = list(LOG_FORMATS[name].read(path, LogOptions()))
    costs = prices(tmp_path, records)
    copy = path.with_name(f"copy-of-{path.name}")
    shutil.copytree(path, copy) if path.is_dir() else shutil.copy(path, copy)
    with pytest.raises(StoreError, match=r"line \d") as refused:
        import_log(store, "val", [str(path), str(copy)], costs=costs)
    assert "copy-of" in str(refused.value)
    assert not list((tmp_path / "logits").rglob("card.json"))


def test_a_table_of_routerbench_has_its_scores_as_quality(tmp_path, store):
    path = log_tables.routerbench(tmp_path)
    done = import_log(store, "val", [str(path)])
    frame = log_tables.routerbench_frame()
    for model in log_tables.MODELS:
        assert done.summaries[model].quality == pytest.approx(frame[model].mean())
        assert done.summaries[model].costs["usd"] == pytest.approx(frame[f"{model}|total_cost"].mean())
    assert set(done.features) == {"task"}  # all prompts are equally long


def test_a_model_without_a_response_has_a_unit_without_an_answer(tmp_path, store):
    frame = log_tables.routerbench_frame()
    frame.loc[2, ["mini", "mini|model_response", "mini|total_cost"]] = None
    frame.to_csv(tmp_path / "r.csv", index=False)
    with pytest.raises(StoreError, match="mini"):
        import_log(store, "val", [str(tmp_path / "r.csv")])
    done = import_log(store, "val", [str(tmp_path / "r.csv")], missing="skip")
    assert (done.units, done.unanswered.by_model) == (5, {"mini": 1})


@pytest.mark.parametrize(("split", "rows"), [("val", 7), ("test", 4)])
def test_the_split_of_tabarena_is_the_one_that_is_imported(split, rows, tmp_path, store):
    root = log_tables.tabarena(tmp_path)
    costs = prices(tmp_path, list(LOG_FORMATS["tabarena"].read(root, LogOptions())))
    done = import_log(store, split, [str(root)], costs=costs, options=LogOptions(tasks=("vehicle",)))
    assert done.units == rows


def test_labels_that_tabarena_holds_in_a_pickle_are_given_apart(tmp_path, store):
    root = log_tables.tabarena(tmp_path, labels="none")
    costs = prices(tmp_path, list(LOG_FORMATS["tabarena"].read(root, LogOptions())))
    options = LogOptions(tasks=("blood",))
    with pytest.raises(StoreError, match="labels"):
        import_log(store, "val", [str(root)], costs=costs, options=options)
    pd.DataFrame({"unit_id": [f"blood/0/{row}" for row in range(7)], "label": [0, 1] * 3 + [1]}).to_csv(
        tmp_path / "labels.csv", index=False
    )
    import_log(store, "val", [str(root)], costs=costs, options=options, labels=tmp_path / "labels.csv")
    assert store.labels("val").tolist() == [0, 1] * 3 + [1]


def test_of_several_runs_of_llmrouterbench_the_newest_counts_and_trial_runs_do_not(tmp_path):
    bench = log_tables.llmrouterbench(tmp_path)
    place = bench / "aime" / "test" / "mini"
    newer = log_tables.llmrouterbench_result("aime", "mini", 2)
    (place / "aime-test-mini-20260101_000000.json").write_text(json.dumps(newer))
    trial = log_tables.llmrouterbench_result("aime", "mini", 1, demo=True)
    (place / "aime-test-mini-20260201_000000.json").write_text(json.dumps(trial))
    records = LOG_FORMATS["llmrouterbench"].read(bench, LogOptions(tasks=("aime",)))
    assert {block.model: len(block) for block in records} == {"mini": 2, "large-v2": 3}


def test_without_names_in_its_head_a_result_is_named_by_its_folders(tmp_path):
    bench = log_tables.llmrouterbench(tmp_path)
    for file in bench.rglob("*.json"):
        result = json.loads(file.read_text())
        file.write_text(
            json.dumps({k: v for k, v in result.items() if k not in ("model_name", "dataset_name", "split")})
        )
    records = list(LOG_FORMATS["llmrouterbench"].read(bench, LogOptions()))
    assert {block.model for block in records} == {"mini", "large-v2"}
    assert {unit.rpartition("/")[0] for block in records for unit in block.unit_ids} == {"aime/test", "gpqa/test"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"score": 1.5}, "record 2: score '1.5'; expected a number from 0 to 1"),
        ({"score": "good"}, "record 2: score 'good'; expected a number"),
        ({"cost": -1}, "record 2: cost '-1'; expected a number from 0"),
        ({"index": None}, "record 2: index None; expected a number or text"),
    ],
)
def test_a_wrong_field_is_named_with_its_record(change, says, tmp_path):
    result = log_tables.llmrouterbench_result("aime", "mini")
    result["records"][1] |= change
    (path := tmp_path / "r.json").write_text(json.dumps(result))
    with pytest.raises(StoreError, match=f"r.json: {says}"):
        list(LOG_FORMATS["llmrouterbench"].read(path, LogOptions()))


def test_a_prediction_that_was_not_extracted_is_the_whole_output_and_none_is_no_answer(tmp_path):
    result = log_tables.llmrouterbench_result("aime", "mini")
    result["records"][0] |= {"prediction": "", "raw_output": "I think so"}
    result["records"][1] |= {"prediction": None, "raw_output": "", "score": None}
    (path := tmp_path / "r.json").write_text(json.dumps(result))
    (block,) = LOG_FORMATS["llmrouterbench"].read(path, LogOptions())
    assert block.answers == ["I think so", None, "4"]
    assert np.isnan(block.grades).tolist() == [False, True, False]


def test_windows_over_a_proxy_leave_the_rest_to_the_oracle(tmp_path, store):
    rng = np.random.default_rng(0)
    score = rng.random(600)
    frame = pd.DataFrame({"id": range(600), "proxy_score": score, "label": (rng.random(600) < score).astype(int)})
    frame.to_csv(tmp_path / "supg.csv", index=False)
    (tmp_path / "models.csv").write_text("model,usd\nproxy,1\noracle,100\n")
    import_log(store, "val", [str(tmp_path / "supg.csv")], costs=tmp_path / "models.csv")
    frontier = search(store, policy="window", cost="usd", combine="last")
    windows = [e for e in frontier.evaluations if e.committee.policy.kind == "window"]
    assert windows
    for evaluation in windows:
        policy = evaluation.committee.policy
        low, high = policy.low[0], policy.high[0]
        out = np.zeros(600, bool)
        if low is not None:
            out |= score <= low
        if high is not None:
            out |= score >= high
        right = np.where(out, (score > 0.5) == frame["label"], True)
        assert evaluation.quality == pytest.approx(right.mean(), abs=0.01)
        assert evaluation.average_cost == pytest.approx(np.where(out, 1, 101).mean(), abs=1)


def test_labels_that_are_given_apart_may_name_the_classes(tmp_path, store):
    frame = log_tables.probabilities_frame()
    frame.drop(columns="label").to_csv(path := tmp_path / "p.csv", index=False)
    frame[["unit_id", "label"]].to_csv(labels := tmp_path / "labels.csv", index=False)
    costs = prices(tmp_path, list(LOG_FORMATS["probabilities"].read(path, LogOptions())))
    import_log(store, "val", [str(path)], costs=costs, labels=labels)
    of_unit = dict(zip(store.unit_ids("val"), store.labels("val").tolist(), strict=True))
    assert of_unit == {
        unit: ["cat", "dog", "emu"].index(name) for unit, name in zip(frame["unit_id"], frame["label"], strict=True)
    }
    frame.assign(label="bat")[["unit_id", "label"]].to_csv(labels, index=False)
    with pytest.raises(StoreError, match="number of the right choice, from 0 or name, cat, dog, emu"):
        import_log(store, "test", [str(path)], costs=costs, labels=labels)

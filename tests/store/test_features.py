"""Columns of the units that are known before any model runs: read strictly, kept, divided, checked, overlaid."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from wisecommittee.errors import AlignmentError, ContentError, StoreError
from wisecommittee.store import LogitStore
from wisecommittee.store.features import import_features
from wisecommittee.store.imports.answers import import_answers
from wisecommittee.store.readers.features import read_feature_table
from wisecommittee.store.splitting import split_store

UNITS = 60


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    rows = [
        (f"q{i}", model, rng.choice(["yes", "no"]), 0.1, "yes" if i % 2 else "no")
        for model in ("a", "b")
        for i in range(UNITS)
    ]
    pd.DataFrame(rows, columns=["unit_id", "model", "answer", "usd", "label"]).to_csv("answers.csv", index=False)
    store = LogitStore("S")
    import_answers(store, "all", "answers.csv")
    return store


def feature_frame(**columns):
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"unit_id": [f"q{i}" for i in range(UNITS)]})
    frame["length"] = rng.integers(1, 900, UNITS)
    frame["task"] = rng.choice(["math", "code", "chat"], UNITS)
    return frame.assign(**columns)


def written(frame, suffix="csv"):
    file = f"features.{suffix}"
    shuffled = frame.sample(frac=1, random_state=3)
    shuffled.to_csv(file, index=False) if suffix == "csv" else shuffled.to_parquet(file)
    return file


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_columns_are_kept_by_unit_id(store, suffix):
    frame = feature_frame()
    assert import_features(store, "all", written(frame, suffix)) == {"length": "added", "task": "added"}
    kept, by_unit = LogitStore("S").features("all"), frame.set_index("unit_id").loc[store.unit_ids("all")]
    assert kept["length"].dtype == np.float64
    assert kept["length"].tolist() == by_unit["length"].tolist()
    assert kept["task"].tolist() == by_unit["task"].tolist()
    assert import_features(store, "all", written(frame, suffix)) == {"length": "unchanged", "task": "unchanged"}
    assert store.verify() == []


def test_digits_are_categories_where_the_column_is_text(store):
    frame = feature_frame(task=["1", "2", "3"] * (UNITS // 3))
    table = read_feature_table(written(frame, "parquet"))
    assert table.columns["task"].dtype.kind == "U"
    assert read_feature_table(written(frame)).columns["task"].dtype == np.float64


def test_other_values_need_replace_and_other_columns_are_added(store):
    import_features(store, "all", written(feature_frame()))
    changed = feature_frame(length=1.5)
    with pytest.raises(ContentError, match="column 'length' has other values in the store; replace them with replace="):
        import_features(store, "all", written(changed))
    assert store.features("all")["length"].max() > 2
    assert import_features(store, "all", written(changed), replace=True)["length"] == "replaced"
    assert import_features(store, "all", written(changed[["unit_id"]].assign(turns=3))) == {"turns": "added"}
    assert sorted(store.features("all")) == ["length", "task", "turns"]


def test_split_divides_them_and_they_go_with_the_last_model(store):
    frame = feature_frame()
    import_features(store, "all", written(frame))
    split_store(store, {"val": 0.5, "test": 0.5}, seed=2)
    by_unit = frame.set_index("unit_id")
    for split in ("val", "test"):
        units = store.unit_ids(split)
        assert 0 < len(units) < UNITS
        assert store.features(split)["task"].tolist() == by_unit.loc[units, "task"].tolist()
    assert store.verify() == []
    store.remove("a", "val")
    assert store.features("val")
    store.remove("b", "val")
    assert not (store.files.local / "val/features.parquet").exists()


def test_verify_finds_a_damaged_file_and_one_of_other_units(store):
    import_features(store, "all", written(feature_frame()))
    file = store.files.local / "all/features.parquet"
    sound = file.read_bytes()
    file.write_bytes(sound[: len(sound) // 2])
    (problem,) = LogitStore("S").verify()
    assert "features.parquet" in problem
    file.write_bytes(sound)
    pd.read_parquet(file).iloc[1:].to_parquet(file)
    (problem,) = LogitStore("S").verify()
    assert "no features for 1 unit of 60 in all, such as 'q0'" in problem


def test_a_file_is_laid_over_the_store_without_writing(store):
    import_features(store, "all", written(feature_frame()))
    both = pd.concat([feature_frame(task="none"), pd.DataFrame({"unit_id": ["z"], "length": [1], "task": ["x"]})])
    over = store.with_features(written(both))
    assert set(over.features("all")["task"].tolist()) == {"none"}
    assert set(store.features("all")["task"].tolist()) == {"math", "code", "chat"}
    assert set(LogitStore("S").features("all")["task"].tolist()) == {"math", "code", "chat"}
    assert store.with_features(None) is store


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda t: t.iloc[3:], r"no features for 3 units of 60 in all, such as 'q0', 'q1', 'q2'; give a row for each"),
        (lambda t: pd.concat([t, t.iloc[:1]]), "unit id 'q0' stands more than once"),
        (lambda t: t.assign(length=[None, *range(UNITS - 1)]), "column 'length' is empty for unit 'q0'; fill it, or"),
        (lambda t: t.assign(task=["", *["x"] * (UNITS - 1)]), "column 'task' is empty for unit 'q0'; fill it, or"),
        (lambda t: t.assign(length=[np.inf, *range(UNITS - 1)]), "column 'length' is inf for unit 'q0'; expected"),
        (lambda t: t.assign(length=["many", *range(UNITS - 1)]), "'many' for unit 'q0' among numbers"),
        (lambda t: t.assign(task="y" * 201), "text of 201 characters; expected categories of 200 at most"),
        (lambda t: t.assign(label="yes"), "column 'label' is no feature, known before any model runs"),
        (
            lambda t: t.assign(side=["yes" if i % 2 else "no" for i in range(UNITS)]),
            "column 'side' equals the label of every unit",
        ),
        (lambda t: t[["unit_id"]], "0 columns beside unit_id; expected 1 to 4,096 features"),
        (lambda t: t.rename(columns={"unit_id": "id"}), "no column 'unit_id'"),
    ],
)
def test_a_table_that_cannot_be_features_is_refused_with_the_remedy(store, edit, message):
    with pytest.raises(StoreError, match=message):
        import_features(store, "all", written(edit(feature_frame())))
    assert store.features("all") == {}


def test_lists_and_dates_are_refused(store):
    frame = feature_frame(when=pd.Timestamp("2024-01-01"))
    with pytest.raises(ContentError, match=r"column 'when' holds Timestamp .*expected numbers or text"):
        read_feature_table(written(frame, "parquet"))


def test_features_of_a_split_that_is_not_there_are_refused(store):
    with pytest.raises(StoreError, match="has no split 'val'"):
        import_features(store, "val", written(feature_frame()))
    over = store.with_features(written(feature_frame().iloc[:5]))
    with pytest.raises(AlignmentError, match="no features for 55 units"):
        over.features("all")


def test_the_command_says_what_each_column_is_taken_for(store, run):
    written(feature_frame())
    code, out, _ = run("import", "--store", "S", "--split", "all", "--features", "features.csv")
    assert code == 0
    assert "numbers" in out
    assert "3 categories" in out
    _, out, _ = run("import", "--store", "S", "--split", "all", "--features", "features.csv", "--json")
    assert json.loads(out)["features"] == {
        "length": {"status": "unchanged", "kind": "numbers"},
        "task": {"status": "unchanged", "kind": "categories", "values": 3},
    }


def test_features_come_with_outputs_and_a_bad_table_stops_both(store, run):
    written(feature_frame(task=""))
    code, _, err = run("import", "--store", "T", "--answers", "answers.csv", "--features", "features.csv")
    assert code == 1
    assert "column 'task' is empty" in err
    assert not LogitStore("T").files.exists()
    written(feature_frame())
    written(feature_frame().iloc[1:])
    code, _, err = run("import", "--store", "T", "--answers", "answers.csv", "--features", "features.csv")
    assert code == 1
    assert "no features for 1 unit of 60 in val, such as 'q0'" in err
    assert not list(LogitStore("T").files.local.rglob("card.json"))
    written(feature_frame())
    words = ("--answers", "answers.csv", "--features", "features.csv", "--json")
    code, out, _ = run("import", "--store", "T", *words)
    assert code == 0
    assert json.loads(out)["features"]["length"] == {"status": "added", "kind": "numbers"}
    assert sorted(LogitStore("T").features("val")) == ["length", "task"]

"""Units that belong together stay together when a split is divided."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wisecommittee.errors import AbsentError, StoreError, WiseCommitteeError
from wisecommittee.store import LogitStore
from wisecommittee.store.groups import assign_groups, read_groups
from wisecommittee.store.imports.answers import import_answers
from wisecommittee.store.imports.outputs import import_outputs
from wisecommittee.store.splitting import split_store

N, C = 120, 4


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("WISECOMMITTEE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"unit_id": [f"i{k}" for k in range(N)], "label": rng.integers(0, C, N)})
    frame["patient"] = [f"p{k}" for k in rng.integers(0, 15, N)]
    frame["device"] = rng.integers(0, 3, N)
    frame["note"] = [f"text {k}" for k in range(N)]  # groups nothing
    frame.to_csv("labels.csv", index=False)
    outputs = rng.normal(size=(N, C)) + 2 * np.eye(C)[frame["label"]]
    np.savez("a.npz", outputs=outputs, unit_id=frame["unit_id"].to_numpy(str))
    (tmp_path / "m.csv").write_text("model,flops\na,1\n")
    return frame


def test_no_group_is_in_two_splits(folder):
    store = LogitStore("S")
    import_outputs(store, "all", [("logits", "a", "a.npz")], labels="labels.csv", costs="m.csv")
    assert sorted(read_groups(store, "all")) == ["device", "patient"]  # a column of different values groups nothing
    done = split_store(store, {"val": 0.5, "test": 0.5}, by="patient", seed=1)
    assert sum(done.values()) == N
    assert min(done.values()) >= 0.4 * N
    patient = dict(zip(folder["unit_id"], folder["patient"], strict=True))
    seen = {split: {patient[unit] for unit in store.unit_ids(split)} for split in done}
    assert not seen["val"] & seen["test"]
    for split in done:
        assert read_groups(store, split)["patient"] == [patient[unit] for unit in store.unit_ids(split)]
    assert store.verify() == []
    split_store(store, {"val": 0.5, "dev": 0.5}, source="val", by="device", seed=0)
    assert not set(read_groups(store, "val")["device"]) & set(read_groups(store, "dev")["device"])


def test_columns_come_with_answers_too(folder):
    table = pd.DataFrame({"unit_id": folder["unit_id"], "model": "a", "answer": "x", "confidence": 0.5, "usd": 1})
    table.sample(frac=1, random_state=0).to_csv("answers.csv", index=False)
    store = LogitStore("S")
    import_answers(store, "val", "answers.csv", labels="labels.csv")
    patient = dict(zip(folder["unit_id"], folder["patient"], strict=True))
    assert read_groups(store, "val")["patient"] == [patient[unit] for unit in store.unit_ids("val")]


def test_a_column_that_is_not_there_is_named(folder):
    store = LogitStore("S")
    import_outputs(store, "all", [("logits", "a", "a.npz")], labels="labels.csv", costs="m.csv")
    with pytest.raises(AbsentError, match=r"column that groups units of all .*'pateint'; did you mean 'patient'"):
        split_store(store, {"val": 0.5, "test": 0.5}, by="pateint")
    (store.files.local / "all/groups.parquet").write_bytes(b"PAR1 nothing PAR1")
    with pytest.raises(StoreError, match=r"groups.parquet: not readable"):
        split_store(store, {"val": 0.5, "test": 0.5}, by="patient")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["x"] * N, "would be empty: all has 1 group"),
        ([""] * 3 + ["x", "y"] * 58 + ["z"], "3 units of 120 have nothing in"),
    ],
)
def test_columns_that_group_nothing_or_not_all_are_said(folder, values, message):
    folder.assign(site=values).to_csv("labels.csv", index=False)
    store = LogitStore("S")
    import_outputs(store, "all", [("logits", "a", "a.npz")], labels="labels.csv", costs="m.csv")
    with pytest.raises(WiseCommitteeError, match=message):
        split_store(store, {"val": 0.5, "test": 0.5}, by="site")


def test_too_few_groups_are_said(folder):
    frame = folder.assign(site=["x"] * (N - 1) + ["y"])
    frame.to_csv("labels.csv", index=False)
    store = LogitStore("S")
    import_outputs(store, "all", [("logits", "a", "a.npz")], labels="labels.csv", costs="m.csv")
    with pytest.raises(AbsentError, match=r"would be empty: all has 2 groups"):
        split_store(store, {"val": 0.4, "test": 0.3, "dev": 0.3}, by="site")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_groups_are_whole_and_near_their_share(data):
    n = data.draw(st.integers(1, 60))
    groups = np.unique(data.draw(st.lists(st.integers(0, 20), min_size=n, max_size=n)), return_inverse=True)[1]
    labels = np.array(data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)))
    shares = {"a": data.draw(st.floats(0.1, 5)), "b": 1.0, "c": data.draw(st.floats(0.1, 5))}
    seed = data.draw(st.integers(0, 5))
    rows = assign_groups(labels, groups, shares, seed)
    assert sorted(np.concatenate(list(rows.values())).tolist()) == list(range(n))
    homes = [{int(groups[r]) for r in some} for some in rows.values()]
    assert sum(map(len, homes)) == len(set(groups.tolist()))
    again = assign_groups(labels, groups, shares, seed)
    assert all((rows[name] == again[name]).all() for name in shares)


def test_groups_of_one_are_divided_in_proportion():
    labels = np.repeat(np.arange(4), 50)
    rows = assign_groups(labels, np.arange(200), {"val": 3, "test": 1}, seed=0)
    assert {name: np.bincount(labels[some]).tolist() for name, some in rows.items()} == {
        "val": pytest.approx([37.5] * 4, abs=1),
        "test": pytest.approx([12.5] * 4, abs=1),
    }

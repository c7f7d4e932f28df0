"""A split without labels: it is imported, verified and refused by all that needs labels."""

from __future__ import annotations

import json

import numpy as np
import pytest

from wisecommittee import LogitStore, ModelCard, evaluate, import_answers, search
from wisecommittee.errors import AbsentError, ContentError, WiseCommitteeError


@pytest.fixture
def arrays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name in "ab":
        np.save(f"{name}.npy", rng.normal(size=(50, 3)).astype(np.float32))
    np.save("labels.npy", rng.integers(0, 3, 50))
    (tmp_path / "models.csv").write_text("model,flops\na,100\nb,400\n")
    return tmp_path


COMMON = ("--store", "S", "--costs", "models.csv", "--logits", "a=a.npy", "--logits", "b=b.npy")


def test_a_split_without_labels_is_imported_and_all_but_its_labels_can_be_read(arrays, run):
    code, out, err = run("import", *COMMON, "--split", "live", "--unlabelled", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["quality"] == {"a": None, "b": None}
    store = LogitStore("S")
    assert not store.has_labels("live")
    assert store.unit_ids("live") == [str(i) for i in range(50)]
    assert np.array_equal(store.outputs("a", "live"), np.load("a.npy"))
    with pytest.raises(AbsentError, match="split 'live' has no labels; `monitor` and `retune` do without"):
        store.labels("live")
    code, out, _ = run("import", *COMMON, "--split", "live", "--unlabelled", "--json")
    assert json.loads(out)["models"] == {"a": "unchanged", "b": "unchanged"}
    assert store.verify() == []
    assert run("verify", "--store", "S")[0] == 0
    code, out, _ = run("models", "--store", "S", "--json")
    assert [each["quality"] for each in json.loads(out)["models"]] == [None, None]
    assert run("models", "--store", "S")[0] == 0


def test_what_needs_labels_says_so(arrays, run):
    run("import", *COMMON, "--split", "live", "--unlabelled")
    run("import", *COMMON, "--split", "val", "--labels", "labels.npy")
    store = LogitStore("S")
    committee = search(store, split="val").best().committee
    for attempt in (lambda: search(store, split="live"), lambda: evaluate(committee, store, "live")):
        with pytest.raises(WiseCommitteeError, match="split 'live' has no labels"):
            attempt()
    for command in (("calibrate", "--model", "a"), ("split", "--into", "x=1,y=1"), ("search", "--target-accuracy", 1)):
        code, _, err = run(*command, "--store", "S", "--split", "live")
        assert code == 1
        assert "has no labels" in err


def test_labels_are_not_mixed_with_none(arrays, run):
    run("import", *COMMON, "--split", "live", "--unlabelled")
    code, _, err = run("import", *COMMON, "--split", "live", "--labels", "labels.npy", "--replace")
    assert code == 1
    assert "has label" in err
    code, _, err = run("import", *COMMON, "--split", "live", "--labels", "labels.npy", "--unlabelled")
    assert code == 2
    assert "leave one out" in err
    labels = np.load("labels.npy")
    labels[3] = -1
    with pytest.raises(ContentError, match="label -1 of row 3"):
        LogitStore("T").add(ModelCard("a", blocks={"a": 1}), "val", labels=labels, outputs=np.load("a.npy"))
    store = LogitStore("T")
    with (
        pytest.raises(ContentError, match="label -1 of row 0"),
        store.writer(ModelCard("a", blocks={"a": 1}), "val", classes=3) as writer,
    ):
        writer.append([str(i) for i in range(50)], np.full(50, -1), outputs=np.load("a.npy"))


def test_answers_without_labels(arrays):
    lines = ["unit_id,model,answer,confidence,usd"]
    lines += [f"{unit},{model},yes,0.5,0.1" for unit in range(5) for model in "ab"]
    (arrays / "answers.csv").write_text("\n".join(lines) + "\n")
    store = LogitStore("S")
    with pytest.raises(WiseCommitteeError, match="no label column"):
        import_answers(store, "live", "answers.csv")
    import_answers(store, "live", "answers.csv", unlabelled=True)
    assert not store.has_labels("live")
    assert store.verify() == []

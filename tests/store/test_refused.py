"""What a store refuses to take, and the names of models and splits."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stored import IDS, C, N, X, Y, card, tree, with_value

from wisecommittee.errors import AlignmentError, ContentError, CostError, StoreError, UsageError, WiseCommitteeError
from wisecommittee.store import LogitStore, checks
from wisecommittee.store.storage.opening import open_files

pytestmark = pytest.mark.usefixtures("small_groups")


# What is refused

P = np.exp(X) / np.exp(X).sum(axis=1, keepdims=True)
OFF = P.copy()
OFF[5] *= 1.05
BELOW = P.copy()
BELOW[5] += [-P[5, 0] - 0.01, P[5, 0] + 0.01, 0, 0]
GRADES = np.full(N, 0.5)
# name: (card fields, arguments, error, what the message has to say)
REFUSED = {
    "too few labels": ({}, {"labels": Y[:-1]}, AlignmentError, r"23 .* 22 labels"),
    "too few outputs": ({}, {"outputs": X[:-1]}, AlignmentError, r"22 outputs, 23 labels"),
    "too many ids": ({}, {"unit_ids": [*IDS, "more"]}, AlignmentError, r"24 unit ids, 23 labels"),
    "twice": ({}, {"unit_ids": [*IDS[:-1], IDS[0]]}, AlignmentError, r"'u00' stands more than once"),
    "no id": ({}, {"unit_ids": [*IDS[:-1], None]}, ContentError, r"unit id None in row 22"),
    "nan id": ({}, {"unit_ids": [*IDS[:-1], float("nan")]}, ContentError, r"unit id nan in row 22"),
    "surrogate": ({}, {"unit_ids": [*IDS[:-1], "\ud800"]}, ContentError, r"UTF-8"),
    "long id": ({}, {"unit_ids": [*IDS[:-1], "x" * 20_000]}, ContentError, r"20,000 characters"),
    "nan": ({}, {"outputs": with_value(np.nan)}, ContentError, r"nan in row 7, class 2"),
    "inf": ({}, {"outputs": with_value(np.inf)}, ContentError, r"inf in row 7, class 2"),
    "-inf of the label": ({}, {"outputs": with_value(-np.inf, 7, int(Y[7]))}, ContentError, r"row 7 has the label"),
    "-inf everywhere": (
        {},
        {"outputs": np.where(np.arange(N)[:, None] == 4, -np.inf, X)},
        ContentError,
        r"row 4 is -inf",
    ),
    "both inf": ({}, {"outputs": np.where(X > 0, np.inf, -np.inf)}, ContentError, r"every logit of row 3 is -inf"),
    "float32": ({}, {"outputs": with_value(1e300)}, ContentError, r"1e\+300 in row 7 does not fit float32"),
    "float16": (
        {},
        {"outputs": with_value(70_000), "dtype": "float16"},
        ContentError,
        r"70000 .*store them as float32",
    ),
    "vector": ({}, {"outputs": X[:, 0]}, ContentError, r"shape \[23\]"),
    "one class": ({}, {"outputs": X[:, :1]}, ContentError, r"2 classes or more"),
    "integers": ({}, {"outputs": Y[:, None] + np.arange(C)}, ContentError, r"int64; expected floating"),
    "complex": ({}, {"outputs": X + 1j}, ContentError, r"complex"),
    "objects": ({}, {"outputs": X.astype(object)}, ContentError, r"object"),
    "nothing": ({}, {}, ContentError, r"either outputs or answers"),
    "both": ({}, {"outputs": X, "answers": IDS}, ContentError, r"either outputs or answers"),
    "answers as logits": ({}, {"answers": IDS}, ContentError, r"declared as logits, but answers"),
    "logits as answers": ({"kind": "answers"}, {"outputs": X}, ContentError, r"declared as answers, but outputs"),
    "label too large": ({}, {"labels": np.where(Y == 0, C, Y)}, ContentError, r"label 4 of row \d+ .* 0\.\.3"),
    "label below": ({}, {"labels": np.where(Y == 0, -1, Y)}, ContentError, r"label -1"),
    "label half": ({}, {"labels": Y + 0.5}, ContentError, r"expected whole numbers"),
    "label nan": ({}, {"labels": np.where(Y == 0, np.nan, Y)}, ContentError, r"expected whole numbers"),
    "label text": ({}, {"labels": [f"c{y}" for y in Y]}, ContentError, r"expected whole numbers"),
    "labels one-hot": ({}, {"labels": np.eye(C)[Y]}, ContentError, r"labels of shape \[23, 4\]"),
    "labels ragged": ({}, {"labels": [[1], [1, 2]]}, ContentError, r"different lengths"),
    "label scalar": ({}, {"labels": 3}, AlignmentError, r"23 unit ids, 1 label"),
    "scalar": ({}, {"outputs": np.float32(3)}, AlignmentError, r"1 outputs, 23 labels"),
    "ragged": ({}, {"outputs": [[1.0], [1.0, 2.0]]}, ContentError, r"outputs of different lengths"),
    "score ragged": ({}, {"outputs": X, "scores": {"s": [[1], [1, 2]]}}, ContentError, r"'s' of different lengths"),
    "label huge": ({}, {"labels": Y.astype(np.uint64) + np.uint64(2**63)}, ContentError, r"below 2\*\*63"),
    "sum": ({"kind": "probabilities"}, {"outputs": OFF}, ContentError, r"row 5 sums to 1\.05.* classes of the softmax"),
    "negative": ({"kind": "probabilities"}, {"outputs": BELOW}, ContentError, r"row 5 has a negative value, -0\.01"),
    "score nan": ({}, {"outputs": X, "scores": {"s": with_value(np.nan)[:, 2]}}, ContentError, r"'s': nan in row 7"),
    "score short": ({}, {"outputs": X, "scores": {"s": X[:-1, 0]}}, AlignmentError, r"'s': \[22\] values for 23"),
    "score text": ({}, {"outputs": X, "scores": {"s": IDS}}, ContentError, r"'s' is <U3; expected numbers"),
    "score large": ({}, {"outputs": X, "scores": {"s": [1e300] * N}}, ContentError, r"'s': inf in row 0"),
    "cost below": ({}, {"outputs": X, "unit_costs": {"usd": X[:, 0]}}, ContentError, r"'usd'.* at least 0"),
    "cost nan": ({}, {"outputs": X, "unit_costs": {"usd": [np.nan] * N}}, ContentError, r"'usd': nan in row 0"),
    "grade": ({"kind": "answers"}, {"answers": IDS, "quality": GRADES + 1}, ContentError, r"1\.5 .* at most 1"),
    "grade of logits": ({}, {"outputs": X, "quality": GRADES}, ContentError, r"belongs to answers"),
    "no answer": ({"kind": "answers"}, {"answers": [*IDS[:-1], None]}, ContentError, r"answer None in row 22"),
    "long answer": ({"kind": "answers"}, {"answers": [*IDS[:-1], "x" * 10_001]}, ContentError, r"10,001 characters"),
    "meta": ({"meta": {"a": {1, 2}}}, {"outputs": X}, StoreError, r"card is no JSON.*set"),
    "meta nan": ({"meta": {"a": float("nan")}}, {"outputs": X}, StoreError, r"card is no JSON"),
    "dtype": ({}, {"outputs": X, "dtype": "int8"}, UsageError, r"'int8'.* float32 or float16"),
    "empty": ({}, {"labels": Y[:0], "outputs": X[:0], "unit_ids": []}, ContentError, r"no units"),
}
GIVEN = {"unit_ids": IDS, "labels": Y}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused_and_nothing_is_written(case, store):
    fields, arguments, error, message = REFUSED[case]
    default = {} if {"outputs", "answers"} & set(arguments) or case == "nothing" else {"outputs": X}
    arguments = {**GIVEN, **default, **arguments}
    with pytest.raises(error, match=message) as first:
        store.add(card("bad/0", **fields), "val", **arguments)
    assert "bad/0" in str(first.value)
    assert not store.files.exists()
    store.add(card(), "val", labels=Y, outputs=X, unit_ids=IDS)
    before = tree(store)
    with pytest.raises(error):
        store.add(card("bad/0", **fields), "val", **arguments)
    with pytest.raises(WiseCommitteeError):
        store.add(card("a/0", **fields), "val", replace=True, **arguments)
    assert tree(store) == before


SIBLINGS = {
    "classes": ({}, {"outputs": X[:, :3], "labels": Y % 3}, ContentError, r"3 classes, a/0 in val has 4"),
    "other classes": ({}, {"outputs": np.hstack([X, X])}, ContentError, r"b/0 in val: 8 classes, a/0 in val has 4"),
    "missing unit": ({}, {"outputs": X[1:], "labels": Y[1:], "unit_ids": IDS[1:]}, AlignmentError, r"missing: 'u00'"),
    "foreign unit": ({}, {"unit_ids": [*IDS[:-1], "z"]}, AlignmentError, r"'z' is not one of the split's 23 units"),
    "other label": ({}, {"labels": (Y + 1) % C}, AlignmentError, r"has label \d, the split says \d \(23 in all"),
    "same replica": ({"architecture": "a", "replica": 0}, {}, StoreError, r"a/0 is architecture 'a' replica 0 already"),
}


@pytest.mark.parametrize("case", SIBLINGS)
def test_a_model_has_to_fit_its_siblings(case, filled):
    fields, arguments, error, message = SIBLINGS[case]
    before = tree(filled)
    arguments = {"outputs": X, **GIVEN, **arguments}
    with pytest.raises(error, match=message) as caught:
        filled.add(card("b/0", **fields), "val", **arguments)
    assert "b/0" in str(caught.value)
    assert tree(filled) == before
    # The streamed writer reaches the same verdict, and the model never exists.
    outputs = arguments["outputs"]

    def stream() -> None:
        with filled.writer(card("b/0", **fields), "val", classes=outputs.shape[1]) as writer:
            writer.append(arguments["unit_ids"], arguments["labels"], outputs)
            writer.commit()

    with pytest.raises(error, match=message):
        stream()
    assert {name: data for name, data in tree(filled).items() if "b%2F0" not in name} == before
    assert filled.models("val") == ("a/0",)


def test_rows_in_other_splits_are_free(filled):
    assert filled.add(card(), "test", labels=(Y[:5] + 1) % C, outputs=X[:5], unit_ids=IDS[:5]) == "added"
    assert filled.splits() == ("test", "val")


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ((IDS[5:8], Y[5:8], with_value(np.nan, 6)[5:8]), "nan in row 6"),
        ((IDS[5:8], Y[5:8], X[5:8, :3]), "3 classes; expected 4"),
        ((IDS[5:8], Y[5:7], X[5:8]), "3 rows with 2 labels"),
        ((IDS[5:8], Y[5:8], X[5:7]), "2 outputs for 3 units"),
        ((IDS[3:6], Y[3:6], X[3:6]), "'u03' stands more than once"),
        ((["p", "p"], Y[:2], X[:2]), "'p' stands more than once"),
        ((IDS[5:6], [C], X[5:6]), "label 4"),
        ((IDS[5:8], Y[5:8], None), "either outputs or answers"),
    ],
)
def test_a_bad_batch_ends_the_stream(store, batch, message):
    with store.writer(card(), "val", classes=C) as writer:
        writer.append(IDS[:5], Y[:5], X[:5])
        with pytest.raises(WiseCommitteeError, match=message):
            writer.append(*batch)
    assert (store.models("val"), store.splits()) == ((), ())
    with store.writer(card(), "val", classes=C, identity="new") as writer:
        assert writer.rows_done == 0
        writer.append(IDS, Y, X)
        writer.commit()
    assert np.array_equal(store.outputs("a/0", "val"), X)


def test_rows_of_an_unknown_run_are_not_continued(store):
    for identity, done in ((None, 0), (None, 0), ("x", 0), ("x", 20), ("y", 0)):
        with store.writer(card(), "val", classes=C, identity=identity) as writer:
            assert writer.rows_done == done
            writer.append(IDS[done:], Y[done:], X[done:])


def test_files_are_replaced_and_never_written_in_place(tmp_path):
    place = open_files(tmp_path)
    place.write("a/b", b"one")
    first = (tmp_path / "a/b").open("rb")
    place.write("a/b", b"two")
    with first:
        assert first.read() == b"one"
    assert (tmp_path / "a/b").read_bytes() == b"two"
    assert os.listdir(tmp_path / "a") == ["b"]


def test_columns_have_to_be_the_same_in_every_batch(store):
    with store.writer(card(), "val", classes=C) as writer:
        writer.append(IDS[:5], Y[:5], X[:5], scores={"s": Y[:5]})
        with pytest.raises(ContentError, match="expected the same"):
            writer.append(IDS[5:], Y[5:], X[5:])
    with store.writer(card("b"), "val", classes=C) as writer, pytest.raises(StoreError, match="no rows"):
        writer.commit()
    with pytest.raises(ContentError, match="rank -1"):
        store.writer(card(), "val", classes=C, rank=-1)


def test_probabilities_may_miss_one_a_little(store):
    some = P.copy()
    some[3] *= 1.0009
    some[4] = [1, 0, 0, 0]
    store.add(card(kind="probabilities"), "val", labels=Y, outputs=some)
    store.add(card("b", kind="probabilities"), "val", labels=Y, outputs=P, dtype="float16")
    assert store.verify() == []


def test_logits_that_look_like_probabilities_are_stored_with_a_warning(store):
    with pytest.warns(UserWarning, match="a/0 in val: declared as logits.*--probabilities"):
        store.add(card(), "val", labels=Y, outputs=P)
    almost = P.copy()
    almost[-1] = [1, 1, 0, 0]
    store.add(card("b"), "val", labels=Y, outputs=almost)  # one row that does not: no warning
    assert store.models("val") == ("a/0", "b")


@pytest.mark.parametrize("blocks", [{"a": -1}, {"a": 0}, {"a": float("nan")}, {"a": float("inf")}, {"a": "5"}])
def test_costs_are_positive_numbers(blocks):
    with pytest.raises(CostError, match="number above 0"):
        card(blocks=blocks)


@given(st.integers(2, 9), st.integers(1, 40), st.data())
@settings(max_examples=60, deadline=None)
def test_the_gate_finds_a_bad_value_wherever_it_is(classes, rows, data):
    x = np.random.default_rng(rows).normal(size=(rows, classes)).astype(np.float32)
    checks.check_outputs(x, "logits", "m")
    row, column = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, classes - 1))
    x[row, column] = data.draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    with pytest.raises(ContentError, match=f"in row {row}, class {column}"):
        checks.check_outputs(x, "logits", "m")


# Names


@pytest.mark.parametrize("split", ["", ".", "..", ".hidden", "a/b", "../val", "/etc", "a b", "a%2F", "é", "a\0"])
def test_split_names_stay_inside_the_store(filled, split):
    for action in (
        lambda: filled.add(card(), split, labels=Y, outputs=X),
        lambda: filled.writer(card(), split, classes=C),
        lambda: filled.read_card(split, "a/0"),
        lambda: filled.models(split),
        lambda: filled.labels(split),
        lambda: filled.outputs("a/0", split),
        lambda: filled.require_split(split),
        lambda: filled.update_card(split, card(), lambda c: c),
    ):
        with pytest.raises(UsageError, match="plain name"):
            action()
    if split:
        with pytest.raises(UsageError, match="plain name"):
            filled.remove("a/0", split)


@pytest.mark.parametrize("model", ["../../x", "a/../b", "/etc/passwd", "model=a", "ü b", "a%2Fb", "a\\b", "x:y@z"])
def test_model_names_stay_inside_the_split(store, model):
    store.add(card(model), "val", labels=Y, outputs=X)
    assert {Path(name).parts[0] for name in tree(store)} == {"val"}
    assert all(len(Path(name).parts) == 3 for name in tree(store) if "units" not in name)
    assert store.models("val") == (model,)
    assert np.array_equal(LogitStore(store.files.uri).outputs(model, "val"), X)
    assert store.remove(model) == ("val",)


def test_a_name_no_folder_can_hold(store):
    with pytest.raises(StoreError, match="shorter name"):
        store.add(card("漢" * 60), "val", labels=Y, outputs=X)
    assert not store.files.exists()


def test_folders_that_are_no_model(filled):
    for name in ("model=a b", "model=", "notes", "model=%2"):
        (filled.files.local / "val" / name).mkdir()
        (filled.files.local / "val" / name / "card.json").write_text("{}")
    (filled.files.local / "a b").mkdir()
    (filled.files.local / ".staging").mkdir()
    assert filled.models("val") == ("a/0",)
    assert filled.splits() == ("val",)
    assert len(filled.verify()) == 3

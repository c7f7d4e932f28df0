"""The store against what pyarrow, hashlib and numpy say of the same files and arrays."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import hashlib
import itertools
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wisecommittee.committees.cards import ModelCard
from wisecommittee.errors import (
    AbsentNameError,
    AlignmentError,
    BusyError,
    ContentError,
    CostError,
    StoreError,
    UsageError,
    WiseCommitteeError,
)
from wisecommittee.store import LogitStore, cache, checks
from wisecommittee.store.parquet import parts
from wisecommittee.store.storage import files
from wisecommittee.store.writer import Plan, Writer

N, C = 23, 4
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, C)).astype(np.float32)
Y = RNG.integers(0, C, N)
IDS = [f"u{i:02d}" for i in range(N)]


def card(model: str = "a/0", **fields) -> ModelCard:
    return ModelCard(model, **{"blocks": {model: 10}, **fields})


@pytest.fixture(autouse=True)
def small_groups(monkeypatch, tmp_path):
    """Several row groups and parts in a few rows; a cache of its own."""
    monkeypatch.setattr(parts, "ROW_GROUP", 5)
    monkeypatch.setenv("WISECOMMITTEE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def store(tmp_path) -> LogitStore:
    return LogitStore(tmp_path / "logits")


@pytest.fixture
def filled(store) -> LogitStore:
    store.add(card(), "val", labels=Y, outputs=X, unit_ids=IDS)
    return store


def tree(store: LogitStore) -> dict[str, bytes]:
    """Every file of a store and its bytes."""
    root = store.files.local
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def folder(store: LogitStore, model: str = "a/0", split: str = "val") -> Path:
    return store.files.local / split / f"model={quote(model, safe='')}"


def part_paths(store: LogitStore, model: str = "a/0") -> list[Path]:
    return sorted(folder(store, model).glob("part-*.parquet"))


def is_mapped(array: np.ndarray) -> bool:
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    return isinstance(base.obj if isinstance(base, memoryview) else base, pa.Buffer)


def naive_content(ids, *columns) -> str:
    """The definition: a sum of hashes of the rows."""
    total = 0
    for i, unit in enumerate(ids):
        row = b"".join(np.asarray(c[i]).astype(t).tobytes() for c, t in columns)
        total += int.from_bytes(hashlib.blake2b(unit.encode() + b"\0" + row, digest_size=32).digest(), "little")
    return f"{total % 2**256:064x}"


# The files


def test_the_files_are_what_the_contract_says(filled):
    root = filled.files.local
    assert sorted(tree(filled)) == [
        "val/model=a%2F0/card.json",
        "val/model=a%2F0/part-0-0.parquet",
        "val/model=a%2F0/part-0-1.parquet",
        "val/units.parquet",
    ]
    units = pq.read_table(root / "val/units.parquet")
    assert units.column_names == ["unit_id", "label"]
    assert units["unit_id"].to_pylist() == IDS
    assert units["label"].to_pylist() == Y.tolist()
    described = json.loads((folder(filled) / "card.json").read_text())["contents"]
    assert described["content"] == naive_content(IDS, (X, "<f4"))
    seen_ids, seen = [], []
    for path, part in zip(part_paths(filled), described["parts"], strict=True):
        assert part["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        file = pq.ParquetFile(path)
        assert file.metadata.num_rows == part["rows"]
        kind = file.schema_arrow.field("outputs").type
        assert kind == pa.list_(pa.field("element", pa.float32(), nullable=False), C)
        column = file.metadata.row_group(0).column(1)
        assert "BYTE_STREAM_SPLIT" in column.encodings
        assert column.compression == "ZSTD"
        assert max(file.metadata.row_group(g).num_rows for g in range(file.num_row_groups)) <= parts.ROW_GROUP
        table = file.read()
        seen_ids += table["unit_id"].to_pylist()
        seen += table["outputs"].to_pylist()
    assert seen_ids == IDS
    assert np.array_equal(np.array(seen, np.float32), X)


def test_what_is_read_is_what_was_given(filled):
    outputs = filled.outputs("a/0", "val")
    assert outputs.dtype == np.float32
    assert np.array_equal(outputs, X)
    assert not outputs.flags.writeable
    assert is_mapped(outputs)
    assert filled.unit_ids("val") == IDS
    assert np.array_equal(filled.labels("val"), Y)
    assert not filled.labels("val").flags.writeable
    assert filled.verify() == []
    assert filled.splits() == ("val",)
    assert filled.models("val") == ("a/0",)


def test_default_unit_ids_and_the_other_columns(store):
    score, usd = RNG.normal(size=N).astype(np.float32), RNG.random(N)
    store.add(card(), "val", labels=Y, outputs=X, scores={"halt.at": score}, unit_costs={"usd": usd})
    assert store.unit_ids("val") == [str(i) for i in range(N)]
    assert np.array_equal(store.scores("a/0", "val", "halt.at"), score)
    assert np.array_equal(store.unit_costs("a/0", "val", "usd"), usd)
    contents = store.card("a/0", "val").contents
    assert (contents.scores, contents.unit_costs) == (("halt.at",), ("usd",))
    ids = [str(i) for i in range(N)]
    assert contents.content == naive_content(ids, (X, "<f4"), (score, "<f4"), (usd, "<f8"))
    assert store.verify() == []
    for ask in (lambda: store.scores("a/0", "val", "halt"), lambda: store.unit_costs("a/0", "val", "eur")):
        with pytest.raises(AbsentNameError, match=r"halt\.at|usd"):
            ask()
    with pytest.raises(StoreError, match="not answers"):
        store.answers("a/0", "val")
    with pytest.raises(StoreError, match="no graded score"):
        store.quality("a/0", "val")


def test_answers(store):
    said = [f"antwort é {i % 3}" for i in range(N)]
    truth = [f"antwort é {i % 2}" for i in range(N)]
    grade = np.linspace(0, 1, N)
    gpt = card("gpt", kind="answers", blocks={})
    columns = {"scores": {"confidence": grade}, "unit_costs": {"usd": grade}}
    store.add(gpt, "val", labels=truth, answers=said, quality=grade, unit_ids=IDS, **columns)
    order = RNG.permutation(N)
    mixed = {"answers": [said[i] for i in order], "quality": grade[order], "unit_ids": [IDS[i] for i in order]}
    other = card("other", kind="answers", blocks={})
    store.add(other, "val", labels=[truth[i] for i in order], scores={"c": grade}, **mixed)
    for model in ("gpt", "other"):
        assert store.answers(model, "val").tolist() == said
        assert np.array_equal(store.quality(model, "val"), grade.astype(np.float32))
    assert store.labels("val").tolist() == truth
    assert store.verify() == []
    with pytest.raises(StoreError, match="holds answers"):
        store.outputs("gpt", "val")
    with pytest.raises(ContentError, match="graded and ungraded"):
        store.add(card("x", kind="answers"), "val", labels=truth, answers=said, unit_ids=IDS)
    with pytest.raises(ContentError, match="answer the same question"):
        store.add(card("x"), "val", labels=Y, outputs=X)


def test_float16_on_request(store):
    store.add(card(), "val", labels=Y, outputs=X, dtype="float16")
    assert np.array_equal(store.outputs("a/0", "val"), X.astype(np.float16))
    assert store.outputs("a/0", "val").dtype == np.float16  # half the memory too
    assert is_mapped(store.outputs("a/0", "val"))
    file = pq.ParquetFile(part_paths(store)[0])
    assert file.schema_arrow.field("outputs").type.value_type == pa.float16()
    assert "BYTE_STREAM_SPLIT" not in file.metadata.row_group(0).column(1).encodings
    assert store.verify() == []
    assert store.add(card(), "val", labels=Y, outputs=X, dtype="float16") == "unchanged"
    with pytest.raises(StoreError, match="--replace"):
        store.add(card(), "val", labels=Y, outputs=X)
    with pytest.raises(UsageError, match="float64"):
        store.add(card("b"), "val", labels=Y, outputs=X, dtype="float64")


@pytest.mark.parametrize("change", [np.asfortranarray, lambda x: x.astype(np.float64), lambda x: x.astype(">f4")])
def test_any_layout_of_the_same_numbers_is_the_same_content(store, change):
    store.add(card(), "val", labels=Y, outputs=X)
    assert store.add(card(), "val", labels=Y.astype(np.uint8), outputs=change(X)) == "unchanged"
    store.add(card("b"), "val", labels=Y.astype(float), outputs=change(X))
    assert store.card("b", "val").contents.content == store.card("a/0", "val").contents.content
    assert np.array_equal(store.outputs("b", "val"), X)


def test_many_classes_make_shorter_row_groups(monkeypatch):
    assert parts.row_group_rows(None) == parts.row_group_rows(4) == 5
    monkeypatch.setattr(parts, "ROW_GROUP", 5_000)
    assert parts.row_group_rows(1_000) == 5_000
    assert parts.row_group_rows(50_257) * 50_257 * 4 <= 256 << 20
    assert parts.row_group_rows(1 << 30) == 1


# Any order, any batches


@st.composite
def writings(draw):
    """Rows in some order, cut into batches, parts and row groups."""
    n = draw(st.integers(1, 17))
    order = draw(st.permutations(range(n)))
    cuts = sorted(draw(st.lists(st.integers(0, n), max_size=5)))
    return n, order, [0, *cuts, n], draw(st.integers(1, 7)), draw(st.integers(1, 7))


@given(writings(), st.sampled_from(["float32", "float16"]))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_neither_order_nor_batches_nor_parts_matter(monkeypatch, writing, dtype):
    n, order, cuts, rows_per_part, row_group = writing
    monkeypatch.setattr(parts, "ROW_GROUP", row_group)
    with tempfile.TemporaryDirectory() as root:
        monkeypatch.setenv("WISECOMMITTEE_CACHE", f"{root}/cache")
        store = LogitStore(f"{root}/logits")
        store.add(card(), "val", labels=Y[:n], outputs=X[:n], unit_ids=IDS[:n], dtype=dtype, scores={"s": X[:n, 0]})
        options = {"classes": C, "dtype": dtype, "rows_per_part": rows_per_part}
        with store.writer(card("b"), "val", **options) as writer:
            for start, stop in itertools.pairwise(cuts):
                rows = np.array(order[start:stop], dtype=int)
                batch, score = X[rows], X[rows, 0]
                writer.append([IDS[i] for i in rows], Y[rows], batch, scores={"s": score})
                batch[:], score[:] = 99, 99  # a loop may reuse its buffers
            written = writer.commit()
        assert [part.rows for part in written.contents.parts[:-1]] == [rows_per_part] * (-(-n // rows_per_part) - 1)
        stored = X[:n].astype(dtype).astype(np.float32)
        assert written.contents.content == naive_content(IDS[:n], (stored, "<f4"), (X[:n, 0], "<f4"))
        for model in ("a/0", "b"):
            assert store.card(model, "val").contents.content == written.contents.content
            assert np.array_equal(store.outputs(model, "val"), stored)
            assert np.array_equal(store.scores(model, "val", "s"), X[:n, 0])
        assert store.verify() == []


def test_the_first_model_fixes_the_order_and_the_labels(store):
    order = RNG.permutation(N)
    store.add(card(), "val", labels=Y[order], outputs=X[order], unit_ids=[IDS[i] for i in order])
    store.add(card("b"), "val", labels=Y, outputs=X, unit_ids=IDS)
    assert store.unit_ids("val") == [IDS[i] for i in order]
    for model in ("a/0", "b"):
        assert np.array_equal(store.outputs(model, "val"), X[order])
    assert np.array_equal(store.labels("val"), Y[order])


# Adding again


def test_equal_content_is_a_no_op_and_other_content_needs_replace(filled):
    meta = {"tuple": (1, 2), "nested": {"a": [None, True]}}
    assert filled.add(card(meta=meta), "val", labels=Y, outputs=X, unit_ids=IDS) == "card updated"
    before = tree(filled)
    order = RNG.permutation(N)
    shuffled = {"labels": Y[order], "outputs": X[order], "unit_ids": [IDS[i] for i in order]}
    assert filled.add(card(meta=meta), "val", **shuffled) == "unchanged"
    assert tree(filled) == before
    with pytest.raises(StoreError, match="a/0 is in val already with other content; use --replace"):
        filled.add(card(meta=meta), "val", labels=Y, outputs=X + 1, unit_ids=IDS)
    with pytest.raises(StoreError, match="--replace"), filled.writer(card(), "val", classes=C):
        pass
    assert tree(filled) == before
    assert np.array_equal(filled.outputs("a/0", "val"), X)
    assert filled.add(card(), "val", labels=Y, outputs=X + 1, unit_ids=IDS, replace=True) == "replaced"
    assert np.array_equal(filled.outputs("a/0", "val"), X + 1)
    assert filled.verify() == []
    assert [p.name for p in part_paths(filled)] == ["part-0-2.parquet", "part-0-3.parquet"]  # parts are immutable


def test_a_cost_updates_the_card_only(filled):
    files = {name: data for name, data in tree(filled).items() if not name.endswith("card.json")}
    changed = card(costs={"latency_ms": 2.5})
    assert filled.add(changed, "val", labels=Y, outputs=X, unit_ids=IDS) == "card updated"
    assert filled.card("a/0", "val").costs == {"latency_ms": 2.5}
    assert {name: data for name, data in tree(filled).items() if not name.endswith("card.json")} == files


def test_replacing_may_change_classes_and_dtype_of_the_only_model(filled):
    wide = np.hstack([X, X])
    filled.add(card(), "val", labels=Y, outputs=wide, unit_ids=IDS, dtype="float16", replace=True)
    assert filled.outputs("a/0", "val").shape == (N, 2 * C)
    assert filled.verify() == []


# What is refused


def with_value(value, row=7, column=2):
    changed = X.astype(np.float64) if isinstance(value, float) and 1e39 < abs(value) < np.inf else X.copy()
    changed[row, column] = value
    return changed


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
    place = files.open_files(tmp_path)
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


# Cards


def with_checksum(data: dict) -> bytes:
    """A card that vouches for itself: the sha256 of all else it says, by name."""
    data.pop("checksum", None)
    return json.dumps(
        {**data, "checksum": hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()}
    ).encode()


def edited(change) -> bytes:
    def edit(text: bytes) -> bytes:
        data = json.loads(text)
        change(data)
        return with_checksum(data)

    return edit


CARDS = {
    "not JSON": lambda text: b"no",
    "cut": lambda text: text[:-20],
    "empty": lambda text: b"",
    "binary": lambda text: b"\xff\xfe\x00",
    "deep": lambda text: b"[" * 100_000,
    "deep meta": edited(lambda d: d.update(meta=json.loads('{"a":' * 900 + "1" + "}" * 900))),
    "huge": lambda text: text + b" " * (17 << 20),
    "a list": lambda text: b"[]",
    "version": edited(lambda d: d.update(version=2)),
    "no version": edited(lambda d: d.pop("version")),
    "unknown field": edited(lambda d: d.update(surprise=1)),
    "unknown content": edited(lambda d: d["contents"].update(surprise=1)),
    "no contents": edited(lambda d: d.pop("contents")),
    "contents": edited(lambda d: d.update(contents=[1])),
    "other model": edited(lambda d: d.update(model="b/0")),
    "negative cost": edited(lambda d: d.update(blocks={"a": -3})),
    "NaN": lambda text: text.replace(b'"a/0": 10', b'"a/0": NaN'),
    "text cost": edited(lambda d: d.update(costs={"usd": "1"})),
    "kind": edited(lambda d: d.update(kind="guesses")),
    "answers": edited(lambda d: d.update(kind="answers")),
    "replica": edited(lambda d: d.update(replica=-1)),
    "replica text": edited(lambda d: d.update(replica="0")),
    "size": edited(lambda d: d.update(input_size="32")),
    "rows": edited(lambda d: d["contents"].update(rows=7)),
    "rows text": edited(lambda d: d["contents"].update(rows="23")),
    "rows infinite": lambda text: text.replace(b'"rows": 23', b'"rows": 1e999'),
    "rows huge": edited(lambda d: d["contents"].update(rows=10**30)),
    "classes": edited(lambda d: d["contents"].update(classes=-4)),
    "no classes": edited(lambda d: d["contents"].update(classes=None)),
    "dtype": edited(lambda d: d["contents"].update(dtype="object")),
    "content": edited(lambda d: d["contents"].update(content="../../x")),
    "scores": edited(lambda d: d["contents"].update(scores="ab")),
    "no parts": edited(lambda d: d["contents"].update(parts=[], rows=0)),
    "parts": edited(lambda d: d["contents"].update(parts="part-0-0.parquet")),
    "part type": edited(lambda d: d["contents"]["parts"].__setitem__(0, 5)),
    "part twice": edited(lambda d: d["contents"].update(parts=[d["contents"]["parts"][0]] * 2, rows=40)),
    "part field": edited(lambda d: d["contents"]["parts"][0].update(more=1)),
    "part missing field": edited(lambda d: d["contents"]["parts"][0].pop("sha256")),
    "traversal": edited(lambda d: d["contents"]["parts"][0].update(file="../../../../etc/passwd")),
    "absolute": edited(lambda d: d["contents"]["parts"][0].update(file="/etc/passwd")),
    "nested": edited(lambda d: d["contents"]["parts"][0].update(file="../model=b/part-0-0.parquet")),
}


@pytest.mark.parametrize("case", CARDS)
def test_a_card_that_no_store_wrote(case, filled):
    path = folder(filled) / "card.json"
    path.write_bytes(CARDS[case](path.read_bytes()))
    before = tree(filled)
    for action in (filled.card, filled.outputs):
        with pytest.raises(StoreError, match=r"card\.json: .*(no store writes|a/0)") as caught:
            action("a/0", "val")
        assert len(str(caught.value)) < 1_000
    with pytest.raises(StoreError, match=r"card\.json"):
        filled.add(card("b"), "val", labels=Y, outputs=X, unit_ids=IDS)
    with pytest.raises(StoreError, match=r"--replace|no store writes that, restore it"):
        filled.add(card(), "val", labels=Y, outputs=X, unit_ids=IDS)
    assert len(filled.verify()) == 1
    assert tree(filled) == before
    assert filled.add(card(), "val", labels=Y, outputs=X, unit_ids=IDS, replace=True) == "added"
    assert filled.verify() == []
    assert np.array_equal(filled.outputs("a/0", "val"), X)


def test_a_broken_model_can_be_removed(filled):
    filled.add(card("b"), "val", labels=Y, outputs=X, unit_ids=IDS)
    (folder(filled) / "card.json").write_text("?")
    assert filled.remove("a/0") == ("val",)
    assert filled.verify() == []
    assert filled.models("val") == ("b",)


# Parts


def forge(store: LogitStore, data: bytes, model: str = "a/0", **contents) -> None:
    """Put a part into a model and let its card vouch for it."""
    for path in part_paths(store, model):
        path.unlink()
    (folder(store, model) / "part-0-0.parquet").write_bytes(data)
    path = folder(store, model) / "card.json"
    described = json.loads(path.read_text())
    rows = contents.get("rows", described["contents"]["rows"])
    part = {"file": "part-0-0.parquet", "rows": rows, "sha256": hashlib.sha256(data).hexdigest()}
    described["contents"].update(parts=[part], **contents)
    path.write_bytes(with_checksum(described))


def vectors(x: np.ndarray, kind: pa.DataType | None = None) -> pa.Array:
    kind = kind or pa.list_(pa.field("element", pa.float32(), nullable=False), x.shape[1])
    return pa.FixedSizeListArray.from_arrays(pa.array(x.reshape(-1)), type=kind)


def parquet(columns, **options) -> bytes:
    sink = pa.BufferOutputStream()
    table = columns if isinstance(columns, pa.Table) else pa.table(columns)
    pq.write_table(table, sink, **{"compression": "zstd", "use_dictionary": False, **options})
    return sink.getvalue().to_pybytes()


def nan_at(row: int) -> np.ndarray:
    return with_value(np.nan, row)


HOLES = pa.array([None if i == 3 else [0.0] * C for i in range(N)], pa.list_(pa.float32(), C))
GAPS = pa.array([[0.0, None, 0.0, 0.0]] * N, pa.list_(pa.float32(), C))
FORGED = {
    "not Parquet": (lambda: b"hello", "not a readable part"),
    "empty": (lambda: b"", "is missing|not a readable part"),
    "no ids": (lambda: parquet({"outputs": vectors(X)}), "expected unit_id and outputs"),
    "no outputs": (lambda: parquet({"unit_id": IDS}), "expected unit_id"),
    "more columns": (lambda: parquet({"unit_id": IDS, "outputs": vectors(X), "x": IDS}), "'x' is not one"),
    "a score more": (lambda: parquet({"unit_id": IDS, "outputs": vectors(X), "score_s": X[:, 0]}), "its card says"),
    "other classes": (
        lambda: parquet({"unit_id": IDS, "outputs": vectors(X[:, :3].copy())}),
        "3 classes; its card says 4",
    ),
    "plain lists": (lambda: parquet({"unit_id": IDS, "outputs": X.tolist()}), "fixed-size list"),
    "integers": (
        lambda: parquet({"unit_id": IDS, "outputs": vectors(X.astype(np.int32), pa.list_(pa.int32(), C))}),
        "fixed-size list",
    ),
    "text": (lambda: parquet({"unit_id": IDS, "outputs": IDS}), "fixed-size list"),
    "nested ids": (lambda: parquet({"unit_id": [[i] for i in IDS], "outputs": vectors(X)}), "text and numbers"),
    "missing rows": (lambda: parquet({"unit_id": IDS[1:], "outputs": vectors(X[1:])}), "22 rows; its card says 23"),
    "NaN": (lambda: parquet({"unit_id": IDS, "outputs": vectors(nan_at(7))}), "nan in row 7"),
    "null rows": (lambda: parquet({"unit_id": IDS, "outputs": HOLES}), "empty values|unpacks"),
    "null values": (lambda: parquet({"unit_id": IDS, "outputs": GAPS}), "empty values"),
    "null ids": (lambda: parquet({"unit_id": [None, *IDS[1:]], "outputs": vectors(X)}), "unit_id has 1 empty"),
    "foreign ids": (lambda: parquet({"unit_id": ["z", *IDS[1:]], "outputs": vectors(X)}), "'z' is not in the split"),
    "ids twice": (lambda: parquet({"unit_id": [IDS[1], *IDS[1:]], "outputs": vectors(X)}), "more than once"),
    "not UTF-8": (
        lambda: parquet({"unit_id": pa.array([b"\xff"] * N, pa.binary()), "outputs": vectors(X)}),
        "not a readable part",
    ),
}


@pytest.mark.parametrize("case", FORGED)
def test_a_part_that_no_store_wrote(case, filled):
    make, message = FORGED[case]
    forge(filled, make())
    with pytest.raises(StoreError, match=message) as caught:
        filled.outputs("a/0", "val")
    assert "a%2F0" in str(caught.value) or "a/0" in str(caught.value)
    assert filled.verify() == [str(caught.value)]


def test_other_parquet_of_the_same_rows_is_read(filled):
    """Other writers choose other encodings, compression and page versions."""
    for options in ({"use_dictionary": True}, {"data_page_version": "2.0"}, {"compression": "snappy"}, {}):
        data = parquet({"unit_id": pa.array(IDS, pa.large_string()), "outputs": vectors(X)}, **options)
        forge(filled, data)
        assert np.array_equal(filled.outputs("a/0", "val"), X)
        assert filled.verify() == []


@pytest.mark.parametrize(
    "edit", [lambda b: b[:-1], lambda b: b[:40], lambda b: b[:50] + b"x" + b[51:], lambda b: b + b"x"]
)
def test_parts_that_changed_or_went_away(filled, edit):
    path = part_paths(filled)[1]
    path.write_bytes(edit(path.read_bytes()))
    for _ in range(2):
        with pytest.raises(StoreError, match=r"part-0-1\.parquet changed since it was written.*--replace"):
            filled.outputs("a/0", "val")
        assert len(filled.verify()) == 1
    path.unlink()
    with pytest.raises(StoreError, match=r"part-0-1\.parquet is missing.*--replace"):
        filled.outputs("a/0", "val")
    assert filled.add(card(), "val", labels=Y, outputs=X, unit_ids=IDS, replace=True) == "replaced"
    assert np.array_equal(filled.outputs("a/0", "val"), X)


def test_values_other_than_the_content_hash_says(filled):
    forge(filled, parquet({"unit_id": IDS, "outputs": vectors(X + 1)}))
    assert np.array_equal(filled.outputs("a/0", "val"), X + 1)  # the card vouches for the bytes
    (problem,) = filled.verify()
    assert "a/0 in val: its values are not those" in problem


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_damaged_bytes_are_an_error_of_the_store_or_harmless(data):
    """Whatever page is flipped or file cut: the same rows or a StoreError, nothing else. Footers: test_store_footer."""
    rows = parts.Rows(IDS, X, scores={"s": X[:, 0].copy()})
    encoder = parts.Encoder()
    encoder.add(rows)
    raw = bytearray(encoder.close())
    for _ in range(data.draw(st.integers(1, 3))):
        footer = int.from_bytes(raw[-8:-4], "little") + 8
        raw[data.draw(st.integers(0, len(raw) - footer - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(raw[: data.draw(st.integers(0, len(raw)))]) if data.draw(st.booleans()) else bytes(raw)
    for read in (lambda: list(parts.decode(damaged, "w", C)), lambda: parts.decode_units(damaged, "w")):
        with contextlib.suppress(StoreError):
            read()


# Files that would fill the memory or run code

MILLION = "x" * (1 << 20)


def wide(classes: int) -> pa.Array:
    zeros = pa.array(np.zeros(classes * N, np.float32))
    return pa.FixedSizeListArray.from_arrays(zeros, type=pa.list_(pa.field("element", pa.float32(), False), classes))


def swollen() -> bytes:
    """A valid part, but the first page of its outputs claims to unpack to a megabyte."""
    raw = bytearray(parquet({"unit_id": IDS, "outputs": wide(200)}, use_dictionary=False))
    at = pq.read_metadata(pa.BufferReader(bytes(raw))).row_group(0).column(1).data_page_offset
    assert raw[at : at + 3] == b"\x15\x00\x15"  # page type 0, then the unpacked size
    assert raw[at + 3] & 0x80
    assert raw[at + 4] & 0x80
    raw[at + 3], raw[at + 4], raw[at + 5] = 0xFE, 0xFF, 0x7F
    return bytes(raw)


def shared_prefixes() -> bytes:
    texts = {"unit_id": [f"{MILLION}{i}" for i in range(300)], "label": [0] * 300}
    return parquet(texts, column_encoding={"unit_id": "DELTA_BYTE_ARRAY"}, data_page_size=1 << 30)


BOMBS = {
    "zeros": lambda: parquet({"unit_id": IDS, "outputs": wide(400_000)}),
    "ids": lambda: parquet({"unit_id": [MILLION] * 300, "outputs": wide(4)[:1].take([0] * 300)}),
    "ids in a dictionary": lambda: parquet(
        {"unit_id": [MILLION] * 300, "outputs": wide(4)[:1].take([0] * 300)},
        use_dictionary=True,
        dictionary_pagesize_limit=1 << 30,
    ),
    "ids by prefix": lambda: parquet(
        {"unit_id": [f"{MILLION}{i}" for i in range(300)], "outputs": wide(4)[:1].take([0] * 300)},
        column_encoding={"unit_id": "DELTA_BYTE_ARRAY"},
        data_page_size=1 << 30,
    ),
    "a lying page": swollen,
}


@pytest.mark.parametrize("case", BOMBS)
def test_small_files_that_unpack_to_much_are_refused_unopened(case, filled):
    data = BOMBS[case]()
    assert len(data) < 1 << 20
    forge(filled, data)
    with pytest.raises(StoreError, match=r"unpacks|its card says|characters|not a readable part"):
        filled.outputs("a/0", "val")
    assert len(filled.verify()) == 1


def test_the_peak_of_reading_a_bomb_is_small(filled, tmp_path):
    """In a process of its own, since the pool remembers its peak for ever."""
    code = """if True:
        import sys, pyarrow as pa
        from wisecommittee.errors import StoreError
        from wisecommittee.store.parquet import parts
        for path in sys.argv[1:]:
            data = open(path, "rb").read()
            try:
                parts.decode_units(data, "w") if "units" in path else list(parts.decode(data, "w", 4))
            except StoreError as error:
                print(error)
        print(pa.default_memory_pool().max_memory())
    """
    names = []
    for i, (name, make) in enumerate({**BOMBS, "units": shared_prefixes}.items()):
        names.append(tmp_path / f"{'units' if name == 'units' else 'part'}-{i}")
        names[-1].write_bytes(make())
    done = subprocess.run([sys.executable, "-c", code, *names], capture_output=True, text=True, check=True)
    *refusals, peak = done.stdout.splitlines()
    assert len(refusals) == len(names)
    assert sum("encoding 7" in refusal for refusal in refusals) == 2
    assert int(peak) < 16 << 20


@pytest.mark.parametrize("classes", [10**6, 10**12])
def test_a_card_that_promises_too_much_allocates_nothing(filled, classes, monkeypatch):
    monkeypatch.setattr(os, "posix_fallocate", lambda *_: pytest.fail("made room"))
    forge(filled, parquet({"unit_id": IDS, "outputs": vectors(X)}), classes=classes)
    with pytest.raises(StoreError, match=rf"4 classes; its card says {classes}|bytes that unpack to [\d,.]+ GB"):
        filled.outputs("a/0", "val")
    assert not list(cache.cache_folder().glob("*"))


def stored_twice(store: LogitStore, columns: dict, rows: int, classes: int) -> None:
    """A store that vouches for itself: units of so many rows, and one part of these columns."""
    ids = np.char.mod("%d", np.arange(rows)).tolist()
    units = {"unit_id": ids, "label": np.zeros(rows, np.int64)}
    (store.files.local / "val/units.parquet").write_bytes(parquet(units, row_group_size=5_000))
    forge(store, parquet({"unit_id": ids, **columns}, row_group_size=5_000), rows=rows, classes=classes,
          units=units_hash(ids, units["label"]))  # fmt: skip


def test_a_store_of_few_bytes_that_would_take_gigabytes_is_refused(filled, monkeypatch):
    rows, classes = 12_000, 500
    zeros = pa.array(np.zeros(rows * classes, np.float32))
    kind = pa.list_(pa.field("element", pa.float32(), False), classes)
    stored_twice(filled, {"outputs": pa.FixedSizeListArray.from_arrays(zeros, type=kind)}, rows, classes)
    size = part_paths(filled)[0].stat().st_size
    refused = pytest.raises(ContentError, match=r"a/0 in val: [\d,]+ bytes that unpack to 0\.0 GB; .* remove the model")
    with monkeypatch.context() as patch, refused:
        patch.setattr(os, "posix_fallocate", lambda *_: pytest.fail("made room"))
        patch.setattr(parts, "ANY_SIZE", 1 << 20)
        patch.setattr(parts, "MOST_UNPACKED", 24_000_000 // size - 1)
        assert len(filled.verify()) == 1
        filled.outputs("a/0", "val")
    assert filled.outputs("a/0", "val").shape == (rows, classes)


def test_what_cannot_be_read_is_not_written(store, monkeypatch):
    monkeypatch.setattr(parts, "ANY_SIZE", 1 << 20)
    monkeypatch.setattr(parts, "ROW_GROUP", 5_000)
    with pytest.raises(ContentError, match=r"a/0 in val: .* bytes that unpack to"):
        store.add(card(), "val", labels=np.zeros(3_000, int), outputs=np.zeros((3_000, 5_000), np.float32))
    assert store.models("val") == ()


def test_more_rows_than_bytes_can_name_are_refused(filled, monkeypatch):
    """Numbers that count up take no bytes at all in a file."""
    monkeypatch.setattr(parts, "ANY_UNITS", 1_000)
    rows = 200_000
    units = {"unit_id": np.arange(rows), "label": np.zeros(rows, np.int64)}
    data = parquet(units, column_encoding={"unit_id": "DELTA_BINARY_PACKED"}, row_group_size=rows)
    assert len(data) < rows // parts.UNITS_PER_BYTE
    (filled.files.local / "val/units.parquet").write_bytes(data)
    with pytest.raises(StoreError, match=r"200,000 rows in [\d,]+ bytes; expected [\d,]+ at most"):
        filled.labels("val")


class Trap:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (self.path,))


def test_nothing_is_unpickled(filled, tmp_path):
    payload = pickle.dumps(Trap(str(tmp_path / "sprung")))
    metadata = {"ARROW:extension:name": "arrow.py_extension_type", "ARROW:extension:metadata": payload}
    kind = pa.list_(pa.field("element", pa.float32(), nullable=False), C)
    schema = pa.schema([pa.field("unit_id", pa.string()), pa.field("outputs", kind, metadata=metadata)])
    forge(filled, parquet(pa.table([pa.array(IDS), vectors(X)], schema=schema)))
    with contextlib.suppress(StoreError):
        filled.outputs("a/0", "val")
    filled.verify()
    for path in cache.cache_folder().glob("*.npy"):
        np.save(path, np.array([Trap(str(tmp_path / "sprung"))], dtype=object), allow_pickle=True)
        with contextlib.suppress(StoreError):
            LogitStore(filled.files.uri).outputs("a/0", "val")
    (folder(filled) / "card.json").write_bytes(payload)
    with pytest.raises(StoreError, match="not JSON"):
        filled.card("a/0", "val")
    assert not (tmp_path / "sprung").exists()


# Units

UNITS = {
    "twice": (lambda: parquet({"unit_id": [IDS[1], *IDS[1:]], "label": Y}), "'u01' stands more than once"),
    "null id": (lambda: parquet({"unit_id": [None, *IDS[1:]], "label": Y}), "unit_id has 1 empty"),
    "null label": (lambda: parquet({"unit_id": IDS, "label": [None, *Y[1:].tolist()]}), "label has 1 empty"),
    "no label": (lambda: parquet({"unit_id": IDS}), "expected unit_id and label"),
    "float labels": (lambda: parquet({"unit_id": IDS, "label": Y + 0.5}), r"not what it was when a/0 was written"),
    "more": (lambda: parquet({"unit_id": IDS, "label": Y, "x": Y}), "'x' is not one"),
    "none": (lambda: parquet({"unit_id": pa.array([], pa.string()), "label": Y[:0]}), "no units"),
    "garbage": (lambda: b"PAR1 not", "not a readable list of units"),
    "fewer": (lambda: parquet({"unit_id": IDS[1:], "label": Y[1:]}), "a/0: 23 val units, the split has 22"),
    "others": (lambda: parquet({"unit_id": ["z", *IDS[1:]], "label": Y}), "not what it was when a/0 was written"),
    "another order": (lambda: parquet({"unit_id": IDS[::-1], "label": Y[::-1]}), "not what it was when a/0"),
    "another label": (lambda: parquet({"unit_id": IDS, "label": [(Y[0] + 1) % C, *Y[1:]]}), "not what it was when a/0"),
}


@pytest.mark.parametrize("case", UNITS)
def test_units_that_no_store_wrote(case, filled):
    make, message = UNITS[case]
    (filled.files.local / "val/units.parquet").write_bytes(make())
    problems = filled.verify()
    assert len(problems) == 1
    assert re.search(message, problems[0])
    for read in (
        filled.labels,
        lambda split: filled.outputs("a/0", split),
        lambda split: filled.scores("a/0", split, ""),
    ):
        with pytest.raises(StoreError, match=message):
            read("val")


def units_hash(ids, labels) -> str:
    """The definition: the lengths of the ids, the ids, the labels as 64-bit numbers."""
    lengths = b"".join(len(unit).to_bytes(4, "little") for unit in ids)
    numbers = b"".join(int(label).to_bytes(8, "little", signed=True) for label in labels)
    return hashlib.sha256(lengths + "".join(ids).encode() + numbers).hexdigest()


def test_a_card_records_the_hash_of_its_units(filled):
    described = json.loads((folder(filled) / "card.json").read_text())
    assert described["contents"]["units"] == units_hash(IDS, Y)


@pytest.mark.parametrize("label", [-1, C, 99, 1 << 40])
def test_labels_outside_the_classes_are_refused_by_every_reader_though_hashes_fit(label, filled):
    labels = [label, *Y[1:]]
    filled.outputs("a/0", "val")  # a warm cache is no way around
    (filled.files.local / "val/units.parquet").write_bytes(parquet({"unit_id": IDS, "label": labels}))
    path = folder(filled) / "card.json"
    edit = edited(lambda d: d["contents"].update(units=units_hash(IDS, labels)))
    path.write_bytes(edit(path.read_bytes()))
    for store in (filled, LogitStore(filled.files.uri)):
        for read in (store.labels, store.unit_ids, lambda split: filled.outputs("a/0", split)):
            with pytest.raises(ContentError, match=rf"label {label} of row 0 .* outside the 4 classes"):
                read("val")
        assert re.search("outside the 4 classes", store.verify()[0])


def test_any_bit_of_the_units_that_matters_is_found(filled):
    """Whatever bit is flipped: the same ids and labels, or an error."""
    path = filled.files.local / "val/units.parquet"
    raw = path.read_bytes()
    changed = 0
    for at in RNG.choice(8 * len(raw), 300, replace=False):
        data = bytearray(raw)
        data[at // 8] ^= 1 << at % 8
        path.write_bytes(data)
        store = LogitStore(filled.files.uri)
        try:
            assert store.unit_ids("val") == IDS
            assert np.array_equal(store.labels("val"), Y)
        except StoreError:
            changed += 1
            assert store.verify()
    assert changed > 100


def test_any_bit_of_a_card_that_matters_is_found(filled):
    path = folder(filled) / "card.json"
    filled.update_card("val", filled.card("a/0", "val"), lambda c: dataclasses.replace(c, costs={"usd": 0.25}))
    raw, known = path.read_bytes(), filled.card("a/0", "val")
    for at in range(0, 8 * len(raw), 3):
        data = bytearray(raw)
        data[at // 8] ^= 1 << at % 8
        path.write_bytes(data)
        with contextlib.suppress(StoreError):
            assert filled.card("a/0", "val") == known


def test_a_card_edited_by_hand_is_refused_and_the_remedy_is_named(filled):
    path = folder(filled) / "card.json"
    path.write_text(path.read_text().replace('"a/0": 10', '"a/0": 11'))
    for action in (filled.card, filled.outputs):
        with pytest.raises(
            StoreError, match=r"card\.json: its checksum differs.*undo an edit.*import --costs.*--replace"
        ):
            action("a/0", "val")
    assert len(filled.verify()) == 1
    path.write_text(path.read_text().replace('"a/0": 11', '"a/0": 10'))
    assert filled.verify() == []


@pytest.mark.parametrize("lacking", ["checksum", "units"])
def test_cards_without_hashes_are_refused_and_reported(lacking, filled):
    """Taking a hash away is no way to change what it covers."""
    path = folder(filled) / "card.json"
    data = json.loads(path.read_text())
    if lacking == "units":
        data["contents"].pop("units")
    data.pop("checksum")
    path.write_bytes(with_checksum(data) if lacking == "units" else json.dumps(data).encode())
    said = rf"card\.json: it has no {lacking if lacking == 'checksum' else 'hash of the units'}.*--replace"
    for action in (filled.card, filled.outputs):
        with pytest.raises(StoreError, match=said):
            action("a/0", "val")
    (problem,) = filled.verify()
    assert re.search(said, problem)
    filled.add(card(), "val", labels=Y, outputs=X, unit_ids=IDS, replace=True)
    assert filled.verify() == []


def test_units_written_with_other_options_are_read(filled):
    path = filled.files.local / "val/units.parquet"
    table = pq.read_table(path)
    for options in ({"use_dictionary": True}, {"compression": "snappy"}, {"data_page_version": "2.0"}):
        path.write_bytes(parquet(table, **options))
        fresh = LogitStore(filled.files.uri)
        assert fresh.unit_ids("val") == IDS
        assert np.array_equal(fresh.labels("val"), Y)


def test_units_that_are_missing(filled):
    (filled.files.local / "val/units.parquet").unlink()
    for action in (lambda: filled.labels("val"), lambda: filled.outputs("a/0", "val")):
        with pytest.raises(StoreError, match=r"units\.parquet is missing; restore it"):
            action()
    with pytest.raises(StoreError, match="is missing"):
        filled.add(card("b"), "val", labels=Y, outputs=X)
    assert len(filled.verify()) == 1


def test_a_split_that_changed_elsewhere_is_read_again(filled):
    assert np.array_equal(filled.labels("val"), Y)
    other = LogitStore(filled.files.uri)
    other.remove("a/0")
    os.utime(filled.files.local, ns=(0, 0))
    other.add(card(), "val", labels=(Y[:9] + 1) % C, outputs=X[:9], unit_ids=IDS[:9])
    assert np.array_equal(filled.labels("val"), (Y[:9] + 1) % C)
    assert np.array_equal(filled.outputs("a/0", "val"), X[:9])


# The cache


def cached_file() -> Path:
    (path,) = cache.cache_folder().glob("*.npy")
    return path


def swap_rows(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[-80:-72], raw[-88:-80] = raw[-88:-80], raw[-80:-72]
    path.write_bytes(bytes(raw))


def moved(raw: bytearray, start: int, stop: int, target: int) -> None:
    raw[target : target + stop - start], raw[start:stop] = raw[start:stop], raw[target : target + stop - start]


def in_the_values(change):
    """A change of the bytes between header and checksum."""

    def damage(path: Path) -> None:
        raw = path.read_bytes()
        start = len(raw) - X.nbytes - 64
        values = bytearray(raw[start:-64])
        change(values)
        assert values != raw[start:-64]
        path.write_bytes(raw[:start] + values + raw[-64:])

    return damage


def reverse_words(values: bytearray) -> None:
    values[:] = np.frombuffer(values, np.uint32)[::-1].tobytes()


DAMAGE = {
    "words": in_the_values(lambda raw: moved(raw, 0, 8, 64)),
    "half words": in_the_values(lambda raw: moved(raw, 4, 8, 16)),
    "rows": in_the_values(lambda raw: moved(raw, 0, 4 * C, 4 * C * 9)),
    "reversed": in_the_values(reverse_words),
    "garbage": lambda path: path.write_bytes(b"garbage"),
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-10]),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"x"),
    "a bit": lambda path: path.write_bytes(path.read_bytes()[:-100] + b"\x01" + path.read_bytes()[-99:]),
    "swapped": swap_rows,
    "zeros": lambda path: np.save(path, np.zeros((N, C), np.float32)),
    "other shape": lambda path: np.save(path, np.zeros((N, C + 1), np.float32)),
    "a zip": lambda path: path.write_bytes(b"PK\x03\x04" + path.read_bytes()[4:]),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
    "a link": lambda path: (path.rename(path.with_name("elsewhere")), path.symlink_to("elsewhere")),
    "a link to itself": lambda path: (path.unlink(), path.symlink_to(path.name)),
}


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.__setitem__(5, x[5] ^ 1),
        lambda x: x.__setitem__([3, 4], x[[4, 3]]),
        lambda x: x.__setitem__([3, 8192 * 300], x[[8192 * 300, 3]]),
        lambda x: x.__setitem__([3, 3 + 8192], x[[3 + 8192, 3]]),
        lambda x: x.__setitem__(slice(0, 8192), x[:8192][::-1].copy()),
        lambda x: x.__setitem__(slice(0, 16384), np.roll(x[:16384], 8192)),
        lambda x: x.__setitem__(slice(0, 8192), np.roll(x[:8192], 1)),
        lambda x: x.__setitem__([9, 17], x[[9, 17]] + np.array([1, 2**64 - 1], np.uint64)),
        lambda x: x.__setitem__([9, 9 + 8192], x[[9, 9 + 8192]] + np.array([1, 2**64 - 1], np.uint64)),
        lambda x: x.__setitem__(-1, x[-1] + np.uint64(1)),
    ],
)
def test_the_checksum_sees_what_is_moved_or_changed(change):
    """Words of 8 bytes, 8192 in a row, and some beyond the last whole row."""
    x = np.random.default_rng(3).integers(0, 1 << 63, 8192 * 301 + 7, np.uint64)
    before = cache._checksum("key", x)
    change(x)
    assert cache._checksum("key", x) != before


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_cache_file_is_not_believed(case, filled):
    assert np.array_equal(filled.outputs("a/0", "val"), X)
    DAMAGE[case](cached_file())
    assert np.array_equal(LogitStore(filled.files.uri).outputs("a/0", "val"), X)
    if case != "a folder":
        assert np.array_equal(np.load(cached_file()), X)  # repaired
        assert not cached_file().is_symlink()


def test_the_cache_is_used_and_shared_by_equal_stores(filled, tmp_path, monkeypatch):
    first = filled.outputs("a/0", "val")
    changed = cached_file().stat().st_mtime_ns
    copied = shutil.copytree(filled.files.local, tmp_path / "copy")
    monkeypatch.setattr(parts, "decode", lambda *_: pytest.fail("decoded again"))
    assert np.array_equal(LogitStore(copied).outputs("a/0", "val"), first)
    assert cached_file().stat().st_mtime_ns == changed


def test_one_model_does_not_take_the_file_of_another(filled):
    filled.add(card("b"), "val", labels=Y, outputs=X + 1, unit_ids=IDS)
    filled.outputs("a/0", "val")
    first = cached_file()
    filled.outputs("b", "val")
    (second,) = set(cache.cache_folder().glob("*.npy")) - {first}
    shutil.copy(first, second)
    assert np.array_equal(LogitStore(filled.files.uri).outputs("b", "val"), X + 1)


def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_without_a_usable_cache_the_arrays_are_in_memory(filled, tmp_path, monkeypatch):
    (tmp_path / "a file").write_text("x")

    def read() -> np.ndarray:
        outputs = LogitStore(filled.files.uri).outputs("a/0", "val")
        assert np.array_equal(outputs, X)
        assert not outputs.flags.writeable
        return outputs

    monkeypatch.setenv("WISECOMMITTEE_CACHE", str(tmp_path / "a file"))
    assert not is_mapped(read())
    monkeypatch.setenv("WISECOMMITTEE_CACHE", str(tmp_path / "a file/below"))
    assert not is_mapped(read())
    monkeypatch.setenv("WISECOMMITTEE_CACHE", "/proc/nowhere")
    assert not is_mapped(read())
    monkeypatch.setenv("WISECOMMITTEE_CACHE", str(tmp_path / "full"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        assert not is_mapped(read())
        assert list((tmp_path / "full").iterdir()) == []
    monkeypatch.setenv("WISECOMMITTEE_CACHE_GB", "0")
    assert not is_mapped(read())
    monkeypatch.setenv("WISECOMMITTEE_CACHE_GB", "many")
    with pytest.raises(UsageError, match="WISECOMMITTEE_CACHE_GB is 'many'"):
        read()
    monkeypatch.delenv("WISECOMMITTEE_CACHE_GB")
    assert is_mapped(read())


def test_a_user_without_a_home(filled, monkeypatch):
    monkeypatch.delenv("WISECOMMITTEE_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    assert np.array_equal(filled.outputs("a/0", "val"), X)
    with pytest.raises(UsageError, match="name one with WISECOMMITTEE_CACHE"):
        cache.cache_folder()


def test_the_least_recently_used_leave_the_cache(store, monkeypatch):
    models = ["a", "b", "c"]
    for i, model in enumerate(models):
        store.add(card(model), "val", labels=Y, outputs=X + i)
    for model in models[:2]:
        store.outputs(model, "val")
    abandoned = cache.cache_folder() / ".old.tmp"
    abandoned.write_text("x")
    os.utime(abandoned, (0, 0))
    store.outputs("a", "val")  # used again
    kept = set(cache.cache_folder().glob("*.npy"))
    monkeypatch.setenv("WISECOMMITTEE_CACHE_GB", str((sum(path.stat().st_size for path in kept) + 100) / 1e9))
    store.outputs("c", "val")
    assert len(kept & set(cache.cache_folder().glob("*.npy"))) == 1
    assert not abandoned.exists()
    monkeypatch.setattr(parts, "decode", lambda *_: pytest.fail("decoded again"))
    for i, model in ((0, "a"), (2, "c")):
        assert np.array_equal(store.outputs(model, "val"), X + i)


# verify and remove


def test_verify_changes_nothing_and_finds_blocks_of_two_costs(filled):
    filled.add(card(), "test", labels=Y, outputs=X)
    before = tree(filled)
    assert filled.verify() == []
    assert tree(filled) == before
    assert filled.add(card(blocks={"a/0": 11}), "test", labels=Y, outputs=X) == "card updated"
    assert filled.verify() == ["block 'a/0' costs 11 in a/0 in test, 10 in a/0 in val; make them equal"]


def test_verify_of_nothing(store, filled, tmp_path):
    assert "there is no store at" in LogitStore(tmp_path / "none").verify()[0]
    (tmp_path / "empty").mkdir()
    assert "the store is empty" in LogitStore(tmp_path / "empty").verify()[0]
    os.remove(folder(filled) / "card.json")
    assert filled.verify() == ["a/0 in val: unfinished; extract or import it again, or `remove` it"]
    assert filled.splits() == ()
    assert filled.remove("a/0") == ("val",)


def test_remove(filled):
    filled.add(card("b"), "val", labels=Y, outputs=X, unit_ids=IDS)
    filled.add(card(), "test", labels=Y, outputs=X)
    before = tree(filled)
    assert filled.remove("a/00") == ()
    assert filled.remove("b", "test") == ()
    assert filled.remove("b", "rest") == ()
    assert tree(filled) == before
    assert filled.remove("a/0", "val") == ("val",)
    assert filled.models("val") == ("b",)
    assert np.array_equal(filled.outputs("b", "val"), X)
    assert filled.remove("a/0") == ("test",)
    assert filled.splits() == ("val",)
    assert filled.remove("b") == ("val",)
    assert tree(filled) == {}
    assert filled.splits() == ()
    # With the last model the units are free again.
    assert filled.add(card(), "val", labels=(Y[:5] + 1) % C, outputs=X[:5]) == "added"


# Cards that several processes change


def test_a_calibration_of_outputs_that_were_replaced_is_not_stored(filled):
    read = filled.card("a/0", "val")
    assert filled.update_card("val", read, lambda c: c) == "unchanged"
    other = LogitStore(filled.files.uri)
    other.add(card(), "val", labels=Y, outputs=X + 1, unit_ids=IDS, replace=True)
    before = tree(filled)
    change = pytest.raises(StoreError, match="a/0 in val was replaced meanwhile; its card stays as it is, run again")
    with change:
        filled.update_card("val", read, lambda c: dataclasses.replace(c, costs={"usd": 1}))
    assert tree(filled) == before
    assert filled.verify() == []
    other.remove("a/0")
    with pytest.raises(StoreError, match="a/0 in val was removed meanwhile"):
        filled.update_card("val", read, lambda c: dataclasses.replace(c, costs={"usd": 1}))
    assert filled.splits() == ()


def test_changes_of_one_card_by_several_all_remain(filled):
    read = filled.card("a/0", "val")
    ready = threading.Barrier(4)

    def change(i: int) -> None:
        own = LogitStore(filled.files.uri)
        ready.wait()
        for k in range(5):
            while True:
                with contextlib.suppress(BusyError):  # one at a time
                    added = {f"cost{i}-{k}": 1.0}
                    own.update_card("val", read, lambda c: dataclasses.replace(c, costs={**c.costs, **added}))  # noqa: B023
                    break

    threads = [threading.Thread(target=change, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(filled.card("a/0", "val").costs) == 20
    assert filled.verify() == []


def test_a_writer_keeps_its_model_from_being_changed(filled):
    read = filled.card("a/0", "val")
    with filled.writer(card(), "val", classes=C, replace=True) as writer:
        writer.append(IDS, Y, X + 1)
        with pytest.raises(BusyError, match="a/0 in val: another process is writing it"):
            filled.update_card("val", read, lambda c: dataclasses.replace(c, costs={"usd": 1}))
        writer.commit()
    assert np.array_equal(filled.outputs("a/0", "val"), X + 1)


# Many models


def test_a_split_of_many_models_is_read_once_for_each(store, monkeypatch):
    """Adding, verifying and reading M models opens of the order of M cards, not of M times M."""
    opened = []
    real = LogitStore.read_card

    def read_card(self, split, model):
        opened.append(model)
        return real(self, split, model)

    monkeypatch.setattr(LogitStore, "read_card", read_card)
    counts = []
    for models in (10, 20, 40):
        one = LogitStore(store.files.local / str(models))
        opened.clear()
        for i in range(models):
            one.add(card(f"m/{i}"), "val", labels=Y, outputs=X + i)
        assert one.verify() == []
        assert len({one.outputs(f"m/{i}", "val")[0, 0] for i in range(models)}) == models
        counts.append(len(opened))
    assert counts[2] - counts[1] == 2 * (counts[1] - counts[0])


def test_arrays_in_use_keep_no_file_open(store):
    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc")
    kept = []
    for i in range(20):
        store.add(card(f"m/{i}"), "val", labels=Y, outputs=X + i, scores={"s": X[:, 0]})
        kept += [store.outputs(f"m/{i}", "val"), store.scores(f"m/{i}", "val", "s")]
        if i == 1:
            first = len(os.listdir("/proc/self/fd"))
    assert all(map(is_mapped, kept))
    assert len(os.listdir("/proc/self/fd")) <= first


def test_too_many_open_files_are_called_so(filled, monkeypatch):
    def none_left(*_, **__):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "open", none_left)
    with pytest.raises(StoreError, match=r"too many open files; raise the limit with `ulimit -n"):
        filled.card("a/0", "val")


def test_a_cache_that_several_fill_at_once_keeps_its_bound(store, monkeypatch):
    monkeypatch.setattr(parts, "ROW_GROUP", 5_000)
    x = RNG.normal(size=(2_000, 10)).astype(np.float32)
    for i in range(12):
        store.add(card(f"m/{i}"), "val", labels=np.zeros(2_000, int), outputs=x + i)
    monkeypatch.setenv("WISECOMMITTEE_CACHE_GB", str(5.5 * x.nbytes / 1e9))

    def read(models: range) -> None:
        own = LogitStore(store.files.uri)
        for i in models:
            assert own.outputs(f"m/{i}", "val")[0, 0] == x[0, 0] + np.float32(i)

    threads = [threading.Thread(target=read, args=(range(k, 12, 4),)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 4 * x.nbytes < sum(path.stat().st_size for path in cache.cache_folder().iterdir()) <= 5.5 * x.nbytes


# Several writers


def test_the_same_model_has_one_writer_at_a_time(store):
    with store.writer(card(), "val", classes=C) as writer:
        writer.append(IDS[:5], Y[:5], X[:5])
        busy = "a/0 in val: another process is writing it; wait"
        with pytest.raises(BusyError, match=busy), store.writer(card(), "val", classes=C):
            pass
        with pytest.raises(BusyError, match=busy):
            store.add(card(), "val", labels=Y, outputs=X)
        with pytest.raises(BusyError, match=busy):
            store.remove("a/0", "val")
        store.add(card("b"), "val", labels=Y, outputs=X, unit_ids=IDS)
        writer.append(IDS[5:], Y[5:], X[5:])
        writer.commit()
    assert store.verify() == []
    with store.writer(card("c"), "val", classes=C):
        pass
    assert not list(store.files.local.rglob(".lock*"))


def test_a_lock_whose_file_was_removed_meanwhile_is_taken_again(tmp_path, monkeypatch):
    """Its last holder removes the file; a lock on what is no longer there would exclude nobody."""
    path, real, calls = tmp_path / "split" / ".lock", fcntl.flock, itertools.count()

    def flock(handle, how):
        if next(calls) == 0:
            path.unlink()
        real(handle, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with files.open_files(tmp_path).lock("split/.lock", "m"):
        with pytest.raises(BusyError), files.open_files(tmp_path).lock("split/.lock", "m"):
            pass
        assert path.exists()
    assert not path.parent.exists()


@pytest.mark.parametrize("conflict", [False, True])
def test_models_that_create_a_split_at_once(store, conflict):
    """Equal units: all succeed. Other labels: those that come second are refused, and nothing of them is seen."""
    ready = threading.Barrier(4)
    ended: dict[str, object] = {}

    def write(i: int) -> None:
        own = LogitStore(store.files.uri)
        labels = (Y + i) % C if conflict else Y
        order = np.roll(np.arange(N), i)
        ready.wait()
        try:
            ids = [IDS[j] for j in order]
            ended[f"m{i}"] = own.add(card(f"m{i}"), "val", labels=labels[order], outputs=X[order] + i, unit_ids=ids)
        except WiseCommitteeError as error:
            ended[f"m{i}"] = error

    threads = [threading.Thread(target=write, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    added = sorted(model for model, end in ended.items() if end == "added")
    assert len(added) == (1 if conflict else 4)
    assert list(store.models("val")) == added
    for model in added:
        i = int(model[1:])
        place = [IDS.index(unit) for unit in store.unit_ids("val")]
        assert np.array_equal(store.outputs(model, "val"), X[place] + i)
        assert np.array_equal(store.labels("val"), ((Y + i) % C if conflict else Y)[place])
    assert [p for p in store.verify() if "unfinished" not in p] == []


def rank_writer(store: LogitStore, rank: int, **options) -> Writer:
    return store.writer(card(), "val", classes=C, rank=rank, rows_per_part=4, identity="same", **options)


def test_ranks_write_parts_and_one_commits(store):
    for rank in (1, 0):
        with rank_writer(store, rank) as writer:
            writer.append(IDS[rank::2], Y[rank::2], X[rank::2])
            if rank:
                writer.finish()
            else:
                written = writer.commit()
    assert {part.file for part in written.contents.parts} == {f"part-{r}-{n}.parquet" for r in (0, 1) for n in range(3)}
    assert written.contents.content == naive_content(IDS, (X, "<f4"))
    place = [IDS.index(unit) for unit in store.unit_ids("val")]
    assert sorted(place) == list(range(N))
    assert np.array_equal(store.outputs("a/0", "val"), X[place])
    assert store.verify() == []


def test_nobody_commits_before_every_rank_has_finished(store):
    with rank_writer(store, 0, ranks=2) as first:
        first.append(IDS[::2], Y[::2], X[::2])
        with pytest.raises(StoreError, match="rank 1 of 2 has not begun"):
            first.commit()
        with rank_writer(store, 1, ranks=2) as second:
            second.append(IDS[1::2], Y[1::2], X[1::2])
            with pytest.raises(StoreError, match="rank 1 has not finished; wait for it or run it again"):
                first.commit()
            second.finish()
        first.commit()
    assert store.verify() == []


def test_a_rank_of_other_settings_is_not_mixed_in(store):
    with rank_writer(store, 0) as first:
        first.append(IDS, Y, X)
        with store.writer(card(), "val", classes=C, rank=1, identity="other") as second:
            second.append(IDS[:3], Y[:3], X[:3] + 9)
            second.finish()
            with pytest.raises(BusyError):
                first.commit()
        first.commit()  # it left: its rows are an earlier run's
    assert np.array_equal(store.outputs("a/0", "val"), X)
    assert sorted(p.name for p in folder(store).iterdir() if p.name != "card.json") == [
        f"part-0-{n}.parquet" for n in range(6)
    ]


def test_a_finished_rank_need_not_be_run_again(store):
    for rank in (0, 1):
        with rank_writer(store, rank) as writer:
            writer.append(IDS[rank::2], Y[rank::2], X[rank::2])
            writer.finish()
    with rank_writer(store, 0) as writer:
        assert writer.rows_done == len(IDS[::2])
        writer.commit()
    assert store.verify() == []


@pytest.mark.parametrize("plan", [b"", b"no", b"[]", b"{}", b'{"identity": 1}', b"[" * 50_000, b"1" * (1 << 17)])
def test_a_plan_that_cannot_be_read_is_no_plan(store, plan):
    assert Plan.from_bytes(plan) is None
    with rank_writer(store, 0) as writer:
        writer.append(IDS[:9], Y[:9], X[:9])
    (folder(store) / ".writing-0.json").write_bytes(plan)
    with rank_writer(store, 0) as writer:
        assert writer.rows_done == 0
        writer.append(IDS, Y, X)
        writer.commit()
    assert np.array_equal(store.outputs("a/0", "val"), X)


# Interrupted (what kill -9 does is in test_store_kill.py)


class Stop(Exception):
    pass


def failing(function: str, count: int, error: Exception, monkeypatch) -> None:
    """Let the count-th call of a function of os fail."""
    real, calls = getattr(os, function), itertools.count(1)

    def wrapped(*arguments, **keywords):
        if next(calls) == count:
            raise error
        return real(*arguments, **keywords)

    monkeypatch.setattr(os, function, wrapped)


@contextlib.contextmanager
def stopped_at(function: str, count: int, monkeypatch):
    with monkeypatch.context() as patch:
        failing(function, count, Stop(), patch)
        with pytest.raises(Stop):
            yield


def test_an_import_continues_after_whole_parts(store, monkeypatch):
    with stopped_at("replace", 4, monkeypatch):
        store.add(card(), "val", labels=Y, outputs=X, unit_ids=IDS)
    (left,) = part_paths(store)
    inode = left.stat().st_ino
    assert store.splits() == ()
    assert store.add(card(), "val", labels=Y, outputs=X, unit_ids=IDS) == "added"
    assert left.stat().st_ino == inode
    assert np.array_equal(store.outputs("a/0", "val"), X)
    assert store.card("a/0", "val").contents.content == naive_content(IDS, (X, "<f4"))


@pytest.mark.parametrize("change", ["outputs", "labels", "order", "shorter", "dtype", "card"])
def test_an_import_of_something_else_does_not_continue(store, monkeypatch, change):
    """The rows a killed import left belong to it, not to the next file of that name."""
    with stopped_at("replace", 4, monkeypatch):
        store.add(card(), "val", labels=Y, outputs=X, unit_ids=IDS)
    x, y, ids, options = X, Y, IDS, {}
    if change == "outputs":
        x = with_value(5.0, 2)
    elif change == "labels":
        y = np.where(np.arange(N) == 2, (Y + 1) % C, Y)
    elif change == "order":
        x, y, ids = X[::-1], Y[::-1], IDS[::-1]
    elif change == "shorter":
        x, y, ids = X[:7], Y[:7], IDS[:7]
    elif change == "dtype":
        options = {"dtype": "float16"}
    new = card(meta={"new": 1}) if change == "card" else card()
    store.add(new, "val", labels=y, outputs=x, unit_ids=ids, **options)
    stored = x.astype(options.get("dtype", "float32")).astype(np.float32)
    assert np.array_equal(store.outputs("a/0", "val"), stored)
    assert np.array_equal(store.labels("val"), y)
    assert store.verify() == []


def test_units_without_a_model_bind_nobody(store, monkeypatch):
    """Stopped between units.parquet and the card: the split does not exist yet."""
    with stopped_at("replace", 8, monkeypatch):
        store.add(card(), "val", labels=Y, outputs=X, unit_ids=IDS)
    assert (store.files.local / "val/units.parquet").exists()
    assert not (folder(store) / "card.json").exists()
    assert store.splits() == ()
    assert store.add(card("b"), "val", labels=(Y + 1) % C, outputs=X, unit_ids=IDS) == "added"
    with pytest.raises(AlignmentError, match="the split says"):
        store.add(card(), "val", labels=Y, outputs=X, unit_ids=IDS)
    assert store.add(card(), "val", labels=(Y + 1) % C, outputs=X, unit_ids=IDS) == "added"
    assert store.verify() == []


def test_a_reader_of_a_replaced_model_is_told_so(filled, monkeypatch):
    old = filled.card("a/0", "val")
    filled.add(card(), "val", labels=Y, outputs=X + 1, unit_ids=IDS, replace=True)
    with pytest.raises(StoreError, match="a/0 in val was replaced while it was read; run again"):
        list(filled.read_parts(old, "val"))


# Places that refuse


def test_a_full_disk_leaves_the_store_as_it_was(filled, monkeypatch):
    before = tree(filled)
    for count in range(1, 7):
        with monkeypatch.context() as patch:
            failing("fsync", count, OSError(errno.ENOSPC, "No space left on device"), patch)
            if count % 2:  # the even ones are those of folders, which may fail
                with pytest.raises(StoreError, match="the disk is full; free some space and run again"):
                    filled.add(card("b"), "val", labels=Y, outputs=X, unit_ids=IDS)
                assert {name: data for name, data in tree(filled).items() if "model=b" not in name} == before
                assert filled.models("val") == ("a/0",)
    assert filled.add(card("b"), "val", labels=Y, outputs=X, unit_ids=IDS) == "added"
    assert filled.verify() == []


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 512 KB."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "none", str(place)], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("mounting is not permitted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_disk_that_really_is_full(small_disk, monkeypatch):
    monkeypatch.setattr(parts, "ROW_GROUP", 5_000)
    store = LogitStore(small_disk / "logits")
    x = RNG.normal(size=(3_000, 30)).astype(np.float32)
    y = np.zeros(3_000, int)
    store.add(card(), "val", labels=y, outputs=x)
    monkeypatch.setattr(parts, "ROW_GROUP", 100)
    with pytest.raises(StoreError, match="disk is full"):
        store.add(card("b"), "val", labels=y, outputs=x + 1)
    with pytest.raises(StoreError, match="disk is full"):
        store.add(card(), "val", labels=y, outputs=x + 1, replace=True)
    assert store.models("val") == ("a/0",)
    monkeypatch.setenv("WISECOMMITTEE_CACHE", str(small_disk / "cache"))
    assert np.array_equal(store.outputs("a/0", "val"), x)
    assert not is_mapped(store.outputs("a/0", "val"))
    store.remove("b")
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    store.add(card("b"), "val", labels=y, outputs=x + 1)
    assert is_mapped(store.outputs("b", "val"))
    assert store.verify() == []


@pytest.fixture
def unprivileged():
    """Act as an ordinary user, in a folder that root made."""
    with tempfile.TemporaryDirectory() as root:
        os.chmod(root, 0o755)
        yield Path(root)
        os.chmod(root, 0o755)


@contextlib.contextmanager
def ordinary_user():
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_read_only_store_can_be_read_and_says_why_not_written(unprivileged, monkeypatch):
    store = LogitStore(unprivileged / "logits")
    store.add(card(), "val", labels=Y, outputs=X)
    assert store.verify() == []
    before = tree(store)
    paths = [unprivileged, *unprivileged.rglob("*")]
    for path in paths:
        os.chmod(path, 0o555 if path.is_dir() else 0o444)
    monkeypatch.setenv("WISECOMMITTEE_CACHE", str(unprivileged / "cache"))
    with ordinary_user():
        assert np.array_equal(store.outputs("a/0", "val"), X)
        assert store.verify() == []
        for action in (
            lambda: store.add(card("b"), "val", labels=Y, outputs=X),
            lambda: store.add(card(), "test", labels=Y, outputs=X),
            lambda: store.add(card(), "val", labels=Y, outputs=X, replace=True),
            lambda: store.add(card(params=1), "val", labels=Y, outputs=X),
            lambda: store.remove("a/0"),
            lambda: LogitStore(unprivileged / "new").add(card(), "val", labels=Y, outputs=X),
        ):
            with pytest.raises(StoreError, match=r"no permission; .* or name another place with --store"):
                action()
    for path in paths:
        os.chmod(path, 0o755 if path.is_dir() else 0o644)
    assert tree(store) == before
    os.chmod(unprivileged / "logits", 0)
    with ordinary_user(), pytest.raises(StoreError, match="no permission"):
        store.splits()
    os.chmod(unprivileged / "logits", 0o755)


def test_a_store_that_is_a_file(tmp_path):
    (tmp_path / "f").write_text("x")
    store = LogitStore(tmp_path / "f")
    for action in (
        lambda: store.add(card(), "val", labels=Y, outputs=X),
        lambda: store.splits(),
        lambda: store.labels("val"),
        lambda: store.verify(),
        lambda: store.remove("a/0"),
        lambda: LogitStore(tmp_path / "f/below").add(card(), "val", labels=Y, outputs=X),
    ):
        with pytest.raises(StoreError, match="a file stands where"):
            action()
    assert (tmp_path / "f").read_text() == "x"


def test_where_a_store_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert LogitStore().files.local == tmp_path / "logits"
    monkeypatch.setenv("WISECOMMITTEE_STORE", "elsewhere")
    assert LogitStore().files.local == tmp_path / "elsewhere"
    assert LogitStore(f"file://{tmp_path}/a%20b").files.local == tmp_path / "a b"
    assert "nowhere" in repr(LogitStore(tmp_path / "nowhere"))
    with pytest.raises(StoreError, match=r"there is no store at .*wisecommittee extract"):
        LogitStore(tmp_path / "nowhere").labels("val")
    for wrong in ("", "a\0b", "ftp://host/x", "~nobody-of-that-name/x"):
        with pytest.raises(UsageError, match="expected a folder"):
            LogitStore(wrong)
    with pytest.raises(UsageError) as caught:
        LogitStore("s3x://key:secret@bucket/x")
    assert "secret" not in str(caught.value)


# Memory

ADD = """if True:
    import sys, threading, numpy as np
    from wisecommittee.committees.cards import ModelCard
    from wisecommittee.store import LogitStore
    kind, path, root = sys.argv[1:]
    x = np.load(path, mmap_mode="r")

    def anonymous():  # kilobytes that are no file's
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("RssAnon"))

    LogitStore(root).add(ModelCard("warm", blocks={"w": 1}), "warm", labels=np.zeros(9), outputs=np.array(x[:9]))
    peak, done = [anonymous()], threading.Event()

    def watch():
        while not done.wait(0.002):
            peak.append(anonymous())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    store = LogitStore(root)
    labels = np.zeros(len(x), int)
    if kind == "add":
        store.add(ModelCard("a", blocks={"a": 1}), "val", labels=labels, outputs=x)
        store.add(ModelCard("a", blocks={"a": 1}), "val", labels=labels, outputs=x)
    else:
        with store.writer(ModelCard("a", blocks={"a": 1}), "val", classes=x.shape[1]) as writer:
            for i in range(0, len(x), 100):
                writer.append([str(j) for j in range(i, i + 100)], labels[i:i + 100], np.array(x[i:i + 100]))
            writer.commit()
    done.set()
    watcher.join()
    print((max(peak) - peak[0]) / 1024)
"""


@pytest.mark.parametrize(("kind", "dtype"), [("add", np.float32), ("add", np.float64), ("stream", np.float32)])
def test_writing_holds_no_copy_of_a_mapped_array(tmp_path, kind, dtype):
    if not Path("/proc/self/status").exists():
        pytest.skip("needs /proc")
    shape = (8_000, 5_000)  # 160 MB as float32
    x = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", dtype, shape)
    x[:] = np.arange(5_000) % 97
    x[:, 0] = np.arange(len(x))
    del x
    code = ADD.replace("if True:", "if True:\n    from wisecommittee.store import parts; parts.ROW_GROUP = 500", 1)
    arguments = [sys.executable, "-c", code, kind, str(tmp_path / "x.npy"), str(tmp_path / "logits")]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 80  # megabytes; a row group is 10

"""The files of a store and what they hold, against pyarrow and hashlib."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from stored import IDS, RNG, C, N, X, Y, card, folder, is_mapped, naive_content, part_paths, tree

from wisecommittee.errors import AbsentNameError, ContentError, StoreError, UsageError
from wisecommittee.store.parquet import parts

pytestmark = pytest.mark.usefixtures("small_groups")


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
    with pytest.raises(StoreError, match="replace=True"):
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

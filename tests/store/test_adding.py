"""Adding a model: rows in any order and any batches, and the same model again."""

from __future__ import annotations

import itertools
import tempfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stored import IDS, RNG, C, N, X, Y, card, naive_content, part_paths, tree

from wisecommittee.errors import StoreError
from wisecommittee.store import LogitStore, checks
from wisecommittee.store.parquet import parts

pytestmark = pytest.mark.usefixtures("small_groups")


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


def test_every_row_is_checked_once(store, monkeypatch):
    real, rows = checks.check_outputs, []

    def counted(outputs, *arguments, **options):
        rows.append(len(outputs))
        return real(outputs, *arguments, **options)

    monkeypatch.setattr(checks, "check_outputs", counted)
    store.add(card(), "val", labels=Y, outputs=X)
    assert rows == [N]
    with store.writer(card("b"), "val", classes=C) as writer:
        for start in range(0, N, 4):
            stop = min(start + 4, N)
            writer.append([str(i) for i in range(start, stop)], Y[start:stop], X[start:stop])
        writer.commit()
    assert sum(rows) == 2 * N

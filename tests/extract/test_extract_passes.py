"""Several models in one pass over the data."""

from __future__ import annotations

import numpy as np
import pytest
from extractions import (
    N,
    Reads,
    by_hand,
    net,
    rows,
)

from wisecommittee.extraction.data.wrap import wrap_data
from wisecommittee.extraction.extract import extract
from wisecommittee.extraction.models.loaded import wrap_module
from wisecommittee.extraction.models.spec import load_model
from wisecommittee.store import LogitStore


def test_models_that_see_the_same_tensors_share_a_pass(store):
    x, y = rows()
    items = Reads(x, y)
    data = wrap_data(lambda: items, "reads")
    models = [wrap_module(net(hidden, seed=hidden), f"net-{hidden}") for hidden in (3, 5, 8)]
    items.read.clear()
    extract(models, data, "val", store, batch_size=16)
    assert items.read == [0, 1, *range(N)]
    for model in models:
        np.testing.assert_allclose(store.outputs(model.name, "val"), by_hand(model.module, x), atol=1e-6)


def test_numbers_in_names_that_do_not_count_from_0_are_pointed_out(store):
    data = wrap_data(rows, "test")
    assert [item.card.model for item in extract([wrap_module(net(), "net/500")], data, "val", store)] == ["net/500"]
    with pytest.warns(UserWarning, match="net/500, net/900: their numbers are not 0, 1, 2"):
        extract([wrap_module(net(9), "net/900")], data, "val", store)


def test_a_pass_is_continued_where_each_model_stopped(nets, tmp_path, monkeypatch):
    """One model is ahead of the other, a third is new; each gets the rows it lacks, and the bits of one run."""
    store, whole = LogitStore(tmp_path / "logits"), LogitStore(tmp_path / "whole")
    specs = ["user_nets:small", "user_nets:Counted", "user_nets:large"]
    monkeypatch.setenv("STOP_BY", "keyboard")
    monkeypatch.setenv("STOP_AT", "21")
    with pytest.raises(KeyboardInterrupt):
        extract(specs[1:2], "user_nets:items", "val", store, batch_size=700)  # 10,000 rows
    load_model("user_nets:Counted").module.__class__.calls = 0
    monkeypatch.setenv("STOP_AT", "13")
    with pytest.raises(KeyboardInterrupt):
        extract(
            [*specs[:1], "user_nets:Counted"], "user_nets:items", "val", store, batch_size=700, names=["small", "c"]
        )
    monkeypatch.delenv("STOP_AT")
    seen = {}
    extract(
        specs,
        "user_nets:items",
        "val",
        store,
        batch_size=700,
        progress=lambda task, done, _: seen.setdefault(task, done),
    )
    assert seen == {
        "small in val": 5_000,
        "Counted in val": 10_000,
        "large in val": 0,
        "all 3 models in val": seen["all 3 models in val"],
    }
    extract(specs, "user_nets:items", "val", whole, batch_size=700)
    for name in store.models("val"):
        assert store.card(name, "val") == whole.card(name, "val")
        np.testing.assert_array_equal(store.outputs(name, "val"), whole.outputs(name, "val"))


def test_progress_of_all_models_is_weighted_by_their_cost(store):
    x, y = rows()
    seen = []
    models = [wrap_module(net(8), "a/0"), wrap_module(net(8, 1), "b/0")]
    data = wrap_data(lambda: (x, y), "test")
    report = lambda *item: seen.append(item)  # noqa: E731
    extract(models, data, "val", store, macs=[100, 300], batch_size=25, progress=report)
    total = [done for task, done, units in seen if task == "all 2 models in val" and units == N]
    # 25 units of a are 25 x 100 of 50 x 400; of b 25 x 300
    assert [done for i, done in enumerate(total) if done != (total[i - 1] if i else None)] == [0, 6, 25, 31, 50]

"""Extraction against hand-written forward loops: the same outputs of every shape of data, and of a second call."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import pytest
import torch
from extractions import SHAPES_OF_DATA, by_hand, net, rows
from torch import nn

from wisecommittee.errors import ContentError, StoreError
from wisecommittee.extraction.data.wrap import wrap_data
from wisecommittee.extraction.extract import extract
from wisecommittee.extraction.models.loaded import wrap_module
from wisecommittee.extraction.models.spec import load_model
from wisecommittee.extraction.models.weights import state_hash


@pytest.mark.parametrize(("make", "unit_ids"), SHAPES_OF_DATA)
@pytest.mark.parametrize("batch_size", [1, 16, 1000])
def test_equals_a_hand_written_loop(make, unit_ids, batch_size, store):
    x, y = rows()
    module = net().train()
    done = extract(
        [wrap_module(module, "net/0")], wrap_data(lambda: make(x, y), "test"), "val", store, batch_size=batch_size
    )
    assert [(item.card.model, item.split, item.status) for item in done] == [("net/0", "val", "added")]
    np.testing.assert_allclose(store.outputs("net/0", "val"), by_hand(module, x), atol=1e-6)
    assert store.labels("val").tolist() == y.tolist()
    assert store.unit_ids("val") == unit_ids
    assert store.verify() == []


def test_the_card(nets, store, tmp_path):
    torch.save({"state_dict": net(8).state_dict()}, tmp_path / "w.pt")
    (item,) = extract(["user_nets:ready"], "user_nets:data", "val", store, limit=30)
    card = item.card
    assert card == store.card("ready", "val")
    assert (card.model, card.architecture, card.replica, card.kind) == ("ready", "ready", 0, "logits")
    assert card.blocks == {"ready": 6 * 5 + 5 * 4}
    assert card.params == 6 * 5 + 5 + 2 * 5 + 5 * 4 + 4
    assert card.input_size == (6,)
    assert card.origin == "user_nets:ready"
    assert card.meta["data"] == "user_nets:data"
    assert (card.contents.rows, card.contents.classes, card.contents.dtype) == (30, 4, "float32")


def test_weights_file(nets, store, tmp_path):
    trained = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 4))
    for name, content in (("bare", trained.state_dict()), ("nested", {"state_dict": trained.state_dict(), "epoch": 3})):
        torch.save(content, tmp_path / f"{name}.pt")
        (item,) = extract([f"user_nets:small@{name}.pt"], "user_nets:data", "val", store, limit=20, names=[f"{name}/2"])
        assert item.card.weights == hashlib.sha256((tmp_path / f"{name}.pt").read_bytes()).hexdigest()
        assert (item.card.architecture, item.card.replica) == (name, 2)
        x = torch.randn(12_000, 6, generator=torch.Generator().manual_seed(1))
        x = x[list(map(int, store.unit_ids("val")))]
        np.testing.assert_allclose(store.outputs(f"{name}/2", "val"), by_hand(trained, x), atol=1e-6)
    random = load_model("user_nets:small@bare.pt", random_weights=True)
    assert random.weights == load_model("user_nets:small").weights
    assert random.meta["random_weights"] is True


def test_names_come_from_the_factory(nets):
    large, small = load_model("user_nets:large"), load_model("user_nets:small")
    assert (large.name, large.architecture, large.replica) == ("large", "big", 3)
    assert (small.name, small.architecture, small.replica) == ("small", "small", 0)


def test_a_factory_without_weights_gives_the_same_model_at_every_start(nets):
    first = load_model("user_nets:small")
    torch.manual_seed(12345)
    state = torch.random.get_rng_state()
    assert load_model("user_nets:small").weights == first.weights
    assert torch.equal(torch.random.get_rng_state(), state)
    assert load_model("user_nets:small", "small/1").weights != first.weights


def test_a_factory_that_gives_another_model_at_every_start_is_refused(nets, store):
    with pytest.raises(ContentError, match=r"weights differ from one loading to the next.*user_nets:unstable@FILE"):
        extract(["user_nets:unstable"], "user_nets:data", "val", store, limit=10)
    assert store.models("val") == ()


def test_the_state_hash_sees_values_names_and_types():
    def made(**changes):
        module = nn.Linear(2, 2)
        nn.init.constant_(module.weight, changes.get("value", 1.0))
        nn.init.zeros_(module.bias)
        return module.to(changes.get("dtype", torch.float32))

    assert state_hash(made()) == state_hash(made())
    variants = [made(), made(value=1.0000001), made(dtype=torch.float64), nn.Sequential(made())]
    assert len({state_hash(module) for module in variants}) == len(variants)


# The same thing twice


def test_again_is_unchanged_and_anything_else_needs_replace(store):
    x, y = rows()
    data = wrap_data(lambda: (x, y), "test")
    extract([wrap_module(net(), "net/0")], data, "val", store)
    before = np.array(store.outputs("net/0", "val"))
    (again,) = extract([wrap_module(net(), "net/0")], data, "val", store, batch_size=7)
    assert again.status == "unchanged"
    other = net(seed=1)
    with pytest.raises(StoreError, match=r"net/0 is in val already with other weights.*--replace"):
        extract([wrap_module(other, "net/0")], data, "val", store)
    with pytest.raises(StoreError, match="other data"):
        extract([wrap_module(net(), "net/0")], wrap_data(lambda: (x, y), "elsewhere"), "val", store)
    with pytest.raises(StoreError, match="other dtype"):
        extract([wrap_module(net(), "net/0")], data, "val", store, dtype="float16")
    np.testing.assert_array_equal(store.outputs("net/0", "val"), before)
    (replaced,) = extract([wrap_module(other, "net/0")], data, "val", store, replace=True)
    assert replaced.status == "replaced"
    np.testing.assert_allclose(store.outputs("net/0", "val"), by_hand(other, x), atol=1e-6)


def test_changed_code_with_the_same_weights_is_noticed(store):
    class Doubled(nn.Sequential):
        def forward(self, x):
            return 2 * super().forward(x)

    x, y = rows()
    data = wrap_data(lambda: (x, y), "test")
    extract([wrap_module(net(), "net/0")], data, "val", store)
    changed = Doubled(*net())
    assert state_hash(changed) == state_hash(net())
    with pytest.raises(StoreError, match=r"same weights but other outputs.*--replace"):
        extract([wrap_module(changed, "net/0")], data, "val", store)


def test_a_new_cost_updates_the_card_only(store):
    x, y = rows()
    data = wrap_data(lambda: (x, y), "test")
    (first,) = extract([wrap_module(net(), "net/0")], data, "val", store)
    (second,) = extract([wrap_module(net(), "net/0")], data, "val", store, macs=[123])
    assert (first.status, second.status) == ("added", "card updated")
    assert store.card("net/0", "val").blocks == {"net/0": 123}
    assert second.card.contents == first.card.contents
    store.update_card("val", second.card, lambda found: dataclasses.replace(found, costs={"usd": 0.5}))
    (third,) = extract([wrap_module(net(), "net/0")], data, "val", store, macs=[123], training_costs=[1e12])
    assert (third.status, third.card.training_cost, third.card.costs) == ("card updated", 1e12, {"usd": 0.5})
    (fourth,) = extract([wrap_module(net(), "net/0")], data, "val", store, macs=[123])
    assert (fourth.status, fourth.card) == ("unchanged", third.card)

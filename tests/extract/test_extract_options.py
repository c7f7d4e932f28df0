"""Model and data specs, and the options of an extraction: what they do, and every refusal."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from extractions import (
    N,
    Stream,
    by_hand,
    net,
    rows,
)
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from wisecommittee.errors import (
    AbsentError,
    ContentError,
    UnknownNameError,
    UsageError,
    WiseCommitteeError,
)
from wisecommittee.extraction.data.spec import open_data
from wisecommittee.extraction.data.wrap import wrap_data
from wisecommittee.extraction.extract import extract
from wisecommittee.extraction.models.loaded import wrap_module
from wisecommittee.extraction.models.spec import load_model


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("tim:resnet50", UnknownNameError, r"unknown model source 'tim'; did you mean 'timm'.*package.module:factory"),
        ("resnet50", UsageError, r"expected package.module:factory\[@weights-file\] or digits:NAME"),
        ("user_nets:smal", UnknownNameError, "did you mean 'small'"),
        ("user_nets.deeper:small", UsageError, "no module 'user_nets.deeper'"),
        ("user_nets:broken", WiseCommitteeError, "calling it raised ValueError: no such layer"),
        ("user_nets:lazy", UsageError, "'user_nets:lazy': lazy layers without shapes"),
        ("user_nets:number", UsageError, "int is not callable"),
        ("user_nets:data", UsageError, "gave a tuple; expected a torch.nn.Module"),
        ("user_nets:small@none.pt", AbsentError, "no weights file 'none.pt'"),
        ("user_nets:small@other.pt", ContentError, "do not fit"),
        ("user_nets:small@text.pt", ContentError, "holds no plain tensors"),
        ("user_nets:small@module.pt", ContentError, "holds no plain tensors"),
        ("digits:conv99/0", UnknownNameError, "unknown model of the digits pool 'conv99/0'.*conv8/0"),
    ],
)
def test_model_specs_that_are_refused(spec, error, message, nets, tmp_path):
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "other.pt")
    torch.save(nn.Linear(2, 2), tmp_path / "module.pt")
    (tmp_path / "text.pt").write_text("no tensors")
    with pytest.raises(error, match=message):
        load_model(spec)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda: DataLoader(TensorDataset(*rows()), shuffle=True), "shuffle=False", id="shuffled"),
        pytest.param(lambda: DataLoader(TensorDataset(*rows()), 16, drop_last=True), "drop_last=False", id="dropping"),
        pytest.param(lambda: 7, "a int; expected a Dataset", id="a number"),
        pytest.param(lambda: rows(0), "no units", id="empty"),
    ],
)
def test_data_that_is_refused(make, message):
    with pytest.raises(WiseCommitteeError, match=message):
        wrap_data(make, "test")


def test_data_specs_that_are_refused(nets):
    with pytest.raises(UnknownNameError, match=r"unknown data source 'imagefolders'; did you mean 'imagefolder'"):
        open_data("imagefolders:photos", "val")
    with pytest.raises(UsageError, match=r"expected package.module:factory or digits\[:SPLIT\]"):
        open_data("photos", "val")
    with pytest.raises(UnknownNameError, match=r"unknown split of the digits 'holdout'.*test, train, val"):
        open_data("digits", "holdout")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"macs": [1, 2]}, "2 values of --macs for 1 models"),
        ({"training_costs": [1, 2]}, "2 values of --training-cost for 1 models"),
        ({"training_costs": [float("nan")]}, "training cost .*nan.*expected numbers"),
        ({"names": ["a", "b"]}, "2 values of --name"),
        ({"batch_size": 0}, "batch size 0"),
        ({"limit": 0}, "limit 0"),
        ({"dtype": "int8"}, "float32 or float16"),
        ({"device": "abacus"}, "try auto or cpu"),
        ({"precision": "float8"}, "unknown precision 'float8'"),
        ({"layout": "channels"}, "did you mean 'channels_last'"),
        ({"workers": -1}, "-1 workers"),
        ({"sizes": [8]}, r"small: inputs of shape \[2, 6\] have no size to change"),
        ({"views": ["flip"]}, "small: views need preprocessing"),
    ],
)
def test_options_that_are_refused(options, message, nets, store):
    with pytest.raises(UsageError, match=message):
        extract(["user_nets:small"], "user_nets:data", "val", store, **options)


@pytest.mark.parametrize(("limit", "batch_size"), [(1, 8), (8, 8), (13, 8), (500, 8)])
def test_limit(limit, batch_size, store):
    x, y = rows()
    (item,) = extract(
        [wrap_module(net(), "n")], wrap_data(lambda: (x, y), "t"), "val", store, limit=limit, batch_size=batch_size
    )
    assert item.card.contents.rows == min(limit, N)
    assert item.card.meta["limit"] == limit
    drawn = list(map(int, store.unit_ids("val")))
    assert drawn == sorted(set(drawn))
    assert store.labels("val").tolist() == y[drawn].tolist()
    np.testing.assert_allclose(store.outputs("n", "val"), by_hand(net(), x[drawn]), atol=1e-6)


SORTED = np.repeat(np.arange(4), [40, 20, 20, 10])  # as folders stand


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda x, y: (x, y), id="arrays"),
        pytest.param(lambda x, y: (x, y.tolist(), [f"u{i}" for i in range(len(y))]), id="lists"),
        pytest.param(lambda x, y: TensorDataset(x, torch.from_numpy(y)), id="dataset"),
    ],
)
def test_a_limit_draws_from_all_classes(make):
    x = torch.arange(90.0)[:, None]
    for limit in (1, 9, 18, 45, 90, 99):
        data = wrap_data(lambda: make(x, SORTED), "t", limit=limit)
        batches = list(data.batches(4))
        rows = [int(row) for batch in batches for row in batch.inputs[:, 0]]
        assert rows == sorted(set(rows))
        assert len(rows) == min(limit, 90) == data.units
        assert [int(label) for batch in batches for label in batch.labels] == SORTED[rows].tolist()
        assert [unit.removeprefix("u") for batch in batches for unit in batch.unit_ids] == list(map(str, rows))
        if not isinstance(make(x, SORTED), TensorDataset):  # whose labels nobody knows beforehand
            counts = np.bincount(SORTED[rows], minlength=4)
            assert all(
                abs(n - share * len(rows)) < 1 for n, share in zip(counts, [4 / 9, 2 / 9, 2 / 9, 1 / 9], strict=True)
            )
        elif limit in (18, 45):
            assert set(SORTED[rows]) == {0, 1, 2, 3}
    again = wrap_data(lambda: make(x, SORTED), "t", limit=45)
    assert [unit for batch in again.batches(45) for unit in batch.unit_ids] == [
        unit for batch in again.batches(7) for unit in batch.unit_ids
    ]
    assert [batch.start for batch in again.batches(7, skip=15)] == [14, 21, 28, 35, 42]
    with pytest.raises(UsageError, match="limit 0"):
        again.limited(0)


def test_a_limit_of_a_stream_takes_its_first_units():
    x, y = rows()
    data = wrap_data(lambda: Stream(x, y), "t", limit=7)
    assert [unit for batch in data.batches(5) for unit in batch.unit_ids] == list("0123456")


def test_only_units_with_these_ids():
    x, y = rows()
    data = wrap_data(lambda: (x, y), "t", limit=20)
    ids = data.known()[0]
    some = data.only(set(ids[3:9]))
    assert (some.known()[0], some.units) == (ids[3:9], 6)
    assert data.only({"no such unit"}) is data
    assert data.only(set(ids)) is data


def test_float16(store):
    x, y = rows()
    extract([wrap_module(net(), "n")], wrap_data(lambda: (x, y), "t"), "val", store, dtype="float16")
    assert store.card("n", "val").contents.dtype == "float16"
    np.testing.assert_array_equal(store.outputs("n", "val"), by_hand(net(), x).astype(np.float16), strict=False)
    (again,) = extract([wrap_module(net(), "n")], wrap_data(lambda: (x, y), "t"), "val", store, dtype="float16")
    assert again.status == "unchanged"

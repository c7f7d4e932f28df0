"""Errors on the way to the store."""

from __future__ import annotations

import pytest
from extractions import (
    CLASSES,
    FEATURES,
    PHOTOS,
    Hungry,
    Returns,
    net,
    rows,
)
from torch import nn

from wisecommittee.errors import (
    AlignmentError,
    BusyError,
    ContentError,
    StoreError,
)
from wisecommittee.extraction.data.wrap import wrap_data
from wisecommittee.extraction.extract import extract
from wisecommittee.extraction.models.loaded import wrap_module


def test_an_error_of_the_writer_surfaces(nets, store, monkeypatch):
    from wisecommittee.store.writer import Writer

    append, calls = Writer.append, []

    def failing(self, *rows):
        calls.append(self)
        if len(calls) == 3:
            raise StoreError("the disk is full")
        return append(self, *rows)

    monkeypatch.setattr(Writer, "append", failing)
    with pytest.raises(StoreError, match="the disk is full"):
        extract(["user_nets:small"], "user_nets:data", "val", store, batch_size=100)
    assert len(calls) == 3
    monkeypatch.setattr(Writer, "append", append)
    (item,) = extract(["user_nets:small"], "user_nets:data", "val", store, batch_size=100)
    assert item.status == "added"


def test_two_runs_into_one_store(store):
    x, y = rows()
    data = wrap_data(lambda: (x, y), "test")

    class Meanwhile(nn.Linear):
        """Another run of the same models, started in the middle of this one."""

        def forward(self, given):
            if given.device.type != "meta" and len(given) > 2 and not calls:
                calls.append(1)
                with pytest.raises(BusyError, match="a/0 in val: another process is writing it"):
                    extract([wrap_module(nn.Linear(FEATURES, CLASSES), "a/0")], data, "val", store)
                extract([wrap_module(net(), "b/0")], data, "val", store)
            return super().forward(given)

    calls = []
    extract([wrap_module(Meanwhile(FEATURES, CLASSES), "a/0")], data, "val", store)
    assert store.models("val") == ("a/0", "b/0")
    assert store.verify() == []


def test_the_number_of_outputs_may_not_change(store):
    x, y = rows()
    module = Returns(lambda y: y[:, :3] if len(y) == 10 else y)
    with pytest.raises(ContentError, match="net/0 in val: 3 classes from row 40; expected 4"):
        extract(
            [wrap_module(module, "net/0")], wrap_data(lambda: (x, y), "test"), "val", store, batch_size=20, macs=[1]
        )


def test_labels_and_units_are_compared_before_anything_runs(store):
    x, y = rows()
    extract([wrap_module(net(), "a/0")], wrap_data(lambda: (x, y, PHOTOS), "test"), "val", store)
    other, mixed = y.clone(), PHOTOS.copy()
    other[49] = (y[49] + 1) % CLASSES
    mixed[48] = "photo-x"
    for arrays, message in (
        ((x, other, PHOTOS), "unit 'photo-49' has label"),
        ((x, y, mixed), "unit 'photo-x' is not"),
    ):
        module = Hungry(0)
        with pytest.raises(AlignmentError, match=message):
            extract([wrap_module(module, "b/0")], wrap_data(lambda a=arrays: a, "test"), "val", store)
        assert module.sizes == []
    twice = PHOTOS.copy()
    twice[40] = "photo-3"
    with pytest.raises(AlignmentError, match="'photo-3' stands more than once"):
        extract([wrap_module(net(), "b/0")], wrap_data(lambda: (x, y, twice), "test"), "test", store)

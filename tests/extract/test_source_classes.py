"""Which output column is which class: names of the data, of the model and of a file."""

from __future__ import annotations

import json

import numpy as np
import pytest
from torch import nn

from wisecommittee.errors import (
    AbsentError,
    ContentError,
)
from wisecommittee.extraction.models.classes import select_classes
from wisecommittee.extraction.models.loaded import wrap_module
from wisecommittee.store.readers.classes import read_classes


def test_select_classes():
    model = ["tench", "goldfish", "great white shark", "Tench"]
    np.testing.assert_array_equal(select_classes(model, ["goldfish", "tench"]), [1, 0])
    np.testing.assert_array_equal(select_classes(model, ["Great_White_Shark", "Tench"]), [2, 3])
    np.testing.assert_array_equal(select_classes(None, ["a", "b", "c"]), [0, 1, 2])
    assert select_classes(model, model).dtype == np.int64
    with pytest.raises(ContentError, match=r"2 of 3 classes .*not among the model's 4: 'cat', 'dog' .*--classes FILE"):
        select_classes(model, ["cat", "tench", "dog"])
    with pytest.raises(ContentError, match="'crane' is the name of the model's outputs 0 and 2"):
        select_classes(["crane", "owl", "crane"], ["owl", "crane"])
    with pytest.raises(ContentError, match="'a' more than once"):
        select_classes(None, ["a", "b", "a"])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", "cat\ndog\n owl \n\n"),
        ("a.json", json.dumps(["cat", "dog", "owl"])),
        ("a.json", json.dumps({"2": "owl", "0": "cat", "1": "dog"})),
        ("a.json", json.dumps({"owl": 2, "cat": 0, "dog": 1})),
        ("a.csv", "cat\ndog\nowl\n"),
        ("a.csv", "class\ncat\ndog\nowl\n"),
        ("a.csv", "index,class\n1,dog\n0,cat\n2,owl\n"),
        ("a.csv", '0,cat\n1,dog\n2,"owl"\n'),
    ],
)
def test_read_classes(name, text, tmp_path):
    (tmp_path / name).write_text(text)
    assert read_classes(tmp_path / name) == ("cat", "dog", "owl")
    net = wrap_module(nn.Linear(2, 3), "net").with_classes(tmp_path / name)
    np.testing.assert_array_equal(net.columns(["owl"]), [2])
    with pytest.raises(ContentError, match="net: 1 of 1 classes of the data"):
        net.columns(["fox"])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "cat", "names 1 classes"),
        ("a.json", "{", "expected a name for every output"),
        ("a.json", '{"0": "cat", "2": "dog"}', "indices are not 0 to 1"),
        ("a.csv", "0,cat\nx,dog", "expected a name for every output"),
    ],
)
def test_class_files_that_are_refused(name, text, message, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(ContentError, match=message):
        read_classes(tmp_path / name)
    with pytest.raises(AbsentError, match="no such file"):
        read_classes(tmp_path / "missing")

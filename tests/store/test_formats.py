"""Every format of READERS gives the same store, and so does one that is added as CONTRIBUTING.md says."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from stored import IDS, C, X, Y

from wisecommittee import LogitStore
from wisecommittee.errors import StoreError, UsageError
from wisecommittee.store.imports.outputs import import_outputs
from wisecommittee.store.imports.segmentation import import_images
from wisecommittee.store.readers.formats import READERS, read_array, read_file
from wisecommittee.store.readers.frames import read_table


def write(path: Path, values: np.ndarray, name: str, ids: list[str]) -> Path:
    """An array as a file of the format that its ending names; with unit ids where the format has room for them."""
    columns = {name: values} if values.ndim == 1 else {str(k): values[:, k] for k in range(values.shape[1])}
    frame = pd.DataFrame({"unit_id": ids, **columns})
    if path.suffix == ".npy":
        np.save(path, values)
    elif path.suffix == ".npz":
        np.savez(path, **{name: values}, unit_id=np.array(ids))
    elif path.suffix == ".csv":
        frame.to_csv(path, index=False)
    elif path.suffix == ".jsonl":
        rows = (dict(zip(frame, row, strict=True)) for row in frame.astype(object).values.tolist())
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        frame.to_parquet(path)
    return path


def imported(folder: Path, outputs: str, labels: str) -> LogitStore:
    store = LogitStore(folder / f"store-{outputs[1:]}-{labels[1:]}")
    (folder / "models.csv").write_text("model,flops\na/0,10\n")
    named = write(folder / f"outputs{outputs}", X, "outputs", IDS), write(folder / f"labels{labels}", Y, "label", IDS)
    files = [("logits", "a/0", named[0])]
    import_outputs(store, "val", files, labels=named[1], costs=folder / "models.csv", by_position=True)
    return store


def assert_holds_x(store: LogitStore) -> None:
    ids = store.unit_ids("val")
    assert ids in (IDS, [str(i) for i in range(len(IDS))])  # arrays alone have no ids
    assert np.array_equal(store.outputs("a/0", "val"), X)
    assert np.array_equal(store.labels("val"), Y)


@pytest.mark.parametrize(("outputs", "labels"), list(itertools.product(READERS, READERS)))
def test_outputs_and_labels_of_every_format_give_the_same_store(tmp_path, small_groups, outputs, labels):
    assert_holds_x(imported(tmp_path, outputs, labels))


def test_the_example_of_a_file_format_works(tmp_path, small_groups, monkeypatch):
    section = (
        (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text().split("\n### A file format\n")[1].split("\n### ")[0]
    )
    names: dict = {}
    exec(re.search(r"```python\n(.*?)```", section, re.DOTALL)[1], names)
    path = write(tmp_path / "x.jsonl", X, "outputs", IDS)
    with pytest.raises(UsageError, match=r"x\.jsonl: .*; expected \.npy, \.npz, \.csv or \.parquet"):
        read_file(path)
    (line,) = re.findall(r"`\"(\.\w+)\": (\w+)`", section)
    monkeypatch.setitem(READERS, line[0], names[line[1]])
    assert_holds_x(imported(tmp_path, ".jsonl", ".jsonl"))
    path.write_text('{"unit_id": "a"')
    with pytest.raises(StoreError, match=r"x\.jsonl: not a readable table"):
        read_file(path)


@pytest.mark.parametrize("ending", [".npy", ".npz"])
def test_a_segmentation_takes_arrays_of_every_format(tmp_path, small_groups, ending):
    rng = np.random.default_rng(1)
    outputs = rng.normal(size=(2, 4, 4, C)).astype(np.float32)
    truth = rng.integers(0, C, (2, 4, 4))
    (tmp_path / "models.csv").write_text("model,flops\na,10\n")
    save = np.save if ending == ".npy" else np.savez
    files = [tmp_path / f"{name}{ending}" for name in ("outputs", "truth")]
    for file, values in zip(files, (outputs, truth), strict=True):
        save(file, values)
    store = LogitStore(tmp_path / "store")
    import_images(store, "val", [("logits", "a", files[0])], labels=files[1], costs=tmp_path / "models.csv", cell=2)
    counts = store.outputs("a", "val").reshape(-1, 3, C).sum(axis=0)
    predicted = outputs.argmax(axis=-1)
    hits = [int(((predicted == k) & (truth == k)).sum()) for k in range(C)]
    assert counts[0].tolist() == hits
    assert (counts[0] + counts[2]).tolist() == np.bincount(truth.reshape(-1), minlength=C).tolist()


def test_a_table_is_no_array_and_an_array_no_table(tmp_path):
    table = write(tmp_path / "x.csv", X, "outputs", IDS)
    array = write(tmp_path / "x.npy", X, "outputs", IDS)
    with pytest.raises(UsageError, match=r"x\.csv: a table; expected an array"):
        read_array(table)
    with pytest.raises(UsageError, match=r"x\.npy: an array without headings; expected a table"):
        read_table(array)

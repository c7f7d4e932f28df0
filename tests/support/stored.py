"""A small model, the files of a store that holds it, and parts and cards that a test puts in their place."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from wisecommittee.committees.cards import ModelCard
from wisecommittee.store import LogitStore

N, C = 23, 4
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, C)).astype(np.float32)
Y = RNG.integers(0, C, N)
IDS = [f"u{i:02d}" for i in range(N)]


def card(model: str = "a/0", **fields) -> ModelCard:
    return ModelCard(model, **{"blocks": {model: 10}, **fields})


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


def with_value(value, row=7, column=2):
    changed = X.astype(np.float64) if isinstance(value, float) and 1e39 < abs(value) < np.inf else X.copy()
    changed[row, column] = value
    return changed


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


def units_hash(ids, labels) -> str:
    """The definition: the lengths of the ids, the ids, the labels as 64-bit numbers."""
    lengths = b"".join(len(unit).to_bytes(4, "little") for unit in ids)
    numbers = b"".join(int(label).to_bytes(8, "little", signed=True) for label in labels)
    return hashlib.sha256(lengths + "".join(ids).encode() + numbers).hexdigest()


def failing(function: str, count: int, error: Exception, monkeypatch) -> None:
    """Let the count-th call of a function of os fail."""
    real, calls = getattr(os, function), itertools.count(1)

    def wrapped(*arguments, **keywords):
        if next(calls) == count:
            raise error
        return real(*arguments, **keywords)

    monkeypatch.setattr(os, function, wrapped)

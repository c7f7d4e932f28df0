"""Importing 50,000 x 1000 logits, against writing the same Parquet by hand with none of the checks."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.timing import cpu_seconds
from wisecommittee.committees.cards import ModelCard
from wisecommittee.store import LogitStore

UNITS, CLASSES = 50_000, 1_000


def by_hand(outputs: NDArray[np.float32], path: Path) -> None:
    values = pa.array(outputs.reshape(-1))
    kind = pa.list_(pa.field("element", values.type, nullable=False), outputs.shape[1])
    columns = {
        "unit_id": list(map(str, range(len(outputs)))),
        "outputs": pa.FixedSizeListArray.from_arrays(values, type=kind),
    }
    encoding = {"outputs.list.element": "BYTE_STREAM_SPLIT"}
    options = {"compression": "zstd", "use_dictionary": False, "column_encoding": encoding}
    pq.write_table(pa.table(columns), path, row_group_size=5_000, **options)


def through_the_gate(outputs: NDArray[np.float32], labels: NDArray[np.int64], path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    LogitStore(path).add(ModelCard("a/0", blocks={"a/0": 1}), "val", labels=labels, outputs=outputs)


def run() -> dict:
    rng = np.random.default_rng(0)
    outputs = rng.standard_normal((UNITS, CLASSES), dtype=np.float32)
    labels = rng.integers(0, CLASSES, UNITS)
    with tempfile.TemporaryDirectory() as folder:
        plain = cpu_seconds(lambda: by_hand(outputs, Path(folder, "plain.parquet")))
        stored = cpu_seconds(lambda: through_the_gate(outputs, labels, Path(folder, "logits")))
    return {
        "benchmark": f"import {UNITS:,} x {CLASSES:,} float32",
        "cpu_seconds": round(stored, 3),
        "opponent": "the same Parquet written by hand, unchecked",
        "opponent_cpu_seconds": round(plain, 3),
        "ratio": round(stored / plain, 2),
    }


if __name__ == "__main__":
    print(json.dumps(run()))

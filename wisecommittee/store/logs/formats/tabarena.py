"""TabArena and TabRepo: predictions of tabular classifiers as memory-mapped arrays.

A folder for each dataset and fold holds metadata.json {models, dataset, fold, pred_val_shape, pred_test_shape, dtype},
pred-val.dat and pred-test.dat (models x rows x classes, or models x rows: the probability of class 1), and the labels:
labels.dat, or label-val.csv.zip and label-test.csv.zip. Verified against `TabularModelPredictions._cache_data` and
`label_files.py` of github.com/autogluon/tabarena.
"""

from __future__ import annotations

import csv
import io
import json
import math
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import ContentError
from wisecommittee.reading import open_regular, parse_json, read_text
from wisecommittee.store.logs.opening import beginning, files_of, first_files
from wisecommittee.store.logs.records import MOST_RECORDS, LogFormat, LogOptions, Records

METADATA, LABELS = "metadata.json", "labels.dat"
DTYPES = ("float16", "float32", "float64")
MOST_METADATA = 16 << 20  # bytes
MOST_LABELS = 1 << 30  # bytes of the labels of a task


def matches(path: Path) -> bool:
    return path.is_dir() and any(b'"pred_val_shape"' in beginning(file) for file in first_files(path, METADATA))


def read(path: Path, options: LogOptions) -> Iterator[Records]:
    """Records of the split `options.split`; a unit is a row of a dataset and fold. Classes are numbers."""
    options.only("TabArena", "tasks")
    for file in files_of(path, METADATA):
        metadata = _metadata(file)
        task = f"{metadata['dataset']}/{metadata['fold']}"
        if options.takes(str(metadata["dataset"])) or options.takes(task):
            yield from _task(file.parent, metadata, task, "test" if options.split == "test" else "val")


def _metadata(file: Path) -> dict[str, Any]:
    try:
        metadata = parse_json(read_text(file, limit=MOST_METADATA))
        models, shapes = metadata["models"], [metadata[f"pred_{split}_shape"] for split in ("val", "test")]
        sound = (
            all(isinstance(model, str) for model in models)
            and len(set(models)) == len(models)
            and all(len(shape) in (2, 3) and shape[0] == len(models) and min(shape) > 0 for shape in shapes)
            and metadata["dtype"] in DTYPES
            and {"dataset", "fold"} <= set(metadata)
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ContentError(f"{file}: no metadata of TabArena ({type(error).__name__} {str(error)[:80]})") from None
    if not sound:
        raise ContentError(
            f"{file}: expected different models, shapes [models, rows] or [models, rows, classes], dtype "
            f"{' or '.join(DTYPES)}, dataset and fold"
        )
    return dict(metadata)


def _task(folder: Path, metadata: dict[str, Any], task: str, split: str) -> Iterator[Records]:
    file = folder / f"pred-{split}.dat"
    shape, dtype = tuple(metadata[f"pred_{split}_shape"]), np.dtype(metadata["dtype"])
    needed = math.prod(shape) * dtype.itemsize
    with open_regular(file) as source:
        size = source.seek(0, io.SEEK_END)
        if size != needed:
            raise ContentError(f"{file}: {size:,} bytes; its metadata says {needed:,}; fetch or write it again")
        predictions = np.memmap(source, dtype, "r", shape=shape)
    labels = _labels(folder, split, shape[1])
    if labels is not None and ((labels != labels.round()).any() or labels.min() < 0):
        raise ContentError(f"{folder}: labels such as {labels[0]:g} are no classes; expected a task of classification")
    for at, model in enumerate(metadata["models"]):
        for start in range(0, shape[1], MOST_RECORDS):
            outputs = np.asarray(predictions[at, start : start + MOST_RECORDS], np.float64)
            if outputs.ndim == 1:
                outputs = np.stack([1 - outputs, outputs], axis=1)
            rows = range(start, start + len(outputs))
            wrong = ~((outputs >= 0) & (outputs <= 1)).all(axis=1)
            if wrong.any():
                row = rows[int(np.flatnonzero(wrong)[0])]
                raise ContentError(f"{file}: {model}, row {row:,}: no probabilities; expected numbers from 0 to 1")
            yield Records(
                model,
                str(file),
                np.arange(rows.start + 1, rows.stop + 1, dtype=np.int64),
                [f"{task}/{row}" for row in rows],
                outputs=outputs,
                kind="probabilities",
                labels=None if labels is None else labels[rows.start : rows.stop].astype(np.int64),
            )


def _labels(folder: Path, split: str, rows: int) -> NDArray[np.float64] | None:
    """float64 [rows]; None where the folder holds no labels, or only in a pickle: then they are given apart."""
    old = folder / f"label-{split}.csv.zip"
    try:
        if (folder / LABELS).exists():
            labels = _of_dat(folder / LABELS, split)
        elif old.exists():
            labels = _of_zip(old)
        else:
            return None
    except (ValueError, KeyError, TypeError, struct.error, zipfile.BadZipFile, IndexError, csv.Error) as error:
        raise ContentError(f"{folder}: its labels cannot be read ({str(error)[:80]}); write them again") from None
    if len(labels) != rows:
        raise ContentError(f"{folder}: {len(labels):,} labels, {rows:,} predictions; expected as many")
    return labels


def _of_dat(file: Path, split: str) -> NDArray[np.float64]:
    """labels.dat: the length of its header (uint32), {split: {n, dtype}} as JSON, the labels of val, those of test."""
    with open_regular(file) as source:
        data = source.read(MOST_LABELS)
    (length,) = struct.unpack_from("<I", data)
    header = json.loads(data[4 : 4 + length])
    dtypes = {name: np.dtype(header[name]["dtype"]) for name in ("val", "test")}
    if any(dtype.kind not in "iufb" for dtype in dtypes.values()):
        raise ValueError("expected numbers")
    counts = {name: int(header[name]["n"]) for name in dtypes}
    test = 4 + length + counts["val"] * dtypes["val"].itemsize
    if min(counts.values()) < 0 or test + counts["test"] * dtypes["test"].itemsize != len(data):
        raise ValueError(f"{len(data):,} bytes; its header says another number")
    start = test if split == "test" else 4 + length
    return np.frombuffer(data, dtypes[split], counts[split], start).astype(np.float64)


def _of_zip(file: Path) -> NDArray[np.float64]:
    """label-val.csv.zip: a csv of row and label with a heading."""
    with open_regular(file) as source, zipfile.ZipFile(source) as archive:
        (member,) = archive.infolist()
        with archive.open(member) as packed:
            text = packed.read(MOST_LABELS).decode()
    return np.array([float(row[1]) for row in list(csv.reader(io.StringIO(text)))[1:]])


TABARENA = LogFormat("tabarena", "TabArena and TabRepo predictions (folders with metadata.json)", matches, read)

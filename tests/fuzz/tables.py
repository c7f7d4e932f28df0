"""Damaged files on their way into a store: arrays, tables, answers, labels, costs. What is imported has to be sound."""

from __future__ import annotations

import io
import json
import os
import warnings
import zipfile
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fuzz.damage import TEXTS, damage_file
from fuzz.product import DefectError, run

UNITS, CLASSES = 20, 3
KINDS_OF_NUMBERS = (
    "f4", ">f8", "f2", "i8", "u1", ">i2", "?", "c8", "U3", "S2", "O", "M8[s]", "m8[ns]", "V4", "f4,i4", "g"
)  # fmt: skip
SHAPES = (
    (UNITS, CLASSES),
    (UNITS,),
    (),
    (UNITS, 1),
    (1, CLASSES),
    (0, CLASSES),
    (UNITS, 0),
    (UNITS, CLASSES, 1),
    (UNITS, 2),
)


def make(folder: Path) -> None:
    random = np.random.default_rng(1)
    labels = random.integers(0, CLASSES, UNITS)
    ids = np.array([f"u{i}" for i in range(UNITS)])
    outputs = (random.standard_normal((UNITS, CLASSES)) + 2 * np.eye(CLASSES)[labels]).astype(np.float32)
    np.save(folder / "outputs.npy", outputs)
    np.savez(folder / "outputs.npz", outputs=outputs, unit_id=ids)
    np.savez_compressed(folder / "packed.npz", outputs=outputs, unit_id=ids)
    frame = pd.DataFrame(outputs, columns=[str(c) for c in range(CLASSES)])
    frame.insert(0, "unit_id", ids)
    frame.to_csv(folder / "outputs.csv", index=False)
    frame.to_parquet(folder / "outputs.parquet", index=False)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(outputs.reshape(-1)), CLASSES)
    pq.write_table(pa.table({"unit_id": ids, "outputs": lists}), folder / "lists.parquet")
    np.save(folder / "labels.npy", labels)
    known = pd.DataFrame({"unit_id": ids, "label": labels})
    known.to_csv(folder / "labels.csv", index=False)
    known.to_parquet(folder / "labels.parquet", index=False)
    (folder / "models.csv").write_text(
        "model,flops,architecture,replica,params,latency_ms,usd,training_cost,blocks\n"
        'm,1e6,net,0,"1,234",1.5,0.25,1e12,trunk:900000;head:100000\nother,5,x,1,2,3,4,5,\n'
    )
    answers = pd.DataFrame(
        {
            "unit_id": np.repeat(ids, 2),
            "model": ["small", "large"] * UNITS,
            "answer": [f"city {i % 5}" for i in range(2 * UNITS)],
            "confidence": random.random(2 * UNITS).round(3),
            "usd": random.random(2 * UNITS).round(3) + 0.001,
            "label": [f"city {i // 2 % 5}" for i in range(2 * UNITS)],
        }
    )
    answers.to_csv(folder / "answers.csv", index=False)
    answers.assign(score=random.random(2 * UNITS)).to_parquet(folder / "answers.parquet", index=False)
    known = pd.DataFrame({"unit_id": ids, "length": random.integers(1, 9, UNITS), "task": ["a", "b"] * (UNITS // 2)})
    known.to_csv(folder / "features.csv", index=False)
    known.to_parquet(folder / "features.parquet", index=False)
    cells = random.standard_normal((2, 4, 4, CLASSES)).astype(np.float32)
    np.save(folder / "cells.npy", cells)
    np.save(folder / "pixels.npy", random.integers(0, CLASSES, (2, 4, 4)).astype(np.uint8))
    np.savez(folder / "data.npz", x=outputs, y=labels, ids=ids)
    (folder / "case.json").write_text("{}")


ROUTES: dict[str, tuple[str, ...]] = {  # each file and what it is imported with
    "outputs.npy": ("--labels", "labels.npy", "--costs", "models.csv", "--logits", "m=outputs.npy"),
    "outputs.npz": ("--labels", "labels.csv", "--costs", "models.csv", "--logits", "m=outputs.npz"),
    "packed.npz": ("--labels", "labels.csv", "--costs", "models.csv", "--logits", "m=packed.npz"),
    "outputs.csv": ("--labels", "labels.csv", "--costs", "models.csv", "--logits", "m=outputs.csv"),
    "outputs.parquet": ("--labels", "labels.parquet", "--costs", "models.csv", "--logits", "m=outputs.parquet"),
    "lists.parquet": ("--labels", "labels.parquet", "--costs", "models.csv", "--logits", "m=lists.parquet"),
    "labels.npy": ("--labels", "labels.npy", "--costs", "models.csv", "--logits", "m=outputs.npy"),
    "labels.csv": ("--labels", "labels.csv", "--costs", "models.csv", "--logits", "m=outputs.npz"),
    "labels.parquet": ("--labels", "labels.parquet", "--costs", "models.csv", "--logits", "m=outputs.npz"),
    "models.csv": ("--labels", "labels.csv", "--costs", "models.csv", "--logits", "m=outputs.npz"),
    "answers.csv": ("--answers", "answers.csv"),
    "answers.parquet": ("--answers", "answers.parquet"),
    "features.csv": ("--answers", "answers.csv", "--features", "features.csv"),
    "features.parquet": ("--answers", "answers.csv", "--features", "features.parquet"),
    "cells.npy": ("--cell", "2", "--labels", "pixels.npy", "--costs", "models.csv", "--logits", "m=cells.npy"),
    "pixels.npy": ("--cell", "2", "--labels", "pixels.npy", "--costs", "models.csv", "--logits", "m=cells.npy"),
}


def damage(folder: Path, random: Random) -> str:
    """One of the files: its bytes, its cells, its types, its shape."""
    name = random.choice(sorted(ROUTES))
    (folder / "case.json").write_text(json.dumps(name))
    path = folder / name
    others = [folder / other for other in sorted(ROUTES)]
    if random.random() < 0.4:
        return damage_file(path, random, others)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if path.suffix == ".npy":
            return f"{name}: {_array(path, random)}"
        if path.suffix == ".npz":
            return f"{name}: {_archive(path, random)}"
        if path.suffix == ".csv":
            return f"{name}: {_csv(path, random)}"
        return f"{name}: {_parquet(path, random)}"


def _array(path: Path, random: Random) -> str:
    what = random.choice(("type", "shape", "values", "header", "order", "header text"))
    array = np.load(path)
    if what == "type":
        kind = random.choice(KINDS_OF_NUMBERS)
        try:
            array = array.astype(kind)
        except (TypeError, ValueError):
            array = np.zeros(array.shape, kind)
        np.save(path, array, allow_pickle=True)
        return f"type {kind}"
    if what == "shape":
        shape = random.choice(SHAPES)
        np.save(path, np.resize(array, shape))
        return f"shape {shape}"
    if what == "values":
        value = random.choice((np.nan, np.inf, -np.inf, 3.3e38, -3.4e38, 1e-45, -1, 255, 2.5))
        array = np.zeros(array.shape, random.choice(("f4", "f8"))) if array.dtype.kind == "U" else array.astype("f8")
        array.reshape(-1)[random.randrange(array.size) :: random.choice((1, 7, 1000))] = value
        np.save(path, array)
        return f"{value} in it"
    if what == "order":
        np.save(path, np.asfortranarray(array))
        return "by columns"
    header = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape}
    if what == "header":
        field, value = random.choice(
            (
                ("shape", (1 << 62, 3)), ("shape", (-1, 3)), ("shape", (UNITS, CLASSES + 1)), ("shape", (True, 3)),
                ("shape", "x"), ("shape", (UNITS, 1 << 40)), ("shape", (0, 1 << 62)), ("descr", "|O"),
                ("descr", "f4,i4"), ("descr", "<U0"), ("descr", [("a", "<f4")]), ("descr", "x"), ("descr", 3),
                ("fortran_order", True),
                ("fortran_order", 7), ("more", 1), ("descr", "<U1000000000"), ("descr", "<f16"), ("descr", ">f4"),
            )
        )  # fmt: skip
        header[field] = value
    text = repr(header)
    if what == "header text":
        at = random.randrange(len(text))
        text = text[:at] + random.choice(("(", "'", "]", "\\", "\n", "#", "lambda:0", "(" * 300, "é", "1j")) + text[at:]
    encoded = text.encode() + b"\n"
    version = random.choice((1, 1, 2, 3, 9))
    length = len(encoded).to_bytes(2 if version == 1 else 4, "little")
    path.write_bytes(b"\x93NUMPY" + bytes([version, 0]) + length + encoded + array.tobytes())
    return f"header {version} {text[:80]}"


def _archive(path: Path, random: Random) -> str:
    members = dict(np.load(path))
    what = random.choice(("member", "foreign", "gone", "twice", "claim", "names", "method", "bomb", "encrypted"))
    if what == "member":
        name = random.choice(sorted(members))
        other = path.with_name("member.npy")
        np.save(other, members[name])
        done = _array(other, random)
        with zipfile.ZipFile(path, "w") as archive:
            for kept in members:
                if kept != name:
                    archive.writestr(f"{kept}.npy", _npy(members[kept]))
            archive.writestr(f"{name}.npy", other.read_bytes())
        return f"{name}: {done}"
    if what == "foreign":
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(random.choice(("readme.txt", "x.npy", "../up.npy", "a/b.npy", "unit_ids.npy")), b"hello")
        return what
    if what == "gone":
        members.pop(random.choice(sorted(members)))
        np.savez(path, **members)
        return what
    if what == "twice":
        with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as archive:
            warnings.simplefilter("ignore")
            archive.writestr("outputs.npy", _npy(members["outputs"]))
        return what
    if what == "names":
        np.savez(path, **{random.choice(("a", "unit_id", "é", "x" * 300)): members["outputs"]})
        return what
    if what == "bomb":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            rows = random.choice((UNITS, 30_000_000))
            zeros = np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), (rows, CLASSES), (0, 0))
            head = io.BytesIO()
            described = {"descr": "<f4", "fortran_order": False, "shape": zeros.shape}
            np.lib.format.write_array_header_1_0(head, described)
            archive.writestr("outputs.npy", head.getvalue() + bytes(12 * UNITS))
        return f"{rows} rows claimed"
    raw = bytearray(path.read_bytes())
    at = raw.find(b"PK\x01\x02")
    field, width = {"claim": (24, 4), "method": (10, 2), "encrypted": (8, 2)}[what]
    value = random.choice((0, 1, 8, 99, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE)) & ((1 << 8 * width) - 1)
    raw[at + field : at + field + width] = value.to_bytes(width, "little")
    path.write_bytes(raw)
    return f"{what} {value}"


def _npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def _csv(path: Path, random: Random) -> str:
    rows = [line.split(",") for line in path.read_text().splitlines()]
    what = random.choice(("cell", "cell", "heading", "row", "column", "long", "twice", "quotes", "encoding", "ends"))
    row, column = random.randrange(len(rows)), random.randrange(len(rows[0]))
    text = random.choice(TEXTS)
    if what in ("cell", "heading"):
        row = 0 if what == "heading" else row
        if column < len(rows[row]):
            rows[row][column] = text
    elif what == "row":
        rows[row] = rows[row][:column] if random.random() < 0.5 else rows[row] + ["x"]
    elif what == "column":
        for i, cells in enumerate(rows):
            cells.insert(column, random.choice(("Unnamed: 0", "id", "index", text)) if not i else str(i - 1))
    elif what == "long":
        rows[row] = rows[row] + ["7"] * 10_000
    elif what == "twice":
        rows.insert(row, rows[row])
    content = "\n".join(",".join(cells) for cells in rows) + "\n"
    if what == "quotes":
        at = random.randrange(len(content))
        content = content[:at] + random.choice(('"', '""', "'", '"\n')) + content[at:]
    data = content.encode("utf-8", "surrogatepass")
    if what == "encoding":
        data = content.encode(random.choice(("utf-16", "utf-32", "utf-8-sig", "latin-1")), "replace")
    if what == "ends":
        data = data.replace(b"\n", random.choice((b"\r", b"\r\n", b"\n\n", b"\0\n")))
    path.write_bytes(data)
    return f"{what} {row} {column} {text[:20]!r}"


def _parquet(path: Path, random: Random) -> str:
    table = pq.read_table(path)
    place = random.randrange(table.num_columns)
    name, column = table.column_names[place], table.column(place)
    what = random.choice(("type", "null", "twice", "renamed", "gone", "nested", "index", "bomb", "values", "text"))
    options: dict[str, Any] = {}
    if what == "type":
        kinds = (pa.string(), pa.large_string(), pa.binary(), pa.float64(), pa.int8(), pa.bool_(), pa.decimal128(20, 3),
                 pa.timestamp("us"), pa.date32(), pa.float16(), pa.uint64(), pa.null(), pa.string_view())  # fmt: skip
        kind = random.choice(kinds)
        try:
            table = table.set_column(place, name, column.cast(kind, safe=False))
        except (pa.ArrowException, NotImplementedError):
            table = table.set_column(place, name, pa.nulls(len(table), kind))
        what = f"{what} {kind}"
    elif what == "null":
        keep = pa.array([random.random() > 0.1 for _ in range(len(table))])
        table = table.set_column(place, name, pa.array(column.to_pylist(), column.type, mask=np.invert(keep)))
    elif what == "twice":
        table = table.append_column(name, column)
    elif what == "renamed":
        table = table.rename_columns([random.choice(TEXTS).encode("utf-8", "replace").decode() if i == place else n
                                      for i, n in enumerate(table.column_names)])  # fmt: skip
    elif what == "gone":
        table = table.remove_column(place)
    elif what == "nested":
        table = table.set_column(place, name, pa.array([[value] for value in column.to_pylist()]))
    elif what == "index":
        frame = table.to_pandas().set_index(name)
        frame.to_parquet(path)
        return f"{name}: as index"
    elif what == "bomb":
        rows = 40_000_000
        table = pa.table(
            {name: pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int8)), pa.array(["x" * 50]))}
        )
        options = {"row_group_size": rows, "compression": "zstd"}
    elif what == "values":
        values = column.to_pylist()
        value = random.choice((float("nan"), float("inf"), -1, 1 << 62, 2.5)) if column.type in (
            pa.int64(), pa.float64(), pa.float32()) else random.choice(("", " ", "x" * 20_000))  # fmt: skip
        values[random.randrange(len(values))] = value
        try:
            table = table.set_column(place, name, pa.array(values))
        except (pa.ArrowException, OverflowError):
            return "nothing"
    elif what == "text":
        table = table.set_column(place, name, pa.array([str(value) for value in column.to_pylist()]))
    try:
        pq.write_table(table, path, **options)
    except (pa.ArrowException, OSError):
        return "nothing"
    return f"{name}: {what}"


def attempt(folder: Path, random: Random) -> None:
    """Import it; what came in is sound, and can be searched."""
    name = json.loads((folder / "case.json").read_text())
    kinds = {"--logits": "--probabilities"} if random.random() < 0.1 else {}
    code, out, err = run("import", "--store", "store", *(kinds.get(word, word) for word in ROUTES[name]))
    if code:
        if os.path.exists("store/val") and any(path.is_file() for path in Path("store").rglob("card.json")):
            raise DefectError(f"refused with {err}, and a model is in the store")
        return
    code, out, err = run("verify", "--store", "store")
    if code:
        raise DefectError(f"imported, and verify says: {out}{err}")
    cost = ("--cost", "usd") if name.startswith(("answers", "features")) else ()
    if name.startswith("features"):
        cost = (*cost, "--policy", "router")
    run("search", "--store", "store", "--max-models", 2, "--levels", 5, "--threads", 1, *cost)

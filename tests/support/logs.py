"""A small format of logs, for tests: JSON lines whose keys are the fields of a record."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from wisecommittee.store.logs.json_lines import json_lines
from wisecommittee.store.logs.opening import beginning, files_of
from wisecommittee.store.logs.records import LogFormat, LogOptions, Records

BLOCK = 7  # records of a block: a log of a few lines has several


def read(path: Path, options: LogOptions) -> Iterator[Records]:
    for file in files_of(path, "*.jsonl"):
        rows = [(number, row) for number, row in json_lines(file)]
        for start in range(0, len(rows), BLOCK):
            block = rows[start : start + BLOCK]
            for (model, sample), group in groupby(block, key=lambda row: (row[1]["model"], row[1].get("sample", 0))):
                yield records(model, sample, str(file), list(group))


def records(model: str, sample: int, file: str, rows: list[tuple[int, dict[str, Any]]]) -> Records:
    def column(name: str) -> list[Any]:
        return [row.get(name) for _, row in rows]

    def numbers(prefix: str) -> dict[str, np.ndarray]:
        names = dict.fromkeys(name for _, row in rows for name in row if name.startswith(prefix))
        return {name.removeprefix(prefix): np.array(column(name), np.float64) for name in names}

    outputs = [np.array(values, np.float64) for values in column("outputs")] if "outputs" in rows[0][1] else None
    features = dict.fromkeys(name for _, row in rows for name in row if name.startswith("feature:"))
    return Records(
        model,
        file,
        np.array([number for number, _ in rows]),
        [row["unit"] for _, row in rows],
        answers=None if outputs else column("answer"),
        outputs=outputs,
        kind="logits" if outputs else "answers",
        labels=np.array(column("label")) if outputs else column("label"),
        grades=np.array(column("grade"), np.float64) if any("grade" in row for _, row in rows) else None,
        scores=numbers("score:"),
        unit_costs=numbers("cost:"),
        features={name.removeprefix("feature:"): column(name) for name in features},
        sample=sample,
    )


def matches(path: Path) -> bool:
    files = sorted(path.glob("*.jsonl*")) if path.is_dir() else [path]
    return bool(files) and b'"unit"' in beginning(files[0])


TINY = LogFormat("tiny", "JSON lines of tests", matches, read)
FREE = LogFormat("free", "the same, in free form", lambda path: False, read, free_text=True)


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path

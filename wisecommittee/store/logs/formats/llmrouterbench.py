"""LLMRouterBench: a JSON file for each model and dataset, `bench/<dataset>/<split>/<model>/*.json`.

Verified against `data_collector/storage.py` of github.com/ynulihao/LLMRouterBench.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from wisecommittee.errors import ContentError
from wisecommittee.store.logs.json_records import json_records
from wisecommittee.store.logs.opening import beginning, files_of, first_files, plain_name
from wisecommittee.store.logs.records import MOST_RECORDS, LogFormat, LogOptions, Records

COSTS = {"cost": "usd", "prompt_tokens": "prompt_tokens", "completion_tokens": "completion_tokens"}
_FIRST = re.compile(rb'\s*\{\s*"performance"\s*:')
_TIME = re.compile(r"(\d{8}_\d{6})\.json")


def matches(path: Path) -> bool:
    return any(_is_result(file) for file in first_files(path, "*.json"))


def _is_result(file: Path) -> bool:
    data = beginning(file)
    return plain_name(file).endswith(".json") and bool(_FIRST.match(data)) and b'"counts"' in data


def read(path: Path, options: LogOptions) -> Iterator[Records]:
    """Records in blocks; the answer of a unit is its `prediction`, or the whole output where none was extracted."""
    options.only("LLMRouterBench", "tasks")
    for file, (dataset, split, model) in _latest(files_of(path, "*.json")).items():
        if not options.takes(dataset) and not options.takes(f"{dataset}/{split}"):
            continue
        records = json_records(file, "records")
        while block := list(islice(records, MOST_RECORDS)):
            yield _records(file, f"{dataset}/{split}", model, [(number, record) for number, record, _ in block])


def _latest(files: list[Path]) -> dict[Path, tuple[str, str, str]]:
    """{file: (dataset, split, model)}: of several files of a model on a dataset the newest by the time in its name, as
    the benchmark itself reads them. Trial runs (`demo`) are left out."""
    newest: dict[tuple[str, str, str], Path] = {}
    for file in files:
        if not _is_result(file):
            raise ContentError(f"{file}: no result of LLMRouterBench; expected performance, counts and records")
        head = next((head for _, _, head in json_records(file, "records")), {})
        if head.get("demo"):
            continue
        dataset, split, model = file.absolute().parts[-4:-1]
        run = (
            str(head.get("dataset_name") or dataset),
            str(head.get("split") or split),
            str(head.get("model_name") or model),
        )
        if run not in newest or _time(file) > _time(newest[run]):
            newest[run] = file
    return {file: run for run, file in newest.items()}


def _time(file: Path) -> str:
    match = _TIME.search(file.name)
    return match[1] if match else ""


def _records(file: Path, task: str, model: str, block: list[tuple[int, dict[str, Any]]]) -> Records:
    lines = np.array([number for number, _ in block], np.int64)
    content = [record for _, record in block]

    def number(at: int, name: str, most: float = math.inf) -> float:
        value = content[at].get(name)
        if value is None or value != value:
            return math.nan
        if isinstance(value, bool | int | float) and 0 <= value <= most and math.isfinite(value):
            return float(value)
        bounds = f"a number from 0 to {most:g}" if most < math.inf else "a number from 0"
        raise ContentError(f"{file}: record {lines[at]:,}: {name} {str(value)[:40]!r}; expected {bounds}")

    for at, record in enumerate(content):
        index = record.get("index")
        if isinstance(index, bool) or not isinstance(index, int | str):
            raise ContentError(f"{file}: record {lines[at]:,}: index {str(index)[:40]}; expected a number or text")
    return Records(
        model,
        str(file),
        lines,
        [f"{task}/{record['index']}" for record in content],
        answers=[_text(record.get("prediction")) or _text(record.get("raw_output")) for record in content],
        labels=[_text(record.get("ground_truth")) for record in content],
        grades=np.array([number(at, "score", 1) for at in range(len(content))]),
        unit_costs={cost: np.array([number(at, name) for at in range(len(content))]) for name, cost in COSTS.items()},
        features={
            "task": [task] * len(content),
            "prompt_characters": np.array([float(len(_text(record.get("prompt")) or "")) for record in content]),
        },
    )


def _text(value: Any) -> str | None:
    """A field as text; None where it is null or empty."""
    if value is None or isinstance(value, str):
        return value or None
    return json.dumps(value, ensure_ascii=False)


LLMROUTERBENCH = LogFormat(
    "llmrouterbench", "LLMRouterBench results (.json, one for each model and dataset)", matches, read, free_text=True
)

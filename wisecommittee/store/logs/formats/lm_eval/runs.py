"""The runs in a folder of lm-evaluation-harness, and their lines."""

from __future__ import annotations

import re
import warnings
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from wisecommittee.errors import AbsentNameError, ContentError, UsageError, counted, option
from wisecommittee.store.logs.json_lines import json_document, json_lines
from wisecommittee.store.logs.opening import files_of, plain_name
from wisecommittee.store.logs.records import LogOptions

PATTERNS = ("samples_*.jsonl", "samples_*.json")
UNFILTERED = "none"  # the filter of tasks that have no filters
_DATE = r"_(?P<date>\d{4}-\d\d-\d\dT[^_]*)"
_SAMPLES = re.compile(rf"samples_(?P<task>.+?)(?:{_DATE})?\.jsonl?")
_RESULTS = re.compile(rf"(?!samples_).*{_DATE}\.json")

Line = tuple[int, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Run:
    """The log of one model on one task. date : '' where the name of the file has none."""

    file: Path
    model: str
    task: str
    date: str


@dataclass(frozen=True, slots=True)
class Documents:
    """Which document each doc_id of a task is: models can be compared only on the same documents."""

    hashes: dict[str, dict[Any, int]] = field(default_factory=lambda: defaultdict(dict))
    first: dict[str, Path] = field(default_factory=dict)

    def check(self, run: Run, line: int, record: dict[str, Any]) -> None:
        known = hash((record.get("doc_hash"), record.get("target_hash") or str(record["target"])))
        if self.hashes[run.task].setdefault(record["doc_id"], known) != known:
            raise ContentError(
                f"{run.file}: line {line:,}: doc_id {record['doc_id']} of {run.task} is another document than in "
                f"{self.first[run.task]} (doc_hash or target_hash differs); evaluate all models on the same documents, "
                f"with one version of the task"
            )
        self.first.setdefault(run.task, run.file)


def newest_runs(path: Path, options: LogOptions) -> list[Run]:
    """The runs to read, sorted by model and task: of several runs of a model on a task, the newest."""
    found: dict[tuple[str, str], list[Run]] = defaultdict(list)
    names: dict[Path, dict[str, str]] = {}
    for file in files_of(path, *PATTERNS):
        folder = file.absolute().parent
        if folder not in names:
            names[folder] = _named_by_results(folder)
        parts = _SAMPLES.fullmatch(plain_name(file))
        task, date = (parts["task"], parts["date"] or "") if parts else (Path(plain_name(file)).stem, "")
        several = set(names[folder].values())
        model = names[folder].get(date) or (several.pop() if len(several) == 1 else folder.name)
        found[model, task].append(Run(file, model, task, date))
    kept = {key: sorted(runs, key=lambda run: run.date) for key, runs in found.items() if options.takes(key[1])}
    if not kept:
        raise AbsentNameError("task", ", ".join(options.tasks), {task for _, task in found})
    repeated = [runs[-1] for runs in kept.values() if len(runs) > 1]
    if repeated:
        warnings.warn(
            f"{path}: {counted(len(repeated), 'task')} with several runs of a model, such as {repeated[0].task} of "
            f"{repeated[0].model}; the newest is read, here of {repeated[0].date}",
            stacklevel=3,
        )
    return [kept[key][-1] for key in sorted(kept)]


def _named_by_results(folder: Path) -> dict[str, str]:
    """{date: model} of the files of results, results_<date>.json, that stand beside the samples."""
    names = {}
    for file in folder.iterdir():
        if (parts := _RESULTS.fullmatch(file.name)) is not None:
            name = json_document(file).get("model_name")
            if isinstance(name, str) and name:
                names[parts["date"]] = name
    return names


def lines_of(run: Run, options: LogOptions, documents: Documents) -> Iterator[Line]:
    """The lines of one filter, with the fields that all tasks have."""
    chosen = None if options.filter is None else _known_filter(run, options.filter)
    lines = _records(run)
    for line, record in lines:
        this = record["filter"]
        chosen = this if chosen is None else chosen
        if this != chosen and options.filter is None:
            known = sorted({chosen, this} | {other["filter"] for _, other in lines})
            listed = f"{run.file}: {run.task} has the filters {', '.join(known)}"
            raise UsageError(f"{listed}; choose one with {option('filter', known[0])}")
        if this == chosen:
            documents.check(run, line, record)
            yield line, record


def _known_filter(run: Run, name: str) -> str:
    """The filter of this name; UNFILTERED if the task has no filters."""
    known = {record["filter"] for _, record in _records(run)}
    if name not in known and known - {UNFILTERED}:
        raise AbsentNameError(f"filter of {run.task}", name, known)
    return name if name in known else UNFILTERED


def _records(run: Run) -> Iterator[Line]:
    for line, record in json_lines(run.file):
        record = {"filter": UNFILTERED, "target": "", **record}
        requests = record.get("arguments")
        if isinstance(requests, dict):  # gen_args_0, gen_args_1, ..
            requests = [list(each.values()) if isinstance(each, dict) else each for each in requests.values()]
        checks = (
            ("doc_id", isinstance(record.get("doc_id"), int | str)),
            ("filter", isinstance(record["filter"], str)),
            ("arguments", isinstance(requests, list) and requests and all(isinstance(r, list) and r for r in requests)),
            ("filtered_resps", isinstance(record.get("filtered_resps"), list) and record["filtered_resps"]),
        )
        for name, good in checks:
            if not good:
                raise ContentError(
                    f"{run.file}: line {line:,}: {name} is {str(record.get(name))[:40]!r}; expected a line of "
                    f"--log_samples, which has doc_id, arguments, filtered_resps and filter"
                )
        record["arguments"] = requests
        yield line, record


def prompt_characters(record: dict[str, Any]) -> float:
    """The number of characters of the prompt."""
    return float(len(str(record["arguments"][0][0])))


def peeked(lines: Iterator[Line], run: Run) -> tuple[Line, Iterator[Line]]:
    """The first line, and all lines; ContentError if there is none."""
    first = next(lines, None)
    if first is None:
        raise ContentError(f"{run.file}: no records; evaluate {run.task} again with --log_samples")
    return first, chain([first], lines)

"""Every Eval Ever: `<id>_samples.jsonl`, a line for each sample and metric.

Verified against the schema of every_eval_ever 0.3.0 (schemas/instance_level_eval.schema.json) and against what its
converters of lm-evaluation-harness, Inspect and HELM write. Version 0.2 has the same fields.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from wisecommittee.errors import AbsentNameError, ContentError, UsageError, option
from wisecommittee.store.logs.formats.every_eval_ever.samples import COSTS, Sample, epoch_of, lines_of, sample_of
from wisecommittee.store.logs.opening import beginning, files_of, first_files
from wisecommittee.store.logs.records import MOST_RECORDS, LogFormat, LogOptions, Records

PATTERN = "*_samples.jsonl"


def matches(path: Path) -> bool:
    return any(
        b'"schema_version"' in start and b'"evaluation_id"' in start
        for start in map(beginning, first_files(path, PATTERN))
    )


def read(path: Path, options: LogOptions) -> Iterator[Records]:
    """Records in blocks; epochs, as the converter of Inspect numbers them, are samples."""
    options.only("Every Eval Ever", "tasks", "metric")
    files = files_of(path, PATTERN)
    metrics = _metrics(files, options)
    for file in files:
        kept: dict[tuple[str, int], list[Sample]] = defaultdict(list)
        for line, record in lines_of(file):
            task = record["evaluation_name"]
            if task in metrics and metrics[task] == record.get("evaluation_result_id"):
                unit = f"{task}/{record['sample_id']}" if len(metrics) > 1 else record["sample_id"]
                kept[record["model_id"], epoch_of(record)].append(
                    sample_of(f"{file}: line {line:,}", line, unit, record)
                )
            if sum(map(len, kept.values())) >= MOST_RECORDS:
                yield from _blocks(file, kept, several=len(metrics) > 1)
                kept.clear()
        yield from _blocks(file, kept, several=len(metrics) > 1)


def _metrics(files: list[Path], options: LogOptions) -> dict[str, str | None]:
    """{task to read: evaluation_result_id of the metric that is its quality}."""
    found: dict[str, set[str | None]] = defaultdict(set)
    for file in files:
        for _, record in lines_of(file):
            found[record["evaluation_name"]].add(record.get("evaluation_result_id"))
    if not found:
        raise ContentError(f"{files[0]}: no records; convert or fetch it again")
    kept: dict[str, str | None] = {}
    for task, metrics in found.items():
        if options.takes(task):
            known = sorted(map(str, metrics - {None}))
            if options.metric is not None and options.metric not in known:
                raise AbsentNameError(f"metric of {task}", options.metric, known)
            if options.metric is None and len(metrics) > 1:
                raise UsageError(
                    f"{task}: the metrics {', '.join(known)}; choose one with {option('metric', known[0])}"
                )
            kept[task] = options.metric or next(iter(metrics))
    if not kept:
        raise AbsentNameError("task", ", ".join(options.tasks), found)
    return kept


def _blocks(file: Path, kept: dict[tuple[str, int], list[Sample]], *, several: bool) -> Iterator[Records]:
    for (model, sample), samples in kept.items():
        costs = dict(zip(COSTS.values(), np.array([each.costs for each in samples]).T, strict=True))
        task = {"task": [each.task for each in samples]} if several else {}
        yield Records(
            model,
            str(file),
            np.array([each.line for each in samples]),
            [each.unit for each in samples],
            answers=[each.answer for each in samples],
            labels=[each.label for each in samples],
            grades=np.array([each.grade for each in samples]),
            unit_costs={name: values for name, values in costs.items() if not np.isnan(values).all()},
            features={**task, "prompt_characters": np.array([each.prompt for each in samples])},
            sample=sample,
        )


EVERY_EVAL_EVER = LogFormat(
    "every-eval-ever", "Every Eval Ever: ID_samples.jsonl of its schema 0.3", matches, read, free_text=True
)

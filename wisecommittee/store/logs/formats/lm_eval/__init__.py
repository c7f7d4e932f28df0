"""lm-evaluation-harness: what `--log_samples` writes, `<model>/samples_<task>_<date>.jsonl`.

A line for each document and filter, verified against lm_eval 0.4.13. Tasks of multiple choice give the log-likelihoods
of the choices, others a text and its metric.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from wisecommittee.errors import UsageError, option
from wisecommittee.store.logs.formats.lm_eval.choices import choices_records, is_choices
from wisecommittee.store.logs.formats.lm_eval.runs import PATTERNS, Documents, Run, lines_of, newest_runs, peeked
from wisecommittee.store.logs.formats.lm_eval.texts import text_records
from wisecommittee.store.logs.opening import beginning, first_files
from wisecommittee.store.logs.records import LogFormat, LogOptions, Records


def matches(path: Path) -> bool:
    return any(
        start.lstrip().startswith(b"{") and b'"doc_id"' in start and b'"arguments"' in start
        for start in map(beginning, first_files(path, *PATTERNS))
    )


def read(path: Path, options: LogOptions) -> Iterator[Records]:
    """Records in blocks, model by model and task by task."""
    options.only("lm-eval", "tasks", "metric", "filter", "per_byte")
    runs = newest_runs(path, options)
    several = len({run.task for run in runs}) > 1
    documents = Documents()
    kinds: dict[bool, Run] = {}
    for run in runs:
        (_, first), lines = peeked(lines_of(run, options, documents), run)
        kinds.setdefault(is_choices(first), run)
        if len(kinds) > 1:
            raise UsageError(
                f"{kinds[True].task} has log-likelihoods of choices, {kinds[False].task} texts; import them into "
                f"different splits, each with {option('tasks', placeholder='GLOB', flag='task')}"
            )
        records = choices_records if is_choices(first) else text_records
        for block in records(run, lines, options):
            yield _with_task(block, run.task) if several else block


def _with_task(block: Records, task: str) -> Records:
    """Records of one of several tasks: the task is a feature, and part of the unit ids."""
    features = {"task": [task] * len(block), **block.features}
    return replace(block, unit_ids=[f"{task}/{unit}" for unit in block.unit_ids], features=features)


LM_EVAL = LogFormat(
    "lm-eval", "lm-evaluation-harness: samples_TASK_DATE.jsonl of --log_samples", matches, read, free_text=True
)

"""Tasks of lm-evaluation-harness in which a model writes text: the text that the filter leaves, and its metric."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np

from wisecommittee.errors import AbsentNameError, ContentError, UsageError, option
from wisecommittee.store.logs.formats.lm_eval.runs import Line, Run, prompt_characters
from wisecommittee.store.logs.records import MOST_RECORDS, LogOptions, Records

USUAL = "exact_match"  # the metric, where there are several
UNFOUND = "[invalid]"  # what the harness's filters write where they find no answer
_FIELDS = frozenset(
    "doc_id doc target arguments resps filtered_resps filter metrics doc_hash prompt_hash target_hash".split()  # noqa: SIM905
)


def text_records(run: Run, lines: Iterator[Line], options: LogOptions) -> Iterator[Records]:
    """Records of kind 'answers' in blocks."""
    if options.per_byte:
        raise UsageError(
            f"{option('per_byte', True)}: {run.task} has texts, no log-likelihoods of choices; leave it out"
        )
    metric: str | None = None
    while True:
        kept = []
        for line, record in islice(lines, MOST_RECORDS):
            answer = _answer(run, line, record)
            metric = metric or _metric(run, line, record, options.metric)
            grade = _grade(run, line, record, metric)
            kept.append((line, str(record["doc_id"]), answer, grade, str(record["target"]), prompt_characters(record)))
        if not kept:
            return
        numbers, units, answers, grades, targets, prompts = zip(*kept, strict=True)
        yield Records(
            run.model,
            str(run.file),
            np.array(numbers),
            list(units),
            answers=list(answers),
            labels=[target or None for target in targets],
            grades=np.array(grades),
            features={"prompt_characters": np.array(prompts)},
        )


def _metric(run: Run, line: int, record: dict[str, Any], wanted: str | None) -> str:
    """The metric that is the quality: the one that is asked for, the usual one or the only one."""
    names = record["metrics"] if isinstance(record.get("metrics"), list) else sorted(set(record) - _FIELDS)
    known = [name for name in names if isinstance(record.get(name), bool | int | float)]
    if wanted is not None:
        if wanted not in known:
            raise AbsentNameError(f"metric of {run.task}", wanted, known)
        return wanted
    if USUAL in known or len(known) == 1:
        return USUAL if USUAL in known else known[0]
    if not known:
        raise ContentError(
            f"{run.file}: line {line:,}: no metric with a number; expected one, such as {USUAL}; leave {run.task} out "
            f"with {option('tasks', placeholder='GLOB', flag='task')}"
        )
    raise UsageError(f"{run.file}: the metrics {', '.join(known)}; choose one with {option('metric', known[0])}")


def _grade(run: Run, line: int, record: dict[str, Any], metric: str) -> float:
    value = record.get(metric)
    if isinstance(value, bool | int | float) and 0 <= value <= 1:
        return float(value)
    raise ContentError(
        f"{run.file}: line {line:,}: {metric} is {str(value)[:40]!r}; expected a number from 0 to 1; choose another "
        f"metric with {option('metric', placeholder='NAME')}"
    )


def _answer(run: Run, line: int, record: dict[str, Any]) -> str | None:
    """The text that the filter leaves; None where it is empty or the filter found none."""
    value: Any = record["filtered_resps"]
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, list) and len(value) == 2 and str(value[1]) in ("True", "False"):
        raise ContentError(
            f"{run.file}: line {line:,}: the log-likelihood of one text; expected those of several choices, or an "
            f"answer; leave {run.task} out with {option('tasks', placeholder='GLOB', flag='task')}"
        )
    if not isinstance(value, str):
        raise ContentError(
            f"{run.file}: line {line:,}: filtered_resps {str(value)[:60]}; expected one text; choose a filter that "
            f"takes one, such as take_first, with {option('filter', placeholder='NAME')}"
        )
    return None if not value.strip() or value == UNFOUND else value

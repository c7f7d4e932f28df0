"""Tasks of multiple choice of lm-evaluation-harness: the log-likelihood of each choice, and which choice is right."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np

from wisecommittee.errors import ContentError, UsageError, option
from wisecommittee.store.logs.formats.lm_eval.runs import Line, Run, prompt_characters
from wisecommittee.store.logs.formats.lm_eval.targets import (
    MOST_DIFFERENT,
    Document,
    different_lines,
    no_choice,
    other_scoring,
    reading_of,
    telling_metric,
)
from wisecommittee.store.logs.records import MOST_RECORDS, LogOptions, Records


def is_choices(record: dict[str, Any]) -> bool:
    """Whether a line holds log-likelihoods of several choices."""
    return len(record["arguments"]) > 1 and len(record["filtered_resps"]) == len(record["arguments"])


def choices_records(run: Run, lines: Iterator[Line], options: LogOptions) -> Iterator[Records]:
    """Records of kind 'logits' in blocks; labels are numbers of choices."""
    if options.metric is not None:
        raise UsageError(
            f"{option('metric', options.metric)}: {run.task} has log-likelihoods of choices; leave it out, or take "
            f"{option('per_byte', True)} for what acc_norm scores"
        )
    documents = (_document(run, line, record) for line, record in lines)
    block = list(islice(documents, MOST_RECORDS))
    metric = telling_metric(block, per_byte=options.per_byte)
    reading = reading_of(run, block, metric)
    different, total = 0, 0
    while block:
        labels = [reading(document) for document in block]
        if None in labels:
            raise no_choice(run, block[labels.index(None)])
        different += len(different_lines(block, labels, metric))
        total += len(block)
        yield Records(
            run.model,
            str(run.file),
            np.array([document.line for document in block]),
            [document.doc_id for document in block],
            outputs=[document.normalised(_divisor(document, options)) for document in block],
            kind="logits",
            labels=np.array(labels, np.int64),
            features={"prompt_characters": np.array([document.prompt for document in block])},
        )
        block = list(islice(documents, MOST_RECORDS))
    if different > MOST_DIFFERENT * total:
        raise other_scoring(run, metric, different, total)


def _document(run: Run, line: int, record: dict[str, Any]) -> Document:
    if not is_choices(record):
        raise ContentError(
            f"{run.file}: line {line:,}: {len(record['filtered_resps'])} filtered_resps of "
            f"{len(record['arguments'])} arguments; expected a log-likelihood for each of several choices"
        )
    try:
        values = np.array([_loglik(each) for each in record["filtered_resps"]])
        texts = tuple(str(request[1]).lstrip() for request in record["arguments"])
    except (ValueError, TypeError, IndexError):
        values, texts = np.array([np.nan]), ()
    if np.isnan(values).any() or not np.isfinite(values.max()):  # -inf: a choice that is never taken
        raise ContentError(
            f"{run.file}: line {line:,}: filtered_resps {str(record['filtered_resps'])[:60]}; expected a pair of a "
            f"log-likelihood and is_greedy for each choice"
        )
    if "acc_mutual_info" in record and len(values) % 2 == 0:  # the second half is without the question
        values, texts = values[: len(values) // 2], texts[: len(values) // 2]
    metrics = {
        name: float(record[name])
        for name in ("acc", "acc_norm", "acc_bytes")
        if isinstance(record.get(name), bool | int | float)
    }
    prompt = prompt_characters(record)
    return Document(line, str(record["doc_id"]), prompt, values, texts, str(record["target"]).strip(), metrics)


def _loglik(value: Any) -> float:
    """The log-likelihood of [log-likelihood, is_greedy], whose parts the harness writes as text."""
    return float(value[0] if isinstance(value, list) else value)


def _divisor(document: Document, options: LogOptions) -> str:
    """The metric by whose lengths the log-likelihoods are divided."""
    if not options.per_byte:
        return "acc"
    return "acc_norm" if "acc_norm" in document.metrics and "acc_bytes" not in document.metrics else "acc_bytes"

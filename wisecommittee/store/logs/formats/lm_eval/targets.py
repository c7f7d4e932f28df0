"""Which choice of a document the target of lm-evaluation-harness means.

The log keeps the target as text: the number of a choice, its text or its letter. How it is meant is decided by the
metric of the log itself (api/task.py, ConfigurableTask.process_results): acc is 1 where the likeliest choice is the
target, acc_norm and acc_bytes where the likeliest is after division by its length in characters or in bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import ContentError, option
from wisecommittee.store.logs.formats.lm_eval.runs import Run

MOST_DIFFERENT = 0.01  # of the lines on which the metric of the log may differ from its log-likelihoods and targets


@dataclass(frozen=True, slots=True)
class Document:
    """The choices of one document. texts : without the white space before them, as the task's doc_to_choice gives
    them; metrics : acc, acc_norm and acc_bytes, those that the log has."""

    line: int
    doc_id: str
    prompt: float
    logliks: NDArray[np.float64]
    texts: tuple[str, ...]
    target: str
    metrics: dict[str, float]

    def normalised(self, metric: str) -> NDArray[np.float64]:
        """The log-likelihoods, divided as `metric` divides them: it scores the choice with the largest."""
        if metric == "acc":
            return self.logliks
        lengths = [len(text if metric == "acc_norm" else text.encode()) for text in self.texts]
        return self.logliks / np.maximum(lengths, 1)


def telling_metric(block: Sequence[Document], *, per_byte: bool) -> str | None:
    """The metric that decides how the targets are meant: one that all documents have, acc_bytes or acc_norm before acc
    where log-likelihoods are divided by lengths. None where they share no metric."""
    order = ("acc_bytes", "acc_norm", "acc") if per_byte else ("acc", "acc_norm", "acc_bytes")
    return next((name for name in order if all(name in document.metrics for document in block)), None)


def _by_number(document: Document) -> int | None:
    number = re.fullmatch(r"\[?(\d{1,4})\]?", document.target)
    return int(number[1]) if number and int(number[1]) < len(document.texts) else None


def _by_text(document: Document) -> int | None:
    equal = [number for number, text in enumerate(document.texts) if text.strip() == document.target]
    return equal[0] if equal and len(set(document.texts)) > 1 else None


def _by_letter(document: Document) -> int | None:
    letter = re.fullmatch(r"\(?([A-Z])\)?", document.target)
    number = ord(letter[1]) - ord("A") if letter else len(document.texts)
    return number if number < len(document.texts) else None


def _by_metric(document: Document) -> int | None:
    """Of two choices that differ in the prompt instead of the text (Winogrande), acc says which is right."""
    if len(document.texts) != 2 or len(set(document.texts)) > 1 or document.metrics.get("acc") not in (0, 1):
        return None
    likeliest = int(np.argmax(document.logliks))
    return likeliest if document.metrics["acc"] == 1 else 1 - likeliest


Reading = Callable[[Document], int | None]


def reading_of(run: Run, block: Sequence[Document], metric: str | None) -> Reading:
    """How the targets are meant: the one reading that names a choice in every document and agrees with the metric."""
    fitting: dict[tuple[int | None, ...], Reading] = {}
    fewest: int | None = None
    for reading in (_by_number, _by_text, _by_letter, _by_metric):
        labels = [reading(document) for document in block]
        if None in labels:
            continue
        different = len(different_lines(block, labels, metric))
        fewest = different if fewest is None else min(different, fewest)
        if different <= MOST_DIFFERENT * len(block):
            fitting.setdefault(tuple(labels), reading)
    if len(fitting) == 1:
        return next(iter(fitting.values()))
    if fitting:
        raise ContentError(
            f"{run.file}: target {block[0].target!r} of line {block[0].line:,} may be the number of a choice or its "
            f"text, and the log's {metric or 'metrics'} fits both; leave {run.task} out with "
            f"{option('tasks', placeholder='GLOB', flag='task')}"
        )
    if fewest is None:
        raise no_choice(run, block[0])
    raise other_scoring(run, metric, fewest, len(block))


def different_lines(block: Sequence[Document], labels: Sequence[int | None], metric: str | None) -> list[int]:
    """The lines on which the metric is not whether the likeliest choice is the label."""
    if metric is None:
        return []
    return [
        document.line
        for document, label in zip(block, labels, strict=True)
        if document.metrics.get(metric) != float(np.argmax(document.normalised(metric)) == label)
    ]


def no_choice(run: Run, document: Document) -> ContentError:
    return ContentError(
        f"{run.file}: line {document.line:,}: target {document.target[:40]!r}; expected the number, the text or the "
        f"letter of one of the {len(document.texts)} choices; leave {run.task} out with "
        f"{option('tasks', placeholder='GLOB', flag='task')}"
    )


def other_scoring(run: Run, metric: str | None, different: int, total: int) -> ContentError:
    return ContentError(
        f"{run.file}: on {different:,} of {total:,} lines {metric} is not whether the likeliest choice is the target, "
        f"as of tasks with several right choices or a scoring of their own; leave {run.task} out with "
        f"{option('tasks', placeholder='GLOB', flag='task')}"
    )

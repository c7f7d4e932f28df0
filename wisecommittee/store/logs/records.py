"""Records: what one model said about n units, as a format of logs reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import UsageError, option

MOST_RECORDS = 8192  # of a block: a reader yields blocks of at most so many, so that memory stays constant


@dataclass(frozen=True, slots=True)
class LogOptions:
    """What the user says about a log beside its path; a format refuses the options that it has no use for.

    Attributes
    ----------
    tasks : tuple of str
        Globs of the tasks to read, of logs that hold several; empty: all.
    metric : str or None
        Name of the metric that is the quality; None: the only one there is.
    filter : str or None
        Name of the filter whose answers count (lm-evaluation-harness); None: the only one there is.
    per_byte : bool
        Divide the log-likelihood of each choice by its length: in bytes, as acc_bytes of lm-evaluation-harness does; in
        characters where the log has acc_norm alone, which divides by these.
    free_form : bool
        Compare answers by `voting_form` whatever the format says. Formats need not look at it.
    ignore_case : bool
        Take 'Yes' and 'yes' for the same answer. Formats need not look at it.
    split : str
        The split that is imported: of logs that hold several, such as TabArena's, the one to read.
    """

    tasks: tuple[str, ...] = ()
    metric: str | None = None
    filter: str | None = None
    per_byte: bool = False
    free_form: bool = False
    ignore_case: bool = False
    split: str = "val"

    def only(self, log: str, *used: str) -> None:
        """Raise UsageError for an option that is given although this format has no use for it.

        log : name of the format. used : the options it has a use for.
        """
        for name in ("tasks", "metric", "filter", "per_byte"):
            if name not in used and (value := getattr(self, name)):
                flag = name.removesuffix("s")
                given = option(name, flag=flag) if name == "tasks" else option(name, value)
                raise UsageError(f"{given}: {log} logs have no such thing; leave it out")

    def takes(self, task: str) -> bool:
        """Whether a task is one of those to read."""
        return not self.tasks or any(fnmatchcase(task, glob) for glob in self.tasks)


@dataclass(frozen=True, slots=True)
class Records:
    """n records of one model in the order of the log. Either `answers` or `outputs` is given.

    Attributes
    ----------
    model : str
    file : str
        The file as messages name it.
    lines : int64 [n]
        Where each record stands in the file, from 1: its line, or its number where the file has no lines.
    unit_ids : [n] text
        Unique among the records of the model; of logs that hold several tasks, 'task/id'.
    answers : [n] text or None
        None where the model did not answer: a refusal, a time-out, a content filter, an error.
    outputs : [n] of float64 [C], or float64 [n, C]
        Log-likelihoods (kind 'logits') or probabilities of each choice; C may differ between units where the units have
        different numbers of choices.
    kind : str
        'answers', 'logits' or 'probabilities'.
    class_names : tuple of str or None
        Names of the columns of the outputs, where all units have the same classes.
    labels : [n] text or None, or int64 [n]
        The true answer; of outputs the number of the right class, or its name where `class_names` names the classes.
        None where the log does not have it.
    grades : float64 [n] or None
        Quality of each answer in [0, 1] as the log scores it; NaN where the log has no score.
    scores : {name: float64 [n]}
        Confidences, such as mean_logprob; NaN where the log has none.
    unit_costs : {name: float64 [n]}
        usd, prompt_tokens, completion_tokens, latency_ms and the like; NaN where the log has none.
    features : {name: [n] text or numbers}
        What is known of a unit before any model runs, such as its task and the number of characters of its prompt.
    sample : int
        Number of the sample, of logs in which a model answers each unit several times; the samples are replicas.
    """

    model: str
    file: str
    lines: NDArray[np.int64]
    unit_ids: Sequence[str]
    answers: Sequence[str | None] | None = None
    outputs: Sequence[NDArray[np.float64]] | NDArray[np.float64] | None = None
    kind: str = "answers"
    class_names: tuple[str, ...] | None = None
    labels: Sequence[str | None] | NDArray[np.int64] | None = None
    grades: NDArray[np.float64] | None = None
    scores: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    unit_costs: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    features: Mapping[str, Sequence[str] | NDArray[np.float64]] = field(default_factory=dict)
    sample: int = 0

    def __len__(self) -> int:
        return len(self.unit_ids)


@dataclass(frozen=True, slots=True)
class LogFormat:
    """A format of logs.

    Attributes
    ----------
    name : str
        As it is written before the path: 'lm-eval:results/'.
    words : str
        What it is, in a few words, for lists of formats.
    matches : callable
        Whether a file or folder is of this format, from its name and its first bytes; cheap, and never raises.
    read : callable
        Yields the records of a file or folder in blocks of at most MOST_RECORDS; any model's blocks in any order. What
        is wrong is a ContentError that names the file, the line, the value and the remedy. Nothing in a log is run.
    free_text : bool
        Whether its answers are free text: they are compared for votes by `voting_form`, and the quality is its grade.
    """

    name: str
    words: str
    matches: Callable[[Path], bool]
    read: Callable[[Path, LogOptions], Iterator[Records]]
    free_text: bool = False

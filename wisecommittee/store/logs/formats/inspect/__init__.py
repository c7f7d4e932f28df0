"""Inspect: .eval and .json logs, read through inspect_ai itself, since their format is not frozen.

Nothing in a log is run: inspect_ai parses JSON and checks types. It may import an extension of its own that is
installed and registers the kind of sandbox that a log names, as it does in its own commands.
"""

from __future__ import annotations

import re
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wisecommittee.errors import AbsentNameError, counted
from wisecommittee.store.logs.formats.inspect.reading import expected_samples, header_of, samples_of
from wisecommittee.store.logs.formats.inspect.samples import COSTS, Sample, grades_of, sample_of, unread_sample
from wisecommittee.store.logs.logprobs import logprob_scores
from wisecommittee.store.logs.opening import beginning, files_of, first_files, plain_name
from wisecommittee.store.logs.records import MOST_RECORDS, LogFormat, LogOptions, Records

PATTERNS = ("*.eval", "*.json")
_JSON = re.compile(rb'\s*\{\s*"version"\s*:\s*\d+\s*,\s*"status"\s*:')


def _is_log(file: Path) -> bool:
    start = beginning(file)
    return start.startswith(b"PK\x03\x04") if plain_name(file).endswith(".eval") else bool(_JSON.match(start))


def matches(path: Path) -> bool:
    return any(map(_is_log, first_files(path, *PATTERNS)))


def read(path: Path, options: LogOptions) -> Iterator[Records]:
    """Records in blocks, model by model and task by task; epochs are samples."""
    options.only("Inspect", "tasks", "metric")
    runs = _newest(path, options)
    several = len({task for _, task in runs}) > 1
    for (model, task), (file, header) in runs.items():
        prefix = f"{task}/" if several else ""
        kept: dict[int, list[Sample]] = defaultdict(list)
        left = expected_samples(header)
        for number, sample in enumerate(samples_of(file), 1):
            left.discard((str(sample.id), sample.epoch))
            kept[sample.epoch - 1].append(sample_of(number, model, prefix, options.metric, sample))
            if sum(map(len, kept.values())) >= MOST_RECORDS:
                yield from _blocks(file, model, task if several else None, kept, options)
                kept.clear()
        for number, (name, epoch) in enumerate(sorted(left), 1):
            kept[epoch - 1].append(unread_sample(number, prefix + name, epoch))
        yield from _blocks(file, model, task if several else None, kept, options)


def _newest(path: Path, options: LogOptions) -> dict[tuple[str, str], tuple[Path, Any]]:
    """{(model, task): (file, header)}, sorted: of several logs of a model on a task, the newest."""
    found: dict[tuple[str, str], list[tuple[str, Path, Any]]] = defaultdict(list)
    for file in files_of(path, *PATTERNS):
        if file == path or _is_log(file):  # folders of logs hold other files of JSON, too
            header = header_of(file)
            found[header.eval.model, header.eval.task].append((str(header.eval.created), file, header))
    kept = {key: sorted(logs, key=lambda log: log[:2]) for key, logs in found.items() if options.takes(key[1])}
    if not kept:
        raise AbsentNameError("task", ", ".join(options.tasks), {task for _, task in found})
    repeated = [(key, logs[-1]) for key, logs in kept.items() if len(logs) > 1]
    if repeated:
        (model, task), (created, *_) = repeated[0]
        warnings.warn(
            f"{path}: {counted(len(repeated), 'task')} with several logs of a model, such as {task} of {model}; the "
            f"newest is read, here of {created}",
            stacklevel=3,
        )
    return {key: kept[key][-1][1:] for key in sorted(kept)}


def _blocks(
    file: Path, model: str, task: str | None, kept: dict[int, list[Sample]], options: LogOptions
) -> Iterator[Records]:
    """The samples of each epoch as records. task : None where the log holds one task."""
    for epoch, samples in kept.items():
        lines = np.array([sample.number for sample in samples])
        costs = dict(zip(COSTS, np.array([sample.costs for sample in samples], np.float64).T, strict=True))
        yield Records(
            model,
            str(file),
            lines,
            [sample.unit for sample in samples],
            answers=[sample.answer for sample in samples],
            labels=[sample.label for sample in samples],
            grades=grades_of(file, samples, options.metric),
            scores=_confidences(file, samples),
            unit_costs={name: values for name, values in costs.items() if not np.isnan(values).all()},
            features={
                **({} if task is None else {"task": [task] * len(samples)}),
                "prompt_characters": np.array([sample.prompt for sample in samples]),
            },
            sample=epoch,
        )


def _confidences(file: Path, samples: Sequence[Sample]) -> dict[str, np.ndarray]:
    """Confidences from the log-probabilities of the tokens of the answers, if the log has any."""
    if not any(sample.tokens for sample in samples):
        return {}
    tops = [sample.tops for sample in samples] if any(sample.tops for sample in samples) else None
    return logprob_scores([sample.tokens for sample in samples], tops, lambda at: f"{file}: sample {samples[at].name}")


INSPECT = LogFormat("inspect", "Inspect: .eval and .json logs", matches, read, free_text=True)

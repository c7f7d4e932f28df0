"""Datasets of the Hugging Face hub with a row for each unit and model: Parquet shards, Arrow files, csv.

The names of a ClassLabel stand in the schema's metadata, under 'huggingface', as `datasets` writes them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from wisecommittee.errors import ContentError
from wisecommittee.store.logs.formats.answers import is_answers
from wisecommittee.store.logs.long_table import Roles, long_records
from wisecommittee.store.logs.opening import files_of, first_files
from wisecommittee.store.logs.records import LogFormat, LogOptions, Records
from wisecommittee.store.logs.tabular import blocks, headings, is_of_hub, seen_headings

FILES = ("*.parquet", "*.csv", "data-*.arrow", "[!dc]*.arrow")  # not the cache-*.arrow of transformations
IDS = ("unit_id", "id", "sample_id", "question_id", "prompt_id", "example_id", "doc_id", "uid", "idx", "index")
MODELS = ("model", "model_name", "model_id")
ANSWERS = ("answer", "prediction", "pred", "model_answer", "response", "output", "completion", "generation")
OUTPUTS = {"probabilities": "probabilities", "probs": "probabilities", "logits": "logits"}
LABELS = ("label", "target", "ground_truth", "gold", "reference", "reference_answer", "correct_answer")
GRADES = ("score", "is_correct", "correct", "grade")
TASKS = ("task", "subset", "dataset")
PROMPTS = ("prompt", "question", "instruction", "input")
TOKENS, TOPS = ("token_logprobs", "logprobs"), ("top_logprobs",)
COSTS = {
    "usd": ("usd", "cost", "cost_usd", "total_cost"),
    "prompt_tokens": ("prompt_tokens", "input_tokens"),
    "completion_tokens": ("completion_tokens", "output_tokens"),
    "latency_ms": ("latency_ms",),
}
_SHARD = re.compile(r"(.+)-\d{5}-of-\d{5}(-[0-9a-f]+)?\.parquet")


def _first(names: Sequence[str], known: Sequence[str]) -> str | None:
    return next((name for name in known if name in names), None)


def roles_of(names: Sequence[str], classes: Mapping[str, tuple[str, ...]]) -> Roles | None:
    """What the columns with these headings are; None without an id, a model, or an answer or outputs.

    classes : {heading: names} of the columns that hold numbers of classes.
    """
    unit, model, answer = (_first(names, known) for known in (IDS, MODELS, ANSWERS))
    outputs = _first(names, tuple(OUTPUTS))
    if unit is None or model is None or (answer is None and outputs is None):
        return None
    label = _first(names, LABELS)
    named = classes.get(label or "")
    shared = {} if named is None else {name: named for name in (answer, outputs, label) if name}
    return Roles(
        unit,
        model,
        None if outputs else answer,
        outputs=outputs,
        kind=OUTPUTS[outputs] if outputs else "answers",
        label=label,
        grade=None if outputs else _first(names, GRADES),
        task=_first(names, TASKS),
        prompt=_first(names, PROMPTS),
        tokens=_first(names, TOKENS),
        tops=_first(names, TOPS),
        scores={name: name for name in ("confidence",) if name in names},
        costs={found: cost for cost, known in COSTS.items() if (found := _first(names, known))},
        classes={**shared, **classes},
    )


def class_labels(file: Path) -> dict[str, tuple[str, ...]]:
    """{heading: names of the classes} of the columns that are ClassLabels, as the metadata of a schema has them."""
    if file.suffix not in (".parquet", ".arrow"):
        return {}
    from wisecommittee.store.logs.columnar import schema_of

    metadata: Mapping[bytes, bytes] = schema_of(file).metadata or {}
    try:
        features: Any = json.loads(metadata.get(b"huggingface", b"{}")).get("info", {}).get("features", {})
        labels = {name: each for name, each in features.items() if each.get("_type") == "ClassLabel"}
        return {name: tuple(map(str, each["names"])) for name, each in labels.items()}
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        raise ContentError(
            f"{file}: features in its metadata that are not those of `datasets`; write it again"
        ) from None


def matches(path: Path) -> bool:
    return any(_is_dataset(file) for file in first_files(path, *FILES))


def _is_dataset(file: Path) -> bool:
    """A long table of the hub: with its metadata, or with headings other than those of a table of answers."""
    names = seen_headings(file)
    return roles_of(names, {}) is not None and (is_of_hub(file) or not is_answers(names))


def read(path: Path, options: LogOptions) -> Iterator[Records]:
    """Records in blocks. Columns that are none of the known ones are left out."""
    options.only("Hugging Face", "tasks")
    files = files_of(path, *FILES)
    splits = {match[1] if (match := _SHARD.fullmatch(file.name)) else file.parent.name for file in files}
    if len(splits) > 1:
        raise ContentError(
            f"{path}: holds {', '.join(sorted(splits))[:80]}; expected the files of one split; name them, or their "
            f"folder"
        )
    for file in files:
        names = headings(file)
        roles = roles_of(names, class_labels(file))
        if roles is None:
            raise ContentError(
                f"{file}: columns {', '.join(names)[:120]}; expected one of {', '.join(IDS[:4])}, .., one of "
                f"{', '.join(MODELS)} and one of {', '.join(ANSWERS[:4])}, .."
            )
        for block in blocks(file):
            yield from long_records(block, roles, options)


HUGGINGFACE = LogFormat(
    "huggingface",
    "Hugging Face datasets (.parquet, .arrow, .csv): id, model, prediction, label, logprobs",
    matches,
    read,
)

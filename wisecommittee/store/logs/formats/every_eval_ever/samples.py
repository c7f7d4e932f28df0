"""The lines of Every Eval Ever."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from wisecommittee.errors import ContentError, option
from wisecommittee.store.logs.formats.lm_eval.texts import UNFOUND
from wisecommittee.store.logs.json_lines import json_lines

VERSIONS = ("0.2", "0.3")
# {field, and field within it: name of the cost}
COSTS = {
    ("token_usage", "input_tokens"): "prompt_tokens",
    ("token_usage", "output_tokens"): "completion_tokens",
    ("performance", "latency_ms"): "latency_ms",
    ("performance", "generation_time_ms"): "generation_time_ms",
}


_WORDS: dict[type, str] = {str: "text", dict: "an object", list: "a list"}


class Sample(NamedTuple):
    line: int
    unit: str
    answer: str | None
    label: str | None
    grade: float
    prompt: float
    task: str
    costs: tuple[float, ...]


def lines_of(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, record in json_lines(file):
        for name in ("schema_version", "model_id", "evaluation_name", "sample_id"):
            _expect(record.get(name), str, f"{file}: line {line:,}: {name}")
        if not record["schema_version"].startswith(VERSIONS):
            raise ContentError(
                f"{file}: line {line:,}: schema_version {record['schema_version']!r}; expected "
                f"{' or '.join(VERSIONS)}; convert the log with a version of every_eval_ever that writes it"
            )
        yield line, record


def _expect(value: Any, kind: type, what: str, *, optional: bool = False) -> Any:
    """The value; {} for null or nothing where the schema allows it; ContentError for another type."""
    if value is None and optional:
        return {}
    if not isinstance(value, kind):
        raise ContentError(
            f"{what} {str(value)[:40]!r}; expected {_WORDS[kind]}, as the schema of Every Eval Ever has it"
        )
    return value


def epoch_of(record: dict[str, Any]) -> int:
    """The number of the sample, from 0."""
    metadata = record.get("metadata")
    epoch = str(metadata.get("epoch")) if isinstance(metadata, dict) else ""
    return max(0, int(epoch) - 1) if epoch.isdecimal() and len(epoch) < 6 else 0


def sample_of(what: str, line: int, unit: str, record: dict[str, Any]) -> Sample:
    given = _expect(record.get("input"), dict, f"{what}: input")
    references = _expect(given.get("reference"), list, f"{what}: input.reference")
    score = _expect(record.get("evaluation"), dict, f"{what}: evaluation").get("score")
    if not isinstance(score, bool | int | float) or not 0 <= score <= 1:
        raise ContentError(
            f"{what}: evaluation.score {str(score)[:40]!r}; expected a number from 0 to 1; choose another metric with "
            f"{option('metric', placeholder='NAME')}"
        )
    costs = []
    for outer, inner in COSTS:
        value = _expect(record.get(outer), dict, f"{what}: {outer}", optional=True).get(inner)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0):
            raise ContentError(f"{what}: {outer}.{inner} {str(value)[:40]!r}; expected a number from 0")
        costs.append(math.nan if value is None else float(value))
    label = str(references[0]) if len(references) == 1 else None
    prompt = float(len(str(given.get("raw") or "")))
    return Sample(
        line, unit, _answer(what, record), label, float(score), prompt, record["evaluation_name"], tuple(costs)
    )


def _answer(what: str, record: dict[str, Any]) -> str | None:
    """The answer that was extracted, else the whole output or the last message of the model; None after an error."""
    if record.get("error"):
        return None
    attributed = _expect(record.get("answer_attribution") or [], list, f"{what}: answer_attribution")
    texts = [each.get("extracted_value") for each in attributed if isinstance(each, dict) and each.get("is_terminal")]
    if not texts and record.get("messages"):
        messages = _expect(record["messages"], list, f"{what}: messages")
        texts = [each.get("content") for each in messages if isinstance(each, dict) and each.get("role") == "assistant"]
    elif not texts:
        output = _expect(record.get("output"), dict, f"{what}: output", optional=True)
        texts = _expect(output.get("raw") or [], list, f"{what}: output.raw")
        if len(texts) > 1:
            raise ContentError(f"{what}: {len(texts)} outputs and no answer_attribution; expected one, or the answer")
    text = texts[-1] if texts else None
    return text if isinstance(text, str) and text.strip() and text != UNFOUND else None

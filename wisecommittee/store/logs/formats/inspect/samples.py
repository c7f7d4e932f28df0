"""Samples of Inspect -> answers, grades, costs and log-probabilities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import AbsentNameError, ContentError, UsageError, option

COSTS = ("usd", "prompt_tokens", "completion_tokens", "working_ms")
NO_ANSWER = "N"  # the score of a refusal
# As inspect_ai.scorer.value_to_float has them; case counts for the first four only.
VALUES = {"C": 1.0, "P": 0.5, "I": 0.0, NO_ANSWER: 0.0, "yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}


class Sample(NamedTuple):
    """What a block keeps of a sample.

    number : its place in the log, from 1; name : id and epoch, for messages; scores : {scorer, or scorer/key of scores
    with several values: value}; costs : as COSTS, NaN where the log has none; tokens, tops : as of `logprob_scores`.
    """

    number: int
    name: str
    unit: str
    answer: str | None
    label: str | None
    prompt: float
    scores: dict[str, Any]
    costs: tuple[float, ...]
    tokens: list[float] | None
    tops: list[list[float]] | None


def sample_of(number: int, model: str, prefix: str, metric: str | None, sample: Any) -> Sample:
    """The parts of an EvalSample. prefix : of its unit id; metric : the scorer whose answer counts; None where the log
    has a single scorer."""
    scores: dict[str, Any] = {}
    extracted = None
    for scorer, score in (sample.scores or {}).items():
        values = score.value if isinstance(score.value, dict) else {"": score.value}
        scores |= {f"{scorer}/{key}" if key else scorer: value for key, value in values.items()}
        if metric is None or metric == scorer or metric.startswith(f"{scorer}/"):
            extracted = score.answer
    choices = sample.output.choices
    logprobs = choices[0].logprobs.content if choices and choices[0].logprobs else []
    tops = [[top.logprob for top in token.top_logprobs or ()] for token in logprobs]
    target = [sample.target] if isinstance(sample.target, str) else list(sample.target)
    answer = extracted or sample.output.completion
    refused = bool(scores) and all(value == NO_ANSWER for value in scores.values())
    filtered = bool(choices) and choices[0].stop_reason == "content_filter"
    stopped = sample.error is not None or sample.limit is not None or filtered
    return Sample(
        number,
        f"{sample.id}, epoch {sample.epoch}",
        f"{prefix}{sample.id}",
        None if stopped or refused or not answer.strip() else answer,
        target[0] if len(target) == 1 else None,
        _characters(sample.input),
        scores,
        _costs(model, sample),
        [token.logprob for token in logprobs] or None,
        tops if any(tops) else None,
    )


def unread_sample(number: int, unit: str, epoch: int) -> Sample:
    """A sample that a run was to answer before it broke off."""
    nothing = math.nan
    return Sample(number, f"{unit}, epoch {epoch}", unit, None, None, nothing, {}, (nothing,) * len(COSTS), None, None)


def _characters(given: Any) -> float:
    """The number of characters of a prompt: a text, or messages."""
    return float(len(given) if isinstance(given, str) else sum(len(message.text) for message in given))


def _costs(model: str, sample: Any) -> tuple[float, ...]:
    """The costs of the model itself, without those of a grader; but of a sample of several turns in which the model is
    the grader as well, Inspect adds up both.

    Inspect counts tokens that were read from or written to a cache apart from the other tokens of the prompt.
    """
    single = sample.turn_count == 1 and sample.output.usage is not None
    usage = sample.output.usage if single else sample.model_usage.get(model)
    working = math.nan if sample.working_time is None else 1000 * sample.working_time
    if usage is None:
        return math.nan, math.nan, math.nan, working
    prompt = usage.input_tokens + (usage.input_tokens_cache_read or 0) + (usage.input_tokens_cache_write or 0)
    usd = math.nan if usage.total_cost is None else usage.total_cost
    return usd, float(prompt), float(usage.output_tokens), working


def grades_of(file: Path, samples: Sequence[Sample], metric: str | None) -> NDArray[np.float64]:
    """The value of the one scorer, or of `metric`; NaN where a sample has no score."""
    known = sorted({name for sample in samples for name in sample.scores})
    if metric is not None and known and metric not in known:
        raise AbsentNameError(f"scorer of {file}", metric, known)
    if metric is None and len(known) > 1:
        raise UsageError(f"{file}: the scorers {', '.join(known)}; choose one with {option('metric', known[0])}")
    name = metric or (known[0] if known else "")
    return np.array([_grade(file, sample, name) for sample in samples])


def _grade(file: Path, sample: Sample, name: str) -> float:
    value = sample.scores.get(name)
    if isinstance(value, str):
        value = VALUES.get(value, VALUES.get(value.lower() if len(value) > 1 else "", value))
    try:
        grade = math.nan if value is None else float(value)
    except (TypeError, ValueError):
        grade = -1.0
    if grade < 0 or grade > 1:
        raise ContentError(
            f"{file}: sample {sample.name}: {name} is {str(value)[:40]!r}; expected C, I, P, N or a number from 0 to "
            f"1; choose another scorer with {option('metric', placeholder='NAME')}"
        )
    return grade

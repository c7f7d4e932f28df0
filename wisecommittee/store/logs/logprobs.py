"""Confidences of answers from the log-probabilities of their tokens.

Logs keep the natural log of the probability of each token, and sometimes those of the likeliest alternatives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import ContentError

LOWEST = float(np.log(1e-38))  # log-probabilities below it, -inf included, count as it
SLACK = 1e-3  # by which a log-probability may exceed 0: sums of rounded probabilities do

Tokens = Sequence[float]
Alternatives = Sequence[Sequence[float]]


def token_logprobs(value: Any) -> tuple[Tokens | None, Alternatives | None]:
    """The log-probabilities of the tokens of one answer, and of the alternatives at each position.

    Parameters
    ----------
    value : object
        As logs hold them: a list of numbers; a list with one object {logprob, top_logprobs} for each token, itself or
        under `content` (chat completions); or an object of `token_logprobs` and `top_logprobs` (completions). A token
        whose log-probability is null, as is the first of an echoed prompt, is left out.

    Returns
    -------
    tokens : list of float, or None
    alternatives : list of list of float, or None
        None where the log does not have them for every token.

    Raises
    ------
    ValueError
    """
    if value is None:
        return None, None
    if isinstance(value, Mapping):
        if "token_logprobs" in value:
            return _paired(value["token_logprobs"], value.get("top_logprobs"))
        value = value.get("content")
        if value is None:
            return None, None
    if not isinstance(value, Sequence | np.ndarray) or isinstance(value, str | bytes):
        raise ValueError(f"log-probabilities {str(value)[:40]!r}; expected a list with one number for each token")
    if any(isinstance(token, Mapping) for token in value):
        tops = [token.get("top_logprobs") if isinstance(token, Mapping) else None for token in value]
        return _paired([token.get("logprob") if isinstance(token, Mapping) else token for token in value], tops)
    return _paired(value, None)


def _paired(tokens: Any, tops: Any) -> tuple[Tokens | None, Alternatives | None]:
    if tokens is None:
        return None, None
    kept = [at for at, token in enumerate(tokens) if token is not None]
    numbers = [_number(tokens[at]) for at in kept]
    if tops is None or len(tops) != len(tokens) or any(tops[at] is None for at in kept):
        return numbers, None
    return numbers, [alternatives(tops[at]) for at in kept]


def alternatives(value: Any) -> list[float]:
    """The log-probabilities of the alternatives at one position.

    value : a list of numbers, of pairs (token, number) or of objects with a `logprob`; or an object {token: number}.
    """
    if isinstance(value, Mapping):
        value = list(value.values())
    return [_number(each[1] if isinstance(each, tuple) and len(each) == 2 else each) for each in value]


def _number(token: Any) -> float:
    """The log-probability of a number, or of an object that has it as `logprob`."""
    value = token.get("logprob") if isinstance(token, Mapping) else token
    if isinstance(value, bool | str) or value is None:
        raise ValueError(f"log-probability {str(value)[:40]!r}; expected a number up to 0")
    return float(value)


def logprob_scores(
    tokens: Sequence[Tokens | None],
    tops: Sequence[Alternatives | None] | None,
    where: Callable[[int], str],
) -> dict[str, NDArray[np.float64]]:
    """Confidences of n answers.

    Parameters
    ----------
    tokens : [n] of sequence of float
        Natural logs of the probabilities of the tokens of each answer; None or empty where the log has none.
    tops : [n] of sequence of sequence of float, or None
        Those of the likeliest alternatives for each token, in any order; None where the log has none.
    where : callable
        The name of record i in messages, such as 'log.jsonl: line 7'.

    Returns
    -------
    {name: float64 [n]}
        mean_logprob : the mean over the tokens, the log of the geometric mean of their probabilities.
        min_logprob : that of the least likely token. first_logprob : that of the first token.
        margin_logprob, if `tops` is given : the mean over the tokens of the gap between the likeliest and the second
        alternative; NaN where a token has fewer than two. The others are NaN where there are no tokens.

    Raises
    ------
    ContentError
        For a log-probability that is NaN or above 0.
    """
    held = [at for at, answer in enumerate(tokens) if answer is not None and len(answer)]
    scores = {name: np.full(len(tokens), np.nan) for name in ("mean_logprob", "min_logprob", "first_logprob")}
    if held:
        flat, starts = _flat([tokens[at] for at in held], held, where)
        lengths = np.diff(np.append(starts, len(flat)))
        scores["mean_logprob"][held] = np.add.reduceat(flat, starts) / lengths
        scores["min_logprob"][held] = np.minimum.reduceat(flat, starts)
        scores["first_logprob"][held] = flat[starts]
    if tops is not None:
        scores["margin_logprob"] = np.array([_margin(answer, at, where) for at, answer in enumerate(tops)], np.float64)
    return scores


def _flat(
    lists: Sequence[Any], records: Sequence[int], where: Callable[[int], str]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """All numbers in one array, not below LOWEST, and where each list, of record records[i], begins."""
    lengths = np.array([len(numbers) for numbers in lists], np.int64)
    starts = np.cumsum(lengths) - lengths
    flat = np.fromiter((number for numbers in lists for number in numbers), np.float64, int(lengths.sum()))
    if not (flat <= SLACK).all():  # NaN as well
        wrong = int(np.flatnonzero(~(flat <= SLACK))[0])
        record = records[int(np.searchsorted(starts, wrong, side="right")) - 1]
        raise ContentError(f"{where(record)}: log-probability {flat[wrong]:g}; expected a number up to 0")
    return np.maximum(flat, LOWEST), starts


def _margin(tops: Alternatives | None, record: int, where: Callable[[int], str]) -> float:
    """The mean gap between the likeliest and the second alternative."""
    if tops is None or not len(tops) or min(map(len, tops)) < 2:
        return float("nan")
    flat, starts = _flat(tops, [record] * len(tops), where)
    ends = np.append(starts[1:], len(flat))
    gaps = [(best := np.sort(flat[start:end]))[-1] - best[-2] for start, end in zip(starts, ends, strict=True)]
    return float(np.mean(gaps))

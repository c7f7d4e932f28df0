"""Confidences of answers from the log-probabilities of their tokens, natural logs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import ContentError

LOWEST = float(np.log(1e-38))  # log-probabilities below it, -inf included, count as it
SLACK = 1e-3  # by which a log-probability may exceed 0: sums of rounded probabilities do

Tokens = Sequence[float]
Alternatives = Sequence[Sequence[float]]


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


def cell_scores(cells: Sequence[Any], where: Callable[[int], str]) -> dict[str, NDArray[np.float64]]:
    """As `logprob_scores`, of the cells of a table: lists of numbers, in a csv as JSON; an empty cell has none."""
    tokens: list[Tokens | None] = []
    for at, cell in enumerate(cells):
        try:
            numbers = json.loads(cell or "null") if isinstance(cell, str) else cell
            empty = numbers is None or (isinstance(numbers, float) and np.isnan(numbers))
            tokens.append(None if empty else [float(number) for number in numbers])
        except (TypeError, ValueError):
            raise ContentError(f"{where(at)}: {str(cell)[:40]!r}; expected a list, such as [-0.1, -2.3]") from None
    return logprob_scores(tokens, None, where)


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

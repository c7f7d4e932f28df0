"""Log-probabilities of the tokens of answers, in the forms in which logs hold them -> confidences."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import ContentError
from wisecommittee.store.token_scores import Alternatives, Tokens, logprob_scores


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


def scores_of_cells(
    cells: Sequence[Any], tops: Sequence[Any] | None, heading: str, where: Callable[[int], str]
) -> dict[str, NDArray[np.float64]]:
    """Confidences of n answers, as of `logprob_scores`.

    Parameters
    ----------
    cells : [n]
        The log-probabilities of the tokens of each answer, in a form that `token_logprobs` knows, or that as JSON.
    tops : [n], optional
        Those of the alternatives at each position, in forms that `alternatives` knows, or that as JSON.
    heading : str
        The column of the cells, for messages.
    where : callable
        The name of record i in messages.
    """
    tokens, others = [], []
    for row, cell in enumerate(cells):
        try:
            of_row, others_of_row = token_logprobs(_parsed(cell))
            if tops is not None and (given := _parsed(tops[row])) is not None:
                others_of_row = [alternatives(token) for token in given]
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ContentError(f"{where(row)}: {heading}: {str(error)[:120]}") from None
        tokens.append(of_row)
        others.append(others_of_row)
    has_tops = tops is not None or any(each is not None for each in others)
    return logprob_scores(tokens, others if has_tops else None, where)


def _parsed(cell: Any) -> Any:
    """A cell of a csv is JSON; an empty one is None."""
    if isinstance(cell, str):
        return json.loads(cell) if cell else None
    return cell

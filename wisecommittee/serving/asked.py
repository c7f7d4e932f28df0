"""What a request asks: inputs, unit ids and features, from its body and its query."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.policies.feature_terms import as_feature
from wisecommittee.errors import UsageError
from wisecommittee.reading import parse_json
from wisecommittee.serving.refusal import Refusal
from wisecommittee.serving.takes import Taken, Takes, numbers_of_json, numbers_of_npy

FIELDS = ("inputs", "unit_ids", "features")


@dataclass(frozen=True, slots=True)
class Asked:
    """The units of a request.

    Parameters
    ----------
    inputs : n units
        In the form that the runtime takes.
    size : int
        Bytes of the inputs in memory.
    unit_ids : text [n] or None
    features : {column: float64 or text [n]} or None
    """

    inputs: Any
    size: int
    unit_ids: Sequence[str] | None = None
    features: Mapping[str, NDArray[np.generic]] | None = None


def asked(takes: Takes, kind: str, body: bytes, unit_ids: Sequence[str], features: str | None, most: int) -> Asked:
    """The units of a request.

    Parameters
    ----------
    takes : Takes
    kind : str
        Content-Type of the body, without its parameters.
    body : bytes
    unit_ids : sequence of str
        Of the query; of JSON the body may name them instead.
    features : str or None
        Likewise, an object in JSON.
    most : int
        Units at most.

    Raises
    ------
    Refusal
        400 for a body that is no JSON; 415 for one of another kind; 422 for inputs, ids or features that do not fit;
        413 for too many units.
    """
    if kind not in READERS:
        raise Refusal(415, f"Content-Type {kind[:80] or 'missing'!r}; expected one of {', '.join(READERS)}")
    given: dict[str, Any] = {"unit_ids": list(unit_ids) or None, "features": None}
    if features is not None:
        given["features"] = _json(features, "features in the query")
    (inputs, units, size), named = READERS[kind](takes, body)
    for name, value in named.items():
        if given[name] is not None:
            raise Refusal(422, f"{name} are both in the body and in the query; name them once")
        given[name] = value
    if units > most:
        raise Refusal(413, f"{units:,} units in one request; send {most:,} at a time at most")
    return Asked(inputs, size, _ids(given["unit_ids"], units), _columns(given["features"], units))


def _of_json(takes: Takes, body: bytes) -> tuple[Taken, dict[str, Any]]:
    content = _json(body, "the body")
    if not isinstance(content, dict) or "inputs" not in content:
        raise Refusal(422, 'the body: expected an object with "inputs", a list with one entry for each unit')
    if unknown := [name for name in content if name not in FIELDS]:
        raise Refusal(422, f"unknown field {unknown[0][:80]!r}; known: {', '.join(FIELDS)}")
    named = {name: content[name] for name in FIELDS[1:] if content.get(name) is not None}
    return takes.numbers(numbers_of_json(content["inputs"])), named


READERS: Mapping[str, Callable[[Takes, bytes], tuple[Taken, dict[str, Any]]]] = {
    "application/json": _of_json,
    "application/x-npy": lambda takes, body: (takes.numbers(numbers_of_npy(body)), {}),
    "image/jpeg": lambda takes, body: (takes.picture(body), {}),
    "image/png": lambda takes, body: (takes.picture(body), {}),
}


def _json(text: str | bytes, what: str) -> Any:
    try:
        return parse_json(text)
    except (ValueError, RecursionError) as error:
        raise Refusal(400, f"{what}: not JSON ({str(error)[:160]})") from error


def _ids(given: Any, units: int) -> list[str] | None:
    if given is None:
        return None
    if not isinstance(given, list) or not all(isinstance(unit, str) and len(unit) <= 200 for unit in given):
        raise Refusal(422, "unit_ids: expected a list of texts of 200 letters at most")
    if len(given) != units:
        raise Refusal(422, f"unit_ids: {len(given):,} for {units:,} units; expected one for each")
    return given


def _columns(given: Any, units: int) -> dict[str, NDArray[np.generic]] | None:
    if given is None:
        return None
    if not isinstance(given, dict) or not all(isinstance(values, list) for values in given.values()):
        raise Refusal(422, "features: expected an object of lists, with a value for each unit")
    columns = {}
    for name, values in given.items():
        if len(values) != units:
            raise Refusal(422, f"feature {name[:80]!r}: {len(values):,} values for {units:,} units; expected one each")
        try:
            columns[name] = as_feature(name, values)
        except (UsageError, ValueError) as error:
            raise Refusal(422, str(error)) from error
    return columns

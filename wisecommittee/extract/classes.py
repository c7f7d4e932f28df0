"""Which output column is which class: names from the model or a file, matched with the names of the data."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import ContentError
from wisecommittee.reading import parse_json, read_text

MAX_BYTES = 64 << 20  # of a file of class names


def select_classes(model_classes: Sequence[str] | None, data_classes: Sequence[str]) -> NDArray[np.int64]:
    """The model's output column for each class of the data, int64 [C of the data].

    model_classes : name of every output column; None if the model does not know: then its columns are taken to be
    the data's classes in order, and the caller compares the numbers. Names match exactly, or else but for case,
    underscores and outer spaces. ContentError names what the model lacks.
    """
    twice = [name for name, count in Counter(data_classes).items() if count > 1]
    if twice:
        raise ContentError(f"classes of the data: {_shown(twice)} more than once; expected distinct names")
    if model_classes is None:
        return np.arange(len(data_classes), dtype=np.int64)
    exact, loose = _places(model_classes), _places([_normal(name) for name in model_classes])
    columns, missing = [], []
    for name in data_classes:
        found = exact.get(name) or loose.get(_normal(name)) or []
        if len(found) > 1:
            places = " and ".join(map(str, found[:3]))
            raise ContentError(
                f"class {name!r} is the name of the model's outputs {places}; tell them apart with --classes FILE"
            )
        if found:
            columns.append(found[0])
        else:
            missing.append(name)
    if missing:
        raise ContentError(
            f"{len(missing)} of {len(data_classes)} classes of the data are not among the model's "
            f"{len(model_classes)}: {_shown(missing)} (it has {_shown(list(model_classes), 3)}); "
            f"give the names of its outputs with --classes FILE"
        )
    return np.array(columns, dtype=np.int64)


def read_classes(path: Path) -> tuple[str, ...]:
    """Class names per output index. txt: a name a line; csv: a column of names, or index and name, with or without a
    heading; json: a list of names, {index: name} or {name: index}."""
    text = read_text(path, limit=MAX_BYTES, remedy="name a file of class names with --classes")
    try:
        if path.suffix == ".json":
            names = _from_json(parse_json(text))
        elif path.suffix == ".csv":
            names = _from_rows([row for row in csv.reader(text.splitlines()) if row])
        else:
            names = [line.strip() for line in text.splitlines() if line.strip()]
    except (ValueError, csv.Error) as error:
        raise ContentError(
            f"classes: {str(path)!r}: {error}; expected a name for every output index from 0, as txt, csv or json"
        ) from error
    if len(names) < 2:
        raise ContentError(f"classes: {str(path)!r} names {len(names):,} classes; expected at least 2")
    return tuple(names)


def _from_json(value: Any) -> list[str]:
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return list(value)
    if isinstance(value, dict) and all(isinstance(index, int) for index in value.values()):
        return _in_order([(index, name) for name, index in value.items()])
    if isinstance(value, dict) and all(isinstance(name, str) for name in value.values()):
        return _in_order([(int(index), name) for index, name in value.items()])
    raise ValueError("neither a list of names nor an object of indices and names")


def _from_rows(rows: list[list[str]]) -> list[str]:
    if all(len(row) == 1 for row in rows):
        names = [row[0].strip() for row in rows]
        return names[1:] if names and names[0].lower() in ("class", "name", "label") else names
    if rows and not rows[0][0].strip().isdigit():
        rows = rows[1:]
    return _in_order([(int(row[0]), row[1].strip()) for row in rows if len(row) > 1])


def _in_order(pairs: list[tuple[int, str]]) -> list[str]:
    pairs.sort()
    if [index for index, _ in pairs] != list(range(len(pairs))):
        raise ValueError(f"its {len(pairs)} indices are not 0 to {len(pairs) - 1}")
    return [name for _, name in pairs]


def _places(names: Sequence[str]) -> dict[str, list[int]]:
    places: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        places.setdefault(name, []).append(index)
    return places


def _normal(name: str) -> str:
    return " ".join(name.replace("_", " ").casefold().split())


def _shown(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(repr(name) for name in names[:most]) + more


def imagenet_vocabularies(
    names: Sequence[str] | None = None, subset: str = "imagenet-1k"
) -> dict[str, tuple[str, ...]]:
    """{'synset': n01440764.., 'name': tench.., 'description': ..} of an ImageNet subset in its order; needs timm,
    which carries the lists. names : the model's own, if any. Without timm only these."""
    found = {} if names is None else {"name": tuple(names)}
    try:
        from timm.data import ImageNetInfo
    except (ModuleNotFoundError, RuntimeError):
        return found
    info = ImageNetInfo(subset)
    descriptions = info.label_descriptions()
    first = tuple(text.split(",")[0] for text in descriptions)
    return {"synset": tuple(info.label_names()), "name": first, "description": tuple(descriptions), **found}

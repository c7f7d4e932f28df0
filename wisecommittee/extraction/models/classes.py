"""The output column of a model for each class of the data, matched by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import ContentError, option


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
    exact, loose = _columns_by_name(model_classes), _columns_by_name([_normal(name) for name in model_classes])
    columns, missing = [], []
    for name in data_classes:
        found = exact.get(name) or loose.get(_normal(name)) or []
        if len(found) > 1:
            places = " and ".join(map(str, found[:3]))
            raise ContentError(
                f"class {name!r} is the name of the model's outputs {places}; tell them apart with "
                f"{option('classes', placeholder='FILE')}"
            )
        if found:
            columns.append(found[0])
        else:
            missing.append(name)
    if missing:
        raise ContentError(
            f"{len(missing)} of {len(data_classes)} classes of the data are not among the model's "
            f"{len(model_classes)}: {_shown(missing)} (it has {_shown(list(model_classes), 3)}); "
            f"give the names of its outputs with {option('classes', placeholder='FILE')}"
        )
    return np.array(columns, dtype=np.int64)


def _columns_by_name(names: Sequence[str]) -> dict[str, list[int]]:
    columns: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        columns.setdefault(name, []).append(index)
    return columns


def _normal(name: str) -> str:
    return " ".join(name.replace("_", " ").casefold().split())


def _shown(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(repr(name) for name in names[:most]) + more


def imagenet_vocabularies(
    names: Sequence[str] | None = None, subset: str = "imagenet-1k"
) -> dict[str, tuple[str, ...]]:
    """{'synset': n01440764.., 'name': tench.., 'description': ..} of an ImageNet subset in its order; needs timm, which
    carries the lists. names : the model's own names, if any; without timm, the result holds these only."""
    own_names = {} if names is None else {"name": tuple(names)}
    try:
        from timm.data import ImageNetInfo
    except (ModuleNotFoundError, RuntimeError):
        return own_names
    info = ImageNetInfo(subset)
    descriptions = info.label_descriptions()
    first = tuple(text.split(",")[0] for text in descriptions)
    return {"synset": tuple(info.label_names()), "name": first, "description": tuple(descriptions), **own_names}

"""How the outputs of loaded models enter a committee, from committee.json, the models and their cards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.cards import StoredCard
from wisecommittee.committees.committee import Committee
from wisecommittee.errors import CommitteeError
from wisecommittee.extraction.models.loaded import LoadedModel
from wisecommittee.runtime.membership import Membership


def membership(
    name: str, committee: Committee, model: LoadedModel, classes: Sequence[str] | None, card: StoredCard | None
) -> Membership:
    """How the outputs of a loaded model enter the committee.

    classes : names of the classes that the committee decides between, where the model has more outputs
    """
    entered = Membership.of(name, committee, None if card is None else card.kind)
    if entered.kind == "answers":
        raise CommitteeError(f"{name}: its outputs are answers, which no module computes here")
    if classes is None:
        columns = _columns(card, model)
    elif model.classes:
        columns = model.columns(classes)
    else:
        columns = None
    return replace(entered, order=(model.architecture, model.replica, name), columns=columns)


def _columns(card: StoredCard | None, model: LoadedModel) -> NDArray[np.int64] | None:
    """Numbers of the outputs that were stored, from the card or by the names of its classes; None for all."""
    if card is None:
        return None
    listed = card.meta.get("columns")
    if isinstance(listed, list) and listed and all(type(column) is int and column >= 0 for column in listed):
        return np.array(listed, np.int64)
    if card.class_names and "data" not in card.meta and "given" in model.classes:
        return model.columns(card.class_names)
    return None


def class_names(cards: Iterable[StoredCard | None], models: Mapping[str, LoadedModel]) -> tuple[str, ...] | None:
    """Names of the classes: of the first card that has them, else of the models if all agree; None if unknown."""
    for card in cards:
        if card is not None and card.class_names:
            return card.class_names
    given = [model.classes["given"] for model in models.values() if "given" in model.classes]
    return given[0] if given and all(names == given[0] for names in given) else None

"""Loads the members of a committee that is to be served; needs torch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from wisecommittee.committees.committee import Committee
from wisecommittee.deployment.deploy import deploy
from wisecommittee.deployment.members import Module, find_card, store_of_members
from wisecommittee.deployment.units import Units
from wisecommittee.errors import UsageError, option
from wisecommittee.serving.served import Served
from wisecommittee.serving.takes import Takes
from wisecommittee.store import LogitStore, StoreLike


def deployed(
    committee: Committee | str | os.PathLike[str],
    models: Mapping[str, Module] | None = None,
    *,
    store: StoreLike | None = None,
    shape: Sequence[int] | None = None,
    **options: Any,
) -> Served:
    """A committee whose members are loaded as by `deploy`, ready to be served.

    store : by default the usual one, unless `models` has every member. shape : of one unit, where neither the
    models nor the store say it. options : as of `deploy`.
    """
    chosen = committee if isinstance(committee, Committee) else Committee.load(committee)
    source = store_of_members(chosen, models, store)
    run = deploy(chosen, models, store=source, **options)
    shapes = {model.unit_shape or _stored_shape(source, name) for name, model in run.models.items()}
    pictures = all(model.preprocess is not None for model in run.models.values())
    one = tuple(shape) if shape else shapes.pop() if len(shapes) == 1 else None
    if one is None and not pictures:
        run.close()
        raise UsageError(
            f"{chosen.label()}: the shape of an input is not known, or not the same for all members; name it with "
            f"{option('input_size', placeholder='3,224,224')}"
        )
    takes = Takes(one, pictures, Units.of_numbers)
    return Served(run, takes)


def _stored_shape(store: LogitStore | None, name: str) -> tuple[int, ...] | None:
    """The shape of one unit on the card of a model."""
    card = None if store is None else find_card(store, name)
    return None if card is None else card.input_size

"""The modules behind the members of a committee: from what the caller names, else from the origin on their cards."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from wisecommittee.committees.cards import ModelCard, split_model_name
from wisecommittee.errors import CommitteeError, UnknownNameError, UsageError
from wisecommittee.extract.models import FILES, LoadedModel, load_model, wrap_module
from wisecommittee.extract.preprocess import CLIPS
from wisecommittee.store import LogitStore

Module = str | nn.Module | LoadedModel
VARIANT = re.compile(r"(?:@([0-9]+))?(?:\+([a-z]+))?")  # b3@240+flip: an input size and a view of b3


def load_members(
    names: Iterable[str],
    modules: Mapping[str, Module] | None = None,
    store: LogitStore | None = None,
    *,
    preprocess: str | None = None,
    recorded: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, LoadedModel]:
    """Each model by its name in the store, at the input size and with the view that the name says.

    modules : {name: spec or module}; for the others the store's cards say where they came from. preprocess : spec of
    the model whose preprocessing serves those that bring none. recorded : {name: {"weights", ..}} that are expected.
    """
    names, modules = list(names), dict(modules or {})
    if unknown := [name for name in modules if name not in names]:
        raise UnknownNameError("member", unknown[0], names)
    lender = load_model(preprocess, random_weights=True) if preprocess else None
    found: dict[str, LoadedModel] = {}
    for name in names:
        card = None if store is None else find_card(store, name)
        source = modules.get(name) or _origin(name, card)
        expected = (recorded or {}).get(name, {}).get("weights")
        loaded = _loaded(name, source, expected, bool(card and card.meta.get("random_weights")))
        if card is not None:
            loaded = replace(loaded, architecture=card.architecture, replica=card.replica)
        if loaded.preprocess is None and lender is not None:
            loaded = loaded.with_preprocess_of(lender)
        if expected and loaded.weights != expected:
            raise CommitteeError(
                f"{name}: the weights of {loaded.origin!r} ({loaded.weights[:12]}) are not those the committee was "
                f"chosen with ({expected[:12]}); name them, {name}=SPEC@FILE, or run it anyway with --force"
            )
        found[name] = loaded
    return found


def find_card(store: LogitStore, name: str) -> ModelCard | None:
    """The card of a model in whichever split has it."""
    return next((store.card(name, split) for split in store.splits() if name in store.models(split)), None)


def _origin(name: str, card: ModelCard | None) -> str:
    origin = None if card is None else card.origin
    if origin and (":" in origin or Path(origin).suffix in FILES):
        return origin
    raise UsageError(
        f"{name}: {'its card' if card else 'nothing'} says no model spec it could be loaded from"
        f"{f' ({origin})' if origin else ''}; name one, {name}=SPEC, such as {name}=timm:resnet50@weights.pt"
    )


def _loaded(name: str, source: Module, expected: str | None, random_weights: bool) -> LoadedModel:
    """Under this name, and at the size and with the view it says. A module is taken as it is."""
    if isinstance(source, nn.Module):
        return wrap_module(source, name)
    if isinstance(source, LoadedModel):
        return source.named(name)
    architecture, replica = split_model_name(name)
    match = re.fullmatch(rf"(.*?){VARIANT.pattern}", architecture)
    assert match is not None
    base, size, view = match.groups()
    loaded = load_model(source, random_weights=random_weights)
    if expected and loaded.weights != expected:  # without stored weights the name is the seed
        loaded = load_model(
            source, base if architecture == name else f"{base}/{replica}", random_weights=random_weights
        )
    if size and loaded.resize is not None:
        loaded = loaded.at_size(int(size))
    if view and (view == CLIPS or loaded.preprocess is not None):
        loaded = loaded.with_view(view)
    return loaded.named(name)

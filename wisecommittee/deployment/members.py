"""Loads the members of a committee: from the modules that the caller names, else from the origins on their cards.

A card may have been written by anybody. Its origin is loaded without asking only if it is weights without code, for
this package and installed libraries. Python modules, TorchScript and torch.export files run only if the caller trusts
the store, or names them.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from wisecommittee.committees.cards import StoredCard
from wisecommittee.committees.committee import Committee
from wisecommittee.committees.model_names import split_model_name
from wisecommittee.deployment.callables import Called, as_member
from wisecommittee.errors import CommitteeError, TrustError, UnknownNameError, UsageError, option
from wisecommittee.extraction.models.loaded import LoadedModel, wrap_module
from wisecommittee.extraction.models.preprocess import CLIPS
from wisecommittee.extraction.models.spec import FILES, load_model, program_in, stored_weights
from wisecommittee.runtime.estimators import is_estimator
from wisecommittee.store import LogitStore, StoreLike, open_store

Module = Any  # a spec, a torch module, a LoadedModel, a function or a scikit-learn estimator
VARIANT = re.compile(r"(?:@([0-9]+))?(?:\+([a-z]+))?")  # b3@240+flip: an input size and a view of b3


@dataclass(frozen=True, slots=True)
class _Source:
    """The place that a member is loaded from.

    expected : hash of its weights in the committee, else on its card; None accepts any weights. kind : 'logits' or
    'probabilities', as the committee was chosen on. lender : spec of the model whose preprocessing it uses if it has
    none. named : {name: spec} of the module and the lender, if only its card names them.
    """

    name: str
    module: Module
    card: StoredCard | None
    expected: str | None
    kind: str
    lender: str | None
    named: Mapping[str, str]


def load_members(
    names: Iterable[str],
    modules: Mapping[str, Module] | None = None,
    store: LogitStore | None = None,
    *,
    preprocess: str | None = None,
    recorded: Mapping[str, Mapping[str, Any]] | None = None,
    trust: bool = False,
    force: bool = False,
) -> dict[str, LoadedModel]:
    """Load members at the input size and with the view in their names.

    Parameters
    ----------
    names : iterable of str
        Names of models of the store.
    modules : {name: spec or module}, optional
        By default models are loaded from the origins on their cards.
    store : LogitStore, optional
    preprocess : str, optional
        Spec of the model whose preprocessing serves models without one.
    recorded : {name: {"weights", "kind"}}, optional
        Expected weights and kind; they override those on the cards.
    trust : bool
        Run code that only a card names.
    force : bool
        Accept other weights than expected.

    Returns
    -------
    {name: LoadedModel}

    Raises
    ------
    TrustError
        Code would run that only a card names.
    CommitteeError
        The weights of a model are not the expected ones.
    UsageError
        No spec is known for a model.
    UnknownNameError
        `modules` names a model that is not in `names`.
    """
    names, modules = list(names), dict(modules or {})
    if unknown := [name for name in modules if name not in names]:
        raise UnknownNameError("member", unknown[0], names)
    sources = [_source(name, modules.get(name), store, preprocess, (recorded or {}).get(name, {})) for name in names]
    if not trust:
        refuse(_programs(sources))
    borrowed = {source.lender for source in sources if source.lender}
    lenders = {spec: load_model(spec, random_weights=True) for spec in sorted(borrowed)}
    models: dict[str, LoadedModel] = {}
    for source in sources:
        if not force:
            _check_stored(source)
        loaded = _loaded(source, None if source.lender is None else lenders[source.lender])
        if source.card is not None:
            loaded = replace(loaded, architecture=source.card.architecture, replica=source.card.replica)
        _check_preprocess(source, loaded)
        if source.expected and loaded.weights not in ("", source.expected) and not force:  # functions have none
            raise _other_weights(source, loaded.origin, loaded.weights)
        models[source.name] = loaded
    return models


def programs(
    names: Iterable[str], modules: Mapping[str, Module] | None, store: LogitStore, preprocess: str | None = None
) -> dict[str, str]:
    """{member: description} of every program that loading these members would run and that only a card names."""
    return _programs([_source(name, (modules or {}).get(name), store, preprocess, {}) for name in names])


def refuse(named: Mapping[str, str]) -> None:
    """TrustError if any program is named. named : {member: description of a program that only a card names}."""
    if named:
        listed = "; ".join(f"{who}: {program}" for who, program in named.items())
        raise TrustError(
            f"the store names code, which would run here: {listed}. Look at it, then allow it with "
            f"{option('trust', True)}, or name what you trust yourself: NAME=SPEC, "
            f"{option('data', placeholder='SPEC')}"
        )


def store_of_members(
    committee: Committee, models: Mapping[str, Module] | None, store: StoreLike | None
) -> LogitStore | None:
    """The store whose cards say where members are loaded from: by default the usual one, unless `models` has all."""
    if store is not None:
        return open_store(store)
    return None if set(committee.models) <= set(models or ()) else LogitStore()


def find_card(store: LogitStore, name: str) -> StoredCard | None:
    """The card of a model in the first split that has it, or None."""
    return next((store.card(name, split) for split in store.splits() if name in store.models(split)), None)


def _source(
    name: str, given: Module | None, store: LogitStore | None, preprocess: str | None, recorded: Mapping[str, Any]
) -> _Source:
    card = None if store is None else find_card(store, name)
    expected = recorded.get("weights") or (card.weights if card is not None else None)
    kind = str(recorded.get("kind") or (card.kind if card is not None else "logits"))
    module, named = given, {}
    if module is None:
        module = named[name] = _origin(name, card, store)
    lender, noted = preprocess, card.meta.get("preprocess_of") if card is not None else None
    if lender is None and noted and getattr(given, "preprocess", None) is None:
        lender = named[f"preprocessing of {name}"] = str(noted)
    if not (isinstance(module, (str, nn.Module, LoadedModel)) or callable(module) or is_estimator(module)):
        raise UsageError(
            f"{name}: a {type(module).__name__}; expected a model spec, a torch module, a function, or an estimator "
            f"with predict_proba or decision_function"
        )
    return _Source(name, module, card, str(expected) if expected else None, kind, lender, named)


def _origin(name: str, card: StoredCard | None, store: LogitStore | None) -> str:
    if card is None and store is not None:
        store.require()
    origin = None if card is None else card.origin
    if origin and (":" in origin or Path(origin).suffix in FILES):
        return origin
    elsewhere = (
        "" if store is not None else f", or the store whose card names one, {option('store', placeholder='FOLDER')}"
    )
    raise UsageError(
        f"{name}: {'its card names' if card else 'there is'} no model spec that it could be loaded from"
        f"{f' ({origin})' if origin else ''}; name one, {name}=SPEC, such as {name}=timm:resnet50@weights.pt{elsewhere}"
    )


def _check_preprocess(source: _Source, loaded: LoadedModel) -> None:
    stored = source.card.meta.get("preprocess") if source.card is not None else None
    if stored and loaded.preprocess_key not in (None, stored):
        warnings.warn(
            f"{source.name}: prepares images in another way ({str(loaded.preprocess_key)[:80]}) than those of the "
            f"store were ({str(stored)[:80]})",
            stacklevel=5,
        )


def _programs(sources: Sequence[_Source]) -> dict[str, str]:
    named = {who: spec for source in sources for who, spec in source.named.items()}
    programs_of = {who: (spec, program_in(spec)) for who, spec in named.items()}
    return {who: f"{spec!r}, {program}" for who, (spec, program) in programs_of.items() if program}


def _check_stored(source: _Source) -> None:
    """Check the hash of the file of weights before anything in it runs."""
    if not isinstance(source.module, str) or source.expected is None or _is_random(source):
        return
    if (stored := stored_weights(source.module)) not in (None, source.expected):
        assert stored is not None
        raise _other_weights(source, source.module, stored)


def _other_weights(source: _Source, origin: str, weights: str) -> CommitteeError:
    return CommitteeError(
        f"{source.name}: the weights of {origin!r} ({weights[:12]}) are not those the committee was chosen with "
        f"({str(source.expected)[:12]}); name them, {source.name}=SPEC@FILE, or run it anyway with "
        f"{option('force', True)}"
    )


def _is_random(source: _Source) -> bool:
    return bool(source.card and source.card.meta.get("random_weights"))


def _loaded(source: _Source, lender: LoadedModel | None) -> LoadedModel:
    """The model of a source under its name, at the size and with the view in that name; a module is used unchanged."""
    name, module = source.name, source.module
    if not isinstance(module, str):
        return _lent(_wrapped(source), lender)
    random_weights = _is_random(source)
    architecture, replica = split_model_name(name)
    match = re.fullmatch(rf"(.*?){VARIANT.pattern}", architecture)
    assert match is not None
    base, size, view = match.groups()
    loaded = load_model(module, random_weights=random_weights)
    if source.expected and loaded.weights != source.expected:  # without stored weights the name is the seed
        loaded = load_model(
            module, base if architecture == name else f"{base}/{replica}", random_weights=random_weights
        )
    if size and loaded.resize is not None:
        loaded = loaded.at_size(int(size))
    loaded = _lent(loaded, lender)
    if view and (view == CLIPS or loaded.preprocess is not None):
        loaded = loaded.with_view(view)
    return loaded.named(name)


def _wrapped(source: _Source) -> LoadedModel:
    if isinstance(source.module, nn.Module):
        return wrap_module(source.module, source.name)
    if isinstance(source.module, LoadedModel):
        return source.module.named(source.name)
    return as_member(source.name, source.module, source.kind)


def _lent(loaded: LoadedModel, lender: LoadedModel | None) -> LoadedModel:
    is_own = loaded.preprocess is not None or isinstance(loaded.module, Called)
    return loaded if lender is None or is_own else loaded.with_preprocess_of(lender)

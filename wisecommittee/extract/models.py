"""Model specs -> loaded modules. One entry of SOURCES per scheme; a spec without a known scheme names Python code.

package.module:factory[@weights-file]   a callable returning an nn.Module, or an nn.Module itself
digits:NAME                             a member of the embedded pool, for example digits:conv8/0
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import pickle
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from wisecommittee.committees.cards import split_model_name
from wisecommittee.errors import ContentError, UnknownNameError, UsageError, WiseCommitteeError

CODE = "package.module:factory[@weights-file]"


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A module in eval mode with its identity.

    origin : the spec it came from; weights : sha256 of the weights file, or of the state dict where there is none;
    training_cost : multiply-adds spent on training, where known; meta : free-form facts for the card.
    """

    module: nn.Module
    name: str
    architecture: str
    replica: int
    origin: str
    weights: str
    training_cost: float | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)

    def named(self, name: str) -> LoadedModel:
        architecture, replica = split_model_name(name)
        return replace(self, name=name, architecture=architecture, replica=replica)


# A source gets the spec, the part after its scheme, the name asked for (or None), and whether weights stay random.
# Written as 'module:function' it is imported on first use, so that a source may live on a floor above.
Source = Callable[[str, str, str | None, bool], LoadedModel]
SOURCES: dict[str, Source | str] = {
    "digits": "wisecommittee.train.pool:load_member",
}


def load_model(spec: str, name: str | None = None, *, random_weights: bool = False) -> LoadedModel:
    """The module a spec stands for; `name` overrides its name in the store ('small/0' = architecture/replica)."""
    scheme, colon, rest = spec.partition(":")
    if not colon or not rest:
        raise UsageError(f"model {spec!r}: expected {CODE} or {', '.join(f'{s}:NAME' for s in sorted(SOURCES))}")
    if scheme in SOURCES:
        source = SOURCES[scheme]
        loaded = (find_object(source, spec) if isinstance(source, str) else source)(spec, rest, name, random_weights)
    else:
        check_scheme("model source", scheme, SOURCES)
        loaded = _from_code(spec, name, random_weights)
    loaded.module.eval().requires_grad_(False)
    return loaded.named(name) if name else loaded


def wrap_module(module: nn.Module, name: str) -> LoadedModel:
    """A module made in Python, ready for `extract`."""
    architecture, replica = split_model_name(name)
    module.eval()
    return LoadedModel(module, name, architecture, replica, type(module).__qualname__, state_hash(module))


def _from_code(spec: str, name: str | None, random_weights: bool) -> LoadedModel:
    code, _, weights_file = spec.partition("@")
    factory = find_object(code, spec)
    replica = split_model_name(name)[1] if name else int(getattr(factory, "replica", 0))
    module = factory
    if not isinstance(factory, nn.Module):
        # Seeded, so that a factory without stored weights gives the same model at every start.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(replica)
            module = call(factory, spec)
    if not isinstance(module, nn.Module):
        raise UsageError(
            f"model {spec!r}: gave a {type(module).__name__}; expected a torch.nn.Module or a callable returning one"
        )
    if any(is_lazy(parameter) for parameter in module.parameters()):
        raise UsageError(f"model {spec!r}: lazy layers without shapes; run it once on an input inside its factory")
    if weights_file and not random_weights:
        weights = load_weights(module, Path(weights_file), spec)
    else:
        weights = state_hash(module)
    default = code.rpartition(":")[2]
    architecture = str(getattr(factory, "architecture", getattr(module, "architecture", default)))
    replica = int(getattr(factory, "replica", getattr(module, "replica", 0)))
    meta = {"random_weights": True} if random_weights else {}
    return LoadedModel(module, default, architecture, replica, spec, weights, meta=meta)


def load_weights(module: nn.Module, path: Path, spec: str) -> str:
    """Load a state dict (bare, or under 'state_dict' or 'model') into the module; returns the file's sha256."""
    try:
        with path.open("rb") as handle:
            digest = hashlib.file_digest(handle, "sha256").hexdigest()
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UsageError(f"model {spec!r}: there is no weights file {str(path)!r}") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ContentError(
            f"model {spec!r}: {str(path)!r} holds no plain tensors ({reason}); save its state_dict() with torch.save"
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    try:
        module.load_state_dict(state)
    except (RuntimeError, TypeError) as error:
        reason = "; ".join(line.strip() for line in str(error).splitlines()[:3])
        raise ContentError(f"model {spec!r}: the weights in {str(path)!r} do not fit: {reason}") from error
    return digest


def state_hash(module: nn.Module) -> str:
    """sha256 over names, types, shapes and bytes of the state dict, in sorted key order."""
    digest = hashlib.sha256()
    for key, value in sorted(module.state_dict().items()):
        digest.update(key.encode())
        if isinstance(value, torch.Tensor):
            tensor = value.detach().cpu().contiguous()
            digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
        else:
            digest.update(repr(value).encode())
    return digest.hexdigest()


# Python code named on the command line, for models and data alike


def check_scheme(noun: str, scheme: str, sources: Mapping[str, object]) -> None:
    """Raise unless an unknown scheme can be the name of a Python module."""
    _import_from_here()
    try:
        found = importlib.util.find_spec(scheme.partition(".")[0]) is not None
    except (ImportError, ValueError):
        found = False
    if not found:
        raise UnknownNameError(noun, scheme, [*sources, "package.module:factory (a module found from this folder)"])


def find_object(code: str, spec: str) -> Any:
    """'package.module:name' -> the object; the current folder can be imported from, as with `python -m`."""
    _import_from_here()
    module_name, _, attribute = code.partition(":")
    try:
        target = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(error.name + ".")):
            raise UsageError(
                f"{spec!r}: no module {error.name!r}; expected {CODE}, importable from {os.getcwd()!r}"
            ) from None
        raise WiseCommitteeError(f"{spec!r}: importing {module_name} failed: {error}") from error
    except Exception as error:
        raise WiseCommitteeError(f"{spec!r}: importing {module_name} raised {type(error).__name__}: {error}") from error
    for part in attribute.split("."):
        if not hasattr(target, part):
            known = [n for n, v in vars(target).items() if callable(v) and not n.startswith("_")]
            raise UnknownNameError(f"name in {module_name}", attribute, known)
        target = getattr(target, part)
    return target


def call(factory: Any, spec: str) -> Any:
    if not callable(factory):
        raise UsageError(f"{spec!r}: a {type(factory).__name__} is not callable; expected {CODE}")
    try:
        return factory()
    except WiseCommitteeError:
        raise
    except Exception as error:
        raise WiseCommitteeError(f"{spec!r}: calling it raised {type(error).__name__}: {error}") from error


def _import_from_here() -> None:
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)

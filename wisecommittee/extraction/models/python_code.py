"""Python code named on the command line, `package.module:name`, for models and data alike."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import PathFinder
from typing import Any

from wisecommittee.errors import UnknownNameError, UsageError, WiseCommitteeError

CODE = "package.module:factory[@weights-file]"


def check_scheme(noun: str, scheme: str, sources: Mapping[str, object]) -> None:
    """Raise unless an unknown scheme can be the name of a Python module."""
    _allow_current_folder()
    try:
        exists = importlib.util.find_spec(scheme.partition(".")[0]) is not None
    except (ImportError, ValueError):
        exists = False
    if not exists:
        raise UnknownNameError(noun, scheme, [*sources, "package.module:factory (a module found from this folder)"])


def located(code: str) -> str:
    """The location of the module of 'package.module:name', in words; neither it nor its packages are imported."""
    module = code.partition(":")[0]
    if module.partition(".")[0] in sys.builtin_module_names:
        return f"module {module}, part of Python"
    search_path: Sequence[str] | None = [os.getcwd(), *sys.path]
    origin: str | None = None
    for name in module.split("."):
        try:
            spec = PathFinder.find_spec(name, search_path) if name and search_path is not None else None
        except (ImportError, ValueError):
            spec = None
        if spec is None:
            return f"module {module}, which is not found from {os.getcwd()}"
        origin, search_path = spec.origin, spec.submodule_search_locations
    return f"module {module}, {origin or 'a folder'}"


def find_object(code: str, spec: str, *, from_here: bool = True) -> Any:
    """'package.module:name' -> the object. from_here : the current folder can be imported from, as with `python -m`;
    names that this package itself uses are never looked up there."""
    if from_here:
        _allow_current_folder()
    module_name, _, attribute = code.partition(":")
    try:
        target = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(error.name + ".")):
            raise UsageError(
                f"{spec!r}: no module {error.name!r}; expected {CODE}, importable from {os.getcwd()!r}"
            ) from None
        raise WiseCommitteeError(f"{spec!r}: importing {module_name} failed: {error}") from error
    except WiseCommitteeError:
        raise
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


def _allow_current_folder() -> None:
    folder = os.getcwd()
    if folder not in sys.path and "" not in sys.path:
        sys.path.insert(0, folder)

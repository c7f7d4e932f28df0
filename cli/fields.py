"""Options of commands that are fields of a value, such as Query: help and defaults stand with the fields."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields
from functools import wraps
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import typer

Parameters = dict[str, inspect.Parameter]


def parameters(kind: type[Any], names: Collection[str] | None = None, *, unset: bool = False) -> Parameters:
    """The options of a command for the fields of a value.

    Parameters
    ----------
    kind
        A dataclass whose fields are made by `described`.
    names
        Only these fields; by default all that the command line has and that are single values or lists of texts.
    unset
        Whether every default is None, so that the command can tell what was given.
    """
    hints = get_type_hints(kind)
    out = {}
    for each in fields(kind):
        type_ = _command_type(hints[each.name])
        if not each.metadata["command"] or type_ is None or (names is not None and each.name not in names):
            continue
        shown = each.metadata["shown"] or (str(each.default) if unset and not isinstance(each.default, bool) else True)
        option = typer.Option("--" + each.name.replace("_", "-"), help=each.metadata["text"], show_default=shown)
        default = None if unset and not isinstance(each.default, bool) else each.default
        annotation = Annotated[type_ if default is not None else Union[type_, None], option]  # noqa: UP007
        out[each.name] = _keyword(each.name, default, annotation)
    return out


def _command_type(hint: Any) -> Any:
    """What the command line takes for a field of this type; None for one that it does not take as one value."""
    args = [arg for arg in get_args(hint) if arg is not NoneType]
    plain = args[0] if NoneType in get_args(hint) and len(args) == 1 else hint
    if get_origin(plain) is tuple and get_args(plain)[1:] == (Ellipsis,):
        return list[get_args(plain)[0]]  # type: ignore[misc]
    return plain if plain in (str, int, float, bool, Path) else None


def _keyword(name: str, default: Any, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def with_parameters(
    command: Callable[..., None], makers: Mapping[str, tuple[Callable[..., Any], Parameters]]
) -> Callable[..., None]:
    """The command with more options, which reach it as values.

    Parameters
    ----------
    command
        Has a parameter of each maker's name besides its own options.
    makers
        Name of a parameter of the command -> what makes its value from the keywords, and their options.
    """
    own = {
        name: p.replace(kind=p.KEYWORD_ONLY)
        for name, p in inspect.signature(command, eval_str=True).parameters.items()
        if name not in makers
    }

    @wraps(command)
    def run(**given: Any) -> None:
        values = {name: make(**{n: given.pop(n) for n in asked}) for name, (make, asked) in makers.items()}
        command(**values, **given)

    every = {name: p for _, asked in makers.values() for name, p in asked.items()} | own
    run.__signature__ = inspect.Signature(list(every.values()))  # type: ignore[attr-defined]
    run.__annotations__ = {name: p.annotation for name, p in every.items()}
    return run

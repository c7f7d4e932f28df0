"""Values whose fields are options: each field says what it means and checks itself, and functions take the fields as
keywords.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import Field, field, fields
from typing import Any, TypeVar, get_type_hints

from wisecommittee.errors import UsageError, nearest

Function = TypeVar("Function", bound=Callable[..., Any])
Check = Callable[[str, Any], Any]  # (name, value given) -> the value kept, or UsageError


def described(
    default: Any, text: str, *, check: Check | None = None, shown: str = "", command: bool = True, json: bool = True
) -> Any:
    """A field of an options value.

    Parameters
    ----------
    default
        The default value, immutable.
    text
        What the option means; `help()` and the command line's --help print it.
    check
        Called with the field's name and every value but None; returns the value to keep.
    shown
        What stands for a default of None, such as "4; halting: the whole group".
    command
        Whether the command line has the option.
    json
        Whether the value's JSON has the field.
    """
    about = {"text": text, "check": check, "shown": shown, "command": command, "json": json}
    return field(default=default, metadata=about)


def check_fields(value: Any) -> None:
    """Replace each field of a new options value by what its check returns; for `__post_init__`."""
    for each in fields(value):
        given, check = getattr(value, each.name), each.metadata["check"]
        if check is not None and not (given is None and each.default is None):
            object.__setattr__(value, each.name, check(each.name, given))


def from_options(kinds: Mapping[str, type[Any]], options: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The keywords of a call, under the name of the value whose fields they are.

    Raises
    ------
    UsageError
        A keyword that is a field of no value.
    """
    homes = {each.name: value for value, kind in kinds.items() for each in fields(kind)}
    out: dict[str, dict[str, Any]] = {value: {} for value in kinds}
    for name, given in options.items():
        if name not in homes:
            near = nearest(name, homes)
            hint = f"did you mean {near!r}? " if near else ""
            raise UsageError(f"unknown option {name!r}; {hint}Known: {', '.join(homes)}")
        out[homes[name]][name] = given
    return out


def takes_options(*kinds: type[Any]) -> Callable[[Function], Function]:
    """Give a function that ends in `**options` the signature and the documentation of its real options.

    The fields of `kinds` become keyword-only parameters, and `{options}` in the docstring becomes their descriptions.
    """

    def decorate(function: Function) -> Function:
        signature = inspect.signature(function, eval_str=True)
        before = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        parameters = [_parameter(each, get_type_hints(kind)[each.name]) for kind in kinds for each in fields(kind)]
        function.__signature__ = signature.replace(parameters=[*before, *parameters])  # type: ignore[attr-defined]
        text = "\n".join(_entry(each) for kind in kinds for each in fields(kind))
        function.__doc__ = inspect.cleandoc(function.__doc__ or "").replace("{options}", text)
        return function

    return decorate


def _parameter(each: Field[Any], annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(each.name, inspect.Parameter.KEYWORD_ONLY, default=each.default, annotation=annotation)


def _entry(each: Field[Any]) -> str:
    shown = each.metadata["shown"] or repr(each.default)
    text = f"{each.metadata['text']} Default: {shown}."
    return f"{each.name}\n{textwrap.indent(textwrap.fill(text, 108), '    ')}"

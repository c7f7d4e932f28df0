"""The options of a search on the command line: those of Query and Execution, which say what each means."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from wisecommittee.errors import UsageError, option
from wisecommittee.searches.guarantees.options import GuaranteeOptions
from wisecommittee.searches.query import Query
from wisecommittee.searches.selection import Selection
from wisecommittee.searches.workers.execution import Execution

from .fields import Parameters, parameters, with_parameters

PERCENTILE = 99.0  # of the cost per unit, where a limit on it names none


def _limits(
    percentile: Annotated[
        float | None,
        typer.Option(
            help="Which percentile --max-percentile-cost limits, above 0 and up to 100.", show_default=f"{PERCENTILE:g}"
        ),
    ] = None,
    max_percentile_cost: Annotated[
        float | None,
        typer.Option(
            help="Most that this percentile of the cost per unit may be: all but 1 % of the units by default."
        ),
    ] = None,
    max_average: Annotated[
        list[str] | None,
        typer.Option(help="Limit on the average of a further cost, such as latency_ms=3.5; may be repeated."),
    ] = None,
) -> dict[str, Any]:
    """The fields of a query that take several words on the command line."""
    if max_percentile_cost is None and percentile is not None:
        raise UsageError(
            f"{option('percentile', percentile)} limits nothing by itself; add --max-percentile-cost NUMBER"
        )
    limit = None
    if max_percentile_cost is not None:
        limit = (PERCENTILE if percentile is None else percentile, max_percentile_cost)
    return {"max_percentile_cost": limit, "max_average": _named_numbers(max_average)}


def _query(**given: Any) -> Query:
    limits = {name: given.pop(name) for name in LIMITS}
    return Query(**given, **_limits(**limits))


def with_query(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the options of a search, which reach it as `query`, `execution`, `selection` and `asked`."""
    makers: dict[str, tuple[Callable[..., Any], Parameters]] = {
        "query": (_query, parameters(Query) | LIMITS),
        "execution": (Execution, parameters(Execution)),
        "selection": (Selection, parameters(Selection)),
        "asked": (GuaranteeOptions, parameters(GuaranteeOptions)),
    }
    return with_parameters(command, makers)


def _named_numbers(given: Sequence[str] | None) -> dict[str, float] | None:
    """['latency_ms=3.5'] as {'latency_ms': 3.5}."""
    out: dict[str, float] = {}
    for text in given or ():
        name, _, value = text.partition("=")
        try:
            out[name] = float(value)
        except ValueError:
            raise UsageError(f"--max-average {text}; expected NAME=NUMBER, such as latency_ms=3.5") from None
    return out or None


LIMITS = {
    name: p.replace(kind=p.KEYWORD_ONLY) for name, p in inspect.signature(_limits, eval_str=True).parameters.items()
}

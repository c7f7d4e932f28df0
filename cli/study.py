"""What `plot`, `tables` and `report` share: the options of a study, and how a study is made of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from wisecommittee.searches.guarantees.options import GuaranteeOptions
from wisecommittee.searches.query import Query
from wisecommittee.searches.selection import Selection

from . import options
from .console import Update
from .fields import parameters, with_parameters

Make = Callable[..., Any]  # a Study, of the progress to show and of what only one command asks
OF_SELECTION = ("folds", "group_by")
OF_QUERY = ("labels_from", "models", "policy", "replicas", "max_models", "confidence", "combine", "calibrated", "cost")


def make_study(
    store: options.Store = None,
    split: Annotated[
        str | None, typer.Option(help="Split that chooses, or that given committees are shown on.", show_default="val")
    ] = None,
    frontier: Annotated[
        Path | None,
        typer.Option(help="Frontier saved by search --frontier, instead of a new search; the options are its own."),
    ] = None,
    published: options.Published = False,
    threads: options.Threads = None,
    *,
    progress: Update,
    calibrated: bool = False,
    **more: Any,
) -> Any:
    """A Study. more : further options of its query and its selection, and fields of its own."""
    from wisecommittee.analyses.study import study_of
    from wisecommittee.searches.frontier import Frontier
    from wisecommittee.store import LogitStore

    return study_of(
        LogitStore(store),
        Frontier.load(frontier) if frontier else None,
        split=split,
        published=published,
        threads=threads,
        progress=progress,
        calibrated=calibrated or None,
        **more,
    )


def with_study(
    command: Callable[..., None], of_selection: Collection[str] = OF_SELECTION, *, guarantees: bool = False
) -> Callable[..., None]:
    """The command with the options of a study, which reach it as one argument: `study(progress=..)` makes it.

    of_selection : names of the options of the choice among them; guarantees : whether those of guarantees are too.
    """
    fields = inspect.signature(make_study, eval_str=True).parameters.values()
    options_of_it = {p.name: p.replace(kind=p.KEYWORD_ONLY) for p in fields if p.kind is p.POSITIONAL_OR_KEYWORD}
    asked = options_of_it | parameters(Query, OF_QUERY, unset=True) | parameters(Selection, of_selection, unset=True)
    if guarantees:
        asked |= parameters(GuaranteeOptions, unset=True)
    return with_parameters(command, {"study": (partial(partial, make_study), asked)})

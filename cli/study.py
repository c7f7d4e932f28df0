"""What `plot`, `tables` and `report` share: the options of a study, and how a study is made of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from . import options
from .console import Update

Make = Callable[..., Any]  # a Study, of the progress to show and of what only one command asks


def make_study(
    store: options.Store = None,
    split: Annotated[
        str | None, typer.Option(help="Split that chooses, or that given committees are shown on.", show_default="val")
    ] = None,
    frontier: Annotated[
        Path | None,
        typer.Option(help="Frontier saved by search --frontier, instead of a new search; the options are its own."),
    ] = None,
    models: options.Models = None,
    replicas: Annotated[str | None, options.REPLICAS] = None,
    max_models: Annotated[int | None, typer.Option(help="Most members of a committee.", show_default="4")] = None,
    confidence: options.Confidence = None,
    combine: options.Combine = None,
    calibrated: options.Calibrated = False,
    published: options.Published = False,
    cost: Annotated[str | None, options.COST] = None,
    threads: options.Threads = None,
    *,
    progress: Update,
    **more: Any,
) -> Any:
    from wisecommittee.analyses.study import study_of
    from wisecommittee.searches.frontier import Frontier
    from wisecommittee.store import LogitStore

    return study_of(
        LogitStore(store),
        Frontier.load(frontier) if frontier else None,
        split=split,
        models=models,
        replicas=replicas,
        max_models=max_models,
        confidence=confidence,
        combine=combine,
        calibrated=calibrated or None,
        published=published,
        cost=cost,
        threads=threads,
        progress=progress,
        **more,
    )


def with_study(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the options of a study, which reach it as one argument: `study(progress)` makes it."""
    own, asked = (
        {name: p for name, p in inspect.signature(f, eval_str=True).parameters.items() if name not in left_out}
        for f, left_out in ((command, {"study"}), (make_study, {"progress", "more"}))
    )

    @wraps(command)
    def run(**given: Any) -> None:
        command(study=partial(make_study, **{name: given.pop(name) for name in asked}), **given)

    both = {**asked, **own}
    run.__signature__ = inspect.Signature([p.replace(kind=p.KEYWORD_ONLY) for p in both.values()])  # type: ignore[attr-defined]
    run.__annotations__ = {name: p.annotation for name, p in both.items()}
    return run

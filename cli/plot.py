"""wisecommittee plot: one figure into a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options
from .console import out, progress


def plot(
    kind: Annotated[
        str, typer.Argument(help="frontier: committees and single models; exits: exit ratios per stage.")
    ] = "frontier",
    store: options.Store = None,
    out_file: options.OutFile = None,
    split: Annotated[str, typer.Option(help="Split that chooses.")] = "val",
    frontier: Annotated[
        Path | None, typer.Option(help="Frontier saved by search --frontier, instead of a new search.")
    ] = None,
    committee: Annotated[
        list[Path] | None,
        typer.Option(help="committee.json to draw exits of; may be repeated. Default: a spread over the frontier."),
    ] = None,
    ensembles: Annotated[bool, typer.Option("--ensembles", help="Draw the frontier of ensembles too.")] = False,
    models: options.Models = None,
    max_models: Annotated[int, typer.Option(help="Most members of a committee.")] = 4,
    cost: options.Cost = "flops",
    threads: options.Threads = None,
) -> None:
    """Draw a figure; --out names the file and its ending the format.

    **Examples**

    `wisecommittee plot frontier --ensembles --out frontier.pdf`

    `wisecommittee plot exits --committee committee.json --split test --out exits.png`
    """
    from wisecommittee.report.figures import figure
    from wisecommittee.store import LogitStore

    with progress() as update:
        path = figure(
            kind,
            out_file or Path(f"{kind}.png"),
            LogitStore(store),
            split=split,
            frontier_file=frontier,
            committees=committee or [],
            ensembles=ensembles,
            models=models,
            max_models=max_models,
            cost=cost,
            threads=threads,
            progress=update,
        )
    out.print(f"wrote {path}", markup=False)

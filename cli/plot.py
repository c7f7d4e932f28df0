"""wisecommittee plot: one figure into a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options
from .console import check_folder, out, print_kinds, progress


def plot(
    kind: Annotated[str, typer.Argument(help="Which plot; --list shows them all.")] = "frontier",
    store: options.Store = None,
    out_file: options.OutFile = None,
    list_kinds: options.ListKinds = False,
    split: Annotated[str, typer.Option(help="Split that chooses, or that given committees are shown on.")] = "val",
    frontier: Annotated[
        Path | None, typer.Option(help="Frontier saved by search --frontier, instead of a new search.")
    ] = None,
    committee: options.Committees = None,
    ensembles: Annotated[bool, typer.Option("--ensembles", help="Draw the frontier of ensembles too.")] = False,
    published: options.Published = False,
    calibrated: options.Calibrated = False,
    curves: Annotated[Path | None, typer.Option(help="File that `train .. --curves` wrote, for `learning`.")] = None,
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
    from wisecommittee.analyses.study import Study
    from wisecommittee.committees.cards import Committee
    from wisecommittee.report import plot as plots
    from wisecommittee.search.frontier import Frontier
    from wisecommittee.store import LogitStore

    if list_kinds:
        print_kinds(plots.kinds())
        return
    check_folder(out_file)
    with progress() as update:
        study = Study(
            LogitStore(store),
            split,
            models=models,
            max_models=max_models,
            cost=cost,
            calibrated=calibrated,
            committees=tuple(map(Committee.load, committee or ())),
            given=Frontier.load(frontier) if frontier else None,
            ensembles=ensembles,
            published=published,
            curves=curves,
            threads=threads,
            progress=update,
        )
        path = plots.picture(kind, study, out_file or Path(f"{kind}.png"))
    out.print(f"wrote {path}", markup=False)

"""wisecommittee plot: one figure into a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options
from .console import check_folder, out, print_kinds, progress, say
from .study import Make, with_study


@with_study
def plot(
    kind: Annotated[str, typer.Argument(help="Which plot; --list shows them all.")] = "frontier",
    out_file: options.OutFile = None,
    list_kinds: options.ListKinds = False,
    committee: options.Committees = None,
    ensembles: Annotated[bool, typer.Option("--ensembles", help="Draw the frontier of ensembles too.")] = False,
    curves: Annotated[Path | None, typer.Option(help="File that `train .. --curves` wrote, for `learning`.")] = None,
    *,
    study: Make,
) -> None:
    """Draw a figure; --out names the file and its ending the format.

    **Examples**

    `wisecommittee plot frontier --ensembles --out frontier.pdf`

    `wisecommittee plot exits --committee committee.json --split test --out exits.png`
    """
    from wisecommittee.committees.committee import Committee
    from wisecommittee.report import plot as plots

    if list_kinds:
        print_kinds(plots.kinds())
        return
    file = out_file or Path(f"{kind}.png")
    plots.check(kind, file)
    check_folder(file)
    with progress() as update:
        committees = tuple(map(Committee.load, committee or ()))
        asked = study(progress=update, committees=committees, ensembles=ensembles, curves=curves)
        plots.check(kind, file, asked)
        if ensembles and kind != "frontier":
            say(f"--ensembles adds nothing to plot {kind}; plot frontier draws them")
        path = plots.picture(kind, asked, file)
    out.print(f"wrote {path}", markup=False)

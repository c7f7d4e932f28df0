"""wisecommittee report: one page about a store, in one HTML file."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from .console import check_folder, out, progress
from .study import Make, with_study


@with_study
def report(
    out_file: Annotated[Path, typer.Option("--out", help="HTML file to write.")] = Path("report.html"),
    target_flops: Annotated[
        float | None, typer.Option(help="Most average FLOPs (multiply-adds) of the committee on top.")
    ] = None,
    target_cost: Annotated[float | None, typer.Option(help="The same in the unit of --cost.")] = None,
    target_accuracy: Annotated[float | None, typer.Option(help="Its least accuracy, 0 to 1.")] = None,
    match: Annotated[
        str | None, typer.Option(help="As accurate as this model.", show_default="the most accurate model")
    ] = None,
    *,
    study: Make,
) -> None:
    """Write one self-contained page: which committee, how much faster, how sure.

    The frontier (point at a mark to read it), tables that put committees beside every single model, exits, confidence,
    reliability, and the commands that reproduce them. It needs no network and prints on paper.

    **Examples**

    `wisecommittee report --store logits --out report.html`

    `wisecommittee report --target-flops 4e9 --max-models 3`
    """
    from wisecommittee.report.page import write_page
    from wisecommittee.searches.choice import one_target

    check_folder(out_file)
    with progress() as update:
        made = study(progress=update)
        target = one_target(
            made.cost, target_flops=target_flops, target_cost=target_cost, target_accuracy=target_accuracy, match=match
        )
        path = write_page(made, out_file, target, shlex.join(["wisecommittee", *sys.argv[1:]]))
    out.print(f"wrote {path}", markup=False)

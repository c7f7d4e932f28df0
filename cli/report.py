"""wisecommittee report: one page about a store, in one HTML file."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from . import options
from .console import check_folder, out, progress


def report(
    store: options.Store = None,
    out_file: Annotated[Path, typer.Option("--out", help="HTML file to write.")] = Path("report.html"),
    split: Annotated[str, typer.Option(help="Split that chooses.")] = "val",
    target_flops: Annotated[
        float | None, typer.Option(help="Most average FLOPs (multiply-adds) of the committee on top.")
    ] = None,
    target_cost: Annotated[float | None, typer.Option(help="The same in the unit of --cost.")] = None,
    target_accuracy: Annotated[float | None, typer.Option(help="Its least accuracy, 0 to 1.")] = None,
    match: Annotated[
        str | None, typer.Option(help="As accurate as this model.", show_default="the most accurate model")
    ] = None,
    frontier: Annotated[
        Path | None, typer.Option(help="Frontier saved by search --frontier, instead of a new search.")
    ] = None,
    published: options.Published = False,
    calibrated: options.Calibrated = False,
    models: options.Models = None,
    max_models: Annotated[int, typer.Option(help="Most members of a committee.")] = 4,
    cost: options.Cost = "flops",
    threads: options.Threads = None,
) -> None:
    """Write one self-contained page: which committee, how much faster, how sure.

    The frontier (point at a mark to read it), tables that put committees beside every single model, exits, confidence,
    reliability, and the commands that reproduce them. It needs no network and prints on paper.

    **Examples**

    `wisecommittee report --store logits --out report.html`

    `wisecommittee report --target-flops 4e9 --max-models 3`
    """
    from wisecommittee.analyses.study import Study
    from wisecommittee.report.page import write_page
    from wisecommittee.search.answer import one_target
    from wisecommittee.search.frontier import Frontier
    from wisecommittee.store import LogitStore

    check_folder(out_file)
    target = one_target(
        cost, target_flops=target_flops, target_cost=target_cost, target_accuracy=target_accuracy, match=match
    )
    with progress() as update:
        study = Study(
            LogitStore(store),
            split,
            models=models,
            max_models=max_models,
            cost=cost,
            calibrated=calibrated,
            given=Frontier.load(frontier) if frontier else None,
            published=published,
            threads=threads,
            progress=update,
        )
        path = write_page(study, out_file, target, shlex.join(["wisecommittee", *sys.argv[1:]]))
    out.print(f"wrote {path}", markup=False)

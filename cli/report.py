"""wisecommittee report: one page about a store, in one HTML file."""

from __future__ import annotations

import shlex
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from . import options
from .console import check_folder, out, print_json, progress
from .study import Make, with_study

JUDGED = ("reference", "margin", "min_speedup")


@partial(with_study, of_selection=("choose", "folds", "group_by", "seed", *JUDGED), guarantees=True)
def report(
    out_file: Annotated[Path, typer.Option("--out", help="HTML file to write.")] = Path("report.html"),
    target_flops: options.TargetFlops = None,
    target_cost: options.TargetCost = None,
    target_usd_per_1k: options.TargetUsdPer1k = None,
    target_accuracy: options.TargetAccuracy = None,
    match: Annotated[
        str | None, typer.Option(help="As accurate as this model.", show_default="the most accurate model")
    ] = None,
    as_json: options.Json = False,
    *,
    study: Make,
) -> None:
    """Write one self-contained page: which committee, what to expect of it, how sure.

    The verdict on the committee beside its reference, or the statements that it must satisfy (--guarantee), the figures
    to expect on new data, the frontier (point at a mark to read it), tables that put committees beside every single
    model, exits, confidence, reliability, and the commands that reproduce them. It needs no
    network and prints on paper.

    **Examples**

    `wisecommittee report --store logits --out report.html`

    `wisecommittee report --target-flops 4e9 --max-models 3`

    `wisecommittee report --guarantee 'accuracy >= best_single - 0.01' --out report.html`
    """
    from wisecommittee.report.page import chosen_for, write_page
    from wisecommittee.searches.target import Target

    check_folder(out_file)
    with progress() as update:
        asked = study(progress=update)
        target = Target.one_of(
            target_flops=target_flops,
            target_cost=target_cost,
            target_usd_per_1k=target_usd_per_1k,
            target_accuracy=target_accuracy,
            match=match,
        )
        if target is not None:
            target.require_unit(asked.cost)
        path = write_page(asked, out_file, target, shlex.join(["wisecommittee", *sys.argv[1:]]))
    if as_json:
        print_json({"page": str(path), **chosen_for(asked, target).to_json()})
    else:
        out.print(f"wrote {path}", markup=False)

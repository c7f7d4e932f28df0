"""wisecommittee tables: the papers' tables for the models of a store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options
from .console import out, print_json, print_kinds, progress
from .show import show_table


def tables(
    kind: Annotated[str, typer.Argument(help="Which table; --list shows them all.")] = "frontier",
    store: options.Store = None,
    form: Annotated[
        str | None,
        typer.Option("--format", help="rich (the terminal), csv, markdown, latex or html.", show_default="rich"),
    ] = None,
    out_file: Annotated[
        Path | None, typer.Option("--out", help="File to write; .csv, .md and .tex choose the format.")
    ] = None,
    list_kinds: options.ListKinds = False,
    split: Annotated[str, typer.Option(help="Split that chooses, or that given committees are shown on.")] = "val",
    frontier: Annotated[
        Path | None, typer.Option(help="Frontier saved by search --frontier, instead of a new search.")
    ] = None,
    committee: options.Committees = None,
    published: options.Published = False,
    calibrated: options.Calibrated = False,
    models: options.Models = None,
    max_models: Annotated[int, typer.Option(help="Most members of a committee.")] = 4,
    cost: options.Cost = "flops",
    threads: options.Threads = None,
    as_json: options.Json = False,
) -> None:
    """Print one of the papers' tables, made from the models of a store. val chooses, test reports.

    csv and JSON keep full precision and the units of the store; the others are rounded for people.

    **Examples**

    `wisecommittee tables frontier --store logits`

    `wisecommittee tables frontier --format latex --out frontier.tex`
    """
    from wisecommittee.analyses.study import Study
    from wisecommittee.committees.cards import Committee
    from wisecommittee.report.table import form_of, write
    from wisecommittee.report.tables import TABLES, fill
    from wisecommittee.search.frontier import Frontier
    from wisecommittee.store import LogitStore

    if list_kinds:
        print_kinds({name: known.says for name, known in TABLES.items()})
        return
    chosen = form_of(form, out_file)
    with progress(quiet=as_json) as update:
        study = Study(
            LogitStore(store),
            split,
            models=models,
            max_models=max_models,
            cost=cost,
            calibrated=calibrated,
            committees=tuple(map(Committee.load, committee or ())),
            given=Frontier.load(frontier) if frontier else None,
            published=published,
            threads=threads,
            progress=update,
        )
        made = fill(kind, study)
    if out_file:
        out.print(f"wrote {write(made, chosen, out_file)}", markup=False)
    if as_json:
        print_json(made.to_json())
    elif not out_file:
        show_table(made, chosen)

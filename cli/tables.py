"""wisecommittee tables: the papers' tables for the models of a store."""

from __future__ import annotations

from typing import Annotated

import typer

from . import options
from .console import check_folder, out, print_json, print_kinds, progress
from .show import show_table
from .study import Make, with_study


@with_study
def tables(
    kind: Annotated[str, typer.Argument(help="Which table; --list shows them all.")] = "frontier",
    form: options.Form = None,
    out_file: options.TableFile = None,
    list_kinds: options.ListKinds = False,
    committee: options.Committees = None,
    as_json: options.Json = False,
    *,
    study: Make,
) -> None:
    """Print one of the papers' tables, made from the models of a store. val chooses, test reports.

    csv and JSON keep full precision and the units of the store; the others are rounded for people. In csv a name that a
    spreadsheet would take for a formula begins with an apostrophe.

    **Examples**

    `wisecommittee tables frontier --store logits`

    `wisecommittee tables frontier --format latex --out frontier.tex`
    """
    from wisecommittee.committees.committee import Committee
    from wisecommittee.report.formats import form_of, write
    from wisecommittee.report.tables import TABLES, check, fill, table_named

    if list_kinds:
        print_kinds({name: known.says for name, known in TABLES.items()})
        return
    table_named(kind)
    chosen = form_of(form, out_file)
    check_folder(out_file)
    with progress(quiet=as_json) as update:
        asked = study(progress=update, committees=tuple(map(Committee.load, committee or ())))
        check(kind, asked)
        filled = fill(kind, asked)
    if out_file:
        out.print(f"wrote {write(filled, chosen, out_file)}", markup=False)
    if as_json:
        print_json(filled.to_json())
    elif not out_file:
        show_table(filled, chosen)

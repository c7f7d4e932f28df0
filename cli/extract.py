"""wisecommittee extract: models + data -> store."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wisecommittee.errors import UsageError

from .console import err, out, progress

if TYPE_CHECKING:
    from wisecommittee.extract.run import Extracted

INTERRUPTED = "interrupted; finished parts are kept, the same command continues after them"


def extract(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="MODEL", help=r"package.module:factory\[@weights-file] or digits:NAME"),
    ] = None,
    data: Annotated[
        str,
        typer.Option(help=r"package.module:factory (a Dataset, batches, or arrays x, y\[, ids]) or digits\[:SPLIT]"),
    ] = "",
    split: Annotated[str, typer.Option(help="split of the store: val to choose on, test to report on")] = "val",
    store: Annotated[str, typer.Option(help="folder or URI", envvar="WISECOMMITTEE_STORE")] = "logits",
    name: Annotated[list[str] | None, typer.Option(help="name in the store, b3/0; once per model")] = None,
    macs: Annotated[list[int] | None, typer.Option(help="multiply-adds per unit; once per model")] = None,
    device: Annotated[str, typer.Option(help="auto, cuda, cuda:1, mps or cpu")] = "auto",
    batch_size: Annotated[int, typer.Option(help="units per forward pass")] = 256,
    workers: Annotated[int, typer.Option(help="processes that load data")] = 0,
    dtype: Annotated[str, typer.Option(help="float32, or float16 at half the size")] = "float32",
    limit: Annotated[int | None, typer.Option(help="only the first N units")] = None,
    random_weights: Annotated[bool, typer.Option("--random-weights", help="load no weights: a dry run")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="exchange what the store has")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object on stdout")] = False,
) -> None:
    """Run each model once over the data and keep its logits. Without models: the digits pool, val and test.

    Multiply-adds are counted without running the model. Interrupted runs continue where they stopped.

    [bold]wisecommittee extract[/bold]

    [bold]wisecommittee extract nets:small@small.pt nets:large@large.pt --data nets:val_data --split val[/bold]

    [bold]wisecommittee extract nets:net@a.pt nets:net@b.pt --name net/0 --name net/1 --data nets:val_data[/bold]
    """
    if bool(models) != bool(data):
        missing = "--data SPEC, the data to run them on" if models else "MODEL.., the models to run on the data"
        raise UsageError(f"expected also {missing} (with neither: the digits pool)")
    from wisecommittee.extract import run
    from wisecommittee.store import LogitStore

    target = LogitStore(store)
    options: dict[str, Any] = {"device": device, "dtype": dtype, "replace": replace}
    more: dict[str, Any] = {"names": name, "macs": macs, "batch_size": batch_size, "workers": workers}
    more |= {"limit": limit, "random_weights": random_weights}
    try:
        with progress() as update:
            options["progress"] = update
            if models:
                done = run.extract(models, data, split, target, **options, **more)
            else:
                from wisecommittee.train.pool import train_pool

                err.print("no model named: the digits pool (trained on first use), into val and test")
                done = train_pool(target, **options)
    except KeyboardInterrupt:
        err.print(INTERRUPTED)
        raise typer.Exit(130) from None
    show(done, store, as_json)


def show(extracted: list[Extracted], store: str, as_json: bool) -> None:
    """What is in the store now: a table, or {"store", "models": [{"model", "split", "rows", ..}]}."""
    rows: list[dict[str, Any]] = []
    for item in extracted:
        card, contents = item.card, item.card.contents
        facts = {"rows": contents.rows, "classes": contents.classes, "macs": sum(card.blocks.values())}
        rows.append({"model": card.model, "split": item.split, **facts, "params": card.params, "status": item.status})
    if as_json:
        typer.echo(json.dumps({"store": store, "models": rows}))
        return
    from rich.markup import escape
    from rich.table import Table

    table = Table("model", "split", title=f"{escape(store)} (FLOPs = multiply-adds)")
    for column in ("rows", "classes", "FLOPs", "params"):
        table.add_column(column, justify="right")
    table.add_column("status")
    for row in rows:
        table.add_row(*(f"{value:,}" if isinstance(value, int) else escape(str(value)) for value in row.values()))
    out.print(table)

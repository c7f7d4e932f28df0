"""wisecommittee extract: models + data -> store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from wisecommittee.errors import UsageError

from . import options
from .console import err, human, print_json, progress, table

if TYPE_CHECKING:
    from wisecommittee.extract.run import Extracted

MODEL_SPEC = "`package.module:factory`, optionally with `@weights-file`, or `digits:NAME`."
DATA_SPEC = "`package.module:factory` giving a Dataset, batches, or arrays (x, y, optionally ids); or `digits:SPLIT`."


def extract(
    models: Annotated[list[str] | None, typer.Argument(metavar="MODEL..", help=MODEL_SPEC)] = None,
    data: Annotated[str | None, typer.Option(help=DATA_SPEC)] = None,
    split: Annotated[str, typer.Option(help="Split of the store: val to choose on, test to report on.")] = "val",
    store: options.Store = None,
    name: Annotated[list[str] | None, typer.Option(help="Name in the store, b3/0; repeat, one per model.")] = None,
    macs: Annotated[list[int] | None, typer.Option(help="Multiply-adds per unit; repeat, one per model.")] = None,
    device: Annotated[str, typer.Option(help="auto, cuda, cuda:1, mps or cpu.")] = "auto",
    batch_size: Annotated[int, typer.Option(help="Units per forward pass.")] = 256,
    workers: Annotated[int, typer.Option(help="Processes that load data.")] = 0,
    dtype: Annotated[str, typer.Option(help="float32, or float16 at half the size.")] = "float32",
    limit: Annotated[int | None, typer.Option(help="Only the first N units.")] = None,
    random_weights: Annotated[bool, typer.Option("--random-weights", help="Load no weights: a dry run.")] = False,
    replace: options.Replace = False,
    as_json: options.Json = False,
) -> None:
    """Run each model once over the data and keep its logits. Without arguments: the digits pool, val and test.

    Multiply-adds are counted without running the model. An interrupted run continues where it stopped.

    **Examples**

    `wisecommittee extract`

    `wisecommittee extract nets:small@small.pt nets:large@large.pt --data nets:val_data --split val`

    `wisecommittee extract nets:net@a.pt nets:net@b.pt --name net/0 --name net/1 --data nets:val_data`
    """
    if bool(models) != bool(data):
        missing = "--data SPEC, the data to run them on" if models else "MODEL.., the models to run on the data"
        raise UsageError(f"expected also {missing} (with neither: the digits pool)")
    from wisecommittee.extract import run
    from wisecommittee.store import LogitStore

    target = LogitStore(store)
    common: dict[str, Any] = {"device": device, "dtype": dtype, "replace": replace}
    more: dict[str, Any] = {"names": name, "macs": macs, "batch_size": batch_size, "workers": workers}
    more |= {"limit": limit, "random_weights": random_weights}
    with progress() as update:
        if models and data:
            done = run.extract(models, data, split, target, progress=update, **common, **more)
        else:
            from wisecommittee.train.pool import train_pool

            err.print("no model named: the digits pool (trained on first use), into val and test")
            done = train_pool(target, progress=update, **common)
    show(done, target.files.uri, as_json)


def show(extracted: list[Extracted], store: str, as_json: bool) -> None:
    """What is in the store now: a table, or {"store", "models": [{"model", "split", "rows", ..}]}."""
    listed: list[dict[str, Any]] = []
    for item in extracted:
        card, contents = item.card, item.card.contents
        assert contents is not None
        facts = {"rows": contents.rows, "classes": contents.classes, "flops": sum(card.blocks.values())}
        listed.append({"model": card.model, "split": item.split, **facts, "params": card.params, "status": item.status})
    if as_json:
        print_json({"store": store, "models": listed})
        return
    headings = (("split", "left"), ("model", "left"), ("units", "right"), ("classes", "right"))
    columns = [*headings, ("MACs", "right"), ("params", "right"), ("status", "left")]
    rows = [
        [
            e["split"],
            e["model"],
            f"{e['rows']:,}",
            str(e["classes"]),
            human(e["flops"]),
            human(e["params"]),
            e["status"],
        ]
        for e in listed
    ]
    table(store, columns, rows)

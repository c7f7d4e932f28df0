"""wisecommittee extract: models + data -> store."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wisecommittee.errors import UsageError

from . import options
from .console import err, human, print_json, progress, table

if TYPE_CHECKING:
    from wisecommittee.extraction.extract import Extracted
    from wisecommittee.extraction.run.estimate import ExtractionEstimate
    from wisecommittee.store import LogitStore

MODEL_SPEC = (
    "`timm:NAME`, `torchvision:NAME`, `hf:NAME`, a `.pt2`, `.ts` or `.onnx` file, `digits:NAME`, or "
    "`package.module:factory`, optionally with `@weights-file` (and `?state=PLACE` in it)."
)
DATA_SPEC = (
    "`imagefolder:DIR`, `parquet:FILE`, `npz:FILE`, `digits:SPLIT`, or `package.module:factory` giving a Dataset, "
    "batches, or arrays (x, y, optionally ids)."
)


def extract(
    models: Annotated[list[str] | None, typer.Argument(metavar="MODEL..", help=MODEL_SPEC)] = None,
    data: Annotated[str | None, typer.Option(help=DATA_SPEC)] = None,
    split: Annotated[str, typer.Option(help="Split of the store: val to choose on, test to report on.")] = "val",
    store: options.Store = None,
    name: Annotated[list[str] | None, typer.Option(help="Name in the store, b3/0; one per model.")] = None,
    macs: Annotated[list[str] | None, typer.Option(help="Multiply-adds per unit, 4.1e9; one per model.")] = None,
    training_cost: Annotated[
        list[str] | None, typer.Option(help="Multiply-adds spent on training, for the card; one per model.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cuda, cuda:1, mps or cpu.")] = "auto",
    batch_size: Annotated[int, typer.Option(help="Units per forward pass.")] = 256,
    workers: Annotated[int, typer.Option(help="Processes that load data.")] = 0,
    dtype: Annotated[str, typer.Option(help="Of the stored logits: float32, or float16 at half the size.")] = "float32",
    precision: Annotated[
        str, typer.Option(help="Of the forward pass: float32, bfloat16 or float16 (autocast; NaN is computed again).")
    ] = "float32",
    layout: Annotated[
        str, typer.Option(help="Of images: contiguous, channels_last, or auto: the faster one on a GPU.")
    ] = "auto",
    sizes: Annotated[
        list[str] | None, typer.Option("--sizes", help="Input sizes, 240,300: every model at each, as b3@240, b3@300.")
    ] = None,
    views: Annotated[
        list[str] | None,
        typer.Option(
            "--views", help="center, flip, fivecrop or tencrop, averaged, as b3+flip; clips: of [n, views, ..]."
        ),
    ] = None,
    preprocess: Annotated[
        str | None, typer.Option(help="Model spec whose preprocessing serves models that bring none, as .onnx files.")
    ] = None,
    classes: Annotated[
        Path | None, typer.Option(help="File with the class names of the models' outputs (txt, csv or json).")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(help="N units at most, always the same: of every class its share; of a stream the first."),
    ] = None,
    skip_corrupt: Annotated[
        bool,
        typer.Option("--skip-corrupt", help="Leave images that cannot be decoded out, for all models; they are named."),
    ] = False,
    random_weights: Annotated[bool, typer.Option("--random-weights", help="Load no weights.")] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print sizes, multiply-adds, disk and time from two batches; write nothing."),
    ] = False,
    replace: options.Replace = False,
    as_json: options.Json = False,
) -> None:
    """Run each model once over the data and keep its logits. Without arguments: the digits pool, val and test.

    Multiply-adds are counted without running the model. An interrupted run continues where it stopped. Models with the
    same preprocessing share one pass over the data. Options of several values are repeated or take commas. Several GPUs
    or machines: torchrun --no-python starts one rank for each, on a shared store.

    **Examples**

    `wisecommittee extract`

    `wisecommittee extract nets:small@small.pt nets:large@large.pt --data nets:val_data --split val`

    `wisecommittee extract nets:net@a.pt nets:net@b.pt --name net/0 --name net/1 --data nets:val_data`

    `wisecommittee extract timm:resnet50.a1_in1k --data imagefolder:photos/val --sizes 224,288 --workers 8`

    `wisecommittee extract net.onnx --preprocess timm:resnet50 --classes classes.txt --data imagefolder:photos/val`

    `torchrun --nproc-per-node 4 --no-python wisecommittee extract timm:resnet50.a1_in1k --data 'parquet:val-*.parquet'`
    """
    if bool(models) != bool(data):
        missing = "--data SPEC, the data to run them on" if models else "MODEL.., the models to run on the data"
        raise UsageError(f"expected also {missing} (with neither: the digits pool)")
    from wisecommittee.store import LogitStore

    target = LogitStore(store)
    if not models or not data:
        if dry_run:
            raise UsageError("--dry-run: expected MODEL.. and --data SPEC; the digits pool takes seconds")
        extract_digits(target, device=device, dtype=dtype, replace=replace, as_json=as_json)
        return
    from wisecommittee.extraction import extract as extraction
    from wisecommittee.extraction.run.settings import Settings

    settings = Settings(
        device=device,
        batch_size=batch_size,
        dtype=dtype,
        precision=precision,
        layout=layout,
        macs=options.whole_numbers("--macs", macs),
        training_costs=options.whole_numbers("--training-cost", training_cost),
        names=options.several("--name", name),
        random_weights=random_weights,
        classes=classes,
        preprocess=preprocess,
        sizes=options.whole_numbers("--sizes", sizes),
        views=options.several("--views", views),
        replace=replace,
        limit=limit,
        workers=workers,
        skip_corrupt=skip_corrupt,
    )
    if dry_run:
        show_estimate(extraction.estimate(models, data, split, target, settings), target.files.uri, as_json)
        return
    with progress(quiet=follows()) as update:
        done = extraction.extract(models, data, split, target, settings, progress=update)
    if not follows():
        show(done, target.files.uri, as_json)


def extract_digits(store: LogitStore, *, device: str, dtype: str, replace: bool, as_json: bool) -> None:
    """The embedded pool, trained on first use, on val and test."""
    from wisecommittee.train.pool import train_pool

    with progress(quiet=follows()) as update:
        err.print("no model named: the digits pool (trained on first use), into val and test")
        done = train_pool(store, progress=update, device=device, dtype=dtype, replace=replace)
    if not follows():
        show(done, store.files.uri, as_json)


def follows() -> bool:
    """Whether this process is not the first of torchrun's, which alone prints."""
    return os.environ.get("RANK", "0") != "0"


def show(extracted: list[Extracted], store: str, as_json: bool) -> None:
    """What is in the store now: a table, or {"store", "models": [{"model", "split", "rows", ..}]}."""
    listed: list[dict[str, Any]] = []
    for item in extracted:
        card, contents = item.card, item.card.contents
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


def show_estimate(estimate: ExtractionEstimate, store: str, as_json: bool) -> None:
    """What a run would do: a table, or {"store", "units", "passes", "bytes", "seconds", "models": [..]}."""
    if as_json:
        print_json({"store": store, **asdict(estimate)})
        return
    headings = (("model", "left"), ("input", "left"), ("classes", "right"), ("MACs", "right"), ("params", "right"))
    columns = [*headings, ("disk", "right"), ("time", "right"), ("status", "left")]
    rows = [
        [
            model.model,
            " x ".join(map(str, model.input_size or ("?",))),
            str(model.classes),
            human(model.macs),
            "?" if model.params is None else human(model.params),
            _size(model.bytes),
            _time(model.seconds),
            model.status,
        ]
        for model in estimate.models
    ]
    units = "an unknown number of" if estimate.units is None else f"{estimate.units:,}"
    caption = (
        f"dry run, nothing written: {units} units, {estimate.passes} passes over the data, at most "
        f"{_size(estimate.bytes)} of disk, about {_time(estimate.seconds)} with reading"
    )
    table(store, columns, rows, caption)


def _size(count: int | None) -> str:
    """Bytes as people read them."""
    return "?" if count is None else f"{human(count)}B"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    hours, left = divmod(round(seconds), 3600)
    minutes, whole = divmod(left, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {whole:02} s" if minutes else f"{seconds:.2g} s"

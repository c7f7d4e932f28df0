"""wisecommittee bench-models: measured latency and throughput of models."""

from __future__ import annotations

from typing import Annotated

import typer

from .console import human, print_json, progress, table
from .options import Json, several, whole_numbers


def bench_models(
    models: Annotated[list[str], typer.Argument(metavar="MODEL..", help="Model specs, as for extract.")],
    batch_size: Annotated[int, typer.Option(help="Units per pass when throughput is measured.")] = 64,
    device: Annotated[str, typer.Option(help="auto, cuda, cuda:1, mps or cpu.")] = "auto",
    store: Annotated[str | None, typer.Option(help="Write the costs to the cards of this store.")] = None,
    split: Annotated[str | None, typer.Option(help="Only the cards of this split; default: all splits.")] = None,
    name: Annotated[list[str] | None, typer.Option(help="Name in the store; one per model.")] = None,
    sizes: Annotated[list[str] | None, typer.Option(help="Input sizes, 240,300: each model at each of them.")] = None,
    views: Annotated[list[str] | None, typer.Option(help="center, flip, fivecrop, tencrop.")] = None,
    input_size: Annotated[str | None, typer.Option(help="Shape of one unit, 3,224,224, where unknown.")] = None,
    seconds: Annotated[float, typer.Option(help="Time to measure each figure for.")] = 1.0,
    random_weights: Annotated[bool, typer.Option("--random-weights", help="Load no weights; times are equal.")] = False,
    as_json: Json = False,
) -> None:
    """Measure the latency of one unit and the time per unit in batches: median and quartiles, after a warm-up.

    With --store the cards get the costs latency_ms and batch_ms (per unit), for `search --cost latency_ms`.

    **Examples**

    `wisecommittee bench-models timm:resnet50 torchvision:mobilenet_v2 --random-weights`

    `wisecommittee bench-models timm:efficientnet_b0 --sizes 224,300 --store logits`
    """
    from wisecommittee.extract import timing
    from wisecommittee.store import LogitStore

    with progress(quiet=as_json) as update:
        timings = timing.bench_models(
            models,
            batch_size=batch_size,
            device=device,
            seconds=seconds,
            names=several("--name", name),
            sizes=whole_numbers("--sizes", sizes),
            views=several("--views", views),
            input_size=tuple(whole_numbers("--input-size", [input_size])) if input_size else None,
            random_weights=random_weights,
            store=LogitStore(store) if store else None,
            split=split,
            progress=update,
        )
    if as_json:
        print_json({"batch_size": batch_size, "models": [one.to_json() for one in timings]})
        return
    columns = [("model", "left"), ("input", "right"), ("MACs", "right"), ("params", "right")]
    columns += [("latency ms", "right"), ("quartiles", "right"), ("ms per unit", "right"), ("quartiles", "right")]
    rows = [
        [
            one.model,
            "x".join(map(str, one.input_shape)),
            human(one.macs) if one.macs else "-",
            human(one.params),
            *(text for s in (one.latency, one.batch) for text in (f"{s.median:.3g}", f"{s.q1:.3g} to {s.q3:.3g}")),
            f"{one.throughput:,.0f}",
        ]
        for one in timings
    ]
    first = timings[0]
    where = f"{first.device}, torch {first.torch}, {first.threads} threads"
    table(where, [*columns, ("units/s", "right")], rows, f"Batch 1, and batches of {batch_size}.")

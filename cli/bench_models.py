"""wisecommittee bench-models: measured latency and throughput of models, and of a committee beside single models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wisecommittee.errors import UsageError

from .console import human, percent, print_json, progress, shares, table
from .options import Force, Json, LentPreprocess, Softmax, Trust, named_spec, several, whole_numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wisecommittee.deployment.comparison import Comparison, Measured
    from wisecommittee.extraction.timing import Timing
    from wisecommittee.store.stage_overhead import StageOverhead


def bench_models(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="MODEL..", help="Model specs, as for extract; with --committee NAME=SPEC where needed."),
    ] = None,
    committee: Annotated[
        Path | None, typer.Option(help="committee.json: measure it on real data, beside single models of the store.")
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(help="Single models to compare it with, names or globs. Default: the cheapest as accurate."),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Data spec for --committee. Default: what its members were extracted from.")
    ] = None,
    limit: Annotated[int, typer.Option(help="Units for --committee, at most; of every class its share.")] = 500,
    preprocess: LentPreprocess = None,
    softmax: Softmax = False,
    trust: Trust = False,
    force: Force = False,
    batch_size: Annotated[int, typer.Option(help="Units per pass when throughput is measured.")] = 64,
    batch_sizes: Annotated[
        list[str] | None, typer.Option(help="With --committee: units per call, for the realised saving. [1,8,64,256]")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cuda, cuda:1, mps or cpu.")] = "auto",
    store: Annotated[
        str | None, typer.Option(help="Write the costs to its cards. With --committee: where the members are.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Only the cards of this split; default: all. With --committee: test, else val.")
    ] = None,
    name: Annotated[list[str] | None, typer.Option(help="Name in the store; one per model.")] = None,
    sizes: Annotated[list[str] | None, typer.Option(help="Input sizes, 240,300: each model at each of them.")] = None,
    views: Annotated[list[str] | None, typer.Option(help="center, flip, fivecrop, tencrop, clips.")] = None,
    input_size: Annotated[str | None, typer.Option(help="Shape of one unit, 3,224,224, where unknown.")] = None,
    seconds: Annotated[float, typer.Option(help="Time to measure each figure for.")] = 1.0,
    random_weights: Annotated[bool, typer.Option("--random-weights", help="Load no weights; times are equal.")] = False,
    as_json: Json = False,
) -> None:
    """Measure the latency of one unit and the time per unit in batches: median and quartiles, after a warm-up.

    With --store the cards get the costs latency_ms and batch_ms (per unit), for `search --cost latency_ms`, and the
    store what a stage costs beside its members, which such a search charges every stage.

    With --committee the committee runs on real units, every stage on those that are left, beside single models: average
    latency at batch size 1, throughput in offline batches, and how much of its advantage in FLOPs becomes time, also in
    calls of several sizes.

    **Examples**

    `wisecommittee bench-models timm:resnet50 torchvision:mobilenet_v2 --random-weights`

    `wisecommittee bench-models timm:efficientnet_b0 --sizes 224,300 --store logits`

    `wisecommittee bench-models --committee committee.json`

    `wisecommittee bench-models --committee committee.json b3=timm:tf_efficientnet_b3@b3.pt --data imagefolder:photos`
    """
    if committee is None and not models:
        raise UsageError("expected MODEL.., the models to measure, or --committee FILE")
    only_alone: dict[str, Any] = {"--name": name, "--sizes": sizes, "--views": views, "--input-size": input_size}
    only_together: dict[str, Any] = {"--against": against, "--data": data, "--preprocess": preprocess}
    only_together |= {"--batch-sizes": batch_sizes}
    only_together |= {"--softmax": softmax, "--trust": trust}
    foreign = only_alone | {"--random-weights": random_weights} if committee else only_together
    if used := [option for option, value in foreign.items() if value]:
        raise UsageError(f"{used[0]} does not go {'with' if committee else 'without'} --committee; leave it out")
    from wisecommittee.store import LogitStore

    common: dict[str, Any] = {"batch_size": batch_size, "device": device, "seconds": seconds, "split": split}
    if committee:
        from wisecommittee.committees.committee import Committee
        from wisecommittee.deployment.measure import Loading, MeasureSetup, compare

        chosen, specs = Committee.load(committee), dict(map(named_spec, models or []))
        loading = Loading(specs, preprocess, softmax, trust, force)
        if sizes_of_calls := whole_numbers("--batch-sizes", batch_sizes):
            common["batch_sizes"] = tuple(sizes_of_calls)
        setup = MeasureSetup(data=data, limit=limit, **common)
        with progress(quiet=as_json) as update:
            singles = several("--against", against)
            compared = compare(chosen, LogitStore(store), singles, loading=loading, setup=setup, progress=update)
        if as_json:
            print_json(compared.to_json())
        else:
            show_comparison(compared)
            show_realised(compared)
        return
    from wisecommittee.deployment import bench

    opened = LogitStore(store) if store else None
    with progress(quiet=as_json) as update:
        timings = bench.bench_models(
            models or [],
            opened,
            names=several("--name", name),
            sizes=whole_numbers("--sizes", sizes),
            views=several("--views", views),
            input_size=tuple(whole_numbers("--input-size", [input_size])) if input_size else None,
            random_weights=random_weights,
            progress=update,
            **common,
        )
    overhead = None if opened is None else opened.stage_overhead()
    if as_json:
        printed = {"batch_size": batch_size, "models": [timing.to_json() for timing in timings]}
        print_json(printed | ({} if overhead is None else {"stage_overhead": overhead.to_json()}))
    else:
        show_timings(timings, batch_size, overhead)


def show_timings(timings: Sequence[Timing], batch_size: int, overhead: StageOverhead | None) -> None:
    columns = [("model", "left"), ("input", "right"), ("MACs", "right"), ("params", "right")]
    columns += [("latency ms", "right"), ("quartiles", "right"), ("ms per unit", "right"), ("quartiles", "right")]
    rows = [
        [
            timing.model,
            "x".join(map(str, timing.input_shape)),
            human(timing.macs) if timing.macs else "-",
            human(timing.params),
            *(
                text
                for s in (timing.latency, timing.batch)
                for text in (f"{s.median:.3g}", f"{s.q1:.3g} to {s.q3:.3g}")
            ),
            f"{timing.throughput:,.0f}",
        ]
        for timing in timings
    ]
    first = timings[0]
    conditions = f"{first.device}, torch {first.torch}, {first.threads} threads"
    caption = f"Batch 1, and batches of {batch_size}."
    if overhead is not None:
        latency, batch = (overhead.costs[name] for name in ("latency_ms", "batch_ms"))
        caption += (
            f" A stage costs {latency:.3g} ms beside its members, in batches {batch:.3g} ms per unit: recorded on the "
            f"store and charged by searches over these costs."
        )
    table(conditions, [*columns, ("units/s", "right")], rows, caption)


def show_comparison(compared: Comparison) -> None:
    """Speed-ups are the committee's over the single model of their row."""
    columns = [("model", "left"), ("accuracy %", "right"), ("MACs", "right"), ("speed-up in MACs", "right")]
    columns += [("latency ms", "right"), ("quartiles", "right"), ("speed-up in latency", "right")]
    columns += [("units/s", "right"), ("quartiles", "right"), ("speed-up in units/s", "right"), ("realised %", "right")]

    def row(measured: Measured) -> list[str]:
        gain = None if measured is compared.committee else compared.speedup(measured)
        times = "-" if gain is None or gain.flops is None else f"{gain.flops:.2f}x"
        realised = "-" if gain is None or gain.realised is None else "/".join(f"{100 * r:.0f}" for r in gain.realised)
        slow, fast = (1e3 / measured.batch.q3, 1e3 / measured.batch.q1)
        return [
            measured.model,
            percent(measured.accuracy),
            "-" if measured.flops is None else human(measured.flops),
            times,
            f"{measured.latency.median:.3g}",
            f"{measured.latency.q1:.3g} to {measured.latency.q3:.3g}",
            "-" if gain is None else f"{gain.latency:.2f}x",
            f"{measured.throughput:,.0f}",
            f"{slow:,.0f} to {fast:,.0f}",
            "-" if gain is None else f"{gain.throughput:.2f}x",
            realised,
        ]

    conditions = f"{compared.device}, torch {compared.torch}, {compared.threads} threads"
    ours = compared.committee
    caption = (
        f"{compared.units:,} units of {compared.split}; latency of batch size 1, throughput of offline batches of "
        f"{compared.batch_size}. Exits {shares(compared.committee.exit_ratios)} %. Speed-ups are the committee's over "
        f"the row's model; realised: how much of that in MACs shows in latency/throughput."
    )
    if ours.flops and ours.charged and ours.flops > ours.charged:
        caption += (
            f" The members have blocks in common that their modules do not tell apart: these run once for each member, "
            f"and an evaluation charges {human(ours.charged)}."
        )
    table(conditions, columns, [row(measured) for measured in (compared.committee, *compared.singles)], caption)


def show_realised(compared: Comparison) -> None:
    """The saving in calls of several sizes, against what multiply-adds and forward passes predict."""
    columns = [("units", "right"), ("against", "left"), ("ms", "right"), ("its ms", "right"), ("speed-up", "right")]
    columns += [("MACs predict", "right"), ("passes predict", "right")]

    def predicted(speedup: float | None, realised: float | None) -> str:
        return "-" if speedup is None or realised is None else f"{speedup:.2f}x: {100 * realised:.0f} %"

    rows = [
        [
            f"{at.batch_size:,}",
            single.model,
            f"{at.time.median:.3g}",
            f"{single.time.median:.3g}",
            f"{single.speedup.q1:.2f}x to {single.speedup.q3:.2f}x",
            predicted(single.by_flops, single.of_flops),
            predicted(single.by_latency.median, single.of_latency.median),
        ]
        for at in compared.at_sizes
        for single in at.singles
    ]
    caption = (
        "Calls of so many units; milliseconds per unit, both in turns on the same units; speed-up: its quartiles over "
        "rounds. Predicted by multiply-adds, and by forward passes of the stages alone; %: measured over predicted."
    )
    table("Realised saving", columns, rows, caption)

"""wisecommittee search: the best committee for a target, or the whole frontier."""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from . import options
from .console import check_folder, print_json, progress, say, warn_of
from .leaving import leave, say_at_once
from .show import show_answer

PERCENTILE = 99.0  # of the cost per unit, where a limit on it names none


def search(
    store: options.Store = None,
    split: Annotated[str, typer.Option(help="Split that chooses; test is refused, it reports.")] = "val",
    target_flops: Annotated[
        float | None,
        typer.Option(help="Most average FLOPs (multiply-adds) per unit; the most accurate committee within it."),
    ] = None,
    target_cost: Annotated[float | None, typer.Option(help="The same in the unit of --cost.")] = None,
    target_accuracy: Annotated[
        float | None, typer.Option(help="Least accuracy on the choosing split, 0 to 1; the cheapest committee of it.")
    ] = None,
    match: Annotated[
        str | None, typer.Option(help="The cheapest committee at least as accurate as this model.")
    ] = None,
    match_ensemble: Annotated[
        list[str] | None,
        typer.Option(
            help="Members of an ensemble, as b5/0,b5/1, or repeated: the cheapest committee of just these models that "
            "is as accurate as all of them together.",
        ),
    ] = None,
    max_worst_flops: Annotated[
        float | None, typer.Option(help="Most FLOPs any unit may cost: all members together.")
    ] = None,
    max_worst_cost: Annotated[float | None, typer.Option(help="The same in the unit of --cost.")] = None,
    percentile: Annotated[
        float | None,
        typer.Option(
            help="Which percentile --max-percentile-cost limits, above 0 and up to 100.", show_default=f"{PERCENTILE:g}"
        ),
    ] = None,
    max_percentile_cost: Annotated[
        float | None,
        typer.Option(
            help="Most that this percentile of the cost per unit may be: all but 1 % of the units by default."
        ),
    ] = None,
    max_average: Annotated[
        list[str] | None,
        typer.Option(help="Limit on the average of a further cost, such as latency_ms=3.5; may be repeated."),
    ] = None,
    time_limit: Annotated[
        float | None,
        typer.Option(help="Seconds after which the best found so far is the answer; so does Ctrl-C."),
    ] = None,
    max_models: Annotated[
        int | None,
        typer.Option(
            help="Most members of a committee. One stage of a cascade may add several members of a group, such as the "
            "next leaves of an HNE; that counts once.",
            show_default="4; halting: the whole group",
        ),
    ] = None,
    levels: Annotated[int, typer.Option(help="Percentile thresholds per stage, never-exit included.")] = 100,
    method: Annotated[
        str,
        typer.Option(
            help="exhaustive: every combination and level; exact: proved over all real thresholds, up to 4 members; "
            "beam or greedy: large pools, not proved; auto: exhaustive where that is feasible, else beam."
        ),
    ] = "auto",
    exact: Annotated[bool, typer.Option("--exact", help="The same as --method exact.")] = False,
    shared_threshold: Annotated[
        bool,
        typer.Option(
            "--shared-threshold",
            help="One threshold for all stages, over all its real values, instead of one for each.",
        ),
    ] = False,
    confidence: options.Confidence = None,
    combine: options.Combine = None,
    family: Annotated[
        str,
        typer.Option(
            help="cascade (finds ensembles and tiers too); ensemble; anytime: the first 1, 2, 4, .. members of a group "
            "(HNE), without thresholds; halting: the members of a group in order (IRENE), by their stored score; "
            "self_cascade: one checkpoint at rising input sizes."
        ),
    ] = "cascade",
    calibrated: options.Calibrated = False,
    models: options.Models = None,
    replicas: Annotated[str, options.REPLICAS] = "canonical",
    cost: options.Cost = None,
    axis: Annotated[
        str,
        typer.Option(
            help="Figure of the cost that the frontier is over and a target cost limits: average, worst (all members "
            "together) or p99 (what 99 % of the units do not exceed)."
        ),
    ] = "average",
    threads: options.Threads = None,
    scheduler: Annotated[
        str | None,
        typer.Option(help="Address of a dask scheduler, such as tcp://host:8786, whose workers search; or local."),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Seed of searches that draw; this one is exhaustive and draws nothing.")
    ] = 0,
    save: Annotated[
        Path | None, typer.Option(help="Write the chosen committee as JSON: the deployable artefact.")
    ] = None,
    frontier: Annotated[Path | None, typer.Option(help="Write the whole frontier as Parquet.")] = None,
    as_json: options.Json = False,
) -> None:
    """Search every ensemble and cascade of the models in the store.

    FLOPs are multiply-adds. Without a target the whole frontier is printed. Figures on val belong to the committee that
    was chosen there and are optimistic; figures on test, where the store has it, are not.

    **Examples**

    `wisecommittee search --target-flops 4e9 --save committee.json`

    `wisecommittee search --match b7/0 --max-worst-flops 2e10`

    `wisecommittee search --match-ensemble b5/0,b5/1`

    `wisecommittee search --store S --cost usd --target-cost 0.001 --json`

    `wisecommittee search --family anytime --models 'hne-*'`

    `wisecommittee search --family halting --models 'irene-*' --shared-threshold`

    `wisecommittee search --cost latency_ms --axis p99 --max-average usd=0.001`

    `wisecommittee search --exact --percentile 99 --max-percentile-cost 2e9 --max-average latency_ms=3.5`
    """
    gc.set_threshold(50_000)  # modules and results stay: looking for garbage among them takes 0.3 s otherwise
    from wisecommittee.searches.workers.threads import interruptible

    def ended() -> None:
        leave("interrupted" if ctrl_c.keeping else "interrupted before a committee was found")

    def stopping(searched: bool) -> None:
        what = "the search has ended: its answer" if searched else "stopping: the best found so far"
        say_at_once(f"{what} follows; Ctrl-C again ends at once")

    with interruptible(ended, stopping) as ctrl_c:
        from wisecommittee.errors import UsageError
        from wisecommittee.searches.choice import answer
        from wisecommittee.searches.doctor import examine
        from wisecommittee.store import LogitStore

        check_folder(save, frontier)
        targets = (target_flops, target_cost, target_accuracy, match, match_ensemble)
        if save and all(target is None for target in targets):
            raise UsageError(
                f"--save {save} writes the committee that meets a target; name one, such as --target-flops X, "
                f"--target-accuracy A or --match MODEL (--frontier FILE keeps them all)"
            )
        if max_percentile_cost is None and percentile is not None:
            raise UsageError(f"--percentile {percentile:g} limits nothing by itself; add --max-percentile-cost NUMBER")
        limit = (
            None
            if max_percentile_cost is None
            else (PERCENTILE if percentile is None else percentile, max_percentile_cost)
        )
        source = LogitStore(store)
        source.require_split(split)
        # A copy is said where test would be reported.
        warn_of(doubt for doubt in examine(source, [split]) if doubt.kind != "copy")
        if match_ensemble:
            there = source.models(split)
            match_ensemble = [
                name
                for given in match_ensemble
                for name in ([given] if given in there else options.several("--match-ensemble", [given]))
            ]
        with progress() as update:
            found = answer(
                source,
                split=split,
                target_flops=target_flops,
                target_cost=target_cost,
                target_accuracy=target_accuracy,
                match=match,
                match_ensemble=match_ensemble,
                max_worst_flops=max_worst_flops,
                max_worst_cost=max_worst_cost,
                max_percentile_cost=limit,
                max_average=_named_numbers(max_average),
                time_limit=time_limit,
                max_models=max_models,
                levels=levels,
                exact=exact,
                method=method,
                shared_threshold=shared_threshold,
                confidence=confidence,
                combine=combine,
                family=family,
                models=models,
                replicas=replicas,
                cost=cost,
                axis=axis,
                calibrated=calibrated,
                threads=threads,
                scheduler=scheduler,
                progress=update,
                notify=say,
            )
        if not found.frontier.searched["complete"]:
            say(_unfinished(found.frontier.searched))
        elif ctrl_c.early:
            say("the search was at its end: the answer is complete")
        with ctrl_c.held():
            if frontier:
                found.frontier.save(frontier)
            if save:
                found.val.committee.save(save)
        if as_json:
            out = found.to_json()
            out["query"]["seed"] = seed
            print_json(out)
        else:
            show_answer(found, source)


def _named_numbers(given: Sequence[str] | None) -> dict[str, float] | None:
    """['latency_ms=3.5'] as {'latency_ms': 3.5}."""
    from wisecommittee.errors import UsageError

    out: dict[str, float] = {}
    for text in given or ():
        name, _, value = text.partition("=")
        try:
            out[name] = float(value)
        except ValueError:
            raise UsageError(f"--max-average {text}; expected NAME=NUMBER, such as latency_ms=3.5") from None
    return out or None


def _unfinished(searched: Mapping[str, Any]) -> str:
    from wisecommittee.errors import counted

    left = searched.get("unfinished_combinations")
    line = "stopped before the end; this is the best found so far"
    if left:
        line += f", with {counted(left, 'combination')} not finished"
    if "gap" in searched:
        line += f": no combination left can be more than {100 * searched['gap']:.2f} points better at equal cost"
    return line

"""wisecommittee search: the best committee for a target, or the whole frontier."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options
from .console import print_json, progress
from .show import show_answer


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
    max_worst_flops: Annotated[
        float | None, typer.Option(help="Most FLOPs any unit may cost: all members together.")
    ] = None,
    max_worst_cost: Annotated[float | None, typer.Option(help="The same in the unit of --cost.")] = None,
    max_models: Annotated[int, typer.Option(help="Most members of a committee.")] = 4,
    levels: Annotated[int, typer.Option(help="Percentile thresholds per stage, never-exit included.")] = 100,
    confidence: Annotated[
        str | None,
        typer.Option(help="max_prob, prob_gap, logit_gap, neg_entropy, or a stored score.", show_default="max_prob"),
    ] = None,
    combine: Annotated[
        str | None, typer.Option(help="mean_logits (= geometric_mean), mean_probs or last.", show_default="mean_logits")
    ] = None,
    family: Annotated[str, typer.Option(help="cascade (finds ensembles and tiers too) or ensemble.")] = "cascade",
    models: options.Models = None,
    replicas: Annotated[
        str, typer.Option(help="canonical: an architecture used r times uses its first r replicas; all: any.")
    ] = "canonical",
    cost: options.Cost = "flops",
    threads: options.Threads = None,
    seed: Annotated[
        int, typer.Option(help="Seed of searches that draw; this one is exhaustive and draws nothing.")
    ] = 0,
    save: Annotated[
        Path | None, typer.Option(help="Write the chosen committee as JSON: the deployable artefact.")
    ] = None,
    frontier: Annotated[Path | None, typer.Option(help="Write the whole frontier as Parquet.")] = None,
    as_json: options.Json = False,
) -> None:
    """Search every ensemble and cascade of the models in the store, exactly.

    FLOPs are multiply-adds. Without a target the whole frontier is printed. Figures on val belong to the committee that
    was chosen there and are optimistic; figures on test, where the store has it, are not.

    **Examples**

    `wisecommittee search --target-flops 4e9 --save committee.json`

    `wisecommittee search --match b7/0 --max-worst-flops 2e10`

    `wisecommittee search --store S --cost usd --target-cost 0.001 --json`
    """
    from wisecommittee.search.answer import answer
    from wisecommittee.store import LogitStore

    source = LogitStore(store)
    with progress() as update:
        found = answer(
            source,
            split=split,
            target_flops=target_flops,
            target_cost=target_cost,
            target_accuracy=target_accuracy,
            match=match,
            max_worst_flops=max_worst_flops,
            max_worst_cost=max_worst_cost,
            max_models=max_models,
            levels=levels,
            confidence=confidence,
            combine=combine,
            family=family,
            models=models,
            replicas=replicas,
            cost=cost,
            threads=threads,
            progress=update,
        )
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

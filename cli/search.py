"""wisecommittee search: the best committee for a target, or the whole frontier."""

from __future__ import annotations

import gc
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from wisecommittee.searches.guarantees.options import GuaranteeOptions
from wisecommittee.searches.query import Query
from wisecommittee.searches.selection import Selection
from wisecommittee.searches.workers.execution import Execution

from . import options
from .console import check_folder, print_json, progress, say, warn_of
from .leaving import leave, say_at_once
from .query import with_query
from .show import show_choice


@with_query
def search(
    store: options.Store = None,
    target_flops: options.TargetFlops = None,
    target_cost: options.TargetCost = None,
    target_usd_per_1k: options.TargetUsdPer1k = None,
    target_accuracy: options.TargetAccuracy = None,
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
    save: Annotated[
        Path | None, typer.Option(help="Write the chosen committee as JSON: the deployable artefact.")
    ] = None,
    frontier: Annotated[Path | None, typer.Option(help="Write the whole frontier as Parquet.")] = None,
    features: options.Features = None,
    as_json: options.Json = False,
    *,
    query: Query,
    execution: Execution,
    selection: Selection,
    asked: GuaranteeOptions,
) -> None:
    """Search every ensemble and cascade of the models in the store.

    FLOPs are multiply-adds. Without a target the whole frontier is printed. The committee of the best figures on val
    looks better there than on new data. So the figures to expect are found by searches that leave a part of val out
    (--folds), the committee is chosen for them (--choose), and a verdict says what the data show beside the reference.

    **Examples**

    `wisecommittee search --target-flops 4e9 --save committee.json`

    `wisecommittee search --match b7/0 --max-worst-flops 2e10`

    `wisecommittee search --match-ensemble b5/0,b5/1`

    `wisecommittee search --store S --cost usd --target-cost 0.001 --json`

    `wisecommittee search --target-usd-per-1k 2.5 --limit 'P(latency_ms > 800) <= 0.05'`

    `wisecommittee search --family anytime --models 'hne-*'`

    `wisecommittee search --family halting --models 'irene-*' --shared-threshold`

    `wisecommittee search --policy auto --cost usd --target-cost 0.001 --mix`

    `wisecommittee search --target-flops 4e9 --answered-accuracy 0.98`

    `wisecommittee search --cost latency_ms --axis p99 --max-average usd=0.001`

    `wisecommittee search --guarantee 'accuracy >= best_single - 0.01' --delta 0.05 --save committee.json`

    `wisecommittee search --exact --percentile 99 --max-percentile-cost 2e9 --max-average latency_ms=3.5`
    """
    gc.set_threshold(50_000)  # modules and results stay: looking for garbage among them takes 0.3 s otherwise
    from wisecommittee.searches.workers.threads import interruptible

    def ended() -> None:
        leave("interrupted" if ctrl_c.keeping else "interrupted before a committee was found")

    def stopping(searched: bool) -> None:
        message = "the search has ended: its answer" if searched else "stopping: the best found so far"
        say_at_once(f"{message} follows; Ctrl-C again ends at once")

    with interruptible(ended, stopping) as ctrl_c:
        from wisecommittee.errors import InfeasibleError, UsageError
        from wisecommittee.searches.choosing import search_and_choose
        from wisecommittee.searches.doctor import examine
        from wisecommittee.searches.guarantees.search import search_with_guarantee
        from wisecommittee.searches.target import Target
        from wisecommittee.store import LogitStore

        check_folder(save, frontier)
        targets = {
            "target_flops": target_flops,
            "target_cost": target_cost,
            "target_usd_per_1k": target_usd_per_1k,
            "target_accuracy": target_accuracy,
            "match": match,
            "match_ensemble": match_ensemble or None,
        }
        aimless = not (asked.guarantee or selection.abstains) and all(value is None for value in targets.values())
        if save and aimless:
            raise UsageError(
                f"--save {save} writes the committee that meets a target; name one, such as --target-flops X, "
                f"--target-accuracy A or --match MODEL (--frontier FILE keeps them all)"
            )
        source = LogitStore(store).with_features(features).with_labels_from(query.labels_from)
        source.require_split(query.split)
        if match_ensemble:
            targets["match_ensemble"] = _members(match_ensemble, source.models(query.split))
        target = Target.one_of(**targets)
        # A copy is said where test would be reported.
        warn_of(doubt for doubt in examine(source, [query.split]) if doubt.kind != "copy")
        with progress() as update:
            execution = replace(execution, progress=update, notify=say)
            if asked.guarantee:
                choice = search_with_guarantee(source, asked, query, target, execution, selection)
            else:
                choice = search_and_choose(source, query, target, execution, selection)
        if not choice.frontier.searched["complete"]:
            say(_unfinished(choice.frontier.searched))
        elif ctrl_c.early:
            say("the search was at its end: the answer is complete")
        with ctrl_c.held():
            if frontier:
                choice.frontier.save(frontier)
            if save and (choice.certificate is None or choice.certificate.holds):
                choice.val.committee.save(save)
        if as_json:
            print_json(choice.to_json())
        else:
            show_choice(choice, source)
        if save and choice.certificate is not None and not choice.certificate.holds:
            raise InfeasibleError(f"{save} is not written: {choice.certificate.failure()}")


def _members(given: Sequence[str], models: Collection[str]) -> list[str]:
    """['a,b', 'c'] -> ['a', 'b', 'c'], but a model whose name has a comma is one."""
    taken_apart = ([text] if text in models else options.several("--match-ensemble", [text]) for text in given)
    return [name for names in taken_apart for name in names]


def _unfinished(searched: Mapping[str, Any]) -> str:
    from wisecommittee.errors import counted

    left = searched.get("unfinished_combinations")
    line = "stopped before the end; this is the best found so far"
    if left:
        line += f", with {counted(left, 'combination')} not finished"
    if "gap" in searched:
        line += f": no combination left can be more than {100 * searched['gap']:.2f} points better at equal cost"
    return line

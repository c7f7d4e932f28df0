"""wisecommittee evaluate: a saved committee on a split."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options
from .console import print_json
from .show import show_evaluations, show_thresholds


def evaluate(
    committee: Annotated[Path, typer.Argument(help="committee.json written by search --save.")],
    store: options.Store = None,
    split: Annotated[str, typer.Option(help="Split to evaluate on.")] = "test",
    cost: Annotated[
        str | None, typer.Option("--cost", help="Charge another cost than the one it was chosen by.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Evaluate even if the members' weights or FLOPs differ.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Evaluate a committee on outputs in the store: accuracy with its interval, average and worst-case cost, exit
    ratios.

    **Example**  `wisecommittee evaluate committee.json --split test`
    """
    from wisecommittee.committees.cards import Committee
    from wisecommittee.search.evaluate import evaluate as evaluate_committee
    from wisecommittee.store import LogitStore

    chosen = Committee.load(committee)
    result = evaluate_committee(chosen, LogitStore(store), split, force=force, cost=cost)
    if as_json:
        print_json({"committee": result.committee.to_json(), "split": split, **result.figures()})
    else:
        show_evaluations([result])
        show_thresholds(result)

"""wisecommittee demo: the whole path on scikit-learn's digits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options
from .console import err, out, progress
from .show import show_choice, show_frontier


def demo(
    store: options.Store = None,
    figure: Annotated[Path, typer.Option(help="Where the frontier is drawn.")] = Path("frontier.png"),
    save: Annotated[Path, typer.Option(help="Where the chosen committee is written.")] = Path("committee.json"),
    threads: options.Threads = None,
) -> None:
    """Train a small pool on scikit-learn's digits, extract its logits, search, judge, plot, and evaluate on test.

    The first run trains for some seconds; later runs find the trained networks and the logits, and start at once.

    **Example**  `wisecommittee demo`
    """
    from wisecommittee.analyses.study import Study
    from wisecommittee.report.plot import picture
    from wisecommittee.searches.target import Target
    from wisecommittee.searches.workers.execution import Execution
    from wisecommittee.store import LogitStore
    from wisecommittee.train.pool import train_pool

    target = LogitStore(store)
    err.print("1. training the digits pool (or loading it) and extracting its logits ..", markup=False)
    with progress() as update:
        done = train_pool(target, progress=update)
    out.print(f"{target.files.uri}: {len(done)} model outputs in splits {', '.join(target.splits())}", markup=False)
    err.print("2. searching every cascade and ensemble of up to 4 of them ..", markup=False)
    with progress() as update:
        study = Study(target, execution=Execution(threads, progress=update))
        frontier = study.frontier_with_expected()
        single = frontier.best_single().committee.models[0]
        choice = study.choice(Target("match", single))
    out.print()
    out.print(f"Is there a cheaper committee that is as accurate as the best single model, {single}?", markup=False)
    show_choice(choice, target)
    out.print()
    show_frontier(frontier, target)
    choice.val.committee.save(save)
    picture("frontier", study, figure)
    out.print()
    out.print(f"wrote {figure} and {save}; evaluate it again with: wisecommittee evaluate {save}", markup=False)

"""wisecommittee train tune: hyper-parameters of IRENE, searched on val."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wisecommittee.errors import counted

from .console import print_json, table
from .training import TrainCommand, with_training

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wisecommittee.train.tune import Trial


@with_training("checkpoints", "curves")
def tune(
    models_count: Annotated[int, typer.Option(help="T, models in a committee.", min=2)] = 3,
    trials: Annotated[int, typer.Option(help="Settings to try, those of earlier calls counted.", min=1)] = 24,
    ranges: Annotated[
        list[str] | None,
        typer.Option(
            "--range", help="NAME=LOWEST:HIGHEST or NAME=VALUE,VALUE,..; may be repeated. Others keep those of Table 3."
        ),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Folder of the search; default: by its settings, in the user's cache folder.")
    ] = None,
    held_out: Annotated[
        float, typer.Option(help="Share of the training images that only the selector is fitted on.", min=0, max=1)
    ] = 0.0,
    *,
    training: TrainCommand,
) -> None:
    """Search IRENE's weights w1, w2, w3 and its selector's learning rate, and decay where the preset has milestones
    (Table 3), with Optuna, for the greatest utility on val. The best goes into the store, as a variant called tuned.

    Utility is measured by the single model and the average ensemble, so the store needs `train pool` of the same
    backbone, data and seed. An interrupted search goes on where it stopped; more --trials continue it.

    **Example**

    `wisecommittee train pool --backbone digits-cnn; wisecommittee train tune --range w1=0.1:10; wisecommittee compare`
    """
    from wisecommittee.analyses.compare import PoolJudge
    from wisecommittee.analyses.study import Study
    from wisecommittee.train.irene_presets import make_irene
    from wisecommittee.train.tune import pool_of, put_best, read_range, usual_ranges
    from wisecommittee.train.tune import tune as search

    backbones = [training.backbone] if training.backbone else []
    data, changes = training.open_data(held_out), training.changes
    method = make_irene(data, backbones, models_count, seed=training.seed, preset=training.preset, **changes)
    store, spaces = training.open_store(), usual_ranges(method) | dict(map(read_range, ranges or ()))
    judge = PoolJudge.by_pool(Study(store), pool_of(method))
    with training.reporting() as how:
        finished = search(method, judge, folder=folder, trials=trials, ranges=spaces, **how)
        put_best(method, finished[0], store, **how)
    if training.as_json:
        print_json({"store": store.files.uri, "trials": [asdict(trial) for trial in finished]})
        return
    show_trials(finished)


def show_trials(trials: Sequence[Trial]) -> None:
    """A table of all trials; the best is the first."""
    names = list(trials[0].settings)
    columns = [("trial", "right"), *((name, "right") for name in (*names, "val %", "cost", "utility"))]
    rows = [[str(trial.number), *trial.printed()] for trial in trials]
    caption = "Accuracy, cost in single models and utility on val. The best is in the store as the variant tuned."
    table(f"{counted(len(trials), 'trial')}, the best first", columns, rows, caption)

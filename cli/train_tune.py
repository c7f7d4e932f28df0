"""wisecommittee train tune: hyper-parameters of IRENE, searched on val."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from wisecommittee.errors import counted

from . import options
from .console import print_json, table
from .training import training


def tune(
    data: options.TrainingData = "digits",
    preset: options.Preset = None,
    backbone: options.Backbone = None,
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
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    lr: options.Rate = None,
    label_noise: options.LabelNoise = 0.0,
    pixel_noise: options.PixelNoise = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    precision: options.Precision = "float32",
    workers: options.Workers = 0,
    store: options.Store = None,
    replace: options.Replace = False,
    as_json: options.Json = False,
) -> None:
    """Search IRENE's weights w1, w2, w3 and its selector's learning rate, and decay where the preset has milestones
    (Table 3), with Optuna, for the greatest utility on val. The best goes into the store, as a variant called tuned.

    Utility is measured by the single model and the average ensemble, so the store needs `train pool` of the same
    backbone, data and seed. An interrupted search goes on where it stopped; more --trials continue it.

    **Example**

    `wisecommittee train pool --backbone digits-cnn; wisecommittee train tune --range w1=0.1:10; wisecommittee compare`
    """
    from wisecommittee.analyses.compare import Judge
    from wisecommittee.analyses.study import Study
    from wisecommittee.store import LogitStore
    from wisecommittee.train.data import open_training_data
    from wisecommittee.train.irene import make_irene
    from wisecommittee.train.tune import pool_of, put_best, read_range, usual_ranges
    from wisecommittee.train.tune import tune as search

    noise: dict[str, Any] = {"label_noise": label_noise, "pixel_noise": pixel_noise}
    opened = open_training_data(data, held_out=held_out, seed=seed, workers=workers, **noise)
    usual: dict[str, Any] = {"preset": preset, "epochs": epochs, "batch_size": batch_size, "lr": lr}
    method = make_irene(opened, [backbone] if backbone else [], models_count, seed=seed, **usual)
    target, spaces = LogitStore(store), usual_ranges(method) | dict(map(read_range, ranges or ()))
    judge = Judge.by_pool(Study(target), pool_of(method))
    with training(device=device, mixed_precision=precision, replace=replace) as given:
        found = search(method, judge, folder=folder, trials=trials, ranges=spaces, **given)
        put_best(method, found[0], target, **given)
    if as_json:
        print_json({"store": target.files.uri, "trials": [asdict(trial) for trial in found]})
        return
    names = list(found[0].settings)
    columns = [("trial", "right"), *((name, "right") for name in (*names, "val %", "cost", "utility"))]
    rows = [[str(trial.number), *trial.printed()] for trial in found]
    caption = "Accuracy, cost in single models and utility on val. The best is in the store as the variant tuned."
    table(f"{counted(len(found), 'trial')}, the best first", columns, rows, caption)

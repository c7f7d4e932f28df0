"""The steps around the training loop that all training commands share: device, checkpoints, curves, store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypedDict, Unpack

import torch

from wisecommittee.errors import StoreError, UsageError, option
from wisecommittee.extraction.extract import Extracted, extract
from wisecommittee.extraction.models.loaded import LoadedModel
from wisecommittee.extraction.run.forward import PRECISIONS, pick_device
from wisecommittee.extraction.run.ranks import find_ranks, own_device
from wisecommittee.extraction.run.settings import Progress
from wisecommittee.store import LogitStore
from wisecommittee.store.cache import cache_folder
from wisecommittee.train.curves import save_curves
from wisecommittee.train.data import TrainingData
from wisecommittee.train.loop import CurveRow, Method, Trained, train


class TrainOptions(TypedDict, total=False):
    """How to train, whatever the method.

    device : 'auto', 'cuda', 'cpu', ..; mixed_precision : 'float32' (none), 'bfloat16' or 'float16'; checkpoints :
    folder, default one per method and settings in the user's cache folder; curves : Parquet file for the learning
    curves; replace : exchange models of the store; progress, log : see `train.loop.train`.
    """

    device: str
    mixed_precision: str
    checkpoints: Path | None
    curves: Path | None
    replace: bool
    progress: Progress | None
    log: Callable[[CurveRow], None] | None


def fit(method: Method, data: TrainingData, *, seed: int = 0, **options: Unpack[TrainOptions]) -> Trained:
    """Train a method, or load its checkpoints; its modules come back on the CPU in eval mode."""
    precision = options.get("mixed_precision") or "float32"
    if precision not in PRECISIONS:
        raise UsageError(f"mixed precision {precision!r}: expected one of {', '.join(PRECISIONS)}")
    device = pick_device(own_device(options.get("device") or "cpu"))
    folder = options.get("checkpoints") or cache_folder() / "trained" / method.key
    threads = torch.get_num_threads()
    if data.name == "digits":
        # As fast for networks this small, and the weights do not depend on the machine's cores.
        torch.set_num_threads(1)
    try:
        run = train(
            method,
            seed=seed,
            device=device,
            mixed_precision=PRECISIONS[precision],
            checkpoints=folder,
            progress=options.get("progress"),
            log=options.get("log"),
        )
    finally:
        torch.set_num_threads(threads)
    for modules in run.modules.values():
        for module in modules.values():
            module.cpu().eval()
    if (curves := options.get("curves")) and find_ranks().rank == 0:
        save_curves(run.curve, curves)
    return run


def check_free(store: LogitStore, trainings: Mapping[str, str], **options: Unpack[TrainOptions]) -> None:
    """StoreError before a training whose models the store would refuse after it. trainings : {model: its key}."""
    if options.get("replace"):
        return
    for split in ("val", "test"):
        for model, key in trainings.items():
            card = store.committed(split, model)
            if card is not None and key not in (card.meta.get("training"), card.meta.get("pool")):
                raise StoreError(
                    f"{model} is in {split} already, trained with other settings; use "
                    f"{option('replace', True)}, or another store"
                )


def into_store(
    models: Iterable[LoadedModel],
    data: TrainingData,
    store: LogitStore,
    *,
    dtype: str = "float32",
    **options: Unpack[TrainOptions],
) -> list[Extracted]:
    """Logits of trained models for val and, where the data have it, test."""
    models, done = list(models), []
    for split in ("val", "test"):
        if split in data.parts:
            done += extract(
                models,
                data.data(split),
                split,
                store,
                device=own_device(options.get("device") or "cpu"),
                dtype=dtype,
                replace=options.get("replace", False),
                progress=options.get("progress"),
            )
    return done

"""wisecommittee train snapshot: one training, a copy of the network at the end of each cosine cycle -> store."""

from __future__ import annotations

from typing import Annotated

import typer

from .training import Training, with_training


@with_training()
def snapshot(
    count: Annotated[int, typer.Option("--count", help="Snapshots, from 2.")] = 3,
    *,
    training: Training,
) -> None:
    """A snapshot ensemble (Huang et al. 2017): several members for the training of one. Average their probabilities
    (`--combine mean_probs`).

    **Example**  `wisecommittee train snapshot --data cifar10 --backbone resnet32 --device cuda`
    """
    from wisecommittee.train.snapshot import Snapshot

    training.run_baseline(lambda setup: Snapshot(setup, count))

"""wisecommittee train fge: a normal training, then short lr cycles with a copy of the network in each -> store."""

from __future__ import annotations

from typing import Annotated

import typer

from .training import Training, with_training


@with_training()
def fge(
    count: Annotated[int, typer.Option("--count", help="Members, from 2.")] = 3,
    *,
    training: Training,
) -> None:
    """Fast geometric ensembling (Garipov et al. 2018): 4 more epochs for each member after the training of one. Average
    their logits.

    **Example**  `wisecommittee train fge --data cifar10 --backbone resnet32 --device cuda`
    """
    from wisecommittee.train.fge import FastGeometric

    training.run_baseline(lambda setup: FastGeometric(setup, count))

"""wisecommittee train moe, sparse-moe: experts trained together behind a gate -> store."""

from __future__ import annotations

from typing import Annotated

import typer

from .training import Training, with_training

Experts = Annotated[int, typer.Option("--experts", help="Networks behind the gate, from 2.")]


@with_training()
def moe(
    experts: Experts = 3,
    *,
    training: Training,
) -> None:
    """A mixture of experts: a softmax gate on the features of a network trained first weights all of them.

    The store gets one model, the log-probabilities of the mixture. Its cost includes that first network.

    **Example**  `wisecommittee train moe --data cifar10 --backbone resnet32 --device cuda`
    """
    from wisecommittee.train.moe import MixtureOfExperts

    training.run_baseline(lambda setup: MixtureOfExperts(setup, experts))


@with_training()
def sparse_moe(
    experts: Experts = 3,
    active: Annotated[int, typer.Option("--active", help="Experts that run on an image; fewer than all.")] = 2,
    *,
    training: Training,
) -> None:
    """A sparse mixture of experts (Shazeer et al. 2017): only the experts with the largest gate entries run.

    The store gets one model, the log-probabilities of the mixture. Its cost includes that first network.

    **Example**  `wisecommittee train sparse-moe --data cifar10 --backbone resnet32 --device cuda`
    """
    from wisecommittee.train.moe import MixtureOfExperts

    training.run_baseline(lambda setup: MixtureOfExperts(setup, experts, active))

"""wisecommittee train hne: a tree of networks with shared early blocks, one training -> store."""

from __future__ import annotations

from typing import Annotated

import typer

from .training import Training, with_training


@with_training("backbone")
def hne(
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            help="Network with its training: hne, hne-small, wrn16-1, -2, -4, -8 (CIFAR), hne-mobilenet (ImageNet) "
            "or digits.",
            show_default="by --data",
        ),
    ] = None,
    loss: Annotated[
        str,
        typer.Option(
            help="li: cross-entropy of every leaf; ls: of the first 1, 2, 4, .. together; ld, lhd: li and distillation "
            "from all leaves, into every leaf or into the first 1, 2, 4, .."
        ),
    ] = "lhd",
    alpha: Annotated[float, typer.Option(help="Weight of the distillation; li has the rest.")] = 0.5,
    temperature: Annotated[float, typer.Option(help="Of the distillation's soft labels.")] = 2.0,
    terms: Annotated[str, typer.Option(help="sum or mean over leaves, and over sizes.")] = "sum",
    temper_student: Annotated[
        bool, typer.Option("--temper-student/--plain-student", help="Apply the temperature to the student too.")
    ] = True,
    scale_square: Annotated[
        bool, typer.Option("--scale-square/--no-scale-square", help="Multiply the distillation by temperature^2.")
    ] = True,
    schedule: Annotated[
        str, typer.Option(help="tree, independent (nothing shared) or multi-branch (all but the last two blocks).")
    ] = "tree",
    leaves: Annotated[
        int | None, typer.Option(help="Networks in it; in a tree a power of two.", show_default="the preset's")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            help="Of the architecture in the store.",
            show_default="hne-<data>-<preset>, and what is unusual in schedule, leaves and loss",
        ),
    ] = None,
    *,
    training: Training,
) -> None:
    """A hierarchical neural ensemble (Ruiz and Verbeek 2021): networks that share their early blocks, as a tree.

    The store gets one model per leaf, with the blocks it runs. Leaves together cost the union of their blocks: the
    first k are anytime inference, thresholds between them a cascade. An interrupted training goes on where it stopped.

    **Examples**

    `wisecommittee train hne --label-noise 0.25`

    `wisecommittee train hne --data cifar100:cifar-100-python --preset hne-small --device cuda`

    `wisecommittee train hne --loss li --schedule multi-branch --leaves 8`

    `wisecommittee search --family anytime --models 'hne-*'`
    """
    from wisecommittee.train.hne import make_hierarchy, train_hne
    from wisecommittee.train.hne_losses import LeafLoss

    store = training.open_store()
    hierarchy = make_hierarchy(
        training.open_data(),
        preset,
        schedule=schedule,
        leaves=leaves,
        loss=LeafLoss(loss, alpha, temperature, terms, temper_student, scale_square),
        seed=training.seed,
        name=name,
        **training.changes,
    )
    with training.reporting() as how:
        done = train_hne(hierarchy, store, **how)
    training.show(done, store, "next: wisecommittee search --family anytime --models 'hne-*'")

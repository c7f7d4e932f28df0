"""wisecommittee train irene: models and a learned selector that halts between them -> store."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .training import Training, with_training


@with_training("backbone")
def irene(
    backbones: Annotated[
        list[str] | None,
        typer.Option(
            "--backbone", help="resnet18, resnet32, wrn16-4, .. or package.module:factory; once, or once per model."
        ),
    ] = None,
    models_count: Annotated[
        list[int] | None, typer.Option(help="T, models in a committee, default 3; repeat to train each.")
    ] = None,
    w1: Annotated[float | None, typer.Option(help="Weight of L_ens, the loss of the ensemble.")] = None,
    w2: Annotated[
        list[float] | None, typer.Option(help="Weight of L_cost, what is spent; repeat to train each.")
    ] = None,
    w3: Annotated[
        float | None, typer.Option(help="Weight of L_rank: every model better than the ensemble before.")
    ] = None,
    diversity: Annotated[float | None, typer.Option(help="Weight of the distance between the heads (lambda).")] = None,
    features: Annotated[
        list[str] | None,
        typer.Option("--feature", help="kl, confidence, margin or entropy, for the selector; may be repeated."),
    ] = None,
    hidden: Annotated[int | None, typer.Option(help="Size of the selector's LSTM.")] = None,
    held_out: Annotated[
        float, typer.Option(help="Share of the training images that only the selector is fitted on.", min=0, max=1)
    ] = 0.0,
    threshold: Annotated[
        float | None, typer.Option(help="Of the halts sampled in training; m is searched afterwards.")
    ] = None,
    ablation: Annotated[
        list[str] | None,
        typer.Option(
            help="full, no-cost, no-ens, no-rank, rank-not-to-models or selector-untrained (Fig. 5); may be repeated."
        ),
    ] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate of the models; default: the preset's.")] = None,
    selector_lr: Annotated[float | None, typer.Option(help="Learning rate of the selector.")] = None,
    selector_factor: Annotated[
        float | None, typer.Option(help="Drop of the selector's learning rate at milestones, which cifar has.")
    ] = None,
    *,
    training: Training,
) -> None:
    """IRENE: T models trained one after another, with a selector that decides after each whether a unit is done.

    Members go into the store with their halting scores, so the margin m is searched offline, on val:
    `search --family halting`. An interrupted run goes on where it stopped.

    **Examples**

    `wisecommittee train irene --label-noise 0.25`

    `wisecommittee train irene --w2 0.02 --w2 0.05 --w2 0.1 --held-out 0.2`

    `wisecommittee train irene --data cifar100:cifar-100-python --backbone resnet32 --device cuda --precision bfloat16`

    `wisecommittee search --family halting --models 'irene-*'`
    """
    from wisecommittee.train.irene import make_irene, variants
    from wisecommittee.train.irene_members import train_irene

    given: dict[str, Any] = {"w1": w1, "w3": w3, "diversity": diversity, "hidden": hidden, "threshold": threshold}
    given |= {"features": tuple(features) if features else None, "selector_lr": selector_lr}
    given |= {"selector_factor": selector_factor, "w2": w2[0] if w2 else None}
    settings = {name: value for name, value in given.items() if value is not None}
    method = make_irene(
        training.open_data(held_out),
        backbones or (),
        models_count[0] if models_count else None,
        seed=training.seed,
        preset=training.preset,
        **training.changes,
        **settings,
    )
    ablations = [None if name == "full" else name for name in ablation or ()]
    methods = variants(method, w2=w2 or (), models=models_count or (), ablations=ablations)
    store = training.open_store()
    with training.reporting() as how:
        done = train_irene(store, methods, **how)
    training.show(done, store, "next: wisecommittee search --family halting --models 'irene-*'")

"""IRENE with the settings of a preset, and its variants: every combination of the settings that are varied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace as with_fields
from itertools import product
from typing import Any

from wisecommittee.errors import UsageError
from wisecommittee.train.data import TrainingData
from wisecommittee.train.irene import Irene
from wisecommittee.train.supervised import RecipeChanges, make_setup

# Fields of Irene that differ from its defaults. CIFAR: the selector's learning rate and the weights, which the paper
# does not print, are the (geometric) middle of the ranges it searched (Table 3).
SELECTORS: dict[str, dict[str, Any]] = {
    "digits": {},
    "cifar": {"selector_lr": 1e-3, "w1": 3e-3, "w2": 1e-3, "w3": 3e-3},
}


def make_irene(
    data: TrainingData,
    backbones: Sequence[str] = (),
    models: int | None = None,
    *,
    seed: int = 0,
    preset: str | None = None,
    **changes: Any,
) -> Irene:
    """A method with the settings of a preset (of SELECTORS, by default the one for the data), changed where named.

    backbones : none (the usual one), one, which every step takes, or one per step; models : T, by default 3; changes :
    RecipeChanges, and fields of Irene.
    """
    first = backbones[0] if backbones else None
    recipe: Any = {name: value for name, value in changes.items() if name in RecipeChanges.__annotations__}
    settings = {name: value for name, value in changes.items() if name not in recipe}
    setup = make_setup(data, first, seed=seed, preset=preset, **recipe)
    if len(backbones) > 1 and models not in (None, len(backbones)):
        raise UsageError(f"{len(backbones)} backbones for {models} models; name one for all, or one for each")
    names = tuple(backbones) if len(backbones) > 1 else (setup.backbone,) * (3 if models is None else max(0, models))
    usual = SELECTORS[preset or ("digits" if data.name == "digits" else "cifar")]
    method = Irene(data, names, setup.recipe, seed, **usual | settings)
    if "selector_factor" in settings and not setup.recipe.milestones:
        raise UsageError(
            "selector factor: the learning rates of these data fall by a cosine, without milestones to drop at; leave "
            "it out, or choose a preset with milestones (cifar)"
        )
    return method


def variants(
    method: Irene, *, w2: Sequence[float] = (), models: Sequence[int] = (), ablations: Sequence[str | None] = ()
) -> dict[str, Irene]:
    """{variant: method} for all combinations of the settings that vary.

    A variant's name holds those settings, an ablation, and whether the selector is fitted on held-out units.
    """
    w2, models, ablations = w2 or [method.w2], models or [len(method.backbones)], ablations or [method.ablation]
    methods: dict[str, Irene] = {}
    for weight, count, ablation in product(w2, models, ablations):
        if count != len(method.backbones) and len(set(method.backbones)) > 1:
            raise UsageError(f"{count} models: backbones of several kinds make {len(method.backbones)}")
        parts = [f"w2={weight:g}"] if len(set(w2)) > 1 else []
        parts += [f"T={count}"] if len(set(models)) > 1 else []
        parts += [ablation] if ablation else []
        parts += ["held-out"] if method.fits_held_out else []
        backbones = (*method.backbones, *[method.backbones[0]] * count)[:count]
        methods[",".join(parts)] = with_fields(method, w2=weight, backbones=backbones, ablation=ablation)
    return methods

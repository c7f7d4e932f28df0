"""IRENE's members in the store: T models that hold log y, each with its halting score.

Stopping after the first member whose score exceeds m is a cascade (family `halting`), and any m is searched offline.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace as with_fields
from typing import Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wisecommittee.committees.cards import ModelCard
from wisecommittee.committees.naming import Origin
from wisecommittee.extraction.extract import Extracted
from wisecommittee.extraction.models.weights import state_hash
from wisecommittee.extraction.run.forward import pick_device
from wisecommittee.extraction.run.ranks import find_ranks, own_device
from wisecommittee.extraction.run.settings import Progress
from wisecommittee.store import LogitStore
from wisecommittee.train.backbones import short_name
from wisecommittee.train.curves import save_curves
from wisecommittee.train.data import TrainingData
from wisecommittee.train.irene import FIRST, FirstModel, Irene
from wisecommittee.train.irene_selector import HaltingCommittee
from wisecommittee.train.loop import CurveRow, Trained
from wisecommittee.train.run import TrainOptions, check_free, fit
from wisecommittee.train.supervised import PASSES

SCORE = "halting"
UNITS = 256  # at once


def train_irene(store: LogitStore, methods: Mapping[str, Irene], **options: Unpack[TrainOptions]) -> list[Extracted]:
    """Train, and put the members with their halting scores into the store, val and test.

    methods : by variant, see `variants`. The settings that vary do not reach the first model, which is trained once.
    The frontier over all variants, and over m, is one search of the family `halting`.
    """
    for variant, method in methods.items():
        architecture, steps = _architecture(method, variant), range(len(method.backbones))
        check_free(store, {f"{architecture}/{step}": method.key for step in steps}, **options)
    done: list[Extracted] = []
    first: Mapping[str, Tensor] | None = None
    rows_of_first: list[CurveRow] = []
    for variant, method in methods.items():
        changed = options.copy()
        curves = changed.pop("curves", None)
        if variant and (folder := options.get("checkpoints")):
            changed["checkpoints"] = folder / variant
        known = method.first if first is None else first
        run = fit(with_fields(method, first=known), method.data, seed=method.seed, **changed)
        if first is None:
            first = run.modules[FIRST]["model"].state_dict()
            rows_of_first = [row for row in run.curve if row["phase"] == FIRST]
        if curves and not find_ranks().rank:
            others = [row for row in run.curve if row["phase"] != FIRST]
            save_curves([*rows_of_first, *others], curves.with_stem(f"{curves.stem}-{variant}") if variant else curves)
        if not find_ranks().rank:
            done += _into_store(assembled(run), method, store, variant, **options)
    return done


def with_first(method: Irene, **options: Unpack[TrainOptions]) -> Irene:
    """The method with its first model, trained or loaded: w1, w2, w3 and the selector do not reach it."""
    only = FirstModel(method)
    changed = options.copy()
    changed.pop("curves", None)
    run = fit(only, method.data, seed=method.seed, **changed)
    return with_fields(method, first=run.modules[FIRST]["model"].state_dict())


def _architecture(method: Irene, variant: str) -> str:
    backbone = "+".join(dict.fromkeys(map(short_name, method.backbones)))
    return Origin("irene", method.data.name, backbone, method.seed, variant).architecture


def assembled(run: Trained) -> HaltingCommittee:
    """The models of a finished run and the selector as the last phase left it."""
    phases = list(run.modules.values())
    return HaltingCommittee([modules["model"] for modules in phases], phases[-1]["selector"]).eval()  # type: ignore[misc, arg-type]


@dataclass(frozen=True, slots=True)
class Said:
    """log_y : log of the predictions float32 [N, T, L]; stop : halting scores float32 [N, T]; labels [N]."""

    log_y: NDArray[np.float32]
    stop: NDArray[np.float32]
    labels: NDArray[np.generic]
    unit_ids: list[str]


def said(
    committee: HaltingCommittee, data: TrainingData, split: str, device: str = "cpu", progress: Progress | None = None
) -> Said:
    """What every member says about every unit of a split."""
    source, target = data.data(split), pick_device(own_device(device))
    committee.to(target)
    predictions, stops, labels, unit_ids = [], [], [], []
    with torch.inference_mode():
        for batch in source.batches(UNITS, preprocess=data.preprocess):
            log_y, stop = committee(batch.inputs.to(target))
            predictions.append(log_y.cpu().numpy())
            stops.append(stop.cpu().numpy())
            labels.append(batch.labels)
            unit_ids += batch.unit_ids
            if progress:
                progress(f"irene in {split}", len(unit_ids), source.units)
    committee.cpu()
    return Said(np.concatenate(predictions), np.concatenate(stops), np.concatenate(labels), unit_ids)


def member_cards(committee: HaltingCommittee, method: Irene, variant: str = "") -> list[ModelCard]:
    """One card per step. Its weights are those of the model and of the selector, which the score depends on."""
    architecture = _architecture(method, variant)
    costs, images = method.costs, method.recipe.epochs * len(method.data.labels("train"))
    cards = []
    for step, (model, macs) in enumerate(zip(committee.models, costs, strict=True)):
        both = nn.ModuleDict({"model": model, "selector": committee.selector})
        cards.append(
            ModelCard(
                f"{architecture}/{step}",
                architecture,
                step,
                blocks={f"{architecture}/{step}": macs},
                params=sum(parameter.numel() for parameter in model.parameters()),
                input_size=method.data.shape,
                training_cost=images * (PASSES * macs + sum(costs[:step])),  # the models before it run along
                group=architecture,
                position=step,
                origin=f"train irene on {method.data.spec}",
                weights=state_hash(both),
                meta={"training": method.key, "settings": method.settings},
            )
        )
    return cards


def _into_store(
    committee: HaltingCommittee, method: Irene, store: LogitStore, variant: str, **options: Unpack[TrainOptions]
) -> list[Extracted]:
    cards, done = member_cards(committee, method, variant), []
    for split in ("val", "test"):
        if split not in method.data.parts:
            continue
        outcomes = said(committee, method.data, split, options.get("device") or "cpu", options.get("progress"))
        for step, card in enumerate(cards):
            status = store.add(
                card,
                split,
                labels=outcomes.labels,
                outputs=np.ascontiguousarray(outcomes.log_y[:, step]),
                unit_ids=outcomes.unit_ids,
                scores={SCORE: outcomes.stop[:, step]},
                replace=options.get("replace", False),
            )
            done.append(Extracted(store.card(card.model, split), split, status))
        for other in store.cards(split):  # of a longer run that was replaced
            if other.group == cards[0].group and (other.position or 0) >= len(cards):
                store.remove(other.model, split)
    return done

"""Ensembles of the first 1, 2, 4, .. leaves of jointly trained networks (Ruiz and Verbeek 2021, Figs. 3-6): their
accuracy and cost, how much the leaves differ, and how accurate each is alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wisecommittee.analyses.study import Study
from wisecommittee.committees.committee import Committee
from wisecommittee.committees.families.groups import doublings, groups_of, whole_groups
from wisecommittee.errors import UsageError
from wisecommittee.searches.evaluate import evaluate_all
from wisecommittee.searches.evaluation import Evaluation
from wisecommittee.store import LogitStore

UNITS_AT_ONCE = 4096


@dataclass(frozen=True, slots=True)
class Rung:
    """The first `leaves` leaves together. deviation : standard deviation of their logits over the leaves, averaged over
    classes and units; 0 for one leaf."""

    leaves: int
    evaluation: Evaluation
    deviation: float


@dataclass(frozen=True, slots=True)
class LeafGroup:
    """rungs : by number of leaves; alone : every leaf by itself, in order."""

    name: str
    rungs: tuple[Rung, ...]
    alone: tuple[Evaluation, ...]


@dataclass(frozen=True, slots=True)
class Leaves:
    split: str
    n: int
    cost: str
    groups: tuple[LeafGroup, ...]


def leaves(study: Study) -> Leaves:
    """Evaluate the first leaves, and every leaf alone, on the reporting split if there is one (nothing is chosen here).

    The combining rule is the mean of logits.
    """
    store = study.store
    split = study.reports if store.has_split(study.reports) else study.split
    present = set(store.models(split))
    remedy = "train one with `wisecommittee train hne`"
    # Members that halt by scores of their own (IRENE) are no ensemble of their first few.
    leaving = [c for c in study.cards() if c.kind == "logits" and not c.contents.scores]
    cards = whole_groups([card for card in leaving if card.model in present], "anytime", remedy)
    groups = []
    for name, indices in groups_of(cards).items():
        models = [cards[index].model for index in indices]
        sizes = doublings(len(models))
        committees = [Committee((tuple(models[:size]),), cost=study.cost) for size in sizes]
        committees += [Committee(((model,),), cost=study.cost) for model in models]
        evaluations = evaluate_all(committees, store, split)
        rungs = [
            Rung(size, evaluation, deviation(store, split, models[:size]))
            for size, evaluation in zip(sizes, evaluations, strict=False)
        ]
        groups.append(LeafGroup(name, tuple(rungs), tuple(evaluations[len(sizes) :])))
    if any(rung.evaluation.graded_interval for group in groups for rung in group.rungs):
        raise UsageError("leaves are compared by accuracy; the units of these models are graded")
    first = groups[0].rungs[0].evaluation
    return Leaves(split, first.n, study.cost, tuple(groups))


def deviation(store: LogitStore, split: str, models: list[str]) -> float:
    """Standard deviation of logits over models, averaged over classes and units (Sec. 4.1)."""
    outputs = [store.outputs(model, split) for model in models]
    units, classes = outputs[0].shape
    total = 0.0
    for start in range(0, units, UNITS_AT_ONCE):
        block = np.stack([rows[start : start + UNITS_AT_ONCE] for rows in outputs])
        total += float(block.std(axis=0, dtype=np.float64).sum())
    return total / (units * classes)

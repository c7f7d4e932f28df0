"""Whether statements can be tested on these units at all."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wisecommittee.errors import AbsentError, AbsentNameError, InfeasibleError, UsageError, counted, option
from wisecommittee.searches.stages.pool import Pool
from wisecommittee.searches.statements.statement import BEST_SINGLE, Guarantee


def classes_named(guarantees: tuple[Guarantee, ...], pool: Pool) -> dict[str, Any]:
    """The value, in labels and predictions, of each class that a statement names.

    Raises
    ------
    AbsentNameError
        There is no such class.
    """
    named = pool.store.class_names(pool.split) if pool.averaged else None
    if named is not None:
        known: dict[str, Any] = {name: index for index, name in enumerate(named)}
    elif pool.averaged:
        known = {str(index): index for index in range(pool.cards[0].contents.classes or 0)}
    else:
        known = {str(label): label for label in np.unique(pool.store.labels(pool.split))}
    wanted = [str(g.subject) for g in guarantees if g.figure in ("precision", "recall")]
    for name in wanted:
        if name not in known:
            raise AbsentNameError("class", name, known)
    return {name: known[name] for name in wanted}


def require_answerable(guarantees: tuple[Guarantee, ...], pool: Pool, delta: float) -> None:
    """Refuse statements that these units cannot show whatever the committee.

    pool : on the units that test.

    Raises
    ------
    UsageError
        The task has no statements, or a cost or a model is not in the pool.
    AbsentError
        The units have no labels, and a statement needs them.
    InfeasibleError
        There are too few units.
    """
    if pool.task.width > 1:
        raise UsageError(
            f"guarantees are about units that are right, wrong or graded; {pool.task.measure} is no mean over units, "
            f"and images are not independent cells: leave out {option('guarantee')}"
        )
    models = [card.model for card in pool.cards]
    costs = [pool.cost.name, *(charges.name for charges in pool.further)]
    for each in guarantees:
        if each.model is not None and each.model not in (*models, BEST_SINGLE):
            raise AbsentNameError("model", each.model, models)
        if each.of_cost and each.subject not in ("cost", *costs):
            raise AbsentNameError("cost", str(each.subject), ["cost", *costs])
        if each.needs_labels and not labelled(pool):
            raise AbsentError(
                f"guarantee {str(each)!r} needs labels, and split {pool.split!r} has none; import its models with "
                f"labels, or state an agreement with a model or a cost, which need none"
            )
        _require_units(each, pool, delta)


def labelled(pool: Pool) -> bool:
    """Whether predictions on these units can be told right from wrong: graded answers need no labels."""
    return not pool.task.counts or pool.store.has_labels(pool.split)


def _require_units(each: Guarantee, pool: Pool, delta: float) -> None:
    """Refuse a share that no error at all would not show."""
    if each.figure == "average" or (each.figure == "accuracy" and (each.subject or not pool.task.counts)):
        return
    units, noun = pool.units, "unit"
    if each.figure == "recall":
        units, noun = (
            int((pool.labels == classes_named((each,), pool)[str(each.subject)]).sum()),
            f"{each.subject} unit",
        )
    needed = math.ceil(math.log(delta) / math.log(1 - each.number if each.of_cost else each.number))
    if units < needed:
        raise InfeasibleError(
            f"guarantee {str(each)!r} at delta {delta:g} needs {counted(needed, noun)} that test it, and there "
            f"{'is' if units == 1 else 'are'} {units:,}: not one error among them would show it; set more aside with "
            f"{option('guarantee_share')}, import more, or weaken the statement"
        )

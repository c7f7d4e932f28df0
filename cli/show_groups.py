"""The figures of groups of units on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from wisecommittee.errors import counted

from .console import Unit, percent, shares, table

if TYPE_CHECKING:
    from wisecommittee.operations.groups import GroupFigures
    from wisecommittee.searches.evaluation import Evaluation

ROWS = 20


def show_groups(e: Evaluation, groups: Sequence[GroupFigures], by: str) -> None:
    """The least accurate groups, each with the intervals that hold for all groups together."""
    shown = groups[:ROWS]
    unit = Unit(e.committee.cost, [each.average_cost for each in shown])
    rows = [
        [
            each.group if each.pooled == 1 else f"{each.group} ({each.pooled})",
            f"{each.n:,}",
            f"{percent(each.quality)} [{', '.join(map(percent, each.simultaneous_interval))}]",
            f"{unit(each.average_cost)} [{', '.join(map(unit, each.simultaneous_cost_interval))}]",
            shares(each.exit_ratios),
        ]
        for each in shown
    ]
    columns = [
        (by, "left"),
        ("units", "right"),
        (f"{e.measure} % [95 %]", "right"),
        ("average cost [95 %]", "right"),
        ("exits %", "left"),
    ]
    table(f"by {by}, the least accurate first   (costs in {unit.name})", columns, rows, _caption(e, groups))


def _caption(e: Evaluation, groups: Sequence[GroupFigures]) -> str:
    texts = []
    if len(groups) > ROWS:
        texts.append(f"{ROWS} of {counted(len(groups), 'group')}; --json gives all.")
    if len(groups) > 1:
        texts.append(
            f"The intervals of all {len(groups):,} groups hold together in 95 % of samples; --json also has those of "
            f"each group alone."
        )
    if groups[-1].pooled > 1:
        texts.append(f"{counted(groups[-1].pooled, 'group')} of fewer than 10 units stand together.")
    if e.split == e.committee.chosen_on:
        texts.append(f"{e.split} chose this committee, so these figures are optimistic.")
    return " ".join(texts)

"""How the distribution of costs over units looks on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .console import Unit, out, percent, table

if TYPE_CHECKING:
    from wisecommittee.searches.evaluation import Evaluation


def show_costs(evaluations: Sequence[Evaluation]) -> None:
    """Averages and percentiles of every cost that varies per unit, and shares of units that are limited, on each split;
    nothing where there are none."""
    for figure in evaluations[0].exceeding():
        found = [f"{percent(e.exceeding()[figure])} % of {e.split}" for e in evaluations if figure in e.exceeding()]
        out.print(f"  {figure}: {', '.join(found)}", markup=False)
    rows, headings = [], dict[str, None]()
    for e in evaluations:
        for name, each in e.distributions.items():
            if len(each.percentiles) > 1 or name != e.committee.cost:
                headings |= dict.fromkeys(each.percentiles_json())
    shown = sorted(headings, key=lambda heading: float(heading[1:]))
    if not shown:
        return
    for name in evaluations[0].distributions:
        unit = Unit(name, [e.costs[name].average for e in evaluations if name in e.costs])
        for e in evaluations:
            known = e.distributions[name].percentiles_json() if name in e.distributions else {}
            if known:
                cells = [unit(known[each]) if each in known else "" for each in shown]
                rows.append([unit.name, e.split, unit(e.costs[name].average), *cells, unit(e.costs[name].worst)])
    columns = [("cost", "left"), ("split", "left"), ("average", "right"), *((each, "right") for each in shown)]
    table("costs over the units", [*columns, ("worst", "right")], rows)

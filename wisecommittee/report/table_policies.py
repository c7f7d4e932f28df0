"""Kinds of policies at equal average costs, cross-fitted."""

from __future__ import annotations

from wisecommittee.analyses.policies import PolicyComparison
from wisecommittee.report.table import Column, Table, cost_heading


def fill(comparison: PolicyComparison) -> Table:
    """A row for each budget and kind of policy.

    Parameters
    ----------
    comparison : PolicyComparison

    Returns
    -------
    Table
    """
    columns = (
        Column("budget", "budget", "cost"),
        Column("policy", "policy"),
        Column("quality", comparison.quality, "percent"),
        Column("gain", "gain", "points"),
        Column("gain_low", "95 % from", "points"),
        Column("gain_high", "to", "points"),
        Column("average_cost", cost_heading(comparison.cost), "cost"),
    )
    rows = []
    for each in comparison.figures:
        gain = (None, None, None) if each.gain is None else (each.gain.mean, *each.gain.interval)
        rows.append((each.budget, each.kind, each.expected.quality, *gain, each.expected.average_cost))
    first = comparison.figures[0].kind
    notes = [
        f"What to expect on new data: every unit of {comparison.split} (n = {comparison.units:,}) is measured in the "
        f"committee that is chosen without its fold, of {comparison.folds}. Gain: points over {first} "
        f"at the same budget, paired. Each policy may mix two neighbours of its frontier."
    ]
    notes += [f"{kind} does not fit: {why}." for kind, why in comparison.left_out.items()]
    return Table("Policies at equal cost", columns, tuple(rows), tuple(notes), comparison.cost, grouped=True)

"""The choices within every budget as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wisecommittee.searches.every_budget import EveryBudget

if TYPE_CHECKING:
    import pandas as pd

MISSING = float("nan")


def frontier_table(every: EveryBudget) -> pd.DataFrame:
    """The choices within every budget, and every estimator by itself.

    Parameters
    ----------
    every : EveryBudget

    Returns
    -------
    DataFrame
        One row per choice (`kind` 'choice'), by rising cost, and per estimator ('single').

        committee
            Its estimators; | stands between stages, + within one.
        cost, cost_low, cost_high
            Average cost of a sample, and its 95 % interval for new samples.
        worst_case_cost
            Cost of a sample that runs all its estimators.
        accuracy, accuracy_low, accuracy_high
            To be expected of new samples, cross-fitted, with its 95 % interval. Of an estimator: its accuracy on
            samples that it was not fitted to; of the best of several, that flatters it.
        chosen_accuracy
            On the samples that chose the committee: it flatters.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for place, choice in enumerate(every.choices):
        expected = every.expected[place] if every.expected else None
        low, high = (MISSING, MISSING) if expected is None else expected.interval
        least, most = (MISSING, MISSING) if expected is None else expected.cost_interval
        rows.append(
            {
                "kind": "choice",
                "committee": choice.committee.label(),
                "cost": every.costs()[place],
                "cost_low": least,
                "cost_high": most,
                "worst_case_cost": choice.worst_case_cost,
                "accuracy": MISSING if expected is None else expected.quality,
                "accuracy_low": low,
                "accuracy_high": high,
                "chosen_accuracy": choice.quality,
            }
        )
    for single in every.singles:
        low, high = single.interval
        cost = single.average_cost
        rows.append(
            {
                "kind": "single",
                "committee": single.committee.label(),
                "cost": cost,
                "cost_low": cost,
                "cost_high": cost,
                "worst_case_cost": cost,
                "accuracy": single.quality,
                "accuracy_low": low,
                "accuracy_high": high,
                "chosen_accuracy": MISSING,
            }
        )
    return pd.DataFrame(rows)

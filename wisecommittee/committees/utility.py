"""The trade-off between accuracy and cost as one number (Li et al. 2023, Eq. 14 and Appendix C)."""

from __future__ import annotations

import math

COST_WEIGHT = 0.01  # tau_c
FACTOR = 100.0


def utility(
    accuracy: float, cost: float, single: float, ensemble: float, models: float, *, factor: float = FACTOR
) -> tuple[float, str | None]:
    """exp(factor (U / U_single - 1)) with U = accuracy^tau_v / cost^0.01; higher is better.

    tau_v is such that the single model and the average ensemble both have utility 1.

    Parameters
    ----------
    accuracy, single, ensemble : float
        Accuracy of the committee, of a single model and of the average ensemble of all models; all in [0, 1], or all in
        percent.
    cost, models : float
        Average cost of the committee and cost of the average ensemble, in costs of the single model.
    factor : float

    Returns
    -------
    (float, None) or (NaN, str)
        The utility, or the reason why there is no tau_v.

    Notes
    -----
    The paper's text has neither the factor nor the quotient ("difference"). With both, and 100, every row of its Tables
    1 and 2 comes out to 0.02 except three (CIFAR-100, ResNet-32: snapshot ensemble, FGE, MoE), which need 20.
    """
    values = {"accuracy": accuracy, "cost": cost, "accuracy of the single model": single}
    values |= {"accuracy of the average ensemble": ensemble, "cost of the average ensemble": models}
    for name, value in values.items():
        least = 0.0 if name == "accuracy" else math.ulp(0.0)
        if not least <= value < math.inf:
            return math.nan, f"the {name} is {value:g}; expected a number {'from' if not least else 'above'} 0"
    if models <= 1:
        return math.nan, f"the average ensemble costs {models:g} single models; expected more than 1"
    if ensemble <= single:
        return math.nan, f"the average ensemble ({ensemble:.4g}) is no more accurate than one model ({single:.4g})"
    tau = COST_WEIGHT * math.log(models) / math.log(ensemble / single)
    try:
        return math.exp(factor * ((accuracy / single) ** tau / cost**COST_WEIGHT - 1)), None
    except OverflowError:
        gain = f"the average ensemble ({ensemble:.6g}) is hardly more accurate than one model ({single:.6g})"
        return math.nan, f"{gain}, which makes the utility too large for a number"

"""Tests of several hypotheses in an order that is fixed before the data are seen."""

from __future__ import annotations

from collections.abc import Iterable


def rejected_in_order(p_values: Iterable[float], delta: float) -> int:
    """Number of hypotheses, from the first on, that fixed-sequence testing rejects: it stops at the first p-value above
    delta.

    The probability that any rejected hypothesis is true is at most delta, without a correction for their number, if
    each p-value is valid and the order does not depend on the data of the tests. So any of the rejected hypotheses may
    be acted on.

    Parameters
    ----------
    p_values : iterable of float
        In the order of the hypotheses; none after the first above delta is asked for.
    delta : float
        In (0, 1).

    Returns
    -------
    int

    References
    ----------
    Angelopoulos, Bates, Candes, Jordan & Lei, "Learn then Test: Calibrating Predictive Algorithms to Achieve Risk
    Control", 2021, Section 2.2 (fixed sequence testing); Maurer, Hothorn & Lehmacher, 1995.
    """
    rejected = 0
    for p_value in p_values:
        if not p_value <= delta:
            break
        rejected += 1
    return rejected

"""Searches for policies other than one threshold per stage, one file or folder for each kind.

May be added: a Strategy whose findings are committees, and its line in POLICY_STRATEGIES, by which `policy` names it.
"""

from __future__ import annotations

from wisecommittee.searches.policies.adaptive.strategy import ADAPTIVE
from wisecommittee.searches.policies.agreement import AGREEMENT
from wisecommittee.searches.policies.deferral.strategy import DEFERRAL
from wisecommittee.searches.policies.labels.strategy import LABELS
from wisecommittee.searches.policies.router.strategy import ROUTER
from wisecommittee.searches.policies.window.strategy import WINDOW
from wisecommittee.searches.strategies.problem import Strategy

POLICY_STRATEGIES: dict[str, Strategy] = {  # the simplest first
    strategy.name: strategy
    for strategy in (
        AGREEMENT,
        WINDOW,
        LABELS,
        ROUTER,
        DEFERRAL,
        ADAPTIVE,
    )
}

"""The search for policies with thresholds, and the next member, by predicted label (committees/policies/labels.py).

At a price of cost, the rules of one route are exact (kernels/rules.py); a sweep of prices gives the frontier. How far
labels may differ is chosen by cross-fitting (shrinkage.py), not by what is best on the units.
"""

from __future__ import annotations

import numpy as np

from wisecommittee.committees.policies.labels import Labels
from wisecommittee.errors import counted
from wisecommittee.searches.policies.labels.building import build
from wisecommittee.searches.policies.labels.growing import MOST_MEMBERS, promising
from wisecommittee.searches.policies.labels.shrinkage import FIRST, choose_shrinkage
from wisecommittee.searches.policies.rules.findings import findings
from wisecommittee.searches.policies.rules.prices import PRICES, sweep
from wisecommittee.searches.strategies.problem import Findings, Problem, Strategy
from wisecommittee.searches.workers.threads import Watch


def run(problem: Problem) -> Findings:
    pool = problem.pool
    _say_unseen(problem)
    fitting, prices = promising(problem)
    watch = Watch(Labels.kind, PRICES, problem.execution.progress, problem.deadline)
    shrinkage = FIRST if watch.stopped else choose_shrinkage(fitting, pool.labels, prices)
    found = sweep(lambda price: fitting.best(price, shrinkage), *fitting.ends, go_on=watch.tick)
    committees = [build(pool, fitting.said, each.found) for each in found]
    shown = None if np.isinf(shrinkage) else shrinkage
    more = {"shrinkage": shown, "complete": not watch.stopped}
    return findings(problem, Labels.kind, len(fitting.trees), committees, **more)


def _say_unseen(problem: Problem) -> None:
    """Say which labels of test the split that chooses never has."""
    store, notify = problem.pool.store, problem.execution.notify
    if notify and store.has_split("test") and store.has_labels("test"):
        unseen = np.setdiff1d(store.labels("test"), problem.pool.labels).tolist()
        if unseen:
            notify(
                f"{problem.pool.split} lacks {counted(len(unseen), 'label')} of test, such as {unseen[0]!r}: units "
                f"that are predicted as a label without a rule exit by the rule of all other labels"
            )


def work(problem: Problem) -> float:
    """As of Strategy."""
    return (3e4 if len(problem.cards) <= MOST_MEMBERS else 8e4) * problem.pool.units


LABELS = Strategy(Labels.kind, lambda problem: None, run, work=work)

"""The searches of several kinds of policy without each fold, in which kinds that are clearly worse drop out early.

The kinds are searched fold by fold. After each of the first folds, a kind leaves the race whose outcomes on the units
held out so far are worse than those of the best kind by CLEAR standard errors of the paired difference: on all folds it
would not be chosen either. A kind that stays is searched without every fold, so its figures are those of a kind that
had no rivals.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.searches.resampling.cross_fit import Chooser, CrossFit, Fold, FoldSearches, Skipped
from wisecommittee.searches.workers.threads import Progress

LEAST_FOLDS = 2  # that are searched with every kind
CLEAR = 3.0  # standard errors


@dataclass(frozen=True, slots=True)
class Runner:
    """A kind of policy in the race. rule : what is chosen from the search without a fold; None: that depends on all
    folds, and the kind is never dropped."""

    searches: FoldSearches
    rule: Chooser | None

    def gain(self, fold: Fold) -> NDArray[np.float64]:
        """float64 [n]: the quality of each unit of a fold, in the committee that is chosen without the fold."""
        assert self.rule is not None
        (outcomes,) = fold.outcomes([self.rule(fold)])
        return np.asarray(fold.pool.task.worth(outcomes.statistics), np.float64)


def race(
    runners: Mapping[str, Runner], progress: Progress | None, stopped: Callable[[], bool]
) -> tuple[dict[str, CrossFit | Skipped], dict[str, str]]:
    """Search every kind without each fold; the second result is {kind that dropped out: how much worse it was}.

    The first kind, the simplest, is searched without every fold before the others start, and never drops out: it is the
    answer if a stop comes before all folds of the others are searched.
    """
    first, *running = runners
    gains = {kind: list[NDArray[np.float64]]() for kind in runners}
    dropped = dict[str, str]()
    done, total = 0, sum(len(runner.searches) for runner in runners.values())
    folds = len(runners[first].searches)
    for alive in [[first]] * folds + [running] * folds:
        for kind in alive:
            runner = runners[kind]
            if stopped() or not runner.searches.search_next():
                continue
            done += 1
            if runner.rule is not None:
                gains[kind].append(runner.gain(runner.searches.made[-1]))
            if progress:
                progress("folds", done, total)
        worse = _clearly_worse({kind: gains[kind] for kind in (first, *running)})
        for kind in worse.keys() & set(running):
            running.remove(kind)
            dropped[kind] = worse[kind]
            total -= len(runners[kind].searches) - len(runners[kind].searches.made)
    return {kind: _result(runner.searches) for kind, runner in runners.items() if kind not in dropped}, dropped


def _result(searches: FoldSearches) -> CrossFit | Skipped:
    if searches.skipped is None and len(searches.made) < len(searches):
        return Skipped("stopped before all folds were searched", stopped=True)
    return searches.result()


def _clearly_worse(gains: Mapping[str, list[NDArray[np.float64]]]) -> dict[str, str]:
    """{kind: how much worse it is than the best}, by the folds that every kind has been searched without."""
    known = {kind: parts for kind, parts in gains.items() if len(parts) >= LEAST_FOLDS}
    if len(known) < 2:
        return {}
    folds = min(map(len, known.values()))
    rows = {kind: np.concatenate(parts[:folds]) for kind, parts in known.items()}
    best = max(rows, key=lambda kind: float(rows[kind].mean()))
    out = {}
    for kind, row in rows.items():
        apart = rows[best] - row
        error = float(apart.std()) / math.sqrt(len(apart))
        if float(apart.mean()) > CLEAR * error > 0:
            figures = f"{100 * apart.mean():.2f} +- {100 * error:.2f} points below {best}"
            out[kind] = f"{figures} on the units of the first {folds} folds, so it was searched no further"
    return out

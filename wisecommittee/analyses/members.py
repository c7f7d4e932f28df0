"""The most accurate committees of up to 2, 3, 4 members over target costs (Wang et al. 2022, Fig. 7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from wisecommittee.analyses.match import Shown, show
from wisecommittee.analyses.study import Study
from wisecommittee.errors import AbsentError, option

TARGETS = 12


@dataclass(frozen=True, slots=True)
class MemberCurves:
    """targets : average costs; curves : {largest number of members: the committee chosen for each target}, where 1
    means single models."""

    targets: tuple[float, ...]
    curves: Mapping[int, tuple[Shown, ...]]


def members(study: Study) -> MemberCurves:
    """Targets run from the cheapest to the dearest single model, evenly in the logarithm."""
    if len(study.cards()) < 2 or study.max_models < 2:
        raise AbsentError(
            f"a committee needs two members: extract or import more models, or raise {option('max_models')}"
        )
    costs = [e.average_cost for e in study.search(max_models=1).singles]
    low, high = min(costs), max(costs)
    targets = np.geomspace(low, high, TARGETS) if low > 0 else np.linspace(low, high, TARGETS)
    targets[0], targets[-1] = low, high
    exact = tuple(dict.fromkeys(map(float, targets)))
    curves = {}
    for most in range(1, min(study.max_models, len(study.cards())) + 1):
        frontier = study.search(max_models=most)
        curves[most] = tuple(show(study, [frontier.within(average_cost=target) for target in exact]))
    return MemberCurves(exact, curves)

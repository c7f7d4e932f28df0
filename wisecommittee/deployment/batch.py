"""Units on their way through a deployed committee, and what is known of them before any model runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.confidence import CONFIDENCES
from wisecommittee.committees.policies.mixing import Mixing
from wisecommittee.committees.policy import Route, State
from wisecommittee.deployment.outputs import Rows
from wisecommittee.deployment.units import Units
from wisecommittee.errors import UsageError
from wisecommittee.store.feature_table import as_feature

if TYPE_CHECKING:
    from wisecommittee.deployment.deployed import Deployed


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of units before any model runs. unit_ids : text [n]; features : {column: float64 or text [n]}."""

    unit_ids: NDArray[np.str_] | None
    features: Mapping[str, NDArray[np.generic]]

    @classmethod
    def of(
        cls, committee: Committee, unit_ids: Sequence[str] | None, features: Mapping[str, Any] | None, units: int
    ) -> Known:
        """Those of a call for n units; None where the committee's policy does not read them.

        Raises
        ------
        UsageError
            The policy decides by unit ids or features, and there are not n of them.
        """
        needs = frozenset().union(*(part.policy.needs for part in committee.parts), committee.policy.needs)
        ids, columns = None, dict[str, NDArray[np.generic]]()
        if "unit_ids" in needs:
            if unit_ids is None or len(unit_ids) != units:
                count = "none" if unit_ids is None else f"{len(unit_ids):,}"
                raise UsageError(
                    f"{committee.label()}: the policy {committee.policy.kind!r} decides by unit ids; {count} for "
                    f"{units:,} units, give one for each"
                )
            ids = np.array(unit_ids, np.str_)
        if "features" in needs:
            if not features:
                raise UsageError(
                    f"{committee.label()}: its policy decides by features; give them, features={{column: a value for "
                    f"each unit}}"
                )
            columns = {name: as_feature(name, values) for name, values in features.items()}
        for name, values in columns.items():
            if values.shape != (units,):
                raise UsageError(f"feature {name!r}: shape {list(values.shape)} for {units:,} units; expected one each")
        return cls(ids, columns)

    def only(self, rows: NDArray[np.int64]) -> Known:
        unit_ids = None if self.unit_ids is None else self.unit_ids[rows]
        return Known(unit_ids, {name: values[rows] for name, values in self.features.items()})


@dataclass(slots=True)
class DeployedBatch:
    """Units that have run the same stages of a deployed committee: a UnitBatch of committees/walk.py.

    index : int64 [n] among all units; rows : {member: float32 [n, C] summands} of the members that have run, in the
    order in which they ran; prediction : int32 [n] after the newest stage; scores : float32 [n] after each stage.
    """

    deployed: Deployed
    committee: Committee
    index: NDArray[np.int64]
    units: Units
    known: Known
    rows: dict[str, Rows] = field(default_factory=dict)
    prediction: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    scores: list[NDArray[np.float32]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.index)

    def run(self, route: Route, stage: int) -> State:
        deployed, committee, needs = self.deployed, self.committee, self.committee.policy.needs
        if route:
            self.rows |= {name: deployed.summands(name, self.units) for name in committee.stages[stage]}
            self.prediction, score = deployed.combination.judge(self.rows)
            self.scores = [*self.scores, score]
        alone: dict[str, tuple[NDArray[np.int32], NDArray[np.float32]]] = {}
        ran = {name: self.rows[name] for k in route for name in committee.stages[k]}
        if needs & {"members", "member_scores"}:
            alone = {name: deployed.combination.judge({name: rows}) for name, rows in ran.items()}
        return State(
            route,
            len(committee.stages),
            np.array(self.scores, np.float32).reshape(len(route), len(self)),
            CONFIDENCES[committee.confidence].scale,
            self.prediction if "prediction" in needs else None,
            {name: prediction for name, (prediction, _) in alone.items()} if "members" in needs else {},
            {name: score for name, (_, score) in alone.items()} if "member_scores" in needs else {},
            deployed.combination.log_probabilities(ran) if "outputs" in needs else {},
            self.known.unit_ids,
            self.known.features,
        )

    def of_part(self, number: int) -> tuple[DeployedBatch, NDArray[np.int64]]:
        policy = self.committee.policy
        assert isinstance(policy, Mixing)
        assert self.known.unit_ids is not None
        part = DeployedBatch(self.deployed, policy.parts[number], self.index, self.units, self.known)
        return part, np.flatnonzero(policy.drawn(self.known.unit_ids) == number)

    def only(self, rows: NDArray[np.int64]) -> DeployedBatch:
        return DeployedBatch(
            self.deployed,
            self.committee,
            self.index[rows],
            self.units.only(rows),
            self.known.only(rows),
            {name: summands[rows] for name, summands in self.rows.items()},
            self.prediction[rows] if self.scores else self.prediction,
            [score[rows] for score in self.scores],
        )

"""What is known of units before any model runs."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.committee import Committee
from wisecommittee.errors import UsageError


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
            There are not n unit ids or n values of a feature; or there are none, and the policy decides by them.
        """
        if unit_ids is not None and len(unit_ids) != units:
            raise UsageError(f"{len(unit_ids):,} unit ids for {units:,} units; expected one each")
        for name, values in (features or {}).items():
            if (shape := np.shape(values)) != (units,):
                raise UsageError(f"feature {name!r}: shape {list(shape)} for {units:,} units; expected one each")
        needs = frozenset().union(*(part.policy.needs for part in committee.parts), committee.policy.needs)
        ids, columns = None, dict[str, NDArray[np.generic]]()
        if "unit_ids" in needs:
            if unit_ids is None:
                raise UsageError(
                    f"{committee.label()}: the policy {committee.policy.kind!r} decides by unit ids; none for "
                    f"{units:,} units, give one for each"
                )
            ids = np.array(unit_ids, np.str_)
        if "features" in needs:
            if not features:
                raise UsageError(
                    f"{committee.label()}: its policy decides by features; give them, features={{column: a value for "
                    f"each unit}}"
                )
            from wisecommittee.committees.policies.feature_terms import as_feature

            columns = {name: as_feature(name, values) for name, values in features.items()}
        return cls(ids, columns)

    def only(self, rows: NDArray[np.int64]) -> Known:
        unit_ids = None if self.unit_ids is None else self.unit_ids[rows]
        return Known(unit_ids, {name: values[rows] for name, values in self.features.items()})

    @property
    def form(self) -> Hashable:
        """Equal for those that can be joined."""
        return self.unit_ids is None, tuple((name, values.dtype.kind) for name, values in sorted(self.features.items()))

    @classmethod
    def joined(cls, parts: Sequence[Known]) -> Known:
        """Of the units of all parts, in their order."""
        ids = [part.unit_ids for part in parts if part.unit_ids is not None]
        columns = {name: np.concatenate([part.features[name] for part in parts]) for name in parts[0].features}
        return cls(np.concatenate(ids) if ids else None, columns)

"""What a committee is chosen for. A new kind of target is a line of TARGETS: its check and how a frontier meets it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from wisecommittee.committees.cost import exactly
from wisecommittee.errors import UnknownNameError, UsageError, option
from wisecommittee.option_checks import amount, share, text, texts
from wisecommittee.options import Check

Value = float | str | tuple[str, ...]


def _members(name: str, value: Any) -> tuple[str, ...]:
    members = texts(name, value)
    if len(set(members)) < max(2, len(members)):
        raise UsageError(
            f"{option(name)} {','.join(members)}; an ensemble has two different members or more; name all of them, as "
            f"{option(name, placeholder='A,B')}"
        )
    return members


TARGETS: dict[str, Check] = {
    "target_flops": amount,
    "target_cost": amount,
    "target_usd_per_1k": amount,
    "target_accuracy": share,
    "match": text,
    "match_ensemble": _members,
}

UNITS = {"target_flops": "flops", "target_usd_per_1k": "usd"}  # the cost that a target is in


@dataclass(frozen=True, slots=True)
class Target:
    """One figure that the chosen committee must meet.

    Parameters
    ----------
    kind
        'target_flops', 'target_cost' or 'target_usd_per_1k': the most that it may cost, over the axis of the frontier;
        the last is in dollars for 1,000 units, of the cost usd. 'target_accuracy':
        its least quality, from 0 to 1; 'match': as accurate as this model; 'match_ensemble': the cheapest committee of
        these members, in any order, as accurate as all of them together (Wang et al. 2022, Sec. 4.2).
    value
        The number, the model's name, or the names of the members.

    Raises
    ------
    UsageError
        The value does not fit the kind.
    """

    kind: str
    value: Value

    def __post_init__(self) -> None:
        if self.kind not in TARGETS:
            raise UnknownNameError("target", self.kind, TARGETS)
        object.__setattr__(self, "value", TARGETS[self.kind](self.kind, self.value))

    @classmethod
    def one_of(cls, **targets: Any) -> Target | None:
        """The one target whose value is not None; None if all are None.

        Raises
        ------
        UsageError
            More than one is given.
        """
        given = {name: value for name, value in targets.items() if value is not None}
        if len(given) > 1:
            raise UsageError(
                f"{' and '.join(map(option, given))}: choose one target; the worst case can be limited beside it with "
                f"{option('max_worst_flops')}"
            )
        return next((cls(name, value) for name, value in given.items()), None)

    @property
    def budget(self) -> float | None:
        """The most that the committee may cost, in units of the cost; None for another kind of target."""
        if self.kind == "target_usd_per_1k":
            return float(exactly(amount(self.kind, self.value)) / 1000)
        return amount(self.kind, self.value) if self.kind in UNITS or self.kind == "target_cost" else None

    def require_unit(self, cost: str) -> None:
        """A target in FLOPs needs a search whose cost is FLOPs, one in dollars a search whose cost is usd."""
        if cost != UNITS.get(self.kind, cost):
            raise UsageError(
                f"{option(self.kind)}, and the cost is {cost}; give the target in that unit with "
                f"{option('target_cost')}, or search with {option('cost', UNITS[self.kind])}"
            )

    def to_json(self) -> dict[str, Any]:
        """{kind: value}, as it stands in the query of `search --json`."""
        return {self.kind: list(self.value) if isinstance(self.value, tuple) else self.value}

"""Calls of a member, repeated where they fail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import ContentError, MemberError, WiseCommitteeError
from wisecommittee.runtime.checks import checked, unusable
from wisecommittee.runtime.members import Member
from wisecommittee.runtime.outputs import Outputs, of_one
from wisecommittee.runtime.ran import Costs, both

LASTING = (WiseCommitteeError, TypeError, AttributeError, NameError, NotImplementedError)  # raised again if repeated


class Reply(NamedTuple):
    """What some units of a batch got from a member: outputs or an error. rows : int64 [m], positions in the batch;
    outputs : of the m units, checked; costs : what failed calls have cost each of them."""

    rows: NDArray[np.int64]
    outputs: Outputs | None
    error: Exception | None
    costs: Costs


class Attempts:
    """The calls of a member for the same units, until their outputs can be used or no further call is worth while.

    Parameters
    ----------
    name : str
    member : Member
    rows : int64 [m]
        Positions of the units in their batch.
    """

    def __init__(self, name: str, member: Member, rows: NDArray[np.int64]) -> None:
        self.name, self.member, self.rows, self.failures = name, member, rows, 0
        self.spent: dict[str, NDArray[np.float64]] = {}

    def accepted(self, given: Any) -> list[Reply]:
        """The replies from what a call returned, one of the units whose outputs are finite, one of the others;
        ContentError if it is not of the right form."""
        units = len(self.rows)
        try:
            outputs = checked(self.name, of_one(given) if self.member.each else given, units)
        except ContentError:
            self._pay(getattr(given, "costs", {}))
            raise
        wrong, problem = unusable(self.name, outputs)
        if problem is None:
            return [Reply(self.rows, outputs, None, self.spent)]
        right, lost = np.flatnonzero(~wrong), np.flatnonzero(wrong)
        costs = {name: values[lost] for name, values in outputs.costs.items()}
        costs = both(costs, {name: values[lost] for name, values in self.spent.items()})
        failed = Reply(self.rows[lost], None, problem, costs)
        if not len(right):
            return [failed]
        spent = {name: values[right] for name, values in self.spent.items()}
        return [Reply(self.rows[right], outputs.only(right), None, spent), failed]

    def refused(self, error: Exception) -> float | None:
        """Seconds until the call is repeated after an error; None if it is not."""
        self._pay(getattr(error, "costs", {}))
        self.failures += 1
        if isinstance(error, LASTING) or self.failures > self.member.retries:
            return None
        return self.member.pause(self.failures)

    def given_up(self, error: Exception) -> Reply:
        """The reply where no further call is made."""
        if not isinstance(error, WiseCommitteeError):
            said = f"calling it raised {type(error).__name__}: {error}"
            if isinstance(error, TimeOut):
                said = f"no answer within {self.member.timeout:g} s"
            calls = f", in {self.failures} calls" if self.failures > 1 else ""
            failure = MemberError(f"{self.name}: {said}{calls}")
            failure.__cause__ = error
            error = failure
        return Reply(self.rows, None, error, self.spent)

    def _pay(self, costs: Any) -> None:
        """Share what a failed call has cost among its units: numbers, or arrays of numbers that are added up."""
        if isinstance(costs, Mapping):
            for name, value in costs.items():
                share = float(np.sum(value)) / len(self.rows)
                self.spent[name] = self.spent.get(name, np.zeros(len(self.rows))) + share


class TimeOut(TimeoutError):
    """A call took longer than the time-out of its member."""

"""A committee that is ready to be served: its runtime, the inputs that it takes, and what units cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wisecommittee.committees.committee import Committee
from wisecommittee.runtime.runtime import Runtime
from wisecommittee.serving.charges import Charges
from wisecommittee.serving.takes import Takes


@dataclass(frozen=True, slots=True)
class Served:
    """A committee that is ready to be served.

    Parameters
    ----------
    runtime : Runtime
    takes : Takes
    charges : Charges
    """

    runtime: Runtime
    takes: Takes
    charges: Charges

    @property
    def committee(self) -> Committee:
        return self.runtime.committee

    @classmethod
    def of_runtime(cls, runtime: Runtime, shape: Sequence[int]) -> Served:
        """A runtime whose members take float32 [n, *shape]."""
        return cls(runtime, Takes(tuple(shape)), Charges(runtime.committee))

    def warm_up(self, batch: int) -> None:
        """Run every member on one unit, and on a batch; coroutine functions, which call others, are not run."""
        for units in (1, batch):
            inputs = self.runtime.units(self.takes.example(units))
            for name in self.committee.models:
                if not self.runtime.members[name].is_coroutine:
                    self.runtime.outputs(name, inputs)

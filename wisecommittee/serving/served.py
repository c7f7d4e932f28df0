"""A committee that is ready to be served: its runtime, and the inputs that it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wisecommittee.committees.committee import Committee
from wisecommittee.runtime.runtime import Runtime
from wisecommittee.serving.takes import Takes


@dataclass(frozen=True, slots=True)
class Served:
    """A committee that is ready to be served.

    Parameters
    ----------
    runtime : Runtime
    takes : Takes
    """

    runtime: Runtime
    takes: Takes

    @property
    def committee(self) -> Committee:
        return self.runtime.committee

    @classmethod
    def of_runtime(cls, runtime: Runtime, shape: Sequence[int]) -> Served:
        """A runtime whose members take float32 [n, *shape]."""
        return cls(runtime, Takes(tuple(shape)))

    def warm_up(self, batch: int) -> None:
        """Run every member on one unit, and on a batch; but no coroutine functions, which call services."""
        for units in (1, batch):
            inputs = self.runtime.units(self.takes.example(units))
            for name in self.committee.models:
                if not self.runtime.members[name].is_coroutine:
                    self.runtime.outputs(name, inputs)

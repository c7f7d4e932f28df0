"""What members have given for units, and how the units of several batches are put together."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]  # [n, C]
Costs = Mapping[str, NDArray[np.float64]]  # {name: [n]}


def both(one: Costs, other: Costs) -> dict[str, NDArray[np.float64]]:
    """The sum of two costs of n units; a cost that is missing is 0."""
    out = dict(one)
    for name, values in other.items():
        out[name] = out[name] + values if name in out else values
    return out


@dataclass(frozen=True, slots=True)
class Ran:
    """What a member has given for n units; neither rows nor answers if it failed.

    Parameters
    ----------
    rows : float32 [n, C] or None
        Its summands; None for answers.
    answers : text [n] or None
        In the form by which they are compared.
    score : float32 [n] or None
        The stored score that is the committee's confidence.
    costs : {name: float64 [n]}
        What the units have cost.
    given : int64 or text [n], or None
        The answers as the member gave them.
    """

    rows: Rows | None = None
    answers: NDArray[np.generic] | None = None
    score: NDArray[np.float32] | None = None
    costs: Costs = field(default_factory=dict)
    given: NDArray[np.generic] | None = None

    @property
    def failed(self) -> bool:
        """Whether the member failed for these units."""
        return self.rows is None and self.answers is None

    def with_costs(self, more: Costs) -> Self:
        """With what the units have cost beside."""
        return replace(self, costs=both(self.costs, more)) if more else self

    def only(self, at: NDArray[np.int64]) -> Self:
        """Of the units at these positions."""
        return replace(
            self,
            rows=None if self.rows is None else self.rows[at],
            answers=None if self.answers is None else self.answers[at],
            score=None if self.score is None else self.score[at],
            costs={name: values[at] for name, values in self.costs.items()},
            given=None if self.given is None else self.given[at],
        )

    @classmethod
    def joined(cls, parts: Sequence[Ran], sizes: Sequence[int]) -> Ran:
        """Of the units of all parts, which have the same form; sizes : units of each part."""
        if len(parts) == 1:
            return parts[0]
        costs = dict.fromkeys(cost for part in parts for cost in part.costs)
        rows, answers, score, given = (
            None if getattr(parts[0], name) is None else np.concatenate([getattr(part, name) for part in parts])
            for name in ("rows", "answers", "score", "given")
        )
        paid = {
            cost: np.concatenate([p.costs.get(cost, np.zeros(size)) for p, size in zip(parts, sizes, strict=True)])
            for cost in costs
        }
        return cls(rows, answers, score, paid, given)

    @property
    def form(self) -> Hashable:
        """Equal for those that can be joined."""
        rows, answers = self.rows, self.answers
        return None if rows is None else rows.shape[1], None if answers is None else answers.dtype.kind


class Judged(NamedTuple):
    """prediction : integer class or text [n]; score : float32 [n] confidence as it is carried, 0 without one."""

    prediction: NDArray[np.generic]
    score: NDArray[np.float32]

    def only(self, at: NDArray[np.int64]) -> Judged:
        return Judged(self.prediction[at], self.score[at])

    @classmethod
    def joined(cls, parts: Sequence[Judged]) -> Judged:
        return cls(np.concatenate([part.prediction for part in parts]), np.concatenate([part.score for part in parts]))

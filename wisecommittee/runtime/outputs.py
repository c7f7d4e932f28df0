"""What members return, for a batch or for one unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import ContentError


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a callable returns for n units, with scores or costs beside its rows or answers.

    A callable that gets one unit at a time (`Member(.., each=True)`) gives float [C], one answer, and one number for
    each score and cost.

    Parameters
    ----------
    rows : float [n, C], optional
        Logits or probabilities, as the store holds them of this model. Either `rows` or `answers` is given.
    answers : text or int [n], optional
        Texts or class numbers.
    scores : {name: float [n]}
        Scores of this model by their names in the store. A committee that exits by a stored score needs that one.
    costs : {name: float [n]}
        What each unit has cost, such as {"usd": [..]}. The committee's cost replaces what committee.json says of this
        model; other costs are added up in `Decisions.costs`.

    Examples
    --------
    >>> said = Outputs(answers=["yes", "no"], scores={"confidence": [0.9, 0.4]}, costs={"usd": [0.002, 0.003]})
    """

    rows: Any = None
    answers: Any = None
    scores: Mapping[str, Any] = field(default_factory=dict)
    costs: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        """The number of units; of outputs that a runtime has checked."""
        return len(self.answers if self.rows is None else self.rows)

    def only(self, at: NDArray[np.int64]) -> Outputs:
        """The outputs of the units at these positions; of outputs that a runtime has checked."""
        return Outputs(
            None if self.rows is None else self.rows[at],
            None if self.answers is None else self.answers[at],
            {key: values[at] for key, values in self.scores.items()},
            {key: values[at] for key, values in self.costs.items()},
        )


def of_one(given: Any) -> Outputs:
    """What a member returned for a single unit, as outputs for one unit."""
    if not isinstance(given, Outputs):
        value = plain(given)
        given = Outputs(answers=value) if isinstance(value, str) or np.ndim(value) == 0 else Outputs(rows=value)
    return Outputs(
        None if given.rows is None else np.asarray(plain(given.rows))[None],
        None if given.answers is None else [given.answers],
        {key: [value] for key, value in given.scores.items()},
        {key: [value] for key, value in given.costs.items()},
    )


def joined(parts: Sequence[Outputs]) -> Outputs:
    """Checked outputs of all units, from those of successive parts; ContentError if their forms differ."""
    first = parts[0]
    for part in parts:
        if (part.rows is None) != (first.rows is None) or {*part.scores} != {*first.scores}:
            raise ContentError("a member gave outputs of another form in a later call; expected the same in each")
        if part.rows is not None and part.rows.shape[1] != first.rows.shape[1]:
            raise ContentError(
                f"a member gave {part.rows.shape[1]} classes after {first.rows.shape[1]} in another call; expected the "
                f"same in each"
            )
    costs = dict.fromkeys(cost for part in parts for cost in part.costs)
    return Outputs(
        None if first.rows is None else np.concatenate([part.rows for part in parts]),
        None if first.answers is None else np.concatenate([part.answers for part in parts]),
        {key: np.concatenate([part.scores[key] for part in parts]) for key in first.scores},
        {key: np.concatenate([part.costs.get(key, np.zeros(len(part))) for part in parts]) for key in costs},
    )


def plain(values: Any) -> Any:
    """An array of a tensor, which may be on a device and carry a gradient; all else unchanged."""
    if hasattr(values, "detach"):
        values = values.detach().float().cpu().numpy()
    return values

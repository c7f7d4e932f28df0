"""The replies of the members of a stage, put together, and the units divided by the members that failed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import CommitteeError, ContentError, MemberError, UsageError, counted
from wisecommittee.runtime.attempts import Reply
from wisecommittee.runtime.batch import RuntimeBatch
from wisecommittee.runtime.ran import Ran, both


@dataclass(frozen=True, slots=True)
class Given:
    """What a member gave for the n units of a batch.

    Parameters
    ----------
    ran : Ran or None
        Of the m units for which it did not fail.
    at : int64 [n]
        Position of each unit among the m; -1 where the member failed.
    costs : {name: float64 [n]}
        What its calls have cost where it failed.
    failures : tuple of Reply
        Those with an error.
    """

    ran: Ran | None
    at: NDArray[np.int64]
    costs: Mapping[str, NDArray[np.float64]]
    failures: tuple[Reply, ...]

    def of(self, rows: NDArray[np.int64]) -> Ran:
        """For units at these positions, for all of which the member failed, or for none."""
        if self.ran is None or (len(rows) and self.at[rows[0]] < 0):
            return Ran(costs={name: values[rows] for name, values in self.costs.items()})
        at = self.at[rows]
        return self.ran if np.array_equal(at, np.arange(len(self.at))) else self.ran.only(at)


def given(name: str, replies: Iterable[Reply], batch: RuntimeBatch, before: Mapping[str, Given]) -> Given:
    """From the replies of a member for the units of a batch. before : those of other members of the stage.

    Raises
    ------
    CommitteeError
        It gave outputs of another kind than the committee was chosen on.
    """
    combination, units = batch.runtime.combination, len(batch)
    others = {**batch.ran, **{other: each.ran for other, each in before.items() if each.ran is not None}}
    failures, answered = list[Reply](), list[tuple[NDArray[np.int64], Ran]]()
    for reply in replies:
        if reply.outputs is None:
            failures.append(reply)
            continue
        try:
            ran = combination.ran(name, reply.outputs)
            _check_classes(name, ran, others)
            if answered and ran.form != answered[0][1].form:
                raise ContentError(f"{name}: gave outputs of another form than in another call; expected the same")
        except ContentError as error:
            failures.append(Reply(reply.rows, None, error, both(reply.costs, reply.outputs.costs)))
        else:
            answered.append((reply.rows, ran.with_costs(reply.costs)))
    at, costs = np.full(units, -1), dict[str, NDArray[np.float64]]()
    for reply in failures:
        for cost, values in reply.costs.items():
            costs.setdefault(cost, np.zeros(units))[reply.rows] += values
    if not answered:
        return Given(None, at, costs, tuple(failures))
    rows = np.concatenate([rows for rows, _ in answered])
    at[rows] = np.arange(len(rows))
    ran = Ran.joined([ran for _, ran in answered], [len(rows) for rows, _ in answered])
    return Given(ran, at, costs, tuple(failures))


def _check_classes(name: str, ran: Ran, others: Mapping[str, Ran]) -> None:
    """ContentError if a member gives another number of classes than one that has run."""
    for other, before in others.items():
        if ran.rows is not None and before.rows is not None and ran.rows.shape[1] != before.rows.shape[1]:
            raise ContentError(
                f"{name}: gave {ran.rows.shape[1]:,} classes, {other} {before.rows.shape[1]:,}; expected the same of "
                f"all members; name the classes in common"
            )


def is_endured(reply: Reply) -> bool:
    """Whether units may go on without the member: not if it does not fit the committee, or is used wrongly."""
    return not isinstance(reply.error, CommitteeError | UsageError)


def failure(reply: Reply, stage: int) -> Exception:
    """The error of a reply, with the stage (counted from 1, as for people) and the number of units."""
    error = reply.error
    assert error is not None
    if not is_endured(reply):
        return error
    named = MemberError(f"{error} (stage {stage + 1}, {counted(len(reply.rows), 'unit')})")
    named.__cause__ = error
    return named


def divided(batch: RuntimeBatch, given: Mapping[str, Given]) -> list[RuntimeBatch]:
    """The batch after a stage; several if members failed for some of its units: one for each set of failed members."""
    failed = np.array([each.at < 0 for each in given.values()])
    everyone = np.arange(len(batch))
    if not failed.any():
        batch.put({name: each.of(everyone) for name, each in given.items()})
        return [batch]
    sets, which = np.unique(failed, axis=1, return_inverse=True)
    parts = []
    for number in range(sets.shape[1]):
        rows = np.flatnonzero(which.ravel() == number)
        part = batch.only(rows)
        part.put({name: each.of(rows) for name, each in given.items()})
        parts.append(part)
    return parts

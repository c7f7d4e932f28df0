"""Runs a committee on real inputs: every stage on the units that have not exited (Wang et al. 2022, Algorithm 1)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.combine import combine_named
from wisecommittee.committees.committee import Committee
from wisecommittee.committees.confidence import CONFIDENCES
from wisecommittee.committees.walk import walk
from wisecommittee.errors import UnknownNameError, UsageError
from wisecommittee.runtime.batch import RuntimeBatch
from wisecommittee.runtime.combination import Combination, Ran
from wisecommittee.runtime.decisions import Decisions
from wisecommittee.runtime.gathering import Gathering
from wisecommittee.runtime.known import Known
from wisecommittee.runtime.members import Member, Outputs
from wisecommittee.runtime.membership import Membership
from wisecommittee.runtime.rows import count


class Runtime:
    """A committee whose members are callables.

    Parameters
    ----------
    committee : Committee or path
        A path is the path of a committee.json.
    members : {model: callable, Member or scikit-learn estimator}
        Every member. A callable takes the inputs of n units, a part of what the runtime is called with, and returns
        float [n, C] as they were stored (logits or probabilities), n answers, or `Outputs`.
    batch_size : int
        Most units in a call of a member.
    classes : sequence of str, optional
        Names of the classes.

    Raises
    ------
    UnknownNameError
        `members` names a model that is not in the committee.
    UsageError
        A member is missing or cannot be called, or the batch size is below 1.
    CommitteeError
        The committee cannot run: its members' outputs are counts of pixels.

    Examples
    --------
    >>> from wisecommittee.committees.policies.thresholds import Thresholds
    >>> committee = Committee((("small",), ("large",)), Thresholds((0.9,)))
    >>> run = Runtime(committee, {"small": lambda x: 2 * x, "large": lambda x: 9 * x})
    >>> run(np.array([[1.0, 0.0], [0.0, 3.0]])).stage.tolist()
    [1, 0]
    """

    def __init__(
        self,
        committee: Committee | str | os.PathLike[str],
        members: Mapping[str, Any],
        *,
        batch_size: int = 256,
        classes: Sequence[str] | None = None,
    ) -> None:
        if batch_size < 1:
            raise UsageError(f"batch size {batch_size}: expected at least 1")
        self.committee = committee if isinstance(committee, Committee) else Committee.load(committee)
        names = self.committee.models
        if unknown := [name for name in members if name not in names]:
            raise UnknownNameError("member", unknown[0], names)
        if missing := [name for name in names if name not in members]:
            raise UsageError(f"{self.committee.label()}: no callable for {', '.join(missing)}; name one for each")
        self.batch_size, self.classes = batch_size, None if classes is None else tuple(classes)
        memberships = {name: self._membership(name, members[name]) for name in names}
        confidence = CONFIDENCES.get(self.committee.confidence, self.committee.confidence)
        self.combination = Combination(combine_named(self.committee.combine), confidence, memberships)
        self.members = {name: Member.of(name, members[name], memberships[name].kind) for name in names}

    def __call__(
        self,
        inputs: Any,
        unit_ids: Sequence[str] | None = None,
        features: Mapping[str, Sequence[Any] | NDArray[Any]] | None = None,
    ) -> Decisions:
        """Run the committee: every stage on the units that the policy sends to it (committees/walk.py).

        Parameters
        ----------
        inputs : n units
            A list, an array [n, ..], a tensor, a sparse matrix or a table of n rows.
        unit_ids : text [n], optional
            Needed only if the policy decides by unit ids.
        features : {column: [n]}, optional
            What is known of the units before any model runs: numbers, or text of categories. Needed only if the policy
            decides by features.

        Returns
        -------
        Decisions

        Raises
        ------
        UsageError
            The policy decides by unit ids or features, and there are not n of them.
        CommitteeError
            A member gives outputs of another kind than the committee was chosen on.
        ContentError
            A member gives another number of outputs than it got units, or numbers that are not finite.
        """
        n = count(inputs)
        known = Known.of(self.committee, unit_ids, features, n)
        gathering = Gathering(self.committee, self.combination, n)
        for exits in walk(self.committee, RuntimeBatch(self, self.committee, np.arange(n), inputs, known)):
            gathering.put(exits)
        return gathering.decisions(self.classes)

    def outputs(self, name: str, inputs: Any) -> Outputs:
        """The checked outputs of a member for these units."""
        return self.members[name](name, inputs, self.batch_size)

    def ran(self, name: str, inputs: Any) -> Ran:
        """What is kept of the outputs of a member for these units."""
        return self.combination.ran(name, self.outputs(name, inputs))

    def _membership(self, name: str, given: Any) -> Membership:
        """How the outputs of a member enter the committee."""
        membership = Membership.of(name, self.committee)
        if not isinstance(given, Member):
            return membership
        columns = None if given.columns is None else np.array(given.columns, np.int64)
        return replace(membership, columns=columns, softmax=given.softmax)

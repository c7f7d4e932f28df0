"""Runs a committee on real inputs: every stage on the units that have not exited (Wang et al. 2022, Algorithm 1)."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.combine import combine_named
from wisecommittee.committees.committee import Committee
from wisecommittee.committees.confidence import CONFIDENCES
from wisecommittee.committees.walk import entering
from wisecommittee.errors import UnknownNameError, UsageError
from wisecommittee.runtime.batch import RuntimeBatch
from wisecommittee.runtime.calls import call, ran
from wisecommittee.runtime.charges import Charges
from wisecommittee.runtime.combination import Combination
from wisecommittee.runtime.decisions import Decisions
from wisecommittee.runtime.escalation import decided
from wisecommittee.runtime.gathering import Gathering
from wisecommittee.runtime.known import Known
from wisecommittee.runtime.members import Member
from wisecommittee.runtime.membership import Membership
from wisecommittee.runtime.outputs import Outputs, joined
from wisecommittee.runtime.rows import count

ON_FAILURE = ("raise", "escalate")


class Runtime:
    """Runs a committee on real inputs, with a callable for each of its models.

    Each stage runs on the units that have not exited before it. Predictions, stages and costs are those that `evaluate`
    reports for the same outputs.

    Parameters
    ----------
    committee : Committee or path
        A path is the path of a committee.json.
    members : {model: callable, Member or scikit-learn estimator}
        One for each model of the committee. A callable takes the inputs of n units (a slice or selection of what the
        runtime is called with) and returns what the store holds of the model: logits or probabilities [n, C], or n
        answers; or `Outputs`, which can also carry scores and costs. A `Member` adds time-outs, retries and the like.
    batch_size : int
        Most units in one call of a member.
    classes : sequence of str, optional
        Names of the C classes, in the order of the columns.
    on_failure : str
        What happens to units for which a member fails. A member fails if its call raises (after its retries), takes
        longer than its time-out, or returns outputs of the wrong shape or with numbers that are not finite. 'raise': a
        MemberError is raised. 'escalate': these units run the next stage; they are charged for the failed call, the
        combination leaves the failed member out, and `Decisions.failed` names the stage. Outputs of another kind than
        the committee was chosen on (probabilities in place of logits) raise in both cases.

    Raises
    ------
    UnknownNameError
        `members` names a model that is not in the committee.
    UsageError
        A model has no callable, a value of `members` cannot be called, or the batch size is below 1.
    CommitteeError
        The committee cannot run on inputs: the outputs of its members are counts of pixels.

    Examples
    --------
    >>> from wisecommittee.committees.policies.thresholds import Thresholds
    >>> committee = Committee((("small",), ("large",)), Thresholds((0.9,)))
    >>> run = Runtime(committee, {"small": lambda x: 2 * x, "large": lambda x: 9 * x})
    >>> run(np.array([[1.0, 0.0], [0.0, 3.0]])).stage.tolist()
    [1, 0]
    """

    preprocesses: ClassVar[bool] = False  # whether `inputs_of` computes

    def __init__(
        self,
        committee: Committee | str | os.PathLike[str],
        members: Mapping[str, Any],
        *,
        batch_size: int = 256,
        classes: Sequence[str] | None = None,
        on_failure: str = "raise",
    ) -> None:
        if batch_size < 1:
            raise UsageError(f"batch size {batch_size}: expected at least 1")
        if on_failure not in ON_FAILURE:
            raise UnknownNameError("value of on_failure", on_failure, ON_FAILURE)
        self.committee = committee if isinstance(committee, Committee) else Committee.load(committee)
        names = self.committee.models
        if unknown := [name for name in members if name not in names]:
            raise UnknownNameError("member", unknown[0], names)
        if missing := [name for name in names if name not in members]:
            raise UsageError(f"{self.committee.label()}: no callable for {', '.join(missing)}; name one for each")
        self.batch_size, self.classes = batch_size, None if classes is None else tuple(classes)
        self.charges = Charges.of(self.committee)
        self.escalates = on_failure == "escalate"
        memberships = {name: self._membership(name, members[name]) for name in names}
        confidence = CONFIDENCES.get(self.committee.confidence, self.committee.confidence)
        form = _form(self.committee) if any(each.kind == "answers" for each in memberships.values()) else str
        self.combination = Combination(combine_named(self.committee.combine), confidence, memberships, form)
        self.members = {name: Member.of(name, members[name], memberships[name].kind) for name in names}

    def __call__(
        self,
        inputs: Any,
        unit_ids: Sequence[str] | None = None,
        features: Mapping[str, Sequence[Any] | NDArray[Any]] | None = None,
    ) -> Decisions:
        """Decide n units: run each stage on the units that the policy sends to it.

        Parameters
        ----------
        inputs : n units
            A list, an array [n, ..], a tensor, a sparse matrix or a table of n rows.
        unit_ids : text [n], optional
            Needed only by policies that decide by unit ids (mixtures).
        features : {column: [n]}, optional
            What is known of the units before any model runs: numbers, or categories as text. Needed only by policies
            that decide by features (routers).

        Returns
        -------
        Decisions

        Raises
        ------
        UsageError
            The policy decides by unit ids or features, and they are missing or not n; or a member is a coroutine
            function (await `decide`).
        CommitteeError
            A member gives outputs of another kind than the committee was chosen on.
        MemberError
            A member fails, and `on_failure` is 'raise'.
        """
        inputs = self.units(inputs)
        n = count(inputs)
        known = Known.of(self.committee, unit_ids, features, n)
        gathering = Gathering(self.charges, self.combination, n)
        waiting = entering(self.committee, RuntimeBatch(self, self.committee, np.arange(n), inputs, known))
        while waiting:
            for group in ran(self, waiting.pop()):
                exits, ahead = decided(group)
                waiting += ahead
                if exits is not None:
                    gathering.put(exits)
        return gathering.decisions(self.classes)

    async def decide(
        self,
        inputs: Any,
        unit_ids: Sequence[str] | None = None,
        features: Mapping[str, Sequence[Any] | NDArray[Any]] | None = None,
    ) -> Decisions:
        """Decide n units, as a call does, without blocking the event loop.

        Coroutine functions are awaited and other callables run in threads; the members of a stage run at the same time.
        `Queues` decides many requests at once.

        Parameters, Returns, Raises
        ---------------------------
        As for a call.
        """
        from wisecommittee.runtime.queues import Queues

        inputs = self.units(inputs)
        most = max(1, count(inputs))
        async with Queues(self, max_batch=self.batch_size, max_wait_ms=math.inf, max_waiting=most) as queues:
            return await queues.decide(inputs, unit_ids, features)

    def units(self, inputs: Any) -> Any:
        """The inputs of a call in the form that batches hold; inputs in that form are returned unchanged."""
        return inputs

    def inputs_of(self, name: str, inputs: Any) -> Any:
        """The inputs of a batch, prepared for a member."""
        return inputs

    def outputs(self, name: str, inputs: Any) -> Outputs:
        """The outputs of a member for these inputs, checked; MemberError if the member fails."""
        replies = call(name, self.members[name], self.inputs_of(name, inputs), self.batch_size)
        for reply in replies:
            if reply.error is not None:
                raise reply.error
        return joined([reply.outputs for reply in replies if reply.outputs is not None])

    def _membership(self, name: str, given: Any) -> Membership:
        """How the outputs of a member enter the committee."""
        membership = Membership.of(name, self.committee)
        return membership.used_as(given) if isinstance(given, Member) else membership


def _form(committee: Committee) -> Callable[[str], str]:
    """The form by which the committee's answers are compared."""
    from wisecommittee.tasks.text import form_named

    return form_named(committee.answer_form)

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
    on_failure : str
        What becomes of the units of a member that fails: that raises (after its retries), takes longer than its
        time-out, or gives outputs of the wrong shape or that are not finite. 'raise': a MemberError. 'escalate': they
        go on to the next stage, are charged what was spent, and the combination leaves the member out
        (runtime/escalation.py); `Decisions.failed` says which. Outputs of another kind than the committee was chosen on
        always raise.

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
        MemberError
            A member raises, takes too long, gives another number of outputs than it got units, or numbers that are not
            finite, and `on_failure` is 'raise'.
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
        """As a call, in an event loop: members that are coroutine functions are awaited, others run in threads, those
        of a stage at the same time. For many requests at once: `runtime.queues.Queues`.

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
        """The inputs of a call in the form in which batches hold them; inputs in that form unchanged."""
        return inputs

    def inputs_of(self, name: str, inputs: Any) -> Any:
        """The inputs of a batch as a member takes them."""
        return inputs

    def outputs(self, name: str, inputs: Any) -> Outputs:
        """The checked outputs of a member for these units; MemberError if it fails."""
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

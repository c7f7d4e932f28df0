"""The combination of the members that have run: prediction, confidence and probabilities."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from wisecommittee.committees.combine import Combine, normalised_logs, softmax
from wisecommittee.committees.confidence import NO_CONFIDENCE, Confidence, scale_of
from wisecommittee.committees.policy import NO_CLASS, NO_TEXT
from wisecommittee.committees.row_statistics import row_statistics
from wisecommittee.committees.scale import Scale
from wisecommittee.errors import ContentError
from wisecommittee.runtime.membership import Membership
from wisecommittee.runtime.outputs import Outputs
from wisecommittee.runtime.ran import Judged, Ran, Rows


@dataclass(frozen=True, slots=True)
class Combination:
    """Combines the members that have run.

    Parameters
    ----------
    rule : Combine
    confidence : Confidence or str
        A function of outputs, or the name of a stored score; 'none' for answers without one.
    members : {model: Membership}
    form : callable
        From the text of an answer to the one by which it is compared.
    """

    rule: Combine
    confidence: Confidence | str
    members: Mapping[str, Membership]
    form: Callable[[str], str] = str

    @property
    def scale(self) -> Scale:
        return scale_of(self.confidence)

    @property
    def no_answer(self) -> str | int:
        """In place of an answer: NO_TEXT if members answer, else NO_CLASS."""
        return NO_TEXT if all(member.kind == "answers" for member in self.members.values()) else NO_CLASS

    def ran(self, name: str, outputs: Outputs) -> Ran:
        """What is kept of the outputs of a member."""
        member, score = self.members[name], None
        if isinstance(self.confidence, str) and self.confidence != NO_CONFIDENCE:
            score = member.score(outputs, self.confidence)
        if member.kind != "answers":
            return Ran(member.summands(outputs, self.rule), None, score, outputs.costs)
        if outputs.answers is None:
            raise ContentError(
                f"{name}: gave rows of numbers; the committee was chosen on its answers, one for each unit"
            )
        compared = np.array([self.form(str(answer)) for answer in outputs.answers.tolist()], np.str_)
        return Ran(None, compared, score, outputs.costs, outputs.answers)

    def judge(self, ran: Mapping[str, Ran]) -> Judged:
        """Prediction and confidence after these members, which stand in the order in which they ran; none failed."""
        newest = ran[list(ran)[-1]]
        if newest.answers is not None:
            none = np.zeros(len(newest.answers), np.float32)
            return Judged(newest.answers, none if newest.score is None else newest.score)
        names, total = self._sum(ran)
        space = self._space(names)
        if isinstance(self.confidence, Confidence):
            prediction, statistics = row_statistics(total, len(names), space, self.confidence.needs(space))
            return Judged(prediction, self.confidence(statistics, space))
        return Judged(total.argmax(axis=1), np.zeros(len(total), np.float32) if newest.score is None else newest.score)

    def probabilities(self, ran: Mapping[str, Ran]) -> Rows:
        """float32 [n, C] of the members that have run, combined."""
        names, total = self._sum(ran)
        mean = total / np.float32(len(names))
        return softmax(mean) if self._space(names) == "logits" else mean

    def log_probabilities(self, ran: Mapping[str, Ran]) -> dict[str, Rows]:
        """float32 [n, C] of each member that has run, by itself: logarithms of its probabilities."""
        return {
            name: normalised_logs(each.rows, self._space([name])) for name, each in ran.items() if each.rows is not None
        }

    def _space(self, names: list[str]) -> str:
        return self.rule.space[self.members[names[-1]].rows_kind]

    def _sum(self, ran: Mapping[str, Ran]) -> tuple[list[str], Rows]:
        """The members whose sum decides, in the order in which they are summed, and the sum float32 [n, C]."""
        names = list(ran)[-1:] if self.rule.ordered else sorted(ran, key=lambda name: self.members[name].order)
        first, *others = (rows for name in names if (rows := ran[name].rows) is not None)
        if not others:
            return names, first
        total = first + others[0]
        for values in others[1:]:
            total += values
        return names, total

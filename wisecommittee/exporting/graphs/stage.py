"""One stage of a committee as a torch module."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from wisecommittee.committees.combine import combine_named
from wisecommittee.committees.committee import Committee
from wisecommittee.exporting.graphs.confidences import judge, shown
from wisecommittee.exporting.graphs.members import MemberGraph
from wisecommittee.exporting.graphs.seen import Decision, Seen


@dataclass(frozen=True, slots=True)
class StageNames:
    """Names of the tensors of a stage's graph, in their order.

    inputs : of units, one or several; before : `sum_before` and `votes_before`, what earlier stages gave
    """

    inputs: tuple[str, ...]
    before: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def taken(self) -> tuple[str, ...]:
        return self.inputs + self.before


class StageGraph(nn.Module):
    """Runs the members of stage k and decides.

    Takes the inputs of its members, and where the rule or the policy reads earlier stages their `sum` (float32 [n, C],
    of summands) and `votes` (int64 [n, members]). Gives

        prediction int64 [n]      the answer of units that exit here; -1 for none
        confidence float32 [n]    as it is printed
        score      float32 [n]    the same as it is carried, which the thresholds compare
        exit       bool [n]       after the last stage always true
        sum, votes                where a later stage reads them
    """

    def __init__(
        self, committee: Committee, stage: int, members: Sequence[tuple[str, MemberGraph]], decision: Decision
    ) -> None:
        super().__init__()
        self.stage, self.last = stage, stage == len(committee.stages) - 1
        self.size = sum(len(names) for names in committee.stages[: stage + 1])
        self.rule, self.confidence = combine_named(committee.combine), committee.confidence
        self.decision, self.members = decision, nn.ModuleList([graph for _, graph in members])
        inputs = tuple(dict.fromkeys(name for name, _ in members))
        self.places = [inputs.index(name) for name, _ in members]
        kept = [name for name, is_kept in (("sum", not self.rule.ordered), ("votes", decision.votes)) if is_kept]
        before = tuple(f"{name}_before" for name in kept) if stage else ()
        after = () if self.last else tuple(kept)
        self.names = StageNames(inputs, before, ("prediction", "confidence", "score", "exit", *after))

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        given = dict(zip(self.names.taken, tensors, strict=True))
        rows = self._summands(tensors)
        newest = self._graphs()[-1].membership
        if self.rule.ordered:
            total, size = rows[-1], 1
        else:
            total, size = _sum([*([given["sum_before"]] if self.stage else []), *rows]), self.size
        prediction, score = judge(total, size, self.rule.space[newest.rows_kind], self.confidence)
        votes, newest_score = self._votes(rows, given.get("votes_before"))
        seen = Seen(self.stage, prediction, score, votes, newest_score)
        exits = torch.ones_like(score, dtype=torch.bool) if self.last else self.decision.exits(seen)
        out = {
            "prediction": self.decision.answer(seen),
            "confidence": shown(score, self.confidence),
            "score": score,
            "exit": exits,
            "sum": total,
            "votes": votes,
        }
        return tuple(out[name] for name in self.names.outputs)  # type: ignore[misc]

    def _graphs(self) -> list[MemberGraph]:
        return cast(list[MemberGraph], list(self.members))

    def _summands(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Of every member of the stage; under a rule by which the newest decides alone, and without votes, only its."""
        pairs = list(zip(self._graphs(), self.places, strict=True))
        if self.rule.ordered and not self.decision.votes:
            pairs = pairs[-1:]
        return [member.summands(member(tensors[place]), self.rule) for member, place in pairs]

    def _votes(self, rows: Sequence[Tensor], before: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """The predictions of all members that have run, and the newest one's own carried confidence."""
        if not self.decision.votes:
            return None, None
        spaces = [self.rule.space[member.membership.rows_kind] for member in self._graphs()]
        alone = [judge(each, 1, space, self.confidence) for each, space in zip(rows, spaces, strict=True)]
        new = torch.stack([prediction for prediction, _ in alone], dim=1)
        return new if before is None else torch.cat([before, new], dim=1), alone[-1][1]


def _sum(rows: Sequence[Tensor]) -> Tensor:
    total = rows[0]
    for each in rows[1:]:
        total = total + each
    return total

"""Decisions of policies in torch: which units exit after a stage, and what they are answered.

May be added: a kind of policy that decides by the state of a unit after a stage, and its line in DECISIONS. All other
kinds decide in wisecommittee.runtime.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.confidence import scale_of
from wisecommittee.committees.policies.abstaining import Abstaining
from wisecommittee.committees.policies.agreement import Agreement
from wisecommittee.committees.policies.labels import Labels
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.committees.policies.window import Window
from wisecommittee.committees.policy import ALWAYS, NO_CLASS
from wisecommittee.committees.scale import LEAST
from wisecommittee.exporting.graphs.seen import Decision, Seen, carried, count_votes


class ByThresholds(Decision):
    def __init__(self, policy: Thresholds, committee: Committee) -> None:
        super().__init__(policy, committee)
        scale = scale_of(committee.confidence)
        self.levels = [carried(scale, [value], [log_odds])[0] for value, log_odds in policy.pairs]

    def exits(self, seen: Seen) -> Tensor:
        return seen.score >= self.levels[seen.stage]


class ByWindow(Decision):
    def __init__(self, policy: Window, committee: Committee) -> None:
        super().__init__(policy, committee)
        nothing = (None,) * self.last
        odds = zip(policy.low_log_odds or nothing, policy.high_log_odds or nothing, strict=True)
        scale, self.positive = scale_of(committee.confidence), policy.positive
        if self.positive is None:
            self.levels = [
                [-math.inf if low is None else low, *carried(scale, [high])] for low, high in self._sides(policy)
            ]
            return
        self.levels = [
            carried(scale, [None if low is None else 1 - low, high], [None if below is None else -below, above])
            for (low, high), (below, above) in zip(self._sides(policy), odds, strict=True)
        ]

    def _sides(self, policy: Window) -> list[tuple[float | None, float | None]]:
        return list(zip(policy.low, policy.high, strict=True))

    def exits(self, seen: Seen) -> Tensor:
        low, high = self.levels[seen.stage]
        if self.positive is None:
            return (seen.score >= high) | ((seen.score <= low) & (seen.score != LEAST))
        return torch.where(seen.prediction == self.positive, seen.score >= high, seen.score >= low)


class ByLabels(Decision):
    def __init__(self, policy: Labels, committee: Committee) -> None:
        super().__init__(policy, committee)
        scale, self.labels = scale_of(committee.confidence), list(map(int, policy.labels))
        lines = [policy.after.index(tuple(range(stage + 1))) for stage in range(self.last)]
        odds = policy.log_odds or ((),) * len(policy.after)
        self.levels = [carried(scale, policy.thresholds[line], odds[line]) for line in lines]

    def exits(self, seen: Seen) -> Tensor:
        *known, other = self.levels[seen.stage]
        threshold = torch.full_like(seen.score, other)
        for label, level in zip(self.labels, known, strict=True):
            threshold = torch.where(seen.prediction == label, level, threshold)
        return (seen.score >= threshold) & (seen.score != LEAST)


class ByAgreement(Decision):
    votes = True

    def __init__(self, policy: Agreement, committee: Committee) -> None:
        super().__init__(policy, committee)
        scale, odds = scale_of(committee.confidence), policy.log_odds or ((),) * self.last
        self.levels = [carried(scale, line, numbers) for line, numbers in zip(policy.thresholds, odds, strict=True)]
        self.best = [committee.models.index(name) for name in policy.best]

    def exits(self, seen: Seen) -> Tensor:
        assert seen.votes is not None
        assert seen.newest_score is not None
        votes = count_votes(seen.votes).amax(dim=1)
        first, *more = self.levels[seen.stage]
        threshold = torch.full_like(seen.newest_score, first)
        for number, level in enumerate(more, start=2):
            threshold = torch.where(votes == number, level, threshold)
        return (seen.newest_score >= threshold) & ((votes > 0) | (threshold != ALWAYS))

    def answer(self, seen: Seen) -> Tensor:
        assert seen.votes is not None
        order = self.best if seen.stage == self.last else list(reversed(range(seen.votes.shape[1])))
        preferred = torch.stack([seen.votes[:, place] for place in order], dim=1)
        return preferred.gather(1, count_votes(preferred).argmax(dim=1, keepdim=True))[:, 0]


class Withholding(Decision):
    """The decision of another policy; units below the least confidence of their stage get no answer."""

    def __init__(self, policy: Abstaining, committee: Committee) -> None:
        super().__init__(policy, committee)
        self.inner = DECISIONS[type(policy.policy)](policy.policy, committee)
        self.least = carried(scale_of(committee.confidence), policy.least, policy.least_log_odds)

    def exits(self, seen: Seen) -> Tensor:
        return self.inner.exits(seen)

    def answer(self, seen: Seen) -> Tensor:
        return torch.where(seen.score >= self.least[seen.stage], self.inner.answer(seen), NO_CLASS)


DECISIONS: dict[type, type[Decision]] = {
    Thresholds: ByThresholds,
    Window: ByWindow,
    Labels: ByLabels,
    Agreement: ByAgreement,
    Abstaining: Withholding,
}


def decision_of(committee: Committee) -> Decision | None:
    """The decision of a committee's policy; None where only wisecommittee.runtime can decide: kinds without a Decision,
    and units that skip stages."""
    policy = committee.policy
    inner = policy.policy if isinstance(policy, Abstaining) else policy
    kinds = {type(policy), type(inner)}
    if not kinds <= set(DECISIONS) or not committee.nested:
        return None
    if isinstance(inner, Labels) and any(isinstance(label, str) for label in inner.labels):
        return None
    return DECISIONS[type(policy)](policy, committee)

"""IRENE's networks: a backbone with two heads, and the selector that decides whether to stop (Li et al. 2023).

The selector sees a model's MemberOutcome only, and only without its gradient: else the loss on
cost would reach the backbones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from wisecommittee.errors import UnknownNameError, UsageError
from wisecommittee.train.backbones import Backbone

FLOOR = 1e-6  # added before log10, so that a share of 0 becomes -6


class MemberOutcome(NamedTuple):
    """log softmax of both heads, float32 [n, L] each."""

    log_a: Tensor
    log_b: Tensor

    @property
    def log_y(self) -> Tensor:
        """log of the prediction y = (softmax a + softmax b) / 2."""
        return torch.logaddexp(self.log_a, self.log_b) - math.log(2)

    def detach(self) -> MemberOutcome:
        return MemberOutcome(self.log_a.detach(), self.log_b.detach())


class TwoHeads(nn.Module):
    """A backbone with a second linear head, whose disagreement with the first tells uncertainty (Appendix A.1.2)."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone
        self.second = nn.Linear(backbone.width, backbone.classes)

    def forward(self, images: Tensor) -> MemberOutcome:
        features = self.backbone.features(images)
        heads = (self.backbone.head(features), self.second(features))
        return MemberOutcome(*(functional.log_softmax(logits.float(), dim=1) for logits in heads))


def divergence(outcome: MemberOutcome) -> Tensor:
    """KL(softmax a || softmax b), [n]. Raw values of 1e-3 made the selector say the same to everything: hence logs."""
    return (outcome.log_a.exp() * (outcome.log_a - outcome.log_b)).sum(dim=1).clamp_min(0)


def confidence(outcome: MemberOutcome) -> Tensor:
    return outcome.log_y.exp().amax(dim=1)


def margin(outcome: MemberOutcome) -> Tensor:
    first, second = outcome.log_y.exp().topk(2, dim=1).values.unbind(dim=1)
    return first - second


def entropy(outcome: MemberOutcome) -> Tensor:
    return -(outcome.log_y.exp() * outcome.log_y).sum(dim=1).clamp_max(0)


# What the selector may see of a model, per unit, [n], on a logarithmic scale.
FEATURES: dict[str, Callable[[MemberOutcome], Tensor]] = {
    "kl": lambda outcome: (divergence(outcome) + FLOOR).log10(),
    "confidence": lambda outcome: (1 - confidence(outcome) + FLOOR).log10(),
    "margin": lambda outcome: (1 - margin(outcome) + FLOOR).log10(),
    "entropy": lambda outcome: (entropy(outcome) + FLOOR).log10(),
}


class Selector(nn.Module):
    """An LSTM over the steps, from zero, and a linear layer to the logits of stopping and of going on.

    Features are standardised over units and steps. One feature and hidden size 2 make 46 parameters: the paper's
    0.000004 of ResNet-18.
    """

    def __init__(self, features: Sequence[str], hidden: int) -> None:
        super().__init__()
        for name in features:
            if name not in FEATURES:
                raise UnknownNameError("selector feature", name, FEATURES)
        if not features or len(set(features)) < len(features):
            raise UsageError(f"selector features {', '.join(features) or 'none'}: expected one or more different ones")
        if hidden < 1:
            raise UsageError(f"selector of hidden size {hidden}: expected 1 or more")
        self.features = tuple(features)
        self.standardise = nn.BatchNorm1d(len(features), momentum=0.02, affine=False)
        self.lstm = nn.LSTM(len(features), hidden, batch_first=True)
        self.decide = nn.Linear(hidden, 2)

    @property
    def macs(self) -> int:
        """Multiply-adds of one step for one unit."""
        hidden = self.lstm.hidden_size
        return 4 * hidden * (len(self.features) + hidden) + 2 * hidden

    def forward(self, outcomes: Sequence[MemberOutcome]) -> Tensor:
        """Logits [n, t, 2] of (stop, go on) after each of the first t models, from their outcomes without gradient."""
        with torch.no_grad():
            seen = [torch.stack([FEATURES[name](outcome) for name in self.features], dim=1) for outcome in outcomes]
            scaled = self.standardise(torch.cat(seen))
        with torch.autocast(scaled.device.type, enabled=False):
            states, _ = self.lstm(torch.stack(scaled.chunk(len(seen)), dim=1))
            return cast(Tensor, self.decide(states))


class HaltingCommittee(nn.Module):
    """All models of a trained run and their selector, for inference without noise."""

    def __init__(self, models: Sequence[TwoHeads], selector: Selector) -> None:
        super().__init__()
        self.models, self.selector = nn.ModuleList(models), selector

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """log y [n, T, L], and the probability [n, T] of stopping after each model: stop if it exceeds m."""
        outcomes = [model(images) for model in self.models]
        stop = self.selector(outcomes).softmax(dim=2)[:, :, 0]
        return torch.stack([outcome.log_y for outcome in outcomes], dim=1), stop

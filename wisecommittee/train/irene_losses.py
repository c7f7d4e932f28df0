"""Optimal halting: the survival algebra and the losses of IRENE (Li et al. 2023, Eqs. 2-13).

n units, t models so far, T in all, L classes. h [n, t]: 1 where the selector stops after a model; S [n, t + 1]:
S[:, i] says whether model i + 1 runs, its last column whether anything is left to run after model t.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from wisecommittee.train.irene_selector import MemberOutcome


def sampled_halts(logits: Tensor, temperature: float, threshold: float) -> Tensor:
    """h in {0, 1} [n, t] from logits [n, t, 2]: Gumbel softmax, then a binariser that the gradient passes unchanged."""
    soft = functional.gumbel_softmax(logits, tau=temperature, dim=-1)[..., 0]
    return (soft > threshold).float() + (soft - soft.detach())


def survival(halts: Tensor) -> Tensor:
    """S(i) = prod_{j<i} (1 - h_j), Eq. 4."""
    return functional.pad((1 - halts).cumprod(dim=1), (1, 0), value=1.0)


def halting_distribution(halts: Tensor) -> Tensor:
    """p_i = h_i S(i), Eq. 5."""
    return halts * survival(halts)[:, :-1]


def running_prediction(running: Tensor, predictions: Tensor) -> Tensor:
    """Eq. 9: sum_i S(i) y_i / sum_i S(i), [n, L]. running : S(1) .. S(t) [n, t]; predictions : y [n, t, L]."""
    return (running[:, :, None] * predictions).sum(dim=1) / running.sum(dim=1, keepdim=True)


def base_loss(outcome: MemberOutcome, labels: Tensor, diversity: float) -> Tensor:
    """Eq. 8: the cross-entropy of both heads, less the L1 distance of what they predict (Appendix A.1.2).

    Departs: the paper trains "the task loss" and gives no weight of the distance; here both heads learn.
    """
    learned = (functional.nll_loss(outcome.log_a, labels) + functional.nll_loss(outcome.log_b, labels)) / 2
    apart = (outcome.log_a.exp() - outcome.log_b.exp()).abs().sum(dim=1).mean()
    return learned - diversity * apart


def ensemble_loss(halts: Tensor, outcomes: Sequence[MemberOutcome], labels: Tensor) -> Tensor:
    """Eq. 10: of the running prediction after model t; reaches the selector alone."""
    return _running_losses(survival(halts)[:, :-1], outcomes, labels).mean()


def cost_loss(halts: Tensor, costs: Tensor) -> Tensor:
    """Eq. 11, the cost per unit. costs : [T] of every model, 1 on average.

    Departs: as printed, units that never stop cost nothing. They are charged all models, those to come included.
    """
    alive, now = survival(halts), halts.shape[1]
    return ((alive[:, :-1] * costs[:now]).sum(dim=1) + alive[:, -1] * costs[now:].sum()).mean()


def rank_loss(halts: Tensor, outcomes: Sequence[MemberOutcome], labels: Tensor) -> Tensor:
    """Eq. 12: model t has to be better than the ensemble before it on the units that reach it. Reaches the model,
    weighted by S(t), and the selector, which it can only move to stop earlier."""
    running = survival(halts)[:, :-1]
    before = _running_losses(running[:, :-1], outcomes[:-1], labels).detach()
    return functional.relu(running[:, -1] * (_losses(outcomes[-1].log_y, labels) - before)).mean()


def _losses(log_y: Tensor, labels: Tensor) -> Tensor:
    return functional.nll_loss(log_y, labels, reduction="none")


def _running_losses(running: Tensor, outcomes: Sequence[MemberOutcome], labels: Tensor) -> Tensor:
    predictions = torch.stack([outcome.log_y.detach().exp() for outcome in outcomes], dim=1)
    return _losses(running_prediction(running, predictions).clamp_min(1e-38).log(), labels)

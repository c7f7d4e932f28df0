"""Confidence functions in torch, on the scale on which they are carried (committees/confidence.py, scale.py).

Near 1 no float32 tells confidences apart, so the graphs decide by carried numbers: the odds, and where float32 cannot
hold these, their logarithm.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from wisecommittee.committees.row_statistics import LEAST_REST
from wisecommittee.committees.scale import DEEP, EDGE, LARGEST, LEAST, LEAST_AGAINST, LEAST_ENTROPY, MOST
from wisecommittee.exporting.graphs.rows import LOWEST, Ranked, largest_of, log1p

FLOAT_MOST, FLOAT_EDGE, FLOAT_DEEP = map(float, (MOST, EDGE, DEEP))
FLOAT_DEEPEST = -87.0  # exponents below it count as 0 in a sum of float32
FAR = 1 / (32 * LEAST_AGAINST)  # carried odds beyond which their logarithm is carried
FAR_LOG = -math.log(LEAST_AGAINST)
OPEN = 2.0**-23  # rounding error of a mean of probabilities near 1
SMALLEST = 1e-38  # log p of a stored zero


class Others(NamedTuple):
    """Sums over the classes but the predicted one, of z = mean logit minus the largest mean logit, float32 [n].

    rest : sum exp(z); minus_log : -log(rest), exact where rest underflows; tail : rest divided by its largest term;
    spread : sum exp(z) * z; mean : spread / rest; gap : minus the largest z
    """

    rest: Tensor
    minus_log: Tensor
    tail: Tensor
    spread: Tensor
    mean: Tensor
    gap: Tensor

    @classmethod
    def of(cls, ranked: Ranked, size: int) -> Others:
        z = ((ranked.others - ranked.top[:, None]) * (1 / size)).clamp(min=LOWEST)
        z = torch.where(ranked.is_top, LOWEST, z)
        gap = (-z.amax(dim=1)).clamp(max=FLOAT_MOST)
        terms, tails = torch.exp(z), torch.exp(z + gap[:, None])
        tail = tails.sum(dim=1)
        spread = torch.where(z > FLOAT_DEEPEST, terms * z, 0.0).sum(dim=1)
        mean = torch.where(tails > 0, tails * z, 0.0).sum(dim=1) / tail.clamp(min=SMALLEST)
        minus_log = (gap - torch.log(tail)).clamp(max=FLOAT_MOST)
        return cls(terms.sum(dim=1), minus_log, tail, spread, mean, gap)


def carried_odds(value: Tensor, against: Tensor, minus_log: Tensor) -> Tensor:
    """Carried numbers of max_prob and prob_gap. against : (1 - value) / value; minus_log : -log(against)."""
    near = torch.where(against < 1 / 31, (1 / 32) / against, value)
    far = torch.where(minus_log > FAR_LOG, minus_log / FAR_LOG * FAR, torch.exp(minus_log.clamp(max=FAR_LOG)) / 32)
    return torch.where(against < LEAST_AGAINST, far, near).clamp(max=FLOAT_MOST)


def carried_entropy(value: Tensor) -> Tensor:
    return torch.where(value > -LEAST_ENTROPY, (-torch.log(-value)).clamp(max=FLOAT_MOST), value)


def _max_prob(ranked: Ranked, size: int) -> Tensor:
    others = Others.of(ranked, size)
    return carried_odds(largest_of(others.rest), others.rest, others.minus_log)


def _prob_gap(ranked: Ranked, size: int) -> Tensor:
    others = Others.of(ranked, size)
    second = torch.exp(-_logit_gap(ranked, size))
    minus_log = (others.minus_log - torch.log(1 + 1 / others.tail.clamp(min=1))).clamp(min=0)
    against = torch.where(others.rest < LEAST_REST, 0.0, (others.rest + second) / (1 - second))
    return carried_odds(1 - (others.rest + second) / (1 + others.rest), against, minus_log)


def _logit_gap(ranked: Ranked, size: int) -> Tensor:
    return ranked.top / size - ranked.second / size


def _neg_entropy(ranked: Ranked, size: int) -> Tensor:
    others = Others.of(ranked, size)
    value = carried_entropy(others.spread / (1 + others.rest) - log1p(others.rest))
    log = others.minus_log - torch.log(1 - others.mean)
    deep = torch.where(log > FLOAT_DEEP, log.clamp(max=FLOAT_MOST), -torch.exp(-log))
    return torch.where(others.rest < LEAST_REST, deep, value)


def _rest_of_probabilities(ranked: Ranked, size: int) -> Tensor:
    """1 - top [n]. The sum of the other columns is more precise; it is used within the rounding error of top."""
    below = 1 - ranked.top / size
    rest = torch.where(ranked.is_top, 0.0, ranked.others).sum(dim=1) * (1 / size)
    return torch.minimum(torch.maximum(rest, below - OPEN), below + OPEN).clamp(min=0)


def _stored_max_prob(ranked: Ranked, size: int) -> Tensor:
    top = ranked.top / size
    against = _rest_of_probabilities(ranked, size) / top
    return carried_odds(top, against, -torch.log(against))


def _stored_prob_gap(ranked: Ranked, size: int) -> Tensor:
    second = ranked.second / size
    gap = ranked.top / size - second
    against = (_rest_of_probabilities(ranked, size) + second) / gap.clamp(min=0)
    return carried_odds(gap, against, -torch.log(against))


def _stored_logit_gap(ranked: Ranked, size: int) -> Tensor:
    top, second = ((p / size).clamp(min=SMALLEST) for p in (ranked.top, ranked.second))
    return torch.log(top) - torch.log(second)


def _stored_neg_entropy(ranked: Ranked, size: int) -> Tensor:
    p = torch.where(ranked.is_top, ranked.top[:, None], ranked.others) * (1 / size)
    return carried_entropy((p * torch.log(torch.where(p > 0, p, 1.0))).sum(dim=1))


Function = Callable[[Ranked, int], Tensor]
CONFIDENCES: dict[str, tuple[Function, Function]] = {  # of sums of logits, of sums of probabilities
    "max_prob": (_max_prob, _stored_max_prob),
    "prob_gap": (_prob_gap, _stored_prob_gap),
    "logit_gap": (_logit_gap, _stored_logit_gap),
    "neg_entropy": (_neg_entropy, _stored_neg_entropy),
}


def judge(total: Tensor, size: int, space: str, confidence: str) -> tuple[Tensor, Tensor]:
    """Prediction int64 [n] and carried confidence float32 [n] of sums of outputs.

    total : float32 [n, C] the sum over `size` members; space : whether their mean is 'logits' or 'probabilities'. A row
    with a number that is not finite gets the prediction -1 and the confidence NaN, which reaches no threshold.
    """
    ranked = Ranked.of(total)
    score = CONFIDENCES[confidence][space == "probabilities"](ranked, size)
    broken = torch.isnan(total).any(dim=1)
    score = torch.where(torch.isnan(score), LEAST, score).clamp(LEAST, LARGEST)
    return torch.where(broken, -1, ranked.best), torch.where(broken, torch.nan, score)


def shown(score: Tensor, confidence: str) -> Tensor:
    """The confidence float32 [n], as it is printed, of carried numbers."""
    if confidence == "logit_gap":
        return score
    if confidence == "neg_entropy":
        return torch.where(score > 0, -torch.exp(-score.clamp(0, 800)), score) + 0.0
    far = torch.exp(-(score / FAR * FAR_LOG).clamp(max=800))
    against = torch.where(score > FAR, far, 1 / (32 * score.abs()))
    return torch.where(score > FLOAT_EDGE, 1 / (1 + against), score)

"""Losses of a network with N leaves (Ruiz and Verbeek 2021, Eqs. 3-6). All are means over the batch."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from wisecommittee.errors import UnknownNameError, UsageError

LOSSES = ("li", "ls", "ld", "lhd")
TERMS = ("sum", "mean")


def sizes(leaves: int) -> tuple[int, ...]:
    """The ensembles of anytime inference: the first 1, 2, 4, .. leaves, and all of them."""
    powers = itertools.takewhile(lambda size: size < leaves, (2**b for b in itertools.count()))
    return (*powers, leaves)


@dataclass(frozen=True, slots=True)
class LeafLoss:
    """Logits [n, N, C] of the leaves and labels [n] -> loss.

    name : 'li', cross-entropy of every leaf; 'ls', of the mean of the first 1, 2, 4, .., N; 'ld' and 'lhd', li with
    weight 1 - alpha and distillation with weight alpha: of every leaf, or of the means of the first 1, 2, .., N/2,
    towards the mean of all, which gets no gradient. temperature : of the teacher's soft labels. terms : 'sum' over
    leaves or sizes as printed, or their 'mean'. temper_student, scale_square : divide the student's logits by the
    temperature too, and multiply the distillation by its square; the paper is silent on both. One leaf has nobody to
    learn from: every loss is its cross-entropy.
    """

    name: str = "lhd"
    alpha: float = 0.5
    temperature: float = 2.0
    terms: str = "sum"
    temper_student: bool = True
    scale_square: bool = True

    def __post_init__(self) -> None:
        if self.name not in LOSSES:
            raise UnknownNameError("loss", self.name, LOSSES)
        if self.terms not in TERMS:
            raise UnknownNameError("terms", self.terms, TERMS)
        if not 0 <= self.alpha <= 1:
            raise UsageError(f"alpha {self.alpha}: expected a weight from 0 to 1")
        if not 0 < self.temperature < float("inf"):
            raise UsageError(f"temperature {self.temperature}: expected a number above 0")

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        logits = logits.float()  # under autocast they come in less
        leaves = logits.unbind(1)
        means = [logits[:, :size].mean(dim=1) for size in sizes(len(leaves))]
        if self.name == "ls":
            return self._over([functional.cross_entropy(mean, labels) for mean in means])
        independent = self._over([functional.cross_entropy(leaf, labels) for leaf in leaves])
        if self.name == "li" or len(leaves) == 1:
            return independent
        students = leaves if self.name == "ld" else means[:-1]
        distilled = self._over([self.distillation(student, means[-1]) for student in students])
        return (1 - self.alpha) * independent + self.alpha * distilled

    def distillation(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Cross-entropy of logits [n, C] to the soft labels of others, which are constants."""
        soft = (teacher.detach() / self.temperature).softmax(dim=1)
        student = student / self.temperature if self.temper_student else student
        loss = functional.cross_entropy(student, soft)
        return loss * self.temperature**2 if self.scale_square else loss

    def _over(self, losses: list[Tensor]) -> Tensor:
        stacked = torch.stack(losses)
        return stacked.sum() if self.terms == "sum" else stacked.mean()

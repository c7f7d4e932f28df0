"""Mixtures of experts (Shazeer et al. 2017): backbones trained together, weighted by a gate on frozen features."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import replace as with_fields
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from wisecommittee.errors import UsageError
from wisecommittee.extraction.models.loaded import LoadedModel
from wisecommittee.extraction.models.macs import count_macs
from wisecommittee.train.backbones import Backbone
from wisecommittee.train.loop import Batch, Phase, Step, Trained
from wisecommittee.train.supervised import PASSES, Setup, accuracy, check_count

PHASE = "experts"


class Mixture(nn.Module):
    """images -> log of sum_k g_k softmax f_k [n, classes], g = softmax(E W) over the `active` largest entries.

    E : the features of a frozen backbone. Each expert sees only the images that give it a weight.
    """

    def __init__(self, extractor: Backbone, experts: list[Backbone], active: int) -> None:
        super().__init__()
        self.extractor = extractor.requires_grad_(False)
        self.experts = nn.ModuleList(experts)
        self.gate = nn.Linear(extractor.width, len(experts), bias=False)
        self.active = active

    def train(self, mode: bool = True) -> Mixture:
        super().train(mode)
        self.extractor.eval()
        return self

    def log_weights(self, images: Tensor) -> Tensor:
        """[n, experts], minus infinity for all but the active ones."""
        with torch.no_grad():
            features = self.extractor.features(images)
        scores = self.gate(features).float()
        chosen = scores.topk(self.active, dim=1).indices
        idle = torch.ones_like(scores, dtype=torch.bool).scatter(1, chosen, False)
        return functional.log_softmax(scores.masked_fill(idle, -torch.inf), dim=1)

    def mix(self, images: Tensor, log_weights: Tensor) -> Tensor:
        """Log-probabilities [n, classes]."""
        parts = []
        for number, expert in enumerate(self.experts):
            rows = log_weights[:, number].isfinite().nonzero()[:, 0]
            if len(rows):
                logs = functional.log_softmax(expert(images[rows]).float(), dim=1) + log_weights[rows, number, None]
                parts.append(logs.new_full((len(images), logs.shape[1]), -torch.inf).index_put((rows,), logs))
        return torch.stack(parts).logsumexp(dim=0)

    def forward(self, images: Tensor) -> Tensor:
        return self.mix(images, self.log_weights(images))

    def count_macs(self, shape: tuple[int, ...], what: str) -> int:
        """Of one image: the extractor, the gate and the active experts, which cost the same."""
        unit = torch.empty(1, *shape)
        return self.gating_macs(unit, what) + self.active * count_macs(self.experts[0], unit, what)

    def gating_macs(self, unit: Tensor, what: str) -> int:
        return count_macs(self.extractor.body, unit, what) + self.gate.weight.numel()


@dataclass(frozen=True, slots=True)
class MixtureOfExperts:
    """active : how many experts run on an image, None for all of them; balance : weight of the squared coefficient of
    variation of the experts' total weights (Shazeer et al. 2017, Eq. 6-7), without which a few experts take all.

    Departs from both papers: the features come from a backbone trained first on the same data (Li et al. 2023 take one
    from elsewhere and do not count its cost), and a sparse gate has no noise.
    """

    setup: Setup
    experts: int = 3
    active: int | None = None
    balance: float = 0.1

    def __post_init__(self) -> None:
        check_count(self.experts, "experts")
        if self.active is not None and not 1 <= self.active < self.experts:
            raise UsageError(f"{self.active} active experts of {self.experts}: expected fewer, and at least 1")

    @property
    def name(self) -> str:
        return "moe" if self.active is None else "sparse-moe"

    @property
    def count(self) -> int:
        return 1

    @property
    def key(self) -> str:
        return self.setup.key("moe", experts=self.experts, active=self.active, balance=self.balance)

    def phases(self) -> Iterator[Phase]:
        extractor = self.setup.start(self.experts)
        yield self.setup.supervised("extractor", extractor)
        experts = [self.setup.start(number) for number in range(self.experts)]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.setup.seed)
            mixture = Mixture(extractor, experts, self.active or self.experts)

        def loss(batch: Batch, step: Step) -> dict[str, Tensor]:
            images, labels = batch[:2]
            log_weights = mixture.log_weights(images)
            logs = mixture.mix(images, log_weights)
            figures = {"loss": functional.nll_loss(logs, labels), "accuracy": accuracy(logs, labels)}
            if self.active is not None:
                unbalance = variation(log_weights.exp().sum(dim=0))
                figures |= {"loss": figures["loss"] + self.balance * unbalance, "unbalance": unbalance}
            return figures

        yield with_fields(self.setup.supervised(PHASE, mixture), loss=loss)

    def models(self, run: Trained) -> list[LoadedModel]:
        mixture = cast(Mixture, run.modules[PHASE]["net"])
        unit = torch.empty(1, *self.setup.data.shape)
        gating = mixture.gating_macs(unit, self.name)
        experts = self.setup.macs(mixture) - gating
        spent = self.setup.recipe.epochs * (PASSES * (self.setup.macs(mixture.extractor) + experts) + gating)
        return self.setup.models(self.name, self.key, [mixture], spent)


def variation(totals: Tensor) -> Tensor:
    """Squared coefficient of variation."""
    return totals.var(correction=0) / totals.mean() ** 2

"""IRENE: models and one selector trained together, one model after another, so that easy units stop early.

Ziyue Li et al. 2023, "Towards Inference Efficient Deep Ensemble Learning". Phase t trains model t and the selector;
models 1 .. t - 1 stay as they are. Model t learns from L_base and L_rank, the selector from L_ens, L_cost and L_rank,
all weighted as in Eq. 13. What comes out are T members with a stored score "halting": the rule "stop if the score
exceeds m" is a cascade, and any m is searched offline.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from dataclasses import replace as with_fields
from typing import Any

import torch
from torch import Tensor

from wisecommittee.errors import UnknownNameError, UsageError
from wisecommittee.extraction.models.macs import count_macs
from wisecommittee.train.data import TrainingData
from wisecommittee.train.irene_losses import base_loss, cost_loss, ensemble_loss, rank_loss, sampled_halts
from wisecommittee.train.irene_selector import MemberOutcome, Selector, TwoHeads
from wisecommittee.train.loop import Batches, Minibatch, Phase, Schedule, Step
from wisecommittee.train.supervised import Recipe, Setup, accuracy

# Fig. 5. The last one: neither L_ens nor L_cost nor L_rank reaches the selector, which stays as it was drawn.
ABLATIONS = ("no-cost", "no-ens", "no-rank", "rank-not-to-models", "selector-untrained")


@dataclass(frozen=True, slots=True)
class Irene:
    """A Method. The selector is fitted on the split `held_out` if the data have one, else on the training units.

    backbones : one per step. features, hidden : of the selector, whose Adam follows the recipe's schedule with its own
    factor. w1, w2, w3 : weights of L_ens, L_cost, L_rank; diversity : weight of the distance between the heads
    (lambda). temperature, threshold : of the Gumbel softmax and the binariser during training; the m of inference is
    chosen afterwards. first : the trained first model, if another run has it; it depends neither on w1, w2, w3 nor on
    the selector.
    """

    data: TrainingData
    backbones: tuple[str, ...]
    recipe: Recipe
    seed: int = 0
    features: tuple[str, ...] = ("kl", "confidence")
    hidden: int = 8
    selector_lr: float = 0.03
    selector_factor: float = 0.2
    selector_weight_decay: float = 0.0
    w1: float = 1.0
    w2: float = 0.05
    w3: float = 0.3
    diversity: float = 0.1
    temperature: float = 1.0
    threshold: float = 0.5
    ablation: str | None = None
    first: Mapping[str, Tensor] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.backbones) < 2:
            raise UsageError(f"{len(self.backbones)} models: IRENE needs 2 or more, else there is nothing to halt")
        for name in ("w1", "w2", "w3", "diversity", "selector_weight_decay"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UsageError(f"{name} {getattr(self, name)}: expected a number from 0")
        for name in ("selector_lr", "temperature"):
            if not 0 < getattr(self, name) < math.inf:
                raise UsageError(f"{name} {getattr(self, name)}: expected a number above 0")
        for name, most in (("selector_factor", 1), ("threshold", math.nextafter(1, 0))):
            if not 0 < getattr(self, name) <= most:
                raise UsageError(f"{name} {getattr(self, name)}: expected a number between 0 and 1")
        if self.ablation is not None and self.ablation not in ABLATIONS:
            raise UnknownNameError("ablation", self.ablation, ABLATIONS)
        for step in range(len(self.backbones)):
            self.model(step)
        Selector(self.features, self.hidden)

    @property
    def fits_held_out(self) -> bool:
        return "held_out" in self.data.parts

    @property
    def settings(self) -> dict[str, Any]:
        """The hyper-parameters as JSON: all fields but data, seed and the trained first model."""
        left_out = ("data", "seed", "first", "recipe")
        named = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in left_out} | asdict(self.recipe)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in named.items()}

    @property
    def key(self) -> str:
        shapes = [[list(p.shape) for p in self.model(step).parameters()] for step in range(len(self.backbones))]
        facts = ["irene", self.settings, self.seed, shapes, self.data.key, torch.__version__]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def costs(self) -> list[int]:
        """Multiply-adds of every step: a model with both heads, and the selector."""
        example, selector = torch.empty(1, *self.data.shape), Selector(self.features, self.hidden).macs
        return [count_macs(self.model(step), example, name) + selector for step, name in enumerate(self.backbones)]

    def model(self, step: int) -> TwoHeads:
        """The model of a step before training, the same at every call; its backbone starts as the pool's replica."""
        backbone = Setup(self.data, self.backbones[step], self.recipe, self.seed).start(step)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1000 * self.seed + step)
            return TwoHeads(backbone)

    def phases(self) -> Iterator[Phase]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            selector = Selector(self.features, self.hidden)
        costs = self.costs
        relative = tuple(cost * len(costs) / sum(costs) for cost in costs)
        before: list[TwoHeads] = []
        for step in range(len(self.backbones)):
            model = self.model(step)
            known = self.first if step == 0 else None
            if known is not None:
                model.load_state_dict(known)
            stage = Stage(self, model, selector, tuple(before), relative)
            yield self._phase(stage, self.recipe.epochs if known is None else 0)
            before.append(model)

    def _phase(self, stage: Stage, epochs: int) -> Phase:
        optimizers: list[tuple[torch.optim.Optimizer, Schedule]]
        optimizers = [(self.recipe.optimizer(stage.model), self.recipe.schedule())]
        batches = self.data.batches(self.recipe.batch_size)
        if stage.before:
            if self.ablation != "selector-untrained":
                decay, schedule = self.selector_weight_decay, with_fields(self.recipe, factor=self.selector_factor)
                adam = torch.optim.Adam(stage.selector.parameters(), self.selector_lr, weight_decay=decay)
                optimizers.append((adam, schedule.schedule()))
            if self.fits_held_out:
                batches = WithHeldOut(batches, self.data.batches(self.recipe.batch_size, split="held_out"))
        name, modules = _phase_name(len(stage.before)), {"model": stage.model, "selector": stage.selector}
        return Phase(name, modules, batches, stage.loss, optimizers, epochs, on_epoch=stage.freeze)


def _phase_name(step: int) -> str:
    return f"model-{step + 1}"


FIRST = _phase_name(0)


@dataclass(frozen=True, slots=True)
class FirstModel:
    """The first phase of a method by itself, under a key that w1, w2, w3 and the selector do not change."""

    method: Irene

    @property
    def key(self) -> str:
        method = self.method
        shapes = [list(parameter.shape) for parameter in method.model(0).parameters()]
        facts = ["irene first", method.backbones[0], asdict(method.recipe), method.seed, method.diversity, shapes]
        facts += [method.data.key, torch.__version__]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]

    def phases(self) -> Iterator[Phase]:
        yield next(self.method.phases())


@dataclass(frozen=True, slots=True)
class Stage:
    """The training of one model with the selector, after the models before it. costs : of every model, 1 on average."""

    method: Irene
    model: TwoHeads
    selector: Selector
    before: tuple[TwoHeads, ...]
    costs: tuple[float, ...]

    def freeze(self, epoch: int) -> None:
        for model in self.before:
            model.eval()

    def loss(self, batch: Minibatch, step: Step) -> dict[str, Tensor]:
        """L_total of Eq. 13; the first model has L_base only."""
        method, (images, labels, _, *held_out) = self.method, batch
        outcome = self.model(images)
        figures = {"base": base_loss(outcome, labels, method.diversity)}
        figures["accuracy"] = accuracy(outcome.log_y, labels)
        if not self.before:
            return {"loss": figures["base"], **figures}
        outcomes = [*self._before(images), outcome]
        figures |= self._from_held_out(outcomes, labels, *held_out[:2]) if held_out else self._joint(outcomes, labels)
        w1 = 0.0 if method.ablation == "no-ens" else method.w1
        w2 = 0.0 if method.ablation == "no-cost" else method.w2
        w3 = 0.0 if method.ablation == "no-rank" else method.w3
        total = figures["base"] + w1 * figures["ens"] + w2 * figures["cost"] + w3 * figures["rank"]
        return {"loss": total, **figures}

    def _joint(self, outcomes: Sequence[MemberOutcome], labels: Tensor) -> dict[str, Tensor]:
        """Both learn from the same units."""
        halts = self._halts(outcomes)
        if self.method.ablation == "rank-not-to-models":
            outcomes = [outcome.detach() for outcome in outcomes]
        return self._of_selector(halts, outcomes, labels)

    def _from_held_out(
        self, outcomes: Sequence[MemberOutcome], labels: Tensor, images: Tensor, held_out: Tensor
    ) -> dict[str, Tensor]:
        """The model learns from the training units (outcomes, labels), the selector from the held-out ones."""
        self.selector.eval()
        to_model = rank_loss(self._halts(outcomes).detach(), outcomes, labels)
        self.selector.train()
        self.model.eval()
        with torch.no_grad():
            unseen = [*self._before(images), self.model(images)]
        self.model.train()
        figures = self._of_selector(self._halts(unseen), unseen, held_out)
        if self.method.ablation != "rank-not-to-models":
            figures["rank"] = figures["rank"] + to_model
        return figures

    def _of_selector(self, halts: Tensor, outcomes: Sequence[MemberOutcome], labels: Tensor) -> dict[str, Tensor]:
        if self.method.ablation == "selector-untrained":
            halts = halts.detach()
        return {
            "ens": ensemble_loss(halts, outcomes, labels),
            "cost": cost_loss(halts, torch.tensor(self.costs, device=halts.device)),
            "rank": rank_loss(halts, outcomes, labels),
        }

    def _before(self, images: Tensor) -> list[MemberOutcome]:
        with torch.no_grad():
            return [model(images) for model in self.before]

    def _halts(self, outcomes: Sequence[MemberOutcome]) -> Tensor:
        return sampled_halts(self.selector(outcomes), self.method.temperature, self.method.threshold)


@dataclass(frozen=True, slots=True)
class WithHeldOut:
    """Minibatches to train on, each with one of held-out units at its end; these start over as often as needed."""

    train: Batches
    held_out: Batches

    def __len__(self) -> int:
        return len(self.train)

    def epoch(self, generator: torch.Generator, rank: int = 0, count: int = 1) -> Iterator[Minibatch]:
        others = self._endless(generator, rank, count)
        for batch in self.train.epoch(generator, rank, count):
            yield (*batch, *next(others))

    def _endless(self, generator: torch.Generator, rank: int, count: int) -> Iterator[Minibatch]:
        while True:
            yield from self.held_out.epoch(generator, rank, count)

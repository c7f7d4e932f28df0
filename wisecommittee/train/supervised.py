"""One network on labelled images: its initial weights, optimiser, schedule and phase. All methods build on these."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from dataclasses import replace as with_fields
from typing import Any, Protocol, TypedDict, Unpack

import torch
from torch import Tensor, nn
from torch.nn import functional

from wisecommittee.committees.naming import Origin
from wisecommittee.errors import UnknownNameError, UsageError
from wisecommittee.extraction.extract import Extracted
from wisecommittee.extraction.models.loaded import LoadedModel
from wisecommittee.extraction.models.macs import count_macs
from wisecommittee.extraction.models.weights import state_hash
from wisecommittee.store import LogitStore
from wisecommittee.train.backbones import Backbone, build, check_backbone, short_name
from wisecommittee.train.data import TrainingData
from wisecommittee.train.loop import Batches, Method, Minibatch, Phase, Schedule, Step, Trained, cosine
from wisecommittee.train.run import TrainOptions, check_free, fit, into_store

PASSES = 3.0  # a training step counts as three forward passes: forward, gradient of inputs, gradient of weights


@dataclass(frozen=True, slots=True)
class Recipe:
    """SGD with momentum 0.9, Nesterov's or plain.

    milestones : shares of the epochs after which the lr is multiplied by `factor`; without any, half a cosine.
    """

    epochs: int
    batch_size: int
    lr: float
    weight_decay: float = 5e-4
    milestones: tuple[float, ...] = ()
    factor: float = 0.2
    nesterov: bool = True

    def __post_init__(self) -> None:
        for noun, value in (("epochs", self.epochs), ("batch size", self.batch_size), ("learning rate", self.lr)):
            if not (value > 0 and math.isfinite(value)):
                raise UsageError(f"{noun} {value:g}: expected a number above 0")

    def changed(self, **changes: Unpack[RecipeChanges]) -> Recipe:
        given: dict[str, Any] = {name: value for name, value in changes.items() if value is not None}
        return with_fields(self, **given)

    def optimizer(self, net: nn.Module) -> torch.optim.SGD:
        parameters, decay = net.parameters(), self.weight_decay
        return torch.optim.SGD(parameters, self.lr, momentum=0.9, weight_decay=decay, nesterov=self.nesterov)

    def schedule(self) -> Schedule:
        if not self.milestones:
            return cosine(self.epochs)
        ends = [share * self.epochs for share in self.milestones]
        return lambda time: self.factor ** sum(time >= end for end in ends)


class RecipeChanges(TypedDict, total=False):
    """Fields of a Recipe that are not a preset's; None keeps the preset's."""

    epochs: int | None
    batch_size: int | None
    lr: float | None


RECIPES = {
    "digits": Recipe(epochs=40, batch_size=64, lr=0.05),
    # Li et al. 2023, App. A.1: divided by 5 at epochs 60, 120 and 160 of 200
    "cifar": Recipe(epochs=200, batch_size=128, lr=0.1, milestones=(0.3, 0.6, 0.8)),
}
USUAL_BACKBONES = {"digits": "digits-cnn", "cifar10": "resnet18", "cifar100": "resnet18"}


@dataclass(frozen=True, slots=True)
class Setup:
    """The data, backbone, recipe and seed from which a method trains networks."""

    data: TrainingData
    backbone: str
    recipe: Recipe
    seed: int = 0

    def start(self, number: int = 0) -> Backbone:
        """The backbone before training, the same at every call; number : distinguishes the replicas of a seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1000 * self.seed + number)
            net = build(self.backbone, self.data.classes, self.data.shape[0])
        check_backbone(net, self.backbone, self.data.shape)
        return net

    def batches(self) -> Batches:
        return self.data.batches(self.recipe.batch_size)

    def supervised(self, name: str, net: nn.Module) -> Phase:
        return supervised(name, net, self.batches(), self.recipe)

    def macs(self, net: nn.Module) -> int:
        """Of one image."""
        return count_macs(net, torch.empty(1, *self.data.shape), self.backbone)

    def spent(self, epochs: float) -> float:
        """Multiply-adds per training image to train the backbone."""
        return PASSES * epochs * self.macs(self.start())

    def key(self, method: str, **facts: Any) -> str:
        """Changes with the method, its facts, the data, the networks' shapes and the version of torch."""
        shapes = [list(parameter.shape) for parameter in self.start().parameters()]
        settings = [self.backbone, asdict(self.recipe), self.seed, self.data.key, shapes, torch.__version__]
        return hashlib.sha256(json.dumps([method, facts, settings], sort_keys=True).encode()).hexdigest()[:16]

    def origin(self, method: str) -> Origin:
        return Origin(method, self.data.name, short_name(self.backbone), self.seed)

    def models(self, method: str, key: str, networks: Sequence[nn.Module], spent: float) -> list[LoadedModel]:
        """Trained networks as `extract` takes them; spent : multiply-adds of the training of each, per image of it."""
        origin = self.origin(method)
        images = len(self.data.labels("train"))
        return [
            LoadedModel(
                net,
                f"{origin.architecture}/{number}",
                origin.architecture,
                number,
                f"train {method} on {self.data.spec}",
                state_hash(net),
                training_cost=spent * images,
                meta={"training": key},
                preprocess=self.data.preprocess,
            )
            for number, net in enumerate(networks)
        ]


def make_setup(
    data: TrainingData,
    backbone: str | None = None,
    *,
    seed: int = 0,
    preset: str | None = None,
    **changes: Unpack[RecipeChanges],
) -> Setup:
    """preset : of RECIPES, by default the one for the data; changes : of its recipe."""
    preset = preset or ("digits" if data.name == "digits" else "cifar")
    if preset not in RECIPES:
        raise UnknownNameError("preset", preset, RECIPES)
    if backbone is None and data.name not in USUAL_BACKBONES:
        raise UsageError(f"data {data.spec!r}: name a backbone for images of {' x '.join(map(str, data.shape))}")
    if seed < 0:
        raise UsageError(f"seed {seed}: expected a number from 0")
    if "val" not in data.parts:
        raise UsageError(f"data {data.spec!r} has no split val; committees are chosen on it")
    return Setup(data, backbone or USUAL_BACKBONES[data.name], RECIPES[preset].changed(**changes), seed)


class Baseline(Method, Protocol):
    """A Method whose networks go into the store as they are."""

    @property
    def setup(self) -> Setup: ...

    @property
    def name(self) -> str:
        """Of the method, as the names of its models have it."""
        ...

    @property
    def count(self) -> int:
        """Models that come out."""
        ...

    def models(self, run: Trained) -> list[LoadedModel]: ...


def train_baseline(method: Baseline, store: LogitStore, **options: Unpack[TrainOptions]) -> list[Extracted]:
    """Train, or load the checkpoints, and put the outputs for val and test into the store."""
    data = method.setup.data
    architecture = method.setup.origin(method.name).architecture
    check_free(store, {f"{architecture}/{number}": method.key for number in range(method.count)}, **options)
    run = fit(method, data, seed=method.setup.seed, **options)
    return into_store(method.models(run), data, store, **options)


def supervised(name: str, net: nn.Module, batches: Batches, recipe: Recipe) -> Phase:
    """Training of one network by its cross-entropy."""
    optimizers = [(recipe.optimizer(net), recipe.schedule())]
    return Phase(name, {"net": net}, batches, CrossEntropy(net), optimizers, recipe.epochs)


@dataclass(frozen=True, slots=True)
class CrossEntropy:
    """The loss of a network that gives logits."""

    net: nn.Module

    def __call__(self, batch: Minibatch, step: Step) -> dict[str, Tensor]:
        images, labels = batch[:2]
        logits = self.net(images)
        return {"loss": functional.cross_entropy(logits, labels), "accuracy": accuracy(logits, labels)}


def accuracy(scores: Tensor, labels: Tensor) -> Tensor:
    return (scores.argmax(dim=1) == labels).float().mean()


def check_count(count: int, noun: str) -> None:
    if count < 2:
        raise UsageError(f"{count} {noun}: expected at least 2; for a single model use `train pool`")

"""Hierarchical neural ensembles (Ruiz and Verbeek 2021): one training for all leaves, each a member of the store.

A leaf's card lists the nodes it passes through as blocks, so any set of leaves costs the union of them: the first k
leaves are anytime inference, thresholds between them an early-exit cascade, both searched like everything else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Unpack

import torch
from torch import Tensor, nn

from wisecommittee.committees.naming import Origin
from wisecommittee.errors import ContentError, UnknownNameError, UsageError
from wisecommittee.extraction.extract import Extracted
from wisecommittee.extraction.models.loaded import LoadedModel
from wisecommittee.extraction.models.weights import state_hash
from wisecommittee.store import LogitStore
from wisecommittee.train.data import TrainingData
from wisecommittee.train.hne_designs import DESIGNS
from wisecommittee.train.hne_losses import LeafLoss, sizes
from wisecommittee.train.hne_nets import LeafNet
from wisecommittee.train.hne_tree import Tree, group_schedule
from wisecommittee.train.loop import Minibatch, Phase, Step
from wisecommittee.train.run import TrainOptions, check_free, fit, into_store
from wisecommittee.train.supervised import PASSES, Recipe, RecipeChanges, accuracy

PHASE = "leaves"


@dataclass(frozen=True, slots=True)
class Preset:
    """A design of DESIGNS with the leaves and the training it is known for; plain momentum, half a cosine."""

    leaves: int
    recipe: Recipe


_CIFAR = Recipe(epochs=200, batch_size=128, lr=0.1, weight_decay=5e-4, nesterov=False)
PRESETS = {
    "hne": Preset(16, _CIFAR),
    "hne-small": Preset(16, _CIFAR),
    "hne-mobilenet": Preset(16, Recipe(epochs=120, batch_size=256, lr=0.1, weight_decay=1e-5, nesterov=False)),
    **{f"wrn16-{k}": Preset(8, _CIFAR) for k in (1, 2, 4, 8)},
    "digits": Preset(4, Recipe(epochs=70, batch_size=50, lr=0.1, weight_decay=5e-4, nesterov=False)),
}
USUAL_PRESETS = {"digits": "digits", "cifar10": "hne", "cifar100": "hne", "imagefolder": "hne-mobilenet"}


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """A Method of one phase. groups : nodes of each block, see hne_tree; name : of the architecture in the store."""

    data: TrainingData
    preset: str
    groups: tuple[int, ...]
    loss: LeafLoss
    recipe: Recipe
    name: str
    seed: int = 0

    def __post_init__(self) -> None:
        self._shapes()  # refuses groups that do not fit
        shape = DESIGNS[self.preset].shape
        if self.data.shape != shape:
            given, expected = (" x ".join(map(str, size)) for size in (self.data.shape, shape))
            fitting = [name for name, design in DESIGNS.items() if design.shape == self.data.shape]
            raise UsageError(
                f"data {self.data.spec!r} has images of {given}, preset {self.preset} takes {expected}; "
                + (f"presets for them: {', '.join(fitting)}" if fitting else "there is no preset for them")
            )
        for split in self.data.parts:
            labels = self.data.labels(split)
            wrong = ((labels < 0) | (labels >= self.data.classes)).nonzero()
            if len(wrong):
                row = int(wrong[0])
                raise ContentError(
                    f"data {self.data.spec!r}: label {int(labels[row])} of row {row} in {split}; "
                    f"expected a class from 0 to {self.data.classes - 1}"
                )

    @property
    def key(self) -> str:
        """Changes with the data, the network, the loss, the training and the version of torch."""
        settings = [self.preset, self.groups, asdict(self.loss), asdict(self.recipe), self.seed, self.data.key]
        return hashlib.sha256(json.dumps([settings, self._shapes(), torch.__version__]).encode()).hexdigest()[:16]

    def start(self) -> LeafNet:
        """The network before training, the same at every call."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1000 * self.seed)
            return self._net()

    def _net(self) -> LeafNet:
        return LeafNet(self.preset, Tree.whole(self.groups), self.data.classes)

    def _shapes(self) -> list[list[int]]:
        with torch.device("meta"):
            return [list(parameter.shape) for parameter in self._net().parameters()]

    def phases(self) -> Iterator[Phase]:
        net = self.start()

        def loss(batch: Minibatch, step: Step) -> dict[str, Tensor]:
            images, labels = batch[:2]
            logits = net(images)
            return {"loss": self.loss(logits, labels), "accuracy": accuracy(logits.mean(dim=1), labels)}

        optimizers = [(self.recipe.optimizer(net), self.recipe.schedule())]
        batches = self.data.batches(self.recipe.batch_size)
        yield Phase(
            PHASE, {"net": net}, batches, loss, optimizers, self.recipe.epochs, evaluate=lambda: self.validate(net)
        )

    def validate(self, net: LeafNet, split: str = "val") -> dict[str, float]:
        """Accuracy of all leaves on a split, and of the first 1, 2, 4, .."""
        device = next(net.parameters()).device
        steps = sizes(len(net.tree.leaves))
        right, units = torch.zeros(len(steps), dtype=torch.int64), 0
        for images, labels, *_ in self.data.batches(self.recipe.batch_size, split=split, augment=False).epoch(
            torch.Generator()
        ):
            logits = net(images.to(device)).float().cpu()
            right += torch.stack([(logits[:, :size].sum(dim=1).argmax(dim=1) == labels).sum() for size in steps])
            units += len(labels)
        accuracies = [int(count) / units for count in right]
        few = {f"{split}_accuracy_{size}": value for size, value in zip(steps[:-1], accuracies, strict=False)}
        return {f"{split}_accuracy": accuracies[-1], **few}

    def models(self, net: LeafNet) -> list[LoadedModel]:
        """The leaves of the trained network as `extract` takes them."""
        macs = net.block_macs()
        leaves, images = net.tree.leaves, len(self.data.labels("train"))
        whole = sum(len(net.tree.nodes(block)) * cost for block, cost in enumerate(macs))
        facts = {"training": self.key, "groups": list(self.groups), **asdict(self.loss)}
        members = []
        for leaf in leaves:
            path = nn.Sequential(net.part([leaf]), MeanOfLeaves()).eval()
            nodes = [(block, *net.tree.part([leaf]).nodes(block)) for block in range(len(macs))]
            members.append(
                LoadedModel(
                    path,
                    f"{self.name}/{leaf}",
                    self.name,
                    leaf,
                    f"train hne on {self.data.spec}",
                    state_hash(path),
                    training_cost=PASSES * self.recipe.epochs * images * whole / len(leaves),
                    meta=facts,
                    preprocess=self.data.preprocess,
                    blocks={f"{self.name}:b{block}n{node}": macs[block] for block, node in nodes},
                    group=self.name,
                    position=leaf,
                )
            )
        return members


class MeanOfLeaves(nn.Module):
    """[n, K, classes] -> [n, classes]"""

    def forward(self, logits: Tensor) -> Tensor:
        return logits.mean(dim=1)


def make_hierarchy(
    data: TrainingData,
    preset: str | None = None,
    *,
    schedule: str = "tree",
    leaves: int | None = None,
    loss: LeafLoss | None = None,
    seed: int = 0,
    name: str | None = None,
    **changes: Unpack[RecipeChanges],
) -> Hierarchy:
    """preset : of PRESETS, by default the one for the data; leaves, changes : where they are not the preset's.

    name : of the architecture; by default the preset and what differs from its usual schedule, leaves and loss ('lhd').
    """
    preset = preset or USUAL_PRESETS.get(data.name, "hne")
    if preset not in PRESETS:
        raise UnknownNameError("preset", preset, PRESETS)
    if seed < 0:
        raise UsageError(f"seed {seed}: expected a number from 0")
    usual, loss = PRESETS[preset], loss or LeafLoss()
    leaves = usual.leaves if leaves is None else leaves
    try:
        groups = group_schedule(schedule, leaves, DESIGNS[preset].depth)
    except UsageError as error:
        raise UsageError(f"preset {preset}: {error}") from None
    differs = [
        *([f"n{leaves}"] if leaves != usual.leaves else []),
        *([schedule] if schedule != "tree" else []),
        *([loss.name] if loss.name != "lhd" else []),
    ]
    name = name or Origin("hne", data.name, "-".join([preset, *differs]), seed).architecture
    return Hierarchy(data, preset, groups, loss, usual.recipe.changed(**changes), name, seed)


def train_hne(hierarchy: Hierarchy, store: LogitStore, **options: Unpack[TrainOptions]) -> list[Extracted]:
    """Train, or load the checkpoints, and put every leaf's logits for val and test into the store."""
    leaves = range(hierarchy.groups[-1])
    check_free(store, {f"{hierarchy.name}/{leaf}": hierarchy.key for leaf in leaves}, **options)
    run = fit(hierarchy, hierarchy.data, seed=hierarchy.seed, **options)
    net = run.modules[PHASE]["net"]
    assert isinstance(net, LeafNet)
    return into_store(hierarchy.models(net), hierarchy.data, store, **options)

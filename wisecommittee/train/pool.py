"""The embedded pool: every architecture of nets.py, two replicas each, trained on 597 noisy digits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from dataclasses import replace as with_fields
from typing import Unpack

import torch
from torch import nn

from wisecommittee.errors import UnknownNameError
from wisecommittee.extraction.data.digits import NOISE, SEED
from wisecommittee.extraction.data.digits import SPLITS as SPLIT_UNITS
from wisecommittee.extraction.extract import Extracted
from wisecommittee.extraction.models.loaded import LoadedModel
from wisecommittee.extraction.models.macs import count_macs
from wisecommittee.extraction.models.weights import state_hash
from wisecommittee.store import LogitStore
from wisecommittee.train.data import open_training_data
from wisecommittee.train.loop import Phase
from wisecommittee.train.nets import NETS, build
from wisecommittee.train.run import TrainOptions, check_free, fit, into_store
from wisecommittee.train.supervised import PASSES, Recipe, supervised


@dataclass(frozen=True, slots=True)
class Pool:
    """A Method: one phase per model. Fresh pixel noise and shifts of up to one pixel at every epoch; SGD, cosine lr."""

    architectures: tuple[str, ...] = tuple(NETS)
    replicas: int = 2
    epochs: int = 40
    batch_size: int = 64
    lr: float = 0.05
    weight_decay: float = 5e-4
    noise: float = NOISE
    seed: int = 0

    @property
    def key(self) -> str:
        """Changes with the settings, the networks, the data and the version of torch."""
        shapes = {a: [list(p.shape) for p in build(a).parameters()] for a in self.architectures}
        facts = [asdict(self), shapes, SEED, torch.__version__]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def members(self) -> dict[str, tuple[str, int]]:
        """{'mlp/0': ('mlp', 0), ..} in the order of training."""
        return {f"{a}/{r}": (a, r) for a in self.architectures for r in range(self.replicas)}

    def build(self, model: str) -> nn.Module:
        """The network before training, the same at every call. Replicas differ in initialisation and batches."""
        if model not in self.members:
            raise UnknownNameError("model of the digits pool", model, self.members)
        architecture, replica = self.members[model]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1000 * self.seed + replica)
            return build(architecture)

    def phases(self) -> Iterator[Phase]:
        data = open_training_data("digits", pixel_noise=self.noise).batches(self.batch_size)
        recipe = Recipe(self.epochs, self.batch_size, self.lr, self.weight_decay)
        for model in self.members:
            yield supervised(model, self.build(model), data, recipe)


def train_pool(
    store: LogitStore, *, pool: Pool | None = None, dtype: str = "float32", **options: Unpack[TrainOptions]
) -> list[Extracted]:
    """Train the pool where it is not trained yet, and put its logits for val and test into the store."""
    pool = pool or Pool()
    check_free(store, dict.fromkeys(pool.members, pool.key), **options)
    models = trained(pool, **options)
    return into_store(models, open_training_data("digits"), store, dtype=dtype, **options)


def trained(pool: Pool, **options: Unpack[TrainOptions]) -> list[LoadedModel]:
    """The pool's trained networks, in eval mode on the CPU."""
    run = fit(pool, open_training_data("digits"), seed=pool.seed, **options)
    return [_loaded(pool, model, modules["net"]) for model, modules in run.modules.items()]


def load_member(spec: str, model: str, name: str | None = None, random_weights: bool = False) -> LoadedModel:
    """The model source `digits:NAME`: a member of the default pool, trained first if it has to be."""
    pool = Pool()
    untrained = _loaded(pool, model, pool.build(model))
    if random_weights:
        return with_fields(untrained, meta={"random_weights": True})
    return next(loaded for loaded in trained(pool) if loaded.name == model)


def _loaded(pool: Pool, model: str, net: nn.Module) -> LoadedModel:
    architecture, replica = pool.members[model]
    net.eval()
    images = pool.epochs * SPLIT_UNITS["train"]
    cost = PASSES * images * count_macs(net, torch.empty(1, 1, 8, 8), model)
    origin, meta = f"digits:{model}", {"pool": pool.key}
    return LoadedModel(net, model, architecture, replica, origin, state_hash(net), training_cost=cost, meta=meta)

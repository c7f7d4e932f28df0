"""The embedded pool: every architecture of nets.py, two replicas each, trained on 597 noisy digits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from dataclasses import replace as with_fields
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from wisecommittee.errors import UnknownNameError
from wisecommittee.extract.digits import NOISE, SEED, digits
from wisecommittee.extract.digits import SPLITS as SPLIT_UNITS
from wisecommittee.extract.forward import pick_device
from wisecommittee.extract.macs import count_macs
from wisecommittee.extract.models import LoadedModel, state_hash
from wisecommittee.extract.run import Extracted, extract
from wisecommittee.store import LogitStore
from wisecommittee.store.cache import cache_folder
from wisecommittee.train.loop import Batch, Minibatches, Phase, Progress, Row, Step, cosine, train
from wisecommittee.train.nets import NETS, build

SPLITS = ("val", "test")


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
        images, labels, _ = digits("train", noise=0.0)
        data = Minibatches((torch.from_numpy(images), torch.from_numpy(labels)), self.batch_size, self._augment)
        for model in self.members:
            yield self._phase(model, self.build(model), data)

    def _phase(self, model: str, net: nn.Module, data: Minibatches) -> Phase:
        optimizer = torch.optim.SGD(
            net.parameters(), self.lr, momentum=0.9, weight_decay=self.weight_decay, nesterov=True
        )

        def loss(batch: Batch, step: Step) -> dict[str, Tensor]:
            images, labels = batch
            logits = net(images)
            accuracy = (logits.argmax(dim=1) == labels).float().mean()
            return {"loss": functional.cross_entropy(logits, labels), "accuracy": accuracy}

        return Phase(model, {"net": net}, data, loss, [(optimizer, cosine(self.epochs))], self.epochs)

    def _augment(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """images [n, 1, 8, 8] -> each shifted by -1, 0 or 1 pixels in both directions, with noise of its own."""
        n, _, height, width = images.shape
        padded = functional.pad(images[:, 0], (1, 1, 1, 1))
        down, right = torch.randint(0, 3, (2, n, 1), generator=generator)
        rows, columns = down + torch.arange(height), right + torch.arange(width)
        shifted = padded[torch.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]][:, None]
        return shifted + self.noise * torch.randn(shifted.shape, generator=generator)


def train_pool(
    store: LogitStore,
    *,
    pool: Pool | None = None,
    splits: tuple[str, ...] = SPLITS,
    checkpoints: Path | None = None,
    device: str = "cpu",
    replace: bool = False,
    dtype: str = "float32",
    progress: Progress | None = None,
    log: Callable[[Row], None] | None = None,
) -> list[Extracted]:
    """Train the pool where it is not trained yet, and put its logits for val and test into the store.

    checkpoints : folder of the trained networks, default `pool/<key>` in the user's cache folder; later calls load.
    """
    pool = pool or Pool()
    device = str(pick_device(device))
    models = trained(pool, checkpoints, device=device, progress=progress, log=log)
    extracted: list[Extracted] = []
    for split in splits:
        options = {"device": device, "dtype": dtype, "replace": replace, "progress": progress}
        extracted += extract(models, f"digits:{split}", split, store, **options)  # type: ignore[arg-type]
    return extracted


def trained(
    pool: Pool,
    checkpoints: Path | None = None,
    *,
    device: str = "cpu",
    progress: Progress | None = None,
    log: Callable[[Row], None] | None = None,
) -> list[LoadedModel]:
    """The pool's trained networks, in eval mode on the CPU."""
    folder = checkpoints or cache_folder() / "pool" / pool.key
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as fast for networks this small, and the weights do not depend on the machine's cores
    try:
        run = train(pool, seed=pool.seed, device=device, checkpoints=folder, progress=progress, log=log)
    finally:
        torch.set_num_threads(threads)
    return [_loaded(pool, model, modules["net"].cpu()) for model, modules in run.modules.items()]


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
    # A training step is counted as three forward passes: forward, gradient of the inputs, gradient of the weights.
    cost = 3.0 * images * count_macs(net, torch.empty(1, 1, 8, 8), model)
    origin, meta = f"digits:{model}", {"pool": pool.key}
    return LoadedModel(net, model, architecture, replica, origin, state_hash(net), training_cost=cost, meta=meta)

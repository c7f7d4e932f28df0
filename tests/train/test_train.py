"""The training loop against closed forms and through interruptions; the digits pool."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from wisecommittee.errors import ContentError, StoreError, UnknownNameError, WiseCommitteeError
from wisecommittee.extraction.data.digits import digits
from wisecommittee.extraction.models.macs import count_macs
from wisecommittee.extraction.models.spec import load_model
from wisecommittee.extraction.models.weights import state_hash
from wisecommittee.store import LogitStore
from wisecommittee.train import pool as pool_module
from wisecommittee.train.data_digits import shifted
from wisecommittee.train.loop import Minibatches, Phase, cosine, train
from wisecommittee.train.nets import NETS, build
from wisecommittee.train.pool import DigitsPool, train_pool, trained

torch.set_num_threads(1)

X = torch.randn(50, 3, generator=torch.Generator().manual_seed(1))
Y = X @ torch.tensor([[1.0], [-2.0], [0.5]]) + 0.3


def constant(time):
    return 1.0


@dataclass
class Regression:
    """Least squares; every default can be exchanged."""

    net: nn.Module = field(default_factory=lambda: nn.Linear(3, 1))
    size: int = 50
    epochs: int = 6
    key: str = "regression"
    schedule: object = None
    augment: object = None
    options: dict = field(default_factory=dict)

    def loss(self, batch, step):
        x, y = batch
        error = functional.mse_loss(self.net(x), y)
        return {"loss": error, "target": y.mean()}

    def phases(self):
        optimizer = torch.optim.SGD(self.net.parameters(), lr=0.1, momentum=0.9)
        schedules = [(optimizer, self.schedule or cosine(self.epochs))]
        data = Minibatches((X, Y), self.size, self.augment)
        given = {"modules": {"net": self.net}, "loss": self.loss} | self.options
        yield Phase("fit", batches=data, optimizers=schedules, epochs=self.epochs, **given)


def test_gradient_descent_in_closed_form():
    """Full batches: w' = w - lr_t m, m = 0.9 m + gradient, in float64 numpy."""
    torch.manual_seed(0)
    method = Regression()
    x, y = np.c_[X.double().numpy(), np.ones(50)], Y.double().numpy()
    w = np.r_[method.net.weight.detach().double().numpy().T, method.net.bias.detach().double().numpy()[None]]
    momentum, losses, rates = np.zeros_like(w), [], []
    for epoch in range(6):
        losses.append(((x @ w - y) ** 2).mean())
        momentum = 0.9 * momentum + 2 * x.T @ (x @ w - y) / 50
        rates.append(0.1 * 0.5 * (1 + math.cos(math.pi * epoch / 6)))
        w = w - rates[-1] * momentum
    run = train(method)
    np.testing.assert_allclose(method.net.weight.detach().numpy(), w[:3].T, atol=1e-5)
    np.testing.assert_allclose(method.net.bias.detach().numpy(), w[3], atol=1e-5)
    np.testing.assert_allclose([row["loss"] for row in run.curve], losses, rtol=1e-5)
    np.testing.assert_allclose([row["lr"] for row in run.curve], rates, rtol=1e-6)
    assert [row["epoch"] for row in run.curve] == [1, 2, 3, 4, 5, 6]
    assert all(row["phase"] == "fit" and row["seconds"] > 0 for row in run.curve)
    assert run.modules["fit"]["net"] is method.net


def test_figures_are_means_over_units_not_over_batches():
    """50 units in batches of 16, 16, 16 and 2: the mean target of an epoch is that of the data."""
    run = train(Regression(size=16, epochs=2))
    np.testing.assert_allclose([row["target"] for row in run.curve], float(Y.mean()), rtol=1e-5)


def test_every_epoch_has_every_unit_once_in_an_order_of_its_own():
    data = Minibatches((torch.arange(50), torch.arange(50)), 16)
    orders = []
    for seed in (0, 0, 1):
        batches = list(data.epoch(torch.Generator().manual_seed(seed)))
        assert [len(first) for first, _ in batches] == [16, 16, 16, 2]
        assert len(data) == 4
        assert all(torch.equal(first, second) for first, second in batches)
        orders.append(torch.cat([first for first, _ in batches]).tolist())
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[2]) == list(range(50))


class Stop(Exception):
    pass


def noisy(seed=0):
    """Order, augmentation and dropout all draw random numbers."""
    torch.manual_seed(7)
    net = nn.Sequential(nn.Linear(3, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 1))
    return Regression(net, 16, augment=lambda x, generator: x + 0.1 * torch.randn(x.shape, generator=generator))


def without_seconds(curve):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in curve]


@pytest.mark.parametrize("stop_after", [1, 2, 3, 5])
def test_an_interrupted_run_ends_with_the_same_bits(stop_after, tmp_path):
    whole = noisy()
    expected = train(whole, seed=3).curve
    epochs = []

    def stop(row):
        if row["epoch"] == stop_after:
            raise Stop

    with pytest.raises(Stop):
        train(noisy(), seed=3, checkpoints=tmp_path, checkpoint_every=2, log=stop)
    torch.rand(100)  # whatever happens in between
    again = noisy()
    for parameter in again.net.parameters():
        nn.init.zeros_(parameter)  # so that only the checkpoint can know them
    if stop_after < 3:
        again = noisy()
    curve = train(
        again, seed=3, checkpoints=tmp_path, checkpoint_every=2, log=lambda row: epochs.append(row["epoch"])
    ).curve
    saved = (stop_after - 1) // 2 * 2
    assert epochs == list(range(saved + 1, 7))
    assert state_hash(again.net) == state_hash(whole.net)
    assert without_seconds(curve) == without_seconds(expected)


def test_a_finished_run_only_loads(tmp_path):
    first, second = noisy(), noisy()
    curve = train(first, checkpoints=tmp_path).curve
    never = lambda row: pytest.fail("trained again")  # noqa: E731
    assert train(second, checkpoints=tmp_path, log=never).curve == curve
    assert state_hash(second.net) == state_hash(first.net)


def test_the_seed_decides_and_the_global_generator_is_left_alone():
    runs = [noisy() for _ in range(3)]
    torch.manual_seed(99)
    state = torch.random.get_rng_state()
    for method, seed in zip(runs, (0, 0, 1), strict=True):
        train(method, seed=seed)
        assert torch.equal(torch.random.get_rng_state(), state)
    hashes = [state_hash(method.net) for method in runs]
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize("damage", ["key", "bytes", "shape", "pickle"])
def test_checkpoints_that_do_not_fit_are_refused(damage, tmp_path):
    train(Regression(), checkpoints=tmp_path)
    (file,) = tmp_path.glob("*.pt")
    again = Regression()
    if damage == "key":
        again.key = "other"
    elif damage == "bytes":
        file.write_bytes(file.read_bytes()[:100])
    elif damage == "shape":
        again = Regression(nn.Linear(3, 1, bias=False))
    else:
        torch.save(nn.Linear(3, 1), file)  # would need code to load
    with pytest.raises(ContentError, match=r"00-fit\.pt"):
        train(again, checkpoints=tmp_path)


def test_a_loss_that_explodes_is_an_error():
    with pytest.raises(WiseCommitteeError, match=r"fit: the loss became .*lower learning rate"):
        train(Regression(schedule=lambda time: 1e6, epochs=30))


def test_evaluation_is_in_eval_mode_and_training_is_not():
    modes = {"loss": [], "evaluate": []}
    method = noisy()
    plain = method.loss

    def loss(batch, step):
        modes["loss"].append(method.net.training)
        return plain(batch, step)

    def evaluate():
        modes["evaluate"].append(method.net.training or torch.is_grad_enabled())
        return {"error": 0.25}

    method.options = {"loss": loss, "evaluate": evaluate}
    curve = train(method).curve
    assert modes == {"loss": [True] * 24, "evaluate": [False] * 6}
    assert [row["error"] for row in curve] == [0.25] * 6


def test_mixed_precision():
    types = []
    method = Regression()
    hook = method.net.register_forward_hook(lambda module, inputs, output: types.append(output.dtype))
    train(method, mixed_precision=torch.bfloat16)
    hook.remove()
    assert set(types) == {torch.bfloat16}
    assert method.net.weight.dtype == torch.float32


# What the methods to come need of the loop


@dataclass
class Snapshots:
    """Cyclic cosine per iteration, the weights copied at the end of every cycle."""

    cycles: int = 3
    epochs: int = 6
    key: str = "snapshots"
    rates: list = field(default_factory=list)

    def phases(self):
        torch.manual_seed(0)
        net = nn.Linear(3, 1)
        copies = {f"copy-{i}": nn.Linear(3, 1) for i in range(self.cycles)}
        length = self.epochs // self.cycles
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

        def on_step(step):
            self.rates.append(optimizer.param_groups[0]["lr"])
            if step.ends_epoch and step.time % length == 0:
                copies[f"copy-{int(step.time) // length - 1}"].load_state_dict(net.state_dict())

        def loss(batch, step):
            return {"loss": functional.mse_loss(net(batch[0]), batch[1])}

        schedule = lambda time: 0.5 * (1 + math.cos(math.pi * (time % length) / length))  # noqa: E731
        data = Minibatches((X, Y), 16)
        yield Phase("all", {"net": net} | copies, data, loss, [(optimizer, schedule)], self.epochs, on_step=on_step)


def test_snapshots_fit_the_loop(tmp_path):
    method = Snapshots()
    modules = train(method).modules["all"]
    # 6 epochs of 4 steps, cycles of 8 steps.
    expected = [0.05 * (math.cos(math.pi * (step % 8) / 8) + 1) for step in range(24)]
    np.testing.assert_allclose(method.rates, expected, rtol=1e-9)
    hashes = [state_hash(modules[f"copy-{i}"]) for i in range(3)]
    assert len(set(hashes)) == 3
    assert hashes[2] == state_hash(modules["net"])

    def stop(row):
        if row["epoch"] == 5:
            raise Stop

    with pytest.raises(Stop):
        train(Snapshots(), checkpoints=tmp_path, checkpoint_every=1, log=stop)
    resumed = train(Snapshots(), checkpoints=tmp_path, checkpoint_every=1).modules["all"]
    assert [state_hash(resumed[f"copy-{i}"]) for i in range(3)] == hashes


@dataclass
class Boosting:
    """Phase t fits the residual of the frozen sum of phases 0..t-1; a second optimiser lives on across the phases."""

    key: str = "boosting"
    log: list = field(default_factory=list)

    def phases(self):
        torch.manual_seed(0)
        done, shared = [], nn.Linear(3, 1)
        for t in range(3):
            net = nn.Linear(3, 1)
            yield Phase(f"stage-{t}", {"net": net, "shared": shared, **dict(done)}, Minibatches((X, Y), 50),
                        partial(self.loss, net, shared, list(done)), self.optimizers(net, shared), 4,
                        on_epoch=partial(self.freeze, list(done)))  # fmt: skip
            done.append((f"done-{t}", net))

    def optimizers(self, net, shared):
        sgd = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        return [(sgd, constant), (torch.optim.Adam(shared.parameters(), lr=0.01), lambda time: 0.5)]

    def freeze(self, done, epoch):
        for _, module in done:
            module.eval()

    def loss(self, net, shared, done, batch, step):
        x, y = batch
        with torch.no_grad():
            before = sum((module(x) for _, module in done), torch.zeros_like(y))
        self.log.append([module.training for _, module in done])
        return {"loss": functional.mse_loss(before + net(x) + shared(x), y)}


def test_phases_one_after_another_fit_the_loop(tmp_path):
    method = Boosting()
    run = train(method)
    assert list(run.modules) == ["stage-0", "stage-1", "stage-2"]
    assert method.log == [[]] * 4 + [[False]] * 4 + [[False, False]] * 4
    first, last = run.modules["stage-0"], run.modules["stage-2"]
    assert last["done-0"] is first["net"]

    def stop(row):
        if (row["phase"], row["epoch"]) == ("stage-1", 3):
            raise Stop

    with pytest.raises(Stop):
        train(Boosting(), checkpoints=tmp_path, checkpoint_every=2, log=stop)
    rows = []
    resumed = train(Boosting(), checkpoints=tmp_path, checkpoint_every=2, log=rows.append)
    assert [(row["phase"], row["epoch"]) for row in rows][:2] == [("stage-1", 3), ("stage-1", 4)]
    for name, module in last.items():
        assert state_hash(resumed.modules["stage-2"][name]) == state_hash(module)


# The pool

SMALL = DigitsPool(architectures=("linear", "conv4"), replicas=2, epochs=2)
MACS = {
    "linear": 64 * 10,
    "mlp": 64 * 32 + 32 * 10,
    "conv4": 64 * 9 * (4 + 4 * 4) + 16 * 9 * 4 * 8 + 32 * 10,
    "conv8": 64 * 9 * (8 + 8 * 12) + 16 * 9 * 12 * 16 + 64 * 10,
    "conv16": 64 * 9 * (16 + 16 * 24) + 16 * 9 * 24 * 48 + 192 * 10,
}


def test_the_ladder_of_costs():
    counted = {name: count_macs(build(name), torch.zeros(1, 1, 8, 8)) for name in NETS}
    assert counted == MACS
    assert list(counted.values()) == sorted(counted.values())
    assert counted["conv16"] > 30 * counted["linear"]
    with pytest.raises(UnknownNameError, match=r"unknown digits architecture 'conv5'.*Known: conv16, conv4"):
        build("conv5")


def test_replicas_start_from_weights_of_their_own():
    hashes = [
        state_hash(pool.build(name)) for pool in (DigitsPool(), DigitsPool(seed=1)) for name in ("mlp/0", "mlp/1")
    ]
    assert len(set(hashes)) == 4
    assert state_hash(DigitsPool().build("mlp/0")) == hashes[0]


def test_train_pool_writes_what_the_networks_say(tmp_path):
    store, curve = LogitStore(tmp_path / "logits"), []
    done = train_pool(store, pool=SMALL, checkpoints=tmp_path / "kept", log=curve.append)
    names = ["linear/0", "linear/1", "conv4/0", "conv4/1"]
    assert [(item.split, item.card.model) for item in done] == [(s, n) for s in ("val", "test") for n in names]
    assert [row["phase"] for row in curve] == [name for name in names for _ in range(2)]
    assert {"loss", "accuracy", "lr", "seconds"} <= set(curve[0])
    for number, name in enumerate(names):
        file = tmp_path / "kept" / f"{number:02d}-{name.replace('/', '_')}.pt"
        net = build(name.partition("/")[0])
        net.load_state_dict(torch.load(file, weights_only=True)["modules"]["net"])
        net.eval()
        for split in ("val", "test"):
            images, labels, unit_ids = digits(split)
            with torch.no_grad():
                expected = net(torch.from_numpy(images)).numpy()
            np.testing.assert_allclose(store.outputs(name, split), expected, atol=1e-5)
            assert store.labels(split).tolist() == labels.tolist()
            assert store.unit_ids(split) == unit_ids
            card = store.card(name, split)
            assert card.blocks == {name: MACS[card.architecture]}
            assert card.training_cost == 3 * MACS[card.architecture] * 597 * 2
    weights = {store.card(name, "val").weights for name in names}
    assert len(weights) == 4
    assert weights == {store.card(name, "test").weights for name in names}
    assert store.verify() == []

    never = lambda row: pytest.fail("trained again")  # noqa: E731
    again = train_pool(store, pool=SMALL, checkpoints=tmp_path / "kept", log=never)
    assert {item.status for item in again} == {"unchanged"}
    with pytest.raises(StoreError, match="linear/0 is in val already, trained with other settings; use replace=True"):
        train_pool(store, pool=replace(SMALL, lr=0.06), log=never)


def test_the_cache_is_keyed_by_the_settings(own_cache):
    first = trained(SMALL)
    assert (own_cache / "trained" / SMALL.key / "03-conv4_1.pt").exists()
    never = lambda row: pytest.fail("trained again")  # noqa: E731
    assert [m.weights for m in trained(SMALL, log=never)] == [m.weights for m in first]
    others = [
        DigitsPool(),
        DigitsPool(epochs=41),
        DigitsPool(lr=0.06),
        DigitsPool(seed=1),
        DigitsPool(noise=0.1),
        DigitsPool(replicas=3),
        SMALL,
    ]
    assert len({pool.key for pool in others}) == len(others)


def test_the_weights_do_not_depend_on_the_number_of_threads(tmp_path):
    weights = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        weights.append([m.weights for m in trained(SMALL, checkpoints=tmp_path / str(threads))])
        assert torch.get_num_threads() == threads
        torch.set_num_threads(1)
    assert weights[0] == weights[1]


def test_digits_as_a_model_source(monkeypatch):
    monkeypatch.setattr(pool_module, "DigitsPool", partial(DigitsPool, architectures=("linear",), replicas=2, epochs=2))
    loaded = load_model("digits:linear/1")
    assert (loaded.name, loaded.architecture, loaded.replica, loaded.origin) == (
        "linear/1",
        "linear",
        1,
        "digits:linear/1",
    )
    assert loaded.weights == trained(pool_module.DigitsPool())[1].weights
    random = load_model("digits:linear/1", random_weights=True)
    assert random.weights != loaded.weights
    assert random.meta["random_weights"] is True


def test_augmentation_shifts_each_image_by_at_most_a_pixel():
    images = torch.from_numpy(digits("train", noise=0.0)[0][:200])
    moved = shifted(images, torch.Generator().manual_seed(0), noise=0.0)
    padded = functional.pad(images, (1, 1, 1, 1))
    seen = set()
    for before, after in zip(padded, moved, strict=True):
        fits = [(i, j) for i in range(3) for j in range(3) if torch.equal(before[:, i : i + 8, j : j + 8], after)]
        assert fits
        seen.add(fits[0])
    assert len(seen) == 9
    noise = shifted(torch.zeros(200, 1, 8, 8), torch.Generator().manual_seed(0), noise=0.15)
    assert float(noise.std()) == pytest.approx(0.15, rel=0.02)


def test_accuracy_rises_with_cost():
    """The default settings, smallest and largest architecture: far apart on val (measured: 83 % and 97 %)."""
    images, labels, _ = digits("val")
    accuracy = {}
    for model in trained(DigitsPool(architectures=("linear", "conv16"), replicas=1)):
        with torch.no_grad():
            predicted = model.module(torch.from_numpy(images)).argmax(dim=1).numpy()
        accuracy[model.architecture] = (predicted == labels).mean()
    assert 0.75 < accuracy["linear"] < 0.88
    assert 0.94 < accuracy["conv16"] < 0.995

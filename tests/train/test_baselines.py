"""Baselines: schedules against their formulas, mixtures against loops, the way into the store."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass
from dataclasses import replace as with_fields

import numpy as np
import pandas as pd
import pytest
import torch
from wisecommittee.cli import main

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.naming import METHODS, Origin
from wisecommittee.errors import StoreError, UnknownNameError, UsageError
from wisecommittee.extraction.models.macs import count_macs
from wisecommittee.extraction.models.weights import state_hash
from wisecommittee.searches.evaluate import evaluate
from wisecommittee.store import LogitStore
from wisecommittee.train.data import open_training_data
from wisecommittee.train.fge import FastGeometric
from wisecommittee.train.independent import Independent
from wisecommittee.train.loop import train
from wisecommittee.train.moe import Mixture, MixtureOfExperts, variation
from wisecommittee.train.snapshot import Snapshot
from wisecommittee.train.supervised import RECIPES, Recipe, Setup, make_setup, train_baseline

torch.set_num_threads(1)

WHOLE = open_training_data("digits")
UNITS = 130
DATA = with_fields(WHOLE, parts={**WHOLE.parts, "train": WHOLE.parts["train"].rows(np.arange(UNITS))})
MACS = 64 * 9 * (12 + 12 * 24) + 16 * 9 * 24 * 32 + 128 * 10
STEPS = 3  # an epoch: minibatches of 64, 64 and 2 images


class Stop(Exception):
    pass


def setup(epochs=2, **changes):
    return Setup(DATA, "digits-cnn", with_fields(RECIPES["digits"], epochs=epochs, **changes))


@dataclass
class Watched:
    """A method whose every step notes the lr it was made with and the weights it gave."""

    method: object
    rates: list
    weights: list
    key: str = "watched"

    def phases(self):
        for phase in self.method.phases():
            self.rates.append([])
            self.weights.append([])
            yield with_fields(phase, on_step=self.after(phase))

    def after(self, phase):
        def note(step):
            self.rates[-1].append(phase.optimizers[0][0].param_groups[0]["lr"])
            self.weights[-1].append(state_hash(phase.modules["net"]))
            if phase.on_step:
                phase.on_step(step)

        return note


def watch(method):
    watched = Watched(method, [], [])
    return train(watched), watched


@pytest.mark.parametrize(("epochs", "count"), [(3, 2), (4, 3), (5, 4)])
def test_snapshots_against_the_formula(epochs, count):
    method = Snapshot(setup(epochs, lr=0.02), count)
    run, watched = watch(method)
    total = epochs * STEPS
    cycle = math.ceil(total / count)
    expected = [0.02 / 2 * (math.cos(math.pi * (it % cycle) / cycle) + 1) for it in range(total)]
    np.testing.assert_allclose(watched.rates[0], expected, rtol=1e-9)
    ends = [min(total, (number + 1) * cycle) for number in range(count)]
    modules = run.modules["snapshots"]
    members = [state_hash(modules[f"member-{number}"]) for number in range(count)]
    assert members == [watched.weights[0][end - 1] for end in ends]
    assert len(set(members)) == count
    assert [model.weights for model in method.models(run)] == members


def geometric_lr(epoch, i, n, c=4, a1=5e-2, a2=1e-4):
    t = ((epoch % c) + i / n) / c
    return a1 * (1 - 2 * t) + a2 * 2 * t if t < 0.5 else a1 * (2 * t - 1) + a2 * (2 - 2 * t)


def test_fast_geometric_cycles_against_the_formula():
    method = FastGeometric(setup(1), count=2)
    run, watched = watch(method)
    assert [len(rates) // STEPS for rates in watched.rates] == [1, 6]
    expected = [geometric_lr(step // STEPS, step % STEPS, STEPS) for step in range(6 * STEPS)]
    np.testing.assert_allclose(watched.rates[1], expected, rtol=1e-9)
    # The copies stand where the lr would be lowest next: in the middle of epochs 0-3 and 4-7.
    np.testing.assert_allclose([method.lr(2.0), method.lr(6.0)], 1e-4, rtol=1e-9)
    assert min(method.lr(step / 100) for step in range(800)) == pytest.approx(1e-4)
    members = [state_hash(run.modules["cycles"][f"member-{number}"]) for number in (0, 1)]
    assert members == [watched.weights[1][2 * STEPS - 1], watched.weights[1][6 * STEPS - 1]]
    assert members[0] != members[1]


def test_recipes_against_torch():
    net = torch.nn.Linear(1, 1)
    recipe = RECIPES["cifar"]
    assert (recipe.epochs, recipe.batch_size, recipe.weight_decay) == (200, 128, 5e-4)
    optimizer = recipe.optimizer(net)
    assert optimizer.param_groups[0]["momentum"] == 0.9
    assert optimizer.param_groups[0]["nesterov"]
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [60, 120, 160], 0.2)
    for epoch in range(200):
        expected = optimizer.param_groups[0]["lr"]
        assert 0.1 * recipe.schedule()(epoch) == pytest.approx(expected)
        assert 0.1 * recipe.schedule()(epoch + 0.99) == pytest.approx(expected)
        optimizer.step()
        scheduler.step()
    digits = RECIPES["digits"].schedule()
    assert [digits(time) for time in (0, 10, 20, 40)] == pytest.approx([1, 0.5 + 0.5**1.5, 0.5, 0], abs=1e-12)


def mixture(active, experts=3):
    base = setup()
    torch.manual_seed(3)
    made = Mixture(base.start(9), [base.start(number) for number in range(experts)], active)
    return made.eval()


@pytest.mark.parametrize("active", [1, 2, 3])
def test_mixtures_against_loops(active):
    net = mixture(active)
    images = DATA.tensors("val")[0][:40]
    with torch.no_grad():
        given = net(images)
        features = net.extractor.features(images)
        alone = [expert(images).softmax(dim=1).double().numpy() for expert in net.experts]
    scores = (features @ net.gate.weight.T).double().detach().numpy()
    for unit in range(len(images)):
        best = sorted(range(3), key=lambda k: -scores[unit, k])[:active]
        total = sum(math.exp(scores[unit, k]) for k in best)
        mixed = sum(math.exp(scores[unit, k]) / total * alone[k][unit] for k in best)
        np.testing.assert_allclose(given[unit].double().exp().numpy(), mixed, atol=1e-5)
    assert np.allclose(given.exp().sum(dim=1), 1, atol=1e-5)


def test_multiply_adds_of_mixtures():
    class Dense(torch.nn.Module):
        def __init__(self, net):
            super().__init__()
            self.net = net

        def forward(self, images):
            weights = self.net.gate(self.net.extractor.features(images)).softmax(dim=1)
            return sum(weights[:, k, None] * expert(images) for k, expert in enumerate(self.net.experts))

    unit = torch.zeros(1, 1, 8, 8)
    counted = count_macs(Dense(mixture(3)), unit)
    assert count_macs(mixture(3), unit) == counted == (MACS - 1280) + 3 * 128 + 3 * MACS
    assert count_macs(mixture(2), unit) == (MACS - 1280) + 3 * 128 + 2 * MACS


@pytest.mark.parametrize("active", [None, 2])
def test_what_a_mixture_trains(active):
    method = MixtureOfExperts(setup(1), active=active)
    extractor, experts = list(method.phases())
    net = experts.modules["net"]
    net.train()
    assert not net.extractor.training
    assert net.experts[0].training
    batch = next(iter(DATA.batches(64).epoch(torch.Generator().manual_seed(0))))
    figures = experts.loss(batch, None)
    figures["loss"].backward()
    assert extractor.modules["net"] is net.extractor
    assert all(parameter.grad is None for parameter in net.extractor.parameters())
    for part in (net.gate, *net.experts):
        assert all(parameter.grad.abs().sum() > 0 for parameter in part.parameters())
    assert ("unbalance" in figures) == (active is not None)
    before = state_hash(net.extractor)
    experts.optimizers[0][0].step()
    assert state_hash(net.extractor) == before


def test_balance():
    totals = torch.tensor([1.0, 2.0, 6.0])
    assert float(variation(totals)) == pytest.approx(np.var([1, 2, 6]) / 3**2)
    assert float(variation(torch.full((4,), 5.0))) == 0


METHOD_OF = {
    "pool": (lambda base: Independent(base, 2), "mean_probs"),
    "snapshot": (lambda base: Snapshot(base, 2), "mean_probs"),
    "fge": (lambda base: FastGeometric(base, 2, cycle=2), "mean_logits"),
    "moe": (lambda base: MixtureOfExperts(base, 2), "mean_probs"),
    "sparse-moe": (lambda base: MixtureOfExperts(base, 3, active=2), "mean_probs"),
}


@pytest.mark.parametrize("name", METHOD_OF)
def test_the_store_says_what_the_trainer_says(name, tmp_path):
    make, combine = METHOD_OF[name]
    base = make_setup(DATA, seed=3, epochs=1)
    method, store = make(base), LogitStore(tmp_path / "logits")
    rows = []
    done = train_baseline(method, store, checkpoints=tmp_path / "kept", log=rows.append)
    models = [item.card.model for item in done if item.split == "val"]
    members = 1 if "moe" in name else 2
    assert models == [f"{name}-digits-digits-cnn-s3/{number}" for number in range(members)]
    assert [item.card.model for item in done if item.split == "test"] == models
    assert {item.status for item in done} == {"added"}
    assert Origin.of(done[0].card.architecture) == Origin(name, "digits", "digits-cnn", 3)

    networks = method.models(train(method, seed=3, checkpoints=tmp_path / "kept"))
    for split in ("val", "test"):
        images, labels = DATA.tensors(split)
        with torch.no_grad():
            outputs = [model.module(images) for model in networks]
        mixed = sum(out.softmax(dim=1) if combine == "mean_probs" else out for out in outputs)
        accuracy = float((mixed.argmax(dim=1) == labels).double().mean())
        committee = Committee((tuple(models),), combine=combine)
        found = evaluate(committee, store, split)
        assert found.quality == pytest.approx(accuracy, abs=1e-12)
        each = count_macs(networks[0].module, images[:1])
        assert found.average_cost == members * each
    assert store.verify() == []
    assert done[0].card.training_cost > 0

    never = lambda row: pytest.fail("trained again")  # noqa: E731
    other = with_fields(method.setup, recipe=with_fields(method.setup.recipe, lr=0.07))
    with pytest.raises(StoreError, match=r"/0 is in val already, trained with other settings; use replace=True"):
        train_baseline(with_fields(method, setup=other), store, log=never)
    again = train_baseline(method, store, checkpoints=tmp_path / "kept", log=never)
    assert {item.status for item in again} == {"unchanged"}


def test_training_costs():
    base = setup(epochs=4)
    image = 3 * MACS * UNITS
    spent = {"snapshot": 4 / 2 * image, "fge": (4 + 6) / 2 * image}
    for method in (Snapshot(base, 2), FastGeometric(base, 2)):
        run = train(with_epochs(method, 0))
        for model in method.models(run):
            assert model.training_cost == spent[model.architecture.partition("-")[0]]
    gating = (MACS - 1280) + 3 * 128
    method = MixtureOfExperts(base, active=2)
    (model,) = method.models(train(with_epochs(method, 0)))
    assert model.training_cost == UNITS * 4 * (3 * MACS + 3 * 2 * MACS + gating)


def with_epochs(method, epochs):
    """The method with phases that do nothing."""

    class Short:
        key = "short"

        def phases(self):
            for phase in method.phases():
                yield with_fields(phase, epochs=epochs)

    return Short()


def test_replicas_are_their_own(tmp_path):
    two = train(Independent(setup(1), 2), checkpoints=tmp_path)
    rows = []
    three = train(Independent(setup(1), 3), checkpoints=tmp_path, log=rows.append)
    assert [row["phase"] for row in rows] == ["replica-2"]  # the others go on from where they are
    hashes = [state_hash(modules["net"]) for modules in three.modules.values()]
    assert len(set(hashes)) == 3
    assert hashes[:2] == [state_hash(modules["net"]) for modules in two.modules.values()]


@pytest.mark.parametrize("name", ["snapshot", "fge", "sparse-moe"])
def test_interrupted_runs_go_on(name, tmp_path):
    method = METHOD_OF[name][0](setup(2))
    whole = method.models(train(method))

    def stop(row):
        if row["epoch"] == 2 and row["phase"] in ("snapshots", "cycles", "experts"):
            raise Stop

    with pytest.raises(Stop):
        train(method, checkpoints=tmp_path, checkpoint_every=1, log=stop)
    rows = []
    resumed = train(method, checkpoints=tmp_path, checkpoint_every=1, log=rows.append)
    assert rows[0]["phase"] in ("snapshots", "cycles", "experts")
    assert rows[0]["epoch"] == 2
    assert [model.weights for model in method.models(resumed)] == [model.weights for model in whole]


def test_keys_change_with_what_matters():
    base = setup()
    others = [
        Independent(base), Snapshot(base), Snapshot(base, 4), FastGeometric(base), FastGeometric(base, cycle=2),
        MixtureOfExperts(base), MixtureOfExperts(base, active=2), MixtureOfExperts(base, active=2, balance=0.2),
        Snapshot(setup(3)), Snapshot(setup(lr=0.1)), Snapshot(with_fields(base, seed=1)),
        Snapshot(with_fields(base, data=open_training_data("digits", label_noise=0.1))),
    ]  # fmt: skip
    assert len({method.key for method in others}) == len(others)
    assert Snapshot(setup()).key == Snapshot(setup()).key


def test_names():
    for method in METHODS:
        for seed in (0, 12):
            for backbone in ("wrn16-2", "digits-cnn", "my-net"):
                origin = Origin(method, "cifar100", backbone, seed)
                assert Origin.of(origin.architecture) == origin
    assert Origin("moe", "digits", "digits-cnn", 2).architecture == "moe-digits-digits-cnn-s2"
    assert Origin.of("resnet50") is None
    assert Origin.of("hne-digits-small") is None


def test_bad_input():
    base = setup()
    for make in (lambda: Snapshot(base, 1), lambda: FastGeometric(base, 1), lambda: MixtureOfExperts(base, 1)):
        with pytest.raises(UsageError, match=r"^1 .*: expected at least 2"):
            make()
    with pytest.raises(UsageError, match="0 replicas"):
        Independent(base, 0)
    with pytest.raises(UsageError, match="3 active experts of 3: expected fewer"):
        MixtureOfExperts(base, 3, active=3)
    with pytest.raises(UsageError, match="cycles of 3 epochs: expected an even number"):
        FastGeometric(base, cycle=3)
    with pytest.raises(UsageError, match=r"learning rates from 0\.1 to 0\.05"):
        FastGeometric(base, lowest=0.1)
    with pytest.raises(UsageError, match="3 steps are too few for 7 cycles"):
        next(Snapshot(setup(1), 7).phases())
    with pytest.raises(UsageError, match="epochs 0: expected a number above 0"):
        make_setup(DATA, epochs=0)
    with pytest.raises(UsageError, match="learning rate nan"):
        Recipe(1, 1, math.nan)
    with pytest.raises(UnknownNameError, match=r"unknown preset 'digit'; did you mean 'digits'\?"):
        make_setup(DATA, preset="digit")
    with pytest.raises(UnknownNameError, match=r"unknown backbone 'resnet20'; did you mean"):
        train(Snapshot(make_setup(DATA, "resnet20")))
    with pytest.raises(UsageError, match="seed -1"):
        make_setup(DATA, seed=-1)
    with pytest.raises(UsageError, match="data 'digits' has no split val; committees are chosen on it"):
        make_setup(with_fields(DATA, parts={"train": DATA.parts["train"]}))
    with pytest.raises(UsageError, match="name a backbone for images of 1 x 8 x 8"):
        make_setup(with_fields(DATA, name="imagefolder"))


# The commands


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """run('train', 'fge') -> (exit code, stdout, stderr), in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["wisecommittee", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return ended.value.code, captured.out, captured.err

    return call


@pytest.mark.parametrize(
    ("command", "models"),
    [
        (("pool", "--backbone", "digits-cnn", "--replicas", 1), ["pool-digits-digits-cnn-s2/0"]),
        (("snapshot", "--count", 2), ["snapshot-digits-digits-cnn-s2/0", "snapshot-digits-digits-cnn-s2/1"]),
        (("moe", "--experts", 2), ["moe-digits-digits-cnn-s2/0"]),
        (("sparse-moe", "--active", 1), ["sparse-moe-digits-digits-cnn-s2/0"]),
    ],
)
def test_commands(run, command, models):
    code, out, err = run("train", *command, "--epochs", 1, "--seed", 2, "--curves", "curves.parquet", "--json")
    assert code == 0, err
    assert [m["model"] for m in json.loads(out)["models"] if m["split"] == "val"] == models
    assert "1 epochs, loss" in err
    curves = pd.read_parquet("curves.parquet")
    assert (curves["epoch"] == 1).all()
    assert curves["phase"].is_unique


def test_mistakes_on_the_command_line(run):
    mistakes = [
        (("snapshot", "--count", 1), 2, "1 snapshots: expected at least 2"),
        (("fge", "--lr", "-1"), 2, "learning rate -1: expected a number above 0"),
        (("sparse-moe", "--active", 3), 2, "3 active experts of 3: expected fewer"),
        (("pool", "--backbone", "wrn16"), 2, "unknown backbone 'wrn16'; did you mean 'wrn16-"),
        (("pool", "--label-noise", "0.2"), 2, "name a --backbone"),
        (("moe", "--data", "mnist"), 2, "unknown training data 'mnist'"),
        (("moe", "--data", "cifar10"), 1, "no data in 'data/cifar10'"),
    ]
    for command, expected, text in mistakes:
        code, out, err = run("train", *command)
        assert (code, out) == (expected, ""), err
        assert err.startswith("error: ")
        assert text in err
        assert err.count("\n") == 1

"""IRENE as a method of the loop: which loss reaches what, restarts, and what the store says afterwards."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.naming import Origin
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.errors import ContentError, StoreError, UnknownNameError, UsageError
from wisecommittee.extraction.models.macs import count_macs
from wisecommittee.extraction.models.weights import state_hash
from wisecommittee.searches.evaluate import evaluate
from wisecommittee.store import LogitStore
from wisecommittee.train.data import TrainingData, open_training_data
from wisecommittee.train.irene import ABLATIONS, Irene, Stage, WithHeldOut
from wisecommittee.train.irene_members import assembled, train_irene
from wisecommittee.train.irene_presets import make_irene, variants
from wisecommittee.train.irene_selector import Selector
from wisecommittee.train.loop import Minibatches, Step, train
from wisecommittee.train.nets import conv

torch.set_num_threads(1)

DATA = open_training_data("digits", label_noise=0.25, pixel_noise=0.1)
HELD_OUT = open_training_data("digits", label_noise=0.25, pixel_noise=0.1, held_out=0.2)


def tiny(classes=10, channels=1):
    return conv(2, 2, 4, classes, channels)


def larger(classes=10, channels=1):
    return conv(4, 4, 8, classes, channels)


def hundred_classes():
    return conv(2, 2, 4, 100, 1)


TINY, LARGER = f"{__name__}:tiny", f"{__name__}:larger"


def small(data=DATA, epochs=2, backbones=(TINY,), batch_size=200, **settings):
    return make_irene(data, backbones, epochs=epochs, batch_size=batch_size, **settings)


# Which loss reaches what


def stage(data=DATA, **settings):
    """The third of four models in training, all of them drawn at random."""
    method = small(data, models=4, **settings)
    torch.manual_seed(1)
    models = [method.model(step) for step in range(3)]
    made = Stage(method, models[-1], Selector(method.features, method.hidden), tuple(models[:-1]), (1.0,) * 4)
    made.model.train()
    made.freeze(0)
    return made


def gradients(made, seed=0, **weights):
    """Largest gradient in each group of parameters of the loss with these weights."""
    made = replace(made, method=replace(made.method, **weights))
    batches = made.method.data.batches(50)
    if "held_out" in made.method.data.parts:
        batches = WithHeldOut(batches, made.method.data.batches(50, split="held_out"))
    batch = next(batches.epoch(torch.Generator().manual_seed(0)))
    for module in (made.model, made.selector, *made.before):
        module.zero_grad(set_to_none=True)
    torch.manual_seed(seed)
    figures = made.loss(batch, Step(0, 0, 1))
    figures["loss"].backward()

    def largest(*modules):
        return max(float(p.grad.abs().max()) if p.grad is not None else 0.0 for m in modules for p in m.parameters())

    model = made.model
    found = {
        "body": largest(model.backbone.body),
        "first": largest(model.backbone.head),
        "second": largest(model.second),
    }
    return found | {"before": largest(*made.before), "selector": largest(made.selector)}


def parts_of_model(found):
    return [found[name] for name in ("body", "first", "second")]


WEIGHTS = {"w1": 0.0, "w2": 0.0, "w3": 0.0}


@pytest.mark.parametrize("data", [DATA, HELD_OUT], ids=["train", "held_out"])
def test_gradient_routes(data):
    """L_base: the model in training. L_ens, L_cost: the selector alone. L_rank: both. Nothing: the models before."""
    made = stage(data)
    base = gradients(made, **WEIGHTS)
    assert min(parts_of_model(base)) > 0
    assert base["selector"] == base["before"] == 0
    for only in ("w1", "w2"):
        found = gradients(made, **WEIGHTS | {only: 1.0})
        assert found["selector"] > 0
        assert parts_of_model(found) == parts_of_model(base)
        assert found["before"] == 0
    rank = gradients(made, **WEIGHTS | {"w3": 1.0})
    assert rank["selector"] > 0
    assert all(one != other for one, other in zip(parts_of_model(rank), parts_of_model(base), strict=True))
    assert rank["before"] == 0


@pytest.mark.parametrize("data", [DATA, HELD_OUT], ids=["train", "held_out"])
@pytest.mark.parametrize("ablation", ABLATIONS)
def test_ablations_cut_what_they_say(ablation, data):
    made = stage(data, ablation=ablation)
    base, full = gradients(made, **WEIGHTS), {"w1": 1.0, "w2": 1.0, "w3": 1.0}
    reaches = {"w1": ablation != "no-ens", "w2": ablation != "no-cost", "w3": ablation != "no-rank"}
    if ablation == "selector-untrained":
        reaches = dict.fromkeys(reaches, False)
    for only, selector in reaches.items():
        assert (gradients(made, **WEIGHTS | {only: 1.0})["selector"] > 0) is selector
    to_model = parts_of_model(gradients(made, **full)) != parts_of_model(base)
    assert to_model is (ablation not in ("no-rank", "rank-not-to-models"))
    phases = list(replace(made.method, ablation=ablation).phases())
    assert [len(phase.optimizers) for phase in phases] == (
        [1] * 4 if ablation == "selector-untrained" else [1, 2, 2, 2]
    )


def test_joint_and_routed_rank_losses_have_the_same_gradients():
    """What goes to the model and what goes to the selector of L_rank add up to the gradient of the product."""
    made = stage()
    batch = next(DATA.batches(50).epoch(torch.Generator().manual_seed(0)))
    joint = gradients(made, **WEIGHTS | {"w3": 1.0})
    images, labels, _ = batch
    torch.manual_seed(0)
    outcome = made.model(images)
    with torch.no_grad():
        before = [model(images) for model in made.before]
    noise = made.selector([*before, outcome.detach()])
    halts = (functional.gumbel_softmax(noise, tau=1.0)[..., 0] > 0.5).float()
    reached = (1 - halts[:, 0]) * (1 - halts[:, 1])
    weights = torch.stack([torch.ones(50), 1 - halts[:, 0]], dim=1)
    running = sum(weights[:, i, None] * before[i].log_y.exp() for i in range(2)) / weights.sum(dim=1, keepdim=True)
    own = -outcome.log_y[torch.arange(50), labels]
    theirs = -running[torch.arange(50), labels].log()
    rank = (reached * (own - theirs)).clamp_min(0).mean()
    made.model.zero_grad(set_to_none=True)
    a, b = outcome
    apart = (a.exp() - b.exp()).abs().sum(dim=1).mean()
    base = (functional.nll_loss(a, labels) + functional.nll_loss(b, labels)) / 2 - 0.1 * apart
    (base + rank).backward()
    largest = max(float(p.grad.abs().max()) for p in made.model.backbone.body.parameters())
    assert joint["body"] == pytest.approx(largest, rel=1e-4)


def test_the_first_model_is_trained_by_its_own_loss_alone():
    method = small()
    phase = next(iter(method.phases()))
    figures = phase.loss(next(DATA.batches(50).epoch(torch.Generator())), Step(0, 0, 1))
    assert set(figures) == {"loss", "base", "accuracy"}
    assert len(phase.optimizers) == 1


@dataclass
class Watched:
    """A method whose phases can be looked at while it trains."""

    method: Irene
    seen: list = field(default_factory=list)

    @property
    def key(self):
        return self.method.key

    def phases(self):
        for phase in self.method.phases():
            self.seen.append(phase)
            yield phase


@pytest.mark.parametrize("data", [DATA, HELD_OUT], ids=["train", "held_out"])
def test_models_before_stay_as_they_are_and_the_selector_goes_on(data):
    watched, models, selectors = Watched(small(data, models=3, epochs=2)), {}, []

    def look(row):
        if row["epoch"] == 2:
            for phase in watched.seen:
                models.setdefault(phase.name, []).append(state_hash(phase.modules["model"]))
            selectors.append(state_hash(watched.seen[-1].modules["selector"]))

    train(watched, log=look)
    assert [len(hashes) for hashes in models.values()] == [3, 2, 1]
    assert all(len(set(hashes)) == 1 for hashes in models.values())
    assert len({phase.modules["selector"] for phase in watched.seen}) == 1
    assert len(set(selectors)) == 3
    assert selectors[0] == state_hash(next(iter(watched.method.phases())).modules["selector"])  # as drawn
    assert not watched.seen[1].modules["model"].training  # in eval mode while the third was trained
    adams = [phase.optimizers[1][0] for phase in watched.seen[1:]]
    assert adams[0] is not adams[1]


def test_held_out_units_come_beside_every_minibatch():
    x = torch.arange(10)
    batches = WithHeldOut(Minibatches((x, x, x), 3), Minibatches((x[:4] + 100,) * 3, 3))
    assert len(batches) == 4
    seen = list(batches.epoch(torch.Generator().manual_seed(0)))
    assert sorted(torch.cat([batch[0] for batch in seen]).tolist()) == list(range(10))
    beside = [batch[3].tolist() for batch in seen]
    assert [len(rows) for rows in beside] == [3, 1, 3, 1]
    assert sorted(beside[0] + beside[1]) == sorted(beside[2] + beside[3]) == [100, 101, 102, 103]


def test_held_out_images_move_no_statistics_of_the_models():
    made = stage(HELD_OUT)
    batches = WithHeldOut(HELD_OUT.batches(50), HELD_OUT.batches(50, split="held_out"))
    batch = next(batches.epoch(torch.Generator().manual_seed(0)))
    reference = replace(made, model=made.method.model(2))
    reference.model.load_state_dict(made.model.state_dict())
    made.loss(batch, Step(0, 0, 1))
    reference.model.train()(batch[0])
    for one, other in zip(made.model.buffers(), reference.model.buffers(), strict=True):
        torch.testing.assert_close(one, other)
    assert made.model.training
    assert made.selector.training


# Runs


class Stop(Exception):
    pass


def test_an_interrupted_run_goes_on_in_its_phase(tmp_path):
    whole = train(small(models=3, epochs=4), checkpoint_every=1)

    def stop(row):
        if (row["phase"], row["epoch"]) == ("model-2", 3):
            raise Stop

    with pytest.raises(Stop):
        train(small(models=3, epochs=4), checkpoints=tmp_path, checkpoint_every=1, log=stop)
    torch.rand(10)
    rows = []
    again = train(small(models=3, epochs=4), checkpoints=tmp_path, checkpoint_every=1, log=rows.append)
    assert [(row["phase"], row["epoch"]) for row in rows][:2] == [("model-2", 3), ("model-2", 4)]
    for name, modules in whole.modules.items():
        assert state_hash(again.modules[name]["model"]) == state_hash(modules["model"])
    assert state_hash(again.modules["model-3"]["selector"]) == state_hash(whole.modules["model-3"]["selector"])


def test_the_first_model_is_trained_once_in_a_sweep(tmp_path):
    methods = variants(small(epochs=1), w2=[0.05, 0.4])
    assert list(methods) == ["w2=0.05", "w2=0.4"]
    rows, store = [], LogitStore(tmp_path / "swept")
    done = train_irene(store, methods, log=rows.append, curves=tmp_path / "curves.parquet")
    for w2 in ("0.05", "0.4"):  # each file has all of its phases
        phases = pd.read_parquet(tmp_path / f"curves-w2={w2}.parquet").phase.tolist()
        assert phases == ["model-1", "model-2", "model-3"]
    never = lambda row: pytest.fail("trained")  # noqa: E731
    with pytest.raises(StoreError, match=r"w2=0.05/0 is in val already, trained with other settings"):
        train_irene(store, {"w2=0.05": small(epochs=2)}, log=never)
    assert [row["phase"] for row in rows] == ["model-1", "model-2", "model-3", "model-2", "model-3"]
    names = [f"irene-digits-tiny~w2={w2}/{step}" for w2 in ("0.05", "0.4") for step in range(3)]
    assert [item.card.model for item in done if item.split == "val"] == names
    for w2, method in methods.items():  # the same as each by itself
        own = LogitStore(tmp_path / w2)
        train_irene(own, {w2: method})
        for step in range(3):
            name = f"irene-digits-tiny~{w2}/{step}"
            assert np.array_equal(own.outputs(name, "val"), store.outputs(name, "val"))
            assert np.array_equal(own.scores(name, "val", "halting"), store.scores(name, "val", "halting"))
    assert not np.array_equal(
        *(store.scores(f"irene-digits-tiny~w2={w2}/0", "val", "halting") for w2 in ("0.05", "0.4"))
    )


def test_variants_have_names():
    method = small()
    assert list(variants(method)) == [""]
    assert list(variants(method, ablations=["no-cost"])) == ["no-cost"]
    assert list(variants(small(HELD_OUT))) == ["held-out"]
    assert list(variants(small(HELD_OUT), w2=[0.1, 0.2])) == ["w2=0.1,held-out", "w2=0.2,held-out"]
    assert list(variants(method, w2=[0.1], models=[2, 4])) == ["T=2", "T=4"]
    both = variants(method, w2=[0.1, 0.2], ablations=[None, "no-ens"])
    assert list(both) == ["w2=0.1", "w2=0.1,no-ens", "w2=0.2", "w2=0.2,no-ens"]
    assert [(m.w2, m.ablation) for m in both.values()] == [(0.1, None), (0.1, "no-ens"), (0.2, None), (0.2, "no-ens")]
    assert [len(m.backbones) for m in variants(method, models=[2, 4]).values()] == [2, 4]
    for variant in both:
        origin = Origin("irene", "digits", "digits-cnn", 3, variant)
        assert Origin.of(origin.architecture) == origin


def test_mixed_precision_decides_in_float32():
    method, kinds = small(epochs=1, models=2), []
    phases = list(method.phases())
    phases[1].modules["selector"].decide.register_forward_hook(
        lambda module, inputs, output: kinds.append(output.dtype)
    )
    run = train(type("One", (), {"key": "", "phases": lambda self: phases})(), mixed_precision=torch.bfloat16)
    assert set(kinds) == {torch.float32}
    assert all(np.isfinite([row["loss"], row.get("cost", 1.0)]).all() for row in run.curve)


# The store


def by_hand(log_y, stop, labels, m):
    """Right answers and average number of models, unit by unit: stop if the score exceeds m, answer with the mean."""
    right, steps = 0, 0
    for unit, label in enumerate(labels):
        t = next((t for t in range(log_y.shape[1] - 1) if stop[unit, t] > m), log_y.shape[1] - 1)
        right += int(np.exp(log_y[unit, : t + 1]).mean(axis=0).argmax() == label)
        steps += t + 1
    return right, steps / len(labels)


def halting(architecture, models, m):
    stages = tuple((f"{architecture}/{step}",) for step in range(models))
    threshold = float(np.nextafter(np.float32(m), np.float32(2)))
    return Committee(stages, Thresholds((threshold,) * (models - 1)), "halting", "mean_probs")


def test_the_store_says_what_the_trainer_says(tmp_path):
    store = LogitStore(tmp_path / "logits")
    method = small(epochs=8, seed=3, w2=0.02, batch_size=100)
    done = train_irene(store, {"": method}, checkpoints=tmp_path / "kept")
    name = "irene-digits-tiny-s3"
    places = [(split, f"{name}/{step}") for split in ("val", "test") for step in range(3)]
    assert [(item.split, item.card.model) for item in done] == places
    committee = assembled(train(method, seed=3, checkpoints=tmp_path / "kept"))
    macs = count_macs(tiny(), torch.zeros(1, 1, 8, 8)) + 16 * 10 + 4 * 8 * (2 + 8) + 16
    costs = set()
    for split in ("val", "test"):
        images, labels = DATA.tensors(split)
        with torch.inference_mode():
            log_y, stop = (part.numpy() for part in committee(images))
        levels = np.quantile(stop[:, :-1], (0.1, 0.3, 0.5, 0.7, 0.9)).astype(np.float32)
        for m in (np.float32(0), *levels, stop[:, :-1].max(), np.float32(1)):
            right, steps = by_hand(log_y, stop, labels.numpy(), m)
            found = evaluate(halting(name, 3, m), store, split)
            assert found.correct == right
            assert found.average_cost == pytest.approx(steps * macs, rel=1e-12)
            costs.add(steps)
    assert min(costs) == 1
    assert max(costs) == 3
    assert len(costs) > 6
    cards = store.cards("val")
    assert [(card.position, card.group, card.kind) for card in cards] == [(t, name, "logits") for t in range(3)]
    assert len({card.weights for card in cards}) == 3
    assert cards[2].training_cost == 8 * 597 * (3 + 2) * macs
    assert store.verify() == []
    assert Origin.of(name) == Origin("irene", "digits", "tiny", 3)
    assert {item.status for item in train_irene(store, {"": method}, checkpoints=tmp_path / "kept")} == {"unchanged"}


def test_backbones_of_different_cost(tmp_path):
    store = LogitStore(tmp_path / "logits")
    method = small(backbones=(TINY, LARGER), epochs=1)
    train_irene(store, {"": method})
    blocks = [sum(card.blocks.values()) for card in store.cards("val")]
    assert blocks == method.costs
    assert blocks[0] < blocks[1] / 2
    phases = list(method.phases())
    costs = phases[1].loss.__self__.costs
    assert sum(costs) == pytest.approx(2)
    assert costs[1] / costs[0] == pytest.approx(blocks[1] / blocks[0])
    found = evaluate(halting("irene-digits-tiny+larger", 2, 1.0), store, "test")
    assert found.average_cost == sum(blocks)


def test_replacing_a_longer_run_leaves_none_of_it(tmp_path):
    store = LogitStore(tmp_path / "logits")
    train_irene(store, {"": small(epochs=1, models=3)})
    shorter = {"": small(epochs=1, models=2)}
    never = lambda row: pytest.fail("trained before it was refused")  # noqa: E731
    with pytest.raises(StoreError, match="irene-digits-tiny/0 is in val already, trained with other settings"):
        train_irene(store, shorter, log=never)
    train_irene(store, shorter, replace=True)
    for split in ("val", "test"):
        assert store.models(split) == ("irene-digits-tiny/0", "irene-digits-tiny/1")


# Bad input


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"models": 1}, r"1 models: IRENE needs 2 or more, else there is nothing to halt"),
        ({"models": -1}, r"0 models: IRENE needs 2"),
        ({"backbones": (TINY, f"{__name__}:hundred_classes")}, r"has 100 classes, the data 10"),
        ({"backbones": (TINY, LARGER), "models": 3}, r"2 backbones for 3 models; name one for all, or one for each"),
        ({"w1": -0.1}, r"w1 -0.1: expected a number from 0"),
        ({"w2": float("nan")}, r"w2 nan: expected a number from 0"),
        ({"w3": float("inf")}, r"w3 inf: expected a number from 0"),
        ({"threshold": 1.0}, r"threshold 1.0: expected a number between 0 and 1"),
        ({"selector_factor": 0.0}, r"selector_factor 0.0: expected a number between 0 and 1"),
        ({"selector_lr": 0.0}, r"selector_lr 0.0: expected a number above 0"),
        ({"features": ()}, r"selector features none: expected one or more different ones"),
        ({"features": ("kl", "kl")}, r"selector features kl, kl: expected one or more different ones"),
        ({"hidden": 0}, r"selector of hidden size 0: expected 1 or more"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(UsageError, match=message):
        small(**settings)


def test_unknown_names():
    with pytest.raises(UnknownNameError, match=r"unknown selector feature 'klx'; did you mean 'kl'\?"):
        small(features=("klx",))
    with pytest.raises(UnknownNameError, match=r"unknown ablation 'no-costs'; did you mean 'no-cost'\?"):
        small(ablation="no-costs")
    with pytest.raises(UnknownNameError, match=r"unknown preset 'digit'; did you mean 'digits'\?"):
        small(preset="digit")


def test_data_without_val():
    only = {name: part for name, part in DATA.parts.items() if name != "val"}
    data = TrainingData(DATA.name, DATA.spec, DATA.classes, DATA.shape, DATA.key, only)
    with pytest.raises(UsageError, match="'digits' has no split val; committees are chosen on it"):
        small(data)


def test_checkpoints_of_another_number_of_models(tmp_path):
    train_irene(LogitStore(tmp_path / "a"), {"": small(epochs=1, models=2)}, checkpoints=tmp_path / "kept")
    with pytest.raises(ContentError, match=r"model-1\.pt' belongs to other settings"):
        train_irene(LogitStore(tmp_path / "b"), {"": small(epochs=1, models=3)}, checkpoints=tmp_path / "kept")


def test_keys_change_with_what_matters():
    plain = small()
    changes = [{"w2": 0.1}, {"models": 2}, {"seed": 1}, {"features": ("kl",)}, {"epochs": 3}, {"backbones": (LARGER,)}]
    keys = [small(**change).key for change in changes] + [plain.key, small(HELD_OUT).key]
    assert len(set(keys)) == len(keys)
    assert small().key == plain.key


# The command


def test_the_command(tmp_path, run):
    store = ("--store", tmp_path / "logits")
    train_on = ("train", "irene", "--epochs", 1, "--models-count", 2, *store)
    code, out, err = run(*train_on, "--json", "--curves", tmp_path / "curves.parquet")
    assert code == 0, err
    names = ["irene-digits-digits-cnn/0", "irene-digits-digits-cnn/1"]
    assert [item["model"] for item in json.loads(out)["models"]] == names * 2
    assert pd.read_parquet(tmp_path / "curves.parquet").phase.tolist() == ["model-1", "model-2"]
    code, out, err = run(*train_on)
    assert code == 0
    assert out.count("unchanged") == 4
    assert "search --family halting" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--models-count", 1), "1 models: IRENE needs 2 or more"),
        (("--w2", 0.1, "--w2", -1), "w2 -1.0: expected a number from 0"),
        (("--backbone", "resnet19"), "unknown backbone 'resnet19'; did you mean 'resnet18'?"),
        (("--ablation", "no"), "unknown ablation 'no'"),
        (("--feature", "k"), "unknown selector feature 'k'"),
        (("--data", "cifar10:nowhere"), "nowhere"),
    ],
)
def test_mistakes_on_the_command_line(arguments, message, run):
    code, _, err = run("train", "irene", *arguments)
    assert code in (1, 2)
    assert message in err
    assert err.count("\n") == 1

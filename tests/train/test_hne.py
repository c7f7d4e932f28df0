"""Hierarchical neural ensembles: training, interruption, and what the store says against what the trainer saw."""

from __future__ import annotations

import json
from dataclasses import replace as with_fields

import numpy as np
import pytest
import torch
from cifar_files import small_cifar

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.errors import ContentError, CostError, StoreError, UnknownNameError, UsageError
from wisecommittee.extraction.extract import extract
from wisecommittee.extraction.models.macs import count_macs
from wisecommittee.extraction.models.weights import state_hash
from wisecommittee.searches.evaluate import evaluate
from wisecommittee.store import LogitStore
from wisecommittee.train import data_cifar
from wisecommittee.train.data import open_training_data
from wisecommittee.train.hne import PHASE, PRESETS, USUAL_PRESETS, make_hierarchy, train_hne
from wisecommittee.train.hne_designs import DESIGNS
from wisecommittee.train.hne_losses import LeafLoss
from wisecommittee.train.loop import train
from wisecommittee.train.run import fit

torch.set_num_threads(1)
DATA = open_training_data("digits", label_noise=0.25, pixel_noise=0.1)


class Stop(Exception):
    pass


def first(name, k):
    return Committee((tuple(f"{name}/{leaf}" for leaf in range(k)),))


@pytest.mark.parametrize("how", [{}, {"leaves": 1}, {"schedule": "multi-branch", "leaves": 6}])
def test_the_store_says_what_the_trainer_saw(how, tmp_path):
    """Accuracy and cost at every size, to the last unit and multiply-add."""
    hierarchy, store = make_hierarchy(DATA, epochs=2, **how), LogitStore(tmp_path / "logits")
    leaves = hierarchy.groups[-1]
    done = train_hne(hierarchy, store)
    names = [f"{hierarchy.name}/{leaf}" for leaf in range(leaves)]
    assert [(item.split, item.card.model) for item in done] == [(s, n) for s in ("val", "test") for n in names]
    trained = fit(hierarchy, DATA)  # from its checkpoint
    net = trained.modules[PHASE]["net"]
    for split in ("val", "test"):
        images, labels = DATA.tensors(split)
        with torch.inference_mode():
            logits = net(images)
        seen = hierarchy.validate(net, split)
        for k in range(1, leaves + 1):
            found = evaluate(first(hierarchy.name, k), store, split)
            right = int((logits[:, :k].mean(dim=1).argmax(dim=1) == labels).sum())
            assert found.correct == right
            name = f"{split}_accuracy" if k == leaves else f"{split}_accuracy_{k}"
            assert name in seen or k not in (1, 2, 4, leaves)
            assert found.quality == seen.get(name, found.quality)
            assert found.average_cost == count_macs(net.part(range(k)), images)
        if leaves > 2:
            some = Committee(((names[0],), (names[-1],)), Thresholds((0.5,)))
            assert evaluate(some, store, split).worst_case_cost == count_macs(net.part([0, leaves - 1]), images)
        for leaf, name in enumerate(names):
            np.testing.assert_allclose(store.outputs(name, split), logits[:, leaf].numpy(), atol=1e-4)
            card = store.card(name, split)
            assert (card.group, card.position, card.replica, card.kind) == (hierarchy.name, leaf, leaf, "logits")
            assert card.meta["groups"] == list(hierarchy.groups)
    assert (
        trained.curve[-1]["val_accuracy" if leaves == 1 else "val_accuracy_1"]
        == evaluate(first(hierarchy.name, 1), store, "val").quality
    )
    cards = store.cards("val")
    whole = count_macs(net, DATA.tensors("val")[0])
    assert sum(card.training_cost for card in cards) == pytest.approx(3 * whole * 2 * 597)
    assert store.verify() == []


def test_blocks_are_the_nodes_a_leaf_passes(tmp_path):
    hierarchy = make_hierarchy(DATA, leaves=8, epochs=1)
    models = hierarchy.models(hierarchy.start())
    assert [sorted(model.blocks) for model in models] == [
        [f"hne-digits-digits-n8:b{b}n{leaf >> (3 - b)}" for b in range(4)] for leaf in range(8)
    ]
    wrong = with_fields(models[0], blocks={"all": 5})
    with pytest.raises(CostError, match=r"blocks add up to 5 multiply-adds, its forward pass has 96,928"):
        extract([wrong], DATA.data("val"), "val", LogitStore(tmp_path))


def test_an_interrupted_training_ends_with_the_same_bits(tmp_path):
    hierarchy = make_hierarchy(DATA, epochs=3)
    expected = train(hierarchy)

    def stop(row):
        if row["epoch"] == 2:
            raise Stop

    with pytest.raises(Stop):
        train(hierarchy, checkpoints=tmp_path, checkpoint_every=1, log=stop)
    epochs = []
    found = train(hierarchy, checkpoints=tmp_path, log=lambda row: epochs.append(row["epoch"]))
    assert epochs[-1:] == [3]
    assert 1 not in epochs
    assert found.curve[-1]["loss"] == expected.curve[-1]["loss"]
    assert state_hash(found.modules[PHASE]["net"]) == state_hash(expected.modules[PHASE]["net"])


def test_another_training_of_the_same_name_is_refused_before_it_begins(tmp_path):
    store, never = LogitStore(tmp_path / "logits"), lambda row: pytest.fail("trained")
    hierarchy = make_hierarchy(DATA, epochs=1)
    train_hne(hierarchy, store)
    train_hne(hierarchy, store, log=never)
    for other in ({"loss": LeafLoss("lhd", alpha=0.9)}, {"lr": 0.05}, {"epochs": 2}):
        changed = make_hierarchy(DATA, **{"epochs": 1, **other})
        assert changed.name == hierarchy.name
        with pytest.raises(StoreError, match=r"/0 is in val already, trained with other settings; use replace=True"):
            train_hne(changed, store, log=never)
    done = train_hne(make_hierarchy(DATA, epochs=1, lr=0.05), store, replace=True)
    assert {item.status for item in done} == {"replaced"}


def test_a_checkpoint_of_another_schedule_is_refused(tmp_path):
    fit(make_hierarchy(DATA, epochs=1), DATA, checkpoints=tmp_path)
    for other in ({"schedule": "independent"}, {"leaves": 2}, {"loss": LeafLoss("li")}, {"seed": 1}):
        with pytest.raises(ContentError, match=r"leaves\.pt.*belongs to other settings.*folder of checkpoints"):
            fit(make_hierarchy(DATA, epochs=1, **other), DATA, checkpoints=tmp_path)


def test_the_loss_that_is_logged_is_the_loss():
    (phase,) = make_hierarchy(DATA, loss=LeafLoss("ld", alpha=0.2)).phases()
    images, labels = DATA.tensors("train")
    with torch.no_grad():
        logits = phase.modules["net"](images)
        found = phase.loss((images, labels, None), None)
    assert float(found["loss"]) == pytest.approx(float(LeafLoss("ld", alpha=0.2)(logits, labels)), rel=1e-5)
    assert float(found["accuracy"]) == pytest.approx(
        float((logits.mean(dim=1).argmax(dim=1) == labels).float().mean()), abs=1e-6
    )


def test_names_tell_what_is_unusual():
    assert make_hierarchy(DATA).name == "hne-digits-digits"
    assert make_hierarchy(DATA, seed=3, loss=LeafLoss("li")).name == "hne-digits-digits-li-s3"
    assert make_hierarchy(DATA, schedule="independent", leaves=8).name == "hne-digits-digits-n8-independent"
    assert make_hierarchy(DATA, name="mine").name == "mine"
    keys = [{}, {"seed": 1}, {"leaves": 2}, {"schedule": "independent"}, {"lr": 0.2}, {"loss": LeafLoss(alpha=0.2)}]
    assert len({make_hierarchy(DATA, **how).key for how in keys}) == len(keys)


def test_presets():
    assert PRESETS.keys() == DESIGNS.keys()
    for name, preset in PRESETS.items():
        recipe, depth = preset.recipe, DESIGNS[name].depth
        assert preset.leaves == (4 if name == "digits" else 2 ** (depth - 1))
        assert (recipe.lr, recipe.milestones, recipe.nesterov) == (0.1, (), False)
        expected = {"digits": (70, 50, 5e-4), "hne-mobilenet": (120, 256, 1e-5)}.get(name, (200, 128, 5e-4))
        assert (recipe.epochs, recipe.batch_size, recipe.weight_decay) == expected
    assert set(USUAL_PRESETS.values()) <= set(PRESETS)
    (phase,) = make_hierarchy(DATA, epochs=1).phases()
    group = phase.optimizers[0][0].param_groups[0]
    assert (group["momentum"], group["nesterov"], group["weight_decay"]) == (0.9, False, 5e-4)


def test_cifar(tmp_path, monkeypatch):
    """The preset of the paper's ablations on an official folder, only with fewer images and leaves."""
    monkeypatch.setattr(data_cifar, "CIFAR_VAL", 50)
    folder, _ = small_cifar(tmp_path, n=20)
    images = open_training_data(f"cifar10:{folder}")
    assert make_hierarchy(images).preset == "hne"
    store, hierarchy = LogitStore(tmp_path / "logits"), make_hierarchy(images, "hne-small", leaves=2, epochs=1)
    train_hne(hierarchy, store, mixed_precision="bfloat16")
    found = evaluate(first("hne-cifar10-hne-small-n2", 2), store, "test")
    net = fit(hierarchy, images, mixed_precision="bfloat16").modules[PHASE]["net"]
    assert found.quality == hierarchy.validate(net, "test")["test_accuracy"]
    assert found.average_cost == count_macs(net, images.tensors("test")[0])


def test_what_does_not_fit_is_refused():
    with pytest.raises(UnknownNameError, match=r"unknown preset 'hne-large'.*hne-small"):
        make_hierarchy(DATA, "hne-large")
    with pytest.raises(UsageError, match=r"images of 1 x 8 x 8, preset hne-small takes 3 x 32 x 32.*them: digits"):
        make_hierarchy(DATA, "hne-small")
    with pytest.raises(UsageError, match=r"images of 1 x 9 x 9.*there is no preset for them"):
        make_hierarchy(with_fields(DATA, shape=(1, 9, 9)))
    with pytest.raises(UsageError, match=r"preset digits: 3 leaves: a tree of 4 blocks has a power of two.*up to 8"):
        make_hierarchy(DATA, leaves=3)
    with pytest.raises(UsageError, match="seed -1"):
        make_hierarchy(DATA, seed=-1)
    with pytest.raises(ContentError, match=r"label 9 of row \d+ in (train|val); expected a class from 0 to 8"):
        make_hierarchy(with_fields(DATA, classes=9))


def test_the_command(run, tmp_path):
    common = ("train", "hne", "--store", tmp_path / "logits", "--epochs", 1, "--pixel-noise", 0.1)
    code, out, err = run(*common, "--label-noise", 0.25, "--curves", tmp_path / "curves.parquet")
    assert code == 0, err
    assert "hne-digits-digits/3" in out
    assert "leaves: 1 epochs, loss" in err
    assert (tmp_path / "curves.parquet").exists()
    code, out, err = run(*common, "--label-noise", 0.25, "--json")
    assert code == 0, err
    assert {model["status"] for model in json.loads(out)["models"]} == {"unchanged"}
    how = ("--loss", "ld", "--alpha", 0.2, "--temperature", 3, "--no-scale-square", "--leaves", 2)
    code, out, err = run(*common, *how)
    assert code == 0, err
    meta = LogitStore(tmp_path / "logits").card("hne-digits-digits-n2-ld/1", "val").meta
    assert (meta["name"], meta["alpha"], meta["temperature"], meta["scale_square"]) == ("ld", 0.2, 3.0, False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--leaves", 3), "preset digits: 3 leaves: a tree of 4 blocks"),
        (("--preset", "hne"), "preset hne takes 3 x 32 x 32"),
        (("--loss", "kd"), "unknown loss 'kd'"),
        (("--alpha", 2), "alpha 2.0: expected a weight from 0 to 1"),
        (("--schedule", "ring"), "unknown schedule 'ring'"),
    ],
)
def test_mistakes_are_told_in_one_line(run, arguments, message, tmp_path):
    code, out, err = run("train", "hne", "--store", tmp_path / "logits", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "logits").exists()

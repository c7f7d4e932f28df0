"""IRENE, the average ensemble and WoC on digits of which a quarter of the training labels is redrawn; three seeds.

What is robust at this scale, and no more: IRENE against WoC is not (the README shows what was measured).
"""

from __future__ import annotations

import numpy as np
import pytest

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.searches.evaluate import evaluate, evaluate_all
from wisecommittee.store import LogitStore
from wisecommittee.train.data import open_training_data
from wisecommittee.train.independent import Independent
from wisecommittee.train.irene_members import train_irene
from wisecommittee.train.irene_presets import make_irene, variants
from wisecommittee.train.supervised import make_setup, train_baseline

pytestmark = pytest.mark.slow

SEEDS, WEIGHTS = (0, 1, 2), (0.05, 0.15, 0.4)
NEVER = float(np.nextafter(np.float32(1), np.float32(2)))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Three replicas and, for every weight of the cost and without L_ens, IRENE of three models; of each seed."""
    folder = tmp_path_factory.mktemp("digits")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WISECOMMITTEE_CACHE", str(folder / "cache"))
        store = LogitStore(folder / "logits")
        for seed in SEEDS:
            data = open_training_data("digits", label_noise=0.25, pixel_noise=0.1, seed=seed)
            train_baseline(Independent(make_setup(data, seed=seed)), store)
            method = make_irene(
                data, seed=seed, features=("kl", "confidence"), hidden=8, selector_lr=0.03, w1=1.0, w3=0.3
            )
            train_irene(store, variants(method, w2=WEIGHTS) | variants(method, ablations=["no-ens"]))
        yield store


def members(method, seed, variant=""):
    end = f"-s{seed}" if seed else ""
    return tuple((f"{method}-digits-digits-cnn{variant}{end}/{number}",) for number in range(3))


def models_run(evaluation, store):
    """Average cost in models."""
    return evaluation.average_cost / (evaluation.worst_case_cost / 3)


def halting(store, seed, variant):
    """IRENE at m = 0.5 on test: accuracy and cost in models."""
    above = float(np.nextafter(np.float32(0.5), np.float32(1)))
    found = evaluate(
        Committee(members("irene", seed, variant), Thresholds((above, above)), "halting", "mean_probs"), store
    )
    return found.quality, models_run(found, store)


def average(store, seed):
    together = tuple(name for (name,) in members("pool", seed))
    return evaluate(Committee((together,), combine="mean_probs"), store)


def test_cost_falls_as_its_weight_grows(store):
    costs = np.array([[halting(store, seed, f"~w2={w2:g}")[1] for w2 in WEIGHTS] for seed in SEEDS])
    light, middle, heavy = costs.mean(axis=0)
    assert light > middle >= heavy
    assert (np.diff(costs, axis=1) <= 0).all()


def test_a_light_weight_saves_models_and_keeps_the_accuracy(store):
    accuracy, cost = np.mean([halting(store, seed, "~w2=0.05") for seed in SEEDS], axis=0)
    assert 1 < cost <= 2.6
    assert accuracy >= np.mean([average(store, seed).quality for seed in SEEDS]) - 0.015


def test_without_the_ensemble_loss_everything_stops_at_once(store):
    assert np.mean([halting(store, seed, "~no-ens")[1] for seed in SEEDS]) <= 1.1


@pytest.mark.parametrize("seed", SEEDS)
def test_wisdom_of_committees_between_one_model_and_the_average_ensemble(store, seed):
    stages = members("pool", seed)
    thresholds = [*np.linspace(0, 1, 101).tolist(), NEVER]
    found = evaluate_all(
        [Committee(stages, Thresholds((t, t)), "max_prob", "mean_probs") for t in thresholds], store, "test"
    )
    costs = [evaluation.average_cost for evaluation in found]
    assert costs == sorted(costs)
    assert models_run(found[0], store) == 1
    assert models_run(found[-1], store) == 3
    assert found[-1].correct == average(store, seed).correct
    assert len(set(costs)) > 50

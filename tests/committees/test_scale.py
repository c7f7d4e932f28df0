"""Confidences where float32 runs out of values: masked classes, gaps of thousands of nats, thresholds that only
log-odds express, and committees that other programs replay to the same exits."""

from __future__ import annotations

import json
from dataclasses import replace

import naive
import numpy as np
import pytest
import torch
from pools import MemoryStore
from scipy.special import logsumexp
from scipy.special import softmax as reference_softmax

from wisecommittee.committees.cards import ModelCard
from wisecommittee.committees.committee import Committee
from wisecommittee.committees.confidence import CONFIDENCES
from wisecommittee.committees.scale import ODDS
from wisecommittee.deployment.deploy import deploy
from wisecommittee.errors import CommitteeError
from wisecommittee.extraction.models.loaded import wrap_module
from wisecommittee.searches.evaluate import evaluate, evaluate_in
from wisecommittee.searches.search import search
from wisecommittee.searches.stages.pool import open_pool
from wisecommittee.searches.stages.prefixes import build_prefixes
from wisecommittee.searches.stages.stage_tables import stage_tables
from wisecommittee.store import LogitStore

LEAST = np.finfo(np.float32).min
COSTS = {"a": 1, "b": 5, "c": 20}


def models_of(rows, kind="logits"):
    return [naive.Model(name, name, 0, {name: COSTS[name]}, r, kind=kind) for name, r in rows.items()]


def overconfident(scale, n=400, classes=6, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    rows = {}
    for k, name in enumerate(COSTS):
        z = rng.standard_normal((n, classes))
        z[np.arange(n), labels] += 1 + k
        rows[name] = (z * scale).astype(np.float32)
    return rows, labels


def exact_log_odds(z):
    """float64 [n]: log p - log(1 - p) of the largest softmax probability, which neither saturates nor underflows."""
    z = np.sort(z.astype(np.float64), axis=1)
    return z[:, -1] - logsumexp(z[:, :-1], axis=1)


def carried(rows, combine, confidence, members, kind="logits"):
    store = MemoryStore(models_of(rows, kind), [0] * len(next(iter(rows.values()))))
    pool = open_pool(store, "val", store.cards("val"), combine=combine, confidence=confidence)
    trie = build_prefixes([members])
    return stage_tables(pool, trie, np.ones(len(trie), bool)).score[trie.find[members]]


# Masked classes


@pytest.mark.parametrize("mask", [LEAST, -1e37, -1e9, -1e5])
@pytest.mark.parametrize("combine", ["mean_logits", "mean_probs", "last"])
@pytest.mark.parametrize("confidence", sorted(CONFIDENCES))
@pytest.mark.parametrize("members", [(0,), (0, 1), (0, 1, 2)])
def test_a_masked_class_counts_nothing(mask, combine, confidence, members):
    """Masked for one model is masked for the mean of logits; class 5 exists for nobody, class 4 for the last two."""
    rows, _ = overconfident(2.0, n=60)
    with_mask = {}
    for k, (name, r) in enumerate(rows.items()):
        mine = np.where((np.arange(6) == 5) | ((np.arange(6) == 4) & (k == 0)), np.float32(mask), r)
        with_mask[name] = mine.astype(np.float32)
    used = [with_mask[name].astype(np.float64) for name in list(COSTS)[: len(members)]]
    used = used[-1:] if combine == "last" else used
    if combine == "mean_probs":
        p = np.mean([reference_softmax(np.where(r <= mask, -np.inf, r), axis=1) for r in used], axis=0)
        logits = np.log(np.maximum(p, 1e-38))
    else:
        gone = np.any([r <= mask for r in used], axis=0)
        logits = np.where(gone, -np.inf, np.mean(used, axis=0))
        p = reference_softmax(logits, axis=1)
    top = np.sort(p, axis=1)
    expected = {
        "max_prob": top[:, -1],
        "prob_gap": top[:, -1] - top[:, -2],
        "logit_gap": np.sort(logits, axis=1)[:, -1] - np.sort(logits, axis=1)[:, -2],
        "neg_entropy": np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0).sum(axis=1),
    }[confidence]
    members = members[-1:] if combine == "last" else members
    got = CONFIDENCES[confidence].scale.shown(carried(with_mask, combine, confidence, members))
    np.testing.assert_allclose(got, expected, rtol=2e-5, atol=1e-6)


def test_a_unit_with_one_class_left_is_certain():
    row = np.full((1, 4), LEAST)
    row[0, 2] = 3
    for confidence, least in (("max_prob", 1), ("prob_gap", 1), ("neg_entropy", 0), ("logit_gap", 1e38)):
        for combine in ("mean_logits", "mean_probs"):
            x = carried({"a": row, "b": row}, combine, confidence, (0, 1))
            assert np.isfinite(x).all()
            value = CONFIDENCES[confidence].scale.shown(x)[0]
            assert value >= (least if combine == "mean_logits" or confidence != "logit_gap" else 80)


# No saturation


@pytest.mark.parametrize("scale", [1, 10, 100, 1e4, 1e7])
@pytest.mark.parametrize("members", [(0,), (0, 1, 2)])
def test_log_odds_do_not_saturate(scale, members):
    rows, _ = overconfident(scale)
    total = sum(rows[name].astype(np.float64) for name in list(COSTS)[: len(members)]) / len(members)
    expected = exact_log_odds(total)
    x = carried(rows, "mean_logits", "max_prob", members)
    np.testing.assert_allclose(ODDS.log(x), expected, rtol=1e-5, atol=1e-5)
    order = np.argsort(expected)
    apart = np.diff(expected[order]) > 1e-4 * (1 + np.abs(expected[order][1:]))
    assert (np.diff(x[order])[apart] > 0).all()
    # The two others that end at 1 and at 0.
    top, second = np.sort(total, axis=1)[:, -1], np.sort(total, axis=1)[:, -2]
    z = total - top[:, None]
    rest = logsumexp(np.where(z < 0, z, -np.inf), axis=1)  # log of the sum of the others
    gap = CONFIDENCES["prob_gap"].scale.log(carried(rows, "mean_logits", "prob_gap", members))
    sure = rest < -5
    want = -np.logaddexp(rest, second - top)[sure]
    np.testing.assert_allclose(gap[sure], want, rtol=1e-5, atol=2e-2)  # 1 - gap against its odds
    entropy = CONFIDENCES["neg_entropy"].scale.log(carried(rows, "mean_logits", "neg_entropy", members))
    weights = np.exp(np.where(z < 0, z - (second - top)[:, None], -np.inf))
    mean = (weights * np.where(weights > 0, -z, 0)).sum(axis=1) / weights.sum(axis=1)
    want = -(rest + np.log1p(mean))
    np.testing.assert_allclose(entropy[rest < -20], want[rest < -20], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("classes", [2, 10, 200])
def test_probabilities_near_1_are_told_apart_by_the_other_columns(classes):
    rng = np.random.default_rng(1)
    odds = np.exp(-np.linspace(1, 80, 300))  # against
    rest = rng.dirichlet(np.ones(classes - 1), 300) * (odds / (1 + odds))[:, None]
    rows = np.column_stack([rest, 1 / (1 + odds)]).astype(np.float32)
    for combine in ("last", "mean_probs"):
        x = carried({"a": rows, "b": rows}, combine, "max_prob", (0,) if combine == "last" else (0, 1), "probabilities")
        assert (np.diff(x) > 0).all()
        np.testing.assert_allclose(ODDS.log(x), np.linspace(1, 80, 300), rtol=1e-4)
        gap = carried(
            {"a": rows, "b": rows}, combine, "prob_gap", (0,) if combine == "last" else (0, 1), "probabilities"
        )
        assert (np.diff(gap[60:]) > 0).all()
        assert (ODDS.shown(x) == rows[:, -1]).mean() > 0.99


def by_hand(rows, labels, budget):
    """Most correct of a | b within a total cost, by all thresholds on the log-odds of a in float64."""
    order = np.argsort(exact_log_odds(rows["a"]))
    first = rows["a"].argmax(axis=1) == labels
    both = (rows["a"].astype(np.float64) + rows["b"]).argmax(axis=1) == labels
    best = 0
    for units in range(len(labels) + 1):
        if len(labels) * COSTS["a"] + units * COSTS["b"] <= budget * len(labels):
            best = max(best, int(both[order[:units]].sum() + first[order[units:]].sum()))
    return best


@pytest.mark.parametrize("scale", [10, 40, 400])
@pytest.mark.parametrize("confidence", ["max_prob", "prob_gap", "neg_entropy"])
def test_exact_is_the_optimum_where_float32_probabilities_are_1(scale, confidence, tmp_path):
    rows, labels = overconfident(scale, classes=2, seed=3)  # two classes: every confidence has the same order
    del rows["c"]
    store = MemoryStore(models_of(rows), labels.tolist())
    found = search(store, exact=True, max_models=2, confidence=confidence)
    for budget in (1.2, 2, 3.5, 5):
        chosen = found.within(average_flops=budget)
        assert chosen.correct >= by_hand(rows, labels, budget)
    beyond = [e for e in found if e.committee.thresholds.log_odds and e.committee.stages[0] == ("a",)]
    assert beyond or (confidence, scale) == ("neg_entropy", 10)  # an entropy of 1e-20 is a float32
    assert found.searched["ties"]["share"] < 0.1
    for e in beyond:
        text = json.dumps(e.committee.to_json())
        e.committee.save(tmp_path / "c.json")
        loaded = Committee.load(tmp_path / "c.json")
        assert loaded == replace(e.committee, members=loaded.members)
        assert "log_odds" in text
        assert "Infinity" not in text
        # The number decides, in a program of its own.
        (odds,) = e.committee.thresholds.log_odds
        z = rows["a"].astype(np.float64)
        gap = exact_log_odds(z)
        if confidence == "neg_entropy":
            gap = gap - np.log1p(gap)  # of e^-gap + gap e^-gap, all that is left of an entropy so small
        elif confidence == "prob_gap":
            gap = np.log(-np.expm1(-gap)) + gap - np.log(2)
        assert (gap >= odds).sum() == round(e.exit_ratios[0] * len(labels))
    pool = open_pool(store, "val", store.cards("val"), confidence=confidence)
    assert evaluate_in(pool, [e.committee for e in found]) == list(found)


def test_thresholds_that_float32_expresses_have_no_log_odds():
    rows, labels = overconfident(1)
    for confidence in CONFIDENCES:
        found = search(MemoryStore(models_of(rows), labels.tolist()), confidence=confidence, max_models=2, levels=30)
        assert not any(e.committee.thresholds.log_odds for e in found)
        assert "log_odds" not in found.best().committee.to_json()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"log_odds": [30.0, 1.0]}, "2 numbers of log-odds for 1 threshold"),
        ({"thresholds": [0.5]}, "threshold 0.5 and its log-odds 30.0, which mean max_prob 1"),
        ({"log_odds": ["x"]}, "must be a list of numbers"),
        ({"log_odds": 3}, "must be a list of numbers or null"),
        ({"confidence": "logit_gap"}, "logit_gap, which has none"),
        ({"confidence": "halting"}, "halting, which has none"),
    ],
)
def test_log_odds_that_do_not_fit_are_refused(change, message):
    data = {"version": 1, "stages": [["a"], ["b"]], "thresholds": [1.0], "log_odds": [30.0], "confidence": "max_prob"}
    assert Committee.from_json(data).conditions() == ["log-odds of max_prob >= 30"]
    with pytest.raises(CommitteeError, match=message):
        Committee.from_json(data | change)


def test_ties_are_said():
    rows, labels = overconfident(1)
    rows["a"][:320] = rows["a"][0]
    found = search(MemoryStore(models_of(rows), labels.tolist()), exact=True, max_models=2)
    ties = found.searched["ties"]
    assert ties["share"] >= 320 / 400
    assert ties["after"] == ["a"]


# What rounding parts, and other programs


def replayed(committee, rows, softmax):
    """Exit stages of a committee of three by another softmax of the mean logits."""
    n = len(next(iter(rows.values())))
    stage = np.full(n, len(committee.stages) - 1)
    for k in reversed(range(len(committee.thresholds.values))):
        members = [rows[m] for s in committee.stages[: k + 1] for m in s]
        mean = sum(m.astype(np.float64) for m in members) / len(members)
        odds = committee.thresholds.log_odds[k] if committee.thresholds.log_odds else None
        if odds is None:
            leaves = softmax(mean).max(axis=1) >= np.float32(committee.thresholds.values[k])
        else:
            leaves = exact_log_odds(mean) >= odds
        stage[leaves] = k
    return np.bincount(stage, minlength=len(committee.stages)) / n


SOFTMAXES = {
    "scipy, float64": lambda z: reference_softmax(z, axis=1),
    "torch, float32": lambda z: torch.softmax(torch.from_numpy(z.astype(np.float32)), dim=1).numpy(),
    "numpy, float32": lambda z: reference_softmax(z.astype(np.float32), axis=1),
}


@pytest.mark.parametrize("softmax", SOFTMAXES)
@pytest.mark.parametrize("scale", [0.5, 3, 10, 40])
@pytest.mark.parametrize("exact", [False, True])
def test_every_reported_committee_replays_to_the_same_exits(softmax, scale, exact):
    """Whole logits whose sums come in any order: most confidences are equal in exact arithmetic, and not in floats."""
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 4, 300)
    rows = {}
    for k, name in enumerate(COSTS):
        z = rng.integers(-2, 3, (300, 4)) / 3
        z[np.arange(300), labels] += (1 + k) / 3
        rows[name] = (z * scale).astype(np.float32)
    found = search(MemoryStore(models_of(rows), labels.tolist()), exact=exact, max_models=3, levels=40)
    assert len(found) > 20
    for e in found:
        np.testing.assert_allclose(replayed(e.committee, rows, SOFTMAXES[softmax]), e.exit_ratios, atol=1e-9)


def test_a_deployed_committee_obeys_log_odds(tmp_path):
    rows, labels = overconfident(60, n=200)
    del rows["c"]
    store = LogitStore(tmp_path / "S")
    for name, r in rows.items():
        store.add(ModelCard(name, blocks={name: COSTS[name]}), "val", outputs=r, labels=labels)
    found = search(store, exact=True, max_models=2)
    chosen = next(e for e in found if e.committee.thresholds.log_odds and 0.2 < e.exit_ratios[0] < 0.6)
    assert evaluate(chosen.committee, store, "val").exit_ratios == chosen.exit_ratios

    class Stored(torch.nn.Module):
        def __init__(self, r):
            super().__init__()
            self.register_buffer("r", torch.from_numpy(r))

        def forward(self, x):
            return self.r[x[:, 0].long()]

    modules = {name: wrap_module(Stored(r).eval(), name) for name, r in rows.items()}
    with deploy(replace(chosen.committee, members={}), modules, device="cpu") as run:
        decided = run(torch.arange(200, dtype=torch.float32)[:, None])
    assert (decided.stage == 0).mean() == chosen.exit_ratios[0]
    assert (decided.prediction == labels).sum() == chosen.correct
    assert decided.confidence.max() <= 1

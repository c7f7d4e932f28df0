"""Routers: what a loop over units says of them, and what the search for them finds and does not find."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

import wisecommittee as wc
from wisecommittee import Committee, LogitStore, ModelCard
from wisecommittee.committees.policies.router import Router
from wisecommittee.errors import AlignmentError, CommitteeError, UsageError
from wisecommittee.searches.evaluate import evaluate
from wisecommittee.searches.policies.router.regression import Ridge, held_out
from wisecommittee.searches.policies.router.routing import routings
from wisecommittee.searches.query import Query
from wisecommittee.searches.selection import Selection
from wisecommittee.searches.units import evaluate_units

N, CLASSES = 300, 4
COSTS = {"a": 10, "b": 30, "c": 90}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("WISECOMMITTEE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def features_of(seed, units=N, split="val"):
    """Few different values, so that ties of estimates and values at knots occur."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "unit_id": [f"{split}{i}" for i in range(units)],
            "length": rng.integers(-3, 4, units) / 2,
            "task": rng.choice(["math", "code", "chat", "rare"], units, p=[0.4, 0.3, 0.28, 0.02]),
        }
    )


@pytest.fixture
def outputs():
    rng = np.random.default_rng(5)
    labels = rng.integers(0, CLASSES, N)
    sharp = {"a": 1.0, "b": 1.6, "c": 2.4}
    noise = {m: rng.integers(-2, 3, (N, CLASSES)) for m in sharp}
    return {m: (noise[m] + s * np.eye(CLASSES)[labels]).astype(np.float32) for m, s in sharp.items()}, labels


@pytest.fixture
def store(outputs):
    rows, labels = outputs
    store, frame = LogitStore("logits"), features_of(0)
    for name, logits in rows.items():
        card = ModelCard(name, blocks={name: COSTS[name]}, costs={"usd": COSTS[name] / 7})
        store.add(card, "val", unit_ids=frame["unit_id"].tolist(), outputs=logits, labels=labels)
    frame.to_csv("features.csv", index=False)
    wc.import_features(store, "val", "features.csv")
    return store


def random_router(rng):
    """A router of stages a, b, c with weights of few values."""
    columns = [
        {"name": "length", "center": 0.25, "scale": 2.0, "low": -0.5, "high": 0.5, "knots": [-0.25, 0.125]},
        {"name": "task", "values": ["code", "math"]},
    ]
    orders = [[0], [1], [2], [0, 1], [1, 2], [0, 2], [2, 0], [0, 1, 2], [1, 0, 2], [0, 2, 1]]
    chosen = [orders[k] for k in rng.permutation(len(orders))[:4]] + [[2, 1, 0]]
    parts = [
        {
            "stages": stages,
            "thresholds": [None if rng.random() < 0.2 else float(rng.uniform(0.3, 0.9)) for _ in stages[1:]],
            "start": float(rng.integers(-1, 2)),
            "weights": (rng.integers(-2, 3, 5) / 2).tolist(),
        }
        for stages in chosen
    ]
    return {"kind": "router", "columns": columns, "parts": parts, "costs": {}}


def naive_part(router, unit):
    """The number of the part of a unit: the first of those of the highest value."""
    length, code_math = router["columns"]
    z = (unit["length"] - length["center"]) / length["scale"]
    z = min(max(z, length["low"]), length["high"])
    terms = [z, *(max(0.0, z - knot) for knot in length["knots"])]
    terms += [1.0 if unit["task"] == value else 0.0 for value in code_math["values"]]
    values = [p["start"] + sum(w * t for w, t in zip(p["weights"], terms, strict=True)) for p in router["parts"]]
    return values.index(max(values))


def naive_run(router, unit, i, rows):
    """(prediction, cost, models that ran) of a unit: members' mean logits in canonical order, softmax, max_prob."""
    part = router["parts"][naive_part(router, unit)]
    ran = []
    for position, stage in enumerate(part["stages"]):
        ran.append("abc"[stage])
        total = np.zeros(CLASSES, np.float32)
        for model in sorted(ran):
            total = total + rows[model][i]
        mean = total / np.float32(len(ran))
        p = np.exp(mean.astype(np.float64) - mean.max())
        last = position == len(part["stages"]) - 1
        if last or (part["thresholds"][position] is not None and (p / p.sum()).max() >= part["thresholds"][position]):
            return int(mean.argmax()), sum(COSTS[m] for m in ran), ran
    raise AssertionError


@pytest.mark.parametrize("seed", range(6))
def test_evaluated_and_deployed_it_is_what_a_loop_over_units_says(store, outputs, seed):
    router = random_router(np.random.default_rng(seed))
    data = {"version": 1, "stages": [["a"], ["b"], ["c"]], "policy": router, "thresholds": None}
    committee = Committee.from_json(data)
    assert Committee.from_json(json.loads(json.dumps(committee.to_json()))) == committee
    units = features_of(0).to_dict("records")
    expected = [naive_run(router, unit, i, outputs[0]) for i, unit in enumerate(units)]
    frame = evaluate_units(committee, store, "val")
    assert frame["prediction"].tolist() == [prediction for prediction, _, _ in expected]
    assert frame["cost"].tolist() == [cost for _, cost, _ in expected]
    e = evaluate(committee, store, "val")
    assert e.correct == sum(p == label for (p, _, _), label in zip(expected, outputs[1].tolist(), strict=True))
    assert e.average_cost == pytest.approx(np.mean([cost for _, cost, _ in expected]), rel=1e-12)

    members = {name: lambda x, name=name: outputs[0][name][np.asarray(x)[:, 0].astype(int)] for name in outputs[0]}
    columns = {name: features_of(0)[name].to_numpy() for name in ("length", "task")}
    with wc.deploy(committee, members, device="cpu") as run:
        inputs = torch.arange(N, dtype=torch.float32)[:, None]
        decided = run(inputs, features=columns)
        alone = run(inputs[7:8], features={name: values[7:8] for name, values in columns.items()})
        assert decided.prediction.tolist() == frame["prediction"].tolist()
        assert (decided.ran @ [10, 30, 90]).tolist() == frame["cost"].tolist()
        assert alone.prediction[0] == decided.prediction[7]
        with pytest.raises(UsageError, match="decides by features; give them"):
            run(inputs)
        with pytest.raises(UsageError, match=r"feature 'task': shape \[3\] for 300 units"):
            run(inputs, features={**columns, "task": ["a", "b", "c"]})


def test_its_own_cost_is_charged_in_the_cost_that_it_is_given_in(store):
    data = random_router(np.random.default_rng(1))
    free = Committee.from_json({"version": 1, "stages": [["a"], ["b"], ["c"]], "policy": data})
    paid = replace(free, policy=replace(free.policy, costs={"flops": 0.125}))
    without, with_fee = evaluate(free, store, "val"), evaluate(paid, store, "val")
    assert with_fee.average_cost == without.average_cost + 0.125
    assert with_fee.worst_case_cost == without.worst_case_cost + 0.125
    assert with_fee.quality == without.quality
    assert (
        evaluate(paid, store, "val", cost="usd").average_cost == evaluate(free, store, "val", cost="usd").average_cost
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(parts=[]), "a router without parts"),
        (lambda d: d.update(parts="x"), "expected a list of objects"),
        (lambda d: d.update(columns=[{"name": "x"}]), "expected the text name"),
        (lambda d: d["columns"][0].update(scale=0.0), "scale above 0"),
        (lambda d: d["columns"][0].update(center="x"), "expected a finite number"),
        (lambda d: d["columns"][1].update(values=["x", "x"]), "expected different texts"),
        (lambda d: d["columns"][1].update(name="length"), "two columns of one name"),
        (lambda d: d["parts"][0].update(weights=[1.0]), r"1 weights; expected 5, one for each term"),
        (lambda d: d["parts"][0].update(start=math.nan), "expected a finite number"),
        (lambda d: d["parts"][0].update(stages=[0, 0]), "each once"),
        (lambda d: d["parts"][0].update(stages=[7], thresholds=[]), "expected every stage in some part, and no other"),
        (lambda d: d["parts"][4].update(thresholds=[0.5]), "expected one for each stage but the last, or null"),
        (lambda d: d["parts"][0].update(more=1), "parts: fields"),
        (lambda d: d.update(costs={"usd": -1}), "expected a number from 0"),
        (lambda d: d.update(costs=[1]), "expected an object of numbers"),
    ],
)
def test_a_file_that_is_no_router_is_refused(change, message):
    data = random_router(np.random.default_rng(0))
    change(data)
    with pytest.raises(CommitteeError, match=message):
        Committee.from_json({"version": 1, "stages": [["a"], ["b"], ["c"]], "policy": data})


def test_units_without_its_features_are_refused_with_the_remedy(store):
    committee = Committee.from_json(
        {"version": 1, "stages": [["a"], ["b"], ["c"]], "policy": random_router(np.random.default_rng(2))}
    )
    features_of(0)[["unit_id", "length"]].to_csv("less.csv", index=False)
    with pytest.raises(CommitteeError, match=r"reads feature 'task'; the units have 'length'; import them with"):
        evaluate(committee, store.with_features("less.csv"), "val")
    features_of(0).assign(task=1).to_csv("numbers.csv", index=False)
    with pytest.raises(CommitteeError, match="feature 'task' holds numbers; expected the categories"):
        evaluate(committee, store.with_features("numbers.csv"), "val")
    features_of(0).iloc[1:].to_csv("few.csv", index=False)
    with pytest.raises(AlignmentError, match="no features for 1 unit of 300 in val, such as 'val0'"):
        evaluate(committee, store.with_features("few.csv"), "val")


def test_the_regression_solves_the_normal_equations_and_counts_categories_with_smoothing():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 5)), rng.normal(size=(60, 3))
    start, weights = Ridge.of(x, y).weights(7.0)
    apart = x - x.mean(axis=0)
    wanted = np.linalg.solve(apart.T @ apart + 7.0 * np.eye(5), apart.T @ (y - y.mean(axis=0)))
    np.testing.assert_allclose(weights, wanted, rtol=1e-10)
    np.testing.assert_allclose(start, y.mean(axis=0) - x.mean(axis=0) @ wanted, rtol=1e-10)

    group = np.repeat([0, 1], [10, 30])  # balanced against the others so that the start is the mean of all units
    right = rng.random(40)
    indicators = np.eye(2)[group]
    predicted = Ridge.of(indicators, right[:, None]).predict(indicators, 4.0)[:, 0]
    assert predicted.mean() == pytest.approx(right.mean())
    for value in (0, 1):  # the residuals of a category are its weight times the penalty
        rows = group == value
        _, weights = Ridge.of(indicators, right[:, None]).weights(4.0)
        assert (right[rows] - predicted[rows]).sum() == pytest.approx(4.0 * weights[value, 0])


def test_a_unit_is_predicted_by_the_fit_without_its_fold():
    rng = np.random.default_rng(1)
    x, y, folds = rng.normal(size=(50, 3)), rng.normal(size=(50, 2)), (np.arange(50) % 4).astype(np.int16)
    fits = [Ridge.of(x[folds != fold], y[folds != fold]) for fold in range(4)]
    predicted = held_out(x, folds, fits, 2.0)
    for i in (0, 1, 17, 49):
        kept = folds != folds[i]
        center, mean = x[kept].mean(axis=0), y[kept].mean(axis=0)
        apart = x[kept] - center
        weights = np.linalg.solve(apart.T @ apart + 2.0 * np.eye(3), apart.T @ (y[kept] - mean))
        np.testing.assert_allclose(predicted[i], mean + (x[i] - center) @ weights, rtol=1e-9)


def answers_store(seed, *, useful, confidence=True, units=(1500, 6000)):
    """A store in which the category decides which of two cheap models is good, or nothing does."""
    rng = np.random.default_rng(seed)
    store, tables = LogitStore(f"answers-{seed}-{useful}-{confidence}"), []
    for split, n in zip(("val", "test"), units, strict=True):
        tables.append(features_of(seed + len(split), n, split))
        good = tables[-1]["task"].isin(["math", "rare"]).to_numpy()
        chance = {
            "a": np.where(good, 0.9, 0.55) if useful else 0.72,
            "b": np.where(good, 0.55, 0.9) if useful else 0.74,
        }
        hard, rows = rng.random(n), []
        for model, usd, probability in (("a", 1, chance["a"]), ("b", 1.2, chance["b"]), ("c", 5, 0.88)):
            right = 0.6 * hard + 0.4 * rng.random(n) < probability
            sure = {"confidence": np.round(probability - hard + rng.normal(size=n) / 3, 2)} if confidence else {}
            columns = {"unit_id": tables[-1]["unit_id"], "model": model, "answer": np.where(right, "yes", "no")}
            rows.append(pd.DataFrame({**columns, "usd": usd, "label": "yes", **sure}))
        pd.concat(rows).to_csv("answers.csv", index=False)
        wc.import_answers(store, split, "answers.csv")
    pd.concat(tables).to_csv("both.csv", index=False)
    return store.with_features("both.csv")


def test_useful_features_give_more_for_the_same_cost_on_new_units():
    store = answers_store(0, useful=True)
    plain, routed = wc.search(store, cost="usd"), wc.search(store, cost="usd", policy="router")
    assert routed.searched["routers"] > 0
    for budget in (1.5, 2.5):
        before = evaluate(plain.within(average_cost=budget).committee, store)
        found = routed.within(average_cost=budget).committee
        after = evaluate(found, store)
        assert isinstance(found.policy, Router)
        assert after.quality > before.quality + 0.03
        assert after.average_cost < budget * 1.03


def test_useless_features_leave_the_plain_cascades_within_noise():
    changes = []
    for seed in range(4):
        store = answers_store(seed, useful=False, units=(800, 4000))
        plain, routed = wc.search(store, cost="usd"), wc.search(store, cost="usd", policy="router")
        for price in (0.0, 0.02, 0.05, 0.1):
            best = [max(f, key=lambda e: e.quality - price * e.average_cost) for f in (plain, routed)]
            tests = [evaluate(e.committee, store) for e in best]
            values = [t.quality - price * t.average_cost for t in tests]
            changes.append(values[1] - values[0])
    assert np.mean(changes) > -0.003
    assert min(changes) > -0.02


def test_without_a_confidence_it_chooses_among_single_models():
    store = answers_store(1, useful=True, confidence=False)
    frontier = wc.search(store, cost="usd", policy="router")
    best = max(frontier, key=lambda e: e.quality - 0.1 * e.average_cost)
    assert isinstance(best.committee.policy, Router)
    assert all(len(part.stages) == 1 for part in best.committee.policy.cascades())
    assert best.committee.confidence == "none"
    assert evaluate(best.committee, store).quality > 0.86  # each model alone: 0.75 or 0.88 at four times the cost
    assert evaluate(best.committee, store).average_cost < 2


def test_a_dear_router_is_charged_and_then_not_taken():
    store = answers_store(2, useful=True)
    free = wc.search(store, cost="usd", policy="router")
    paid = wc.search(store, cost="usd", policy="router", router_cost=0.25)
    for frontier, fee in ((free, 0.0), (paid, 0.25)):
        routed = [e for e in frontier if isinstance(e.committee.policy, Router)]
        assert routed
        for e in routed[:3]:
            units = evaluate_units(e.committee, store, "val")
            alone = replace(e.committee, policy=replace(e.committee.policy, costs={}))
            assert e.average_cost == pytest.approx(units["cost"].mean())
            assert e.average_cost == pytest.approx(evaluate(alone, store, "val").average_cost + fee)
    dear = wc.search(store, cost="usd", policy="router", router_cost=50.0)
    assert sum(isinstance(e.committee.policy, Router) for e in dear) <= 1  # where cost has no price


def test_the_result_depends_on_neither_threads_nor_repetition():
    store = answers_store(3, useful=True, units=(600, 50))
    found = [wc.search(store, cost="usd", policy="router", threads=n) for n in (1, 2, 1)]
    texts = [json.dumps([e.committee.to_json() for e in frontier]) for frontier in found]
    assert len(set(texts)) == 1


def test_a_choice_has_figures_that_are_expected_of_the_whole_search():
    store = answers_store(4, useful=True, units=(600, 4000))
    query = Query(cost="usd", policy="router")
    choice = wc.search_and_choose(store, query, wc.Target("target_cost", 1.6), selection=Selection(folds=5))
    expected, test = choice.evidence.expected, choice.test
    assert isinstance(choice.val.committee.policy, Router)
    assert expected is not None
    assert test is not None
    assert abs(expected.quality - test.quality) < 0.04


def test_what_a_router_needs_is_said(store):
    with pytest.raises(UsageError, match="chooses which of several models a unit runs, and there is one model"):
        wc.search(store, policy="router", models=["a"])
    bare = LogitStore("bare")
    for name in ("a", "b"):
        bare.add(ModelCard(name, blocks={name: 1}), "val", outputs=4 * np.eye(3), labels=np.arange(3))
    with pytest.raises(UsageError, match=r"val has no features, which policy='router' decides by; import them with"):
        wc.search(bare, policy="router")


def test_the_command_takes_the_features_of_a_file(run):
    answers_store(5, useful=True, units=(600, 600))
    folder = ("--store", "answers-5-True-True")
    code, _, err = run("search", *folder, "--cost", "usd", "--policy", "router", "--target-cost", 2)
    assert code == 2
    assert "--features FILE" in err
    words = ("--cost", "usd", "--policy", "router", "--target-cost", 2, "--features", "both.csv", "--save", "c.json")
    code, out, err = run("search", *folder, *words, "--folds", 0, "--json")
    assert code == 0, err
    assert json.loads(out)["committee"]["policy"]["kind"] == "router"
    code, out, err = run("evaluate", "c.json", *folder, "--features", "both.csv", "--json")
    assert code == 0, err
    assert json.loads(out)["average_cost"] < 2.2
    code, _, err = run("evaluate", "c.json", *folder)
    assert code == 1
    assert "import them with `wisecommittee import --features FILE`, or give them with --features FILE" in err


def test_no_routing_is_found_where_all_cascades_are_alike():
    rng = np.random.default_rng(0)
    quality = np.repeat(rng.integers(0, 2, (80, 1)).astype(float), 3, axis=1)
    assert list(routings(rng.normal(size=(80, 4)), quality, np.ones((80, 3)), [0.0, 0.1])) == []
    assert list(routings(np.empty((80, 0)), quality, np.ones((80, 3)), [0.0, 0.1])) == []


def test_a_frontier_with_routers_is_kept_in_a_file():
    store = answers_store(6, useful=True, units=(600, 50))
    frontier = wc.search(store, cost="usd", policy="router", router_cost=0.125)
    frontier.save("frontier.parquet")
    kept = wc.Frontier.load("frontier.parquet")
    assert [e.committee for e in kept] == [e.committee for e in frontier]
    assert kept.query.router_cost == 0.125


def test_a_fee_makes_the_unit_of_costs_finer_and_changes_no_cost():
    store = answers_store(7, useful=True, units=(100, 50))
    single = Committee((("a",),), confidence="confidence", combine="last", cost="usd")
    plain = wc.search(store, cost="usd", max_models=2)
    finer = wc.search(store, cost="usd", max_models=2, router_cost=0.333)
    assert [e.figures() for e in plain] == [e.figures() for e in finer]
    assert evaluate(single, store).average_cost == 1

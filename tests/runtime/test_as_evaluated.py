"""A runtime decides unit for unit what the evaluation says, for every kind of policy, rule, confidence, calibration and
kind of outputs; whatever the batches and the order of the units."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from row_members import check_as_evaluated, decide, stored_runtime

import wisecommittee as wc
from wisecommittee import Committee, LogitStore, ModelCard, Thresholds
from wisecommittee.committees.policies.mixing import mixture
from wisecommittee.runtime import Outputs
from wisecommittee.searches.calibration.calibrate import calibrate
from wisecommittee.searches.certainty import abstaining
from wisecommittee.searches.units import evaluate_units

N, CLASSES, SPLITS = 120, 3, ("val", "test")
SHARP = {"a": (0.5, 10), "b": (1.0, 30), "c": (1.6, 90)}  # {architecture: (signal, multiply-adds)}


def filled(folder, kind="logits", classes=CLASSES, seed=0):
    """A store of two replicas of three architectures, that share a trunk, with halting scores and features."""
    store, rng = LogitStore(folder / kind), np.random.default_rng(seed)
    for split in SPLITS:
        labels, ids = rng.integers(0, classes, N), [f"{split}{i}" for i in range(N)]
        ease = rng.gamma(1.5, 1.0, N)
        for name, (signal, cost) in SHARP.items():
            for replica in range(2):
                rows = rng.normal(size=(N, classes)) + signal * ease[:, None] * np.eye(classes)[labels]
                if kind == "probabilities":
                    rows = np.exp(rows) / np.exp(rows).sum(axis=1, keepdims=True)
                model = f"{name}/{replica}"
                card = ModelCard(
                    model, kind=kind, blocks={model: cost, "trunk": 5}, costs={"usd": cost / 7}, group=name,
                    position=replica,
                )  # fmt: skip
                scores = {"halting": rows.max(axis=1).round(1)}
                store.add(card, split, outputs=rows.astype(np.float32), labels=labels, scores=scores, unit_ids=ids)
        table = folder / f"{kind}-{split}.csv"
        frame = {"unit_id": ids, "length": ease.round(1), "task": rng.choice(["x", "y"], N)}
        pd.DataFrame(frame).to_csv(table, index=False)
        wc.import_features(store, split, table)
    return store


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    return {kind: filled(folder, kind) for kind in ("logits", "probabilities")}


@pytest.fixture(scope="module")
def for_calibration(tmp_path_factory):
    """Stores whose members are calibrated by one method after the other."""
    folder = tmp_path_factory.mktemp("calibrated")
    return {kind: filled(folder, kind) for kind in ("logits", "probabilities")}


@pytest.fixture(scope="module")
def binary(tmp_path_factory):
    return filled(tmp_path_factory.mktemp("binary"), classes=2)


def searched(store, most=3, levels=4, **query):
    """Committees from the whole length of a frontier, with more than one stage where there are any."""
    frontier = wc.search(store, levels=levels, max_models=3, threads=1, **query)
    found = [e.committee for e in frontier if len(e.committee.stages) > 1] or [e.committee for e in frontier]
    return [found[i] for i in sorted({round(i) for i in np.linspace(0, len(found) - 1, most)})]


def check_all(store, committees):
    assert committees
    stages = [check_as_evaluated(committee, store, "test", batch_size=50) for committee in committees]
    assert any(len(np.unique(stage)) > 1 for stage in stages) or all(len(c.stages) == 1 for c in committees)


def named(query):
    return "-".join(map(str, query.values())) or "thresholds"


QUERIES = [
    {},
    {"combine": "mean_probs"},
    {"combine": "mean_probs", "confidence": "neg_entropy"},
    {"combine": "last", "confidence": "prob_gap"},
    {"confidence": "logit_gap"},
    {"confidence": "neg_entropy"},
    {"confidence": "halting"},
    {"family": "halting", "confidence": "halting", "combine": "last"},
    {"family": "anytime"},
    {"shared_threshold": True, "cost": "usd"},
    {"policy": "agreement"},
    {"policy": "agreement", "confidence": "halting"},
    {"policy": "labels"},
    {"policy": "router", "router_cost": 0.5},
    {"policy": "deferral"},
    {"policy": "adaptive", "cost": "usd"},
]


OF_PROBABILITIES = [
    {},
    {"combine": "mean_probs"},
    {"combine": "last", "confidence": "prob_gap"},
    {"confidence": "logit_gap"},
    {"policy": "agreement"},
]
KINDS = [("logits", query) for query in QUERIES] + [("probabilities", query) for query in OF_PROBABILITIES]


@pytest.mark.parametrize(("kind", "query"), KINDS, ids=lambda given: given if isinstance(given, str) else named(given))
def test_every_unit_is_decided_as_evaluated(kind, query, stores):
    check_all(stores[kind], searched(stores[kind], **query))


def test_a_window_on_the_positive_class(binary):
    check_all(binary, searched(binary, policy="window", combine="last"))


@pytest.mark.parametrize("method", ["temperature", "platt", "isotonic"])
@pytest.mark.parametrize("kind", ["logits", "probabilities"])
def test_members_are_calibrated_as_in_the_store(kind, method, for_calibration):
    store = for_calibration[kind]
    calibrate(store, ["*"], method, force=True)
    found = searched(store, most=2, calibrated=True)
    assert {member["calibration"]["method"] for member in found[-1].members.values()} == {method}
    check_all(store, found)


def test_members_of_a_stage_answer_together(stores):
    store = stores["logits"]
    committee = Committee((("a/1", "a/0"), ("c/0", "b/1", "b/0")), Thresholds((0.6,)), parallel=())
    for combine in ("mean_logits", "mean_probs", "last"):
        found = Committee(committee.stages, committee.policy, combine=combine)
        check_as_evaluated(found, store, "val", batch_size=50)


def test_committees_that_mix_and_that_abstain(stores):
    store = stores["logits"]
    found = searched(store)
    mixed = mixture(found[0], found[-1], 0.4)
    check_as_evaluated(mixed, store, "test", batch_size=30)
    for policy in ("thresholds", "deferral"):
        chosen = searched(store, policy=policy)[0]
        silent = abstaining(chosen, [(0.7, None)] * len(chosen.stages))
        check_as_evaluated(silent, store, "test")
        assert "" in decide(silent, store, "test", np.arange(N)).names


@pytest.fixture(scope="module")
def chosen(stores):
    """A committee of every kind of policy."""
    store = stores["logits"]
    kinds = ("thresholds", "agreement", "labels", "router", "deferral", "adaptive")
    found = [searched(store, policy=kind)[-1] for kind in kinds]
    return [*found, mixture(found[0], found[3], 0.5)]


@pytest.fixture(scope="module")
def whole(chosen, stores):
    """The decisions of each of these committees on all units, in their order."""
    return [decide(committee, stores["logits"], "test", np.arange(N)) for committee in chosen]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_decisions_depend_neither_on_batches_nor_on_the_order_of_the_units(data, chosen, whole, stores):
    number = data.draw(st.integers(0, len(chosen) - 1))
    committee, whole, store = chosen[number], whole[number], stores["logits"]
    rows = np.array(data.draw(st.permutations(range(N)))[: data.draw(st.integers(1, N))])
    some = decide(committee, store, "test", rows, batch_size=data.draw(st.integers(1, 70)))
    assert some.prediction.tolist() == whole.prediction[rows].tolist()
    assert some.stage.tolist() == whole.stage[rows].tolist()
    assert some.ran.tolist() == whole.ran[rows].tolist()
    np.testing.assert_array_equal(some.confidence, whole.confidence[rows])
    for cost, paid in whole.costs.items():
        assert some.costs[cost].tolist() == paid[rows].tolist()


def test_costs_that_members_report_take_the_place_of_those_of_the_file():
    committee = Committee(
        (("a", "b"), ("c",)), Thresholds((0.9,)), cost="usd", parallel=(), costs={"a": 1.0, "b": 2.0, "c": 4.0}
    )
    rows = np.array([[9.0, 0.0], [0.0, 0.1]])
    members = dict.fromkeys("ab", lambda inputs: inputs)
    plain = wc.Runtime(committee, {**members, "c": lambda inputs: inputs})(rows)
    assert plain.costs["usd"].tolist() == [3.0, 7.0]
    told = wc.Runtime(committee, {**members, "c": lambda x: Outputs(x, costs={"usd": [0.5] * len(x), "tokens": [7]})})
    assert told(rows).costs["usd"].tolist() == [3.0, 3.5]
    assert told(rows).costs["tokens"].tolist() == [0.0, 7.0]
    unknown = Committee(committee.stages, committee.policy, cost="usd", costs={"a": 1.0, "b": 2.0, "c": None})
    paid = wc.Runtime(unknown, {**members, "c": lambda inputs: inputs})(rows).costs["usd"]
    assert paid[0] == 3.0
    assert np.isnan(paid[1])


def test_a_cost_that_nothing_says_is_unknown_and_not_0():
    committee = Committee((("a",), ("b",)), Thresholds((0.9,)), cost="usd")
    rows = np.array([[9.0, 0.0], [0.0, 0.1]])
    b = lambda x: Outputs(x, costs={"usd": [0.5] * len(x)})  # noqa: E731
    paid = wc.Runtime(committee, {"a": lambda x: x, "b": b})(rows).costs["usd"]
    assert np.isnan(paid).tolist() == [True, True]


SAID = {
    "a": ["**Paris**.", "so \\boxed{1,234.0}", "no", "x"],
    "b": ["paris", "1234", "yes", "y"],
    "c": ["PARIS", "12", "Yes.", "z"],
}


@pytest.fixture(scope="module")
def answered(tmp_path_factory):
    """A store of free-form answers, and what the models said of its units."""
    folder, rng = tmp_path_factory.mktemp("answers"), np.random.default_rng(1)
    store, said = LogitStore(folder / "S"), {}
    for split in SPLITS:
        rows = []
        for i in range(80):
            label = ["paris", "1234", "yes", "w"][i % 4]
            for k, model in enumerate("abc"):
                right = rng.random() < 0.5 + 0.2 * k
                answer = (
                    str(rng.choice([f"**{label}**.", label.upper(), f'"{label}"']))
                    if right
                    else str(rng.choice(["p", "q"]))
                )
                said[split, model, i] = answer
                rows.append((f"u{i}", model, answer, label, round(float(rng.random()), 2), 1.0 + k + i % 3))
        frame = pd.DataFrame(rows, columns=["unit_id", "model", "answer", "label", "confidence", "usd"])
        frame.to_csv(folder / "answers.csv", index=False)
        wc.import_answers(store, split, folder / "answers.csv", free_form=True)
    return store, said


@pytest.mark.parametrize("policy", ["thresholds", "agreement", "labels", "deferral", "adaptive"])
def test_free_form_answers_vote_by_their_form_and_are_returned_as_they_were_given(policy, answered, tmp_path):
    store, said = answered
    for number, committee in enumerate(searched(store, levels=5, policy=policy)):
        committee.save(tmp_path / f"{number}.json")
        again = Committee.load(tmp_path / f"{number}.json")
        assert again.answer_form == "free_form"
        check_as_evaluated(again, store, "test", batch_size=20)
        stored = stored_runtime(again, store, "test")
        raw = {}
        for model in again.models:

            def call(rows, model=model, stored=stored):
                known = stored.members[model].call(rows)
                return Outputs(None, [said["test", model, i] for i in rows.tolist()], known.scores, known.costs)

            raw[model] = call
        table = evaluate_units(again, store, "test")
        decisions = wc.Runtime(again, raw)(np.arange(80))
        assert (decisions.stage + 1).tolist() == table["stage"].tolist()
        form = stored.combination.form
        assert [form(each) for each in decisions.prediction.tolist()] == table["prediction"].tolist()
        ran = [[m for k, stage in enumerate(again.stages) if here[k] for m in stage] for here in decisions.ran.tolist()]
        given = [{said["test", model, i] for model in models} for i, models in enumerate(ran)]
        for each, of_unit in zip(decisions.prediction.tolist(), given, strict=True):
            assert each in of_unit or (each == form(each) and each not in map(form, of_unit))  # a posterior's own label


def test_class_numbers_are_answers_too():
    committee = Committee((("a",), ("b",)), Thresholds((0.5,)), confidence="sure", combine="last",
                          members={"a": {"kind": "answers"}, "b": {"kind": "answers"}})  # fmt: skip
    run = wc.Runtime(
        committee,
        {
            "a": lambda x: Outputs(answers=x, scores={"sure": [0.9, 0.1]}),
            "b": lambda x: Outputs(answers=x + 5, scores={"sure": [1.0]}),
        },
    )
    assert run(np.array([3, 4])).prediction.tolist() == [3, 9]

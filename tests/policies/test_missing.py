"""Units that a model did not answer: what every policy does with them, against loops over the definition."""

from __future__ import annotations

import json
import math

import naive_policies
import numpy as np
import pandas as pd
import pytest

import wisecommittee as wc
from wisecommittee.committees.committee import Committee
from wisecommittee.errors import UsageError
from wisecommittee.searches.calibration.calibrate import fit
from wisecommittee.searches.doctor import examine
from wisecommittee.searches.evaluate import evaluate
from wisecommittee.searches.search import search
from wisecommittee.searches.units import evaluate_units

N = 150
MODELS = "abc"
USD = {"a": 1.0, "b": 2.0, "c": 5.0}
RIGHT = {"a": 0.6, "b": 0.7, "c": 0.85}
FATES = ("escalate", "wrong", "skip")


def table_of(seed, *, silent=(0.2, 0.15, 0.1), confidence=True, labels="pqr"):
    """{model: {unit: (answer or None, confidence)}} and {unit: label}; the last unit has no answer at all."""
    rng = np.random.default_rng(seed)
    truth = {f"u{i}": str(rng.choice(list(labels))) for i in range(N)}
    said = {}
    for model, share in zip(MODELS, silent, strict=True):
        said[model] = {}
        for unit, label in truth.items():
            right = rng.random() < RIGHT[model]
            sure = round(float(rng.beta(4, 2) if right else rng.beta(2, 3)), 2)
            answer = label if right else str(rng.choice(list(labels)))
            said[model][unit] = (None if rng.random() < share or unit == f"u{N - 1}" else answer, sure)
    rows = [
        {
            "unit_id": unit,
            "model": model,
            "answer": answer or "",
            "confidence": sure if answer else None,
            "usd": USD[model],
        }
        for model, units in said.items()
        for unit, (answer, sure) in units.items()
        if answer or unit[-1] in "13579"  # of the others there is no row
    ]
    frame = pd.DataFrame(rows)
    return said, truth, frame if confidence else frame.drop(columns="confidence")


def imported(tmp_path, fate, *, splits=("val", "test"), **options):
    """(store, {split: (said, truth)}), the units that --missing skip leaves out already without."""
    store, tables = wc.LogitStore(tmp_path / f"store-{fate}"), {}
    for seed, split in enumerate(splits):
        said, truth, frame = table_of(seed, **options)
        frame.to_csv(tmp_path / "answers.csv", index=False)
        pd.DataFrame({"unit_id": truth.keys(), "label": truth.values()}).to_csv(tmp_path / "labels.csv", index=False)
        wc.import_answers(store, split, tmp_path / "answers.csv", labels=tmp_path / "labels.csv", missing=fate)
        if fate == "skip":
            truth = {unit: label for unit, label in truth.items() if all(said[m][unit][0] for m in MODELS)}
        tables[split] = said, truth
    return store, tables


@pytest.fixture(params=FATES)
def fate(request):
    return request.param


@pytest.fixture(autouse=True)
def _quiet(recwarn):
    """Filled costs are said aloud, which is another test's matter."""


def by_hand(stages, thresholds, said, truth, fate):
    """(number right, total usd, [units that exit at each stage]) of a cascade, unit by unit."""
    right, usd, exits = 0, 0.0, [0] * len(stages)
    for unit, label in truth.items():
        for k, model in enumerate(stages):
            usd += USD[model]
            answer, sure = said[model][unit]
            last = k == len(stages) - 1
            if answer is None:
                leaves = last or fate == "wrong"
            else:
                leaves = last or np.float32(sure) >= np.float32(thresholds[k])
            if leaves:
                right += answer == label
                exits[k] += 1
                break
    return right, usd, exits


def test_thresholds_escalate_or_exit_as_the_definition_says(tmp_path, fate):
    store, tables = imported(tmp_path, fate)
    for split, (said, truth) in tables.items():
        for stages, thresholds in ((("a", "b"), [0.5]), (("b", "a", "c"), [0.7, 0.35]), (("c",), [])):
            committee = Committee.from_json(
                {
                    "version": 1,
                    "stages": [[m] for m in stages],
                    "thresholds": thresholds,
                    "confidence": "confidence",
                    "combine": "last",
                    "cost": "usd",
                }
            )
            e = evaluate(committee, store, split)
            right, usd, exits = by_hand(stages, thresholds, said, truth, fate)
            assert (e.correct, e.n) == (right, len(truth))
            assert e.average_cost == pytest.approx(usd / len(truth))
            assert [round(x * e.n) for x in e.exit_ratios] == exits


@pytest.mark.parametrize("exact", [False, True])
def test_every_committee_of_a_search_is_what_the_loop_says_and_prints_no_mark(tmp_path, fate, exact):
    store, tables = imported(tmp_path, fate)
    frontier = search(store, cost="usd", exact=exact, max_models=3)
    several = 0
    for e in frontier:
        stages = [stage[0] for stage in e.committee.stages]
        thresholds = e.committee.thresholds.values
        assert all(-1 < value < 2 for value in thresholds), "a mark of a unit without an answer in a threshold"
        for split, (said, truth) in tables.items():
            again = e if split == "val" else evaluate(e.committee, store, split)
            right, usd, _ = by_hand(stages, thresholds, said, truth, fate)
            assert again.correct == right
            assert again.average_cost == pytest.approx(usd / len(truth))
        several += len(stages) > 1
        assert "e+3" not in " ".join(e.committee.policy.conditions(len(stages), "confidence"))
    assert several


def test_a_model_that_is_asked_only_where_another_refused_is_found(tmp_path):
    """All that a answers is right, so no threshold among its answers is worth anything."""
    rows = []
    for i in range(60):
        silent = i % 3 == 0
        rows.append((f"u{i}", "a", "" if silent else "yes", None if silent else 0.2 + i / 100, 1.0, "yes"))
        rows.append((f"u{i}", "b", "yes", 0.9, 10.0, "yes"))
    columns = ["unit_id", "model", "answer", "confidence", "usd", "label"]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "answers.csv", index=False)
    store = wc.LogitStore(tmp_path / "store")
    wc.import_answers(store, "val", tmp_path / "answers.csv", missing="escalate")
    for options in ({}, {"exact": True}, {"policy": "labels"}, {"policy": "agreement"}):
        best = search(store, cost="usd", **options).best()
        assert best.quality == 1
        assert best.average_cost == pytest.approx(1 + 10 / 3), options


def units_of(committee, store, split, truth):
    """The table of units in the order of `truth`."""
    return evaluate_units(committee, store, split).set_index("unit_id").loc[list(truth)]


def agreement_by_hand(committee, said, truth):
    policy = json.loads(json.dumps(committee.to_json()["policy"]))
    models = [stage[0] for stage in committee.stages]
    marks = {"answer": "", "escalate": naive_policies.ALWAYS, "wrong": -naive_policies.ALWAYS}
    right, ran_of = 0, []
    for unit, label in truth.items():
        answers = [said[m][unit][0] or "" for m in models]
        confidences = [said[m][unit][1] if said[m][unit][0] else marks["escalate"] for m in models]
        ran, answer = naive_policies.agreement(policy, models, answers, confidences)
        right += answer == label
        ran_of.append((ran, answer))
    return right, ran_of


@pytest.mark.parametrize("confidence", [False, True])
def test_no_answer_never_votes_and_units_without_a_vote_go_on(tmp_path, confidence):
    store, tables = imported(tmp_path, "escalate", confidence=confidence)
    frontier = search(store, cost="usd", policy="agreement")
    voting = [e for e in frontier if e.committee.policy.kind == "agreement"]
    assert voting
    for e in voting:
        for split, (said, truth) in tables.items():
            right, ran_of = agreement_by_hand(e.committee, said, truth)
            assert evaluate(e.committee, store, split).correct == right
            units = units_of(e.committee, store, split, truth)
            assert [(ran, answer or "(no answer)") for ran, answer in ran_of] == [
                (ran, answer or "(no answer)") for ran, answer in zip(units["stage"], units["prediction"], strict=True)
            ]
            assert all(answer or ran == len(e.committee.stages) for ran, answer in ran_of)


def test_labels_send_every_unit_without_an_answer_on(tmp_path):
    store, tables = imported(tmp_path, "escalate")
    for e in search(store, cost="usd", policy="labels"):
        models = [stage[0] for stage in e.committee.stages]
        if e.committee.policy.kind != "labels":
            continue
        policy = json.loads(json.dumps(e.committee.to_json()["policy"]))
        after = {tuple(route) for route in policy["after"]}
        for split, (said, truth) in tables.items():
            right = 0
            for unit, label in truth.items():
                route = (0,)
                while True:
                    answer, sure = said[models[route[-1]]][unit]
                    known = policy["labels"]
                    column = known.index(answer or "") if (answer or "") in known else len(known)
                    if route not in after:
                        break
                    rule = policy["after"].index(list(route))
                    value = policy["thresholds"][rule][column]
                    if answer is not None and value is not None and np.float32(sure) >= np.float32(value):
                        break
                    route = (*route, policy["following"][rule][column])
                right += answer == label
            assert evaluate(e.committee, store, split).correct == right


def test_adaptive_policies_answer_nothing_only_where_nobody_answered(tmp_path):
    """With more labels than a posterior has classes, the classes are what the members said."""
    words = [chr(0x4E00 + i) for i in range(60)]
    store, tables = imported(tmp_path, "escalate", labels=words)
    for e in search(store, cost="usd", policy="adaptive"):
        for split, (said, truth) in tables.items():
            units = units_of(e.committee, store, split, truth)
            for unit, answer, usd in zip(truth, units["prediction"], units["cost"], strict=True):
                asked = [m for m in MODELS if said[m][unit][0] is None]
                if answer == "":
                    assert usd <= sum(USD[m] for m in asked)
            assert evaluate(e.committee, store, split).correct == sum(
                answer == label for answer, label in zip(units["prediction"], truth.values(), strict=True)
            )


@pytest.mark.parametrize("policy", ["deferral", "router", "window"])
def test_other_policies_count_no_answer_as_wrong(tmp_path, policy):
    store, tables = imported(tmp_path, "escalate", labels="pq")
    features = pd.DataFrame({"unit_id": [f"u{i}" for i in range(N)], "length": np.arange(N) % 17})
    features.to_csv(tmp_path / "features.csv", index=False)
    for split in tables:
        wc.import_features(store, split, tmp_path / "features.csv")
    try:
        frontier = search(store, cost="usd", policy=policy)
    except UsageError:
        pytest.skip("not for answers")
    for e in frontier:
        for split, (_, truth) in tables.items():
            units = units_of(e.committee, store, split, truth)
            right = sum(a == b and a != "" for a, b in zip(units["prediction"], truth.values(), strict=True))
            assert evaluate(e.committee, store, split).correct == right
            assert np.isfinite(units["cost"]).all()


def test_calibration_takes_marks_for_no_confidences(tmp_path, fate):
    store, tables = imported(tmp_path, fate)
    said, truth = tables["val"]
    for method in ("platt", "isotonic"):
        (result,) = fit(store, ["a"], method)
        answered = [(said["a"][u][1], said["a"][u][0] == label) for u, label in truth.items() if said["a"][u][0]]
        sure, right = (np.array(column, float) for column in zip(*answered, strict=True))
        if method == "isotonic" and len(sure) < 100:
            continue
        assert result.before.ece is not None
        loss = -np.mean(right * np.log(np.maximum(sure, 1e-38)) + (1 - right) * np.log(np.maximum(1 - sure, 1e-38)))
        assert result.before.nll == pytest.approx(loss, rel=1e-5)


def test_the_card_and_the_doctor_say_how_many_units_lack_an_answer(tmp_path, fate):
    store, tables = imported(tmp_path, fate)
    said, truth = tables["val"]
    lacking = sum(said["a"][unit][0] is None for unit in truth)
    meta = store.card("a", "val").meta
    doubts = [d.text for d in examine(store, ["val"]) if "without an answer" in d.text]
    if fate == "skip":
        assert not meta
        assert not doubts
    else:
        assert meta == {"unanswered": lacking, "missing": fate}
        assert f"a {lacking}" in doubts[0]
        assert math.isclose(
            evaluate(single("a"), store, "val").quality,
            sum(said["a"][unit][0] == label for unit, label in truth.items()) / len(truth),
        )


def single(model):
    return Committee.from_json(
        {
            "version": 1,
            "stages": [[model]],
            "thresholds": [],
            "confidence": "confidence",
            "combine": "last",
            "cost": "usd",
        }
    )

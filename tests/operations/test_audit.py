"""Policies of other tools: what their file may hold, what they cost with every model that ran, what they claim."""

from __future__ import annotations

import json

import numpy as np
import pytest

from wisecommittee import Committee, LogitStore, Thresholds, audit, evaluate
from wisecommittee.errors import AbsentError, CommitteeError, UsageError
from wisecommittee.operations.claims import rounds_to
from wisecommittee.operations.policy_file import policy_from_json, read_policy
from wisecommittee.searches.units import evaluate_units

PLAIN = {"models": ["small", "large"], "thresholds": [0.8]}


def written(path, policy):
    path.write_text(policy if isinstance(policy, str) else json.dumps(policy))
    return path


def test_every_model_that_ran_is_charged(store, tmp_path):
    done = audit(written(tmp_path / "p.json", PLAIN), store)
    committee = Committee((("small",), ("large",)), Thresholds((0.8,)), combine="last")
    known = evaluate(committee, store, "test")
    assert done.evaluation == known
    frame = evaluate_units(committee, store, "test")
    paid = np.where(frame["stage"] == 1, 100, 1700)
    alone = np.where(frame["stage"] == 1, 100, 1600)
    assert known.average_cost == paid.mean()
    assert done.answering_cost == alone.mean()
    assert done.cost_interval[0] < paid.mean() < done.cost_interval[1]
    assert done.answering_interval[0] < alone.mean() < done.answering_interval[1]
    assert (done.quality, done.average_cost) == (None, None)


def test_claims_stand_beside_the_measured_figures(store, tmp_path):
    plain = audit(written(tmp_path / "p.json", PLAIN), store)
    true, alone = plain.evaluation.average_cost, plain.answering_cost
    claims = {"accuracy": plain.evaluation.quality, "average_cost": true, "cost": "flops"}
    honest = audit(written(tmp_path / "p.json", {**PLAIN, "claimed": claims}), store)
    assert honest.quality.within
    assert honest.average_cost.within
    assert not honest.forgets_models
    forgetful = audit(written(tmp_path / "p.json", {**PLAIN, "claimed": {**claims, "average_cost": alone}}), store)
    assert forgetful.forgets_models
    answer = forgetful.to_json()["claims"]["average_cost"]
    assert answer["is_answering_cost"]
    assert answer["difference"] == pytest.approx(true - alone)
    bold = audit(written(tmp_path / "p.json", {**PLAIN, "claimed": {"quality": 1.0}}), store)
    assert not bold.quality.within
    assert bold.quality.to_json()["difference"] == pytest.approx(plain.evaluation.quality - 1)


def test_a_claim_that_only_fits_the_answering_models_is_doubted(store, tmp_path):
    dear = {"models": ["mid", "large"], "thresholds": [0.99]}
    plain = audit(written(tmp_path / "p.json", dear), store)
    assert plain.answering_interval[1] < plain.cost_interval[0]
    near = plain.answering_cost * 1.001
    done = audit(written(tmp_path / "p.json", {**dear, "claimed": {"average_cost": near}}), store)
    assert done.may_forget_models
    assert not done.forgets_models


def test_rounding_goes_by_the_digits_of_the_claim():
    assert rounds_to(0.01234, 0.0123)
    assert not rounds_to(0.01236, 0.0123)
    assert rounds_to(1.216e8, 1.22e8)
    assert rounds_to(1.216e8, 122_000_000)
    assert not rounds_to(1.216e8, 1e8)  # one digit is no licence
    assert rounds_to(1.01e8, 1e8)
    assert rounds_to(0.1 + 0.2, 0.3)
    assert rounds_to(0.0, 0.0)
    assert not rounds_to(1.0, 0.0)


def test_the_rule_is_that_of_the_file(store):
    def committee(**fields):
        return policy_from_json({**PLAIN, **fields}).to_committee("max_prob", "flops")

    assert committee() == Committee((("small",), ("large",)), Thresholds((0.8,)), combine="last")
    assert committee(rule="prob_gap", combine="mean_probs").confidence == "prob_gap"
    assert committee(confidence="logit_gap").confidence == "logit_gap"
    above = committee(comparison=">").thresholds.values[0]
    assert np.float32(above) == np.nextafter(np.float32(0.8), np.float32(1))
    stages = policy_from_json({"stages": [["small", "mid"], ["large"]], "thresholds": [0.5]})
    assert stages.to_committee("max_prob", "flops").stages == (("small", "mid"), ("large",))


def test_a_committee_of_ours_is_audited_as_it_is(store, committee, tmp_path):
    committee.save(tmp_path / "c.json")
    assert audit(tmp_path / "c.json", store, "val").evaluation == evaluate(committee, store, "val")
    data = {**json.loads((tmp_path / "c.json").read_text()), "claimed": {"accuracy": 0.9}}
    assert audit(written(tmp_path / "d.json", data), store).quality.claimed == 0.9


def answers_store(tmp_path):
    """Two models of which each answer has a price of its own."""
    store, rng = LogitStore(tmp_path / "answers"), np.random.default_rng(0)
    lines = ["unit_id,model,answer,confidence,usd,label"]
    for unit in range(60):
        for model, price in (("cheap", 0.001), ("dear", 0.01)):
            answer, sure = rng.integers(0, 2), rng.random()
            lines.append(f"{unit},{model},{answer},{sure:.3f},{price * rng.integers(1, 4)},1")
    (tmp_path / "answers.csv").write_text("\n".join(lines) + "\n")
    from wisecommittee import import_answers

    import_answers(store, "test", tmp_path / "answers.csv")
    return store


def test_answers_with_prices_of_their_own(tmp_path):
    store = answers_store(tmp_path)
    policy = {"models": ["cheap", "dear"], "thresholds": [0.5], "claimed": {"average_cost": 0.01, "cost": "usd"}}
    done = audit(written(tmp_path / "p.json", policy), store)
    sure = store.scores("cheap", "test", "confidence") >= np.float32(0.5)
    cheap, dear = (store.unit_costs(model, "test", "usd") for model in ("cheap", "dear"))
    assert done.evaluation.committee.confidence == "confidence"
    assert done.evaluation.average_cost == pytest.approx(np.where(sure, cheap, cheap + dear).mean())
    assert done.answering_cost == pytest.approx(np.where(sure, cheap, dear).mean())
    with pytest.raises(UsageError, match="claimed in 'usd'"):
        audit(tmp_path / "p.json", store, cost="tokens")


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("[]", r"a policy is a JSON object, not \[\]"),
        ("{", "not JSON"),
        ('{"models": ["a"], "models": ["b"]}', "'models' stands twice"),
        ({**PLAIN, "treshold": 1}, "unknown field 'treshold'; known: claimed, combine"),
        ({"thresholds": [0.5]}, 'expected one of "models"'),
        ({**PLAIN, "stages": [["a"]]}, 'expected one of "models"'),
        ({**PLAIN, "rule": "max_prob", "confidence": "max_prob"}, "two names of one field"),
        ({**PLAIN, "comparison": "<"}, 'expected ">=" or ">"'),
        ({**PLAIN, "thresholds": []}, "0 thresholds for 2 stages; expected 1"),
        ({**PLAIN, "thresholds": 0.5}, '"thresholds" is 0.5; expected a list'),
        ({**PLAIN, "thresholds": ["0.5"]}, "threshold 1 is '0.5'; expected a finite number"),
        ('{"models": ["a", "b"], "thresholds": [1e999]}', "not finite"),
        ({"models": []}, "at least one stage"),
        ({"models": [["a"]], "thresholds": []}, "among the models"),
        ({"models": ["small", "small"], "thresholds": [0.5]}, "stands more than once"),
        ({"models": ["small", "huge"], "thresholds": [0.5]}, "the committee has huge"),
        ({**PLAIN, "confidence": "sureness"}, "unknown confidence 'sureness'"),
        ({**PLAIN, "combine": "vote"}, "unknown"),
        ({**PLAIN, "claimed": 3}, '"claimed" is 3; expected an object'),
        ({**PLAIN, "claimed": {"accurracy": 1}}, "unknown field 'accurracy'"),
        ({**PLAIN, "claimed": {"accuracy": 95}}, "the claimed accuracy is 95; expected a share"),
        ({**PLAIN, "claimed": {"accuracy": 0.9, "quality": 0.9}}, "two names of one claim"),
        ({**PLAIN, "claimed": {"average_cost": -1}}, "expected a number from 0"),
        ({**PLAIN, "claimed": {"cost": 3}}, "'cost' is 3; expected str"),
        ({**PLAIN, "version": 1}, "unknown field 'models'"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(store, tmp_path, policy, message):
    with pytest.raises(CommitteeError, match=message):
        audit(written(tmp_path / "p.json", policy), store)


def test_files_that_are_no_policy(tmp_path):
    with pytest.raises(AbsentError, match=r"none.json: no such file; write the policy as JSON"):
        read_policy(tmp_path / "none.json")
    with pytest.raises(CommitteeError, match="a csv table"):
        read_policy(written(tmp_path / "x.csv", "a,b\n1,2\n"))
    with pytest.raises(CommitteeError, match="more than 4,194,304 bytes"):
        read_policy(written(tmp_path / "large.json", " " * (5 << 20)))
    with pytest.raises(CommitteeError, match="nested more than"):
        read_policy(written(tmp_path / "deep.json", "[" * 100 + "]" * 100))


def test_the_command(store, run, tmp_path, monkeypatch):
    plain = audit(written(tmp_path / "p.json", PLAIN), store)
    written(tmp_path / "p.json", {**PLAIN, "claimed": {"accuracy": 0.99, "average_cost": plain.answering_cost}})
    code, out, err = run("audit", "--policy", "p.json", "--store", "S", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == json.loads(json.dumps(audit(tmp_path / "p.json", store).to_json()))
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = run("audit", "--policy", "p.json", "--store", "S")
    words = " ".join(out.split())
    assert (code, err) == (0, "")
    assert "models that ran before it are not charged" in words
    assert "too high" in words
    code, out, err = run("audit", "--policy", "q.json", "--store", "S")
    assert code == 1
    assert err.startswith("error: q.json: no such file")

"""A target of accuracy on the answered units with policies other than thresholds, from the search to the file."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import wisecommittee as wc
from wisecommittee import Committee, LogitStore, ModelCard, Query, Target
from wisecommittee.searches.evaluate import evaluate
from wisecommittee.searches.selection import Selection
from wisecommittee.searches.units import evaluate_units

N, WANTED = 400, 0.9


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("WISECOMMITTEE_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(3)
    store = LogitStore(tmp_path / "logits")
    for split in ("val", "test"):
        labels, hard = rng.integers(0, 2, N), rng.random(N)
        ids = [f"{split}{i}" for i in range(N)]
        for sharp, (name, cost) in enumerate({"a": 10, "b": 30, "c": 90}.items(), start=1):
            signal = (0.4 + sharp * (1 - hard))[:, None] * np.eye(2)[labels]
            logits = (rng.normal(size=(N, 2)) + 1.5 * signal).astype(np.float32)
            store.add(ModelCard(name, blocks={name: cost}), split, outputs=logits, labels=labels, unit_ids=ids)
        path = tmp_path / f"{split}.csv"
        pd.DataFrame({"unit_id": ids, "hard": hard}).to_csv(path, index=False)
        wc.import_features(store, split, path)
    return store


@pytest.mark.parametrize("policy", ["window", "router", "labels", "auto"])
@pytest.mark.parametrize("target", [None, Target("target_flops", 60.0)], ids=["no target", "budget"])
def test_a_committee_abstains_as_is_expected_of_it(store, tmp_path, policy, target):
    query, selection = Query(policy=policy, max_models=2, levels=15), Selection(folds=4, answered_accuracy=WANTED)
    choice = wc.search_and_choose(store, query, target, selection=selection)
    committee = choice.val.committee
    assert committee.policy.kind == "abstaining"
    if policy == "auto":  # votes do not say how sure they are
        assert "no confidence" in choice.frontier.searched["refused"]["agreement"]
    expected = choice.evidence.expected.to_json()
    frame = evaluate_units(committee, store, "test")
    given = frame["prediction"].notna().to_numpy()
    right = frame["correct"].to_numpy(bool)
    error = np.sqrt(WANTED * (1 - WANTED) / given.sum())
    assert abs(expected["answered"] - given.mean()) < 0.12
    assert right[given].mean() > WANTED - 3 * error
    assert not right[~given].any()
    committee.save(tmp_path / "committee.json")
    again = evaluate(Committee.load(tmp_path / "committee.json"), store, "test")
    assert again.answered == given.sum()
    assert again == choice.test

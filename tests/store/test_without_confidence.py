"""Answers that are stored without a confidence: what works, and what says that one is missing."""

import numpy as np
import pandas as pd
import pytest

from wisecommittee.analyses import confidence as analysis
from wisecommittee.analyses.study import study_of
from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.errors import CommitteeError, ContentError, UsageError, WiseCommitteeError
from wisecommittee.searches.calibration.calibrate import fit
from wisecommittee.searches.doctor import examine
from wisecommittee.searches.evaluate import evaluate
from wisecommittee.searches.search import search
from wisecommittee.searches.units import evaluate_units
from wisecommittee.store import LogitStore
from wisecommittee.store.imports.answers import import_answers

UNITS = 40


def answers_table(models=("small", "large"), seed=0, **columns):
    rng = np.random.default_rng(seed)
    rows = []
    for price, model in enumerate(models, 1):
        for i in range(UNITS):
            right = rng.random() < 0.5 + 0.2 * price
            truth = "yes" if i % 2 else "no"
            rows.append((f"q{i}", model, truth if right else "maybe", price / 100, truth))
    frame = pd.DataFrame(rows, columns=["unit_id", "model", "answer", "usd", "label"])
    return frame.assign(**columns)


@pytest.fixture
def bare(tmp_path):
    """A store of two models without a confidence, in val and test."""
    store = LogitStore(tmp_path / "store")
    for seed, split in enumerate(("val", "test")):
        file = tmp_path / f"{split}.csv"
        answers_table(seed=seed).to_csv(file, index=False)
        import_answers(store, split, file)
    return store


def test_the_card_names_no_score_and_the_store_is_sound(bare):
    assert bare.card("small", "val").contents.scores == ()
    assert bare.verify() == []
    assert list(examine(bare, ["val", "test"])) == []


def test_single_models_are_searched_and_evaluated(bare):
    frontier = search(bare, cost="usd", max_models=1)
    labels, answers = bare.labels("test"), bare.answers("large", "test")
    best = frontier.best().committee
    assert best.stages == (("large",),)
    assert evaluate(best, bare, "test").quality == np.mean(labels == answers)
    assert Committee.from_json(best.to_json()) == best


def test_a_single_model_chosen_with_confidences_is_evaluated_on_answers_without(bare):
    chosen = Committee((("small",),), confidence="confidence", combine="last", cost="usd")
    assert evaluate(chosen, bare, "test").quality == np.mean(bare.labels("test") == bare.answers("small", "test"))


def test_thresholds_name_the_models_and_the_remedy(bare):
    with pytest.raises(UsageError, match=r"thresholds need a confidence; large, small: stored without.*policy="):
        search(bare, cost="usd")
    cascade = Committee((("small",), ("large",)), Thresholds((0.5,)), "confidence", "last", cost="usd")
    with pytest.raises(CommitteeError, match=r"large.*stored without the score 'confidence'; import these"):
        evaluate(cascade, bare, "test")


def test_thresholds_without_a_confidence_are_no_committee():
    with pytest.raises(CommitteeError, match="thresholds compare a confidence, and this committee has none"):
        Committee((("small",), ("large",)), Thresholds((0.5,)), "none", "last", cost="usd")


def test_curves_of_confidence_name_what_is_missing(bare):
    study = study_of(bare, cost="usd")
    with pytest.raises(UsageError, match="curves of confidence need a confidence; large, small"):
        analysis.curves(study)
    with pytest.raises(ContentError, match="no stored confidence to calibrate"):
        fit(bare, ["small"])


def test_units_of_a_single_model_have_no_column_of_confidences(bare):
    frame = evaluate_units(Committee((("large",),), confidence="none", combine="last", cost="usd"), bare, "test")
    assert list(frame.columns) == ["unit_id", "prediction", "stage", "cost", "label", "correct"]
    assert frame["correct"].mean() == np.mean(bare.labels("test") == bare.answers("large", "test"))


def test_models_with_and_without_a_confidence_can_be_told_apart(bare, tmp_path):
    file = tmp_path / "middle.csv"
    answers_table(("middle",)).assign(usd=0.015, confidence=0.5).to_csv(file, index=False)
    import_answers(bare, "val", file)
    doubts = [str(doubt) for doubt in examine(bare, ["val"])]
    assert any("small, large" in text or "large, small" in text for text in doubts), doubts
    with pytest.raises(UsageError, match="stored without the score 'confidence'"):
        search(bare, cost="usd", confidence="confidence")
    with pytest.raises(UsageError, match=r"(small, large|large, small): stored without"):
        search(bare, cost="usd")
    assert search(bare, cost="usd", models=["middle"]).best().committee.confidence == "confidence"


def test_a_score_may_not_be_named_as_no_confidence_is(bare):
    with pytest.raises(ContentError, match="a score named 'none'"):
        bare.add(
            bare.card("small", "val").without_contents(),
            "other",
            unit_ids=["a", "b"],
            answers=["yes", "no"],
            labels=["yes", "no"],
            scores={"none": [0.1, 0.2]},
        )


def test_a_heading_that_is_almost_a_confidence_is_no_cost(tmp_path):
    file = tmp_path / "answers.csv"
    answers_table(conf=0.5).to_csv(file, index=False)
    with pytest.raises(WiseCommitteeError, match="column 'conf'; name it confidence if it is one"):
        import_answers(LogitStore(tmp_path / "store"), "val", file)

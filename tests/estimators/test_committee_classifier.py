"""A committee of scikit-learn estimators against the store's own evaluation and choice, and as scikit-learn is used."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_predict, cross_val_score
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

import wisecommittee as wc
from wisecommittee import CommitteeClassifier, ModelCard
from wisecommittee.errors import CostError, InfeasibleError, UnknownNameError, UsageError
from wisecommittee.searches.units import evaluate_units
from wisecommittee.store.memory_store import MemoryStore


def store_with(outputs, labels, costs, split):
    store = MemoryStore()
    for name, rows in outputs.items():
        card = ModelCard(name, kind="probabilities", costs={"cost": costs[name]})
        store.add(card, split, labels=labels, outputs=rows)
    return store


@pytest.mark.parametrize(("policy", "options"), [("thresholds", {}), ("adaptive", {"max_models": 2, "levels": 4})])
def test_decisions_are_those_of_an_evaluation_of_the_same_outputs(digits, asked, policy, options):
    X, others, y, labels = digits
    fitted = asked(policy=policy, max_cost=9, **options).fit(X, y)
    outputs = {name: member.predict_proba(others) for name, member in fitted.named_estimators_.items()}
    expected = evaluate_units(fitted.committee_, store_with(outputs, labels, fitted.costs_, "test"), "test")
    assert expected["stage"].nunique() > 1
    np.testing.assert_array_equal(fitted.predict(others), expected["prediction"])
    np.testing.assert_array_equal(fitted.stages(others) + 1, expected["stage"])
    np.testing.assert_allclose(fitted.cost(others), expected["cost"])


@pytest.mark.parametrize("max_cost", [1.5, 12])
def test_a_budget_chooses_what_search_and_choose_does_on_cross_fitted_outputs(digits, fitted, max_cost):
    X, _, y, _ = digits
    fitted.set_params(max_cost=max_cost)
    outputs = {name: cross_val_predict(e, X, y, cv=3, method="predict_proba") for name, e in fitted.estimators}
    query = wc.Query(levels=20, combine="mean_probs", cost="cost", replicas="all")
    store = store_with(outputs, y, fitted.costs_, "val")
    choice = wc.search_and_choose(store, query, wc.Target("target_cost", max_cost))
    assert fitted.committee_.decides_as(choice.val.committee)
    assert fitted.expected_.average_cost == choice.evidence.expected.average_cost <= max_cost
    assert fitted.expected_.quality == pytest.approx(choice.evidence.expected.quality, abs=0.02)


def test_a_larger_budget_is_chosen_without_fitting_anything(digits, fitted):
    _, others, _, _ = digits
    cheap, members = fitted.set_params(max_cost=2).committee_, list(fitted.estimators_)
    assert fitted.set_params(max_cost=12) is fitted
    assert fitted.committee_.label() != cheap.label()
    assert fitted.cost(others).mean() > 2
    assert all(one is other for one, other in zip(members, fitted.estimators_, strict=True))
    assert fitted.set_params(max_cost=2).committee_ == cheap


class Counting(ClassifierMixin, BaseEstimator):
    """GaussianNB that counts the samples it was fitted to and asked about, over all its clones."""

    seen: dict[tuple[str, str], int] = {}  # noqa: RUF012

    def __init__(self, name="", smoothing=1e-9):
        self.name, self.smoothing = name, smoothing

    def fit(self, X, y):
        self.nb_ = GaussianNB(var_smoothing=self.smoothing).fit(X, y)
        self.classes_ = self.nb_.classes_
        self.seen[self.name, "fits"] = self.seen.get((self.name, "fits"), 0) + 1
        return self

    def predict_proba(self, X):
        self.seen[self.name, "samples"] = self.seen.get((self.name, "samples"), 0) + len(X)
        return self.nb_.predict_proba(X)

    def predict(self, X):
        return self.nb_.predict(X)


def test_every_estimator_runs_only_on_the_samples_that_reach_its_stage(digits):
    X, others, y, _ = digits
    members = [("rough", Counting("rough", 0.3)), ("fine", Counting("fine", 1e-3))]
    fitted = CommitteeClassifier(members, {"rough": 1, "fine": 9}, max_cost=5, levels=20, cv=3).fit(X, y)
    assert {key: n for key, n in Counting.seen.items() if key[1] == "fits"} == {
        ("rough", "fits"): 4,
        ("fine", "fits"): 4,
    }
    Counting.seen.clear()
    stages = fitted.set_params(max_cost=4).stages(others)
    order = [stage[0] for stage in fitted.committee_.stages]
    assert Counting.seen == {(name, "samples"): int((stages >= stage).sum()) for stage, name in enumerate(order)}
    assert 0 < Counting.seen["fine", "samples"] < len(others)


def test_an_estimator_that_memorises_its_samples_does_not_look_perfect():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(400, 5)), rng.integers(0, 2, 400)
    members = [("memory", KNeighborsClassifier(1)), ("nb", GaussianNB())]
    fitted = CommitteeClassifier(members, {"memory": 5, "nb": 1}, levels=20).fit(X, y)
    assert fitted.named_estimators_["memory"].score(X, y) == 1
    assert 0.4 < fitted.expected_.quality < 0.6
    assert fitted.frontier_["accuracy"].max() < 0.6


def test_a_target_accuracy_chooses_the_cheapest_committee_that_is_expected_to_reach_it(digits, fitted):
    X, _, _, _ = digits
    fitted.set_params(max_cost=None, target_accuracy=0.85)
    choices = fitted.frontier_.query("kind == 'choice'").reset_index()
    place = choices.index[choices["cost"] == fitted.expected_.average_cost][0]
    assert (np.maximum.accumulate(choices["accuracy"])[:place] < 0.86).all()
    assert fitted.expected_.quality > 0.83
    with pytest.raises(InfeasibleError, match="no committee is expected to reach 1 on new units; the best"):
        fitted.set_params(target_accuracy=1.0).predict(X)
    with pytest.raises(UsageError, match=r"max_cost=3 and target_accuracy=1\.0: choose one"):
        fitted.set_params(max_cost=3).predict(X)


def test_the_table_has_every_choice_and_every_estimator(digits, fitted):
    X, _, y, _ = digits
    table = fitted.frontier_
    choices, singles = (table[table["kind"] == kind] for kind in ("choice", "single"))
    assert choices["cost"].is_monotonic_increasing
    assert set(singles["committee"]) == {"tree", "nb", "knn"}
    for row in choices.itertuples():
        fitted.set_params(max_cost=row.cost)
        assert (fitted.committee_.label(), fitted.expected_.quality) == (row.committee, row.accuracy)
    knn = cross_val_predict(KNeighborsClassifier(5), X, y, cv=3)
    assert singles.set_index("committee").loc["knn", "accuracy"] == pytest.approx(np.mean(knn == y))
    with pytest.raises(InfeasibleError, match=r"no committee costs at most 0\.5 on average; the cheapest is tree at 1"):
        fitted.set_params(max_cost=0.5).predict(X)


def test_a_committee_is_deployed_from_its_file(digits, fitted, tmp_path):
    _, others, _, _ = digits
    fitted.committee_.save(tmp_path / "committee.json")
    members = {name: fitted.named_estimators_[name] for name in fitted.committee_.models}
    decisions = wc.Runtime(tmp_path / "committee.json", members)(others)
    np.testing.assert_array_equal(fitted.classes_[decisions.prediction], fitted.predict(others))
    assert wc.Committee.load(tmp_path / "committee.json").expected == fitted.expected_.to_json()


def test_nothing_is_written(digits, asked, tmp_path, monkeypatch, own_cache):
    X, others, y, _ = digits
    monkeypatch.chdir(tmp_path)
    asked(max_cost=5, levels=5).fit(X, y).predict(others)
    assert not own_cache.exists()
    assert os.listdir(tmp_path) == []


def test_it_is_pickled_cloned_and_fitted_in_two_processes(digits, fitted):
    X, others, y, _ = digits
    two = clone(fitted).set_params(n_jobs=2).fit(X, y)
    again = pickle.loads(pickle.dumps(two))
    for other in (two, again):
        np.testing.assert_array_equal(fitted.predict_proba(others), other.predict_proba(others))
    assert fitted.set_params(max_cost=12).expected_ == again.set_params(max_cost=12).expected_


def test_it_works_in_pipelines_and_grid_searches():
    X, y = load_breast_cancer(return_X_y=True)
    members = [("tree", DecisionTreeClassifier(max_depth=2, random_state=0)), ("nb", GaussianNB())]
    committee = CommitteeClassifier(members, {"tree": 1, "nb": 3}, levels=3, cv=2)
    piped = make_pipeline(StandardScaler(), committee)
    grid = {"committeeclassifier__max_cost": [1, 2], "committeeclassifier__tree__max_depth": [2]}
    search = GridSearchCV(piped, grid, cv=2, scoring="neg_log_loss").fit(X, y)
    chosen = search.best_estimator_[-1]
    assert chosen.expected_.average_cost <= chosen.max_cost == search.best_params_["committeeclassifier__max_cost"]
    assert cross_val_score(search.best_estimator_, X, y, cv=2).mean() > 0.9


def test_classes_are_texts_and_inputs_are_tables(asked, fitted, digits):
    pd = pytest.importorskip("pandas")
    X, others, y, labels = digits
    named = np.array([f"class {k}" for k in range(10)])
    table, other_table = (pd.DataFrame(rows).add_prefix("pixel") for rows in (X, others))
    of_table = asked(max_cost=5).fit(table, named[y])
    assert list(of_table.classes_) == list(named)
    assert list(of_table.feature_names_in_) == list(table)
    np.testing.assert_array_equal(of_table.predict(other_table), named[fitted.predict(others)])
    assert of_table.score(other_table, named[labels]) == fitted.score(others, labels)


def test_estimators_may_take_texts():
    texts = [word + f" and {k}" for k in range(40) for word in ("good", "bad")]
    y = np.tile(["up", "down"], 40)
    members = [(f"words{n}", make_pipeline(CountVectorizer(ngram_range=(1, n)), MultinomialNB())) for n in (1, 2)]
    fitted = CommitteeClassifier(members, {"words1": 1, "words2": 2}, cv=2).fit(texts, y)
    assert fitted.predict(["good and 7", "bad"]).tolist() == ["up", "down"]
    assert not hasattr(fitted, "n_features_in_")


def test_estimators_can_be_dropped_and_only_one_is_left(digits, asked):
    X, others, y, _ = digits
    fitted = asked().set_params(knn="drop", nb="drop").fit(X, y)
    assert list(fitted.named_estimators_) == ["tree"]
    np.testing.assert_array_equal(fitted.predict(others), fitted.estimators_[0].predict(others))
    assert fitted.cost(others).tolist() == [1.0] * len(others)


def test_fitted_estimators_are_used_as_they_are(digits, asked):
    X, others, y, labels = digits
    members = [(name, clone(estimator).fit(X, y)) for name, estimator in asked().estimators]
    fitted = asked(max_cost=5, cv="prefit").set_params(estimators=members).fit(others[:300], labels[:300])
    assert all(one is other for one, (_, other) in zip(fitted.estimators_, members, strict=True))
    single = fitted.frontier_.query("committee == 'nb' and kind == 'single'")["accuracy"].item()
    assert single == members[1][1].score(others[:300], labels[:300])
    with pytest.raises(UsageError, match="y has the class 11, which the estimators do not know"):
        fitted.fit(others[:3], [1, 2, 11])
    members[2] = ("knn", KNeighborsClassifier().fit(X[y < 5], y[y < 5]))
    with pytest.raises(UsageError, match="tree and knn were fitted to other classes"):
        fitted.set_params(estimators=members).fit(others, labels)


def test_a_class_that_a_fold_lacks_has_probability_0_there():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(61, 2))
    y = np.array([0, 1] * 30 + [2])
    members = [("nb", GaussianNB()), ("tree", DecisionTreeClassifier(max_depth=2, random_state=0))]
    with pytest.warns(match=r"least populated class|Number of classes in training fold"):
        fitted = CommitteeClassifier(members, {"nb": 1, "tree": 2}, cv=3).fit(X, y)
    assert fitted.predict_proba(X).shape == (61, 3)


def test_sample_weights_go_to_the_estimators(digits, asked):
    X, others, y, _ = digits
    weights = np.where(y < 5, 1.0, 0.01)
    fitted = asked(max_cost=2).set_params(knn="drop").fit(X, y, sample_weight=weights)
    alone = GaussianNB().fit(X, y, sample_weight=weights)
    np.testing.assert_array_equal(fitted.named_estimators_["nb"].predict_proba(others), alone.predict_proba(others))
    with pytest.raises(TypeError, match="knn: KNeighborsClassifier does not support sample weights"):
        asked().fit(X, y, sample_weight=weights)
    with pytest.raises(TypeError, match="fit: unexpected groups; expected sample_weight, or metadata routing enabled"):
        asked().fit(X, y, groups=y)


def test_routed_metadata_reach_estimators_and_groups_stay_whole(digits):
    X, _, y, _ = digits
    X, y, groups = np.repeat(X[:100], 3, axis=0), np.repeat(y[:100], 3), np.repeat(np.arange(100), 3)
    with config_context(enable_metadata_routing=True):
        members = [
            ("nb", GaussianNB().set_fit_request(sample_weight=True)),
            ("tree", DecisionTreeClassifier(random_state=0).set_fit_request(sample_weight=False)),
        ]
        asked = CommitteeClassifier(members, {"nb": 1, "tree": 2}, cv=GroupKFold(3), levels=20)
        fitted = asked.fit(X, y, groups=groups, sample_weight=np.ones(300))
    assert (fitted.expected_.grouped_by, fitted.expected_.groups) == ("groups", 100)
    assert fitted.expected_.quality < 0.9 < fitted.score(X, y)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"costs": {"tree": 1, "nb": 2}}, UsageError, "costs: none for knn; give one for each estimator"),
        ({"costs": {"tree": 1, "nb": 2, "knn": 3, "svc": 4}}, UnknownNameError, "unknown estimator in costs 'svc'"),
        ({"costs": {"tree": 1, "nb": -2, "knn": 3}}, CostError, "cost of nb is -2; expected a finite number from 0"),
        ({"costs": [1, 2, 3]}, UsageError, r"costs=\[1, 2, 3\]; expected \{name: number\}"),
        ({"policy": "threshold"}, UnknownNameError, "unknown policy 'threshold'; did you mean 'thresholds'"),
        ({"confidence": "maxprob"}, UsageError, "did you mean 'max_prob'"),
        ({"levels": 1}, UsageError, "levels"),
        ({"cv": 400}, ValueError, "n_splits=400"),
    ],
)
def test_what_is_wrong_is_named(digits, asked, options, error, text):
    X, _, y, _ = digits
    with pytest.raises(error, match=text):
        asked().set_params(**options).fit(X[:100], y[:100])


class Unfit(GaussianNB):
    def fit(self, X, y, sample_weight=None):
        raise AssertionError("fitted")


@pytest.mark.parametrize("options", [{"levels": 1}, {"costs": {"other": 1}}])
def test_what_is_wrong_is_named_before_anything_is_fitted(digits, options):
    X, _, y, _ = digits
    with pytest.raises(UsageError):
        CommitteeClassifier([("nb", Unfit())], **{"costs": {"nb": 1}, **options}).fit(X[:100], y[:100])


def test_estimators_without_probabilities_are_refused_with_the_remedy(digits):
    X, _, y, _ = digits
    members = [("nb", GaussianNB()), ("svc", LinearSVC())]
    with pytest.raises(UsageError, match=r"svc: LinearSVC has no predict_proba.*CalibratedClassifierCV\(LinearSVC\("):
        CommitteeClassifier(members, {"nb": 1, "svc": 2}).fit(X, y)
    assert hasattr(CalibratedClassifierCV(LinearSVC()), "predict_proba")


def test_too_few_samples_for_folds_have_no_expected_figures():
    members = [("nb", GaussianNB()), ("lr", LogisticRegression())]
    X, y = np.array([[0.0], [1.0], [0.1], [1.1]]), [0, 1, 0, 1]
    fitted = CommitteeClassifier(members, {"nb": 1, "lr": 2}, cv=2).fit(X[:4], y[:4])
    assert fitted.expected_ is None or fitted.expected_.folds == 2
    with pytest.raises(ValueError, match="n_splits"):
        CommitteeClassifier(members, {"nb": 1, "lr": 2}, cv=5).fit(X, y)


def test_costs_are_measured_where_none_are_given(digits):
    X, _, y, _ = digits
    members = [("nb", GaussianNB()), ("tree", DecisionTreeClassifier(max_depth=3))]
    fitted = CommitteeClassifier(members, cv=2, levels=10).fit(X, y)
    assert set(fitted.costs_) == {"nb", "tree"}
    assert all(0 < cost < 1e3 for cost in fitted.costs_.values())

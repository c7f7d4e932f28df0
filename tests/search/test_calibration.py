"""Calibration against scipy, scikit-learn and loops over the definitions; what it leaves alone; how it is refused."""

from __future__ import annotations

import json
import math

import naive
import numpy as np
import pytest
from calibrated import (
    SHARP,
    C,
    N,
    calibrated_row,
    cross_fitted,
    ece_by_hand,
    fold_of,
    logits_of,
    loss,
    naive_pool,
    probabilities,
    three_models,
)
from pools import product_scores
from scipy.optimize import minimize_scalar

from wisecommittee.committees.calibration import FOLDS, Calibration, calibrated_rows, calibrated_scores, unit_folds
from wisecommittee.committees.cards import ModelCard
from wisecommittee.committees.committee import Committee
from wisecommittee.errors import (
    AbsentError,
    AbsentNameError,
    CommitteeError,
    ContentError,
    StoreError,
    UnknownNameError,
    UsageError,
)
from wisecommittee.searches.calibration import fit_data
from wisecommittee.searches.calibration.calibrate import calibrate
from wisecommittee.searches.calibration.odds import fit_isotonic, fit_platt
from wisecommittee.searches.calibration.reliability import reliability
from wisecommittee.searches.calibration.temperature import minimise
from wisecommittee.searches.evaluate import evaluate, evaluate_all
from wisecommittee.searches.search import search
from wisecommittee.searches.stages.pool import open_pool
from wisecommittee.store import LogitStore
from wisecommittee.store.layout import model_folder
from wisecommittee.store.splitting import split_store


def drawn(rng, n, sharpness, good=1.5):
    labels = rng.integers(0, C, n)
    logits = sharpness * (rng.normal(size=(n, C)) + good * np.eye(C)[labels])
    return labels, logits.astype(np.float32)


@pytest.fixture
def store(tmp_path):
    return three_models(tmp_path / "S")


# Temperature


@pytest.mark.parametrize("model", SHARP)
def test_temperature_is_the_minimiser_of_the_mean_nll(store, model):
    fit = calibrate(store, [model])[0]
    rows, labels = logits_of(store, model, "val"), store.labels("val")
    expected = minimize_scalar(
        lambda t: loss(rows, labels, t), bounds=(0.05, 20), method="bounded", options={"xatol": 1e-11}
    )
    found = fit.calibration.parameters["temperature"]
    assert found == pytest.approx(expected.x, abs=1e-6)  # of a function value minimised in float64
    assert fit.before.nll == pytest.approx(loss(rows, labels), rel=1e-12)
    assert fit.after.nll == pytest.approx(loss(rows, labels, found), rel=1e-12)
    assert fit.after.nll <= expected.fun + 1e-15
    # Its derivative in 1 / T vanishes there: the mean logit under the model is that of the labels.
    slopes = []
    for row, y in zip(rows, labels, strict=True):
        p = naive.softmax([float(v) / found for v in row])
        slopes.append(math.fsum(q * float(v) for q, v in zip(p, row, strict=True)) - float(row[y]))
    assert abs(math.fsum(slopes)) / N < 1e-10


@pytest.mark.parametrize("model", SHARP)
def test_ece_is_that_of_the_definition(store, model):
    fit = calibrate(store, [model])[0]
    rows, labels = logits_of(store, model, "val"), store.labels("val")
    for measured, t in ((fit.before, 1.0), (fit.after, fit.calibration.parameters["temperature"])):
        p = [naive.softmax([float(v) / t for v in row]) for row in rows]
        right = [row.index(max(row)) == y for row, y in zip(p, labels, strict=True)]
        assert measured.ece == pytest.approx(ece_by_hand([max(row) for row in p], right), rel=1e-12)


def test_every_fold_is_fitted_without_itself(store):
    fit = calibrate(store, ["b/0"])[0]
    rows, labels = logits_of(store, "b/0", "val"), store.labels("val")
    folds = np.array([fold_of(unit) for unit in store.unit_ids("val")])
    assert np.array_equal(folds, unit_folds(store.unit_ids("val")))
    for fold, parameters in enumerate(fit.calibration.folds):
        kept = folds != fold
        expected = minimize_scalar(lambda t, k=kept: loss(rows[k], labels[k], t), bounds=(0.05, 20), method="bounded")
        assert parameters["temperature"] == pytest.approx(expected.x, rel=2e-5)
    temperatures = np.array([p["temperature"] for p in fit.calibration.folds])
    assert len(set(temperatures)) == FOLDS
    losses = [loss(rows[[i]], labels[[i]], temperatures[folds[i]]) for i in range(N)]
    assert fit.cross_fitted.nll == pytest.approx(np.mean(losses), rel=1e-12)


def test_test_is_measured_with_the_parameters_of_all_of_val(store):
    fit = calibrate(store, ["a/0"])[0]
    rows, labels = logits_of(store, "a/0", "test"), store.labels("test")
    before, after = fit.test
    assert before.nll == pytest.approx(loss(rows, labels), rel=1e-12)
    assert after.nll == pytest.approx(loss(rows, labels, fit.calibration.parameters["temperature"]), rel=1e-12)


@pytest.mark.parametrize(("wrong", "bound"), [(0, 1e-3), (N, 1e3)])
def test_a_temperature_at_its_bound_is_said(tmp_path, wrong, bound):
    store = LogitStore(tmp_path / "S")
    labels = np.arange(N) % C
    logits = 5 * np.eye(C)[(labels + (np.arange(N) < wrong)) % C]
    store.add(ModelCard("a"), "val", labels=labels, outputs=logits.astype(np.float32))
    fit = calibrate(store, ["a"])[0]
    assert f"reaches the bound {bound:g}" in fit.note
    assert "kept as it is, T = 1" in fit.note
    kept = store.card("a", "val").calibration
    assert kept.parameters == {"temperature": 1.0}
    assert kept.folds == ({"temperature": 1.0},) * 5
    assert (fit.after, fit.cross_fitted, fit.stored) == (fit.before, fit.before, True)


def test_a_fold_without_wrong_units_is_kept_as_it_is(tmp_path):
    """All wrong units lie in one fold: without it, no temperature is best."""
    store = LogitStore(tmp_path / "S")
    labels = np.arange(N) % C
    folds = unit_folds(map(str, range(N)))
    wrong = (folds == 2) & (np.cumsum(folds == 2) <= 9)
    logits = 3 * np.eye(C)[(labels + wrong) % C]
    store.add(ModelCard("a"), "val", labels=labels, outputs=logits.astype(np.float32))
    fit = calibrate(store, ["a"])[0]
    told = [p["temperature"] for p in fit.calibration.folds]
    assert told[2] == 1
    assert fit.calibration.parameters["temperature"] != 1
    assert 1 not in (told[:2] + told[3:])
    assert "T of a fold reaches a bound" in fit.note


@pytest.mark.parametrize("zeros", [1, 7])
def test_labels_of_probability_0_do_not_decide_the_temperature(tmp_path, zeros):
    store = LogitStore(tmp_path / "S")
    rng = np.random.default_rng(0)
    labels = rng.integers(0, C, N)
    logits = 2 * rng.standard_normal((N, C))
    logits[np.arange(N), labels] += 3
    rows = np.exp(logits)
    rows[np.arange(zeros), labels[:zeros]] = 0
    rows = (rows / rows.sum(axis=1, keepdims=True)).astype(np.float32)
    store.add(ModelCard("a", kind="probabilities"), "val", labels=labels, outputs=rows)
    (fit,) = calibrate(store, ["a"], force=True)

    def loss(t):
        z = np.log(np.maximum(rows.astype(np.float64), 1e-38))
        z -= z.max(axis=1, keepdims=True)
        given = np.maximum(z[np.arange(N), labels], np.log(2.0**-23))
        return (np.log(np.exp(z / t).sum(axis=1)) - given / t).mean()

    expected = minimize_scalar(loss, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-10}).x
    assert fit.calibration.parameters["temperature"] == pytest.approx(expected, rel=1e-4)
    assert fit.zeros == fit.to_json()["zeros"] == zeros
    assert f"{zeros} unit" in fit.note
    assert "label of probability 0" in fit.note


def test_what_makes_a_model_worse_is_not_stored(store):
    with pytest.warns(UserWarning, match=r"c/0: its isotonic calibration makes it worse.*ECE .* not stored.*force="):
        (fit,) = calibrate(store, ["c/0"], "isotonic")
    assert not fit.stored
    assert not fit.to_json()["stored"]
    assert fit.worse
    assert fit.cross_fitted.ece > fit.before.ece
    assert store.card("c/0", "val").calibration is None
    (forced,) = calibrate(store, ["c/0"], "isotonic", force=True)
    assert forced.stored
    assert store.card("c/0", "val").calibration == fit.calibration


@pytest.mark.filterwarnings("always")
def test_the_command_fails_where_nothing_could_be_stored(store, run, monkeypatch):
    monkeypatch.setenv("WISECOMMITTEE_STORE", str(store.files.uri))
    arguments = ("calibrate", "--model", "c/0", "--method", "isotonic", "--json")
    code, out, err = run(*arguments)
    assert "warning: c/0: its isotonic calibration makes it worse" in err
    assert (code, json.loads(out)["stored"]) == (1, False)
    code, out, _ = run(*arguments, "--force")
    assert (code, json.loads(out)["stored"]) == (0, True)


def test_far_temperatures_are_found_too():
    """A quartic and an exponential, whose Newton steps leave the range or crawl."""
    found = minimise(
        lambda betas: {k: (4 * (b - k) ** 3, 12 * (b - k) ** 2) for k, b in betas.items()}, {7.0: 1.0, 0.01: 1.0}, 1e-12
    )
    assert found[7.0] == pytest.approx(7, rel=1e-9)
    assert found[0.01] == pytest.approx(0.01, rel=1e-9)
    (far,) = minimise(lambda betas: {0: (1e-9 - math.exp(-betas[0]), math.exp(-betas[0]))}, {0: 1.0}).values()
    assert far == pytest.approx(9 * math.log(10), rel=1e-9)
    (low,) = minimise(lambda betas: {0: (math.log(betas[0] / 0.002), 1 / betas[0])}, {0: 1.0}).values()
    assert low == pytest.approx(0.002, rel=1e-9)


def test_blocks_and_threads_change_no_bit(store, monkeypatch):
    one = calibrate(store, ["a/0"], threads=1)[0]
    assert calibrate(store, ["a/0"], threads=3)[0] == one
    monkeypatch.setattr(fit_data, "BLOCK", 7 * C)
    few = calibrate(store, ["a/0"])[0]
    assert few.calibration.parameters["temperature"] == pytest.approx(one.calibration.parameters["temperature"], 1e-12)


# Platt and isotonic


def odds_of(rows):
    out = []
    for row in rows:
        p = sorted(naive.softmax(row))
        out.append(math.log(p[-1]) - math.log(math.fsum(p[:-1])))
    return np.array(out)


@pytest.mark.parametrize("model", SHARP)
def test_platt_is_unpenalised_logistic_regression(store, model):
    linear_model = pytest.importorskip("sklearn.linear_model")
    fit = calibrate(store, [model], "platt")[0]
    rows, labels = logits_of(store, model, "val"), store.labels("val")
    s, right = odds_of(rows), rows.argmax(axis=1) == labels
    found = linear_model.LogisticRegression(C=np.inf, tol=1e-12, max_iter=1000).fit(s[:, None], right)
    assert fit.calibration.parameters["slope"] == pytest.approx(found.coef_[0, 0], rel=1e-4)
    assert fit.calibration.parameters["intercept"] == pytest.approx(found.intercept_[0], rel=1e-4, abs=1e-4)
    # Likelihood equations: sum of residuals, and of residuals times s, are 0.
    p = 1 / (1 + np.exp(-(fit.calibration.parameters["slope"] * s + fit.calibration.parameters["intercept"])))
    assert abs((p - right).mean()) < 1e-13
    assert abs(((p - right) * s).mean()) < 1e-13


@pytest.mark.parametrize("model", SHARP)
def test_isotonic_is_that_of_sklearn(store, model):
    isotonic = pytest.importorskip("sklearn.isotonic")
    fit = calibrate(store, [model], "isotonic", force=True)[0]
    rows, labels = logits_of(store, model, "val"), store.labels("val")
    s, right = odds_of(rows), rows.argmax(axis=1) == labels
    found = isotonic.IsotonicRegression(out_of_bounds="clip").fit(s, right)
    p = fit.calibration.parameters
    at = np.r_[s, np.linspace(s.min() - 1, s.max() + 1, 977)]
    q = calibrated_scores("isotonic", p, at)
    assert np.allclose(q, np.clip(found.predict(at), 0.5 / N, 1 - 0.5 / N), atol=1e-9)


def test_isotonic_with_ties_weighs_them():
    isotonic = pytest.importorskip("sklearn.isotonic")
    rng = np.random.default_rng(1)
    s = rng.integers(0, 12, 500).astype(float)
    right = (rng.random(500) < s / 12).astype(float)
    p, _ = fit_isotonic(s, right, "it")
    found = isotonic.IsotonicRegression(out_of_bounds="clip").fit(s, right)
    assert np.allclose(np.interp(s, p["x"], p["y"]), found.predict(s), atol=1e-12)


def test_a_confidence_that_misleads_is_kept_as_it_is():
    s = np.linspace(-1, 1, 200)
    right = (np.random.default_rng(0).random(200) < 0.6 - 0.3 * s).astype(float)
    p, note = fit_platt(s, right, "it")
    assert p == {"slope": 1.0, "intercept": 0.0}
    assert "does not rise" in note
    assert "kept as it is" in note
    with pytest.raises(ContentError, match=r"does not rise.*nothing to calibrate"):
        fit_isotonic(s, (s < 0).astype(float), "it")
    with pytest.raises(ContentError, match="all right"):
        fit_isotonic(s, np.ones(200), "it")


@pytest.mark.parametrize("method", ["temperature", "platt", "isotonic"])
def test_a_calibrated_row_is_that_of_its_definition_and_predicts_the_same(store, method):
    for model in SHARP:
        fit = calibrate(store, [model], method, force=True)[0]
        p = fit.calibration.parameters
        rows = logits_of(store, model, "val").astype(np.float32)
        expected = np.array([calibrated_row(row, method, p) for row in rows], np.float32)
        found = calibrated_rows(method, p, rows)
        assert found.dtype == np.float32
        assert np.allclose(found, expected, rtol=1e-6, atol=1e-6)
        assert np.array_equal(found.argmax(axis=1), rows.argmax(axis=1))


def test_a_runner_up_never_takes_over():
    rows = np.array([[2, 2, -9], [1.9, 2, -9], [3, -1, 0]], np.float32)  # the first is a tie
    found = calibrated_rows("platt", {"slope": 0.1, "intercept": -3.0}, rows)
    assert found.argmax(axis=1).tolist() == [0, 1, 0]
    assert found[0, 0] == pytest.approx(2 + 2e-5, abs=1e-6)
    shares = probabilities(found)
    assert shares.argmax(axis=1).tolist() == [0, 1, 0]
    assert (shares.max(axis=1) > np.sort(shares, axis=1)[:, -2]).all()
    # Where nothing is in the way, the winner has the probability that was asked for.
    p = naive.softmax(calibrated_rows("platt", {"slope": 0.5, "intercept": 0.2}, rows)[2])
    s = math.log(math.exp(3) / (math.exp(-1) + math.exp(0)))
    assert p[0] == pytest.approx(1 / (1 + math.exp(-(0.5 * s + 0.2))), rel=1e-6)
    assert p[1] / p[2] == pytest.approx(math.exp(-1), rel=1e-6)


# Reliability


def test_ece_of_a_case_done_by_hand():
    #    bins of five:          (0, .2]   (.2, .4]      (.4, .6]       (.8, 1]
    confidence = np.array([0.2, 0.2, 0.3, 0.5, 0.55, 0.6, 0.9, 1.0])
    right = np.array([0, 1, 1, 0, 1, 1, 1, 1], bool)
    found = reliability(confidence, right, bins=5)
    assert found.count.tolist() == [2, 1, 3, 0, 2]
    assert found.accuracy[[0, 1, 2, 4]] == pytest.approx([0.5, 1.0, 2 / 3, 1.0])
    assert found.confidence[[0, 1, 2, 4]] == pytest.approx([0.2, 0.3, 0.55, 0.95])
    assert np.isnan(found.accuracy[3])
    by_hand = 2 / 8 * 0.3 + 1 / 8 * 0.7 + 3 / 8 * (2 / 3 - 0.55) + 2 / 8 * 0.05
    assert found.ece == pytest.approx(by_hand)
    assert ece_by_hand(confidence, right, 5) == pytest.approx(by_hand)


# In the store


def test_calibration_is_a_version_of_the_card_and_comes_off_again(store):
    folder = store.files.local / model_folder("val", "a/0")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    calibrate(store, ["a/0"])
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {name for name in before if before[name] != after[name]} == {"card.json"}
    assert set(after) == set(before)
    assert store.card("a/0", "val").calibration.method == "temperature"
    assert not store.verify()
    calibrate(store, ["a/0"], "platt")
    assert store.card("a/0", "val").calibration.method == "platt"
    fit = calibrate(store, ["a/0"], "none")[0]
    assert fit.calibration is None
    assert fit.to_json()["parameters"] == {}
    assert (folder / "card.json").read_bytes() == before["card.json"]


def test_other_changes_of_the_card_keep_the_calibration_and_other_outputs_lose_it(store):
    calibrate(store, ["a/0"])
    card, rows, labels = store.card("a/0", "val"), store.outputs("a/0", "val"), store.labels("val")
    units = store.unit_ids("val")
    fresh = ModelCard("a/0", blocks={"a/0": 10})
    assert store.add(fresh, "val", labels=labels, outputs=rows, unit_ids=units) == "unchanged"
    dearer = ModelCard("a/0", blocks={"a/0": 10}, costs={"usd": 2.0})
    assert store.add(dearer, "val", labels=labels, outputs=rows, unit_ids=units) == "card updated"
    assert store.card("a/0", "val").calibration == card.calibration
    store.add(fresh, "val", labels=labels, outputs=rows * 2, unit_ids=units, replace=True)
    assert store.card("a/0", "val").calibration is None
    calibrate(store, ["b/0"])
    split_store(store, {"v1": 0.5, "v2": 0.5}, source="val")
    assert store.card("b/0", "v1").calibration is None


@pytest.mark.parametrize("method", ["temperature", "platt", "isotonic"])
def test_calibration_survives_json(store, method):
    made = calibrate(store, ["a/0"], method)[0].calibration
    assert Calibration.from_json(json.loads(json.dumps(made.to_json()))) == made
    assert store.card("a/0", "val").calibration == made
    assert made.without_folds().digest == made.digest


@pytest.mark.parametrize(
    "change",
    [
        {"method": "magic"},
        {"parameters": {"temperature": -1}},
        {"parameters": {"temperature": "2"}},
        {"parameters": {}},
        {"content": 3},
        {"folds": [{"temperature": 1.0}]},
        {"extra": 1},
        {"method": "isotonic", "parameters": {"x": [0, 1], "y": [0.1, 0.2]}},
        {"method": "isotonic", "parameters": {"x": [1, 0], "y": [0.1, 0.2], "floor": 0.01}},
        {"method": "isotonic", "parameters": {"x": [0, 1], "y": [0.2, 0.1], "floor": 0.01}},
        {"method": "platt", "parameters": {"slope": -1, "intercept": 0}},
    ],
)
def test_a_calibration_nobody_wrote_is_refused(change):
    good = {"method": "temperature", "parameters": {"temperature": 2.0}, "split": "val", "content": "x"}
    assert Calibration.from_json(good).parameters["temperature"] == 2
    with pytest.raises(StoreError, match="calibration"):
        Calibration.from_json(good | change)


# In a search


@pytest.mark.parametrize("method", ["temperature", "platt", "isotonic"])
@pytest.mark.parametrize("combine", ["mean_logits", "mean_probs"])
def test_a_calibrated_search_is_a_search_over_cross_fitted_outputs(store, method, combine):
    calibrate(store, ["*"], method, force=True)
    frontier = search(store, calibrated=True, max_models=2, levels=12, combine=combine)
    models = naive_pool(store, "val", {name: cross_fitted(store, name) for name in SHARP})
    labels = store.labels("val").tolist()
    by_name = {m.name: m for m in models}
    # The oracle reads the product's float32 confidences, as in test_search: their last bits decide about ties.
    pool = open_pool(store, "val", store.cards("val"), combine=combine)
    scores = product_scores(pool)
    expected = naive.search(models, labels, 2, 12, combine, "max_prob", scores=scores)
    assert [(e.correct, e.average_cost) for e in frontier] == [(p.correct, p.total_cost / N) for p in expected]
    assert [e.committee.stages for e in frontier] == [p.stages for p in expected]
    for name, model in by_name.items():
        shown = [naive.shown(score, "max_prob") for score in scores((name,))]
        assert np.allclose(shown, [max(naive.softmax(row)) for row in model.outputs], atol=1e-6)
    assert frontier.query.calibrated is True
    # Alone, a model is as accurate as ever.
    singles = {e.committee.models[0]: e.correct for e in search(store, max_models=1).singles}
    assert {e.committee.models[0]: e.correct for e in frontier.singles} == singles


def test_a_saved_committee_replays_with_its_calibration(store, tmp_path):
    calibrate(store, ["*"])
    best = max(
        search(store, calibrated=True, max_models=2, levels=12), key=lambda e: len(e.committee.thresholds.values)
    )
    best.committee.save(tmp_path / "c.json")
    loaded = Committee.load(tmp_path / "c.json")
    assert evaluate(loaded, store, "val") == best
    # Test, by loops: the parameters of all of val.
    tables = {}
    for name in SHARP:
        p = store.card(name, "val").calibration.parameters
        rows = [calibrated_row(row, "temperature", p) for row in logits_of(store, name, "test")]
        tables[name] = np.array(rows, np.float32)
    by_name = {m.name: m for m in naive_pool(store, "test", tables)}
    stages = [[by_name[name] for name in stage] for stage in loaded.stages]
    plain = naive.evaluate(
        stages, loaded.thresholds.values, store.labels("test").tolist(), loaded.combine, loaded.confidence
    )
    there = evaluate(loaded, store, "test")
    assert (there.correct, there.average_cost) == (plain.correct, plain.total_cost / N)
    # A committee without calibrations is not touched by those of the store.
    plain = search(store, max_models=2, levels=12)
    again = evaluate_all([e.committee for e in plain], store, "val")
    assert again == list(plain)
    with pytest.raises(CommitteeError, match="different calibrations"):
        evaluate_all([best.committee, next(e for e in plain if len(e.committee.models) == 2).committee], store, "val")


def test_another_calibration_than_the_committees_is_refused(store):
    calibrate(store, ["*"])
    chosen = search(store, calibrated=True, max_models=2, levels=5).best().committee
    told = evaluate(chosen, store, "test")
    calibrate(store, ["*"], "platt")
    for split in ("val", "test"):
        with pytest.raises(CommitteeError, match="now platt"):
            evaluate(chosen, store, split)
    assert evaluate(chosen, store, "test", force=True) == told
    calibrate(store, ["*"], "none")
    assert evaluate(chosen, store, "test") == told  # the committee knows its parameters
    with pytest.raises(CommitteeError, match="removed"):
        evaluate(chosen, store, "val")  # but not its folds
    calibrate(store, ["*"])
    assert evaluate(chosen, store, "test") == told


def test_a_store_without_val_runs_a_calibrated_committee(store, tmp_path):
    calibrate(store, ["*"])
    chosen = search(store, calibrated=True, max_models=2, levels=5).best().committee
    told = evaluate(chosen, store, "test")
    other = LogitStore(tmp_path / "other")
    for name in SHARP:
        card = store.card(name, "test").without_contents()
        other.add(card, "val", labels=store.labels("test"), outputs=store.outputs(name, "test"))
    there = evaluate(chosen.altered(), other, "val")  # other units, whatever the name of their split
    assert (there.correct, there.average_cost) == (told.correct, told.average_cost)


# Refusals


def test_what_cannot_be_calibrated_is_said(store, tmp_path):
    with pytest.raises(UsageError, match="test only reports"):
        calibrate(store, ["a/0"], split="test")
    with pytest.raises(UnknownNameError, match="did you mean 'platt'"):
        calibrate(store, ["a/0"], "plat")
    with pytest.raises(AbsentNameError, match="did you mean 'a/0'"):
        calibrate(store, ["a/1"])
    calibrate(store, ["a/0"])
    with pytest.raises(AbsentError, match="not calibrated on val: b/0, c/0; run `wisecommittee calibrate"):
        search(store, calibrated=True)
    store.remove("b/0", "val")
    with pytest.raises(StoreError, match="b/0 is in test and not in val"):
        calibrate(store, ["b/0"])
    for name in ("a/0", "c/0"):
        store.remove(name, "val")
    with pytest.raises(StoreError, match="has no split 'val'; splits: test; name one with split="):
        calibrate(store, ["c/0"])  # no val at all
    with pytest.raises(StoreError, match="has no split 'val'"):
        calibrate(store, ["*"])
    rng = np.random.default_rng(0)
    few = LogitStore(tmp_path / "few")
    labels, logits = drawn(rng, 40, 1.0)
    few.add(ModelCard("a"), "val", labels=labels, outputs=logits)
    with pytest.raises(ContentError, match="40 units in val, too few for isotonic"):
        calibrate(few, ["a"], "isotonic")
    one = LogitStore(tmp_path / "one")
    one.add(ModelCard("a"), "val", labels=np.full(40, 2), outputs=logits)
    with pytest.raises(ContentError, match="has the label 2"):
        calibrate(one, ["a"])
    sure = LogitStore(tmp_path / "sure")
    sure.add(ModelCard("a"), "val", labels=logits.argmax(axis=1), outputs=logits)
    with pytest.raises(ContentError, match="all right"):
        calibrate(sure, ["a"], "platt")


def test_nothing_is_stored_unless_every_model_could_be_fitted(store):
    labels = store.labels("val")
    perfect = (np.eye(C)[labels] * np.arange(1, N + 1)[:, None]).astype(np.float32)
    store.add(ModelCard("z"), "val", labels=labels, outputs=perfect, unit_ids=store.unit_ids("val"))
    with pytest.raises(ContentError, match=r"z in val"):
        calibrate(store, ["*"], "platt")
    assert all(card.calibration is None for card in store.cards("val"))


def test_separated_confidences_have_no_platt_scaling():
    with pytest.raises(ContentError, match="divides the right units"):
        fit_platt(np.array([0.0, 1, 2, 3]), np.array([0.0, 0, 1, 1]), "it")


# Answers


@pytest.fixture
def apis(tmp_path):
    made = LogitStore(tmp_path / "apis")
    rng = np.random.default_rng(2)
    labels = rng.choice(["yes", "no", "maybe"], 400)
    for k, name in enumerate(("cheap", "dear")):
        confidence = rng.integers(1, 6, 400) / 5
        right = rng.random(400) < 0.3 + 0.5 * confidence**2 + 0.1 * k
        answers = np.where(right, labels, "other")
        card = ModelCard(name, kind="answers", costs={"usd": 1.0 + k})
        made.add(card, "val", labels=labels, answers=answers.tolist(), scores={"confidence": confidence})
    return made


def test_confidences_of_answers_become_comparable(apis):
    isotonic = pytest.importorskip("sklearn.isotonic")
    fits = calibrate(apis, ["*"], "isotonic")
    for fit in fits:
        confidence = apis.scores(fit.model, "val", "confidence").astype(float)
        right = apis.answers(fit.model, "val") == apis.labels("val")
        assert fit.before.ece == pytest.approx(ece_by_hand(confidence, right), rel=1e-9)
        p = np.where(right, confidence, 1 - confidence)
        assert fit.before.nll == pytest.approx(-np.log(np.maximum(p, 1e-38)).mean(), rel=1e-9)
        found = isotonic.IsotonicRegression(out_of_bounds="clip").fit(confidence, right)
        q = fit.calibration.scores(confidence)
        assert q == pytest.approx(np.clip(found.predict(confidence), 0.5 / 400, 1 - 0.5 / 400))
        assert fit.after.ece < 0.01 < fit.before.ece
    chosen = search(apis, calibrated=True, cost="usd", max_models=2, levels=20).best()
    assert evaluate(chosen.committee, apis, "val") == chosen
    with pytest.raises(UsageError, match=r"platt.* or isotonic"):
        calibrate(apis, ["*"])


# The command


def test_the_command_keeps_its_contract(store, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WISECOMMITTEE_STORE", str(store.files.local))
    code, out, err = run("calibrate", "--model", "a/0", "--method", "temperature", "--json")
    assert code == 0, err
    told = json.loads(out)
    assert {"model", "method", "parameters", "before", "after"} <= set(told)
    assert (told["model"], told["method"]) == ("a/0", "temperature")
    assert set(told["parameters"]) == {"temperature"}
    assert set(told["before"]) == set(told["after"]) == {"nll", "ece"}
    assert told["parameters"] == store.card("a/0", "val").calibration.parameters
    code, out, _ = run("calibrate", "--model", "*", "--json")
    assert [one["model"] for one in json.loads(out)["models"]] == list(SHARP)
    code, out, _ = run("calibrate", "--model", "*", "--method", "platt")
    assert code == 0
    assert "slope" in out
    code, out, _ = run("models")
    assert out.count("platt") == 3
    code, out, err = run(
        "search", "--calibrated", "--max-models", 2, "--levels", 10, "--match", "c/0", "--save", "c.json", "--json"
    )
    assert code == 0, err
    found = json.loads(out)
    assert all(m["calibration"]["method"] == "platt" for m in found["committee"]["members"].values())
    code, out, _ = run("evaluate", "c.json", "--split", "val", "--json")
    assert json.loads(out)["correct"] == found["val"]["correct"]
    code, out, _ = run("evaluate", "c.json")
    assert "with calibrated models: platt" in out
    code, out, _ = run("calibrate", "--model", "*", "--method", "none")
    assert (code, out.strip()) == (0, "a/0, b/0, c/0: without calibration now")
    for arguments, expected in (
        (("--model", "a/7"), 1),
        (("--model", "a/0", "--method", "plat"), 2),
        (("--model", "a/0", "--split", "test"), 2),
        ((), 2),
    ):
        code, out, err = run("calibrate", *arguments)
        assert (code, out, len(err.strip().splitlines())) == (expected, "", 1), err

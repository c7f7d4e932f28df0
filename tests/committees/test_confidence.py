"""Confidence functions, threshold sweeps, calibrated committees: every value by loops, then what is drawn of them."""

from __future__ import annotations

import naive
import numpy as np
import pytest
from axes import axes, drawn, legend, line_named, named, points
from calibrated import SHARP, C, N, calibrated_row, cross_fitted, ece_by_hand, logits_of, naive_pool, three_models
from pools import product_scores

from wisecommittee.analyses import calibration, cascades, confidence, thresholds
from wisecommittee.analyses.study import Study, study_of
from wisecommittee.committees.cards import ModelCard
from wisecommittee.committees.committee import Committee
from wisecommittee.committees.confidence import CONFIDENCES
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.committees.threshold_vectors import carried_vectors
from wisecommittee.errors import InfeasibleError, UsageError
from wisecommittee.report import plot
from wisecommittee.report.tables import fill
from wisecommittee.searches.calibration.calibrate import calibrate
from wisecommittee.searches.evaluate import evaluate
from wisecommittee.searches.members import members_pool
from wisecommittee.searches.search import search
from wisecommittee.store import LogitStore


@pytest.fixture
def store(tmp_path):
    return three_models(tmp_path / "S")


TWO = Committee((("a/0",), ("c/0",)), Thresholds((0.6,)))
THREE = Committee((("a/0",), ("b/0",), ("c/0",)), Thresholds((0.45, 0.7)))


def plain(store, committee, split="val", outputs=None, exactly=False):
    """What the oracle says of a committee; exactly: with thresholds that are confidences themselves, for which it reads
    the product's float32 ones, as in test_search."""
    by_name = {m.name: m for m in naive_pool(store, split, outputs)}
    stages = [[by_name[name] for name in stage] for stage in committee.stages]
    labels = store.labels(split).tolist()
    scores = product_scores(members_pool([committee], store, split)) if exactly else None
    values = carried_vectors([committee.policy], committee.confidence)[0] if exactly else committee.thresholds.values
    return naive.evaluate(stages, values, labels, committee.combine, committee.confidence, scores, carried=exactly)


def same(evaluation, expected):
    assert evaluation.correct == expected.correct
    assert evaluation.average_cost == expected.total_cost / N
    assert [round(share * N) for share in evaluation.exit_ratios] == expected.exits


# Fig. 3


def within_by_hand(score, quality, share):
    """Units by falling score; units of one score count as their mean."""
    groups = {}
    for s, q in zip(score, quality, strict=True):
        groups.setdefault(float(s), []).append(float(q))
    room = left = share * len(score)
    total = 0.0
    for s in sorted(groups, reverse=True):
        taken = min(left, len(groups[s]))
        total += taken * sum(groups[s]) / len(groups[s])
        left -= taken
    return total / room


@pytest.mark.parametrize("seed", range(20))
def test_accuracy_within_the_most_confident(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 40))
    score = rng.integers(0, rng.integers(1, 40), n).astype(np.float32)
    quality = rng.integers(0, 2, n).astype(float)
    shares = (0.01, 1 / 3, 0.5, 0.77, 1.0)
    found = confidence.accuracy_within(score, quality, shares)
    assert found == pytest.approx([within_by_hand(score, quality, share) for share in shares], abs=1e-12)
    assert found[-1] == pytest.approx(quality.mean())
    order = rng.permutation(n)  # ties come in any order
    assert confidence.accuracy_within(score[order], quality[order], shares) == pytest.approx(found, abs=1e-12)


def test_curves_of_the_first_stage(store):
    found = confidence.curves(Study(store, committees=(TWO,)))
    assert (found.models, found.split, found.n) == (("a/0",), "val", N)
    assert set(found.accuracy) == set(CONFIDENCES)
    (a, *_) = naive_pool(store, "val", None)
    right = [p == y for p, y in zip(naive.prediction([a], "mean_logits"), store.labels("val"), strict=True)]
    for name, accuracy in found.accuracy.items():
        score = naive.confidence([a], "mean_logits", name)
        assert accuracy == pytest.approx([within_by_hand(score, right, s) for s in found.shares], abs=1e-9)
    overall = sum(right) / N
    assert found.ideal == pytest.approx([min(1, overall / share) for share in found.shares], abs=1e-12)
    # Without a committee the cheapest of the models asked for.
    assert confidence.curves(study_of(store, models=["b*", "c*"])).models == ("b/0",)


# Table 12


@pytest.mark.parametrize("committee", [TWO, THREE], ids=["two", "three"])
def test_every_confidence_at_equal_cost(store, committee):
    reference = plain(store, committee)
    (found,) = confidence.at_equal_cost(Study(store, committees=(committee,)))
    assert [row.confidence for row in found] == list(CONFIDENCES)
    for row in found:
        own = row.evaluation.committee
        assert (own.stages, own.confidence) == (committee.stages, row.confidence)
        expected = plain(store, own)
        same(row.evaluation, expected)
        same(row.test, plain(store, own, "test"))
        assert expected.exits == reference.exits  # no ties here: exactly equal cost
    # Thresholds of its own confidence: those between the same two neighbours.
    assert found[0].evaluation.correct == reference.correct


def test_with_ties_the_nearest_number_of_units_exits():
    score = np.array([1, 2, 2, 2, 3], np.float32)
    leaving = [int((score >= cascades._cut(score, wanted)).sum()) for wanted in range(6)]
    assert leaving == [0, 1, 1, 4, 4, 5]
    assert cascades._cut(np.empty(0, np.float32), 3) == 0


# Fig. 4


@pytest.mark.parametrize("committee", [TWO, THREE], ids=["two", "three"])
def test_a_sweep_is_the_oracle_at_every_threshold(store, committee):
    found = thresholds.sweeps(Study(store, committees=(committee,)))
    assert [sweep.stage for sweep in found] == list(range(len(committee.stages) - 1))
    for sweep in found:
        assert len(sweep.thresholds) == N + 1  # every confidence, all distinct, and one above them
        costs = [e.average_cost for e in sweep.evaluations]
        assert costs == sorted(costs)
        for i in [0, 1, 50, 120, 299, 300]:
            e = sweep.evaluations[i]
            assert e.committee.thresholds.values[sweep.stage] == sweep.thresholds[i]
            same(e, plain(store, e.committee, exactly=True))
            same(sweep.test[i], plain(store, e.committee, "test", exactly=True))
        assert sweep.evaluations[-1].exit_ratios[sweep.stage] == 0
    first = found[0].evaluations[0]
    assert first.exit_ratios[0] == 1  # the first model alone
    if committee is TWO:
        together = plain(store, Committee((("a/0", "c/0"),)))
        assert found[0].evaluations[-1].correct == together.correct


def test_the_plateau_begins_where_accuracy_stays(store):
    sweep = thresholds.sweeps(Study(store, committees=(TWO,)))[0]
    qualities = [e.quality for e in sweep.evaluations]
    begins = next(i for i in range(len(qualities)) if all(q >= qualities[-1] - 0.001 for q in qualities[i:]))
    assert sweep.plateau == begins
    assert 0 < begins < N


def test_few_distinct_confidences_are_all_swept():
    assert thresholds.levels(np.array([0.5, 0.25, 0.5], np.float32)) == (0.25, 0.5, pytest.approx(0.5, abs=1e-6))


def test_many_distinct_confidences_are_swept_at_order_statistics():
    score = np.random.default_rng(0).permutation(2001).astype(np.float32)
    found = thresholds.levels(score, most=101)
    assert found == (*np.arange(0, 2001, 20).tolist(), float(np.nextafter(np.float32(2000), np.float32(3000))))


# Which cascade is meant


def test_the_cascade_that_is_meant(store):
    pair = cascades.chosen_cascades(study_of(store, models=["b/0", "a/0"]))[0]
    assert pair.stages == (("b/0",), ("a/0",))  # in the order they were named
    assert plain(store, pair).exits == [N // 2, N // 2]
    (found,) = cascades.chosen_cascades(Study(store))
    frontier = search(store, max_models=2)
    assert found == max((e for e in frontier if e.committee.shape == "cascade"), key=lambda e: e.quality).committee
    with pytest.raises(UsageError, match="no threshold"):
        cascades.chosen_cascades(Study(store, committees=(Committee((("a/0", "b/0"),)),)))
    with pytest.raises(InfeasibleError, match="no cascade; name two models"):
        cascades.chosen_cascades(study_of(store, models=["a/0"]))


# Calibrated committees


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
@pytest.mark.parametrize(
    "committee", [TWO, Committee((("a/0", "b/0"),)), Committee((("b/0",),))], ids=["cascade", "ensemble", "single"]
)
def test_effects_of_calibration(store, committee, method):
    calibrate(store, ["*"], method, force=True)
    effect = calibration.effects(Study(store, committees=(committee,)))[0]
    assert effect.method == method
    same(effect.before, plain(store, committee))
    same(effect.test[0], plain(store, committee, "test"))
    twin = effect.after.committee
    crossed = {name: cross_fitted(store, name) for name in SHARP}
    whole = {
        name: np.array(
            [
                calibrated_row(row, method, store.card(name, "val").calibration.parameters)
                for row in logits_of(store, name, "test")
            ],
            np.float32,
        )
        for name in SHARP
    }
    slack = 0 if method == "temperature" else 2  # isotonic ties are decided by the last bits of float32
    for told, split, outputs in ((effect.after, "val", crossed), (effect.test[1], "test", whole)):
        expected = plain(store, twin, split, outputs)
        assert told.correct == pytest.approx(expected.correct, abs=slack)
    if method == "temperature":
        assert effect.after.exit_ratios == effect.before.exit_ratios
        for told, split, outputs, one in (
            (effect.reliability[0], "val", None, committee),
            (effect.reliability[1], "val", crossed, twin),
            (effect.test_reliability[1], "test", whole, twin),
        ):
            assert told.ece == pytest.approx(ece_of(store, one, split, outputs), abs=1e-6)
    if committee.shape == "single":
        assert effect.after.correct == effect.before.correct
    assert effect.shown == (effect.test, effect.test_reliability)


def ece_of(store, committee, split, outputs):
    """Of the maximum probability where each unit exits."""
    by_name = {m.name: m for m in naive_pool(store, split, outputs)}
    exits = plain(store, committee, split, outputs).exit_stage
    confidences, right = [], []
    for i, k in enumerate(exits):
        members = [by_name[name] for stage in committee.stages[: k + 1] for name in stage]
        key = (k, tuple(m.name for m in members))
        cache = ece_of.__dict__.setdefault((id(outputs), split, key), {})
        if not cache:
            cache["c"] = naive.confidence(members, "mean_logits", "max_prob")
            cache["p"] = naive.prediction(members, "mean_logits")
        confidences.append(cache["c"][i])
        right.append(cache["p"][i] == store.labels(split)[i])
    return ece_by_hand(confidences, right)


def test_without_calibrations_temperatures_are_fitted_and_not_stored(store):
    effect = calibration.single(Study(store), "b/0")
    assert effect.method == "temperature"
    assert effect.test_reliability[1].ece < effect.test_reliability[0].ece  # b/0 is twice too sure
    assert all(card.calibration is None for card in store.cards("val"))


def test_a_committee_of_calibrated_models_is_compared_with_its_plain_twin(store):
    calibrate(store, ["*"])
    frontier = search(store, calibrated=True, max_models=2, levels=20)
    chosen = next(e for e in frontier if e.committee.shape == "cascade")
    effect = calibration.effects(Study(store, committees=(chosen.committee,)))[0]
    assert (effect.method, effect.after) == ("temperature", chosen)
    assert effect.before.exit_ratios == chosen.exit_ratios
    same(effect.before, plain(store, effect.before.committee))
    same(effect.test[0], plain(store, effect.before.committee, "test"))
    assert effect.test[1] == evaluate(chosen.committee, store, "test")


def test_effects_over_the_frontier(store):
    found = calibration.effects(study_of(store, max_models=2, levels=10))
    shapes = [e.before.committee.shape for e in found]
    assert set(shapes) == {"ensemble", "cascade"}
    assert shapes == sorted(shapes, reverse=True)
    for e in found:
        assert e.after.average_cost == pytest.approx(e.before.average_cost)


# Tables


def test_the_confidence_table_holds_the_values(store):
    study = Study(store, committees=(TWO,))
    table, (found,) = fill("confidence", study), confidence.at_equal_cost(study)
    assert table.column("confidence") == [*CONFIDENCES, "ideal"]
    assert table.column("quality")[:-1] == [row.evaluation.quality for row in found]
    assert table.column("test_quality")[:-1] == [row.test.quality for row in found]
    assert table.column("average_cost")[:-1] == [row.evaluation.average_cost for row in found]
    curves = confidence.curves(study, (0.25,))
    assert table.column("within_25") == [*(curves.accuracy[name][0] for name in CONFIDENCES), curves.ideal[0]]


def test_the_threshold_table_holds_the_values(store):
    study = Study(store, committees=(THREE,))
    table, found = fill("thresholds", study), thresholds.sweeps(study)
    assert [v for v in table.column("plateau") if v] == ["plateau"] * 2
    by_threshold = {(" + ".join(THREE.stages[s.stage]), t): (s, i) for s in found for i, t in enumerate(s.thresholds)}
    for row in table.rows:
        sweep, i = by_threshold[row[0], row[1]]
        e, last = sweep.evaluations[i], sweep.evaluations[-1]
        assert row[2:6] == (e.quality, sweep.test[i].quality, e.average_cost, 1 - e.average_cost / last.average_cost)
        assert (row[-1] == "plateau") == (i == sweep.plateau)


def test_the_calibration_table_holds_the_values(store):
    study = Study(store, committees=(TWO, THREE))
    table, found = fill("calibration", study), calibration.effects(study)
    for row, e in zip(table.rows, found, strict=True):
        assert row[1:3] == (e.before.committee.label(), e.before.average_cost)
        assert row[3:7] == (e.before.quality, e.after.quality, e.test[0].quality, e.test[1].quality)
        assert row[7] == e.test[1].quality - e.test[0].quality
        assert row[8:] == (e.test_reliability[0].ece, e.test_reliability[1].ece)
    assert all("-" not in row for row in table.cells())


# Plots


def test_the_confidence_plot_draws_the_curves(store):
    curves = confidence.curves(Study(store, committees=(TWO,)))
    ax = drawn(plot.confidence(axes(), curves))
    assert legend(ax) == ["ideal", *CONFIDENCES]
    assert points(line_named(ax, "ideal")) == list(zip(curves.shares, curves.ideal, strict=True))
    for name in CONFIDENCES:
        assert points(line_named(ax, name)) == list(zip(curves.shares, curves.accuracy[name], strict=True))
    assert "val (n = 300), a/0" in ax.get_xlabel()


@pytest.mark.parametrize("committee", [TWO, THREE], ids=["two", "three"])
def test_the_threshold_plot_draws_the_sweeps(store, committee):
    sweeps = thresholds.sweeps(Study(store, committees=(committee,)))
    ax = drawn(plot.thresholds(axes(), sweeps))
    for sweep in sweeps:
        name = TWO.label() if committee is TWO else f"t{sweep.stage + 1}, after {THREE.stages[sweep.stage][0]}"
        expected = [(e.average_cost, e.quality) for e in sweep.evaluations]
        assert points(line_named(ax, name)) == expected
        stars = [points(line)[0] for line in ax.lines if line.get_marker() == "*" and len(line.get_xdata())]
        assert expected[sweep.plateau] in stars
        assert line_named(ax, name).get_label() == f"{name}: plateau from t = {sweep.thresholds[sweep.plateau]:.3g}"
    assert any(text.startswith("t = ") for text in named(ax))
    if committee is TWO:
        assert {"a/0", "a/0 + c/0"} <= set(named(ax))


def test_the_sweep_plot_draws_accuracy_and_cost(store):
    sweep = thresholds.sweeps(Study(store, committees=(TWO,)))[0]
    ax = drawn(plot.sweep(axes(), sweep))
    (right,) = [other for other in ax.figure.axes if other is not ax]
    assert points(line_named(ax, "accuracy")) == [
        (t, e.quality) for t, e in zip(sweep.thresholds, sweep.evaluations, strict=True)
    ]
    assert points(right.lines[0]) == [
        (t, e.average_cost) for t, e in zip(sweep.thresholds, sweep.evaluations, strict=True)
    ]
    (plateau,) = ax.patches
    assert plateau.get_x() == sweep.thresholds[sweep.plateau]


def test_the_reliability_plot_draws_both(store):
    effect = calibration.single(Study(store), "b/0")
    ax = drawn(plot.calibration(axes(), effect))
    for name, found in zip(("as it is", "temperature"), effect.test_reliability, strict=True):
        filled = found.count > 0
        expected = list(zip(found.confidence[filled], found.accuracy[filled], strict=True))
        line = line_named(ax, name)
        assert points(line) == expected
        assert line.get_label() == f"{name}: ECE {100 * found.ece:.2f} %"
    assert [bar.get_height() for bar in ax.patches] == (found.count / N).tolist()
    low, high = found.intervals()[filled].T
    assert (low <= found.accuracy[filled]).all()
    assert (high >= found.accuracy[filled]).all()
    assert "b/0 on test (n = 300)" in ax.get_xlabel()


def test_the_commands_write_them(store, run, tmp_path, monkeypatch):
    monkeypatch.setenv("WISECOMMITTEE_STORE", str(store.files.local))
    monkeypatch.chdir(tmp_path)
    TWO.save("two.json")
    for kind in ("confidence", "thresholds", "sweep", "calibration"):
        code, _, err = run("plot", kind, "--committee", "two.json", "--out", f"{kind}.svg")
        assert code == 0, err
        assert (tmp_path / f"{kind}.svg").stat().st_size > 1000
    for kind in ("confidence", "thresholds", "calibration"):
        code, out, err = run("tables", kind, "--committee", "two.json")
        assert code == 0, err
        assert "a/0" in out
    Committee((("a/0",),)).save("one.json")
    code, _, err = run("plot", "thresholds", "--committee", "one.json")
    assert (code, len(err.strip().splitlines())) == (2, 1)


def test_scores_that_are_no_probabilities_have_no_reliability(tmp_path):
    apis = LogitStore(tmp_path / "S")
    rng = np.random.default_rng(0)
    labels = rng.choice(["x", "y"], 60)
    for name in ("p", "q"):
        card = ModelCard(name, kind="answers", costs={"usd": 1.0})
        answers = np.where(rng.random(60) < 0.7, labels, "z").tolist()
        apis.add(card, "val", labels=labels, answers=answers, scores={"confidence": -rng.random(60)})
    study = study_of(apis, cost="usd")
    assert list(confidence.curves(study).accuracy) == ["confidence"]
    calibrate(apis, ["*"], "platt", force=True)
    assert apis.card("p", "val").calibration.method == "platt"
    with pytest.raises(UsageError, match="needs probabilities"):
        calibration.single(study, "p")
    assert C == 4


def test_committees_of_answers_have_effects_too(tmp_path):
    apis = LogitStore(tmp_path / "S")
    rng = np.random.default_rng(3)
    labels = rng.choice(["x", "y"], 200)
    for k, name in enumerate(("p", "q")):
        said = rng.integers(1, 6, 200) / 5
        answers = np.where(rng.random(200) < said**2 + 0.1 * k, labels, "z").tolist()
        card = ModelCard(name, kind="answers", costs={"usd": 1.0 + k})
        apis.add(card, "val", labels=labels, answers=answers, scores={"confidence": said})
    calibrate(apis, ["*"], "isotonic", force=True)
    found = calibration.effects(study_of(apis, cost="usd", levels=10))
    assert found
    for e in found:
        assert (e.before.committee.shape, e.method, e.test) == ("cascade", "isotonic", None)
        stage = exit_stages_by_hand(apis, e.before.committee)
        confidences = [apis.scores(m, "val", "confidence")[i] for i, m in enumerate(stage)]
        right = [apis.answers(m, "val")[i] == labels[i] for i, m in enumerate(stage)]
        assert e.reliability[0].ece == pytest.approx(ece_by_hand(confidences, right), abs=1e-6)


def exit_stages_by_hand(store, committee):
    """The model that answers each unit."""
    found = []
    for i in range(len(store.labels("val"))):
        models = [stage[-1] for stage in committee.stages]
        stops = (
            m
            for m, t in zip(models, committee.thresholds.values, strict=False)
            if store.scores(m, "val", "confidence")[i] >= t
        )
        found.append(next(stops, models[-1]))
    return found

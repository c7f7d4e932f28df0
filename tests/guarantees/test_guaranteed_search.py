"""Searches with guarantees: which units choose, which test, and what is returned."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from guaranteed import draw, drawn_store, fill
from scipy.stats import binomtest

import wisecommittee as wc
from wisecommittee.committees.committee import Committee
from wisecommittee.errors import AbsentError, AbsentNameError, CommitteeError, InfeasibleError, StoreError, UsageError
from wisecommittee.searches.guarantees.hypothesis import BETTING_UP_TO_THE_DEAREST, Certain, Share
from wisecommittee.searches.guarantees.options import GuaranteeOptions
from wisecommittee.searches.guarantees.path import STEP, order_of_tests
from wisecommittee.searches.guarantees.search import search_with_guarantee
from wisecommittee.searches.guarantees.units import divided
from wisecommittee.searches.members import members_alone
from wisecommittee.searches.query import Query
from wisecommittee.searches.selection import Selection
from wisecommittee.searches.target import Target
from wisecommittee.searches.units import evaluate_units
from wisecommittee.statistics.noninferiority import p_inferior
from wisecommittee.statistics.paired import PairedCounts
from wisecommittee.store import LogitStore

QUERY = Query(levels=20, max_models=2)
ACCURATE = "accuracy >= best_single - 0.05"


def searched(store, *statements, target=None, seed=0, query=QUERY, **options):
    asked = GuaranteeOptions(guarantee=list(statements), **options)
    return search_with_guarantee(store, asked, query, target, None, Selection(seed=seed))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return drawn_store(tmp_path_factory.mktemp("guarantees") / "logits", splits=("val", "extra", "test"))


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """Stores that hold only the units that choose, and only those that test, with seed 0 and half of 600 units."""
    labels, outputs = draw(600, 0)
    out = []
    for name, rows in zip(("choosing", "testing"), divided(600, 0.5, 0), strict=True):
        out.append(LogitStore(tmp_path_factory.mktemp(name) / "logits"))
        fill(out[-1], "val", labels[rows], {model: logits[rows] for model, logits in outputs.items()})
    return out


def test_units_are_set_aside_without_strata():
    choosing, testing = divided(1000, 0.3, 5)
    assert len(testing) == 300
    assert sorted([*choosing, *testing]) == list(range(1000))
    assert sorted(np.random.default_rng(5).permutation(1000)[:300]) == testing.tolist()


def test_the_search_is_that_of_the_units_that_choose(store, parts):
    choice = searched(store, ACCURATE)
    expected = wc.search(parts[0], QUERY)
    assert choice.frontier.evaluations == expected.evaluations
    assert choice.best_single == expected.best_single()
    assert choice.val.n == 300


def test_the_figures_and_p_values_are_those_of_the_units_that_test(store, parts):
    choice = searched(store, ACCURATE, "P(cost > 60) <= 0.5", "agreement with large >= 0.7")
    plain = choice.val.committee.altered()
    figures = wc.evaluate(plain, parts[1], "val")
    assert choice.certificate.figures.figures() == figures.figures()
    ours = evaluate_units(plain, parts[1], "val")
    best = evaluate_units(choice.best_single.committee, parts[1], "val")
    large = evaluate_units(Committee((("large",),)), parts[1], "val")
    accurate, cheap, agreeing = choice.certificate.statements
    right, other = ours["correct"].to_numpy(), best["correct"].to_numpy()
    assert accurate.p == p_inferior(PairedCounts.of(right, other), 0.05)
    within = int((ours["cost"] <= 60).sum())
    assert cheap.p == pytest.approx(binomtest(within, 300, 0.5, alternative="greater").pvalue)
    same = int((ours["prediction"] == large["prediction"]).sum())
    assert agreeing.p == pytest.approx(binomtest(same, 300, 0.7, alternative="greater").pvalue)
    assert all(each.p <= 0.05 and each.holds for each in choice.certificate.statements)


def test_the_path_does_not_depend_on_the_units_that_test(tmp_path):
    """Other labels and outputs of these units change who passes, never who is tested."""
    labels, outputs = draw(600, 0)
    _, testing = divided(600, 0.5, 0)
    found = []
    for name, share in (("as they are", 0.0), ("half wrong", 0.5)):
        wrong = testing[: int(share * len(testing))]
        spoilt = {model: logits.copy() for model, logits in outputs.items()}
        for logits in spoilt.values():
            logits[wrong] = np.roll(logits[wrong], 1, axis=1)
        store = LogitStore(tmp_path / name)
        fill(store, "val", labels, spoilt)
        found.append(searched(store, "accuracy >= 0.85"))
    first, second = found
    assert first.frontier.evaluations == second.frontier.evaluations
    assert first.certificate.path == second.certificate.path
    assert first.certificate.passed > 0
    assert second.certificate.passed == 0
    assert second.certificate.failed[0].committee == second.val.committee


def test_tests_stop_at_the_first_failure_and_return_the_last_success(store):
    choice = searched(store, ACCURATE)
    certificate = choice.certificate
    assert 0 < certificate.passed < certificate.path
    failed, statements = certificate.failed
    assert max(each.p for each in statements) > 0.05
    assert failed.average_cost < choice.val.average_cost < choice.best_single.average_cost
    assert statements[0].smallest_margin > 0.05 >= certificate.statements[0].smallest_margin


def test_the_order_starts_with_the_surest_and_goes_to_the_aim(store):
    frontier = wc.search(store, QUERY)
    by_cost = sorted(frontier, key=lambda e: -e.average_cost)
    p_values = [0.2, 0.01, *[0.5] * (len(by_cost) - 2)]
    assert order_of_tests(by_cost, p_values.__getitem__, save_cost=True) == list(range(1, len(by_cost)))
    assert order_of_tests(by_cost, p_values.__getitem__, save_cost=False) == [1, 0]
    assert 0 < STEP < 1


def test_a_statement_of_cost_alone_aims_at_quality(store):
    choice = searched(store, "average_flops <= 60")
    assert choice.certificate.holds
    assert choice.certificate.figures.average_cost < 60
    dearer, _ = choice.certificate.failed
    assert dearer.quality > choice.val.quality


def test_a_target_limits_what_is_tested(store):
    cheap = searched(store, ACCURATE, target=Target("target_cost", 60))
    assert cheap.val.average_cost <= 60
    assert cheap.certificate.path == 1
    frontier = cheap.frontier
    assert cheap.val.quality == frontier.within(average_cost=60).quality
    matching = searched(store, "average_flops <= 150", target=Target("match", "large"))
    assert matching.val.quality >= matching.matched.quality
    with pytest.raises(InfeasibleError, match="no committee costs at most 1"):
        searched(store, ACCURATE, target=Target("target_cost", 1))
    with pytest.raises(InfeasibleError, match=r"no committee reaches 0\.9999"):
        searched(store, ACCURATE, target=Target("target_accuracy", 0.9999))


def test_an_ensemble_to_match_is_measured_on_the_units_that_choose(store, parts):
    choice = searched(store, "average_flops <= 190", target=Target("match_ensemble", ("middle", "large")))
    together = choice.matched.committee.altered(members={})
    assert choice.matched.correct == wc.evaluate(together, parts[0], "val").correct


def test_the_reference_itself_is_always_shown(store):
    choice = searched(store, "accuracy >= best_single")
    assert choice.certificate.holds
    hard = searched(store, "accuracy >= large + 0.2")
    assert not hard.certificate.holds
    assert hard.certificate.statements[0].smallest_margin > -0.2
    assert hard.val.committee.guarantee == ()


def test_another_split_tests_what_the_whole_split_chose(store):
    choice = searched(store, "accuracy >= 0.8", guarantee_split="extra")
    assert choice.frontier.evaluations == wc.search(store, QUERY).evaluations
    assert choice.certificate.figures.split == "extra"
    plain = replace(choice.val.committee, guarantee=())
    assert choice.certificate.figures.correct == wc.evaluate(plain, store, "extra").correct


def test_the_guarantee_goes_with_the_committee_and_with_no_other(store, tmp_path):
    choice = searched(store, ACCURATE)
    choice.val.committee.save(tmp_path / "c.json")
    loaded = Committee.load(tmp_path / "c.json")
    assert loaded == choice.val.committee
    (shown,) = json.loads((tmp_path / "c.json").read_text())["guarantee"]
    assert shown == choice.to_json()["guarantee"][0] == loaded.guarantee[0]
    keys = {"statement", "delta", "n", "method", "p", "holds", "smallest_margin", "calibration_hash"}
    assert set(shown) == keys
    assert shown["statement"] == ACCURATE
    assert loaded.at(0.5).guarantee == ()
    assert all(single.guarantee == () for single in members_alone(loaded))
    assert wc.evaluate(loaded, store, "test").quality == choice.test.quality


@pytest.mark.parametrize("wrong", ["x", [1], [{}], {"statement": "x"}])
def test_a_guarantee_that_is_none_is_refused(wrong):
    with pytest.raises(CommitteeError, match='"guarantee" must be a list of objects'):
        Committee.from_json({"version": 1, "stages": [["a"]], "guarantee": wrong})


def test_the_hash_is_that_of_the_units_of_the_test(store):
    def hashed(choice):
        return choice.certificate.statements[0].calibration_hash

    first = searched(store, ACCURATE)
    assert hashed(first) == hashed(searched(store, ACCURATE))
    assert hashed(first) != hashed(searched(store, ACCURATE, seed=1))


def test_the_result_does_not_depend_on_threads(store):
    one, two = (
        search_with_guarantee(store, GuaranteeOptions(guarantee=[ACCURATE]), QUERY, execution=wc_execution(threads))
        for threads in (1, 2)
    )
    drop = {"searched"}
    assert {k: v for k, v in one.to_json().items() if k not in drop} == {
        k: v for k, v in two.to_json().items() if k not in drop
    }


def wc_execution(threads):
    from wisecommittee.searches.workers.execution import Execution

    return Execution(threads=threads)


def test_what_cannot_be_tested_is_refused(store, tmp_path):
    refused = [
        (["accuracy >= nobody - 0.01"], {}, AbsentNameError, "unknown model 'nobody'"),
        (["agreement with larg >= 0.9"], {}, AbsentNameError, "did you mean 'large'"),
        (["average_usd <= 3"], {}, AbsentNameError, "unknown cost 'usd'.*flops, latency_ms"),
        (["recall of 9 >= 0.9"], {}, AbsentNameError, "unknown class '9'.*Known: 0, 1, 2"),
        (["accuracy >= 0.999"], {}, InfeasibleError, "needs 2,995 units that test it, and there are 300"),
        (["recall of 3 >= 0.99"], {}, InfeasibleError, "needs 299 3 units"),
        ([ACCURATE], {"guarantee_share": 0.0001}, InfeasibleError, "both the search and the test need units"),
        ([ACCURATE], {"guarantee_split": "val"}, UsageError, "is the split that chooses"),
        ([ACCURATE], {"guarantee_split": "test"}, UsageError, "only reports"),
        ([ACCURATE], {"guarantee_split": "nowhere"}, StoreError, "nowhere"),
        ([], {}, UsageError, "nothing to guarantee"),
    ]
    for statements, options, kind, part in refused:
        with pytest.raises(kind, match=part):
            searched(store, *statements, **options)
    for selection in (Selection(folds=5), Selection(choose="robust"), Selection(reference="large")):
        with pytest.raises(UsageError, match="the statements choose the committee"):
            search_with_guarantee(store, GuaranteeOptions(guarantee=[ACCURATE]), QUERY, selection=selection)


def test_a_split_that_lacks_models_or_holds_the_choosing_units_is_refused(tmp_path):
    store = drawn_store(tmp_path / "logits", units=200)
    labels, outputs = draw(200, 0)
    fill(store, "copy", labels, outputs)
    few, logits = draw(200, 7)
    fill(store, "fewer", few, {"small": logits["small"]})
    with pytest.raises(StoreError, match="val and copy hold the same units"):
        searched(store, ACCURATE, guarantee_split="copy")
    with pytest.raises(CommitteeError, match="split 'fewer' lacks large, middle"):
        searched(store, ACCURATE, guarantee_split="fewer")
    labels, outputs = (
        np.concatenate([labels[:60], few]),
        {m: np.concatenate([outputs[m][:60], logits[m]]) for m in logits},
    )
    fill(store, "shared", labels, outputs)
    with pytest.warns(UserWarning, match="takes units that chose for new ones.*in both"):
        searched(store, ACCURATE, guarantee_split="shared")
    small = searched(store, "accuracy >= 0.5", guarantee_split="fewer", query=Query(models=("small",)))
    assert small.certificate.holds


def test_units_without_labels_test_agreement_and_cost_alone(store, tmp_path):
    live = drawn_store(tmp_path / "logits")
    labels, outputs = draw(300, 9)
    fill(live, "live", np.full_like(labels, -1), outputs)
    choice = searched(live, "agreement with large >= 0.8", "average_flops <= 120", guarantee_split="live")
    assert choice.certificate.holds
    calibration = choice.to_json()["calibration"]
    assert (calibration["quality"], calibration["interval"]) == (None, None)
    assert calibration["average_flops"] < 120
    for statement in (ACCURATE, "accuracy >= 0.8", "recall of 1 >= 0.5", "precision of 1 >= 0.5"):
        with pytest.raises(AbsentError, match="needs labels, and split 'live' has none"):
            searched(live, statement, guarantee_split="live")


def test_calibrated_models_need_another_split(tmp_path):
    store = drawn_store(tmp_path / "logits", units=300, splits=("val", "extra"))
    for model in store.models("val"):
        wc.calibrate(store, [model], "temperature")
    query = replace(QUERY, calibrated=True)
    with pytest.raises(UsageError, match="calibrations were fitted on all units of val"):
        searched(store, ACCURATE, query=query)
    choice = searched(store, ACCURATE, query=query, guarantee_split="extra")
    plain = replace(choice.val.committee, guarantee=())
    assert choice.certificate.figures.figures() == wc.evaluate(plain, store, "extra").figures()


def answers_store(path, units=300, grades=False):
    """Two models whose answers are 'spam' or 'fine', at prices that vary per unit."""
    rng = np.random.default_rng(2)
    labels = rng.choice(["spam", "fine"], units, p=[0.4, 0.6])
    store = LogitStore(path)
    for model, accuracy, price in (("cheap", 0.85, 1.0), ("dear", 0.96, 10.0)):
        sure = rng.random(units)
        right = rng.random(units) < accuracy + 0.2 * (sure - 0.5)
        answers = np.where(right, labels, np.where(labels == "spam", "fine", "spam"))
        store.add(
            wc.ModelCard(model, kind="answers"),
            "val",
            labels=labels,
            answers=answers.tolist(),
            quality=np.where(right, 1.0, 0.5) if grades else None,
            scores={"confidence": sure},
            unit_costs={"usd": price * rng.uniform(0.5, 1.5, units)},
        )
    return store


def test_answers_have_classes_by_name_and_prices_per_unit(tmp_path):
    store = answers_store(tmp_path / "logits")
    query = Query(levels=20, cost="usd")
    statements = ("recall of spam >= 0.7", "precision of spam >= 0.7", "average_cost <= 12", "P(usd > 20) <= 0.1")
    choice = searched(store, *statements, query=query)
    recall, precision, average, exceeding = choice.certificate.statements
    testing = divided(300, 0.5, 0)[1]
    labels = store.labels("val")[testing]
    assert recall.n == int((labels == "spam").sum())
    assert 0 < precision.n < 150
    assert (average.method, exceeding.n) == (BETTING_UP_TO_THE_DEAREST, 150)
    with pytest.raises(AbsentNameError, match=r"unknown class 'ham'.*Known: fine, spam"):
        searched(store, "recall of ham >= 0.7", query=query)


def test_grades_are_bet_on(tmp_path):
    store = answers_store(tmp_path / "logits", grades=True)
    choice = searched(store, "accuracy >= 0.8", "accuracy >= best_single - 0.2", query=Query(levels=20, cost="usd"))
    assert choice.certificate.statements[0].method == "betting"
    assert choice.certificate.holds


def test_classes_are_named_as_in_the_store(tmp_path):
    store = LogitStore(tmp_path / "logits")
    labels, outputs = draw(300, 1, classes=2)
    for model, logits in outputs.items():
        card = wc.ModelCard(model, blocks={model: 10}, class_names=("fine", "spam"))
        store.add(card, "val", labels=labels, outputs=logits)
    choice = searched(store, "recall of spam >= 0.5")
    assert choice.certificate.statements[0].n == int((labels[divided(300, 0.5, 0)[1]] == 1).sum())
    with pytest.raises(AbsentNameError, match=r"unknown class '1'.*Known: fine, spam"):
        searched(store, "recall of 1 >= 0.5")


def test_a_committee_after_the_first_failure_is_not_returned_however_sure_it_is(store, monkeypatch):
    frontier = wc.search(store, QUERY)
    dearest, second, *_ = sorted({e.committee.stages for e in frontier}, key=lambda stages: -cost_of(frontier, stages))

    def only_the_second_fails(guarantee, results, units):
        return Share(0, 10, 0.5) if results.committee.stages == second else Certain(10, 0.0)

    monkeypatch.setattr("wisecommittee.searches.guarantees.certify.hypothesis", only_the_second_fails)
    choice = searched(store, "accuracy >= 0.8", guarantee_split="extra")
    assert choice.certificate.failed[0].committee.stages == second
    assert choice.val.committee.stages == dearest
    assert choice.certificate.passed < choice.certificate.path - 1


def cost_of(frontier, stages):
    return max(e.average_cost for e in frontier if e.committee.stages == stages)

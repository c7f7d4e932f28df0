"""A committee beside its reference on test, against loops over the definitions and scipy."""

from __future__ import annotations

from dataclasses import replace

import naive
import numpy as np
import pytest
from analyses_pool import COMBINE, CONFIDENCE, LEVELS, Case
from scipy.stats import binomtest, norm, ttest_rel

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.searches.choice import search_and_choose
from wisecommittee.searches.query import Query
from wisecommittee.searches.resampling.on_test import compare_on
from wisecommittee.searches.selection import Selection
from wisecommittee.searches.target import Target
from wisecommittee.searches.workers.execution import Execution
from wisecommittee.statistics.bootstrap import mean_interval
from wisecommittee.statistics.paired import tango_score
from wisecommittee.store import LogitStore

POOL = {"a": (2, 10, 0.8), "b": (1, 35, 1.4), "c": (1, 90, 2.0)}


def right_on_test(case, committee):
    """Whether each test unit is right where it exits, by the oracle."""
    members = [[case.named("test", m) for m in stage] for stage in committee.stages]
    labels = case.labels["test"]
    result = naive.evaluate(members, committee.thresholds.values, labels, COMBINE, CONFIDENCE)
    return [
        naive.prefix_correct([m for stage in members[: k + 1] for m in stage], labels, COMBINE)[i]
        for i, k in enumerate(result.exit_stage)
    ]


def chosen(case, target, **selection):
    query = Query(max_models=3, levels=LEVELS)
    return search_and_choose(case.store, query, target, Execution(threads=1), Selection(folds=5, **selection))


@pytest.mark.parametrize("target", [Target("match", "c/0"), Target("target_flops", 40)], ids=lambda t: t.kind)
def test_counts_are_compared_by_the_exact_test_and_the_score_interval(target):
    case = Case(POOL, n=80, seed=3)
    choice = chosen(case, target)
    found = choice.evidence.comparison.test
    reference = next(e.committee for e in choice.frontier.singles if e.committee.models == ("c/0",))
    ours, theirs = right_on_test(case, choice.val.committee), right_on_test(case, reference)
    only = sum(a and not b for a, b in zip(ours, theirs, strict=True))
    other = sum(b and not a for a, b in zip(ours, theirs, strict=True))
    n = len(ours)
    assert choice.evidence.comparison.reference == "c/0"
    assert (found.n, found.difference) == (n, (only - other) / n)
    assert found.p == pytest.approx(binomtest(only, only + other).pvalue if only + other else 1)
    low, high = found.interval
    assert tango_score(only, other, n, low) == pytest.approx(norm.ppf(0.975))
    assert tango_score(only, other, n, high) == pytest.approx(norm.ppf(0.025))
    said = choice.to_json()
    assert said["comparison"]["test"] == {"difference": found.difference, "interval": [low, high], "p": found.p, "n": n}


def test_references_stand_on_test_too():
    case = Case(POOL, n=80, seed=3)
    choice = chosen(case, Target("match", "b/0"))
    references = choice.to_json()["references"]
    for name, e in (("best_single", choice.best_single), ("matched", choice.matched)):
        quality, cost, *_ = case.evaluate("test", e.committee.stages)
        assert references[name]["test"] == {"quality": quality, "cost": cost, "n": 90}
        assert choice.on_test(e).quality == quality


def test_without_folds_or_test_there_is_no_comparison_on_test():
    case = Case(POOL, n=80, seed=3)
    only_val = chosen(Case(POOL, n=80, seed=3), Target("match", "b/0"))
    assert only_val.evidence.comparison.test is not None
    case.store._stores.pop("test")
    choice = chosen(case, Target("match", "b/0"))
    assert choice.to_json()["comparison"]["test"] is None
    assert choice.to_json()["references"]["matched"]["test"] is None
    assert choice.evidence.comparison == replace(only_val.evidence.comparison, test=None)


def test_a_reference_that_test_lacks_or_has_with_other_weights_is_left_out():
    for change in ("lacks", "differs"):
        case = Case(POOL, n=80, seed=3)
        test = case.store._stores["test"]
        if change == "lacks":
            del test._models["c/0"]
        else:
            case.store._stores["val"].fields = {"c/0": {"weights": "those of val"}}
            test.fields = {"c/0": {"weights": "others"}}
        choice = chosen(case, Target("target_flops", 12), reference="c/0")
        assert "c/0" not in choice.val.committee.models
        assert choice.test is not None
        assert choice.evidence.comparison.test is None
        assert choice.to_json()["references"]["best_single"]["test"] is None


def test_measured_times_of_the_cards_stand_beside_the_cost():
    times = {"a/0": 1.0, "a/1": 1.0, "b/0": 1.5, "c/0": 2.0}
    case = Case(POOL, n=80, seed=3, fields={name: {"costs": {"latency_ms": ms}} for name, ms in times.items()})
    choice = chosen(case, Target("target_flops", 40), reference="c/0")
    stages, exits = choice.val.committee.stages, choice.val.exit_ratios
    spent = np.cumsum([sum(times[m] for m in stage) for stage in stages])
    ratio = times["c/0"] / float(np.dot(spent, exits))
    assert choice.to_json()["comparison"]["measured"] == {"latency_ms": pytest.approx(ratio)}
    words = f"{ratio:.2f} times faster" if ratio > 1 else f"{1 / ratio:.2f} times slower"
    assert f"({words} by latency_ms)" in choice.evidence.verdict.sentence
    untimed = chosen(Case(POOL, n=80, seed=3), Target("target_flops", 40), reference="c/0")
    assert untimed.to_json()["comparison"]["measured"] == {}
    assert "latency_ms" not in untimed.evidence.verdict.sentence


def test_grades_are_compared_by_their_mean_difference(tmp_path, run):
    grades = np.random.default_rng(1).integers(0, 11, (2, 120)) / 10
    rows = [f"{i},{m},text {i},{g},{g}" for m, row in zip("ab", grades, strict=True) for i, g in enumerate(row)]
    (tmp_path / "answers.csv").write_text("\n".join(["unit_id,model,answer,confidence,score", *rows]))
    (tmp_path / "costs.csv").write_text("model,flops\na,1\nb,2\n")
    given = ("--answers", tmp_path / "answers.csv", "--costs", tmp_path / "costs.csv")
    assert run("import", "--store", tmp_path / "S", "--split", "test", *given)[0] == 0
    store = LogitStore(tmp_path / "S")
    a, b = (Committee(((name,),), Thresholds(), confidence="confidence", combine="last") for name in "ab")
    found, gaps = compare_on(store, "test", a, b), grades[0] - grades[1]
    assert found.difference == pytest.approx(gaps.mean())
    assert found.p == pytest.approx(ttest_rel(*grades).pvalue, abs=0.01)
    assert found.interval == pytest.approx(mean_interval(np.round(gaps, 1)), abs=0.01)
    same = compare_on(store, "test", a, a)
    assert (same.difference, same.p, same.n) == (0, 1, 120)

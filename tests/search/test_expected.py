"""The expected figures, against loops over the definitions: a search without each fold, its committee on the fold."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace

import naive
import numpy as np
import pytest
from pools import MemoryStore
from scipy.stats import binomtest

from wisecommittee.errors import AbsentError, AbsentNameError, InfeasibleError, UsageError
from wisecommittee.searches.choosing import search_and_choose
from wisecommittee.searches.folds import make_folds
from wisecommittee.searches.meeting import single_named
from wisecommittee.searches.query import Query
from wisecommittee.searches.resampling.selecting import Asked, select
from wisecommittee.searches.search import solution_of
from wisecommittee.searches.selection import Selection
from wisecommittee.searches.target import Target
from wisecommittee.searches.workers.execution import Execution

N, CLASSES, LEVELS = 60, 3, 4


def pool(seed, graded=False):
    """Three models of rising accuracy and cost on N units; logits of a few values, so that confidences tie."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, N)
    models = []
    for k, cost in enumerate((1, 3, 7)):
        logits = rng.integers(-2, 3, (N, CLASSES)) + (1 + k) * np.eye(CLASSES)[labels] * (rng.random((N, 1)) < 0.8)
        models.append(naive.Model(f"m{k}", f"m{k}", 0, {f"m{k}": cost}, logits.astype(np.float32)))
    return models, labels.tolist()


def solved(models, labels, **query):
    return solution_of(MemoryStore(models, labels), Query(levels=LEVELS, **query), Execution(threads=1))


def part(models, labels, units):
    kept = [replace(m, outputs=m.outputs[units]) for m in models]
    return kept, [labels[i] for i in units]


def chosen_by_oracle(models, labels, units, meets):
    """(stages as models, thresholds) of the oracle's frontier on these units that `meets` picks."""
    kept, known = part(models, labels, units)
    points = naive.search(kept, known, 4, LEVELS)
    point = meets(points, len(units), known, kept)
    by_name = {m.name: m for m in models}
    return [[by_name[name] for name in stage] for stage in point.stages], point.thresholds


def outcomes_by_oracle(models, labels, stages, thresholds, units):
    """(right, cost) of each of these units."""
    out = []
    for i in units:
        one = [[replace(m, outputs=m.outputs[[i]]) for m in stage] for stage in stages]
        result = naive.evaluate(one, thresholds, [labels[i]], "mean_logits", "max_prob")
        out.append((result.correct, result.total_cost))
    return out


def cross_fitted_by_oracle(models, labels, folds, meets):
    """[(right, cost)] of all units, each by the committee that is chosen without its fold."""
    made = [None] * len(labels)
    for number in range(folds.max() + 1):
        held_out = np.flatnonzero(folds == number)
        stages, thresholds = chosen_by_oracle(models, labels, np.flatnonzero(folds != number), meets)
        for i, outcome in zip(held_out, outcomes_by_oracle(models, labels, stages, thresholds, held_out), strict=True):
            made[i] = outcome
    return made


def within(limit):
    return lambda points, n, labels, models: [p for p in points if Fraction(p.total_cost, n) <= limit][-1]


def reaching(quality):
    def meets(points, n, labels, models):
        return next((p for p in points if Fraction(p.correct, n) >= quality), points[-1])

    return meets


def as_good_as(name):
    def meets(points, n, labels, models):
        model = next(m for m in models if m.name == name)
        right = naive.evaluate([[model]], (), labels, "mean_logits", "max_prob").correct
        return next((p for p in points if p.correct >= right), points[-1])

    return meets


ASKED = [
    (Target("target_cost", 3.5), within(Fraction(7, 2))),
    (Target("target_cost", 8), within(8)),
    (Target("target_accuracy", 0.75), reaching(Fraction(3, 4))),
    (Target("match", "m2"), as_good_as("m2")),
    (None, lambda points, n, labels, models: points[-1]),
]


@pytest.mark.parametrize(("target", "meets"), ASKED, ids=lambda value: str(getattr(value, "value", "")))
@pytest.mark.parametrize("seed", range(3))
def test_the_figures_are_those_of_searches_without_each_fold(target, meets, seed):
    models, labels = pool(seed)
    solution = solved(models, labels)
    frontier = solution.frontier
    matched = single_named(frontier, "m2") if target is not None and target.kind == "match" else None
    best = frontier.best() if target is None else frontier.evaluations[-1]
    selection = Selection(choose="best", folds=5, repeats=2, seed=seed, reference="m2")
    selected = select(Asked(solution, target, best, matched), selection)
    expected = selected.evidence.expected
    shares, right = [], np.zeros(N)
    for repeat in range(2):
        folds = make_folds(np.array(labels), 5, seed + repeat)
        made = cross_fitted_by_oracle(models, labels, folds, meets)
        shares.append(Fraction(sum(r for r, _ in made), N))
        right += [r / 2 for r, _ in made]
    assert expected.quality == pytest.approx(float(sum(shares) / 2), abs=1e-12)
    alone = [r for r, _ in outcomes_by_oracle(models, labels, [[models[2]]], (), range(N))]
    assert selected.evidence.comparison.difference.mean == pytest.approx(np.mean(right - alone), abs=1e-12)
    stages = [[models[int(name[1])] for name in stage] for stage in best.committee.stages]
    paid = [c for _, c in outcomes_by_oracle(models, labels, stages, best.committee.thresholds.values, range(N))]
    own = [r for r, _ in outcomes_by_oracle(models, labels, stages, best.committee.thresholds.values, range(N))]
    moved = np.sum((right - own) ** 2) / np.sum((right - right.mean()) ** 2)
    wilson = wilson_by_hand(float(sum(shares) / 2), N / max(1.05**2, 1 + moved))
    assert expected.interval == pytest.approx(wilson, abs=1e-9)
    assert expected.average_cost == pytest.approx(np.mean(paid))
    assert expected.p99_cost == sorted(paid)[N - 1]
    assert expected.optimism == pytest.approx(best.quality - expected.quality)


def wilson_by_hand(share, n, z=1.959963984540054):
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return centre - half, centre + half


def test_wilson_by_hand_is_that_of_scipy():
    found = binomtest(45, 60).proportion_ci(method="wilson")
    assert wilson_by_hand(0.75, 60) == pytest.approx((found.low, found.high))


def selected(solution, target=None, **options):
    matched = single_named(solution.frontier, target.value) if target is not None and target.kind == "match" else None
    return select(Asked(solution, target, solution.frontier.best(), matched), Selection(**options))


def test_figures_do_not_depend_on_threads_or_on_the_order_of_units_in_folds():
    models, labels = pool(4)
    first = selected(solved(models, labels), Target("target_cost", 4))
    store = MemoryStore(models, labels)
    threaded = solution_of(store, Query(levels=LEVELS), Execution(threads=3))
    assert selected(threaded, Target("target_cost", 4)) == first


def test_a_seed_divides_anew_and_is_repeatable():
    solution = solved(*pool(1))
    figures = [selected(solution, Target("target_cost", 4), seed=seed).evidence.expected for seed in (0, 0, 1)]
    assert figures[0] == figures[1]
    assert figures[0].quality != figures[2].quality or figures[0].interval != figures[2].interval


def test_without_folds_there_are_no_expected_figures():
    chosen = selected(solved(*pool(0)), Target("target_cost", 4), folds=0)
    assert chosen.evidence.to_json(0.005) == {
        "expected": None,
        "comparison": None,
        "verdict": None,
        "note": "no folds were searched; folds=10 searches them",
    }


def test_too_few_units_are_a_note_unless_folds_were_asked_for():
    models, labels = pool(0)
    few = solved(*part(models, labels, np.arange(12)))
    chosen = selected(few, Target("target_cost", 4))
    assert chosen.evidence.expected is None
    assert chosen.evidence.note == "12 units are too few for 10 folds"
    with pytest.raises(AbsentError, match=r"12 units are too few for 10 folds; give fewer folds=, or more units"):
        selected(few, Target("target_cost", 4), folds=10)
    assert selected(few, Target("target_cost", 4), folds=4).evidence.expected is not None


def test_a_reference_that_is_no_model_is_named_with_the_models_there_are():
    with pytest.raises(AbsentNameError, match=r"m3.*m0, m1, m2"):
        selected(solved(*pool(0)), Target("target_cost", 4), reference="m3")


def test_a_robust_choice_needs_every_combination():
    with pytest.raises(UsageError, match=r"choose='robust'.*this is beam"):
        selected(solved(*pool(0), method="beam"), Target("target_cost", 4), choose="robust")


@pytest.mark.parametrize("seed", range(4))
def test_the_robust_choice_meets_a_budget_and_is_never_dearer(seed):
    solution = solved(*pool(seed))
    for limit in (1, 2.5, 4, 9):
        chosen = selected(solution, Target("target_cost", limit))
        assert chosen.selection.choose == "robust"
        assert chosen.evidence.expected.average_cost <= limit


@pytest.mark.parametrize("seed", range(6))
def test_a_match_is_expected_to_be_as_good_or_is_the_model_itself(seed):
    """By the oracle of the definition: the first budget whose cross-fitted quality reaches the model's."""
    solution = solved(*pool(seed))
    chosen = selected(solution, Target("match", "m2"), seed=seed)
    comparison = chosen.evidence.comparison
    if chosen.committee.models == ("m2",):
        assert comparison.difference.mean == 0
        assert comparison.speedup.ratio == 1
        assert chosen.evidence.verdict.word == "do_not_use"
    else:
        assert comparison.speedup.ratio > 1
    assert comparison.reference == "m2"


def test_ctrl_c_between_folds_leaves_the_committee_and_says_so(monkeypatch):
    """The match of a robust choice takes folds: without them it is the best on the units that choose."""
    solution = solved(*pool(2))
    monkeypatch.setattr(
        "wisecommittee.searches.resampling.cross_fit.interrupts", lambda: SimpleNamespace(number=1)
    )  # fmt: skip
    chosen = selected(solution, Target("match", "m2"), folds=5)
    assert chosen.evidence.note == "stopped before all folds were searched"
    assert chosen.evidence.expected is None
    assert chosen.selection.choose == "best"
    assert chosen.committee == solution.frontier.best().committee
    assert selected(solution, Target("target_cost", 4), folds=5).selection.choose == "robust"


def test_the_progress_of_folds_is_counted():
    told = []
    solution = solution_of(
        MemoryStore(*pool(0)), Query(levels=LEVELS), Execution(threads=1, progress=lambda *each: told.append(each))
    )
    told.clear()
    selected(solution, Target("target_cost", 4), folds=5, repeats=2)
    assert told == [("folds", done, 10) for done in range(11)]


def test_folds_run_by_default_by_the_counted_work_only(monkeypatch):
    solution = solved(*pool(0))
    combinations = solution.problem.estimate.combinations
    for most, folds in ((combinations * LEVELS * N * 10, 10), (combinations * LEVELS * N * 10 - 1, 0)):
        monkeypatch.setattr("wisecommittee.searches.resampling.selecting.MOST_WORK", most)
        assert selected(solution, Target("target_cost", 4)).selection.folds == folds
    assert selected(solution, Target("target_cost", 4), folds=10).selection.folds == 10


def test_an_accuracy_that_is_not_expected_is_refused_with_what_is():
    solution = solved(*pool(0))
    best = solution.frontier.best().quality
    with pytest.raises(
        InfeasibleError, match=r"no committee is expected to reach .* on new units; the best, .*choose="
    ):
        selected(solution, Target("target_accuracy", best))
    assert selected(solution, Target("target_accuracy", best), choose="best").evidence.expected.optimism > 0


@pytest.mark.parametrize("exact", [{"exact": True}, {"method": "exact"}])
def test_a_proof_and_a_robust_choice_exclude_each_other(exact):
    with pytest.raises(UsageError, match=r"proves the best committee.*choose='robust'"):
        search_and_choose(
            MemoryStore(*pool(0)), Query(**exact), Target("target_cost", 4), None, Selection(choose="robust")
        )
    assert selected(solved(*pool(0), **exact), Target("target_cost", 4)).selection.choose == "best"

"""Learned deferral: fitted without each fold, searched like a stored score, decided as a loop over units decides."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import deferral_by_units
import naive
import numpy as np
import pytest
import torch
from pools import MemoryStore

import wisecommittee as wc
from wisecommittee import Committee, LogitStore, ModelCard
from wisecommittee.committees.combine import normalised_logs
from wisecommittee.committees.policies import policy_from_json
from wisecommittee.committees.policies.deferral import Deferral
from wisecommittee.committees.policies.evidence import Output, members_evidence, reordered
from wisecommittee.errors import CommitteeError, UsageError
from wisecommittee.searches.evaluate import evaluate, evaluate_in
from wisecommittee.searches.methods import strategy_for
from wisecommittee.searches.policies.arrays import member_arrays
from wisecommittee.searches.policies.deferral import strategy as deferral
from wisecommittee.searches.policies.deferral.chains import chains_of
from wisecommittee.searches.policies.deferral.committees import source_json
from wisecommittee.searches.policies.deferral.gains import fit_gains
from wisecommittee.searches.policies.deferral.known import Known, fitted_source
from wisecommittee.searches.policies.deferral.ridge import PENALTIES, ridge
from wisecommittee.searches.policies.deferral.thresholds import Learned, Point, best_thresholds, steps_of
from wisecommittee.searches.policies.deferral.weights import BAGS, STEPS, selected_weights
from wisecommittee.searches.query import Query
from wisecommittee.searches.search import solve
from wisecommittee.searches.stages.pool import open_pool
from wisecommittee.searches.strategies.problem import pose
from wisecommittee.searches.units import evaluate_units
from wisecommittee.searches.workers.execution import Execution

N, CLASSES = 500, 4
COSTS = {"a": 10, "b": 20, "c": 70}


def labelled(seed=0, units=N):
    """True labels; and answers and confidences of three models, each of which knows other labels than the others."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, units)
    said, sure = {}, {}
    for model, known in {"a": (0, 1), "b": (2, 1), "c": (0, 2, 3)}.items():
        right = rng.random(units) < np.where(np.isin(labels, known), 0.95, 0.4)
        said[model] = np.where(right, labels, rng.integers(0, CLASSES, units))
        sure[model] = np.round(np.clip(0.3 * right + 0.6 * rng.random(units), 0, 1), 1)  # coarse: ties
    return labels, said, sure


@pytest.fixture
def answers(tmp_path):
    labels, said, sure = labelled()
    store = LogitStore(tmp_path / "answers")
    for model in COSTS:
        card = ModelCard(model, kind="answers", costs={"usd": COSTS[model]})
        text = [f"l{label}" for label in said[model]]
        store.add(card, "val", labels=[f"l{y}" for y in labels], answers=text, scores={"confidence": sure[model]})
    return store


def logits(seed=3, units=N):
    rng = np.random.default_rng(seed)
    labels, ease = rng.integers(0, CLASSES, units), rng.gamma(1.5, 1.0, units)
    rows = {}
    for m, model in enumerate(COSTS):
        rows[model] = rng.normal(size=(units, CLASSES)).astype(np.float32) * (1 + m)
        rows[model][np.arange(units), labels] += (ease * (1 + m) * (1 + 0.4 * m)).astype(np.float32)
    return rows, labels


@pytest.fixture
def rows(tmp_path):
    store, (outputs, labels) = LogitStore(tmp_path / "rows"), logits()
    for model, values in outputs.items():
        store.add(ModelCard(model, blocks={model: COSTS[model]}), "val", outputs=values, labels=labels)
    return store


def problem_of(store, **options):
    return pose(store, Query(policy="deferral", **options), Execution(threads=1))


def searched(store, **options):
    problem = problem_of(store, **options)
    return problem, deferral.run(problem).committees


def of_kind(committees, kind, stages=3):
    """A committee with these answers that uses all its stages."""
    fit = [c for c in committees if isinstance(c.policy, Deferral) and c.policy.answering["kind"] == kind]
    return next(c for c in fit if len(c.stages) == stages)


# ---- one committee: evaluated, unit by unit, deployed, saved


def by_definition(committee, pool):
    """(stages, answers) of all units, with loops."""
    arrays, policy = member_arrays(pool), json.loads(json.dumps(committee.policy.to_json()))
    order = [pool.index(model) for model in committee.models]
    confidences = arrays.scale.log(arrays.score)
    outputs = [pool.log_probabilities(m) for m in order] if pool.averaged else []
    sizes = policy["sizes"]
    combined = [evaluated_rule(pool, committee, size) for size in sizes]
    stages, found = [], []
    for i in range(pool.units):
        members = [(arrays.prediction[m, i], confidences[m, i]) for m in order]
        stage, label = deferral_by_units.unit(
            policy, members, [(label[i], sure[i]) for label, sure in combined], [rows[i].tolist() for rows in outputs]
        )
        stages.append(stage)
        found.append(label)
    return stages, found


def evaluated_rule(pool, committee, size):
    """The combining rule of the first members: its labels and log-odds."""
    if not pool.averaged:
        m = pool.index(committee.models[size - 1])
        arrays = member_arrays(pool)
        return arrays.prediction[m], arrays.score[m]
    first = [pool.outputs(pool.index(model))[:] for model in committee.models[:size]]
    mean = np.mean(np.array(first, np.float64), axis=0)
    p = np.exp(mean - mean.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    top = p.max(axis=1)
    return mean.argmax(axis=1), np.log(top) - np.log1p(-top)


@pytest.mark.parametrize(("kind", "fixture"), [("rule", "answers"), ("posterior", "answers"), ("rule", "rows")])
def test_evaluation_is_a_loop_over_units(request, kind, fixture, tmp_path, monkeypatch):
    store = request.getfixturevalue(fixture)
    monkeypatch.setattr(deferral, "MOST_CLASSES", 50 if kind == "posterior" else 0)
    monkeypatch.setattr(deferral, "MOST_CELLS", 0)
    problem, committees = searched(store, cost=None)
    check_one(of_kind(committees, kind), problem.pool, store, tmp_path)


@pytest.mark.parametrize("combine", ["mean_logits", "mean_probs"])
def test_weighted_means_are_a_loop_over_units(rows, combine, tmp_path):
    committee, problem = weighted_committee(rows, combine)
    assert committee.policy.answering["mean"] == {"mean_logits": "logits", "mean_probs": "probabilities"}[combine]
    check_one(committee, problem.pool, rows, tmp_path)


def weighted_committee(store, combine):
    """A committee of three stages on the frontier of weighted means alone, and its problem."""
    problem, known, learned = everything_learned(store, combine=combine)
    with problem.execution.mapper(None) as mapper:
        points, _ = best_thresholds(problem, [each for each in learned if each.answers.kind == "weights"], mapper)
    found = [deferral.committee_at(problem.pool, known, point) for point in points]
    found = [committee for committee in found if len(committee.stages) == 3]
    return found[len(found) // 2], problem


def check_one(committee, pool, store, tmp_path):
    stages, found = by_definition(committee, pool)
    right = sum(str(a) == str(b) for a, b in zip(found, pool.labels.tolist(), strict=True))
    counts = np.bincount(stages, minlength=len(committee.stages))
    assert (counts > 0).all()
    e = evaluate(committee, store, "val")
    assert (e.correct, e.exit_ratios) == (right, tuple(counts / N))
    units = evaluate_units(committee, store, "val")
    assert (units["stage"] - 1).tolist() == stages
    assert units["prediction"].tolist() == found
    committee.save(tmp_path / "committee.json")
    written = json.loads((tmp_path / "committee.json").read_text())
    assert (written["thresholds"], written["policy"]["kind"]) == (None, "deferral")
    again = Committee.load(tmp_path / "committee.json")
    assert again.policy == committee.policy
    assert evaluate(again, store, "val").correct == right
    if pool.averaged:
        outputs = {model: np.asarray(store.outputs(model, "val")) for model in committee.models}
        members = {m: lambda x, m=m: outputs[m][np.asarray(x)[:, 0].astype(int)] for m in outputs}
        with wc.deploy(again, members, device="cpu") as run:
            result = run(torch.arange(N, dtype=torch.float32)[:, None])
        assert result.stage.tolist() == stages
        assert result.prediction.tolist() == found


# ---- the fit


def test_estimates_are_those_of_least_squares_without_each_fold():
    """Against the normal equations of each penalty and fold, and the penalty with the least error on left-out units."""
    rng = np.random.default_rng(0)
    columns, fold = rng.normal(size=(60, 5)) * [1, 5, 0.1, 1, 1], np.arange(60) % 4
    columns[:, 4] = 2.5  # says nothing
    targets = np.stack([columns[:, 0] + rng.normal(size=60), rng.normal(size=60)], axis=1)
    spread = np.where(columns.std(axis=0) > 0, columns.std(axis=0), 1)
    z = (columns - columns.mean(axis=0)) / spread

    def solved(rows, penalty):
        x = np.c_[np.ones(len(rows)), z[rows]]
        return np.linalg.solve(x.T @ x + penalty * np.diag([0, 1, 1, 1, 1, 1]), x.T @ targets[rows])

    left = np.empty((len(PENALTIES), 60, 2))
    for p, penalty in enumerate(PENALTIES):
        for k in range(4):
            left[p, fold == k] = np.c_[np.ones(15), z[fold == k]] @ solved(np.flatnonzero(fold != k), penalty)
    errors = ((left - targets) ** 2).sum(axis=1)
    for together in (False, True):
        best = np.full(2, errors.sum(axis=1).argmin()) if together else errors.argmin(axis=0)
        fit = ridge(columns, targets, fold, together=together)
        for t in range(2):
            np.testing.assert_allclose(fit.out_of_fold[:, t], left[best[t], :, t], atol=1e-9)
            wanted = np.c_[np.ones(60), z] @ solved(np.arange(60), PENALTIES[best[t]])[:, t]
            np.testing.assert_allclose(columns @ fit.coefficients[1:, t] + fit.coefficients[0, t], wanted, atol=1e-9)
    assert len(set(errors.argmin(axis=0))) == 2


def test_no_estimate_knows_its_unit():
    """Another label of one unit changes the estimates of all folds but its own."""
    rng = np.random.default_rng(1)
    columns, fold = rng.normal(size=(80, 3)), np.arange(80) % 5
    targets = rng.random((80, 1))
    changed = targets.copy()
    changed[7] += 0.01  # too little for another penalty
    before, after = (ridge(columns, t, fold).out_of_fold[:, 0] for t in (targets, changed))
    moved = np.abs(before - after) > 1e-9
    assert not moved[fold == fold[7]].any()
    assert moved[fold != fold[7]].all()


def test_evidence_in_another_order_is_the_same_numbers():
    _, said, sure = labelled()
    outputs = [Output(said[m], sure[m]) for m in COSTS]
    sources = [fitted_source(output) for output in outputs]
    every = members_evidence(sources, outputs)
    for order in itertools.permutations(range(3)):
        again = members_evidence([sources[i] for i in order], [outputs[i] for i in order])
        assert (again == every[:, reordered(sources, order)]).all()


def test_evidence_is_its_definition():
    _, said, sure = labelled(units=80)
    outputs = [Output(said[m], sure[m]) for m in COSTS]
    sources = [fitted_source(output, labelled=m < 2) for m, output in enumerate(outputs)]
    written = [source_json(source) for source in sources]
    expected = [
        deferral_by_units.evidence(written, [(output.label[i], output.confidence[i]) for output in outputs])
        for i in range(80)
    ]
    np.testing.assert_allclose(members_evidence(sources, outputs), expected, atol=1e-12)


@pytest.mark.parametrize(("fixture", "kind"), [("answers", "posterior"), ("rows", "rule"), ("rows", "weights")])
def test_answers_and_gains_do_not_depend_on_the_order_of_a_set(request, fixture, kind, monkeypatch):
    """All orders of three models in one stage answer alike, both orders of two before the third exit alike."""
    monkeypatch.setattr("wisecommittee.searches.policies.deferral.gains.ERRORS", -float("inf"))  # never by confidence
    store = request.getfixturevalue(fixture)
    problem, known, learned = everything_learned(store)
    (each,) = [each for each in learned if each.answers.kind == kind]
    never = float("inf")
    together = [
        units_of(problem, known, Point(each, chain, (never, never))) for chain in each.chains if len(chain) == 3
    ]
    assert all(units["prediction"].tolist() == together[0]["prediction"].tolist() for units in together)
    for first in itertools.combinations(range(3), 2):
        last = 3 - sum(first)
        median = float(np.sort(each.gains[first, (*first, last)].score)[N // 2])
        orders = [(*order, last) for order in itertools.permutations(first)]
        stages = [units_of(problem, known, Point(each, chain, (never, median)))["stage"] for chain in orders]
        assert stages[0].tolist() == stages[1].tolist()
        assert set(stages[0]) == {1, 2}


def units_of(problem, known, point):
    return evaluate_units(deferral.committee_at(problem.pool, known, point), problem.pool.store, "val")


def everything_learned(store, **options):
    """A problem, and what is learned about it, by the parts that the strategy is made of."""
    problem = problem_of(store, **options)
    pool, fold = problem.pool, deferral.folds_of(problem.pool.units)
    ordered = pool.combine.ordered
    known, learned = Known.of(member_arrays(pool), labelled=ordered), []
    for kind, tried in deferral.who_answers(problem, chains_of(problem), known, fold):
        gains = fit_gains(steps_of(pool, tried), kind, known, fold, 1, apart=not (ordered and kind.kind == "rule"))
        learned.append(Learned(tried, kind, gains))
    return problem, known, learned


def test_weights_are_chosen_by_greedy_selection_on_bootstrap_samples():
    """The definition, one bag after the other: counts that start at one for each member, STEPS additions, the best on
    the way; the mean of the bags' shares."""
    outputs, labels = logits(units=120)
    rows = [normalised_logs(values, "logits") for values in outputs.values()]
    parts = np.array([np.arange(120) % 3 != 0, np.ones(120, bool)])
    found = selected_weights(rows, labels, "logits", parts, seed=4)
    rng, expected = np.random.default_rng(4), []
    for part in parts:
        bags = []
        for _ in range(BAGS):
            drawn = rng.choice(np.flatnonzero(part), int(part.sum()))

            def right(counts, drawn=drawn):
                total = sum(np.float32(c) * row for c, row in zip(counts, rows, strict=True))
                return sum(int(total[i].argmax() == labels[i]) for i in drawn)

            counts = best = [1, 1, 1]
            for _ in range(STEPS):
                options = [[c + (m == n) for n, c in enumerate(counts)] for m in range(3)]
                counts = options[int(np.argmax([right(option) for option in options]))]
                best = counts if right(counts) > right(best) else best
            bags.append(np.array(best) / sum(best))
        expected.append(np.mean(bags, axis=0))
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert np.ptp(found, axis=1).min() > 0.05


def test_confidence_decides_where_nothing_else_is_known():
    """Gains that are noise, given the confidence: units exit in its order."""
    rng = np.random.default_rng(2)
    units, models = 600, 2
    labels = rng.integers(0, 2, units)
    sure = rng.random((models, units)).astype(np.float32)
    said = np.where(rng.random((models, units)) < 0.5 + sure / 2, labels, 1 - labels)
    store = answer_store(labels, said, sure)
    _, _, (rule, _) = everything_learned(store)
    for (models_now, _), gain in rule.gains.items():
        confidence = sure[models_now[-1]]
        assert (np.argsort(gain.score, kind="stable") == np.argsort(confidence, kind="stable")).all()


def answer_store(labels, said, sure, **costs):
    models = [
        naive.Model(
            f"m{m}", f"m{m}", 0, {f"m{m}": 10 * 3**m}, None, "answers", answers=[f"l{x}" for x in said[m]],
            stored_scores={"confidence": sure[m].tolist()}, **{name: value[m] for name, value in costs.items()},
        )
        for m in range(len(said))
    ]  # fmt: skip
    return MemoryStore(models, [f"l{y}" for y in labels])


def test_a_posterior_answers_what_no_member_says():
    """Two models that are never right, but together tell the label."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 400)
    said = np.stack([(labels + 1) % 3, (labels + 2) % 3])
    store = answer_store(labels, said, rng.random((2, 400)).astype(np.float32))
    committees = deferral.run(problem_of(store)).committees
    assert max(evaluated(committee, store).quality for committee in committees) == 1


def evaluated(committee, store):
    return evaluate_in(open_pool(store, "val", store.cards("val"), cost=committee.cost), [committee], 1)[0]


# ---- the search


@pytest.mark.parametrize("varying", [False, True])
def test_the_sweep_is_the_frontier_of_every_chain_and_every_vector_of_levels(varying):
    """By brute force over chains, kinds of answers and levels, with integers; ties everywhere."""
    rng = np.random.default_rng(5)
    labels, said, sure = labelled(units=90)
    costs = {"unit_costs": rng.integers(1, 6, (3, 90)).tolist()} if varying else {}
    store = answer_store(labels, [*said.values()], np.array([*sure.values()], np.float32), **costs)
    problem, _, learned = everything_learned(store, levels=7)
    pool = problem.pool
    assert sorted(learned[0].chains) == sorted(p for k in (1, 2, 3) for p in itertools.permutations(range(3), k))
    with problem.execution.mapper(None) as mapper:
        points, unfinished = best_thresholds(problem, learned, mapper)
    assert unfinished == 0
    alone = [pool.cost.stages([[m]])[0] * np.ones(pool.units, np.int64) for m in range(3)]
    every = {}
    for each in learned:
        for chain in each.chains:
            for thresholds, figures in vectors(each, chain, alone, levels=7):
                every.setdefault(figures, []).append((each.answers.kind, chain, thresholds))
    best, frontier = -1, []
    for cost, wrong in sorted((cost, -correct) for cost, correct in every):
        if -wrong > best:
            best = -wrong
            frontier.append((cost, best))
    assert [figures_of(point, alone) for point in points] == frontier
    for point, figures in zip(points, frontier, strict=True):
        assert (point.learned.answers.kind, point.chain, point.thresholds) in every[figures]


def vectors(learned, chain, alone, levels):
    scores = [learned.gains[step].score for step in itertools.pairwise(chain[:k] for k in range(1, len(chain) + 1))]
    options = []
    for score in scores:
        ordered = np.sort(score)
        at = [min(len(score) - 1, -(-j * len(score) // (levels - 1))) for j in range(levels - 1)]
        options.append([*ordered[at].tolist(), float("inf")])
    for thresholds in itertools.product(*options):
        yield thresholds, figures_of_vector(learned, chain, thresholds, alone)


def figures_of(point, alone):
    return figures_of_vector(point.learned, point.chain, point.thresholds, alone)


def figures_of_vector(learned, chain, thresholds, alone):
    """(cost, correct) summed over the units that the gains were not fitted to."""
    cost = correct = 0
    for i in range(len(alone[0])):
        for k in range(len(chain)):
            cost += int(alone[chain[k]][i])
            last = k == len(chain) - 1
            if last or learned.gains[chain[: k + 1], chain[: k + 2]].score[i] >= np.float32(thresholds[k]):
                correct += int(learned.answers.of(chain[: k + 1]).worth[i])
                break
    return cost, correct


def test_a_search_of_some_units_reads_no_others_and_threads_change_nothing(answers, rows):
    for store in (answers, rows):
        problem = problem_of(store)
        kept = np.arange(0, N, 2)
        some = deferral.run(problem.of_units(kept)).committees
        threaded = replace(problem, execution=Execution(threads=3)).of_units(kept)
        assert [c.to_json() for c in deferral.run(threaded).committees] == [c.to_json() for c in some]
        frontier = solve(problem, strategy_for(problem)).frontier
        assert frontier.searched["all_chains"]
        assert frontier.searched["combinations"] == 15


@pytest.mark.parametrize("units", [1, 2, 3, 7])
def test_a_few_units_are_enough_to_search(units):
    labels, said, sure = labelled(units=units)
    store = answer_store(labels, [*said.values()], np.array([*sure.values()], np.float32))
    assert all(evaluated(committee, store).n == units for committee in deferral.run(problem_of(store)).committees)
    outputs, labels = logits(units=units)
    models = [naive.Model(m, m, 0, {m: COSTS[m]}, values) for m, values in outputs.items()]
    store = MemoryStore(models, labels.tolist())
    assert all(evaluated(committee, store).n == units for committee in deferral.run(problem_of(store)).committees)


def test_deferral_beats_thresholds_on_new_units(answers, tmp_path):
    """Models that know different labels: on units that chose nothing, at the cost of the dearest threshold cascade."""
    labels, said, sure = labelled(seed=9, units=4000)
    for model in COSTS:
        card = ModelCard(model, kind="answers", costs={"usd": COSTS[model]})
        text = [f"l{label}" for label in said[model]]
        answers.add(card, "test", labels=[f"l{y}" for y in labels], answers=text, scores={"confidence": sure[model]})
    quality = {}
    for policy in ("thresholds", "deferral"):
        chosen = wc.search(answers, policy=policy, threads=1).within(average_cost=60)
        e = evaluate(chosen.committee, answers, "test")
        assert e.average_cost <= 62
        quality[policy] = e.quality
    assert quality["deferral"] > quality["thresholds"] + 0.03


def test_large_pools_try_the_chains_that_thresholds_favour(monkeypatch, rows):
    monkeypatch.setattr("wisecommittee.searches.policies.deferral.chains.MOST_CHAINS", 5)
    problem = problem_of(rows)
    chains = chains_of(problem)
    assert not chains.complete
    assert set(chains.favoured) <= set(chains.every)
    assert {c[:1] for c in chains.favoured} <= set(chains.favoured)
    points = wc.search(rows, threads=1)
    assert {tuple(problem.pool.index(m) for m in e.committee.models) for e in points} <= set(chains.every)


# ---- wrong files and wrong questions


def test_the_command_writes_a_committee_that_evaluates(run, answers, tmp_path):
    store, file = tmp_path / "answers", tmp_path / "committee.json"
    code, out, _ = run(
        "search", "--store", store, "--policy", "deferral", "--target-cost", 50, "--save", file, "--json"
    )
    assert code == 0
    committee = json.loads(out)["committee"]
    assert (committee["policy"]["kind"], committee["thresholds"]) == ("deferral", None)
    code, out, _ = run("evaluate", file, "--store", store, "--split", "val", "--json")
    assert code == 0
    assert json.loads(out)["correct"] > 0


def test_one_model_has_nobody_to_defer_to(answers):
    for options in ({"models": ("a",)}, {"max_models": 1}):
        with pytest.raises(UsageError, match="it needs two or more"):
            wc.search(answers, policy="deferral", **options)


@pytest.fixture
def written(answers):
    return of_kind(searched(answers)[1], "posterior").policy.to_json()


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("sizes",), [1, 1, 3], "ascending"),
        (("sizes",), [1, True, 3], "whole numbers"),
        (("sizes",), [1, 2, 4], "3 members"),
        (("thresholds", 0), float("nan"), "finite"),
        (("thresholds",), [0.5], "1 thresholds"),
        (("gains", 0, 3), "x", "finite"),
        (("gains", 1), [0.5], "1 coefficients"),
        (("gains",), 3, "expected a list"),
        (("members", 0, "knots"), [0.5, 0.5], "ascending"),
        (("members", 0, "knots"), [], "at least one"),
        (("members", 1, "labels"), ["b", "a"], "ascending"),
        (("members", 1, "labels"), ["a", 1], "classes or texts"),
        (("members", 1), {"knots": [1.0]}, '"knots" and "labels"'),
        (("answered",), [], "coefficients"),
        (("answering", "kind"), "nobody", "rule, posterior, weights"),
        (("answering", "kind"), "rule", "answer of kind 'rule'"),
        (("answering", "classes"), [], "at least one class"),
        (("answering", "coefficients", 0), [[0.1, 0.2, 0.3, 0.4]], "rows"),
        (("answering", "coefficients", 0, 0), [0.1], "1 labels; expected 4"),
        (("answering",), {"kind": "weights", "mean": "logits", "weights": [[1.0], [1, 0], [0, 0, 0]]}, "above 0"),
        (("answering",), {"kind": "weights", "mean": "logits", "weights": [[1.0], [1, 0], [1, 0]]}, "2"),
        (("answering",), {"kind": "weights", "mean": "medians", "weights": [[1.0]]}, "medians"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(written, path, value, message):
    place = written
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    with pytest.raises(CommitteeError, match=message):
        policy_from_json(written)


def test_a_policy_for_other_stages_is_refused(written):
    with pytest.raises(CommitteeError, match="members after each stage"):
        Committee((("a", "b"), ("c",)), policy_from_json(written), "confidence", "last", cost="usd")

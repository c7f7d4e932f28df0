"""Beam and greedy search: counts against the oracle, envelopes against brute force and the exhaustive search."""

from __future__ import annotations

import itertools
import threading
from dataclasses import replace
from fractions import Fraction

import naive
import numpy as np
import pytest
from agree import agree
from hypothesis import given
from hypothesis import strategies as st
from pools import MemoryStore, cases, first_units, for_rule, joint_pools, pools, product_scores, realistic

from wisecommittee.committees.families import family_named
from wisecommittee.errors import UsageError
from wisecommittee.kernels.envelope import Envelope, steps
from wisecommittee.kernels.sweeps.beam import Lead
from wisecommittee.searches.heuristic import beam
from wisecommittee.searches.heuristic.batch import Stages, level_indices
from wisecommittee.searches.heuristic.greedy import Greedy, greedy_points
from wisecommittee.searches.heuristic.incumbents import Incumbents
from wisecommittee.searches.heuristic.neighbours import Neighbours, moved
from wisecommittee.searches.heuristic.space import SearchSpace
from wisecommittee.searches.heuristic.threshold_sweeps import Cells, JointSweep
from wisecommittee.searches.search import search
from wisecommittee.searches.stages.exit_table import assemble
from wisecommittee.searches.stages.pool import open_pool
from wisecommittee.searches.stages.prefixes import build_prefixes
from wisecommittee.searches.stages.stage_tables import correct_key, stage_tables

CASES = cases(30)
METHODS = st.sampled_from(["beam", "greedy"])


def beam_points(space, levels=100, **options):
    return beam.beam_points(space, levels, **options)


def scope_of(pool, max_models=3, *, replicas="canonical", **options):
    """The cascades of a pool without tiers."""
    cascade = family_named("cascade")
    neighbours = Neighbours.over(cascade.chains(pool.cards, replicas), len(pool.cards))
    return SearchSpace(pool.with_tiers(cascade.tiers(pool.cards, replicas)), neighbours, max_models, **options)


def open_all(store, **options):
    return open_pool(store, "val", store.cards("val"), **options)


def counts(pool, models, labels, points, combine="mean_logits", confidence="max_prob"):
    """(total cost, correct) of each point by the oracle."""
    scores = product_scores(pool)
    out = []
    for sequence, values in points:
        tiers = tiers_of(pool, models, sequence)
        result = naive.evaluate(tiers, values, labels, combine, confidence, scores=scores, carried=True)
        out.append((result.total_cost, result.correct))
    return out


def tiers_of(pool, models, sequence):
    """The stages of the oracle."""
    by_name = {m.name: m for m in models}
    return tuple(tuple(by_name[pool.cards[m].model] for m in pool.members((tier,))) for tier in sequence)


def array_counts(pool, points):
    """The same from the committee's exit table, for pools the oracle is too slow for."""
    out = []
    for sequence, values in points:
        keys = [correct_key(pool, sequence[: k + 1]) for k in range(len(sequence))]
        trie = build_prefixes(keys)
        scored = np.zeros(len(trie), bool)
        scored[[trie.find[key] for key in keys]] = True
        made = stage_tables(pool, trie, scored)
        table = assemble(made, [(m,) for m in sequence])
        leaves = np.vstack([table.score[:-1] >= np.array(values, np.float32)[:, None], np.ones((1, pool.units), bool)])
        stage = leaves.argmax(axis=0)
        correct = int(table.stats[stage, np.arange(pool.units), 0].sum())
        out.append((int(table.cost[stage].sum()), correct))
    return out


def behind(points, others):
    """At each of `others` (cost, correct), how many more it has correct than the best point of at most its cost."""
    return [correct - max((c for p, c in points if p <= cost), default=0) for cost, correct in others]


def rising(points):
    return all(a[0] < b[0] and a[1] < b[1] for a, b in itertools.pairwise(points))


@CASES
@given(
    pools(),
    st.integers(1, 4),
    st.sampled_from(["max_prob", "logit_gap", "confidence"]),
    st.sampled_from(["canonical", "all"]),
    st.sampled_from([None, None, 4, 7]),
    METHODS,
)
def test_never_above_brute_force(pool, max_models, confidence, replicas, max_worst, method):
    options = {"confidence": confidence, "replicas": replicas, "max_worst_cost": max_worst, "method": method}
    agree(first_units(pool, 8) if max_models == 4 else pool, max_models=max_models, **options)


@CASES
@given(
    joint_pools(),
    st.integers(1, 3),
    st.sampled_from(["mean_logits", "mean_probs", "last"]),
    st.sampled_from(["canonical", "all"]),
    st.sampled_from([None, None, 4, 7]),
    METHODS,
)
def test_tiers_are_never_above_brute_force(pool, max_models, combine, replicas, max_worst, method):
    """One or two groups whose members join several at a time; the beam's two stages are exact."""
    options = {"combine": combine, "replicas": replicas, "max_worst_cost": max_worst, "method": method}
    agree((for_rule(pool[0], combine), pool[1]), max_models=max_models, **options)


@CASES
@given(st.one_of(pools(), pools("answers")), st.integers(2, 3), METHODS)
def test_newest_member_answers(pool, max_models, method):
    agree(pool, max_models=max_models, combine="last", confidence="confidence", method=method)


@CASES
@given(pools(), st.sampled_from(["max_prob", "confidence"]), st.sampled_from(["canonical", "all"]))
def test_pairs_are_exact(pool, confidence, replicas):
    agree(pool, max_models=2, confidence=confidence, replicas=replicas, method="beam")


@CASES
@given(st.one_of(joint_pools(), pools()), st.sampled_from(["canonical", "all"]))
def test_pairs_are_reported_as_the_exact_search_reports_them(pool, replicas):
    """Committees, ties included: tiers of groups, costs that vary per unit."""
    options = {"max_models": 2, "replicas": replicas, "threads": 2}
    store = MemoryStore(*pool)
    assert search(store, method="beam", **options).evaluations == search(store, exact=True, **options).evaluations


def small_pool(seed, units=40, models=5):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, units)
    made = []
    for m in range(models):
        logits = rng.normal(size=(units, 3)).astype(np.float32)
        logits[np.arange(units), labels] += np.float32(0.3 + 0.3 * m)
        made.append(naive.Model(f"m{m}", f"m{m}", 0, {f"m{m}": int(rng.integers(1, 4)) * 2**m}, logits))
    return made, labels.tolist()


def test_beam_usually_equals_the_proved_optimum():
    met = 0
    for seed in range(12):
        models, labels = small_pool(seed)
        store = MemoryStore(models, labels)
        exact = search(store, max_models=3, levels=10, exact=True, threads=1)
        best = [(round(e.average_cost * len(labels)), int(e.correct)) for e in exact]
        pool = open_all(store)
        found = counts(pool, models, labels, beam_points(scope_of(pool)).points)
        assert all(lacking <= 0 for lacking in behind(best, found))
        assert max(behind(found, best)) <= 1
        met += found == best
    assert met >= 8


@pytest.mark.parametrize(("models", "max_models", "width"), [(14, 3, 64), (10, 4, 64)])
def test_beam_is_within_a_thousandth_of_the_exhaustive_search(models, max_models, width):
    store = realistic(2000, models=models, seed=models)
    for m in store._models.values():  # costs closer together than powers of three
        m.blocks[m.name] = round(100 * 1.4 ** int(m.name[1:]))
    grid = search(store, max_models=max_models, levels=100, method="exhaustive", threads=2)
    pool = open_all(store)
    outcome = beam_points(scope_of(pool, max_models, threads=2), width=width)
    scale = Fraction(pool.units) / pool.cost.unit
    best = [(round(Fraction(e.average_cost) * scale), int(e.correct)) for e in grid]
    found = array_counts(pool, outcome.points)
    assert rising(found)
    assert max(behind(found, best)) <= pool.units // 1000
    assert outcome.combinations <= grid.searched["combinations"]
    quick = array_counts(pool, greedy_points(scope_of(pool, max_models)).points)
    assert rising(quick)
    exact = search(store, max_models=max_models, levels=20, exact=True, threads=2) if max_models == 3 else None
    if exact is not None:
        proved = [(round(Fraction(e.average_cost) * scale), int(e.correct)) for e in exact]
        assert all(lacking <= 0 for lacking in behind(proved, quick))
        assert all(lacking <= 0 for lacking in behind(proved, found))


@pytest.mark.parametrize("width", [20, 1000])
def test_claimed_counts_are_the_evaluators(width):
    """Longer cascades than the kernel sweeps jointly keep earlier thresholds as states."""
    models, labels = small_pool(3, units=200, models=6)
    pool = open_all(MemoryStore(models, labels))
    incumbents = Incumbents(scope_of(pool, 6, threads=2))
    beam.fill(incumbents, level_indices(pool.units, 8), width)
    points, at = incumbents.outcome().points, steps(incumbents.cost)
    assert counts(pool, models, labels, points) == list(zip(incumbents.cost[at].tolist(), at.tolist(), strict=True))
    assert max(len(sequence) for sequence, _ in points) > 4


def test_extensions_that_stay_behind_are_still_grown_where_all_fit():
    """A model that is never right, first in every long cascade: no state of it is worth keeping."""
    models, labels = small_pool(3, units=60, models=5)
    wrong = np.zeros((60, 3), np.float32)
    wrong[np.arange(60), (np.array(labels) + 1) % 3] = 9
    models.append(naive.Model("z", "z", 0, {"z": 1000}, wrong))
    pool = open_all(MemoryStore(models, labels))
    assert rising(counts(pool, models, labels, beam_points(scope_of(pool, 6), width=5000).points))


def graded_pool(units=60, models=5):
    rng = np.random.default_rng(5)

    class Graded(MemoryStore):
        def card(self, model, split):
            card = super().card(model, split)
            return replace(card, contents=replace(card.contents, graded=True))

        def quality(self, model, split):
            return grades[model]

    made, grades = [], {}
    for m in range(models):
        grades[f"m{m}"] = (rng.integers(0, 11, units) / 10).astype(np.float32)
        scores = {"confidence": (grades[f"m{m}"] + rng.normal(size=units)).astype(np.float32).tolist()}
        made.append(
            naive.Model(
                f"m{m}", f"m{m}", 0, {f"m{m}": 2**m}, kind="answers", answers=["a"] * units, stored_scores=scores
            )
        )
    return Graded(made, ["a"] * units)


def test_graded_quality():
    store = graded_pool()
    pool = open_all(store)
    assert pool.task.scale == 10
    exact = search(store, max_models=3, levels=100, exact=True, threads=1)
    best = [(round(e.average_cost * pool.units), round(e.correct * 10)) for e in exact]
    for find in (beam_points, greedy_points):
        found = array_counts(pool, find(scope_of(pool)).points)
        assert rising(found)
        assert all(lacking <= 0 for lacking in behind(best, found))
        assert find is greedy_points or max(behind(found, best)) <= 10


@pytest.mark.parametrize("levels", [2, 7, 30])
def test_the_grid_of_graded_quality_equals_every_vector(levels):
    store = graded_pool(units=70, models=4)
    names = store.models("val")
    grade = {m: np.rint(store.quality(m, "val").astype(np.float64) * 10).astype(np.int64) for m in names}
    score = {m: store.scores(m, "val", "confidence") for m in names}
    price = {m: 2**i for i, m in enumerate(names)}
    below = {m: [score[m] < t for t in naive.levels(score[m].tolist(), levels)] for m in names}
    most: dict[int, int] = {}
    for size in (1, 2, 3):
        for sequence in itertools.permutations(names, size):
            for goes_on in itertools.product(*(below[m] for m in sequence[:-1])):
                here, cost, total = np.ones(70, bool), 0, 0
                for m, more in zip(sequence, (*goes_on, np.zeros(70, bool)), strict=True):
                    cost += price[m] * int(here.sum())
                    total += int(grade[m][here & ~more].sum())
                    here = here & more
                most[cost] = max(total, most.get(cost, 0))
    frontier = sorted(most.items())
    best = np.maximum.accumulate([total for _, total in frontier])
    expected = [point for point, before in zip(frontier, [-1, *best[:-1]], strict=True) if point[1] > before]
    found = search(store, max_models=3, levels=levels, threads=2)
    assert [(round(e.average_cost * 70), round(e.correct * 10)) for e in found] == expected


@pytest.mark.parametrize("find", [beam_points, greedy_points])
def test_same_points_for_any_threads_and_order_of_import(find):
    models, labels = small_pool(1, units=300, models=8)
    first = None
    for threads, order in ((1, models), (2, models[::-1]), (3, models[3:] + models[:3])):
        pool = open_all(MemoryStore(order, labels))
        found = find(scope_of(pool, 4, threads=threads))
        first = first or found
        assert found == first


def test_same_points_for_any_division_into_batches(monkeypatch):
    from wisecommittee.searches.heuristic import batch

    models, labels = small_pool(1, units=300, models=8)
    pool = open_all(MemoryStore(models, labels))
    for find in (beam_points, greedy_points):
        whole = find(scope_of(pool, 4))
        with monkeypatch.context() as patch:
            patch.setattr(batch, "BATCH_BYTES", 100_000)
            assert find(scope_of(pool, 4)).points == whole.points


def test_ties_go_to_fewer_members_then_names():
    """Equal models at equal cost: the first name; a second member that changes nothing is not added."""
    models, labels = small_pool(2, models=1)
    one = models[0]
    twins = [naive.Model(name, name, 0, {name: 4}, one.outputs) for name in ("c", "a", "b")]
    pool = open_all(MemoryStore(twins, labels))
    for find in (beam_points, greedy_points):
        assert find(scope_of(pool)).points == [((0,), ())]


@pytest.mark.parametrize("find", [beam_points, greedy_points])
def test_stop_returns_what_there_is(find):
    models, labels = small_pool(4, units=200, models=8)
    pool = open_all(MemoryStore(models, labels))
    stop = threading.Event()
    stop.set()
    stopped = find(scope_of(pool, stop=stop))
    assert rising(counts(pool, models, labels, stopped.points))
    whole = find(scope_of(pool))
    assert stopped.combinations < whole.combinations
    stop = threading.Event()
    seen = []

    def progress(task, done, total):
        seen.append((task, done, total))
        stop.set()

    some = counts(pool, models, labels, find(scope_of(pool, progress=progress, stop=stop)).points)
    assert seen
    assert rising(some)
    assert all(lacking <= 0 for lacking in behind(counts(pool, models, labels, whole.points), some)) or (
        find is greedy_points
    )


def test_wrong_requests_name_the_remedy():
    models, labels = small_pool(0)
    with pytest.raises(UsageError, match="at least 1"):
        beam_points(scope_of(open_all(MemoryStore(models, labels))), width=0)


def test_neighbours_are_sequences_of_the_family():
    names = [("a", 0), ("a", 1), ("b", 0), *(("g", place) for place in range(7))]
    models = [
        naive.Model(f"{a}/{r}", a, r, {f"{a}/{r}": 1}, np.zeros((2, 2), "f4"), **joint)
        for a, r in names
        for joint in [{"group": a, "position": r} if a == "g" else {}]
    ]
    for replicas, some in itertools.product(("canonical", "all"), (models[:3], models, models[2:])):
        space = scope_of(open_all(MemoryStore(some, [0, 1])), replicas=replicas)
        neighbours = space.neighbours
        index = {tiers_of(space.pool, models, (t,))[0]: t for t in range(len(space.pool.tiers or some))}
        every = {tuple(index[tier] for tier in c) for c in naive.tier_walks(some, 3, replicas)}
        for sequence in every:
            found = {s for s, _, _ in neighbours.of(sequence, 3)}
            assert found <= every
            if len(sequence) > 1:
                assert {s for s in every if s[:-1] == sequence[:-1]} <= found
        assert {(*h, t) for h in every | {()} if len(h) < 3 for t in neighbours.extensions(h)} == every
    assert moved((3, 5), 1, 1, 9) == (3, 5, 5)
    assert moved((3, 5), 2, 1, 9) == (3, 5, 9)
    assert moved((3, 5), 0, -1, 9) == (5,)


@pytest.mark.parametrize("varying", [False, True])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6])
def test_joint_sweep_equals_every_cell(size, varying):
    """The kernel and the thresholds fixed before it, against the oracle at every vector it stands for."""
    models, labels = small_pool(size, units=30, models=7)
    if varying:
        rng = np.random.default_rng(size)
        models = [replace(m, blocks={}, unit_costs=rng.integers(0, 4, 30).tolist()) for m in models]
    pool = open_all(MemoryStore(models, labels))
    head = (3, 0, 5, 1, 6)[: size - 1]
    used = [(9, 14, 2, 2), (20, 30, 2, 2), (9, 14, 4, 4)]  # of which the first size - 4 count
    stages = Stages(pool, [head[:k] for k in range(1, size)], [(*head, m) for m in (2, 4)], 1)
    cells = Cells.of(head, 30, [level_indices(30, 4)] * 3, used)
    assert len(cells.states) == (2 if size > 4 else 1)
    envelope = Envelope.empty(30)
    ahead = np.full((2, 2), -99, np.int64)
    lead = Lead(np.zeros(4, np.int64), 0, np.array([0, 0, 1, 1]), ahead, ahead.copy())
    JointSweep(stages, scope_of(pool).extensions(head, [2, 4]), cells, lead).count(np.arange(2), envelope)
    best = np.full(31, np.iinfo(np.int64).max, np.int64)
    points = []
    for m in (2, 4):
        for cell in range(len(cells)):
            below = cells.below(cell)
            values = tuple(stages.value(head[: k + 1], b) for k, b in enumerate(below))
            points.append(((*head, m), values))
    scores = product_scores(pool)
    results = [
        naive.evaluate(tiers_of(pool, models, s), values, labels, "mean_logits", "max_prob", scores, carried=True)
        for s, values in points
    ]
    every = [(r.total_cost // int(pool.cost.unit), r.correct) for r in results]
    for cost, correct in every:
        best[: correct + 1] = np.minimum(best[: correct + 1], cost)
    assert lead.ahead.max() == max(correct for _, correct in every)
    at = steps(envelope.cost)
    decoded = [every[int(envelope.rank[a]) * len(cells) + int(envelope.level[a])] for a in at]
    assert decoded == list(zip(envelope.cost[at].tolist(), at.tolist(), strict=True))
    # Cells where nobody reaches the last member are left to the shorter cascades.
    some = np.full(31, np.iinfo(np.int64).max, np.int64)
    for (cost, correct), result in zip(every, results, strict=True):
        if result.exits[-1]:
            some[: correct + 1] = np.minimum(some[: correct + 1], cost)
    assert (envelope.cost <= some).all()
    assert (envelope.cost >= best).all()


def test_greedy_answers_as_many_as_the_target_allows():
    """Ties are answered together or not at all; the reference is right everywhere."""
    scores = [5.0, 4.0, 4.0, 4.0, 3.0, 2.0]
    answers = ["a", "b", "b", "a", "a", "a"]  # 1/1, then 2/4 with the tie, 3/5, 4/6
    models = [
        naive.Model("m0", "m0", 0, {"m0": 1}, kind="answers", answers=answers, stored_scores={"confidence": scores}),
        naive.Model("m1", "m1", 0, {"m1": 9}, kind="answers", answers=["a"] * 6, stored_scores={"confidence": scores}),
    ]
    pool = open_all(MemoryStore(models, ["a"] * 6))
    greedy = Greedy(scope_of(pool))
    states = {round(s.target, 6): s for s in greedy.start()}
    stages = Stages(pool, [(0,)], (), 1)
    state = next(iter(states.values()))
    found = [greedy._threshold(replace(state, target=t), stages, (0,)) for t in (0.5, 0.62, 2 / 3, 0.7, 1.01)]
    assert found == [(6, 2.0), (6, 2.0), (6, 2.0), (1, 5.0), (0, float("inf"))]

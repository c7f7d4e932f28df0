"""Beam and greedy search: counts against the oracle, envelopes against brute force and the exhaustive search."""

from __future__ import annotations

import itertools
import threading
from dataclasses import replace
from fractions import Fraction

import naive
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from memory import MemoryStore, pools
from test_exact import realistic
from test_search import product_scores

from wisecommittee.errors import InfeasibleError, UsageError
from wisecommittee.search import tables
from wisecommittee.search.beam import BeamSearch, beam_points
from wisecommittee.search.exhaustive import corners
from wisecommittee.search.greedy import Greedy, greedy_points
from wisecommittee.search.moves import Slots, moved
from wisecommittee.search.search import search
from wisecommittee.search.stages import Stages

CASES = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
OPTIONS = {"max_models": 3, "levels": 100, "replicas": "canonical", "max_worst": None, "threads": 1, "progress": None}


def open_all(store, **options):
    return tables.open_pool(store, "val", store.cards("val"), **options)


def counts(pool, models, labels, points, combine="mean_logits", confidence="max_prob"):
    """(total cost, correct) of each point by the oracle."""
    by_name = {m.name: m for m in models}
    scores = product_scores(pool)
    out = []
    for sequence, values in points:
        stages = [[by_name[pool.cards[m].model]] for m in sequence]
        result = naive.evaluate(stages, values, labels, combine, confidence, scores=scores)
        out.append((result.total_cost, result.correct))
    return out


def array_counts(pool, points):
    """The same from the committee's exit table, for pools the oracle is too slow for."""
    out = []
    for sequence, values in points:
        keys = [tables.correct_key(pool, sequence[: k + 1]) for k in range(len(sequence))]
        trie = tables.build_prefixes(keys)
        scored = np.zeros(len(trie), bool)
        scored[[trie.find[key] for key in keys]] = True
        made = tables.stage_tables(pool, trie, scored)
        table = tables.assemble(pool, made, [(m,) for m in sequence])
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


def check_against_brute_force(
    models, labels, *, max_models, combine, confidence, replicas="canonical", max_worst=None, find=beam_points
):
    """Nothing found may beat the optimum over all thresholds; returns whether it was met everywhere."""
    store = MemoryStore(models, labels)
    pool = open_all(store, combine=combine, confidence=confidence)
    options = {**OPTIONS, "max_models": max_models, "replicas": replicas, "stop": threading.Event()}
    expected = naive.search(
        models, labels, max_models, len(labels) + 1, combine, confidence, replicas, max_worst, product_scores(pool)
    )
    limit = None if max_worst is None else pool.cost.ceiling(max_worst)
    if not expected:
        with pytest.raises(InfeasibleError, match="cheapest model costs"):
            find(pool, **{**options, "max_worst": limit})
        return True
    points, about = find(pool, **{**options, "max_worst": limit})
    assert about["certified"] is False
    allowed = {tuple(m.name for m in c) for c in naive.combinations(models, max_models, replicas)}
    assert all(tuple(pool.cards[m].model for m in sequence) in allowed for sequence, _ in points)
    if limit is not None:
        assert all(pool.cost.worst(np.array([sequence]))[0] <= limit for sequence, _ in points)
    found = counts(pool, models, labels, points, combine, confidence)
    assert rising(found)
    best = [(p.total_cost, p.correct) for p in expected]
    assert all(lacking <= 0 for lacking in behind(best, found))
    return found == best


@CASES
@given(
    pools(per_unit=False),
    st.integers(1, 4),
    st.sampled_from(["max_prob", "logit_gap", "confidence"]),
    st.sampled_from(["canonical", "all"]),
    st.sampled_from([None, None, 4, 7]),
    st.sampled_from([beam_points, greedy_points]),
)
def test_never_above_brute_force(pool, max_models, confidence, replicas, max_worst, find):
    models, labels = pool
    if max_models == 4:
        labels = labels[:8]
        models = [_first(m, len(labels)) for m in models]
    check_against_brute_force(
        models, labels, max_models=max_models, combine="mean_logits", confidence=confidence, replicas=replicas,
        max_worst=max_worst, find=find,
    )  # fmt: skip


def _first(m, units):
    scores = {name: values[:units] for name, values in m.stored_scores.items()}
    return naive.Model(m.name, m.architecture, m.replica, m.blocks, m.outputs[:units], m.kind, stored_scores=scores)


@CASES
@given(
    st.sampled_from(["last", "answers"]).flatmap(
        lambda k: st.tuples(st.just(k), pools("answers" if k == "answers" else "logits", per_unit=False))
    ),
    st.integers(2, 3),
    st.sampled_from([beam_points, greedy_points]),
)
def test_newest_member_answers(case, max_models, find):
    _, (models, labels) = case
    check_against_brute_force(
        models, labels, max_models=max_models, combine="last", confidence="confidence", find=find
    )  # fmt: skip


@CASES
@given(pools(per_unit=False), st.sampled_from(["max_prob", "confidence"]), st.sampled_from(["canonical", "all"]))
def test_pairs_are_exact(pool, confidence, replicas):
    assert check_against_brute_force(
        *pool, max_models=2, combine="mean_logits", confidence=confidence, replicas=replicas
    )


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
        points, _ = beam_points(pool, **OPTIONS, stop=threading.Event())
        found = counts(pool, models, labels, points)
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
    points, about = beam_points(
        pool, **{**OPTIONS, "max_models": max_models, "threads": 2}, stop=threading.Event(), width=width
    )
    scale = Fraction(pool.units) / pool.cost.unit
    best = [(round(Fraction(e.average_cost) * scale), int(e.correct)) for e in grid]
    found = array_counts(pool, points)
    assert rising(found)
    assert max(behind(found, best)) <= pool.units // 1000
    assert about["combinations"] <= grid.searched["combinations"]
    greedy, _ = greedy_points(pool, **{**OPTIONS, "max_models": max_models}, stop=threading.Event())
    quick = array_counts(pool, greedy)
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
    beam = BeamSearch(pool, 6, 8, "canonical", None, 2, None, threading.Event())
    beam.run(width)
    at = corners(beam.cost)
    assert counts(pool, models, labels, beam.points()) == list(zip(beam.cost[at].tolist(), at.tolist(), strict=True))
    assert max(len(sequence) for sequence, _ in beam.points()) > 4


def test_extensions_that_stay_behind_are_still_grown_where_all_fit():
    """A model that is never right, first in every long cascade: no state of it is worth keeping."""
    models, labels = small_pool(3, units=60, models=5)
    wrong = np.zeros((60, 3), np.float32)
    wrong[np.arange(60), (np.array(labels) + 1) % 3] = 9
    models.append(naive.Model("z", "z", 0, {"z": 1000}, wrong))
    pool = open_all(MemoryStore(models, labels))
    points, _ = beam_points(pool, **{**OPTIONS, "max_models": 6}, stop=threading.Event(), width=5000)
    assert rising(counts(pool, models, labels, points))


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
        points, _ = find(pool, **OPTIONS, stop=threading.Event())
        found = array_counts(pool, points)
        assert rising(found)
        assert all(lacking <= 0 for lacking in behind(best, found))
    assert max(behind(array_counts(pool, beam_points(pool, **OPTIONS, stop=threading.Event())[0]), best)) <= 10


@pytest.mark.parametrize("find", [beam_points, greedy_points])
def test_same_points_for_any_threads_and_order_of_import(find):
    models, labels = small_pool(1, units=300, models=8)
    options = {**OPTIONS, "max_models": 4}
    first = None
    for threads, order in ((1, models), (2, models[::-1]), (3, models[3:] + models[:3])):
        pool = open_all(MemoryStore(order, labels))
        found = find(pool, **{**options, "threads": threads}, stop=threading.Event())
        first = first or found
        assert found == first


def test_same_points_for_any_division_into_batches(monkeypatch):
    from wisecommittee.search import stages

    models, labels = small_pool(1, units=300, models=8)
    pool = open_all(MemoryStore(models, labels))
    options = {**OPTIONS, "max_models": 4}
    for find in (beam_points, greedy_points):
        whole = find(pool, **options, stop=threading.Event())
        with monkeypatch.context() as patch:
            patch.setattr(stages, "BATCH_BYTES", 100_000)
            assert find(pool, **options, stop=threading.Event())[0] == whole[0]


def test_ties_go_to_fewer_members_then_names():
    """Equal models at equal cost: the first name; a second member that changes nothing is not added."""
    models, labels = small_pool(2, models=1)
    one = models[0]
    twins = [naive.Model(name, name, 0, {name: 4}, one.outputs) for name in ("c", "a", "b")]
    pool = open_all(MemoryStore(twins, labels))
    for find in (beam_points, greedy_points):
        points, _ = find(pool, **OPTIONS, stop=threading.Event())
        assert points == [((0,), ())]


@pytest.mark.parametrize("find", [beam_points, greedy_points])
def test_stop_returns_what_there_is(find):
    models, labels = small_pool(4, units=200, models=8)
    pool = open_all(MemoryStore(models, labels))
    stop = threading.Event()
    stop.set()
    points, about = find(pool, **OPTIONS, stop=stop)
    assert rising(counts(pool, models, labels, points))
    whole, everything = find(pool, **OPTIONS, stop=threading.Event())
    assert about["combinations"] < everything["combinations"]
    stop = threading.Event()
    seen = []

    def progress(task, done, total):
        seen.append((task, done, total))
        stop.set()

    points, _ = find(pool, **{**OPTIONS, "progress": progress}, stop=stop)
    some = counts(pool, models, labels, points)
    assert seen
    assert rising(some)
    assert all(lacking <= 0 for lacking in behind(counts(pool, models, labels, whole), some)) or find is greedy_points


def test_costs_per_unit():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 20).tolist()
    costly = [
        naive.Model(
            f"m{m}", f"m{m}", 0, {}, rng.normal(size=(20, 3)).astype("f4"), unit_costs=rng.integers(1, 4, 20).tolist()
        )
        for m in range(3)
    ]
    pool = open_all(MemoryStore(costly, labels))
    with pytest.raises(UsageError, match="same for every unit"):
        beam_points(pool, **OPTIONS, stop=threading.Event())
    points, _ = greedy_points(pool, **OPTIONS, stop=threading.Event())
    assert rising(counts(pool, costly, labels, points))


def test_wrong_requests_name_the_remedy():
    models, labels = small_pool(0)
    pool = open_all(MemoryStore(models, labels))
    with pytest.raises(UsageError, match="canonical or all"):
        beam_points(pool, **{**OPTIONS, "replicas": "some"}, stop=threading.Event())
    with pytest.raises(UsageError, match="at least 1"):
        beam_points(pool, **OPTIONS, stop=threading.Event(), width=0)


def test_neighbours_are_sequences_of_the_family():
    names = [("a", 0), ("a", 1), ("b", 0), ("c", 0)]
    models = [naive.Model(f"{a}/{r}", a, r, {f"{a}/{r}": 1}, np.zeros((2, 2), "f4")) for a, r in names]
    pool = open_all(MemoryStore(models, [0, 1]))
    for replicas in ("canonical", "all"):
        slots = Slots.of(pool, replicas)
        every = {tuple(pool.index(m.name) for m in c) for c in naive.combinations(models, 3, replicas)}
        for sequence in every:
            found = {s for s, _, _ in slots.neighbours(sequence, 3)} - {()}
            assert found <= every
        assert {(*h, m) for h in every | {()} if len(h) < 3 for m in slots.extensions(h)} == every
    assert moved((3, 5), 1, 1, 9) == (3, 5, 5)
    assert moved((3, 5), 2, 1, 9) == (3, 5, 9)
    assert moved((3, 5), 0, -1, 9) == (5,)


@pytest.mark.parametrize("size", [2, 3, 4, 5, 6])
def test_joint_sweep_equals_every_cell(size):
    """The kernel and the thresholds fixed before it, against the oracle at every vector it stands for."""
    models, labels = small_pool(size, units=30, models=7)
    pool = open_all(MemoryStore(models, labels))
    search_ = BeamSearch(pool, size, 4, "canonical", None, 1, None, threading.Event())
    head = (3, 0, 5, 1, 6)[: size - 1]
    states = [(9, 14)[: max(0, size - 4)], (20, 30)[: max(0, size - 4)]]
    task = search_._task(head, [2, 4], states)
    stages = Stages(pool, [head[:k] for k in range(1, size)], [(*head, m) for m in (2, 4)], 1)
    levels = search_._levels(task)
    envelope = (
        np.full(31, np.iinfo(np.int64).max, np.int64),
        np.full(31, -1, np.int64),
        np.full(31, -1, np.int64),
    )
    lead = np.full((2, 16), -99, np.int64)
    scale = (np.zeros(4, np.int64), 0, np.array([0, 0, 1, 1]))
    search_._extend(task, stages, levels, np.arange(2), scale, lead, lead.copy(), envelope)
    best = np.full(31, np.iinfo(np.int64).max, np.int64)
    cells = 4 ** len(levels) * len(task.states)
    points = []
    for m in (2, 4):
        for cell in range(cells):
            below = search_._below(task, levels, cell)
            values = tuple(stages.value(head[: k + 1], b) for k, b in enumerate(below))
            points.append(((*head, m), values))
    every = counts(pool, models, labels, points)
    for cost, correct in every:
        best[: correct + 1] = np.minimum(best[: correct + 1], cost // int(pool.cost.unit))
    # Cells where nobody reaches the last member are left to the shorter cascades.
    at = corners(envelope[0])
    decoded = [points[int(envelope[1][a]) * cells + int(envelope[2][a])] for a in at]
    assert [(cost // int(pool.cost.unit), correct) for cost, correct in counts(pool, models, labels, decoded)] == list(
        zip(envelope[0][at].tolist(), at.tolist(), strict=True)
    )
    reaches = [any(naive_reach(pool, models, labels, point)) for point in points]
    some = np.full(31, np.iinfo(np.int64).max, np.int64)
    for (cost, correct), here in zip(every, reaches, strict=True):
        if here:
            some[: correct + 1] = np.minimum(some[: correct + 1], cost // int(pool.cost.unit))
    assert (envelope[0] <= some).all()
    assert (envelope[0] >= best).all()


def naive_reach(pool, models, labels, point):
    """Which units exit at the last stage."""
    by_name = {m.name: m for m in models}
    stages = [[by_name[pool.cards[m].model]] for m in point[0]]
    result = naive.evaluate(stages, point[1], labels, "mean_logits", "max_prob", scores=product_scores(pool))
    return [stage == len(stages) - 1 for stage in result.exit_stage]


def test_greedy_answers_as_many_as_the_target_allows():
    """Ties are answered together or not at all; the reference is right everywhere."""
    scores = [5.0, 4.0, 4.0, 4.0, 3.0, 2.0]
    answers = ["a", "b", "b", "a", "a", "a"]  # 1/1, then 2/4 with the tie, 3/5, 4/6
    models = [
        naive.Model("m0", "m0", 0, {"m0": 1}, kind="answers", answers=answers, stored_scores={"confidence": scores}),
        naive.Model("m1", "m1", 0, {"m1": 9}, kind="answers", answers=["a"] * 6, stored_scores={"confidence": scores}),
    ]
    pool = open_all(MemoryStore(models, ["a"] * 6))
    greedy = Greedy(pool, Slots.of(pool, "canonical"), None, 1)
    states = {round(s.target, 6): s for s in greedy.start()}
    stages = Stages(pool, [(0,)], (), 1)
    state = next(iter(states.values()))
    found = [greedy._threshold(replace(state, target=t), stages, (0,)) for t in (0.5, 0.62, 2 / 3, 0.7, 1.01)]
    assert found == [(6, 2.0), (6, 2.0), (6, 2.0), (1, 5.0), (0, float("inf"))]

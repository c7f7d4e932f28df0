"""The search against the oracle: every count, cost and witness, on pools with ties everywhere."""

from __future__ import annotations

import dataclasses
import itertools
import signal
from dataclasses import replace

import naive
import numba
import numpy as np
import pytest
from agree import agree
from hypothesis import given
from hypothesis import strategies as st
from pools import (
    MemoryStore,
    cases,
    for_rule,
    joint_pools,
    pieces,
    pools,
    product_scores,
    random_pool,
    stored_cards,
    with_further_costs,
)

from wisecommittee.committees.confidence import CONFIDENCES, scale_of
from wisecommittee.committees.families import FAMILIES
from wisecommittee.errors import InfeasibleError, UsageError
from wisecommittee.kernels import jit
from wisecommittee.kernels.envelope import UNREACHED
from wisecommittee.kernels.sweeps.bins import bin_units
from wisecommittee.searches.exact.gap import gap
from wisecommittee.searches.exact.proof import ExactSearch
from wisecommittee.searches.grid.levels import level_values
from wisecommittee.searches.methods import auto
from wisecommittee.searches.reporter import reported_threshold
from wisecommittee.searches.search import search
from wisecommittee.searches.stages.pool import open_pool
from wisecommittee.searches.stages.prefixes import build_prefixes
from wisecommittee.searches.stages.stage_tables import correct_key, stage_tables
from wisecommittee.searches.workers.estimate import estimate
from wisecommittee.searches.workers.threads import Threads

CASES = cases(200)


@CASES
@given(
    pools(),
    st.integers(1, 3),
    st.integers(2, 5),
    st.sampled_from(["max_prob", "prob_gap", "logit_gap", "neg_entropy", "confidence"]),
    st.sampled_from(["canonical", "all"]),
    st.sampled_from([None, None, 4, 7]),
)
def test_mean_logits_equals_oracle(pool, max_models, levels, confidence, replicas, worst):
    options = {"confidence": confidence, "replicas": replicas, "max_worst_cost": worst}
    agree(pool, max_models=max_models, levels=levels, **options)


@cases(80)
@given(pools("probabilities"), st.integers(1, 3), st.integers(2, 5), st.sampled_from(sorted(CONFIDENCES)))
def test_mean_probs_equals_oracle(pool, max_models, levels, confidence):
    agree(pool, max_models=max_models, levels=levels, combine="mean_probs", confidence=confidence)


@cases(80)
@given(pools("answers"), st.integers(1, 3), st.integers(2, 5), st.sampled_from(["canonical", "all"]))
def test_answers_equal_oracle(pool, max_models, levels, replicas):
    options = {"combine": "last", "confidence": "confidence", "replicas": replicas}
    agree(pool, max_models=max_models, levels=levels, **options)


@cases(80)
@given(pools(), st.integers(2, 3), st.integers(2, 5), st.sampled_from(["max_prob", "logit_gap", "confidence"]))
def test_last_equals_oracle(pool, max_models, levels, confidence):
    agree(pool, max_models=max_models, levels=levels, combine="last", confidence=confidence)


MODES = {
    "grid": {},
    "exact": {"exact": True},
    "worst case": {"axis": "worst"},
    "percentile": {"axis": "p60"},
    "exact worst case": {"axis": "worst", "exact": True},
    "exact percentile": {"axis": "p60", "exact": True},
    "shared threshold": {"shared_threshold": True},
    "ensembles": {"family": "ensemble"},
    "beam": {"method": "beam"},
    "greedy": {"method": "greedy"},
}
QUESTIONS = {
    "nothing else": {},
    "every replica": {"replicas": "all"},
    "probabilities": {"combine": "mean_probs"},
    "last": {"combine": "last"},
    "stored scores": {"confidence": "confidence"},
    "a worst case": {"max_worst_cost": 7},
    "a percentile": {"max_percentile_cost": (75.0, 4)},
    "averages": {"max_average": {"usd": 4, "latency_ms": 3.5}},
    "both limits": {"max_percentile_cost": (50, 5), "max_average": {"usd": 3}},
    "groups": {"groups": True},
    "groups, last": {"groups": True, "combine": "last"},
}
REFUSED = {
    ("ensembles", "last"), ("ensembles", "groups, last"),
    *itertools.product(("beam", "greedy"), ("a percentile", "averages", "both limits")),
}  # fmt: skip


PAIRS = [pair for pair in itertools.product(MODES, QUESTIONS) if pair not in REFUSED]


@pytest.mark.parametrize(("mode", "question"), PAIRS)
def test_every_mode_answers_every_question_as_the_oracle(mode, question):
    options = {"max_models": 3, "levels": 4, **MODES[mode], **QUESTIONS[question]}
    groups = options.pop("groups", False)

    @cases(6)
    @given(joint_pools() if groups else pools(per_unit=False))
    def compared(pool):
        models, labels = with_further_costs(pool)
        agree((for_rule(models, options.get("combine")), labels), **options)

    compared()


@cases(30)
@given(pools(), st.integers(2, 4), st.sampled_from(["canonical", "all"]))
def test_four_members_equal_oracle(pool, levels, replicas):
    agree(pool, max_models=4, levels=levels, replicas=replicas)


def drawn_replicas(replicas, units, seed, per_unit=False, coarse=True):
    """Replicas of one architecture, each dearer than the one before; coarse : logits from a handful of values."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, units).tolist()
    shape = units, 3
    models = [
        naive.Model(
            name=f"a/{r}",
            architecture="a",
            replica=r,
            blocks={f"a/{r}": 1 + r},
            outputs=(rng.integers(-2, 3, shape) if coarse else rng.normal(0, 1, shape)).astype(np.float32),
            unit_costs=rng.integers(1, 4, units).tolist() if per_unit else None,
        )
        for r in range(replicas)
    ]
    return models, labels


@pytest.mark.parametrize("per_unit", [False, True])
def test_five_members_equal_oracle(per_unit):
    """Longer cascades than the kernel sweeps loop over their outer levels."""
    pool = drawn_replicas(5, 9, seed=3, per_unit=per_unit)
    agree(pool, max_models=5, levels=3)
    agree(pool, max_models=5, levels=2, replicas="all")


@pytest.mark.parametrize(
    "options",
    [
        {"axis": "worst"},
        {"axis": "p70"},
        {"max_percentile_cost": (80.0, 3), "max_average": {"usd": 4.5}},
        {"max_percentile_cost": (50, 6), "max_average": {"usd": 4.5}},
        {"max_percentile_cost": (60, 10), "max_average": {"usd": 4.5}},
    ],
    ids=str,
)
def test_earlier_stages_than_the_kernel_sweeps_are_charged_and_limited_too(options):
    agree(with_further_costs(drawn_replicas(5, 8, seed=2)), max_models=5, levels=3, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"limit": ("P(latency_ms > 6) <= 0.3",)},
        {"limit": ("P(latency_ms > 2) <= 0.7", "P(usd > 9) <= 0.4")},
        {"max_average": {"latency_ms": 4, "usd": 8}},
        {"max_average": {"latency_ms": 3}},
    ],
    ids=str,
)
def test_earlier_stages_than_the_kernel_sweeps_count_for_limits_on_costs_that_vary(options):
    pool = with_further_costs(drawn_replicas(5, 8, seed=2), varying=True)
    agree(pool, max_models=5, levels=3, **options)


@pytest.mark.parametrize("limits", [{"limit": ("P(latency_ms > 3) <= 0.3",)}, {"max_average": {"latency_ms": 2.6}}])
def test_limits_on_costs_that_vary_hold_within_tiles_of_several_levels(limits):
    pool = with_further_costs(drawn_replicas(3, 70, seed=3, coarse=False), varying=True)
    agree(pool, max_models=3, levels=60, replicas="all", **limits)


@pytest.mark.parametrize(("members", "levels"), [(6, 3), (3, 60), (4, 28)])
def test_longer_cascades_and_more_levels_than_tiles_equal_oracle(members, levels):
    """Two stages before the last four; tiles of several levels."""
    pool = drawn_replicas(members, 12 if levels < 28 else 70, seed=members, coarse=False)
    agree(pool, max_models=members, levels=levels, replicas="all" if members == 3 else "canonical")


@pytest.mark.parametrize("kind", ["logits", "probabilities"])
@pytest.mark.parametrize("combine", ["mean_logits", "mean_probs", "last"])
@pytest.mark.parametrize("confidence", sorted(CONFIDENCES))
def test_scores_and_predictions_match_definitions(kind, combine, confidence):
    rng = np.random.default_rng(5)
    models, labels = [], rng.integers(0, 40, 300).tolist()
    for name in "abc":
        logits = rng.normal(size=(300, 40)).astype(np.float32) * 4
        logits[np.arange(300), labels] += 4
        outputs = logits
        if kind == "probabilities":
            e = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
            outputs = (e / e.sum(axis=1, keepdims=True)).astype(np.float32)
            outputs[outputs < 1e-6] = 0
        models.append(naive.Model(name, name, 0, {name: 1}, outputs, kind=kind))
    store = MemoryStore(models, labels)
    pool = open_pool(store, "val", store.cards("val"), combine=combine, confidence=confidence)
    own = product_scores(pool)
    for members in (models[:1], models[:2], models):
        expected = naive.confidence(members, combine, confidence)
        shown = CONFIDENCES[confidence].scale.shown(own(tuple(m.name for m in members)))
        np.testing.assert_allclose(shown, expected, rtol=2e-5, atol=2e-6)
        keys = [correct_key(pool, [pool.index(m.name) for m in members])]
        trie = build_prefixes(keys)
        predicted = stage_tables(pool, trie, np.zeros(len(trie), bool), predict=True).prediction
        assert predicted[trie.find[keys[0]]].tolist() == naive.prediction(members, combine)


NEIGHBOURS = [0.0, 0.25, 0.5, 0.5 + 2e-7, 0.5 + 3e-6, 1.0, 1 - 2**-24, 2.0, 2.00001, 30.0, 3e5, 3.00001e5, 4e5, 1e33]


@given(
    st.lists(st.sampled_from([*NEIGHBOURS, *(-v for v in NEIGHBOURS)]), min_size=1, max_size=30),
    st.integers(2, 12),
    st.sampled_from([*sorted(CONFIDENCES), "stored"]),
)
def test_levels_and_midpoints_equal_oracle(values, levels, name):
    if name == "neg_entropy":  # nothing is carried between -1e-28 and 64
        values = [v if v < 0 or v > 64 else v + 65 for v in values]
    values = [abs(v) if name in ("max_prob", "prob_gap") else v for v in values]
    scale = scale_of(name)
    confidence = np.sort(np.array(values, np.float32))
    own = level_values(scale.lowest(confidence), levels)
    assert own.tolist() == [float(v) for v in naive.levels(values, levels, name)[:-1]]
    for value in own:
        told, odds = reported_threshold(confidence, value, scale)
        expected = naive.reported_log_odds(values, value, name)
        assert told == pytest.approx(float(naive.reported_threshold(values, value, name)), abs=2**-24)
        assert odds == (None if expected is None else pytest.approx(expected))
        # What is reported parts the same units.
        carried = scale.carried([told], [odds])
        assert (confidence >= carried).tolist() == (confidence >= value).tolist()


def test_same_frontier_for_any_threads_and_order_of_import():
    models, labels = random_pool()
    first = search(MemoryStore(models, labels), threads=1, levels=20)
    for threads, order in ((2, models), (3, models[::-1]), (2, models[3:] + models[:3])):
        other = search(MemoryStore(order, labels), threads=threads, levels=20)
        assert other.evaluations == first.evaluations
        assert other.singles == first.singles


def test_a_subset_reads_only_its_models():
    models, labels = random_pool()
    store = MemoryStore(models, labels)
    read = []
    original = store.outputs
    store.outputs = lambda model, split: read.append(model) or original(model, split)
    search(store, models=["m[12]"], levels=5)
    assert set(read) == {"m1", "m2"}


def test_extremes_are_the_first_model_and_the_ensemble():
    """Threshold -inf leaves everybody at the first model; never exiting is the ensemble."""
    models, labels = random_pool(models=2)
    labels_array = np.array(labels)
    single = (models[0].outputs.argmax(1) == labels_array).sum()
    both = ((models[0].outputs + models[1].outputs).argmax(1) == labels_array).sum()
    ensembles = search(MemoryStore(models, labels), family="ensemble")
    found = {e.committee.label(): e.correct for e in (*ensembles.evaluations, *ensembles.singles)}
    assert found["m0"] == single
    assert found.get("m0 + m1", both) == both
    everybody = naive.evaluate([[models[0]], [models[1]]], [-np.inf], labels, "mean_logits", "max_prob")
    assert everybody.correct == single


def test_ensemble_family_equals_all_sets():
    from itertools import combinations

    models, labels = random_pool()
    frontier = search(MemoryStore(models, labels), family="ensemble", max_models=3)
    points = []
    for size in (1, 2, 3):
        for members in combinations(models, size):
            result = naive.evaluate([list(members)], [], labels, "mean_logits", "max_prob")
            points.append((result.total_cost / len(labels), result.correct))
    sky, best = [], -1
    for cost, correct in sorted(points, key=lambda p: (p[0], -p[1])):
        if correct > best:
            sky.append((cost, correct))
            best = correct
    assert [(e.average_cost, e.correct) for e in frontier] == sky
    assert frontier.searched["threshold_vectors"] == frontier.searched["combinations"] == len(points)


@pytest.mark.parametrize("replicas", ["canonical", "all"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"exact": True},
        {"method": "beam"},
        {"method": "greedy"},
        {"shared_threshold": True},
        {"family": "ensemble"},
        {"axis": "worst"},
        {"axis": "p99"},
        {"max_models": 1},
        {"max_worst_cost": 5},
        {"max_percentile_cost": (90, 5)},
        {"time_limit": 0},
    ],
    ids=str,
)
def test_every_model_by_itself_is_a_candidate(options, replicas):
    """The second replica of a is better than the first, the third of b than the others; members of a group likewise."""
    rng = np.random.default_rng(8)
    labels = rng.integers(0, 4, 120)
    models = []
    for name, cost, strength, joint in [
        ("a/0", 2, 0.5, {}), ("a/1", 2, 2.0, {}), ("b/0", 5, 1.0, {}), ("b/1", 5, 0.2, {}), ("b/2", 5, 4.5, {}),
        ("g/0", 4, 0.1, {"group": "g", "position": 0}), ("g/1", 4, 3.2, {"group": "g", "position": 1}),
    ]:  # fmt: skip
        logits = (rng.normal(size=(120, 4)) + strength * np.eye(4)[labels]).astype(np.float32)
        models.append(naive.Model(name, name[0], int(name[2:]), {name: cost}, logits, **joint))
    store = MemoryStore(models, labels.tolist())
    found = search(store, threads=1, **{"max_models": 3, "levels": 10, "replicas": replicas} | options)
    assert len(found.singles) == len(models)
    for single in found.singles:
        assert any(e.quality >= single.quality and found.x(e) <= found.x(single) for e in found)
    if options == {"max_models": 1}:
        assert [e.committee.label() for e in found] == ["a/1", "g/1", "b/2"]
        assert found.searched["combinations"] == len(models) + 1  # and g as a whole


def test_what_canonical_replicas_leave_out_is_counted():
    models, labels = random_pool(units=20, models=1)
    names = ("a/0", "a/1", "a/2", "b/0")
    models = [replace(models[0], name=n, architecture=n[0], replica=int(n[2:]), blocks={n: 1}) for n in names]
    store = MemoryStore(models, labels)
    for family, method in (("cascade", "exhaustive"), ("ensemble", "exhaustive"), ("cascade", "beam")):
        canonical, every = (search(store, family=family, method=method, replicas=r) for r in ("canonical", "all"))
        assert every.searched["left_out"] == 0
        if method == "exhaustive":
            more = every.searched["combinations"] - canonical.searched["combinations"]
            assert canonical.searched["left_out"] == more > 0
        else:
            assert (
                canonical.searched["left_out"]
                == naive.count(models, 4, 2, "all")[0] - naive.count(models, 4, 2, "canonical")[0]
            )


def test_queries_on_the_frontier():
    models, labels = random_pool()
    frontier = search(MemoryStore(models, labels), levels=20)
    middle = frontier.evaluations[len(frontier) // 2]
    assert frontier.within(average_flops=middle.average_cost) == middle
    assert frontier.matching(middle.quality) == middle
    assert frontier.best().quality == max(e.quality for e in frontier)
    single = frontier.cheapest_single_matching(middle.quality)
    assert single is None or frontier.speedup(middle) == single.average_cost / middle.average_cost
    with pytest.raises(InfeasibleError, match="the cheapest is"):
        frontier.within(average_flops=1.0)
    # Costs that differ in the seventh digit are told apart.
    dear = [replace(m, blocks={m.name: 1_234_568 * (k + 1)}) for k, m in enumerate(models)]
    with pytest.raises(InfeasibleError, match="at most 1,234,567 flops on average; the cheapest is m0 at 1,234,568"):
        search(MemoryStore(dear, labels), max_models=1).within(average_flops=1_234_567)
    cheapest = search(MemoryStore(models, labels), levels=20, max_worst_flops=10)
    with pytest.raises(InfeasibleError, match="the best is m0"):
        cheapest.matching(1.0)
    for bad in (-1.0, float("nan"), float("inf")):
        with pytest.raises(UsageError):
            frontier.within(average_flops=bad)
    with pytest.raises(UsageError, match=r"0\.94"):
        frontier.matching(94)


def test_frontier_survives_its_file(tmp_path):
    from wisecommittee import Frontier

    models, labels = random_pool()
    frontier = search(MemoryStore(models, labels), levels=10)
    frontier.save(tmp_path / "f.parquet")
    again = Frontier.load(tmp_path / "f.parquet")
    assert again.evaluations == frontier.evaluations
    assert again.singles == frontier.singles
    assert again.query == frontier.query


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "test"}, "chooses"),
        ({"max_models": 0}, "max_models=0; expected a whole number from 1"),
        ({"levels": 1}, "from 2 to"),
        ({"confidence": "maxprob"}, "max_prob"),
        ({"combine": "mean"}, "mean_logits"),
        ({"family": "cascades"}, "cascade"),
        ({"models": ["x*"]}, "m0"),
        ({"threads": 0}, "threads=0; expected a whole number from 1"),
        ({"max_worst_flops": float("nan")}, "finite"),
        ({"cost": "usd"}, "no cost 'usd'"),
    ],
)
def test_wrong_requests_name_the_remedy(options, message):
    from wisecommittee.errors import WiseCommitteeError

    models, labels = random_pool()
    with pytest.raises(WiseCommitteeError, match=message):
        search(MemoryStore(models, labels), **options)


def test_worst_case_limit_nobody_meets_names_the_nearest():
    models, labels = random_pool()
    with pytest.raises(InfeasibleError, match="cheapest model costs 10"):
        search(MemoryStore(models, labels), max_worst_flops=5)


def test_paper_counts():
    """4672 combinations of 2 to 4 members and 494 distinct prefixes from 8 architectures with 4 replicas (App. E.4)."""
    from wisecommittee.committees.cards import ModelCard
    from wisecommittee.committees.families import cascade

    cards = [ModelCard(f"a{a}/{r}") for a in range(8) for r in range(4)]
    found = [cascade.combinations(cards, n) for n in (1, 2, 3, 4)]
    assert sum(map(len, found[1:])) == 4672
    sets = {tuple(sorted(row)) for sequences in found for row in sequences.tolist()}
    assert len(sets) == 494
    assert len(build_prefixes(sets)) == 494
    assert sum(len(s) < 4 for s in sets) == 164


# Stopping early


class StopsAfter(Threads):
    """Threads whose control says stop after so many questions."""

    def __init__(self, questions):
        super().__init__(1)
        outer = self

        class Counting(type(self.control)):
            def stopped(self):
                outer.left -= 1
                return outer.left < 0

        self.left = questions
        self.control = Counting(None)


@pytest.mark.parametrize(
    ("exact", "questions"), [(False, 0), (False, 1), (False, 5), (False, 14), (True, 3), (True, 20), (True, 50)]
)
def test_gap_of_a_stopped_search_holds(exact, questions):
    """At every cost, the finished search is better than the stopped one by at most the gap."""
    models, labels = random_pool(units=300, models=4)
    n = len(labels)
    sweep, ready = pieces(MemoryStore(models, labels))
    full, _ = pieces(MemoryStore(models, labels))
    assert full.run(Threads(2)) == []
    envelope, complete = sweep.envelope, full.envelope
    mapper = StopsAfter(questions)
    unfinished = sweep.run(mapper)
    if exact:
        proof, whole = ExactSearch(sweep, ready), ExactSearch(full, ready)
        assert whole.run(Threads(2)) == []
        unfinished, envelope, complete = proof.run(mapper), proof.envelope, whole.envelope
    assert unfinished
    most = gap(sweep, envelope[0], unfinished)
    assert 0 < most <= 1
    for a in range(n + 1):
        if complete[0][a] < UNREACHED:
            have = np.searchsorted(envelope[0], complete[0][a], side="right") - 1
            assert a - have <= round(most * n)


def test_gap_is_closed_where_the_rest_cannot_gain():
    """A second model that is right only where the first is cannot add anything."""
    labels = [0, 1, 0, 1]
    first = np.array([[2, 0], [0, 2], [1, 0], [1, 0]], np.float32)
    second = np.array([[1, 0], [0, 1], [0, 1.5], [1, 0]], np.float32)
    models = [naive.Model(m, m, 0, {m: 1}, o) for m, o in (("a", first), ("b", second))]
    sweep, _ = pieces(MemoryStore(models, labels))
    unfinished = [s for s in sweep.run(StopsAfter(0)) if s[0] == 0]
    assert gap(sweep, sweep.envelope[0], unfinished) == 0.0


@pytest.mark.parametrize("exact", [False, True])
def test_time_limit_returns_the_best_so_far(exact):
    models, labels = random_pool()
    store = MemoryStore(models, labels)
    stopped = search(store, exact=exact, time_limit=0)
    assert stopped.searched["complete"] is stopped.searched["certified"] is stopped.searched["exact"] is False
    assert stopped.searched["combinations"] == stopped.searched["threshold_vectors"] == len(models)
    assert stopped.searched["unfinished_combinations"] == naive.count(models, 4, 100, "canonical")[0] - len(models)
    assert stopped.searched["stopped_by"] == "time limit"
    assert 0 < stopped.searched["gap"] <= 1
    assert all(len(e.committee.models) == 1 for e in stopped)
    whole = search(store, exact=exact, time_limit=1000, levels=10)
    assert whole.searched["complete"] is whole.searched["certified"] is True
    assert whole.searched["exact"] is exact
    assert "gap" not in whole.searched
    assert list(whole) == list(search(store, exact=exact, levels=10, threads=1))
    with pytest.raises(UsageError, match="time_limit=-1"):
        search(store, time_limit=-1)


def test_first_interrupt_returns_the_best_so_far():
    """Ctrl-C after the first report of progress; the handler of before is back afterwards."""
    models, labels = random_pool(units=3000, models=6)
    given = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background process has another
    sent = []

    def interrupt(task, done, total):
        if task == "thresholds, 2 stages" and not sent:
            sent.append(task)
            signal.raise_signal(signal.SIGINT)

    try:
        stopped = search(MemoryStore(models, labels), levels=100, threads=2, progress=interrupt)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, given)
    assert sent
    assert stopped.searched["complete"] is False
    assert stopped.searched["gap"] > 0


# Methods


def test_estimate_counts_what_is_enumerated():
    cards = stored_cards({f"{a}/{r}": {} for a, copies in (("a", 3), ("b", 1), ("c", 2)) for r in range(copies)})
    for replicas in ("canonical", "all"):
        for family in (FAMILIES["cascade"], FAMILIES["ensemble"]):
            guess = estimate(cards, 100, family, max_models=4, levels=7, replicas=replicas, ordered=False)
            found = [family.sequences(cards, n, replicas) for n in (1, 2, 3, 4)]
            assert guess.combinations == sum(map(len, found))
            assert guess.vectors == sum(len(s) * (7 if family.thresholded else 1) ** n for n, s in enumerate(found))
            assert guess.prefixes == len({tuple(sorted(row)) for s in found for row in s.tolist()})


def test_tables_that_do_not_fit_are_refused(monkeypatch):
    """Bits of 3 + 3 + 1 prefixes and 6 bytes for each of 6 confidences; 8 more where thresholds are proved."""
    models, labels = random_pool(units=1000, models=3)
    store = MemoryStore(models, labels)
    monkeypatch.setattr("wisecommittee.searches.strategies.prepare.machine_memory", lambda: 60_000)
    assert len(search(store, method="exhaustive", threads=1))
    with pytest.raises(UsageError, match="7 distinct prefixes over 1,000 units"):
        search(store, method="exact", threads=1)


def test_auto_is_exhaustive_where_that_is_feasible():
    models, labels = random_pool(units=50)
    store, told = MemoryStore(models, labels), []
    found = search(store, levels=5, notify=told.append)
    assert found.searched["method"] == "exhaustive"
    assert not told  # a matter of seconds is not announced
    by_method, by_option = (
        search(store, levels=5, method="exact").searched,
        search(store, levels=5, exact=True).searched,
    )
    assert {**by_method, "seconds": 0} == {**by_option, "seconds": 0}
    cards = [replace(card, model=f"{card.model}-{copy}") for card in store.cards("val") for copy in range(20)]
    guess = estimate(cards, 10**6, FAMILIES["cascade"], max_models=4, levels=100, replicas="all", ordered=False)
    assert guess.combinations == 120 * 119 * 118 * 117 + 120 * 119 * 118 + 120 * 119 + 120
    assert auto(guess, threads=64) == "beam"
    with pytest.raises(UsageError, match="choose one"):
        search(store, exact=True, method="beam")
    with pytest.raises(UsageError, match="unknown method"):
        search(store, method="genetic")
    with pytest.raises(UsageError, match="limits the worst case only"):
        search(store, method="beam", max_percentile_cost=(99, 5.0))
    with pytest.raises(UsageError, match="one machine"):
        search(store, method="greedy", scheduler="local")
    with pytest.raises(UsageError, match="family"):
        search(store, method="beam", family="ensemble")


@pytest.mark.parametrize("method", ["beam", "greedy"])
def test_large_pool_methods_are_never_better_than_exact(method):
    models, labels = random_pool(units=200, models=4)
    store = MemoryStore(models, labels)
    beam, exact = search(store, method=method), search(store, exact=True)
    assert beam.searched["method"] == method
    assert beam.searched["certified"] is beam.searched["exact"] is False
    for e in beam:
        assert exact.within(average_cost=e.average_cost).quality >= e.quality


@pytest.mark.parametrize("kind", ["logits", "probabilities"])
def test_float16_is_widened_before_anything_is_computed(kind):
    """The same frontier as from float32 arrays of the same values, over blocks of units."""
    models, labels = random_pool()
    for m in models:
        if kind == "probabilities":
            m.outputs[:] = np.exp(m.outputs) / np.exp(m.outputs).sum(axis=1, keepdims=True)
        m.outputs[:] = m.outputs.astype(np.float16)
    models = [dataclasses.replace(m, kind=kind) for m in models]
    halves = [dataclasses.replace(m, outputs=m.outputs.astype(np.float16)) for m in models]
    for combine in ("mean_logits", "mean_probs"):
        options = {"levels": 10, "max_models": 3, "combine": combine}
        wide, narrow = search(MemoryStore(models, labels), **options), search(MemoryStore(halves, labels), **options)
        assert narrow.evaluations == wide.evaluations


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")
def test_what_has_to_be_compiled_is_announced():
    told = []

    @numba.njit
    def double(value):
        return value + value

    with jit.announced(lambda *news: told.append(news)):
        assert double(1) == double(np.int64(1)) == 2
    double(1.0)  # not within it
    assert {task for task, _, _ in told} == {"compiling, once per installation"}
    assert [counts for _, *counts in told] == [[0, 1], [1, 1]]
    with jit.announced(None):
        assert double("a") == "aa"


@pytest.mark.parametrize("levels", [1, 2, 3, 4, 7, 99, 255, 300])
def test_bins_count_the_levels_at_or_below(levels):
    rng = np.random.default_rng(levels)
    values = np.sort(rng.integers(-20, 20, levels).astype(np.float32))
    score = np.r_[rng.integers(-25, 25, 500), rng.normal(0, 20, 500), values].astype(np.float32)
    padded = np.full((1 << levels.bit_length()) - 1, np.inf, np.float32)
    padded[:levels] = values
    bins = np.empty(len(score), np.uint16)
    bin_units(score, padded, bins)
    assert bins.tolist() == [sum(v <= s for v in values.tolist()) for s in score.tolist()]

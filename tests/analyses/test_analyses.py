"""Conversion, numbers of members, replicas, small ensembles and the smallest that is right, against loops over the
definitions; and the tables of them."""

from __future__ import annotations

import itertools
import statistics
from functools import cache

import naive
import pytest
from analyses_pool import COMBINE, LEVELS, Case, every_cascade, figures, most_accurate, rows

from wisecommittee.analyses import conversion, members, replica_ensembles, replicas, smallest_ensemble
from wisecommittee.analyses.study import study_of
from wisecommittee.committees.committee import Committee
from wisecommittee.errors import AbsentError, UsageError
from wisecommittee.report import tables
from wisecommittee.searches.choosing import search_and_choose
from wisecommittee.searches.query import Query
from wisecommittee.searches.target import Target
from wisecommittee.searches.workers.execution import Execution

POOL = {"a": (4, 10, 1.0), "b": (3, 27, 1.7), "c": (1, 90, 2.4)}


@pytest.fixture(scope="module")
def case():
    return Case(POOL, n=36, max_models=3)


@cache
def least_cost(case, names, correct):
    """The least total cost of any order of these members with at least so many correct."""
    found = [every_cascade(case, order) for order in itertools.permutations(names)]
    return min(total for right, total in itertools.chain(*found) if right >= correct)


# conversion


def test_conversion_is_the_cheapest_of_all_orders_and_thresholds(case):
    found = conversion.conversion(study_of(case.store, max_models=3, levels=LEVELS, threads=1))
    n = len(case.labels["val"])
    assert found
    for c in found:
        names = c.ensemble.val.committee.models
        for e in c.ensemble.on():
            assert figures(e) == case.evaluate(e.split, [names])
        for e in c.cascade.on():
            assert set(e.committee.models) <= set(names)
            assert figures(e) == case.evaluate(e.split, e.committee.stages, e.committee.thresholds.values)
        correct = round(c.ensemble.val.quality * n)
        assert c.cascade.val.quality * n >= correct
        assert c.cascade.val.average_cost == least_cost(case, names, correct) / n
    assert any(c.cascade.val.average_cost < c.ensemble.val.average_cost for c in found)


def test_conversion_of_named_ensembles(case):
    study = study_of(case.store, levels=LEVELS, threads=1, committees=(Committee((("a/0", "b/0"),)),))
    (found,) = conversion.conversion(study)
    assert found.ensemble.val.committee.models == ("a/0", "b/0")
    made = tables.fill("conversion", study)
    on_val, on_test = rows(made)
    for row in (on_val, on_test):
        e = found.cascade.val if row["split"] == "val" else found.cascade.test
        together = case.evaluate(row["split"], [["a/0", "b/0"]])
        assert (row["ensemble_quality"], row["ensemble_cost"]) == together[:2]
        assert (row["cascade_quality"], row["cascade_cost"]) == figures(e)[:2]
        assert row["speedup"] == together[1] / e.average_cost
    singles = [case.evaluate("val", [[m.name]])[:2] for m in case.models["val"]]
    as_good = [cost for quality, cost in singles if quality >= on_val["ensemble_quality"]]
    expected = min(as_good) / on_val["cascade_cost"] if as_good else None
    assert on_val["speedup_single"] == expected


# members


def test_members_are_the_best_within_each_target(case):
    found = members.members(case.study)
    n = len(case.labels["val"])
    assert found.targets[0] == 10
    assert found.targets[-1] == 90
    assert list(found.curves) == [1, 2, 3]
    for most, curve in found.curves.items():
        frontier = case.search(max_models=most)
        for target, shown in zip(found.targets, curve, strict=True):
            correct, total, stages, thresholds = most_accurate(frontier, target * n)
            assert (shown.val.correct, shown.val.average_cost) == (correct, total / n)
            assert figures(shown.test) == case.evaluate("test", stages, thresholds)
    for row in rows(tables.fill("members", case.study)):
        place = found.targets.index(row["target"])
        for most in (1, 2, 3):
            shown = found.curves[most][place]
            e = shown.val if row["split"] == "val" else shown.test
            assert (row[f"quality{most}"], row[f"cost{most}"]) == (e.quality, e.average_cost)


# replicas


def test_replica_statistics_over_all_pairs(case):
    found = {(r.architecture, r.split): r for r in replicas.replicas(case.study)}
    assert list(found) == [(a, s) for a in "ab" for s in ("val", "test")]  # c has one replica
    n = len(case.labels["val"])
    table = rows(tables.fill("replicas", case.study))
    for (name, split), r in found.items():
        names = [f"{name}/{k}" for k in range(POOL[name][0])]
        pairs = list(itertools.permutations(names, 2))
        assert len(r.ensembles) == len(pairs) // 2
        assert [e.quality for e in r.singles] == [case.evaluate(split, [[m]])[0] for m in names]
        together = [case.evaluate(split, [p])[0] for p in itertools.combinations(names, 2)]
        assert [e.quality for e in r.ensembles] == together
        for pair, e in zip(pairs, r.cascades, strict=True):
            assert figures(e) == case.evaluate(split, e.committee.stages, e.committee.thresholds.values)
            if split == "val":
                wanted = case.evaluate("val", [sorted(pair)])[0]
                least = min(total for right, total in every_cascade(case, pair) if right / n >= wanted)
                assert e.quality >= wanted
                assert e.average_cost == least / n
        shown = [t for t in table if (t["architecture"], t["split"]) == (name, split)]
        assert [t["count"] for t in shown] == [len(names), len(pairs) // 2, len(pairs)]
        for t, some in zip(shown, (r.singles, r.ensembles, r.cascades), strict=True):
            for noun, values in (
                ("quality", [e.quality for e in some]),
                ("cost", [e.average_cost for e in some]),
            ):
                assert (t[f"{noun}_max"], t[f"{noun}_min"]) == (max(values), min(values))
                assert t[f"{noun}_mean"] == pytest.approx(statistics.fmean(values))
                assert t[f"{noun}_std"] == pytest.approx(statistics.pstdev(values))


def test_published_replicas_stand_below(case):
    made = tables.fill("replicas", study_of(case.store, threads=1, published=True))
    cascades = rows(made)[-1]
    assert (cascades["count"], cascades["quality_max"], cascades["cost_mean"]) == (56, 0.8417, 12.62e9)
    assert rows(made)[-2]["cost_max"] is None


# small ensembles


def test_small_ensembles_over_all_sets(case):
    found = replica_ensembles.replica_ensembles(case.study)
    assert (found.split, found.n) == ("test", 46)
    assert [curve[0].architecture for curve in found.curves] == ["a", "b", "c"]
    table = {(t["architecture"], t["members"]): t for t in rows(tables.fill("replica-ensembles", case.study))}
    for curve in found.curves:
        name = curve[0].architecture
        count, cost, _ = POOL[name]
        assert [p.members for p in curve] == list(range(1, count + 1))
        for p in curve:
            sets = list(itertools.combinations([f"{name}/{k}" for k in range(count)], p.members))
            quality = sorted(case.evaluate("test", [some])[0] for some in sets)
            t = table[name, p.members]
            assert t["draws"] == len(sets)
            assert t["median"] == pytest.approx(statistics.median(quality))
            if len(quality) > 1:
                low, _, high = statistics.quantiles(quality, n=4, method="inclusive")
                assert (t["low"], t["high"]) == (pytest.approx(low), pytest.approx(high))
            assert (t["least"], t["most"]) == (quality[0], quality[-1])
            assert (t["cost"], t["parallel"]) == (cost * p.members, cost)


def test_many_replicas_are_drawn_without_repetition():
    drawn = replica_ensembles.draws(range(20), 3)
    assert len(drawn) == len(set(drawn)) == replica_ensembles.DRAWS
    assert all(len(set(some)) == 3 for some in drawn)
    assert drawn == replica_ensembles.draws(range(20), 3)
    assert replica_ensembles.draws(range(4), 2) == list(itertools.combinations(range(4), 2))


def point(name, members, median, cost):
    return replica_ensembles.CurvePoint(name, members, 1, median, median, median, median, median, cost * members, cost)


def test_crossover():
    s = tuple(point("s", k, q, 10) for k, q in ((1, 0.80), (2, 0.85), (3, 0.86)))
    m = tuple(point("m", k, q, 25) for k, q in ((1, 0.85), (2, 0.90)))
    l = tuple(point("l", k, q, 200) for k, q in ((1, 0.95),))  # noqa: E741
    first, second = replica_ensembles.ReplicaEnsembles("test", 100, "flops", (s, m, l)).crossovers()
    assert (first.ensemble.members, first.beats, first.overtaken) == (2, True, None)
    assert (second.ensemble, second.beats, second.overtaken) == (None, False, None)
    dear = tuple(point("s", p.members, p.median, 15) for p in s)
    (late,) = replica_ensembles.ReplicaEnsembles("test", 100, "flops", (dear, m)).crossovers()
    assert (late.ensemble.members, late.beats, late.overtaken) == (2, False, 2)  # 30 > 25: an m alone is as good


def test_crossover_table(case):
    found = replica_ensembles.replica_ensembles(case.study).crossovers()
    for row, c in zip(rows(tables.fill("crossover", case.study)), found, strict=True):
        assert (row["larger"], row["smaller"]) == (c.larger.architecture, c.smaller.architecture)
        assert (row["larger_quality"], row["larger_cost"]) == (c.larger.median, c.larger.cost)
        if c.ensemble:
            assert row["members"] == c.ensemble.members
            assert row["cost_ratio"] == c.larger.cost / c.ensemble.cost
            assert row["parallel_ratio"] == c.larger.parallel / c.ensemble.parallel
        assert row["beats"] == ("yes" if c.beats else "no")
    published = rows(tables.fill("crossover", study_of(case.store, threads=1, published=True)))[-1]
    assert (published["members"], published["larger_cost"]) == (8, 1548.1e6)
    assert published["cost_ratio"] == pytest.approx(1.91, abs=0.01)


# the smallest ensemble that is right


def test_enough(case):
    found = smallest_ensemble.smallest_ensembles(case.study)
    assert [e.architecture for e in found] == ["a", "b"]
    labels = case.labels["test"]
    for e, row in zip(found, rows(tables.fill("smallest-ensemble", case.study)), strict=True):
        names = [f"{e.architecture}/{k}" for k in range(POOL[e.architecture][0])]
        needed = []
        for i in range(len(labels)):
            right = [
                naive.prediction([case.named("test", m) for m in names[: k + 1]], COMBINE)[i] == labels[i]
                for k in range(len(names))
            ]
            needed.append(right.index(True) if any(right) else None)
        assert e.first == tuple(needed.count(k) / len(labels) for k in range(len(names)))
        assert e.never == needed.count(None) / len(labels)
        assert row["never"] == e.never
        assert [row[f"first{k + 1}"] for k in range(len(names))] == list(e.first)


# what is missing is named


@pytest.mark.parametrize(
    ("pool", "analysis", "message"),
    [
        ({"a": (1, 10, 1.0)}, conversion.conversion, "one model only"),
        ({"a": (1, 10, 1.0)}, members.members, "two members"),
        (
            {"a": (2, 10, 1.0), "b": (1, 20, 1.0)},
            replicas.replicas,
            r"need 3 .* has 2 at most; train more .*--replicas",
        ),
        ({"a": (1, 10, 1.0), "b": (1, 20, 1.0)}, replica_ensembles.replica_ensembles, "one replica"),
        ({"a": (3, 10, 1.0)}, replica_ensembles.replica_ensembles, "only architecture"),
        ({"a": (1, 10, 1.0), "b": (1, 20, 1.0)}, smallest_ensemble.smallest_ensembles, "one replica"),
    ],
)
def test_what_is_missing_is_named(pool, analysis, message):
    with pytest.raises(AbsentError, match=message):
        analysis(Case(pool, n=10).study)


def test_a_single_model_is_no_ensemble_to_convert(case):
    study = study_of(case.store, threads=1, committees=(Committee((("a/0",),)),))
    with pytest.raises(UsageError, match="two members or more"):
        conversion.conversion(study)


# search --match-ensemble


def test_answer_matches_an_ensemble_with_its_own_members(case):
    target = Target("match_ensemble", ["a/1", "b/0", "a/0"])
    found = search_and_choose(case.store, Query(exact=True), target, Execution(threads=1))
    wanted = case.evaluate("val", [["a/0", "a/1", "b/0"]])[0]
    n = len(case.labels["val"])
    assert found.val.average_cost == least_cost(case, ("a/0", "a/1", "b/0"), round(wanted * n)) / n
    assert found.val.quality >= wanted
    assert found.to_json()["query"]["match_ensemble"] == ["a/1", "b/0", "a/0"]
    for wrong in (["a/0"], ["a/0", "a/0"]):
        with pytest.raises(UsageError, match="two different members"):
            Target("match_ensemble", wrong)

"""A search of the product compared with the oracle's under the same options: every count, cost and witness."""

from __future__ import annotations

import itertools
import json
import re
from fractions import Fraction

import naive
import pytest
from pools import MemoryStore, product_scores

import wisecommittee as wc
from wisecommittee.errors import InfeasibleError
from wisecommittee.searches.distribution import CostDetail
from wisecommittee.searches.stages.pool import open_pool

OPTIONS = {
    "family": "cascade",
    "combine": "mean_logits",
    "confidence": "max_prob",
    "max_models": 4,
    "levels": 100,
    "replicas": "canonical",
    "axis": "average",
    "exact": False,
    "shared_threshold": False,
    "max_worst_cost": None,
    "max_percentile_cost": None,
    "max_average": None,
    "limit": None,
    "method": "auto",
}
HEURISTICS = ("beam", "greedy")


def agree(pool, *, threads=None, overhead=0, **options):
    """Search these models with these options of `wisecommittee.search`, and by the oracle; compare the frontiers.

    pool : (models of the oracle, labels). threads : 1 for an even number of units and 3 for an odd one, unless given.
    overhead : what every stage costs beside its members. Where both find that nothing keeps the limits, the answer is
    None; else it is the product's Frontier.

    Exhaustive and exact searches find the oracle's points, and the same committee for each, on any number of threads.
    Beam and greedy searches find no point above the oracle's over every threshold, a beam of two stages at most all of
    them, and the same on 1 thread and on 3. All committees are evaluated again by both sides.
    """
    models, labels = pool
    asked = OPTIONS | options
    threads = threads or 1 + 2 * (len(labels) % 2)
    store = MemoryStore(models, labels)
    store.overheads = {"flops": overhead} if overhead else {}
    if asked["family"] == "halting":
        models = [m for m in models if m.group]
    taking_part = [card for card in store.cards("val") if card.model in {m.name for m in models}]
    rule = {"combine": asked["combine"], "confidence": asked["confidence"]}
    pool = open_pool(store, "val", taking_part, **rule)
    scores = product_scores(pool)
    sequences = naive.family_sequences(models, asked["family"], asked["max_models"], asked["replicas"])
    if overhead:
        sequences = naive.divided(sequences, pool.sequenced, thresholds=asked["family"] not in ("ensemble", "anytime"))
    expected = oracle(models, labels, sequences, scores, asked, overhead)
    if not expected:
        with pytest.raises(InfeasibleError):
            wc.search(store, threads=threads, **asked)
        return None
    frontier = wc.search(store, threads=threads, **asked)
    replays(frontier, store, models, labels, scores, asked, overhead)
    points = points_of(frontier, len(labels))
    if asked["method"] in HEURISTICS:
        assert wc.search(store, threads=4 - threads, **asked).evaluations == frontier.evaluations
        bounded(points, [(p.total_cost, p.correct) for p in expected])
        if asked["method"] == "beam" and asked["max_models"] <= 2:
            assert points == [(p.total_cost, p.correct) for p in expected]
        assert {frozenset(e.committee.models) for e in frontier} <= sets_of(sequences)
        return frontier
    assert points == [(p.total_cost, p.correct) for p in expected]
    if asked["axis"] != "average":
        assert [frontier.x(e) for e in frontier] == [p.cost for p in expected]
    assert [e.committee.stages for e in frontier] == [p.stages for p in expected]
    assert [e.committee.thresholds.values for e in frontier] == [tuple(map(float, p.thresholds)) for p in expected]
    assert [e.committee.thresholds.log_odds for e in frontier] == [pytest.approx(p.log_odds) for p in expected]
    counted(frontier, sequences, scores, asked)
    return frontier


def limits_of(asked):
    """The limits of a query as the oracle takes them; `limit` holds statements P(NAME > AMOUNT) <= SHARE."""
    stated = [re.fullmatch(r"P\((\w+) > ([\d.]+)\) <= ([\d.]+)", text).groups() for text in asked["limit"] or ()]
    shares = tuple((name, float(amount), float(share)) for name, amount, share in stated)
    return naive.Limits(asked["max_worst_cost"], asked["max_percentile_cost"], asked["max_average"] or {}, shares)


def oracle(models, labels, sequences, scores, asked, overhead):
    """The oracle's points under the same options; beam and greedy searches are bounded by every threshold."""
    limits = limits_of(asked)
    return naive.search(
        models,
        labels,
        asked["max_models"],
        asked["levels"],
        asked["combine"],
        asked["confidence"],
        sequences=sequences,
        limits=limits,
        axis=asked["axis"],
        shared=asked["shared_threshold"],
        exact=asked["exact"] or asked["method"] in HEURISTICS,
        scores=scores,
        overhead=overhead,
    )


def points_of(frontier, units):
    """[(total cost, correct)]; an average is the float next to the total divided by the units."""
    totals = [round(Fraction(e.average_cost) * units) for e in frontier]
    assert [e.average_cost for e in frontier] == [float(Fraction(total, units)) for total in totals]
    return [(total, e.correct) for total, e in zip(totals, frontier, strict=True)]


def replays(frontier, store, models, labels, scores, asked, overhead):
    """The committees do what the frontier says: evaluated again by the product, from their JSON, and by the oracle."""
    read = [wc.Committee.from_json(json.loads(json.dumps(e.committee.to_json()))) for e in frontier]
    assert read == [e.committee for e in frontier]
    detail = CostDetail.of(frontier.query)
    assert wc.evaluate_all(read, store, "val", detail=detail) == list(frontier)
    by_name = {m.name: m for m in models}
    limits = limits_of(asked)
    for e, (total, correct) in zip(frontier, points_of(frontier, len(labels)), strict=True):
        stages = [[by_name[name] for name in stage] for stage in e.committee.stages]
        rule = asked["combine"], asked["confidence"]
        plain = naive.evaluate(stages, e.committee.thresholds.values, labels, *rule, scores=scores, overhead=overhead)
        assert (plain.correct, plain.total_cost, plain.worst_case) == (correct, total, e.worst_case_cost)
        assert [ratio * len(labels) for ratio in e.exit_ratios] == pytest.approx(plain.exits, abs=1e-9)
        prefixes = naive.prefixes_of(stages)
        units = range(len(labels))
        cost = [[naive.set_cost(p, i) + overhead * k for i in units] for k, p in enumerate(prefixes, 1)]
        assert naive.keeps(limits, plain.exit_stage, prefixes, cost)


def bounded(points, best):
    """The points rise, and none has more correct than the best point of at most its cost."""
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in itertools.pairwise(points))
    for cost, correct in points:
        assert correct <= max(c for x, c in best if x <= cost)


def sets_of(sequences):
    """The sets of members that are in use after a stage of one of the sequences."""
    return {frozenset(m.name for m in prefix) for s in sequences for prefix in naive.prefixes_of(s)}


def counted(frontier, sequences, scores, asked):
    """What the search says it has tried, where no limit leaves anything out."""
    if asked["max_worst_cost"] is not None:
        return
    searched = frontier.searched
    assert searched["combinations"] == len(sequences)
    without_thresholds = asked["family"] in ("ensemble", "anytime")
    assert searched["exact"] is (asked["exact"] or asked["shared_threshold"] or without_thresholds)
    if asked["shared_threshold"]:
        compared = [[tuple(m.name for m in prefix) for prefix in naive.prefixes_of(s)[:-1]] for s in sequences]
        thresholds = sum(len(set(scores(names))) for prefixes in compared for names in prefixes)
        assert searched["threshold_vectors"] == len(sequences) + thresholds
    elif not asked["exact"]:
        assert searched["threshold_vectors"] == sum(asked["levels"] ** (len(s) - 1) for s in sequences)

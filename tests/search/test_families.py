"""Families of jointly trained members against the oracle: tiers of leaves, anytime prefixes, learned halting."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import naive
import numpy as np
import pytest
from agree import agree
from hypothesis import given
from hypothesis import strategies as st
from pools import MemoryStore, cases, for_rule, joint_pools, pools, stored_cards, tree_blocks

from wisecommittee.committees.cards import ModelCard
from wisecommittee.committees.committee import Committee
from wisecommittee.committees.confidence import threshold_above
from wisecommittee.committees.families import FAMILIES, family_named
from wisecommittee.committees.families.groups import stops
from wisecommittee.committees.families.self_cascade import checkpoints
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.errors import AbsentError, WiseCommitteeError
from wisecommittee.searches.evaluate import evaluate, evaluate_all
from wisecommittee.searches.search import search
from wisecommittee.searches.stages.prefixes import build_prefixes
from wisecommittee.searches.workers.estimate import estimate

CASES = cases(120)


# Cascades and ensembles with tiers


@CASES
@given(
    joint_pools(),
    st.integers(1, 3),
    st.integers(2, 4),
    st.sampled_from(["mean_logits", "mean_probs", "last"]),
    st.sampled_from(["max_prob", "logit_gap"]),
    st.sampled_from(["canonical", "all"]),
    st.sampled_from([None, None, None, 6]),
)
def test_cascades_over_tiers_equal_oracle(pool, stages, levels, combine, confidence, replicas, max_worst):
    options = {"combine": combine, "confidence": confidence, "replicas": replicas, "max_worst_cost": max_worst}
    agree((for_rule(pool[0], combine), pool[1]), levels=levels, max_models=stages, **options)


@cases(20)
@given(joint_pools(members=(6, 7)), st.integers(1, 2), st.sampled_from(["canonical", "all"]))
def test_cascades_over_longer_groups_equal_oracle(pool, stages, replicas):
    agree(pool, levels=3, max_models=stages, replicas=replicas)


@CASES
@given(joint_pools(loose=False), st.integers(2, 3), st.integers(2, 4))
def test_cascades_over_a_stored_score_equal_oracle(pool, stages, levels):
    pool = for_rule(pool[0], "mean_probs"), pool[1]
    agree(pool, levels=levels, combine="mean_probs", confidence="halting", max_models=stages)


@CASES
@given(joint_pools(), st.integers(2, 3))
def test_exact_over_tiers_equals_every_threshold(pool, stages):
    agree(pool, max_models=stages, levels=2, exact=True)


@CASES
@given(joint_pools(), st.integers(1, 3), st.sampled_from(["canonical", "all"]))
def test_ensembles_with_groups_equal_oracle(pool, members, replicas):
    """A group takes part with so many of its first members as a stage could add; the order of sets is of no matter."""
    agree(pool, family="ensemble", max_models=members, replicas=replicas)


@pytest.mark.parametrize("replicas", ["canonical", "all"])
@pytest.mark.parametrize("sizes", [(4,), (4, 3), (8,), (1, 2), (6, 7)])
def test_estimate_counts_tiers(sizes, replicas):
    grouped = {f"g{g}/{i}": {"group": f"g{g}", "position": i} for g, size in enumerate(sizes) for i in range(size)}
    cards = stored_cards(grouped | {name: {} for name in ("a/0", "a/1", "z/0")})
    for name in FAMILIES:
        family = family_named(name)
        if name == "self_cascade":
            continue
        some = [card for card in cards if card.group] if name in ("anytime", "halting") else cards
        guess = estimate(some, 10, family, max_models=3, levels=5, replicas=replicas, ordered=False)
        found = [family.sequences(some, n, replicas) for n in (1, 2, 3)]
        assert guess.combinations == sum(map(len, found))
        tiers = family.tiers(some, replicas)
        keys = {tuple(sorted(m for step in row for m in tiers[step])) for rows in found for row in rows.tolist()}
        trie = build_prefixes(keys | {(m,) for m in range(len(some))})
        assert len(keys) <= guess.prefixes
        assert len(trie) <= guess.prefixes + len(some)


@pytest.mark.parametrize("replicas", ["canonical", "all"])
def test_numbers_of_members_equal_the_oracles(replicas):
    for members in map(range, range(1, 70)):
        assert list(stops(len(members), replicas)) == naive.stops(members, replicas)
    assert stops(13, "canonical") == (1, 2, 3, 4, 6, 8, 12, 13)


# Anytime


@CASES
@given(joint_pools(), st.sampled_from(["canonical", "all"]), st.sampled_from(["mean_logits", "mean_probs"]))
def test_anytime_equals_oracle(pool, replicas, combine):
    models, labels = for_rule(pool[0], combine), pool[1]
    found = agree((models, labels), family="anytime", combine=combine, replicas=replicas)
    # Independent models of the store take no part.
    joint = {m.name for m in models if m.group}
    assert {model for e in (*found, *found.singles) for model in e.committee.models} <= joint


def test_anytime_costs_the_union_of_blocks():
    """A tree of 8 leaves whose nodes cost 1: 4, 5, 8, 15 blocks run for 1, 2, 4, 8 leaves."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 200)
    models = []
    for leaf in range(8):
        logits = rng.normal(size=(200, 5)).astype(np.float32)
        logits[np.arange(200), labels] += 1
        blocks = tree_blocks("h", 8, leaf, [1, 1, 1, 1])
        models.append(naive.Model(f"h/{leaf}", "h", leaf, blocks, logits, group="h", position=leaf))
    found = search(MemoryStore(models, labels.tolist()), family="anytime")
    assert [e.average_cost for e in found] == [4, 5, 8, 15]
    assert [len(e.committee.models) for e in found] == [1, 2, 4, 8]
    assert [e.committee.label() for e in found] == [
        "h/1",
        "h/0 + h/1",
        "h/0..3",
        "h/0..7",
    ]  # of eight leaves alone h/1 is best
    assert found.query.family == "anytime"
    assert found.searched["combinations"] == 8 + 3
    every = search(MemoryStore(models, labels.tolist()), family="anytime", replicas="all")
    assert every.searched["combinations"] == 8 + 7


# One threshold for all stages


@CASES
@given(
    joint_pools(),
    st.integers(1, 3),
    st.sampled_from(["mean_logits", "mean_probs", "last"]),
    st.sampled_from(["max_prob", "logit_gap"]),
)
def test_shared_threshold_equals_oracle(pool, stages, combine, confidence):
    options = {"combine": combine, "confidence": confidence}
    agree((for_rule(pool[0], combine), pool[1]), max_models=stages, shared_threshold=True, **options)


@CASES
@given(pools(), st.integers(2, 3), st.sampled_from(["max_prob", "confidence"]))
def test_shared_threshold_of_independent_models_equals_oracle(pool, stages, confidence):
    """Costs that vary per unit, and stored scores, too."""
    agree(pool, max_models=stages, confidence=confidence, shared_threshold=True)


@CASES
@given(joint_pools(members=(1, 2, 3)), st.sampled_from([0.5, 0.0, 2.0]))
def test_shared_threshold_of_halting_is_the_margin(pool, margin):
    """IRENE as run: exit at the first step with score > m, one m for all; and the search over every m."""
    models, labels = for_rule(pool[0], "mean_probs"), pool[1]
    options = {"combine": "mean_probs", "confidence": "halting", "family": "halting"}
    agree((models, labels), shared_threshold=True, **options)
    joint, store = [m for m in models if m.group], MemoryStore(models, labels)
    for members in naive.groups(joint).values():
        whole = Committee(
            tuple((m.name,) for m in members), Thresholds((0.0,) * (len(members) - 1)), "halting", "mean_probs"
        )
        result = evaluate(whole.at(above=margin), store, "val")
        steps = []
        for i in range(len(labels)):
            halted = [t for t, m in enumerate(members[:-1]) if np.float32(m.stored_scores["halting"][i]) > margin]
            steps.append(halted[0] if halted else len(members) - 1)
        assert list(result.exit_ratios) == [steps.count(t) / len(labels) for t in range(len(members))]
        costs = [naive.set_cost(members[: t + 1], 0) for t in steps]
        assert result.average_cost == float(Fraction(sum(costs), len(labels)))


@pytest.mark.parametrize("percent", [50, 90, 97])
def test_shared_threshold_keeps_the_limits(percent):
    """All but so many percent of the units cost at most 2, and so run two stages; a loop over all thresholds."""
    models = steps_of("irene", 3)
    allowed = len(LABELS) - math.ceil(percent * len(LABELS) / 100)
    best = {}
    for size in (1, 2, 3):
        scores = [np.array(m.stored_scores["halting"], np.float32) for m in models[: size - 1]]
        for t in [*np.unique(np.concatenate([*scores, [np.float32(np.inf)]]))]:
            one = naive.evaluate([[m] for m in models[:size]], [t] * (size - 1), LABELS, "mean_probs", "halting")
            if size < 3 or one.exits[2] <= allowed:
                best[one.total_cost] = max(best.get(one.total_cost, 0), one.correct)
    for model in models:
        alone = naive.evaluate([[model]], [], LABELS, "mean_probs", "halting")
        best[alone.total_cost] = max(best.get(alone.total_cost, 0), alone.correct)
    sky = []
    for cost, correct in sorted(best.items()):
        if not sky or correct > sky[-1][0]:
            sky.append((correct, float(Fraction(cost, len(LABELS)))))
    options = {"family": "halting", "shared_threshold": True, "max_percentile_cost": (percent, 2)}
    found = agree((models, LABELS), combine="mean_probs", confidence="halting", **options)
    assert [(e.correct, e.average_cost) for e in found] == sky


def test_a_list_of_thresholds_is_one_line():
    """Wisdom of committees as run beside IRENE: thresholds 0 to 1 in steps of 0.01, shared."""
    models = steps_of("irene", 3)
    store = MemoryStore(models, LABELS)
    committee = Committee(tuple((m.name,) for m in models), Thresholds((0.0, 0.0)), "max_prob", "mean_probs")
    rows = evaluate_all([committee.at(t / 100) for t in range(101)], store, "val")
    assert [row.average_cost for row in rows] == sorted(row.average_cost for row in rows)
    assert rows[0].average_cost == 1
    best = search(store, shared_threshold=True, combine="mean_probs", replicas="all", max_models=3)
    for row in rows:
        assert best.within(average_cost=row.average_cost).correct >= row.correct


def test_estimate_of_a_shared_threshold_is_an_upper_bound():
    models = steps_of("irene", 3)
    store = MemoryStore(models, LABELS)
    guess = estimate(
        store.cards("val"), len(LABELS), family_named("halting"), max_models=3, levels=100, replicas="canonical",
        ordered=False, shared=True,
    )  # fmt: skip
    found = search(store, family="halting", shared_threshold=True).searched["threshold_vectors"]
    assert found <= guess.vectors == 3 + 2 + (1 + 2) * len(LABELS)


@pytest.mark.parametrize("margin", [0.0, 0.1, 0.5, 1 / 3, 1 - 2**-24, 1.0])
def test_threshold_above(margin):
    value = np.float32(threshold_above(margin))
    assert value > margin
    assert not np.nextafter(value, np.float32(-np.inf)) > margin


# Halting


@CASES
@given(joint_pools(members=(1, 2, 3)), st.integers(2, 5))
def test_halting_equals_oracle(pool, levels):
    models, labels = for_rule(pool[0], "mean_probs"), pool[1]
    options = {"combine": "mean_probs", "confidence": "halting", "family": "halting"}
    found = agree((models, labels), levels=levels, **options)
    agree((models, labels), exact=True, **options)
    # The family brings its rule and its score.
    plain = search(MemoryStore(models, labels), family="halting", levels=levels)
    assert plain.evaluations == found.evaluations


LABELS = np.random.default_rng(1).integers(0, 3, 60).tolist()


def steps_of(group: str, members: int, *, score: str | None = "halting"):
    """Members that are right in part by themselves and more often together, with scores that mean nothing."""
    rng = np.random.default_rng(0)
    units = len(LABELS)
    return [
        naive.Model(
            f"{group}/{i}",
            group,
            i,
            {f"{group}/{i}": 1},
            (rng.normal(size=(units, 3)) + np.eye(3)[LABELS]).astype(np.float32),
            stored_scores={score: rng.random(units).astype(np.float32).tolist()} if score else {},
            group=group,
            position=i,
        )
        for i in range(members)
    ]


def test_halting_reaches_the_end_of_a_long_group():
    """Five steps, though cascades have four stages at most by default; --max-models limits the steps."""
    store = MemoryStore(steps_of("irene", 5), LABELS)
    found = search(store, family="halting", levels=6)
    assert found.searched["combinations"] == 5 + 4  # steps 2 to 5 by themselves too
    assert max(len(e.committee.models) for e in found) == 5
    assert search(store, family="halting", levels=6, max_models=3).searched["combinations"] == 3 + 4


def test_halting_takes_the_groups_that_have_the_score():
    models = [*steps_of("hne", 2, score=None), *steps_of("irene", 2, score="halting")]
    found = search(MemoryStore(models, LABELS), family="halting")
    assert {e.committee.models[0] for e in found} == {"irene/0"}
    both = search(MemoryStore(models, LABELS), family="halting", confidence="max_prob")
    assert both.searched["combinations"] == 6


# Self-cascades


@CASES
@given(
    pools(per_unit=False),
    st.lists(st.tuples(st.sampled_from(["x", "y", None]), st.sampled_from([8, 16, 24])), min_size=4, max_size=4),
    st.integers(1, 3),
    st.integers(2, 4),
)
def test_self_cascades_equal_oracle(pool, ways, stages, levels):
    """Models are runs of checkpoint x or y, or of none that is known, at one of three input sizes."""
    models = [replace(m, weights=w, input_size=(3, s, s)) for m, (w, s) in zip(pool[0], ways, strict=False)]
    if not naive.family_sequences(models, "self_cascade", stages, "canonical"):
        with pytest.raises(AbsentError, match="--sizes"):
            search(MemoryStore(models, pool[1]), family="self_cascade")
        return
    agree((models, pool[1]), levels=levels, max_models=stages, family="self_cascade")


def test_checkpoints_without_a_hash_go_by_the_name():
    cards = [
        ModelCard(name, blocks={name: cost})
        for name, cost in (("b3@160/0", 1), ("b3@224/0", 3), ("b3@224/1", 3), ("b3/0", 2), ("b4/0", 4))
    ]
    assert [[cards[m].model for m in some] for some in checkpoints(cards)] == [["b3@160/0", "b3/0", "b3@224/0"]]


@pytest.mark.parametrize(
    ("models", "options", "message"),
    [
        ([], {"family": "anytime"}, "jointly trained network.*train hne"),
        ([], {"family": "self_cascade"}, "two input sizes.*--sizes"),
        ([], {"family": "halting"}, "jointly trained network.*train irene"),
        (steps_of("irene", 3), {"family": "halting", "models": ["irene/0", "irene/2"]}, "nothing at position 1"),
        (steps_of("hne", 2, score=None), {"family": "halting"}, "score 'halting'.*hne/0 has none.*max_prob"),
        (steps_of("irene", 2, score="stop"), {"family": "halting"}, "Stored scores here: stop"),
        (steps_of("irene", 2), {"family": "halting", "confidence": "haltin"}, "score 'haltin'"),
        (steps_of("irene", 2), {"family": "anytime", "combine": "last"}, "averages"),
        (steps_of("irene", 12), {"family": "halting"}, "fewer levels="),
        (steps_of("irene", 3), {"family": "halting", "split": "test"}, "chooses"),
        (steps_of("irene", 3), {"family": "anytime", "shared_threshold": True}, "no thresholds"),
        (steps_of("irene", 3), {"shared_threshold": True, "method": "beam"}, "beam"),
    ],
)
def test_wrong_requests_name_the_remedy(models, options, message):
    alone = naive.Model("a/0", "a", 0, {"a": 1}, np.eye(3, dtype=np.float32)[LABELS])
    with pytest.raises(WiseCommitteeError, match=message):
        search(MemoryStore([alone, *models], LABELS), **options)


def test_a_group_needs_every_position_once():
    for positions, message in (([0, None], "without a position"), ([0, 0], "the same position 0")):
        models = [
            naive.Model(f"g/{i}", "g", i, {f"g/{i}": 1}, np.eye(3, dtype=np.float32)[LABELS], group="g", position=p)
            for i, p in enumerate(positions)
        ]
        with pytest.raises(AbsentError, match=message):
            search(MemoryStore(models, LABELS), family="anytime")

"""Units that belong together stay together in folds and in the units that test, and intervals count groups."""

from __future__ import annotations

import json

import numpy as np
import pytest

import wisecommittee as wc
from wisecommittee.committees.cards import ModelCard
from wisecommittee.errors import AbsentNameError, UsageError
from wisecommittee.searches.folds import make_group_folds
from wisecommittee.searches.guarantees.options import GuaranteeOptions
from wisecommittee.searches.guarantees.search import search_with_guarantee
from wisecommittee.searches.guarantees.units import divided, divided_by_group, one_of_each
from wisecommittee.searches.resampling.cross_fit import FoldSearches, cross_fit
from wisecommittee.searches.resampling.speedup import speedup
from wisecommittee.searches.search import solution_of
from wisecommittee.searches.workers.execution import Execution
from wisecommittee.statistics.binomial import wilson_interval
from wisecommittee.statistics.clusters import effective_units, error_of_mean, group_values
from wisecommittee.store import LogitStore
from wisecommittee.store.groups import read_groups, write_groups

CLASSES = 4
MODELS = {"a": (1.2, 10), "b": (1.8, 30), "c": (2.6, 90)}
QUERY = wc.Query(levels=10, max_models=2)
TARGET = wc.Target("target_cost", 45.0)


def drawn(folder, groups: int, copies: int, seed: int = 0, split: str = "val") -> LogitStore:
    """A store of units that stand in it `copies` times each."""
    rng, store = np.random.default_rng(seed), LogitStore(folder)
    labels = rng.integers(0, CLASSES, groups)
    rows = np.repeat(np.arange(groups), copies)
    for name, (sharp, cost) in MODELS.items():
        outputs = (rng.normal(size=(groups, CLASSES)) + sharp * np.eye(CLASSES)[labels]).astype(np.float32)
        store.add(ModelCard(name, blocks={name: cost}), split, labels=labels[rows], outputs=outputs[rows])
    write_groups(store, split, store.unit_ids(split), {"origin": [f"g{row}" for row in rows]})
    return store


def test_the_error_of_a_mean_over_groups_is_that_of_the_ratio_of_sums():
    """Against the variance of a ratio of totals, written out."""
    rng = np.random.default_rng(1)
    groups = np.unique(rng.integers(0, 40, 200), return_inverse=True)[1]
    values = rng.normal(size=200) + rng.normal(size=40)[groups]
    totals = [(values[groups == g].sum(), (groups == g).sum()) for g in range(groups.max() + 1)]
    mean = values.mean()
    of_ratio = sum((y - mean * m) ** 2 for y, m in totals) * len(totals) / (len(totals) - 1) / len(values) ** 2
    assert error_of_mean(values, groups) == pytest.approx(of_ratio**0.5)
    assert group_values(values, groups).mean() == pytest.approx(mean)


def test_copies_count_once_and_units_by_themselves_as_they_are():
    rng = np.random.default_rng(2)
    values = (rng.random(3000) < 0.8).astype(float)
    alone = effective_units(values, np.arange(3000))
    assert alone == pytest.approx(3000, rel=2e-3)
    assert effective_units(np.repeat(values, 3), np.repeat(np.arange(3000), 3)) == pytest.approx(3000, rel=2e-3)
    assert effective_units(np.ones(30), np.repeat(np.arange(10), 3)) <= 10
    assert effective_units(np.array([1.0, 0.0]), np.array([0, 0])) == 0


def test_folds_take_whole_groups_and_spread_classes():
    rng = np.random.default_rng(3)
    labels, groups = rng.integers(0, 3, 900), np.repeat(np.arange(300), 3)
    labels = np.repeat(labels[:300], 3)
    folds = make_group_folds(labels, groups, 5, seed=1)
    assert all(len(set(folds[groups == g])) == 1 for g in range(300))
    assert np.ptp(np.bincount(folds)) <= 6
    counts = np.array([np.bincount(labels[folds == fold], minlength=3) for fold in range(5)])
    assert np.ptp(counts, axis=0).max() <= 6
    assert (make_group_folds(labels, groups, 5, seed=1) == folds).all()
    assert (make_group_folds(labels, groups, 5, seed=2) != folds).any()


def test_the_searches_without_a_fold_do_not_see_its_groups(tmp_path):
    store = drawn(tmp_path / "s", 60, 3)
    solution = solution_of(store, QUERY, Execution(threads=1))
    crossfit = cross_fit(FoldSearches(solution, 4, 2, 0, group_by="origin"))
    groups = np.array(read_groups(store, "val")["origin"])
    for folds in crossfit.repeats:
        assert sorted(np.concatenate([fold.held_out for fold in folds]).tolist()) == list(range(180))
        for fold in folds:
            assert not set(groups[fold.trained]) & set(groups[fold.held_out])


def test_figures_of_copies_are_as_wide_as_those_of_the_units_alone(tmp_path, run):
    """Each unit three times: the interval is that of a third of them, and without groups it is too narrow."""
    copies, alone = drawn(tmp_path / "copies", 240, 3), drawn(tmp_path / "alone", 240, 1)
    chosen = {
        key: wc.search_and_choose(store, QUERY, TARGET, None, wc.Selection(group_by=by, folds=5))
        for key, store, by in (("grouped", copies, "origin"), ("plain", copies, None), ("alone", alone, None))
    }
    width = {
        key: (
            np.ptp(choice.evidence.expected.interval),
            np.ptp(choice.evidence.comparison.difference.interval),
            np.ptp(choice.evidence.expected.cost_interval),
            np.ptp(choice.evidence.comparison.speedup.interval),
        )
        for key, choice in chosen.items()
    }
    assert np.array(width["grouped"]) == pytest.approx(np.array(width["alone"]), rel=0.25)
    assert (np.array(width["plain"]) < 0.8 * np.array(width["grouped"])).all()
    expected = chosen["grouped"].evidence.expected
    assert (expected.grouped_by, expected.groups, expected.n) == ("origin", 240, 720)
    code, out, err = run("search", "--store", copies.files.uri, "--target-cost", "45", "--max-models", "2", "--levels",
                         "10", "--folds", "5", "--group-by", "origin", "--json")  # fmt: skip
    assert code == 0, err
    printed = json.loads(out)
    assert printed["expected"]["grouped_by"] == "origin"
    assert printed["expected"]["folds"] == 5
    assert printed["query"]["group_by"] == "origin"
    assert "grouped_by" not in chosen["plain"].evidence.expected.to_json()


def test_a_frontier_file_keeps_what_its_folds_were_grouped_by(tmp_path):
    store = drawn(tmp_path / "s", 60, 2)
    choice = wc.search_and_choose(store, QUERY, None, None, wc.Selection(group_by="origin", folds=3))
    choice.frontier.save(tmp_path / "f.parquet")
    read = wc.Frontier.load(tmp_path / "f.parquet")
    assert read.expected == choice.frontier.expected
    assert read.expected[0].grouped_by == "origin"


def test_ends_of_a_speed_up_are_those_of_groups():
    rng = np.random.default_rng(4)
    reference, committee = np.full(400, 10.0), rng.choice([2.0, 12.0], 400, p=[0.7, 0.3])
    copied = [np.repeat(costs, 3) for costs in (reference, committee)]
    groups = np.repeat(np.arange(400), 3)
    alone, of_groups = speedup("average", reference, committee, (10, 12)), speedup("average", *copied, (10, 12), groups)
    assert of_groups.interval == pytest.approx(alone.interval, rel=1e-9)


def test_a_guarantee_is_tested_on_one_unit_of_each_group_that_did_not_choose(tmp_path):
    store = drawn(tmp_path / "s", 200, 3)
    groups = np.repeat(np.arange(200), 3)
    choosing, testing = divided_by_group(groups, 0.5, 7)
    whole, set_aside = divided(200, 0.5, 7)
    assert sorted(set(groups[choosing])) == whole.tolist()
    assert len(choosing) == 300
    assert groups[testing].tolist() == set_aside.tolist()
    asked = GuaranteeOptions(guarantee=["accuracy >= 0.5"])
    choice = search_with_guarantee(store, asked, QUERY, None, None, wc.Selection(group_by="origin", seed=7))
    (statement,) = choice.certificate.statements
    assert (statement.n, choice.val.n) == (100, 300)
    assert statement.method == "exact binomial, one unit of each group by origin"
    assert choice.val.committee.guarantee[0]["method"] == statement.method


def test_each_unit_of_a_group_is_as_likely_to_test():
    groups = np.array([0, 0, 0, 0, 1, 2, 2])
    picked = np.array([one_of_each(groups, seed) for seed in range(2000)])
    assert [len(set(groups[row])) for row in picked[:5]] == [3] * 5
    shares = np.bincount(picked.ravel(), minlength=7) / 2000
    assert shares == pytest.approx([0.25] * 4 + [1.0] + [0.5] * 2, abs=0.04)


def test_another_split_can_test_by_group(tmp_path):
    store = drawn(tmp_path / "s", 80, 2)
    drawn(tmp_path / "s", 90, 3, seed=1, split="extra")
    asked = GuaranteeOptions(guarantee=["accuracy >= 0.5"], guarantee_split="extra")
    choice = search_with_guarantee(store, asked, QUERY, None, None, wc.Selection(group_by="origin"))
    assert choice.certificate.statements[0].n == 90


def test_the_comparison_on_test_counts_groups(tmp_path):
    store = drawn(tmp_path / "s", 120, 2)
    drawn(tmp_path / "s", 120, 3, seed=1, split="test")
    of_groups, plain = (
        wc.search_and_choose(store, QUERY, TARGET, None, wc.Selection(group_by=by, folds=3, choose="best"))
        for by in ("origin", None)
    )
    wide, narrow = (np.ptp(choice.evidence.comparison.test.interval) for choice in (of_groups, plain))
    assert wide > 1.4 * narrow


def test_groups_that_are_not_there_or_too_few_are_named(tmp_path, run):
    store = drawn(tmp_path / "s", 6, 20)
    with pytest.raises(AbsentNameError, match=r"column that groups units of val .*'orign'; did you mean 'origin'"):
        wc.search_and_choose(store, QUERY, TARGET, None, wc.Selection(group_by="orign"))
    code, _, err = run(
        "search", "--store", store.files.uri, "--target-cost", "45", "--group-by", "origin", "--folds", "5"
    )
    assert code == 1
    assert "6 groups are too few for 5 folds" in err
    counts = np.tile(np.array([3, 4, 1, 0, 0, 1], np.float32), (8, 1))
    cells = LogitStore(tmp_path / "cells")
    ids = [f"{image}:{cell}:0" for image in range(4) for cell in range(2)]
    cells.add(ModelCard("s", kind="cell_counts", blocks={"s": 1}), "val", labels=np.full(8, 8), outputs=counts,
              unit_ids=ids, scores={"confidence": np.ones(8)})  # fmt: skip
    with pytest.raises(UsageError, match="units are cells of images"):
        wc.search_and_choose(cells, QUERY, None, None, wc.Selection(group_by="origin", folds=2))


@pytest.mark.slow
def test_intervals_of_units_in_groups_cover():
    """Beta-binomial groups: 95 % intervals that count effective units cover 92 % at least, plain ones do not."""
    rng, table = np.random.default_rng(6), {}
    for size in (2, 10):
        for alike in (0.3, 1.0):
            held, plain, draws, share = 0, 0, 1000, 0.8
            for _ in range(draws):
                chance = (rng.random(100) < share).astype(float)
                if alike < 1:
                    chance = rng.beta(share * (1 - alike) / alike, (1 - share) * (1 - alike) / alike, 100)
                groups = np.repeat(np.arange(100), size)
                values = (rng.random(len(groups)) < chance[groups]).astype(float)
                for counted in (True, False):
                    number = effective_units(values, groups) if counted else len(values)
                    low, high = wilson_interval(values.mean() * number, number)
                    held, plain = (
                        held + (counted and low <= share <= high),
                        plain + (not counted and low <= share <= high),
                    )
            table[size, alike] = held / draws, plain / draws
    print(table)
    assert all(covers >= 0.92 for covers, _ in table.values())
    assert table[10, 1.0][1] < 0.6

"""Match tables against the oracle: what is chosen on val, and every number shown, on val and on test."""

from __future__ import annotations

import naive
import numpy as np
import pytest
from analyses_pool import Case, cheapest, figures, most_accurate
from pools import MemoryStore

from wisecommittee.analyses import match
from wisecommittee.analyses.study import Study, study_of
from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.errors import AbsentError
from wisecommittee.report import published, tables

POOL = {"a": (2, 10, 1.0), "b": (2, 27, 1.6), "c": (1, 90, 2.2)}


@pytest.fixture(scope="module")
def case():
    return Case(POOL)


def table(case, kind, **changes):
    study = study_of(case.store, max_models=3, levels=case.study.query.levels, threads=1, **changes)
    made = tables.fill(kind, study)
    names = [c.name for c in made.columns]
    return made, [dict(zip(names, row, strict=True)) for row in made.rows]


def expected(case, name):
    """The oracle's points of similar cost, of similar quality, and of similar quality with a bounded worst case."""
    single = case.evaluate("val", [[f"{name}/0"]])
    n = len(case.labels["val"])
    correct, cost = round(single[0] * n), round(single[1])
    frontier = case.search()
    bounded = case.search(limits=naive.Limits(worst=cost))
    return most_accurate(frontier, cost * n), cheapest(frontier, correct), cheapest(bounded, correct)


def test_match_against_the_oracle(case):
    made, rows = table(case, "match")
    assert [(r["model"], r["split"]) for r in rows] == [(f"{m}/0", s) for m in "abc" for s in ("val", "test")]
    for row in rows:
        name, split = row["model"], row["split"]
        single = case.evaluate(split, [[name]])
        costly, good, _ = (case.evaluate(split, p[2], p[3]) for p in expected(case, name.split("/")[0]))
        assert (row["single_quality"], row["single_cost"]) == single[:2]
        assert (row["similar_cost_quality"], row["similar_cost_cost"]) == costly[:2]
        assert row["delta"] == costly[0] - single[0]
        assert (row["similar_quality_quality"], row["similar_quality_cost"]) == good[:2]
        assert row["speedup"] == single[1] / good[1]
    assert max(r["delta"] for r in rows) > 0
    assert max(r["speedup"] for r in rows) > 1
    assert "n = 40" in made.notes[0]
    assert "n = 50" in made.notes[0]


def test_worst_case_against_the_oracle(case):
    _, rows = table(case, "worst-case")
    kinds = ("single model", "w/o guarantee", "with guarantee")
    assert [(r["model"], r["kind"], r["split"]) for r in rows] == [
        (f"{m}/0", k, s) for m in "abc" for k in kinds for s in ("val", "test")
    ]
    for row in rows:
        single = case.evaluate(row["split"], [[row["model"]]])
        _, good, bounded = expected(case, row["model"].split("/")[0])
        stages = {"single model": ([[row["model"]]], ()), "w/o guarantee": good[2:], "with guarantee": bounded[2:]}
        found = case.evaluate(row["split"], *stages[row["kind"]])
        assert (row["quality"], row["average_cost"], row["worst_case_cost"]) == found[:3]
        assert row["speedup"] == (None if row["kind"] == "single model" else single[1] / found[1])
        if row["kind"] == "with guarantee":
            assert row["worst_case_cost"] <= single[2]
    assert any(
        w["worst_case_cost"] > s["worst_case_cost"] for s, w in zip(rows[::6], rows[2::6], strict=True)
    )  # without it the bound is passed: the guarantee says something


def test_exits_against_the_oracle(case):
    _, rows = table(case, "exits")
    for row in rows:
        by = {"FLOPs": 0, "accuracy": 1, "accuracy*": 2}[row["chosen_for"]]
        point = expected(case, row["model"].split("/")[0])[by]
        quality, cost, _, exits = case.evaluate(row["split"], *point[2:])
        assert (row["quality"], row["average_cost"]) == (quality, cost)
        shown = [row[f"exit{k + 1}"] for k in range(3) if f"exit{k + 1}" in row]
        assert tuple(e for e in shown if e is not None) == exits
        assert row["committee"] == " | ".join(" + ".join(stage) for stage in point[2])


def test_exits_of_named_committees(case):
    chosen = case.study.frontier().best().committee
    _, (row,) = table(case, "exits", committees=(chosen,), split="test")
    quality, cost, _, exits = case.evaluate("test", chosen.stages, chosen.thresholds.values)
    assert (row["quality"], row["average_cost"]) == (quality, cost)
    assert tuple(row[f"exit{k + 1}"] for k in range(len(exits))) == exits


def test_diversity_against_the_oracle(case):
    _, rows = table(case, "diversity")
    n = len(case.labels["val"])
    for row in rows:
        single = case.evaluate("val", [[row["model"]]])
        correct = round(single[0] * n)
        alike = [cheapest(f, correct) for a in POOL if (f := case.search(only=a))[-1][0] >= correct]
        least = min(p[1] for p in alike)
        on_val = case.evaluate("val", *next((p[2], p[3]) for p in alike if p[1] == least))
        if row["split"] != "val":
            continue
        if row["kind"] == "one architecture":
            assert (row["quality"], row["average_cost"]) == on_val[:2]
            assert len({m.split("/")[0] for m in row["committee"].replace(" | ", " + ").split(" + ")}) == 1
        elif row["kind"] == "any":
            assert row["average_cost"] == cheapest(case.search(), correct)[1] / n
        assert row["speedup"] == (None if row["kind"] == "single" else single[1] / row["average_cost"])


def test_without_a_test_split_only_val_is_shown(case):
    val_only = case.store._stores["val"]
    val_only.has_split = lambda split: split == "val"
    made = tables.fill("match", study_of(val_only, max_models=2, levels=4, threads=1))
    assert made.column("split") == ["val"] * 3
    assert "no split to report on" in made.notes[0]


@pytest.mark.parametrize(("kind", "rows"), [("match", 14), ("worst-case", 6), ("exits", 9), ("diversity", 12)])
def test_published_rows_stand_below(case, kind, rows):
    plain, _ = table(case, kind)
    made, found = table(case, kind, published=True)
    assert [row[:-1] for row in made.rows[: len(plain.rows)]] == list(plain.rows)
    assert [r["source"] for r in found[len(plain.rows) :]] == [found[-1]["source"]] * rows
    assert made.notes[-1].startswith("paper: Wang et al. 2022, Table ")
    assert {cells[-1] for cells in made.cells()} == {"this store", "paper"}


def test_published_numbers_are_in_our_units(case):
    _, found = table(case, "match", published=True)
    b7 = next(r for r in found if r["model"] == "B7")
    assert (b7["single_quality"], b7["single_cost"], b7["delta"]) == (0.841, 37_000_000_000, 0.007)
    assert (b7["similar_quality_cost"], b7["speedup"]) == (6_900_000_000, 5.4)


def test_what_is_missing_is_named():
    with pytest.raises(AbsentError, match="one model only"):
        match.match(Case({"a": (1, 10, 1.0)}).study)
    with pytest.raises(AbsentError, match=r"one replica.*b3/0, b3/1"):
        match.diversity(Case({"a": (1, 10, 1.0), "b": (1, 20, 1.0)}).study)
    with pytest.raises(AbsentError, match="only architecture"):
        match.diversity(Case({"a": (2, 10, 1.0)}).study)


def test_figures_are_those_of_the_evaluator(case):
    for m in match.match(case.study):
        for shown in (m.single, m.similar_cost, m.similar_quality):
            for e in shown.on():
                assert figures(e) == case.evaluate(e.split, e.committee.stages, e.committee.thresholds.values)


# Golden: Table 16's exit ratios and Table 13's FLOPs give the averages behind the printed ones, through the whole path.

AVERAGES = (0.537, 0.672, 1.067, 2.007, 3.411, 3.578, 4.125, 4.211, 6.878)  # in 1e9, in the order of Table 16
UNITS = 1000  # ratios are printed in tenths of a percent


def test_table_16_comes_out_of_its_exit_ratios():
    flops = {r["model"]: r["single_flops"] for r in published.rows("wisdom_table13")} | {"B0": 390_000_000}
    found = []
    for row in published.rows("wisdom_table16"):
        names = row["cascade"].split("+")
        names = [f"{a}/{names[:k].count(a)}" for k, a in enumerate(names)]
        exits = [round(1000 * row[f"exit{k + 1}"]) for k in range(len(names) - 1)]
        stage = np.repeat(np.arange(len(names)), [*exits, UNITS - sum(exits)])
        # Until its exit a unit's mean logits are equal, there they are 10 apart.
        gap = [np.where(stage == k, 10.0 * (k + 1), 0.0) for k in range(len(names))]
        logits = [np.column_stack([g, np.zeros(UNITS)]).astype(np.float32) for g in gap]
        models = [
            naive.Model(n, n.split("/")[0], int(n[-1]), {n: flops[n.split("/")[0]]}, x)
            for n, x in zip(names, logits, strict=True)
        ]
        committee = Committee(tuple((n,) for n in names), Thresholds((0.9,) * (len(names) - 1)))
        study = Study(MemoryStore(models, [0] * UNITS), committees=(committee,))
        made = tables.fill("exits", study)
        assert list(made.rows[0][4:]) == [e / UNITS for e in [*exits, UNITS - sum(exits)]]
        found.append(round(made.rows[0][3] / 1e9, 3))
    assert tuple(found) == AVERAGES

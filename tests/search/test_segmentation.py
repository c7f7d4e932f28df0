"""Segmentation from pixels to the frontier, against loops over the definitions."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from fractions import Fraction
from types import SimpleNamespace

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pools import cases
from scipy.stats import norm, t

from wisecommittee.analyses.study import Study
from wisecommittee.committees.cards import Contents, ModelCard
from wisecommittee.committees.committee import Committee
from wisecommittee.committees.families import cascade
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.errors import (
    AbsentError,
    AlignmentError,
    ContentError,
    CostError,
    StoreError,
    UsageError,
    WiseCommitteeError,
)
from wisecommittee.report import tables
from wisecommittee.searches.evaluate import evaluate, evaluate_in
from wisecommittee.searches.frontier import Frontier
from wisecommittee.searches.grid.miou import chains
from wisecommittee.searches.guarantees.options import GuaranteeOptions
from wisecommittee.searches.guarantees.search import search_with_guarantee
from wisecommittee.searches.members import members_pool
from wisecommittee.searches.query import Query
from wisecommittee.searches.resampling.on_test import compare_on
from wisecommittee.searches.resampling.outcomes import outcomes_of
from wisecommittee.searches.search import search
from wisecommittee.searches.stages.exit_table import prefix_tables
from wisecommittee.searches.stages.pool import open_pool
from wisecommittee.searches.stages.split_model import model_quality
from wisecommittee.store import LogitStore
from wisecommittee.store.card_files import _checksum
from wisecommittee.store.imports.costs import import_costs
from wisecommittee.store.imports.segmentation import Dense, cells_of, import_images, joint_card
from wisecommittee.store.splitting import split_store
from wisecommittee.store.stage_overhead import NO_OVERHEAD
from wisecommittee.tasks import Segmentation
from wisecommittee.tasks.intervals import normal_interval


class CellStore:
    """The reading side of a store with the cells of every set of some models."""

    labels_from = None

    def __init__(self, dense, labels, cost, cell, further=(), together=3):
        self.files = SimpleNamespace(uri="memory")
        cards = {d.model: ModelCard(d.model, blocks={d.model: cost[d.model]}, costs=dict(further)) for d in dense}
        dense = sorted(dense, key=lambda d: cards[d.model].key)
        self.unit_ids, entries = cells_of(dense, labels, cell=cell, ignored=9, together=together)
        self.entries = {}
        for entry in entries:
            card = joint_card([cards[m] for m in entry.members], cell)
            contents = Contents(len(self.unit_ids), entry.statistics.shape[1], "float32", "", scores=("confidence",))
            self.entries[card.model] = card.with_contents(contents), entry

    def with_labels_from(self, model: str | None):
        return self

    def stage_overhead(self):
        return NO_OVERHEAD

    def require_split(self, split): ...

    def units(self, split):
        return SimpleNamespace(index=dict.fromkeys(self.unit_ids), hash="in memory")

    def cards(self, split):
        return tuple(sorted((card for card, _ in self.entries.values()), key=lambda card: card.key))

    def card(self, model, split):
        return self.entries[model][0]

    def labels(self, split):
        return np.zeros(len(self.unit_ids), np.int64)

    def outputs(self, model, split):
        return self.entries[model][1].statistics.astype(np.float32)

    def scores(self, model, split, name):
        return self.entries[model][1].confidence


@st.composite
def scenes(draw):
    """Up to three models on one or two small images: ties, unlabelled pixels, unsure pixels, cells cut at the edge."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    images, height, width = draw(st.integers(1, 2)), draw(st.integers(1, 5)), draw(st.integers(1, 5))
    classes = draw(st.integers(2, 3))
    labels = rng.choice([*range(classes), 9], (images, height, width))
    dense, cost = [], {}
    for name in "cab"[: draw(st.integers(1, 3))]:
        weights = (
            rng.integers(0, 4, (images, height, width, classes)) + np.eye(classes, dtype=int)[rng.integers(classes)]
        )
        dense.append(Dense(name, "probabilities", (weights / weights.sum(-1, keepdims=True)).astype(np.float32)))
        cost[name] = int(rng.integers(1, 5))
    return dense, labels, cost


def entries_of(dense, labels, cell):
    """Entries of every set, from means over float32 sums in the order of names."""
    out = {}
    for size in range(1, len(dense) + 1):
        for some in itertools.combinations(sorted(dense, key=lambda d: d.model), size):
            total = some[0].outputs
            for d in some[1:]:
                total = total + d.outputs
            mean = total / np.float32(size)
            out[frozenset(d.model for d in some)] = naive.cell_entries(mean, labels, cell, 9, 0.5)
    return out


@cases(100)
@given(scenes(), st.integers(1, 4), st.integers(2, 5))
def test_frontier_equals_oracle(scene, cell, levels):
    dense, labels, cost = scene
    store = CellStore(dense, labels, cost, cell)
    expected = entries_of(dense, labels, cell)
    for members, cells in expected.items():
        _, entry = store.entries["+".join(sorted(members))]
        assert entry.confidence.tolist() == pytest.approx([float(c[0]) for c in cells], rel=1e-6)
        assert entry.statistics.tolist() == [c[1] + c[2] + c[3] for c in cells]
    # The oracle takes the product's own last bits of a confidence, so that ties are the same.
    own = {
        members: [(np.float32(c), *cell[1:]) for c, cell in zip(own_confidence(store, members), cells, strict=True)]
        for members, cells in expected.items()
    }
    frontier = search(store, levels=levels, threads=1)
    n = len(store.unit_ids)
    assert [(e.average_cost, e.quality) for e in frontier] == [
        (float(Fraction(total, n)), quality) for total, quality in naive.segmentation_search(own, cost, levels)
    ]
    assert evaluate_in(open_pool(store, "val", store.cards("val")), [e.committee for e in frontier]) == list(frontier)
    again = search(store, levels=levels, threads=3)
    assert again.evaluations == frontier.evaluations
    assert {e.committee.models[0] for e in frontier.singles} == set(cost)


def own_confidence(store, members):
    return store.entries["+".join(sorted(members))][1].confidence


def scene(models=3, images=6, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, (images, 2, 3)).repeat(4, 1).repeat(4, 2)
    hard = rng.gamma(1.5, 1.0, (images, 2, 3, 1)).repeat(4, 1).repeat(4, 2)
    made, cost = [], {}
    for m in range(models):
        logits = rng.normal(size=(*labels.shape, 4)) + np.eye(4)[labels] * (1.5 + m) / (0.5 + hard)
        made.append(Dense(f"m{m}", "logits", logits.astype(np.float32)))
        cost[f"m{m}"] = 10 * 2**m
    labels[0, :2] = 9
    return made, labels, cost


def test_four_stages_loop_over_outer_levels():
    made, labels, cost = scene(4, images=6)
    store = CellStore(made, labels, cost, 4, together=4)
    found = search(store, levels=5)
    own = {
        card.members: list(zip(e.confidence, *np.split(e.statistics, 3, axis=1), strict=True))
        for card, e in store.entries.values()
    }
    n = len(store.unit_ids)
    assert [(e.average_cost, e.quality) for e in found] == [
        (total / n, quality) for total, quality in naive.segmentation_search(own, cost, 5)
    ]
    assert max(len(e.committee.stages) for e in found) == 4


def test_limits_are_kept_and_complete():
    """Against filtering every vector of levels afterwards."""
    made, labels, cost = scene(2)
    store = CellStore(made, labels, cost, 4, further={"latency_ms": 2.0})
    pool = open_pool(store, "val", store.cards("val"))
    n = pool.units
    for options in ({"max_average": {"latency_ms": 3.0}}, {"max_percentile_cost": (75, 10)}, {"max_worst_flops": 20}):
        found = search(store, levels=6, **options)
        points = []
        for chain in (s for size in (1, 2) for s in chains(pool.cards, size).tolist()):
            scores = [store.scores(pool.cards[m].model, "val", "confidence") for m in chain[:-1]]
            grids = [naive.levels(s, 6) for s in scores]
            for vector in itertools.product(range(6), repeat=len(scores)):
                stage = naive.exit_stages(scores, [g[j] for g, j in zip(grids, vector, strict=True)], n)
                spent = sorted(sum(cost[m] for m in pool.cards[chain[k]].members) for k in stage)
                latency = sum(2.0 * len(pool.cards[chain[k]].members) for k in stage) / n
                worst = sum(cost[m] for m in pool.cards[chain[-1]].members)
                if latency > options.get("max_average", {}).get("latency_ms", 1e9):
                    continue
                if "max_percentile_cost" in options and spent[-(-75 * n // 100) - 1] > 10:
                    continue
                if worst > options.get("max_worst_flops", 1e9):
                    continue
                totals = sum(store.outputs(pool.cards[chain[k]].model, "val")[i] for i, k in enumerate(stage))
                tp, fp, fn = np.split(totals.astype(int), 3)
                points.append((sum(spent), naive.mean_iou(tp.tolist(), fp.tolist(), fn.tolist())))
        sky = []
        for total, quality in sorted(points, key=lambda p: (p[0], -p[1])):
            if not sky or quality > sky[-1][1]:
                sky.append((total / n, quality))
        assert [(e.average_cost, e.quality) for e in found] == sky


def test_chains_grow():
    cards = [joint_card([ModelCard(m, blocks={m: 1}) for m in name], 8) for name in ("a", "b", "ab", "c", "abc")]
    assert chains(cards, 2).tolist() == [[0, 2], [0, 4], [1, 2], [1, 4], [2, 4], [3, 4]]
    assert chains(cards, 3).tolist() == [[0, 2, 4], [1, 2, 4]]
    assert chains(cards, 4).shape == (0, 4)


def test_cell_counts_without_sets_are_cascades_in_which_the_newest_answers():
    made, labels, cost = scene(3)
    store = CellStore(made, labels, cost, 4)
    store.entries = {name: entry for name, entry in store.entries.items() if len(entry[0].members) == 1}
    found = search(store, levels=5)
    assert found.searched["combinations"] == sum(len(cascade.combinations(store.cards("val"), n)) for n in (1, 2, 3))
    assert any(len(e.committee.stages) > 1 for e in found)


def test_interval_is_that_of_resampled_cells():
    rng = np.random.default_rng(0)
    task = Segmentation(3)
    labelled = rng.integers(20, 60, (800, 3))
    tp = rng.binomial(labelled, [0.9, 0.7, 0.4])
    statistics = np.concatenate([tp, rng.permuted(labelled - tp, axis=1), labelled - tp], axis=1)
    totals = statistics.sum(axis=0)
    low, high = normal_interval(float(task.quality(totals, 800)), statistics @ task.gradient(totals))
    drawn = [task.quality(statistics[rng.integers(0, 800, 800)].sum(axis=0), 800) for _ in range(2000)]
    expected = np.quantile(drawn, [0.025, 0.975])
    assert [low, high] == pytest.approx(expected, abs=0.1 * (expected[1] - expected[0]))
    assert low < task.quality(totals, 800) < high


def test_quality_of_absent_classes():
    task = Segmentation(3)
    assert task.quality(np.array([4, 0, 0, 0, 0, 0, 4, 0, 0]), 1) == 0.5  # only class 0 occurs
    assert task.quality(np.zeros(9, np.int64), 1) == 0.0
    assert task.quality(np.array([1, 0, 0, 0, 1, 0, 1, 0, 0]), 1) == 0.25  # class 1 is predicted, never there


@pytest.fixture
def files(tmp_path):
    made, labels, cost = scene(2)
    np.save(tmp_path / "labels.npy", labels)
    (tmp_path / "models.csv").write_text("model,flops\n" + "".join(f"{m},{c}\n" for m, c in cost.items()))
    for d in made:
        np.save(tmp_path / f"{d.model}.npy", d.outputs)
    return tmp_path


def run_import(files, store, **options):
    named = [("logits", m, files / f"{m}.npy") for m in ("m1", "m0")]
    given = {"labels": files / "labels.npy", "costs": files / "models.csv", "cell": 4, "ignored": 9} | options
    return import_images(store, "val", named, **given)


def test_from_files_to_a_committee_and_back(files, tmp_path):
    store = LogitStore(tmp_path / "S")
    assert run_import(files, store) == {"m0": "added", "m1": "added", "m0+m1": "added"}
    assert set(run_import(files, store).values()) == {"unchanged"}
    assert store.verify() == []
    assert store.unit_ids("val")[:3] == ["0:0:0", "0:0:1", "0:0:2"]
    frontier = search(store, levels=10)
    best = frontier.best()
    assert evaluate(best.committee, store, "val") == best
    assert best.measure == "mIoU"
    assert model_quality(store, "val", store.card("m1", "val")) == next(
        e.quality for e in frontier.singles if e.committee.models == ("m1",)
    )
    frontier.save(tmp_path / "f.parquet")
    assert Frontier.load(tmp_path / "f.parquet").evaluations == frontier.evaluations
    # Softmax in float64 and loops give the same cells.
    made, labels, _ = scene(2)
    exps = [np.exp(d.outputs.astype(np.float64) - d.outputs.max(-1, keepdims=True)) for d in made]
    mean = sum(e / e.sum(-1, keepdims=True) for e in exps) / 2
    cells = naive.cell_entries(mean, labels, 4, 9, 0.5)
    assert store.outputs("m0+m1", "val").tolist() == [c[1] + c[2] + c[3] for c in cells]
    assert store.scores("m0+m1", "val", "confidence").tolist() == pytest.approx([c[0] for c in cells], rel=1e-5)


def test_committees_are_compared_by_whole_images(files, tmp_path):
    run_import(files, store := LogitStore(tmp_path / "S"))
    frontier = search(store, levels=10)
    committee = frontier.best().committee
    reference = next(e.committee for e in frontier.singles if e.committee.models == ("m0",))
    found = compare_on(store, "val", committee, reference)
    first, second = (evaluate(c, store, "val") for c in (committee, reference))
    assert found.difference == pytest.approx(first.quality - second.quality)
    # Six images, whose cells are summed by a loop.
    pool = members_pool([committee, reference], store, "val")
    outcomes = outcomes_of(prefix_tables(pool, [committee, reference]), [committee, reference])
    gaps = pool.task.worth(outcomes[0].statistics) - pool.task.worth(outcomes[1].statistics)
    of_image: dict[str, float] = {}
    for unit, gap in zip(store.unit_ids("val"), gaps, strict=True):
        image = unit.split(":")[0]
        of_image[image] = of_image.get(image, 0) + gap * 6 / len(gaps)
    values = np.array(list(of_image.values()))
    student = t.interval(0.95, 5, loc=values.mean(), scale=values.std(ddof=1) / 6**0.5)
    assert found.interval == pytest.approx(student)
    assert found.p == pytest.approx(2 * norm.sf(abs(values.mean()) / (values.std() / 6**0.5)))
    assert found.n == first.n > 6


def test_the_earlier_spelling_of_the_kind_is_read(files, tmp_path):
    """Cards and committees that say 'statistics' mean cell counts."""
    run_import(files, store := LogitStore(tmp_path / "S"))
    frontier = search(store, levels=4)
    for path in (tmp_path / "S/val").glob("model=*/card.json"):
        data = json.loads(path.read_text())
        assert data.pop("checksum")
        path.write_text(json.dumps(data | {"kind": "statistics", "checksum": _checksum(data | {"kind": "statistics"})}))
    before = LogitStore(tmp_path / "S")
    assert {card.kind for card in before.cards("val")} == {"cell_counts"}
    assert before.verify() == []
    assert search(before, levels=4).evaluations == frontier.evaluations
    committee = frontier.best().committee
    members = {name: {**member, "kind": "statistics"} for name, member in committee.members.items()}
    old = dataclasses.replace(committee, members=members).to_json()
    assert old["fingerprint"] != committee.fingerprint
    assert Committee.from_json(old) == committee
    assert evaluate(Committee.from_json(old), before, "val") == frontier.best()


def test_a_split_keeps_the_cells_of_an_image_together(files, tmp_path):
    run_import(files, store := LogitStore(tmp_path / "S"))
    entries = {m: dict(zip(store.unit_ids("val"), store.outputs(m, "val").tolist(), strict=True)) for m in ("m0", "m1")}
    assert split_store(store, {"val": 0.5, "test": 0.5}, seed=1) == {"val": 18, "test": 18}  # 6 images of 6 cells
    images = [{unit.split(":")[0] for unit in store.unit_ids(split)} for split in ("val", "test")]
    assert images[0] | images[1] == set("012345")
    assert not images[0] & images[1]
    for split in ("val", "test"):
        for model, before in entries.items():
            after = dict(zip(store.unit_ids(split), store.outputs(model, split).tolist(), strict=True))
            assert after == {unit: before[unit] for unit in after}
    with pytest.raises(AbsentError, match="split 'd' would be empty: test has 3 images, too few for a=1,b=1"):
        split_store(store, {"a": 1, "b": 1, "c": 1, "d": 1}, source="test")
    card = ModelCard("x", kind="cell_counts", blocks={"x": 1})
    store.add(card, "other", labels=[4, 4], outputs=np.array([[4.0, 0, 0, 0, 0, 0]] * 2, np.float32),
              unit_ids=["0:0:0", "tile-7"], scores={"confidence": np.ones(2)})  # fmt: skip
    with pytest.raises(ContentError, match="unit 'tile-7' does not say which image it is from; expected image:row:col"):
        split_store(store, {"a": 0.5, "b": 0.5}, source="other")


def test_means_of_several_models_stand_on_no_ladder(files, tmp_path):
    run_import(files, store := LogitStore(tmp_path / "S"))
    with pytest.raises(AbsentError, match=r"the longest here is m\d, m\d\)"):
        tables.fill("scaled-cascades", Study(store))


def test_what_cannot_be_written_is_named_as_it_was_given(files, tmp_path):
    run_import(files, store := LogitStore(tmp_path / "S"))
    frontier, nowhere = search(store, levels=2), tmp_path / "missing" / "f"
    for save in (frontier.save, frontier.best().committee.save):
        with pytest.raises(WiseCommitteeError, match=rf"cannot write '{re.escape(str(nowhere))}': .*No such file"):
            save(nowhere)


def test_wrong_inputs_name_the_remedy(files, tmp_path):
    store = LogitStore(tmp_path / "S")
    with pytest.raises(ContentError, match=r"labelled 9; expected a class 0\.\.3, or 255"):
        run_import(files, store, ignored=255)
    with pytest.raises(UsageError, match="cell 0"):
        run_import(files, store, cell=0)
    np.save(files / "short.npy", np.zeros((6, 8, 11), np.int64))
    with pytest.raises(AlignmentError, match=r"\[6, 8, 12\].*\[6, 8, 11\]"):
        run_import(files, store, labels=files / "short.npy")
    np.save(files / "flat.npy", np.zeros((6, 8), np.int64))
    with pytest.raises(ContentError, match="a class for every pixel"):
        run_import(files, store, labels=files / "flat.npy")
    assert not store.files.exists()
    run_import(files, store)
    for options, match in (
        ({"exact": True}, "leave exact=True out"),
        ({"method": "beam"}, "leave method='beam' out"),
        ({"combine": "mean_probs"}, "counts of pixels cannot be averaged by mean_probs; they go with `last`"),
        ({"confidence": "max_prob"}, "carry their own: confidence"),
    ):
        with pytest.raises(UsageError, match=match):
            search(store, **options)
    card, labels = ModelCard("x", kind="cell_counts", blocks={"x": 1}), store.labels("val")
    good = store.outputs("m0", "val").copy()
    for change, match in (
        ((0, 0, 0.5), "row 0 is no count"),
        ((2, 0, -1), "row 2 is no count"),
        ((1, 5, good[1, 5] + 1), "row 1 is no count"),  # a wrong pixel nobody missed
    ):
        bad = good.copy()
        bad[change[0], change[1]] = change[2]
        with pytest.raises(ContentError, match=match):
            store.add(card, "val", labels=labels, outputs=bad, scores={"confidence": np.ones(len(bad))})
    bad = good.copy()
    bad[3, 0] += 1
    with pytest.raises(AlignmentError, match="labelled pixels in row 3"):
        store.add(card, "val", labels=labels, outputs=bad, scores={"confidence": np.ones(len(bad))})
    with pytest.raises(ContentError, match="cannot share a split"):
        store.add(
            ModelCard("y", blocks={"y": 1}), "val", labels=labels % 12, outputs=good, unit_ids=store.unit_ids("val")
        )


def test_a_new_price_of_one_model_is_noticed(files, tmp_path):
    """A set lists its members' costs; they must not drift apart."""
    (files / "models.csv").write_text("model,flops,usd\nm0,1,2\nm1,3,4\n")
    store = LogitStore(tmp_path / "S")
    run_import(files, store)
    both = Committee((("m0",), ("m0+m1",)), Thresholds((0.5,)), confidence="confidence", combine="last", cost="usd")
    assert evaluate(both, store, "val").worst_case_cost == 6
    card = store.card("m0", "val")
    store.update_card("val", card, lambda found: dataclasses.replace(found, costs={"usd": 2.5}))
    with pytest.raises(CostError, match=r"usd of m0 costs (2\.5 in one card and 2|2 in one card and 2\.5) in another"):
        search(store, levels=3, cost="usd")


def test_new_costs_reach_the_sets(files, tmp_path):
    """A store priced again is the store of an import with these prices."""
    (files / "models.csv").write_text("model,flops,usd\nm0,1,2\nm1,3,4\n")
    run_import(files, store := LogitStore(tmp_path / "S"))
    (files / "new.csv").write_text("model,flops,usd,latency_ms\nm0,10,2.5,7\nm1,30,4,8\nother,1,1,1\n")
    every = dict.fromkeys(("m0", "m1", "m0+m1"), "card updated")
    assert import_costs(store, files / "new.csv") == every
    assert import_costs(store, files / "new.csv") == dict.fromkeys(("m0", "m1"), "unchanged")
    run_import(files, fresh := LogitStore(tmp_path / "F"), costs=files / "new.csv")
    assert store.cards("val") == fresh.cards("val")
    (files / "m1.csv").write_text("model,usd\nm1,9\n")
    assert import_costs(store, files / "m1.csv") == {"m1": "card updated", "m0+m1": "card updated"}
    both = Committee((("m0",), ("m0+m1",)), Thresholds((0.5,)), confidence="confidence", combine="last", cost="usd")
    assert evaluate(both, store, "val").worst_case_cost == 11.5
    search(store, levels=3, cost="usd")
    (files / "set.csv").write_text("model,usd\nm0+m1,9\n")
    with pytest.raises(UsageError, match="is what m0 and m1 say together and costs what they cost; price those"):
        import_costs(store, files / "set.csv")
    store.remove("m0")
    with pytest.raises(StoreError, match=r"m0\+m1 in val has the costs of m0, which is not there any more by itself"):
        import_costs(store, files / "m1.csv")


def test_a_guarantee_of_mean_iou_is_refused(files, tmp_path):
    store = LogitStore(tmp_path / "S")
    run_import(files, store)
    with pytest.raises(UsageError, match="mIoU is no mean over units"):
        search_with_guarantee(store, GuaranteeOptions(guarantee=["accuracy >= 0.5"]), Query(levels=5))

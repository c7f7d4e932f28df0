"""`compare` against loops over units, on a small store that stands for trained committees of three seeds."""

from __future__ import annotations

import json
import math
import shutil
import statistics
import sys

import numpy as np
import pytest
from wisecommittee.cli import main

from wisecommittee.analyses.compare import SeedSpread, compare
from wisecommittee.analyses.study import Study, study_of
from wisecommittee.committees.cards import ModelCard
from wisecommittee.committees.utility import utility
from wisecommittee.errors import StoreError
from wisecommittee.report import table_compare
from wisecommittee.store import LogitStore

N, C = 60, 4
MACS = {"pool": 100, "snapshot": 100, "fge": 100, "moe": 430, "sparse-moe": 320, "irene": 110}
SEEDS = {"pool": (0, 1, 2), "snapshot": (0, 1), "fge": (0,), "moe": (0, 1, 2), "sparse-moe": (2,), "irene": (0, 1, 2)}


@pytest.fixture(scope="module")
def arrays():
    """{(split, model): (outputs, halting scores)} and {split: labels}."""
    rng = np.random.default_rng(0)
    labels = {split: rng.integers(0, C, N) for split in ("val", "test")}
    made = {}
    for split, truth in labels.items():
        for method, seeds in SEEDS.items():
            for seed in seeds:
                name = f"{method}-cifar10-resnet18" + (f"-s{seed}" if seed else "")
                for member in range(1 if "moe" in method else 3):
                    logits = rng.normal(size=(N, C)) * 1.5 + 1.5 * np.eye(C)[truth]
                    halting = rng.integers(0, 8, N) / 7
                    made[split, f"{name}/{member}"] = (logits.astype(np.float32), halting.astype(np.float32))
    return made, labels


@pytest.fixture(scope="module")
def store(tmp_path_factory, arrays):
    store = LogitStore(tmp_path_factory.mktemp("compare") / "logits")
    made, labels = arrays
    for (split, model), (outputs, halting) in made.items():
        architecture, _, member = model.rpartition("/")
        method = next(m for m in sorted(MACS, key=len, reverse=True) if model.startswith(f"{m}-"))
        learned = {"group": architecture, "position": int(member)} if method == "irene" else {}
        card = ModelCard(model, architecture, int(member), blocks={model: MACS[method]}, **learned)
        scores = {"halting": halting} if learned else None
        store.add(card, split, labels=labels[split], outputs=outputs, scores=scores)
    return store


def probabilities(logits):
    z = [math.exp(float(v) - float(max(logits))) for v in logits]
    return [v / sum(z) for v in z]


def run_by_hand(arrays, split, models, leaves, macs, rule="mean_probs"):
    """(accuracy, average cost) where unit i stops after the first member k with leaves(k, i, mixed so far)."""
    made, labels = arrays
    correct = spent = 0
    for i in range(N):
        for k in range(len(models)):
            rows = [made[split, model][0][i] for model in models[: k + 1]]
            parts = rows if rule == "mean_logits" else [probabilities(row) for row in rows]
            mixed = [sum(float(part[c]) for part in parts) / (k + 1) for c in range(C)]
            if k == len(models) - 1 or leaves(k, i, mixed):
                correct += mixed.index(max(mixed)) == labels[split][i]
                spent += macs * (k + 1)
                break
    return correct / N, spent / N


def names(method, seed, count=3):
    return [f"{method}-cifar10-resnet18" + (f"-s{seed}" if seed else "") + f"/{k}" for k in range(count)]


def together(arrays, split, models, macs, rule="mean_probs"):
    return run_by_hand(arrays, split, models, lambda k, i, mixed: k == len(models) - 1, macs, rule)


def single(arrays, split, seed):
    alone = [together(arrays, split, [model], 100) for model in names("pool", seed)]
    return sum(a for a, _ in alone) / 3, 100.0


def swept(arrays, seed, method):
    """The shared threshold of the greatest utility on val, the more accurate, then the cheaper of equals, on test."""
    made = arrays[0]
    models, macs = names(method, seed), MACS["pool" if method == "pool" else "irene"]

    def at(split, step):
        def leaves(k, i, mixed):
            if method == "irene":
                return made[split, models[k]][1][i] > np.float32(step / 100)
            return np.float32(max(mixed)) >= np.float32(step / 100)

        return run_by_hand(arrays, split, models, leaves, macs)

    one, whole = single(arrays, "val", seed)[0], together(arrays, "val", names("pool", seed), 100)[0]
    found = []
    for step in range(101):
        accuracy, cost = at("val", step)
        found.append((utility(accuracy, cost / 100, one, whole, 3)[0], accuracy, -cost, -step))
    best = max(found)
    return at("test", -best[3])


def test_every_row_against_loops(store, arrays):
    (found,) = compare(Study(store))
    assert (found.data, found.backbone, found.split, found.n, found.single_cost) == (
        "cifar10",
        "resnet18",
        "test",
        N,
        100,
    )
    expected = {
        "Single model": [single(arrays, "test", seed) for seed in (0, 1, 2)],
        "Average ensemble": [together(arrays, "test", names("pool", seed), 100) for seed in (0, 1, 2)],
        "Snapshot ensemble": [together(arrays, "test", names("snapshot", seed), 100) for seed in (0, 1)],
        "FGE": [together(arrays, "test", names("fge", 0), 100, "mean_logits")],
        "MoE": [together(arrays, "test", names("moe", seed, 1), 430) for seed in (0, 1, 2)],
        "Sparse-MoE": [together(arrays, "test", names("sparse-moe", 2, 1), 320)],
        "WoC": [swept(arrays, seed, "pool") for seed in (0, 1, 2)],
        "IRENE": [swept(arrays, seed, "irene") for seed in (0, 1, 2)],
    }
    assert [row.method for row in found.rows] == list(expected)
    ensembles = {seed: together(arrays, "test", names("pool", seed), 100)[0] for seed in (0, 1, 2)}
    singles = {seed: single(arrays, "test", seed)[0] for seed in (0, 1, 2)}
    for row in found.rows:
        values = expected[row.method]
        qualities, costs = zip(*values, strict=True)
        assert row.quality.mean == pytest.approx(sum(qualities) / len(values), abs=1e-9), row.method
        assert row.cost.mean == pytest.approx(sum(costs) / len(values), abs=1e-9), row.method
        assert row.models.mean == pytest.approx(row.cost.mean / 100)
        if len(values) == 1:
            assert row.quality.deviation is None
        else:
            assert row.quality.deviation == pytest.approx(statistics.stdev(qualities), abs=1e-9)
            assert row.models.deviation == pytest.approx(statistics.stdev(costs) / 100, abs=1e-9)
        seeds = list(row.results)
        one = sum(singles[seed] for seed in seeds) / len(seeds)
        whole = sum(ensembles[seed] for seed in seeds) / len(seeds)
        by_hand, reason = utility(row.quality.mean, row.cost.mean / 100, one, whole, 3)
        assert row.utility == pytest.approx(by_hand, nan_ok=True)
        assert row.reason == reason


def test_spread():
    assert SeedSpread.of([0.5]) == SeedSpread(0.5, None)
    assert SeedSpread.of([1.0, 2.0, 4.0]) == SeedSpread(pytest.approx(7 / 3), pytest.approx(math.sqrt(7 / 3)))


def test_without_a_pool_there_is_no_utility(store):
    (found,) = compare(study_of(store, models=["irene-*", "moe-*"]))
    assert [row.method for row in found.rows] == ["MoE", "IRENE"]
    assert found.single_cost is None
    for row in found.rows:
        assert row.models is None
        assert math.isnan(row.utility)
        assert "no average ensemble of its seeds; run `wisecommittee train pool`" in row.reason
    made = table_compare.fill(study_of(store, models=["irene-*", "moe-*"]))
    assert made.column("utility")[0] is None or math.isnan(made.column("utility")[0])


def test_variants_and_other_models(store, arrays, tmp_path):
    made, labels = arrays
    store = LogitStore(shutil.copytree(store.files.uri, tmp_path / "more"))
    for split in ("val", "test"):
        for k in range(2):
            outputs, halting = made[split, names("irene", 1)[k]]
            model = f"irene-cifar10-resnet18~w2=0.05-s1/{k}"
            card = ModelCard(model, model[:-2], k, blocks={model: 110}, group=model[:-2], position=k)
            store.add(card, split, labels=labels[split], outputs=outputs, scores={"halting": halting})
        store.add(ModelCard("resnet50", blocks={"resnet50": 5}), split, labels=labels[split], outputs=outputs)
    (found,) = compare(Study(store))
    assert [row.method for row in found.rows][-2:] == ["IRENE", "IRENE w2=0.05"]
    assert found.rows[-1].cost.mean <= 220


def test_the_published_rows_of_the_same_data_and_backbone(store):
    made = table_compare.fill(Study(store))
    sources = made.column("source")
    assert sources.count("this store") == 8
    printed = [row for row in made.rows if row[-1] != "this store"]
    assert {row[0] for row in printed} == {"cifar10, resnet18"}
    irene = next(row for row in printed if row[1] == "IRENE")
    assert irene[2:9] == (0.9581, 0.0008, 1.32, 0.13, None, 3.10, None)
    everything = table_compare.fill(Study(store, published=True))
    assert len(everything.rows) == 8 + 16 + 17
    assert "Li et al. 2023, Table 2" in everything.notes[-1]


def test_val_alone_is_said_to_be_optimistic(tmp_path, arrays):
    store = LogitStore(tmp_path / "half")
    made, labels = arrays
    for model in names("pool", 0):
        card = ModelCard(model, model[:-2], int(model[-1]), blocks={model: 100})
        store.add(card, "val", labels=labels["val"], outputs=made["val", model][0])
    table = table_compare.fill(Study(store))
    assert "most utility on val, whose figures are optimistic" in table.notes[1]
    assert "optimistic" not in str(table_compare.fill(study_of(store, models=["*/0"])).notes)
    assert table.notes[0].startswith(f"Figures of val (n = {N})")


def test_nothing_trained(tmp_path, arrays):
    store = LogitStore(tmp_path / "other")
    store.add(
        ModelCard("b0", blocks={"b0": 1}),
        "val",
        labels=arrays[1]["val"],
        outputs=arrays[0]["val", names("pool", 0)[0]][0],
    )
    with pytest.raises(StoreError, match="has no trained committees in 'val'; put some there with"):
        compare(Study(store))


def test_the_command(store, capsys, monkeypatch, tmp_path):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["wisecommittee", "compare", "--store", store.files.uri, *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, capsys.readouterr()

    code, said = run("--json")
    assert code == 0
    value = json.loads(said.out)
    assert value["rows"][0][:2] == ["cifar10, resnet18", "Single model"]
    code, said = run("--format", "markdown", "--models", "pool-*")
    assert code == 0
    assert said.out.count("WoC") == 3  # ours, the paper's, and the note
    code, said = run("--out", str(tmp_path / "t.tex"))
    assert code == 0
    assert "\\toprule" in (tmp_path / "t.tex").read_text()
    code, said = run("--models", "resnet*")
    assert code == 1
    assert said.err.startswith("error: no model in val matches 'resnet*'; there are ")

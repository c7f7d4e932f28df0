"""The worked examples of CONTRIBUTING.md are run, and do what the text around them says.

One test for each heading with code; `example` runs the code below a heading and returns the names it defines.
"""

from __future__ import annotations

import itertools
import json
import re
import sys
import textwrap
import types
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pools import MemoryStore, cases, pools, product_scores, random_pool

import wisecommittee as wc
from wisecommittee import Committee, LogitStore, ModelCard, Thresholds, tasks
from wisecommittee.committees.confidence import CONFIDENCES, Confidence
from wisecommittee.committees.families import FAMILIES
from wisecommittee.committees.policies import POLICIES
from wisecommittee.errors import StoreError, UsageError
from wisecommittee.searches import methods, query
from wisecommittee.searches.evaluate import evaluate_in
from wisecommittee.searches.search import search
from wisecommittee.searches.stages.pool import open_pool
from wisecommittee.searches.units import evaluate_units
from wisecommittee.store.imports.outputs import import_outputs
from wisecommittee.store.readers.formats import READERS

TEXT = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text()
N, CLASSES = 90, 3
COSTS = {"a": 2, "b": 5, "c": 9, "d": 20}


def blocks(heading: str) -> list[str]:
    """The Python blocks below a heading."""
    sections = re.split(r"^#+ (.+)$", TEXT, flags=re.MULTILINE)
    body = dict(zip(sections[1::2], sections[2::2], strict=True))[heading]
    found = re.findall(r"^```python\n(.*?)^```$", body, re.MULTILINE | re.DOTALL)
    assert found, f"no Python below {heading!r}"
    return found


def example(heading: str, **names: Any) -> dict[str, Any]:
    """What the Python blocks below a heading define, run in a module of their own; names : what they find there."""
    space = {"__name__": "example", **names}
    for block in blocks(heading):
        exec(compile(block, f"CONTRIBUTING.md, {heading}", "exec", dont_inherit=True), space)
    return space


@pytest.fixture
def outputs():
    """{model: logits [N, C]} in steps of 1/2, so that members tie and often disagree; and labels."""
    rng = np.random.default_rng(11)
    labels = rng.integers(0, CLASSES, N)
    rows = {}
    for sharpness, name in enumerate(COSTS, start=1):
        logits = rng.integers(-2, 3, (N, CLASSES)) / 2
        logits[np.arange(N), labels] += sharpness / 3
        rows[name] = logits.astype(np.float32)
    return rows, labels


@pytest.fixture
def store(tmp_path, monkeypatch, outputs):
    monkeypatch.setenv("WISECOMMITTEE_CACHE", str(tmp_path / "cache"))
    rows, labels = outputs
    store = LogitStore(tmp_path / "logits")
    for name, logits in rows.items():
        store.add(ModelCard(name, blocks={name: COSTS[name]}), "val", outputs=logits, labels=labels)
    return store


def test_a_confidence_function(store, outputs, monkeypatch):
    ratio = example("A confidence function", np=np, Confidence=Confidence)["RATIO"]
    monkeypatch.setitem(CONFIDENCES, ratio.name, ratio)
    rows, labels = outputs
    p = np.exp(rows["a"].astype(np.float64))
    ordered = np.sort(p, axis=1)
    early = 1 - ordered[:, -2] / ordered[:, -1] >= 0.4
    committee = Committee((("a",), ("d",)), Thresholds((0.4,)), "ratio")
    right = np.where(early, rows["a"].argmax(1) == labels, (rows["a"] + rows["d"]).argmax(1) == labels)
    found = wc.evaluate(committee, store, "val")
    assert 0 < early.sum() < N
    assert (found.correct, found.exit_ratios) == (right.sum(), (early.sum() / N, (~early).sum() / N))
    assert all(e.committee.confidence == "ratio" for e in wc.search(store, confidence="ratio", levels=10, threads=1))


def test_a_policy(store, outputs, monkeypatch, tmp_path):
    """Evaluated, unit by unit, and deployed: what a loop over units says."""
    agreement = example("A policy")["NewestTwo"]
    monkeypatch.setitem(POLICIES, agreement.kind, agreement)
    rows, labels = outputs
    committee = Committee((("a",), ("b",), ("c", "d")), agreement())
    predictions, stages, cost = [], [], 0
    for i in range(N):
        ran = ["a", "b"]
        if rows["a"][i].argmax() != rows["b"][i].argmax():
            ran += ["c", "d"]
        total = np.zeros(CLASSES, np.float32)
        for name in ran:
            total += rows[name][i]
        predictions.append(int(total.argmax()))
        stages.append(1 if len(ran) == 2 else 2)
        cost += sum(COSTS[name] for name in ran)
    assert set(stages) == {1, 2}

    committee.save(tmp_path / "committee.json")
    committee = Committee.load(tmp_path / "committee.json")
    assert committee.to_json()["policy"] == {"kind": "newest_two"}
    found = wc.evaluate(committee, store, "val")
    assert found.correct == sum(p == label for p, label in zip(predictions, labels.tolist(), strict=True))
    assert found.average_cost == cost / N
    assert found.exit_ratios == (0, stages.count(1) / N, stages.count(2) / N)
    units = evaluate_units(committee, store, "val")
    assert units["prediction"].tolist() == predictions
    assert (units["stage"] - 1).tolist() == stages

    members = {name: lambda x, name=name: rows[name][np.asarray(x)[:, 0].astype(int)] for name in rows}
    with wc.deploy(committee, members, device="cpu") as run:
        decided = run(np.arange(N, dtype=np.float32)[:, None])
    assert (decided.prediction.tolist(), decided.stage.tolist()) == (predictions, stages)


def test_a_family(store, monkeypatch):
    """Its combinations are those of a loop, and a search takes them."""
    family = example("A family")["FAMILY"]
    monkeypatch.setitem(FAMILIES, family.name, family)
    cards = sorted(store.cards("val"), key=lambda card: card.key)
    by_index = [COSTS[card.model] for card in cards]
    for size in (1, 2, 3):
        every = itertools.permutations(range(len(cards)), size)
        rising = [s for s in every if all(by_index[a] <= by_index[b] for a, b in itertools.pairwise(s))]
        assert list(map(tuple, family.combinations(cards, size).tolist())) == rising
    for e in wc.search(store, family="rising", levels=10, threads=1):
        costs = [max(COSTS[model] for model in stage) for stage in e.committee.stages]
        assert costs == sorted(costs)


def weighted_store(models, labels, weights):
    store = MemoryStore(models, labels)
    store.fields = {m.name: {"meta": {"class_weights": list(weights)}} for m in models}
    return store


@pytest.fixture
def weighted(monkeypatch):
    names = example("A task")
    monkeypatch.setattr(tasks, "TASKS", {"weighted accuracy": names["Weighted"], **tasks.TASKS})
    return names["Weighted"]


@cases(120)
@given(
    st.sampled_from(["logits", "probabilities"]).flatmap(pools),
    st.integers(2, 4),
    st.sampled_from(["mean_logits", "mean_probs", "last"]),
    st.lists(st.integers(0, 3), min_size=4, max_size=4).filter(any),
)
def test_the_example_of_a_task_agrees_with_the_oracle(pool, levels, combine, weights):
    models, labels = pool
    names = example("A task")
    store, scale = weighted_store(models, labels, weights), max(weights)

    def worth(members, labels, combine):
        predicted = naive.prediction(members, combine)
        return [weights[label] * int(said == label) for said, label in zip(predicted, labels, strict=True)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks, "TASKS", {"weighted accuracy": names["Weighted"], **tasks.TASKS})
        patch.setattr(naive, "prefix_correct", worth)
        opened = open_pool(store, "val", store.cards("val"), combine=combine)
        assert opened.task == names["Weighted"](tuple(weights))
        expected = naive.search(models, labels, 3, levels, combine, scores=product_scores(opened))
        frontier = search(store, max_models=3, levels=levels, combine=combine, threads=1)
        assert frontier.quality == "weighted accuracy"
        assert [e.correct for e in frontier] == [p.correct / scale for p in expected]
        assert [e.quality for e in frontier] == [float(Fraction(p.correct, scale * len(labels))) for p in expected]
        assert [e.average_cost for e in frontier] == [float(Fraction(p.total_cost, len(labels))) for p in expected]
        assert [e.committee.stages for e in frontier] == [p.stages for p in expected]
        assert evaluate_in(opened, [e.committee for e in frontier]) == list(frontier)
        exact = search(store, max_models=3, exact=True, combine=combine, threads=1)
        assert all(any(x.quality >= e.quality and x.average_cost <= e.average_cost for x in exact) for e in frontier)


def test_models_whose_cards_say_nothing_keep_their_task(weighted):
    models = [naive.Model(name, name, 0, {name: 1}, naive.np.eye(3, dtype="float32")) for name in "ab"]
    store = weighted_store(models, [0, 1, 2], [1, 2, 3])
    assert open_pool(store, "val", store.cards("val")).task == weighted((1, 2, 3))
    store.fields.pop("b")
    assert open_pool(store, "val", store.cards("val")).task == tasks.Classification()


def test_the_example_of_a_file_format_reads_outputs_and_labels(tmp_path, monkeypatch):
    read = example("A file format")["read_json_lines"]
    monkeypatch.setitem(READERS, ".jsonl", read)
    monkeypatch.setenv("WISECOMMITTEE_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    outputs, labels = rng.normal(size=(7, 3)).astype(np.float32), rng.integers(0, 3, 7)
    ids = [f"{i:03d}" for i in range(7)]
    rows = [
        {"unit_id": unit} | {str(k): float(v) for k, v in enumerate(row)}
        for unit, row in zip(ids, outputs, strict=True)
    ]
    known = [{"unit_id": unit, "label": int(label)} for unit, label in zip(ids, labels, strict=True)][::-1]
    for name, lines in (("x", rows), ("y", known)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "models.csv").write_text("model,flops\na,10\n")
    store, given = LogitStore(tmp_path / "store"), {"labels": tmp_path / "y.jsonl", "costs": tmp_path / "models.csv"}
    import_outputs(store, "val", [("logits", "a", tmp_path / "x.jsonl")], **given)
    assert store.unit_ids("val") == ids
    assert np.array_equal(store.outputs("a", "val"), outputs)
    assert np.array_equal(store.labels("val"), labels)
    (tmp_path / "x.jsonl").write_text("{")
    with pytest.raises(StoreError, match=r"x\.jsonl: not a readable table"):
        import_outputs(store, "val", [("logits", "a", tmp_path / "x.jsonl")], **given)


def test_the_example_of_a_model_source_loads_a_checkpoint(tmp_path, monkeypatch):
    import torch

    from wisecommittee.extraction.extract import extract
    from wisecommittee.extraction.models import spec
    from wisecommittee.extraction.models.loaded import LoadedModel, wrap_module
    from wisecommittee.extraction.models.weights import load_weights

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WISECOMMITTEE_CACHE", str(tmp_path / "cache"))
    names = {"Path": Path, "LoadedModel": LoadedModel, "json": json, "load_weights": load_weights}
    names |= {"wrap_module": wrap_module, "build": lambda config: torch.nn.Linear(config["inputs"], 3)}
    monkeypatch.setitem(spec.SOURCES, "run", example("A model source", **names)["_from_runs"])
    module = torch.nn.Linear(5, 3)
    (tmp_path / "runs" / "b3").mkdir(parents=True)
    (tmp_path / "runs" / "b3" / "config.json").write_text('{"inputs": 5}')
    torch.save(module.state_dict(), tmp_path / "runs" / "b3" / "best.pt")
    x = naive.np.random.default_rng(0).normal(size=(9, 5)).astype("float32")
    naive.np.savez(tmp_path / "data.npz", x=x, y=naive.np.arange(9) % 3)
    store = LogitStore(tmp_path / "logits")
    extract(["run:b3"], "npz:data.npz", "val", store, device="cpu")
    expected = module(torch.from_numpy(x)).detach().numpy()
    naive.np.testing.assert_allclose(store.outputs("b3", "val"), expected, atol=1e-6)


def test_the_example_of_a_training_method_trains_as_without_it_where_nothing_is_smoothed(tmp_path, monkeypatch):
    """Through its command, which has the options of all that train."""
    import typer
    from torch.nn import functional
    from typer.testing import CliRunner
    from wisecommittee.cli.training import TrainCommand, with_training

    from wisecommittee.train.data import open_training_data
    from wisecommittee.train.independent import Independent
    from wisecommittee.train.supervised import Setup, accuracy, make_setup, train_baseline

    monkeypatch.setenv("WISECOMMITTEE_CACHE", str(tmp_path / "cache"))
    method, command = blocks("A training method")
    module = types.ModuleType("wisecommittee.train.smoothed")
    vars(module).update(dataclass=dataclass, replace=replace, functional=functional, accuracy=accuracy, Setup=Setup)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(method, vars(module))
    names = {"Annotated": Annotated, "typer": typer, "TrainCommand": TrainCommand, "with_training": with_training}
    exec(command, names)
    app = typer.Typer()
    app.command()(names["smoothed"])
    store, plain = LogitStore(tmp_path / "logits"), LogitStore(tmp_path / "plain")
    for smoothing, seed in ((0.0, 0), (0.2, 1)):
        options = [
            "--smoothing",
            smoothing,
            "--seed",
            seed,
            "--epochs",
            2,
            "--device",
            "cpu",
            "--store",
            store.files.uri,
        ]
        done = CliRunner().invoke(app, list(map(str, options)), catch_exceptions=False)
        assert done.exit_code == 0
        setup = make_setup(open_training_data("digits", seed=seed), seed=seed, epochs=2)
        train_baseline(Independent(setup, 1), plain, device="cpu")
    equal = [
        store.card(f"smoothed-digits-digits-cnn{seed}/0", "val").weights
        == plain.card(f"pool-digits-digits-cnn{seed}/0", "val").weights
        for seed in ("", "-s1")
    ]
    assert equal == [True, False]


def test_the_example_of_a_search_option_is_an_option_everywhere():
    from wisecommittee.cli.fields import parameters

    names = {**vars(query), "dataclass": dataclass}
    field = textwrap.indent(blocks("A search option")[0], "    ")
    exec(f"@dataclass(frozen=True, slots=True)\nclass Longer(Query):\n{field}", names)
    longer = names["Longer"]
    assert longer(max_members=3).to_json()["max_members"] == 3
    assert longer.from_json({"max_members": 3}) == longer(max_members=3)
    with pytest.raises(UsageError, match="max_members=0; expected a whole number from 1"):
        longer(max_members=0)
    shown = parameters(longer)["max_members"]
    assert shown.default is None
    assert (shown.name, shown.annotation.__metadata__[0].show_default) == ("max_members", "no limit")


def test_the_example_of_a_strategy_is_a_method(monkeypatch):
    names = example("A strategy")
    monkeypatch.setattr(methods, "METHODS", methods.METHODS | {"singles": names["SINGLES"]})
    monkeypatch.setattr(methods, "STRATEGIES", methods.STRATEGIES | {"singles": names["SINGLES"]})
    models, labels = random_pool(units=60)
    store = MemoryStore(models, labels)
    assert list(search(store, method="singles")) == list(search(store, max_models=1))


TO_BE_WRITTEN = {
    "tasks/weighted.py",
    "store/readers/json_lines.py",
    "cli/train_smoothed.py",
}  # by who follows an example


def test_files_that_are_named_exist():
    root = Path(__file__).parents[2]
    named = set(re.findall(r"`((?:[a-z_0-9]+/)+[a-z_0-9]+\.py)`", TEXT)) - TO_BE_WRITTEN
    assert len(named) > 30
    assert not [
        name for name in named if not any((folder / name).exists() for folder in (root, root / "wisecommittee"))
    ]

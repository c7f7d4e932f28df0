"""The worked examples of CONTRIBUTING.md do what it says of them."""

from __future__ import annotations

import json
import re
import sys
import types
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import naive
import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory import MemoryStore, cases, pools
from test_search import product_scores

from wisecommittee import tasks
from wisecommittee.searches.evaluate import evaluate_in
from wisecommittee.searches.search import search
from wisecommittee.searches.stages.pool import open_pool
from wisecommittee.store import LogitStore

TEXT = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text()


def blocks(heading: str) -> list[str]:
    """The blocks of Python under a heading."""
    section = TEXT.split(f"\n### {heading}\n")[1].split("\n### ")[0]
    return re.findall(r"```python\n(.*?)```", section, re.DOTALL)


def block(heading: str) -> str:
    return blocks(heading)[0]


def weighted_store(models, labels, weights):
    store = MemoryStore(models, labels)
    store.fields = {m.name: {"meta": {"class_weights": list(weights)}} for m in models}
    return store


@pytest.fixture
def weighted(monkeypatch):
    names: dict = {}
    exec(block("A task"), names)
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
    names: dict = {}
    exec(block("A task"), names)
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
        assert frontier.query["quality"] == "weighted accuracy"
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
    exec(block("A model source"), names)
    monkeypatch.setitem(spec.SOURCES, "run", names["_from_runs"])
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
        train_baseline(Independent(setup, 1), plain)
    pairs = [(f"{name}-digits-digits-cnn{seed}/0" for name in ("smoothed", "pool")) for seed in ("", "-s1")]
    equal = [store.card(ours, "val").weights == plain.card(theirs, "val").weights for ours, theirs in pairs]
    assert equal == [True, False]

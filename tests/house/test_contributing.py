"""The worked examples of CONTRIBUTING.md do what it says of them."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import naive
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pools import MemoryStore, cases, pools, product_scores

from wisecommittee import tasks
from wisecommittee.searches.evaluate import evaluate_in
from wisecommittee.searches.search import search
from wisecommittee.searches.stages.pool import open_pool

TEXT = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text()


def block(heading: str) -> str:
    """The first block of Python under a heading."""
    section = TEXT.split(f"\n### {heading}\n")[1].split("\n### ")[0]
    return re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]


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

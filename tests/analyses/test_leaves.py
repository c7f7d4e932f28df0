"""Leaves of jointly trained networks, as values, table and plots: against loops over the stored logits."""

from __future__ import annotations

import statistics

import numpy as np
import pytest
from hne_paper import PRINTED
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from wisecommittee.analyses import leaves as module
from wisecommittee.analyses.leaves import leaves
from wisecommittee.analyses.study import Study, study_of
from wisecommittee.committees.cards import ModelCard
from wisecommittee.errors import AbsentError, UsageError
from wisecommittee.report import plot, plot_hne, tables
from wisecommittee.store import LogitStore

N, C = 60, 4
RNG = np.random.default_rng(0)
LABELS = {"val": RNG.integers(0, C, N), "test": RNG.integers(0, C, N)}


def fill(store, name, count, noise, split, start=0):
    logits = [(np.eye(C)[LABELS[split]] + noise * RNG.standard_normal((N, C))).astype(np.float32) for _ in range(count)]
    for leaf, outputs in enumerate(logits, start):
        blocks = {f"{name}:b0n0": 100, f"{name}:b1n{leaf // 2}": 10, f"{name}:b2n{leaf}": 1}
        card = ModelCard(f"{name}/{leaf}", blocks=blocks, group=name, position=leaf)
        store.add(card, split, labels=LABELS[split], outputs=outputs)
    return logits


@pytest.fixture
def store(tmp_path):
    return LogitStore(tmp_path / "logits")


def test_rungs_are_loops_over_the_logits(store, monkeypatch):
    monkeypatch.setattr(module, "UNITS_AT_ONCE", 7)
    fill(store, "net", 5, 0.8, "val")
    logits = fill(store, "net", 5, 0.8, "test")
    store.add(ModelCard("other", blocks={"other": 5}), "test", labels=LABELS["test"], outputs=logits[0])
    found = leaves(Study(store))
    assert (found.split, found.n, found.cost) == ("test", N, "flops")
    (group,) = found.groups
    assert [rung.leaves for rung in group.rungs] == [1, 2, 4, 5]
    for rung, cost in zip(group.rungs, (111, 112, 124, 135), strict=True):
        k = rung.leaves
        right = spread = 0.0
        for unit in range(N):
            mean = [sum(float(logits[leaf][unit, c]) for leaf in range(k)) / k for c in range(C)]
            right += mean.index(max(mean)) == LABELS["test"][unit]
            spread += sum(statistics.pstdev(float(logits[leaf][unit, c]) for leaf in range(k)) for c in range(C))
        assert rung.evaluation.quality == right / N
        assert rung.evaluation.average_cost == cost
        assert rung.deviation == pytest.approx(spread / (N * C), rel=1e-6)
    alone = [float((rows.argmax(axis=1) == LABELS["test"]).mean()) for rows in logits]
    assert [e.quality for e in group.alone] == alone

    table = tables.fill("leaves", Study(store))
    assert table.column("leaves") == [1, 2, 4, 5]
    assert table.column("deviation")[0] is None
    assert table.column("mean") == pytest.approx([np.mean(alone[:k]) for k in (1, 2, 4, 5)])
    assert table.column("least") == [min(alone[:k]) for k in (1, 2, 4, 5)]


def test_only_leaves_take_part(store):
    logits = fill(store, "net", 2, 0.8, "val")
    halting = ModelCard("irene/0", blocks={"i": 5}, group="irene", position=0)
    scores = {"halting": np.ones(N, np.float32)}
    store.add(halting, "val", labels=LABELS["val"], outputs=logits[0], scores=scores)
    store.add(ModelCard("single", blocks={"s": 5}), "val", labels=LABELS["val"], outputs=logits[1])
    found = leaves(Study(store))  # without test, what chooses also reports
    assert (found.split, [group.name for group in found.groups]) == ("val", ["net"])
    with pytest.raises(
        AbsentError,
        match="none of the models chosen is one; train one with `wisecommittee train hne`",
    ):
        leaves(study_of(store, models=["single"]))
    with pytest.raises(AbsentError, match=r"group 'net': .*at position 0"):
        leaves(study_of(store, models=["net/1"]))


def axes():
    figure = Figure(layout="constrained")
    FigureCanvasAgg(figure)
    return figure.add_subplot()


def lines(ax):
    """{label: points} of what the legend names."""
    return {line.get_label(): line.get_xydata() for line in ax.lines if not line.get_label().startswith("_")}


def test_plots_draw_what_was_found(store):
    for name, noise in (("big", 0.6), ("small", 1.2)):
        fill(store, name, 4, noise, "test")
        fill(store, name, 4, noise, "val")
    found = leaves(Study(store))
    quality = {g.name: [rung.evaluation.quality for rung in g.rungs] for g in found.groups}
    cost = [111, 112, 124]

    ax = plot_hne.anytime(axes(), found)
    for name, points in lines(ax).items():
        np.testing.assert_allclose(points, np.c_[cost, quality[name]])
    assert {text.get_text() for text in ax.texts} == {"1", "2", "4"}
    assert ax.get_ylabel() == f"accuracy (%) on test (n = {N}), 95 % band"
    assert list(lines(ax)) == ["big", "small"]

    ax = plot_hne.deviation(axes(), found)
    for group in found.groups:
        expected = np.c_[cost[1:], [rung.deviation for rung in group.rungs[1:]]]
        np.testing.assert_allclose(lines(ax)[group.name], expected)

    ax = plot_hne.leaves(axes(), found)
    for place, group in enumerate(found.groups):
        bars = ax.patches[4 * place : 4 * place + 4]
        assert [bar.get_height() for bar in bars] == pytest.approx([e.quality for e in group.alone])
        centres = [bar.get_x() + bar.get_width() / 2 for bar in bars]
        np.testing.assert_allclose(lines(ax)[group.name], np.c_[np.array(centres)[[0, 1, 3]], quality[group.name]])
    for ax in (plot_hne.anytime(axes(), found), plot_hne.deviation(axes(), found), plot_hne.leaves(axes(), found)):
        ax.figure.canvas.draw()


def test_one_leaf_does_not_differ(store):
    fill(store, "net", 1, 0.8, "val")
    found = leaves(Study(store))
    with pytest.raises(AbsentError, match="these networks have one leaf each"):
        plot_hne.deviation(axes(), found)
    assert len(plot_hne.leaves(axes(), found).patches) == 1


def test_more_networks_than_colours(store):
    for number in range(8):
        fill(store, f"n{number}", 1, 0.8, "val")
    with pytest.raises(UsageError, match="8 networks in one plot; at most 7"):
        plot_hne.anytime(axes(), leaves(Study(store)))


def test_multiply_adds_of_the_published_points_are_those_that_are_counted():
    for (network, dataset), macs in plot_hne.MACS.items():
        design, classes = network.lower().replace("_", "-"), int(dataset.partition("-")[2])
        assert macs == PRINTED[design, "tree", classes]


def test_published_points(store):
    points = plot_hne.table_1({"CIFAR-10", "CIFAR-100"})
    assert points["HNE, CIFAR-10"][0] == (1, 50.80e6, 0.946)
    assert points["HNE_small, CIFAR-100"][-1] == (16, 102.35e6, 0.753)
    fill(store, "hne-cifar100-hne-small", 2, 0.8, "val")
    given = plot_hne.gather_anytime(Study(store, published=True))
    assert list(given["published"]) == ["HNE_small, CIFAR-100", "HNE, CIFAR-100"]
    ax = plot_hne.anytime(axes(), **given)
    assert "16: HNE, CIFAR-100" in {text.get_text() for text in ax.texts}
    assert list(lines(ax)) == ["hne-cifar100-hne-small", "published"]
    assert "published" not in plot_hne.gather_anytime(Study(store))


@pytest.mark.parametrize("kind", ["anytime", "leaves", "deviation"])
def test_the_commands(kind, store, run, tmp_path):
    fill(store, "net", 2, 0.8, "val")
    out = tmp_path / "plot.png"
    code, _, err = run("plot", kind, "--store", tmp_path / "logits", "--out", out)
    assert code == 0, err
    assert out.read_bytes().startswith(b"\x89PNG")
    assert kind in plot.kinds()

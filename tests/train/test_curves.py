"""Learning curves: what a training logs is what the file holds and the plot draws."""

from __future__ import annotations

import pandas as pd
import pytest
from matplotlib.figure import Figure

from wisecommittee.errors import AbsentError, ContentError, UsageError
from wisecommittee.report import plot
from wisecommittee.report.plot_learning import read_curves

pytest.importorskip("torch")

from wisecommittee.train.curves import save_curves

ROWS = [
    {"phase": phase, "epoch": epoch, "loss": 2.0 / epoch + i, "accuracy": 0.5 + 0.1 * epoch, "lr": 0.1, "seconds": 1.0}
    for i, phase in enumerate(("first", "second"))
    for epoch in (1, 2, 3)
]


def test_curves_are_saved_whole(tmp_path):
    rows = [{"phase": "a", "epoch": 1, "loss": 2.0, "lr": 0.1}, {"phase": "b", "epoch": 1, "loss": 1.0, "kd": 3.0}]
    save_curves(rows, tmp_path / "curves.parquet")
    frame = pd.read_parquet(tmp_path / "curves.parquet")
    assert frame["phase"].tolist() == ["a", "b"]
    assert frame["loss"].tolist() == [2.0, 1.0]
    assert frame["kd"].isna().tolist() == [True, False]
    assert [path.name for path in tmp_path.iterdir()] == ["curves.parquet"]


@pytest.mark.parametrize("phases", [2, 12])
def test_the_plot_draws_every_phase(phases):
    rows = [{**row, "phase": f"p{i}"} for i in range(phases) for row in ROWS[:3]]
    ax = plot.learning(Figure(layout="constrained").add_subplot(), pd.DataFrame(rows))
    solid = [line for line in ax.get_lines() if len(line.get_xdata())]
    assert len(solid) == phases
    assert list(solid[0].get_xdata()) == [1, 2, 3]
    assert list(solid[-1].get_ydata()) == [row["accuracy"] for row in ROWS[:3]]
    (losses,) = [other for other in ax.figure.axes if other is not ax]
    assert [list(line.get_ydata()) for line in losses.get_lines()] == [[2.0, 1.0, 2.0 / 3]] * phases
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ([f"p{i}" for i in range(phases)] if phases == 2 else ["p0", "p11"]) + ["loss (right)"]


def test_without_an_accuracy_the_loss_stands_alone():
    frame = pd.DataFrame(ROWS).drop(columns="accuracy")
    ax = plot.learning(Figure(layout="constrained").add_subplot(), frame)
    assert ax.get_ylabel() == "training loss"
    with pytest.raises(UsageError, match="no measure 'accuracy'; measured: the loss alone"):
        plot.learning(ax, frame, measure="accuracy")


def test_files_that_hold_no_curves_are_named(tmp_path):
    with pytest.raises(AbsentError, match="no such file"):
        read_curves(tmp_path / "x.parquet")
    (tmp_path / "text.parquet").write_text("no")
    with pytest.raises(ContentError, match=r"text.parquet.* is no file of learning curves"):
        read_curves(tmp_path / "text.parquet")
    pd.DataFrame({"phase": ["a"], "epoch": [1]}).to_parquet(tmp_path / "other.parquet")
    with pytest.raises(ContentError, match="column loss is missing"):
        read_curves(tmp_path / "other.parquet")
    pd.DataFrame({"phase": ["a"], "epoch": [1], "loss": ["x"]}).to_parquet(tmp_path / "texts.parquet")
    with pytest.raises(ContentError, match="no numbers"):
        read_curves(tmp_path / "texts.parquet")

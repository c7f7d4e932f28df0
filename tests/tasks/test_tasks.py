"""Which task models have, and that its statistics, quality and intervals fit together."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import pytest

from wisecommittee.committees.model_names import KINDS
from wisecommittee.errors import UsageError
from wisecommittee.tasks import TASKS, Answers, Classification, GradedAnswers, Segmentation, task_of
from wisecommittee.tasks.answers import steps_of


@dataclass
class Model:
    """ModelOutputs of arrays."""

    kind: str
    values: np.ndarray = field(default_factory=lambda: np.zeros(0))
    truth: np.ndarray = field(default_factory=lambda: np.zeros(0))
    graded: bool = False
    meta: dict = field(default_factory=dict)
    labels_from: str | None = None

    @property
    def classes(self):
        return self.values.shape[1] if self.values.ndim == 2 else None

    def labels(self):
        return self.truth

    def predictions(self):
        return self.values.argmax(axis=1) if self.values.ndim == 2 else self.values

    def grades(self):
        return self.values

    def outputs(self):
        return self.values


def test_tasks_are_listed_by_their_names_and_every_kind_has_one():
    assert {name: task.name for name, task in TASKS.items()} == {name: name for name in TASKS}
    assert {kind for task in TASKS.values() for kind in task.kinds} == set(KINDS)


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        ([Model("logits")], Classification()),
        ([Model("logits"), Model("probabilities")], Classification()),
        ([Model("answers")], Answers()),
        ([Model("answers", np.float32([0.5]), graded=True)] * 2, GradedAnswers(10)),
        ([Model("answers", np.float32([0.5]), graded=True), Model("answers")], Answers()),
        ([Model("cell_counts", np.zeros((2, 12)))], Segmentation(4)),
    ],
)
def test_models_have_the_task_of_their_kind(models, expected):
    assert task_of(models) == expected


def test_kinds_without_a_common_task_are_named():
    with pytest.raises(UsageError, match="answers and logits have no task in common"):
        task_of([Model("logits"), Model("answers")])


@pytest.mark.parametrize(
    ("grades", "steps"),
    [([1.0, 0.0], 1), ([0.5], 10), ([0.25, 0.5], 100), ([0.125], 1000), ([1 / 3], 1_000_000)],
)
def test_grades_are_counted_in_the_coarsest_decimal_steps_that_hold_them(grades, steps):
    assert steps_of([np.float32(grades)]) == steps
    counted = GradedAnswers(steps).statistics(np.float32(grades), np.zeros(len(grades)))
    assert counted.tolist() == [round(Fraction(float(np.float32(g))) * steps) for g in grades]


def test_many_units_leave_room_for_fewer_steps():
    assert steps_of([np.full(1 << 20, 1 / 3, np.float32)]) == 1


def test_a_model_alone_has_the_share_of_units_that_it_is_right_on():
    rng = np.random.default_rng(0)
    rows, labels = rng.normal(size=(50, 4)), rng.integers(0, 4, 50)
    right = [int(row.tolist().index(max(row)) == label) for row, label in zip(rows, labels, strict=True)]
    assert Classification().alone(Model("logits", rows, labels)) == sum(right) / 50
    said = np.array([str(n) for n in rng.integers(0, 3, 50)])
    right = [int(text == str(label)) for text, label in zip(said, labels, strict=True)]
    assert Answers().alone(Model("answers", said, labels)) == sum(right) / 50


def test_figures_of_graded_units_are_in_grades_not_in_steps():
    rng = np.random.default_rng(1)
    steps = rng.integers(0, 11, (3, 200, 1)).astype(np.int32)
    task = GradedAnswers(10)
    totals = steps.sum(axis=1)
    assert task.quality(totals, 200).tolist() == [float(Fraction(int(t), 2000)) for t in totals[:, 0]]
    assert [task.correct(total) for total in totals] == [int(t) / 10 for t in totals[:, 0]]
    error = steps[..., 0].std(axis=1) / 10 / np.sqrt(200)
    for (low, high), quality, width in zip(task.intervals(steps), task.quality(totals, 200), error, strict=True):
        assert [low, high] == pytest.approx([quality - 1.96 * width, quality + 1.96 * width], abs=0.2 * width)
    assert task.columns(steps[0], np.zeros(200))["score"].tolist() == [int(s) / 10 for s in steps[0, :, 0]]


def test_units_that_are_right_or_wrong_leave_their_interval_to_the_counts():
    statistics = np.ones((2, 5, 1), np.int32)
    assert Classification().intervals(statistics) == [None, None]
    assert Classification().correct(statistics[0].sum(axis=0)) == 5
    columns = Classification().columns(statistics[0], np.arange(5))
    assert (columns["label"].tolist(), columns["correct"].tolist()) == ([0, 1, 2, 3, 4], [True] * 5)

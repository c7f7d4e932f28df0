"""Tasks: integer statistics that add over units, and the quality computed from their sum.

May be added: a task, one file with a subclass of Task and its line in TASKS; a task knows nothing of stages, thresholds
and costs.
"""

from __future__ import annotations

from collections.abc import Sequence

from wisecommittee.errors import UsageError, option
from wisecommittee.tasks.answers import Answers, GradedAnswers
from wisecommittee.tasks.classification import Classification
from wisecommittee.tasks.segmentation import Segmentation
from wisecommittee.tasks.task import ModelOutputs, Task

# The first task whose `of` accepts the models is taken: a special task stands before the general task of the same kind
# of outputs.
TASKS: dict[str, type[Task]] = {
    "mIoU": Segmentation,
    "score": GradedAnswers,
    "accuracy": Answers,
    "top-1": Classification,
}


def task_of(models: Sequence[ModelOutputs]) -> Task:
    """The task of a pool of models, by the kind of their outputs and by their cards."""
    for task in TASKS.values():
        if (theirs := task.of(models)) is not None:
            return theirs
    kinds = " and ".join(sorted({model.kind for model in models}))
    raise UsageError(f"{kinds} have no task in common; choose models with {option('models')}")


__all__ = ["TASKS", "Answers", "Classification", "GradedAnswers", "ModelOutputs", "Segmentation", "Task", "task_of"]

"""What is scored: integer statistics that add over units, and the finaliser that turns their sum into quality.

May be added: a task with its own statistics; it never learns about stages, thresholds or costs.
"""

from __future__ import annotations

from wisecommittee.tasks.answers import Answers
from wisecommittee.tasks.classification import Classification
from wisecommittee.tasks.segmentation import Segmentation

Task = Answers | Classification | Segmentation

__all__ = ["Answers", "Classification", "Segmentation", "Task"]

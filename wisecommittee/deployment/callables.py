"""Functions and scikit-learn estimators as members of a deployed committee."""

from __future__ import annotations

from typing import Any

from torch import nn

from wisecommittee.extraction.models.loaded import LoadedModel
from wisecommittee.runtime.estimators import called, is_estimator


class Called(nn.Module):
    """A function as a module. It takes the inputs as the caller of the committee gave them (a tensor, an array, a list,
    a table)."""

    def __init__(self, call: Any) -> None:
        super().__init__()
        self.call = call

    def forward(self, rows: Any) -> Any:
        return self.call(rows)


def as_member(name: str, given: Any, kind: str) -> LoadedModel:
    """A function, or an estimator with predict_proba or decision_function, as a member.

    kind : 'logits' or 'probabilities', the outputs that the committee was chosen on
    """
    classes = getattr(given, "classes_", None)
    estimates = is_estimator(given)
    call = called(name, given, kind) if estimates else given
    facts: dict[str, Any] = {}
    if estimates and classes is not None and list(classes) != list(range(len(classes))):
        facts["classes"] = {"given": tuple(map(str, classes))}
    origin = type(given).__qualname__ if estimates else getattr(given, "__qualname__", type(given).__qualname__)
    return LoadedModel.called(name, Called(call).eval(), origin, "", **facts)

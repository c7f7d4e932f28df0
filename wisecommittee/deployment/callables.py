"""Functions and scikit-learn estimators as members: rows of inputs in, outputs [n, C] out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from wisecommittee.committees.combine import log_probabilities
from wisecommittee.errors import CommitteeError, ContentError, WiseCommitteeError
from wisecommittee.extraction.models.loaded import LoadedModel

Rows = NDArray[np.float32]  # [n, C]


class Called(nn.Module):
    """A function as a module.

    It takes the inputs as the caller of the committee gave them (a tensor, an array, a list, a table) and returns
    outputs float32 [n, C] on the CPU.
    """

    def __init__(self, name: str, call: Any) -> None:
        super().__init__()
        self.name, self.call = name, call

    def forward(self, rows: Any) -> Rows:
        try:
            outputs = self.call(rows)
        except WiseCommitteeError:
            raise
        except Exception as error:
            raise WiseCommitteeError(f"{self.name}: calling it raised {type(error).__name__}: {error}") from error
        if isinstance(outputs, torch.Tensor):
            outputs = outputs.detach().float().cpu().numpy()
        try:
            answer = np.asarray(outputs, np.float32)
        except (TypeError, ValueError) as error:
            shown = type(outputs).__name__
            raise ContentError(f"{self.name}: answered with a {shown}; expected numbers [n, classes]") from error
        if answer.ndim != 2 or len(answer) != count(rows) or answer.shape[1] < 2:
            raise ContentError(
                f"{self.name}: answered with shape {list(answer.shape)} to {count(rows)} units; expected [units, "
                f"classes], 2 classes or more"
            )
        if not np.isfinite(answer).all():
            row, column = (int(indices[0]) for indices in np.nonzero(~np.isfinite(answer)))
            raise ContentError(f"{self.name}: {answer[row, column]} in row {row}, class {column}; expected numbers")
        return answer


def as_member(name: str, given: Any, kind: str) -> LoadedModel:
    """A function, or an estimator with predict_proba or decision_function, as a member.

    kind : 'logits' or 'probabilities', the outputs that the committee was chosen on. For logits an estimator gives its
    decision function, or else log probabilities: these lead to the same decisions as any logits with that softmax.
    """
    classes = getattr(given, "classes_", None)
    estimates = is_estimator(given)
    call = _of_estimator(name, given, kind) if estimates else given
    facts: dict[str, Any] = {}
    if estimates and classes is not None and list(classes) != list(range(len(classes))):
        facts["classes"] = {"given": tuple(map(str, classes))}
    origin = type(given).__qualname__ if estimates else getattr(given, "__qualname__", type(given).__qualname__)
    return LoadedModel.called(name, Called(name, call).eval(), origin, "", **facts)


def is_estimator(given: Any) -> bool:
    return hasattr(given, "predict_proba") or hasattr(given, "decision_function")


def _of_estimator(name: str, estimator: Any, kind: str) -> Any:
    if hasattr(estimator, "decision_function") and kind == "logits" and not _is_pairwise(estimator):
        return lambda rows: _two_sided(estimator.decision_function(_array(rows)))
    if not hasattr(estimator, "predict_proba"):
        raise CommitteeError(
            f"{name}: the committee was chosen on its {kind}, and {type(estimator).__name__} gives none (it has no "
            f"predict_proba); calibrate it with sklearn's CalibratedClassifierCV, or give a function"
        )
    if kind == "logits":
        return lambda rows: log_probabilities(np.asarray(estimator.predict_proba(_array(rows)), np.float32))
    return lambda rows: estimator.predict_proba(_array(rows))


def _is_pairwise(estimator: Any) -> bool:
    """Whether the decision function has a column for every pair of classes instead of one for every class."""
    return getattr(estimator, "decision_function_shape", None) == "ovo" and len(estimator.classes_) > 2


def _two_sided(scores: Any) -> Any:
    """[n, 2] logits of a binary classifier, which gives one score [n], for the second class."""
    scores = np.asarray(scores, np.float32)
    return np.stack([-scores / 2, scores / 2], axis=1) if scores.ndim == 1 else scores


def _array(rows: Any) -> Any:
    return rows.detach().cpu().numpy() if isinstance(rows, torch.Tensor) else rows


def count(rows: Any) -> int:
    return int(rows.shape[0]) if hasattr(rows, "shape") else len(rows)


def taken(rows: Any, chosen: NDArray[np.int64]) -> Any:
    """The rows at positions `chosen` of a sequence, an array, a sparse matrix or a table."""
    if hasattr(rows, "iloc"):
        return rows.iloc[chosen]
    return rows[chosen] if hasattr(rows, "shape") else [rows[row] for row in chosen]


def slices(rows: Any, size: int) -> Sequence[Any]:
    """Consecutive parts of at most `size` rows."""
    return [rows[start : start + size] for start in range(0, count(rows), size)]

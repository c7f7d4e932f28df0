"""scikit-learn estimators as members."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from wisecommittee.committees.combine import log_probabilities
from wisecommittee.errors import CommitteeError


def is_estimator(given: Any) -> bool:
    """Whether the value has predict_proba or decision_function."""
    return hasattr(given, "predict_proba") or hasattr(given, "decision_function")


def called(name: str, estimator: Any, kind: str) -> Callable[[Any], Any]:
    """The function of an estimator from inputs to outputs [n, C].

    kind : 'logits' or 'probabilities', the outputs that the committee was chosen on. For logits an estimator gives its
    decision function, or else log probabilities: these lead to the same decisions as any logits with that softmax.
    """
    if hasattr(estimator, "decision_function") and kind == "logits" and not _is_pairwise(estimator):
        return lambda inputs: _two_sided(estimator.decision_function(_array(inputs)))
    if not hasattr(estimator, "predict_proba"):
        raise CommitteeError(
            f"{name}: the committee was chosen on its {kind}, and {type(estimator).__name__} gives none (it has no "
            f"predict_proba); calibrate it with sklearn's CalibratedClassifierCV, or give a function"
        )
    if kind == "logits":
        return lambda inputs: log_probabilities(np.asarray(estimator.predict_proba(_array(inputs)), np.float32))
    return lambda inputs: estimator.predict_proba(_array(inputs))


def _is_pairwise(estimator: Any) -> bool:
    """Whether the decision function has a column for every pair of classes instead of one for every class."""
    return getattr(estimator, "decision_function_shape", None) == "ovo" and len(estimator.classes_) > 2


def _two_sided(scores: Any) -> Any:
    """[n, 2] logits of a binary classifier, which gives one score [n], for the second class."""
    scores = np.asarray(scores, np.float32)
    return np.stack([-scores / 2, scores / 2], axis=1) if scores.ndim == 1 else scores


def _array(inputs: Any) -> Any:
    return inputs.detach().cpu().numpy() if hasattr(inputs, "detach") else inputs

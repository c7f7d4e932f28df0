"""What the models of a pool say of its units, as evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.policies.evidence import Output, Source, members_evidence, reordered
from wisecommittee.searches.policies.arrays import MemberArrays

KNOTS = 6
FEWEST_UNITS = 20  # that a label must have to get columns of its own
MOST_LABELS = 30


def fitted_source(output: Output, *, labelled: bool = True) -> Source:
    """The columns for a source with these outputs: knots at its quantiles, the most frequent labels."""
    finite = np.clip(output.confidence.astype(np.float64), -1e30, 1e30)
    knots = np.unique(_short(np.quantile(finite, np.linspace(0, 1, KNOTS), method="nearest")))
    labels, counts = np.unique(output.label, return_counts=True)
    frequent = np.lexsort((labels, -counts))[: MOST_LABELS if labelled else 0]
    return Source(knots, np.sort(labels[frequent[counts[frequent] >= FEWEST_UNITS]]))


@dataclass(frozen=True, slots=True)
class Known:
    """outputs, sources : of each model by itself."""

    outputs: tuple[Output, ...]
    sources: tuple[Source, ...]

    @classmethod
    def of(cls, arrays: MemberArrays, *, labelled: bool) -> Known:
        """labelled : whether the labels of the models are evidence, beside their confidences and agreement."""
        said = zip(arrays.prediction, arrays.scale.log(arrays.score), strict=True)
        outputs = tuple(Output(label, confidence) for label, confidence in said)
        return cls(outputs, tuple(fitted_source(output, labelled=labelled) for output in outputs))

    def evidence(self, models: Sequence[int]) -> NDArray[np.float64]:
        """float64 [N, F]: the evidence of these models."""
        return members_evidence([self.sources[m] for m in models], [self.outputs[m] for m in models])

    def in_order(self, models: Sequence[int]) -> NDArray[np.int64]:
        """int64 [1 + F]: the coefficients for the evidence of models in ascending order, after a constant, in the order
        in which the evidence of these models has them."""
        ascending = sorted(models)
        order = reordered([self.sources[m] for m in ascending], [ascending.index(m) for m in models])
        return np.concatenate([[0], 1 + order])


def _short(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same numbers with the digits that committee.json gets."""
    return np.array([float(f"{value:.7g}") for value in values])

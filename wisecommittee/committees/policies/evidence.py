"""Evidence: what the outputs so far say about a unit, as a row of numbers that a linear model reads.

A source is a model, or a rule that answers for several. Its confidence enters by its rank among known units, linearly
interpolated between quantiles (knots), its label by a column for each label it is known to give. Evidence therefore
does not depend on the scale of confidences.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.fields import shown
from wisecommittee.errors import CommitteeError

ONE_THREAD = 1 << 18  # multiplications of a matrix product that OpenBLAS leaves to one thread


class Output(NamedTuple):
    """The outputs of a source for n units. label : integer class or text [n]; confidence : float [n], not NaN, higher
    is surer; log-odds where the confidence saturates."""

    label: NDArray[np.generic]
    confidence: NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Source:
    """The columns of a source.

    Parameters
    ----------
    knots : float64 [q], q >= 1
        Ascending confidences; equal shares of the units that the model was fitted to lie between neighbours.
    labels : integer class or text [l]
        Ascending labels with columns of their own; all other labels have none.
    """

    knots: NDArray[np.float64]
    labels: NDArray[np.generic]

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """From {"knots": [..], "labels": [..]}; CommitteeError for anything else."""
        if not isinstance(data, Mapping) or set(data) != {"knots", "labels"}:
            raise CommitteeError(f'source {shown(data)}; expected an object of "knots" and "labels"')
        knots = np.array(numbers(data["knots"], "knots"))
        if not len(knots) or (np.diff(knots) <= 0).any():
            raise CommitteeError(f"knots {shown(data['knots'])}; expected at least one number, ascending")
        return cls(knots, labels_of(data["labels"]))

    @property
    def width(self) -> int:
        return len(self.knots) + 2 * len(self.labels)

    def rank(self, confidence: NDArray[np.floating]) -> NDArray[np.float64]:
        """float64 [n] in [0, 1]: about the share of the known units that are less sure."""
        return np.interp(confidence, self.knots, np.linspace(0, 1, len(self.knots)))

    def columns(self, output: Output) -> NDArray[np.float64]:
        """float64 [n, width]: a linear spline of the rank (a hat function for each knot), an indicator for each label,
        and these indicators times the rank."""
        rank = self.rank(output.confidence)
        apart = rank[:, None] * (len(self.knots) - 1) - np.arange(len(self.knots))
        says = (output.label[:, None] == self.labels).astype(np.float64).reshape(len(rank), len(self.labels))
        return np.concatenate([np.maximum(0, 1 - np.abs(apart)), says, says * rank[:, None]], axis=1)


def members_width(sources: Sequence[Source]) -> int:
    """The number of columns of `members_evidence`."""
    return sum(source.width for source in sources) + 3 * math.comb(len(sources), 2)


def members_evidence(sources: Sequence[Source], outputs: Sequence[Output]) -> NDArray[np.float64]:
    """float64 [n, F]: the columns of every member; then for every pair whether both give the same label, alone and
    times the rank of the first and of the second member."""
    ranks = [source.rank(output.confidence) for source, output in zip(sources, outputs, strict=True)]
    columns = [source.columns(output) for source, output in zip(sources, outputs, strict=True)]
    for i, j in itertools.combinations(range(len(outputs)), 2):
        agree = (outputs[i].label == outputs[j].label).astype(np.float64)
        columns.append(np.stack([agree, agree * ranks[i], agree * ranks[j]], axis=1))
    return np.concatenate(columns, axis=1)


def reordered(sources: Sequence[Source], order: Sequence[int]) -> NDArray[np.int64]:
    """int64 [F]: the columns of `members_evidence` of these sources that are the columns of sources[i], i in order."""
    starts = np.cumsum([0, *(source.width for source in sources)])
    pairs = {pair: starts[-1] + 3 * n for n, pair in enumerate(itertools.combinations(range(len(sources)), 2))}
    columns = [np.arange(starts[i], starts[i + 1]) for i in order]
    for i, j in itertools.combinations(order, 2):
        columns.append(pairs[i, j] + np.array([0, 1, 2]) if i < j else pairs[j, i] + np.array([0, 2, 1]))
    return np.concatenate(columns)


def linear(evidence: NDArray[np.float64], coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
    """[n] or [n, T]: evidence [n, F] times coefficients [1 + F] or [1 + F, T], of which the first are added."""
    if coefficients.ndim == 1:
        return np.einsum("nf,f->n", evidence, coefficients[1:]) + coefficients[0]
    return product(evidence, coefficients[1:]) + coefficients[0]


def product(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """a @ b, by blocks of rows too small for BLAS to use several threads: its threads wait busily between calls."""
    step = max(1, ONE_THREAD // b.size)
    return np.concatenate([a[start : start + step] @ b for start in range(0, max(1, len(a)), step)])


def numbers(values: Any, name: str) -> tuple[float, ...]:
    """A tuple of finite numbers; CommitteeError for anything else."""
    if not isinstance(values, tuple) or any(
        isinstance(v, bool) or not isinstance(v, (int, float)) or not abs(v) < 3.4e38 for v in values
    ):
        raise CommitteeError(f"{name} {shown(values)}; expected finite float32 numbers")
    return tuple(map(float, values))


def labels_of(values: Any) -> NDArray[np.generic]:
    """int64 [l] classes or text [l], from a tuple of ascending integers or texts; CommitteeError for anything else."""
    classes = isinstance(values, tuple) and all(isinstance(v, int) and not isinstance(v, bool) for v in values)
    texts = isinstance(values, tuple) and all(isinstance(v, str) for v in values)
    if not (classes or texts) or any(a >= b for a, b in itertools.pairwise(values)):
        raise CommitteeError(f"labels {shown(values)}; expected classes or texts, ascending")
    return np.array(values, np.str_ if texts and values else np.int64)

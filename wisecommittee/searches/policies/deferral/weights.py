"""Weights of members by ensemble selection (Caruana et al. 2004, "Ensemble selection from libraries of models")."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Counts = tuple[int, ...]
STEPS = 5  # members that are added, one at a time, to all members once
BAGS = 10


def selected_weights(
    outputs: Sequence[NDArray[np.float32]], labels: NDArray[np.integer], mean: str, parts: NDArray[np.bool_], seed: int
) -> NDArray[np.float64]:
    """Weights of members, chosen on each part of the units; they add up to 1.

    Of each of BAGS bootstrap samples of a part, greedy selection with replacement (Secs. 2 and 2.1) starts from every
    member once and adds STEPS times the member with which most units are right; the best counts on the way are kept,
    the earliest of equals. The weights are the mean over the bags (Sec. 2.3). Departs: bags are of units, not of
    members, and accuracy alone decides.

    Parameters
    ----------
    outputs : float32 [N, C] of each of m members
        Log-probabilities.
    labels : int [N]
    mean : str
        "logits" or "probabilities", as of `weighted`.
    parts : bool [P, N]
        The units of each part.

    Returns
    -------
    float64 [P, m]
    """
    rng = np.random.default_rng(seed)
    samples = np.zeros((len(parts) * BAGS, len(labels)), np.float32)
    for number, part in enumerate(np.repeat(parts, BAGS, axis=0)):
        drawn = rng.choice(np.flatnonzero(part), int(part.sum()))
        samples[number] = np.bincount(drawn, minlength=len(labels))
    rows = outputs if mean == "logits" else [np.exp(output) for output in outputs]
    known: dict[Counts, NDArray[np.float32]] = {}

    def right(counts: Counts) -> NDArray[np.float32]:
        """The number of right units of each sample."""
        if counts not in known:
            total = sum(np.float32(count) * row for count, row in zip(counts, rows, strict=True))
            known[counts] = samples @ (np.argmax(total, axis=1) == labels).astype(np.float32)
        return known[counts]

    bags = [_greedy(len(outputs), right, number) for number in range(len(samples))]
    weights = np.array([np.array(counts) / sum(counts) for counts in bags])
    return weights.reshape(len(parts), BAGS, -1).mean(axis=1)


def _greedy(members: int, right: Callable[[Counts], NDArray[np.float32]], sample: int) -> Counts:
    """How often each member is selected on a sample."""
    best = counts = (1,) * members
    for _ in range(STEPS):
        larger = [tuple(count + (m == added) for m, count in enumerate(counts)) for added in range(members)]
        counts = max(larger, key=lambda each: right(each)[sample])
        if right(counts)[sample] > right(best)[sample]:
            best = counts
    return best

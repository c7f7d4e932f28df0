"""Ensembles (Wang et al. 2022, Sec. 3; Kondratyuk et al. 2020): sets of members that all run and answer together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.cards import ModelCard
from wisecommittee.committees.families import cascade

thresholded = False


def combinations(cards: Sequence[ModelCard], size: int, replicas: str = "canonical") -> NDArray[np.int64]:
    """int64 [combinations, size]: sets of members, each as an ascending sequence of indices into cards."""
    sequences = cascade.combinations(cards, size, replicas)
    return np.unique(np.sort(sequences, axis=1), axis=0) if len(sequences) else sequences

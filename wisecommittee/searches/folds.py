"""Folds: units divided at random into parts of equal size, each of which a search does without."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wisecommittee.store.groups import assign_groups


def make_folds(
    labels: NDArray[np.generic], number: int, seed: int, together: NDArray[np.int64] | None = None
) -> NDArray[np.int16]:
    """The fold of each unit.

    Stratified: each class is spread evenly over the folds; classes with fewer units than folds are pooled.

    Parameters
    ----------
    labels : [N]
        Classes as numbers or texts.
    number : int
        How many folds.
    seed : int
    together : int64 [N], optional
        The number, from 0, of the group of each unit; a group is never divided. Then folds are not stratified.

    Returns
    -------
    int16 [N]
        From 0 to number - 1.
    """
    rng = np.random.default_rng(seed)
    if together is not None:
        of_group = _dealt(rng.permutation(int(together.max()) + 1), number)
        return of_group[together]
    _, strata, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    strata = np.where(sizes[strata] < number, -1, strata)
    order = rng.permutation(len(labels))
    return _dealt(order[np.argsort(strata[order], kind="stable")], number)


def make_group_folds(
    labels: NDArray[np.generic], groups: NDArray[np.int64], number: int, seed: int
) -> NDArray[np.int16]:
    """The fold of each unit, where whole groups are in a fold; classes are spread as evenly as that allows.

    labels : [N]; groups : int64 [N], from 0. Returns int16 [N] from 0 to number - 1.
    """
    _, strata, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    strata = np.where(sizes[strata] < number, -1, strata)
    of_fold = assign_groups(strata, groups, {str(fold): 1.0 for fold in range(number)}, seed)
    out = np.empty(len(labels), np.int16)
    for fold, rows in of_fold.items():
        out[rows] = int(fold)
    return out


def _dealt(order: NDArray[np.int64], number: int) -> NDArray[np.int16]:
    """Entries in this order dealt to the folds in turn."""
    out = np.empty(len(order), np.int16)
    out[order] = np.arange(len(order)) % number
    return out

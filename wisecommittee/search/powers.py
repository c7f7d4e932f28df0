"""Which rows of exponentials the scored prefixes of a trie need, and in what order their products are formed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

AT_ONCE = 4  # sums of products with one left factor


@dataclass(frozen=True, slots=True)
class Powers:
    """A programme for kernels/products.py over rows of one table.

    powers : int64 [p, 3] model, k and row of E_model,k, by model; for k = 1, rows of E_2 = E_6 ** 3 and of
    E_3 = E_6 ** 2, the next; sums over E_1 are made of E_2 ** 2
    steps : int64 [t, 7] 0, left, right: a product row to form; or n, left, another left or -1, n right rows (padded to
    four): n sums
    targets : int64 [t, 4] the row to form, or the score row of each sum
    paths : int64 [score rows, deepest] models of each, -1 after the last
    rows : of the table
    """

    powers: NDArray[np.int64]
    steps: NDArray[np.int64]
    targets: NDArray[np.int64]
    paths: NDArray[np.int64]
    rows: int


def powers_of(
    parents: NDArray[np.int64], members: NDArray[np.int64], sizes: NDArray[np.int64], scored: NDArray[np.bool_]
) -> Powers:
    """parents, members, sizes : int64 [nodes] trie in depth-first order; scored : bool [nodes]."""
    above, member, size = parents.tolist(), members.tolist(), sizes.tolist()
    asked = np.flatnonzero(scored).tolist()
    wanted: list[set[int]] = [set() for _ in above]  # sizes of scored prefixes below each node
    used: set[tuple[int, int]] = set()
    for node in asked:
        at = node
        while at >= 0:
            used.add((member[at], size[node]))
            at = above[at]
            if at >= 0:
                wanted[at].add(size[node])
    below: dict[int, list[int]] = {}  # children that are scored or lead to one that is
    for node, parent in enumerate(above):
        if scored[node] or wanted[node]:
            below.setdefault(parent, []).append(node)
    raised = sorted({(m, k if k > 3 else 1) for m, k in used})
    row: dict[tuple[int, int], int] = {}
    powers = []
    for m, k in raised:
        powers.append([m, k, len(row)])
        for power in (2, 3) if k == 1 else (k,):
            row[m, power] = len(row)
    formed: dict[tuple[int, int], int] = {}  # row of the product over so many members, at scale k
    left: dict[tuple[int, int], tuple[int, int]] = {}  # (node, k) -> rows whose product is that along its path
    steps: list[list[int]] = []
    targets: list[list[int]] = []
    score_row = dict(zip(asked, range(len(asked)), strict=True))
    for root in below.get(-1, []):
        if scored[root]:
            own = row[member[root], 2]
            steps.append([1, own, -1, *[own] * AT_ONCE])
            targets.append([score_row[root]] * AT_ONCE)
    stack = below.get(-1, [])[::-1]
    while stack:
        node = stack.pop()
        for k in sorted(wanted[node]):
            own = row[member[node], k]
            if size[node] == 1:
                left[node, k] = (own, -1)
                continue
            first, second = left[above[node], k]
            if second >= 0:
                product = formed.setdefault((k, size[node]), len(row) + len(formed))
                steps.append([0, first, second, 0, 0, 0, 0])
                targets.append([product, 0, 0, 0])
                first = product
            left[node, k] = (first, own)
        children = below.get(node, [])
        sums = [child for child in children if scored[child]]
        for some in (sums[i : i + AT_ONCE] for i in range(0, len(sums), AT_ONCE)):
            spare = AT_ONCE - len(some)
            rights = [row[member[child], size[child]] for child in some]
            places = [score_row[child] for child in some]
            steps.append([len(some), *left[node, size[node] + 1], *rights, *rights[-1:] * spare])
            targets.append([*places, *places[-1:] * spare])
        stack += reversed(children)
    paths = np.full((len(asked), max((size[node] for node in asked), default=0)), -1, np.int64)
    for node in asked:
        at = node
        while at >= 0:
            paths[score_row[node], size[at] - 1] = member[at]
            at = above[at]
    return Powers(
        np.array(powers, np.int64).reshape(-1, 3),
        np.array(steps, np.int64).reshape(-1, 3 + AT_ONCE),
        np.array(targets, np.int64).reshape(-1, AT_ONCE),
        paths,
        len(row) + len(formed),
    )

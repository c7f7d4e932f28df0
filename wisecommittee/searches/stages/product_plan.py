"""Which rows of exponentials the scored prefixes of a trie need, and in what order their products are formed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wisecommittee.kernels.stages.products import ProductPlan

ONES = 0  # row that is no factor
LEFTS, RIGHTS = 2, 4  # factors of the sums of products that are made together


def product_plan(
    parents: NDArray[np.int64], members: NDArray[np.int64], sizes: NDArray[np.int64], scored: NDArray[np.bool_]
) -> ProductPlan:
    """parents, members, sizes : int64 [nodes] trie in depth-first order; scored : bool [nodes]."""
    above, member, size = parents.tolist(), members.tolist(), sizes.tolist()
    asked = np.flatnonzero(scored).tolist()
    wanted: list[set[int]] = [set() for _ in above]  # sizes of scored prefixes at least two below each node
    children: dict[int, list[int]] = {}  # that are scored or lead to one that is
    sums: dict[int, dict[int, int]] = {}  # score row of each member that makes a scored prefix of a node
    used: set[tuple[int, int]] = set()
    seen: set[int] = set()
    for score_row, node in enumerate(asked):
        sums.setdefault(above[node], {})[member[node]] = score_row
        at = node
        while at >= 0:
            used.add((member[at], size[node]))
            if size[at] < size[node] - 1:
                wanted[at].add(size[node])
            if at not in seen:
                seen.add(at)
                children.setdefault(above[at], []).append(at)
            at = above[at]
    powers: list[list[int]] = []
    row: dict[tuple[int, int], int] = {}
    for m, k in sorted({(m, k if k > 3 else 1) for m, k in used}):
        powers.append([m, k, ONES + 1 + len(row)])
        for power in (2, 3) if k == 1 else (k,):
            row[m, power] = ONES + 1 + len(row)
    rows = ONES + 1 + len(row)
    programme = _Programme()
    for m, score_row in sums.get(-1, {}).items():
        programme.sum(ONES, [row[m, 2]], [row[m, 2]], [score_row])
    formed: dict[tuple[int, int], int] = {}  # row of the product over so many members, at scale k
    common: dict[tuple[int, int], int] = {}  # (node, k) -> row of the product along its path
    stack = [-1]
    while stack:
        node = stack.pop()
        k = size[node] + 2 if node >= 0 else 2
        for scale in sorted(wanted[node]) if node >= 0 else ():
            own = row[member[node], scale]
            if size[node] == 1:
                common[node, scale] = own
            else:
                product = formed.setdefault((scale, size[node]), rows + len(formed))
                programme.form(common[above[node], scale], own, product)
                common[node, scale] = product
        lefts = [child for child in children.get(node, ()) if child in sums]
        for pair in (lefts[i : i + LEFTS] for i in range(0, len(lefts), LEFTS)):
            owns = [row[member[left], k] for left in pair]
            both = sorted(set.intersection(*(set(sums[left]) for left in pair)))
            both = both[: len(both) // RIGHTS * RIGHTS] if len(pair) == LEFTS else []
            for some in (both[i : i + RIGHTS] for i in range(0, len(both), RIGHTS)):
                places = [sums[left][m] for left in pair for m in some]
                programme.sum(common.get((node, k), ONES), owns, [row[m, k] for m in some], places)
            for left, own in zip(pair, owns, strict=True):
                single = [m for m in sums[left] if m not in both]
                for some in (single[i : i + RIGHTS] for i in range(0, len(single), RIGHTS)):
                    places = [sums[left][m] for m in some]
                    programme.sum(common.get((node, k), ONES), [own], [row[m, k] for m in some], places)
        stack += reversed(children.get(node, ()))
    return ProductPlan(
        np.array(powers, np.int64).reshape(-1, 3),
        np.array(programme.steps, np.int64).reshape(-1, 2 + LEFTS + RIGHTS),
        np.array(programme.targets, np.int64).reshape(-1, LEFTS * RIGHTS),
        rows + len(formed),
    )


def paths_of(
    parents: NDArray[np.int64], members: NDArray[np.int64], sizes: NDArray[np.int64], scored: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """int64 [score rows, deepest]: the models of each scored prefix, -1 after the last."""
    asked = np.flatnonzero(scored)
    paths = np.full((len(asked), sizes[asked].max(initial=0)), -1, np.int64)
    for row, at in enumerate(asked.tolist()):
        while at >= 0:
            paths[row, sizes[at] - 1] = members[at]
            at = int(parents[at])
    return paths


class _Programme:
    def __init__(self) -> None:
        self.steps: list[list[int]] = []
        self.targets: list[list[int]] = []

    def form(self, left: int, right: int, product: int) -> None:
        self.steps.append([0, left, right] + [-1] * (LEFTS + RIGHTS - 1))
        self.targets.append([product] * (LEFTS * RIGHTS))

    def sum(self, common: int, lefts: list[int], rights: list[int], score_rows: list[int]) -> None:
        spare = [rights[-1]] * (RIGHTS - len(rights))
        self.steps.append([len(score_rows), common, *lefts, *[-1] * (LEFTS - len(lefts)), *rights, *spare])
        self.targets.append(score_rows + [score_rows[-1]] * (LEFTS * RIGHTS - len(score_rows)))

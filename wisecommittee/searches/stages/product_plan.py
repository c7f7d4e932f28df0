"""Which rows of exponentials the scored prefixes of a trie need, and in what order their products are formed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wisecommittee.kernels.stages.products import ProductPlan

ONES = 0  # the row of ones, a factor that changes nothing
LEFTS, RIGHTS = 2, 4  # left and right factors whose products one step sums


class _Needs(NamedTuple):
    """What the scored prefixes of a trie need; -1 is the root.

    factors : the (model, k) whose E_k is a factor, k being the size of a scored prefix
    scales : for each node, the sizes of the scored prefixes that are at least two models larger
    children : {node: its children that are scored or lead to a scored prefix}
    score_rows : {node: {model: score row of the scored prefix that adds the model to the node}}
    """

    factors: set[tuple[int, int]]
    scales: list[set[int]]
    children: dict[int, list[int]]
    score_rows: dict[int, dict[int, int]]


def _needs(above: list[int], member: list[int], size: list[int], scored: list[int]) -> _Needs:
    """above, member, size : parent, model and size of each node; scored : nodes, in the order of score rows."""
    needs = _Needs(set(), [set() for _ in above], {}, {})
    seen: set[int] = set()
    for score_row, node in enumerate(scored):
        needs.score_rows.setdefault(above[node], {})[member[node]] = score_row
        at = node
        while at >= 0:
            needs.factors.add((member[at], size[node]))
            if size[at] < size[node] - 1:
                needs.scales[at].add(size[node])
            if at not in seen:
                seen.add(at)
                needs.children.setdefault(above[at], []).append(at)
            at = above[at]
    return needs


def product_plan(
    parents: NDArray[np.int64], members: NDArray[np.int64], sizes: NDArray[np.int64], scored: NDArray[np.bool_]
) -> ProductPlan:
    """parents, members, sizes : int64 [nodes] trie in depth-first order; scored : bool [nodes]."""
    above, member, size = parents.tolist(), members.tolist(), sizes.tolist()
    needs = _needs(above, member, size, np.flatnonzero(scored).tolist())
    powers: list[list[int]] = []
    row: dict[tuple[int, int], int] = {}  # (model, k) -> row of E_k
    for m, k in sorted({(m, k if k > 3 else 1) for m, k in needs.factors}):
        powers.append([m, k, ONES + 1 + len(row)])
        for power in (2, 3) if k == 1 else (k,):
            row[m, power] = ONES + 1 + len(row)
    rows = ONES + 1 + len(row)
    programme = _Programme()
    for m, score_row in needs.score_rows.get(-1, {}).items():
        programme.sum(ONES, [row[m, 2]], [row[m, 2]], [score_row])
    formed: dict[tuple[int, int], int] = {}  # (k, number of models) -> row of their product at scale k
    common: dict[tuple[int, int], int] = {}  # (node, k) -> row of the product along its path
    stack = [-1]
    while stack:
        node = stack.pop()
        k = size[node] + 2 if node >= 0 else 2
        for scale in sorted(needs.scales[node]) if node >= 0 else ():
            factor = row[member[node], scale]
            if size[node] == 1:
                common[node, scale] = factor
            else:
                product = formed.setdefault((scale, size[node]), rows + len(formed))
                programme.form(common[above[node], scale], factor, product)
                common[node, scale] = product
        lefts = [child for child in needs.children.get(node, ()) if child in needs.score_rows]
        for pair in (lefts[i : i + LEFTS] for i in range(0, len(lefts), LEFTS)):
            factors = [(row[member[left], k], needs.score_rows[left]) for left in pair]
            right = {m: row[m, k] for _, score_rows in factors for m in score_rows}
            programme.sums(common.get((node, k), ONES), factors, right)
        stack += reversed(needs.children.get(node, ()))
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
    nodes = np.flatnonzero(scored)
    paths = np.full((len(nodes), sizes[nodes].max(initial=0)), -1, np.int64)
    for row, at in enumerate(nodes.tolist()):
        while at >= 0:
            paths[row, sizes[at] - 1] = members[at]
            at = int(parents[at])
    return paths


class _Programme:
    """The steps of a plan and the rows that they write, as ProductPlan has them."""

    def __init__(self) -> None:
        self.steps: list[list[int]] = []
        self.targets: list[list[int]] = []

    def form(self, left: int, right: int, product: int) -> None:
        """Write the product of two rows to a third."""
        self.steps.append([0, left, right] + [-1] * (LEFTS + RIGHTS - 1))
        self.targets.append([product] * (LEFTS * RIGHTS))

    def sum(self, common: int, lefts: list[int], rights: list[int], score_rows: list[int]) -> None:
        """Sum common * left * right over classes for each left with each right row, to these score rows."""
        spare = [rights[-1]] * (RIGHTS - len(rights))
        self.steps.append([len(score_rows), common, *lefts, *[-1] * (LEFTS - len(lefts)), *rights, *spare])
        self.targets.append(score_rows + [score_rows[-1]] * (LEFTS * RIGHTS - len(score_rows)))

    def sums(self, common: int, lefts: list[tuple[int, dict[int, int]]], right: dict[int, int]) -> None:
        """The sums of one or two left rows, each with the models that follow it.

        lefts : (left row, {model: score row}); right : {model: right row}. Models that follow both lefts are summed
        with both in one step, as far as they fill whole steps.
        """
        both = sorted(set.intersection(*(set(score_rows) for _, score_rows in lefts)))
        both = both[: len(both) // RIGHTS * RIGHTS] if len(lefts) == LEFTS else []
        for models in _runs(both):
            targets = [score_rows[m] for _, score_rows in lefts for m in models]
            self.sum(common, [left for left, _ in lefts], [right[m] for m in models], targets)
        for left, score_rows in lefts:
            for models in _runs([m for m in score_rows if m not in both]):
                self.sum(common, [left], [right[m] for m in models], [score_rows[m] for m in models])


def _runs(models: list[int]) -> Iterator[list[int]]:
    """These models, RIGHTS at a time."""
    return (models[i : i + RIGHTS] for i in range(0, len(models), RIGHTS))

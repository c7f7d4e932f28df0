"""Outputs for every pixel -> store: one entry per grid cell for each model and for each set of models that answers
together (tasks/segmentation.py).

The prediction of a cascade after two members is the mean of their probabilities, pixel by pixel. So this import reads
the pixels once and stores an entry for every set of up to `together` models: its counts and its confidence per cell. A
set costs the union of its members' blocks, so the sequence (a, a+b) costs a and then b, and is Algorithm 1 of Wang et
al. 2022 when the newest entry answers.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.cards import ModelCard
from wisecommittee.committees.combine import softmax
from wisecommittee.errors import AlignmentError, ContentError, UsageError, option
from wisecommittee.store import checks
from wisecommittee.store.imports.models_csv import read_cards
from wisecommittee.store.logit_store import LogitStore
from wisecommittee.store.readers.formats import read_array
from wisecommittee.tasks.segmentation import cell_confidence, cell_numbers, cell_statistics

TOGETHER = 3  # most models of a set
CELL_NAME = re.compile(r"(.+):\d+:\d+", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Dense:
    """Outputs [images, H, W, C] of one model, logits or probabilities."""

    model: str
    kind: str
    outputs: NDArray[np.floating]

    def probabilities(self, image: int) -> NDArray[np.float32]:
        """float32 [pixels, C] of one image."""
        rows = np.asarray(self.outputs[image], np.float32).reshape(-1, self.outputs.shape[-1])
        checks.check_outputs(rows, self.kind, f"{self.model}, image {image}", warn=False)
        return rows if self.kind == "probabilities" else softmax(rows)


@dataclass(frozen=True, slots=True)
class CellCounts:
    """The entry of a set of models: for every cell, statistics int32 [N, 3C] and confidence float32 [N]."""

    members: tuple[str, ...]
    statistics: NDArray[np.int32]
    confidence: NDArray[np.float32]


def import_images(
    store: LogitStore,
    split: str,
    files: Sequence[tuple[str, str, str | os.PathLike[str]]],
    *,
    labels: str | os.PathLike[str],
    costs: str | os.PathLike[str],
    cell: int,
    ignored: int = 255,
    together: int = TOGETHER,
    replace: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, str]:
    """Import outputs for every pixel: one entry per grid cell for each model, and for each set of models.

    Parameters
    ----------
    store, split
        Where they go.
    files
        (kind, model, file) with kind 'logits' or 'probabilities', each file an array [images, H, W, C].
    labels
        A file of an integer array [images, H, W], `ignored` where a pixel does not count.
    costs
        models.csv (models_csv.py), per CELL.
    cell
        Edge of a cell in pixels. Units are named image:row:column.
    together
        Models of a set at most; the set of a and b is called 'a+b'.
    replace
        Exchange models that have other content in the store.
    progress
        Called with ('images', images done, images).

    Returns
    -------
    {model: 'added' | 'unchanged' | 'card updated' | 'replaced'}
    """
    names = [model for _, model, _ in files]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"{', '.join(twice)} is given more than once")
    cards = read_cards(costs, names)
    truth = read_array(labels)
    dense = [Dense(model, kind, read_array(file)) for kind, model, file in files]
    dense.sort(key=lambda d: cards[d.model].key)
    unit_ids, entries = cells_of(dense, truth, cell=cell, ignored=ignored, together=together, progress=progress)
    done = {}
    with store.adding_many(split):
        for entry in entries:
            card = joint_card([cards[m] for m in entry.members], cell, truth.shape[1:])
            done[card.model] = store.add(
                card,
                split,
                labels=_labelled(entry.statistics),
                unit_ids=unit_ids,
                outputs=entry.statistics.astype(np.float32),
                scores={"confidence": entry.confidence},
                replace=replace,
            )
    return done


def cells_of(
    dense: Sequence[Dense],
    labels: NDArray[np.integer],
    *,
    cell: int,
    ignored: int = 255,
    together: int = TOGETHER,
    progress: Callable[[str, int, int], None] | None = None,
) -> tuple[list[str], list[CellCounts]]:
    """Unit ids [N] and the cells of every set of up to `together` of these models, in canonical order.

    labels : integer [images, H, W]. The float32 sum over members is divided once; ties go to the lowest class.
    """
    if cell < 1 or together < 1:
        raise UsageError(f"cell {cell}, together {together}; expected at least 1")
    _check_shapes(dense, labels)
    images, height, width = labels.shape
    numbers = cell_numbers(height, width, cell).reshape(-1)
    count = int(numbers[-1]) + 1
    across = -(-width // cell)
    classes = dense[0].outputs.shape[-1]
    sets = [
        s for size in range(1, min(together, len(dense)) + 1) for s in itertools.combinations(range(len(dense)), size)
    ]
    statistics = {s: np.empty((images * count, 3 * classes), np.int32) for s in sets}
    confidence = {s: np.empty(images * count, np.float32) for s in sets}
    for image in range(images):
        rows = slice(image * count, (image + 1) * count)
        truth = np.asarray(labels[image]).reshape(-1)
        each = [d.probabilities(image) for d in dense]
        for members, mean in _means(each, sets):
            confidence[members][rows] = cell_confidence(mean, numbers, count)
            statistics[members][rows] = cell_statistics(mean.argmax(axis=1), truth, numbers, count, classes, ignored)
        if progress:
            progress("images", image + 1, images)
    unit_ids = [cell_name(image, n // across, n % across) for image in range(images) for n in range(count)]
    return unit_ids, [CellCounts(tuple(dense[i].model for i in s), statistics[s], confidence[s]) for s in sets]


def cell_name(image: int, row: int, column: int) -> str:
    return f"{image}:{row}:{column}"


def images_of(unit_ids: Sequence[str]) -> NDArray[np.int64]:
    """int64 [N]: the number of the image of each cell, 0, 1, .. in order of appearance."""
    images: dict[str, int] = {}
    out = np.empty(len(unit_ids), np.int64)
    for row, unit in enumerate(unit_ids):
        named = CELL_NAME.fullmatch(unit)
        if named is None:
            raise ContentError(
                f"unit {unit!r} does not say which image it is from; expected image:row:column, as `import --cell` "
                f"names cells"
            )
        out[row] = images.setdefault(named[1], len(images))
    return out


def _means(
    each: Sequence[NDArray[np.float32]], sets: Sequence[tuple[int, ...]]
) -> Iterator[tuple[tuple[int, ...], NDArray[np.float32]]]:
    for members in sets:
        total = each[members[0]]
        for m in members[1:]:
            total = total + each[m]
        yield members, total / np.float32(len(members))


def joint_card(cards: Sequence[ModelCard], cell: int, pixels: Sequence[int] = ()) -> ModelCard:
    """The card of models that answer together: the union of their blocks, and the model that each cost comes from.

    pixels : height and width of an image.
    """
    meta: dict[str, Any] = {"cell": cell, "members": {card.model: dict(card.costs) for card in cards}}
    if pixels:
        meta["pixels"] = list(pixels)
    if len(cards) == 1:
        card = cards[0]
        return ModelCard(
            card.model, card.architecture, card.replica, "cell_counts", card.blocks, card.costs, card.params,
            training_cost=card.training_cost, group=card.group, meta=meta, replica_given=card.replica_given,
        )  # fmt: skip
    name = "+".join(card.model for card in cards)
    blocks = {block: value for card in cards for block, value in card.blocks.items()}
    shared = set.intersection(*(set(card.costs) for card in cards))
    costs = {name: sum(card.costs[name] for card in cards) for name in sorted(shared)}
    return ModelCard(name, name, 0, "cell_counts", blocks, costs, meta=meta, replica_given=True)


def _labelled(statistics: NDArray[np.int32]) -> NDArray[np.int64]:
    """int64 [N] labelled pixels of every cell."""
    tp, _, fn = np.split(statistics.astype(np.int64), 3, axis=1)
    return (tp + fn).sum(axis=1)


def _check_shapes(dense: Sequence[Dense], labels: NDArray[np.integer]) -> None:
    if labels.ndim != 3 or labels.dtype.kind not in "iu":
        raise ContentError(
            f"labels: {labels.dtype} of shape {list(labels.shape)}; expected a class for every pixel, whole numbers "
            f"[images, height, width]"
        )
    first = dense[0].outputs.shape
    for d in dense:
        shape = d.outputs.shape
        if len(shape) != 4 or shape[-1] < 2 or d.outputs.dtype.kind != "f":
            raise ContentError(
                f"{d.model}: {d.outputs.dtype} of shape {list(shape)}; with {option('cell')}, expected numbers "
                f"[images, height, width, classes]"
            )
        if shape[:3] != labels.shape:
            raise AlignmentError(
                f"{d.model}: {list(shape[:3])} images, height and width, the labels have {list(labels.shape)}; "
                f"expected the same (resize outputs to the labels, not the labels)"
            )
        if shape[-1] != first[-1]:
            raise ContentError(f"{d.model}: {shape[-1]} classes, {dense[0].model} has {first[-1]}; expected the same")

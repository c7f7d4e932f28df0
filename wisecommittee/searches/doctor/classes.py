"""Segmentation: classes without a labelled pixel where many pixels do not count."""

from __future__ import annotations

import numpy as np

from wisecommittee.committees.cards import StoredCard
from wisecommittee.errors import option
from wisecommittee.searches.doctor.look import Look, listed
from wisecommittee.store.imports.segmentation import images_of

MUCH_IGNORED = 0.05  # share of the pixels


def doubts(look: Look) -> list[str]:
    unseen: dict[str, list[str]] = {}
    for card in look.of_kind("cell_counts"):
        if (text := _unseen(look, card)) is not None:
            unseen.setdefault(text, []).append(card.model)
    return [f"{listed(names)} in {look.split}: {text}" for text, names in unseen.items()]


def _unseen(look: Look, card: StoredCard) -> str | None:
    if len(card.members) > 1 or "pixels" not in card.meta:
        return None
    totals = look.store.outputs(card.model, look.split).sum(axis=0, dtype=np.float64)
    tp, _, fn = np.split(totals, 3)
    unseen = np.flatnonzero(tp + fn == 0)
    height, width = card.meta["pixels"]
    images = int(images_of(look.store.unit_ids(look.split)).max()) + 1
    ignored = 1 - float((tp + fn).sum()) / (images * height * width)
    if not len(unseen) or ignored < MUCH_IGNORED:
        return None
    most = 1 - len(unseen) / len(tp)
    shown = ", ".join(map(str, unseen[:5])) + (", .." if len(unseen) > 5 else "")
    return (
        f"class {shown} never occurs in the labels while {100 * ignored:.0f} % of the pixels do not count; is the "
        f"ignored label that class? mIoU cannot exceed {100 * most:.0f} %; number the classes from 0, or name the "
        f"label of pixels that do not count with {option('ignored', flag='ignore-label')}"
    )

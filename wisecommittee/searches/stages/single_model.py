"""A model by itself, straight from the store: no kernels, which take longer to load than this to compute."""

from __future__ import annotations

import numpy as np

from wisecommittee.committees.cards import StoredCard
from wisecommittee.store import LogitStore
from wisecommittee.tasks import Answers, Segmentation


def segmentation(card: StoredCard) -> Segmentation:
    """The task of an entry of statistics."""
    assert card.contents.classes is not None
    return Segmentation(card.contents.classes // 3)


def model_quality(store: LogitStore, split: str, card: StoredCard) -> float:
    """Accuracy, mean grade or mIoU of one model by itself."""
    labels = store.labels(split)
    if card.kind == "answers":
        if card.contents.graded:
            return float(store.quality(card.model, split).mean(dtype=np.float64))
        return float(Answers().statistics(store.answers(card.model, split), labels).mean())
    outputs = store.outputs(card.model, split)
    if card.kind == "statistics":
        return float(segmentation(card).quality(outputs.sum(axis=0, dtype=np.float64).astype(np.int64)))
    step = max(1, (8 << 20) // outputs.shape[1])
    right = sum(
        int((outputs[a : a + step].argmax(axis=1) == labels[a : a + step]).sum()) for a in range(0, len(outputs), step)
    )
    return right / len(labels)

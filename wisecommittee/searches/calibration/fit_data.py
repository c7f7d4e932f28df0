"""The units that a calibration of one model is fitted on: outputs in blocks, labels, folds.

A block is float64, made from the stored float32. Memory does not grow with the outputs; results of blocks are summed in
the order of the blocks, so any number of threads gives the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.calibration import Parameters, as_logits, log_odds, unit_folds
from wisecommittee.committees.cards import StoredCard
from wisecommittee.committees.scale import LARGEST
from wisecommittee.errors import ContentError
from wisecommittee.searches.stages.split_model import SplitModel
from wisecommittee.searches.workers.threads import Workers
from wisecommittee.store import LogitStore
from wisecommittee.tasks import task_of

BLOCK = 1 << 18  # float64 values of one block: its scratch stays in the cache
CONFIDENCE = "confidence"  # the stored score of answers


class MapFits(NamedTuple):
    """Parameters fitted on all units, those fitted without each fold in turn, and a limit of the fits, if any."""

    parameters: Parameters
    by_fold: list[Parameters]
    note: str | None


class FitData:
    """The units of one model on one split; of answers, those that the model answered.

    passed : called after each block with the share of all units that it has
    scores, right : of answers, float64 [N]: stored confidence, and how right each answer is, in [0, 1]
    """

    def __init__(
        self, store: LogitStore, split: str, card: StoredCard, threads: int, passed: Callable[[float], None]
    ) -> None:
        self.store, self.split, self.card, self.threads, self.passed = store, split, card, threads, passed
        self.labels = store.labels(split)
        self.answers = card.kind == "answers"
        if self.answers:
            if CONFIDENCE not in card.contents.scores:
                raise ContentError(
                    f"{card.model}: its answers have no stored confidence to calibrate; import them with one"
                )
            scores = store.scores(card.model, split, CONFIDENCE).astype(np.float64)
            self._answered = np.abs(scores) < LARGEST
            if not self._answered.any():
                raise ContentError(f"{card.model} answers no unit of {split}; choose another model")
            model = SplitModel(store, split, card)
            self.labels, self.scores = self.labels[self._answered], scores[self._answered]
            self.right = task_of([model]).shares(model)[self._answered]
        else:
            self.outputs = store.outputs(card.model, split)

    @property
    def n(self) -> int:
        return len(self.labels)

    def folds(self) -> NDArray[np.int8]:
        """int8 [N]: the fold of each unit."""
        folds = unit_folds(self.store.unit_ids(self.split))
        return folds[self._answered] if self.answers else folds

    def rows(self, units: slice) -> NDArray[np.float64]:
        """float64 [n, C]: logits, or log-probabilities, of these units."""
        wide: NDArray[np.float64] = self.outputs[units].astype(np.float64)
        return as_logits(wide, self.card.kind).astype(np.float64, copy=False)

    def over_blocks(self, work: Callable[[slice], Any]) -> Iterator[Any]:
        """Yields work(units) for every block of units, in order."""
        step = max(1, BLOCK // self.outputs.shape[1])
        blocks = [slice(start, min(start + step, self.n)) for start in range(0, self.n, step)]
        with Workers(self.threads) as workers:
            for units, result in zip(blocks, workers.map(work, blocks), strict=True):
                self.passed((units.stop - units.start) / self.n)
                yield result

    def log_odds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """float64 [N], [N]: what Platt and isotonic maps start from (the log-odds of the winning class, or the stored
        confidence of an answer), and how right each unit is, in [0, 1]."""
        if self.answers:
            return self.scores, self.right

        def block(units: slice) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
            rows = self.rows(units)
            winner = rows.argmax(axis=1)
            return log_odds(rows, winner), winner == self.labels[units]

        s, right = zip(*self.over_blocks(block), strict=True)
        return np.concatenate(s), np.concatenate(right).astype(np.float64)

"""A catalog whose labels may be the predictions of a trusted model instead of those of its splits."""

from __future__ import annotations

from abc import abstractmethod
from copy import copy
from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.cards import StoredCard
from wisecommittee.errors import AbsentNameError, UsageError, option
from wisecommittee.store.catalog import Catalog
from wisecommittee.store.layout import card_path
from wisecommittee.store.storage.files import Files, Stamp
from wisecommittee.store.trusted import TrustedUnits, trusted_units, without_labels
from wisecommittee.store.units import SplitUnits
from wisecommittee.tasks.classification import predicted_classes


class TrustingCatalog(Catalog):
    """A catalog, or a view of it with labels from a model. source : the store that a view shows; else itself."""

    def __init__(self, files: Files) -> None:
        super().__init__(files)
        self.source: TrustingCatalog = self
        self._trusted: dict[str, tuple[tuple[Stamp | None, ...], TrustedUnits]] = {}

    def refresh(self) -> None:
        """Forget everything read so far; needed after other code has changed the splits."""
        super().refresh()
        self._trusted.clear()
        if self.source is not self:
            self.source.refresh()

    @abstractmethod
    def outputs(self, model: str, split: str) -> NDArray[np.floating]:
        """[N, C] logits or probabilities of a model."""

    @abstractmethod
    def answers(self, model: str, split: str) -> NDArray[np.str_]:
        """Text [N]: the answers of a model."""

    def with_labels_from(self, model: str | None) -> Self:
        """This store, whose labels are the predictions of one of its models; nothing is written.

        Quality is then agreement with that model, on splits without labels too. Grades are ignored, and answers are
        compared as text. Units that the model does not answer are left out.

        Parameters
        ----------
        model : str, optional
            The trusted model. None: the store as it is.

        Returns
        -------
        LogitStore
            A split that does not hold the model has no labels.

        Raises
        ------
        AbsentNameError
            No split of the store has such a model.
        """
        if model is None or model == self.labels_from:
            return self
        known = {name for split in self.splits() for name in self.models(split)}
        if known and model not in known:
            raise AbsentNameError("model to take labels from", model, sorted(known))
        view = copy(self)
        view.labels_from, view._trusted, view._features = model, {}, {}
        return view

    def left_out(self, split: str) -> int:
        """Number of units of a split that are left out, for want of an answer of the model that labels are from."""
        return 0 if self.labels_from is None else self._trusted_units(split).left_out

    def units(self, split: str) -> SplitUnits:
        """The units of a split; StoreError unless its models were written for these very units."""
        return super().units(split) if self.labels_from is None else self._trusted_units(split).units

    def read_card(self, split: str, model: str) -> StoredCard | None:
        """The card of a model, None where the split does not have it; StoreError if it cannot be read."""
        card = super().read_card(split, model)
        if card is None or self.labels_from is None or not card.contents.graded:
            return card
        return card.with_contents(replace(card.contents, graded=False))

    def _counted(self, split: str, values: NDArray[Any]) -> NDArray[Any]:
        """Values [N] of the units of a split, without those that are left out."""
        rows = None if self.labels_from is None else self._trusted_units(split).rows
        return values if rows is None else values[rows]

    def _trusted_units(self, split: str) -> TrustedUnits:
        store, model = self.source, str(self.labels_from)
        units = store.units(split)
        stamps = units.stamp, self.files.stamp(card_path(split, model))
        if split not in self._trusted or self._trusted[split][0] != stamps:
            if stamps[1] is None:
                made = without_labels(units)
            elif (kind := store.card(model, split).kind) == "cell_counts":
                raise UsageError(
                    f"labels from {model}: its {split} outputs are counts of pixels against the labels of the images, "
                    f"from which no prediction can be read; leave {option('labels_from', model)} out"
                )
            else:
                said: NDArray[np.generic]
                said = (
                    store.answers(model, split) if kind == "answers" else predicted_classes(store.outputs(model, split))
                )
                made = trusted_units(units, said, model, split)
            self._trusted[split] = stamps, made
        return self._trusted[split][1]

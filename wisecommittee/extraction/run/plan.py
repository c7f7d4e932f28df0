"""The plan of an extraction as values: the call, and what each model will do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from wisecommittee.committees.cards import ModelCard
from wisecommittee.extraction.data.data import Data
from wisecommittee.extraction.models.loaded import LoadedModel
from wisecommittee.extraction.models.preprocess import Preprocess
from wisecommittee.extraction.run.ranks import Ranks
from wisecommittee.extraction.run.settings import Settings
from wisecommittee.store import LogitStore


@dataclass(frozen=True, slots=True)
class Run:
    """The parts of a call that all its models share."""

    data: Data
    split: str
    store: LogitStore
    device: torch.device
    ranks: Ranks
    settings: Settings


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """A model that has passed phase one.

    outputs : columns of the module; columns : the columns that are stored, None for all; identity : rows of a killed
    run are kept only if it is equal; status : the status of the model after the extraction; preprocess : of images,
    else None.
    """

    load: Callable[[], LoadedModel]
    card: ModelCard
    outputs: int
    columns: NDArray[np.int64] | None
    layout: str
    identity: str
    status: str
    preprocess: Preprocess | None

    @property
    def classes(self) -> int:
        return self.outputs if self.columns is None else len(self.columns)

    @property
    def is_due(self) -> bool:
        """Whether it has to run over the data."""
        return self.status in ("added", "replaced")

    @property
    def group(self) -> str | None:
        """Models of one group see the same tensors, and so share a pass over the data."""
        return None if self.preprocess is None else self.preprocess.key

    def chosen(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """[n, outputs] -> [n, classes]"""
        return logits if self.columns is None else logits[:, self.columns]

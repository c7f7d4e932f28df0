"""The units of logs, and which record of each model is about which of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Key = tuple[str, int]  # a model, and the number of its sample


@dataclass(frozen=True, slots=True)
class Units:
    """N units, in the order in which they first stand in the logs.

    Attributes
    ----------
    unit_ids : large_string [N]
    record : {key: int64 [N]}
        The record of each unit among those of a model; -1 where the model has none.
    answered : {key: bool [N]}
        Whether the model answered.
    label : int64 [N]
        Place of the label of each unit in `labels`; -1 where no log has it.
    labels : list of str, or of int
    choices : int64 [N]
        Number of choices of a unit; 0 for answers.
    """

    unit_ids: pa.Array
    record: Mapping[Key, NDArray[np.int64]]
    answered: Mapping[Key, NDArray[np.bool_]]
    label: NDArray[np.int64]
    labels: list[str] | list[int]
    choices: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.unit_ids)

    def only(self, kept: NDArray[np.bool_]) -> Units:
        """Some of the units. kept : bool [N]"""
        if kept.all():
            return self
        return replace(
            self,
            unit_ids=self.unit_ids.filter(pa.array(kept)),
            record={key: record[kept] for key, record in self.record.items()},
            answered={key: answered[kept] for key, answered in self.answered.items()},
            label=self.label[kept],
            choices=self.choices[kept],
        )

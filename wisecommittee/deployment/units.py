"""Inputs of a committee, in the form that each of its members takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from wisecommittee.deployment.callables import Called
from wisecommittee.errors import UsageError
from wisecommittee.extraction.models.loaded import LoadedModel
from wisecommittee.runtime.rows import count, taken


@dataclass(frozen=True, slots=True)
class Units:
    """Inputs of n units.

    Parameters
    ----------
    tensors : {key of a preprocessing: tensor [n, ..]}
        Under None if every member takes the same tensor.
    rows : sequence, array or table of n rows, optional
        As the caller gave them: images for preprocessing, or what functions among the members take.
    """

    tensors: dict[str | None, torch.Tensor]
    rows: Any = None

    def __len__(self) -> int:
        return len(next(iter(self.tensors.values()))) if self.rows is None else count(self.rows)

    @classmethod
    def of_inputs(cls, inputs: Any, models: Sequence[LoadedModel]) -> Units:
        """A tensor, an array, a table, or a sequence of images or other rows."""
        if isinstance(inputs, Units):
            return inputs
        if isinstance(inputs, torch.Tensor):
            return cls({None: inputs})
        inputs = inputs if hasattr(inputs, "shape") else list(inputs)
        if not count(inputs):
            raise UsageError("no inputs; expected a tensor or array [n, ..], or one image or more")
        is_array = isinstance(inputs, np.ndarray) and inputs.dtype.kind in "fiub"
        if is_array and all(model.preprocess is None for model in models):
            return cls({None: torch.from_numpy(np.ascontiguousarray(inputs))}, inputs)
        return cls({}, inputs)

    def of(self, model: LoadedModel) -> Any:
        """[n, ..]: the inputs of this model, preprocessed on first use."""
        if isinstance(model.module, Called) and self.rows is not None:
            return self.rows
        key = model.preprocess_key
        for known in (key, None):
            if known in self.tensors:
                return self.tensors[known]
        if self.rows is None or model.preprocess is None:
            raise UsageError(f"{model.name}: no inputs for its preprocessing; give tensors, or images it can prepare")
        self.tensors[key] = torch.stack([model.preprocess(image) for image in self.rows])
        return self.tensors[key]

    def only(self, rows: NDArray[np.int64]) -> Units:
        kept = None if self.rows is None else taken(self.rows, rows)
        chosen = torch.from_numpy(rows)
        return Units({key: tensor[chosen.to(tensor.device)] for key, tensor in self.tensors.items()}, kept)

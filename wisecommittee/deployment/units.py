"""Units on their way through a committee: every member takes them in its own form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from wisecommittee.deployment.callables import Called, count, taken
from wisecommittee.errors import UsageError
from wisecommittee.extraction.models.loaded import LoadedModel


@dataclass(frozen=True, slots=True)
class Units:
    """
    tensors : {key of a preprocessing: [n, ..]}, under None where every member takes the same; rows : as the caller
    gave them, images (for preprocessing) or whatever functions among the members take.
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
        """What a model takes, [n, ..]."""
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

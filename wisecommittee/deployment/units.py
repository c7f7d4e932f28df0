"""Inputs of a committee, in the form that each of its members takes, and what members have computed of them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from wisecommittee.deployment.callables import Called
from wisecommittee.errors import UsageError
from wisecommittee.extraction.models.loaded import LoadedModel
from wisecommittee.runtime.rows import count, form, joined, taken


class Picked:
    """Rows of a tensor or of another container, copied when they are first needed.

    chosen : int64 [n] positions in `values`; None for all of them
    """

    def __init__(self, values: Any, chosen: NDArray[np.int64] | None = None) -> None:
        self._held = values, chosen  # replaced as a whole: members of a stage may run in several threads

    def __len__(self) -> int:
        values, chosen = self._held
        return count(values) if chosen is None else len(chosen)

    def only(self, rows: NDArray[np.int64]) -> Picked:
        values, chosen = self._held
        return Picked(values, rows if chosen is None else chosen[rows])

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """The rows of all parts, one part after the other."""
        return cls(joined([part.get() for part in parts]))

    @property
    def values(self) -> Any:
        """The container that the rows are taken from, which has the form of the rows."""
        return self._held[0]

    def get(self) -> Any:
        values, chosen = self._held
        if chosen is None:
            return values
        if isinstance(values, torch.Tensor):
            picked = values.index_select(0, torch.from_numpy(chosen).to(values.device))
        else:
            picked = taken(values, chosen)
        self._held = picked, None
        return picked


@dataclass(frozen=True, slots=True)
class Units:
    """Inputs of n units.

    Parameters
    ----------
    tensors : {key of a preprocessing: Picked tensor [n, ..]}
        Under None if every member takes the same tensor.
    rows : Picked sequence, array or table of n rows, or None
        As the caller gave them: images for preprocessing, or what functions among the members take.
    activations : {block: Picked tensor [n, ..]}
        What blocks that several members run have given (sharing.py).
    """

    tensors: dict[str | None, Picked]
    rows: Picked | None = None
    activations: dict[int, Picked] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(next(iter(self.tensors.values())) if self.rows is None else self.rows)

    @classmethod
    def of_tensors(cls, tensors: Mapping[str | None, torch.Tensor]) -> Self:
        """tensors : {key of a preprocessing: [n, ..]}"""
        return cls({key: Picked(tensor) for key, tensor in tensors.items()})

    @classmethod
    def of_inputs(cls, inputs: Any, models: Sequence[LoadedModel]) -> Units:
        """A tensor, an array, a table, or a sequence of images or other rows."""
        if isinstance(inputs, Units):
            return inputs
        if isinstance(inputs, torch.Tensor):
            return cls.of_tensors({None: inputs})
        if not count(inputs):
            raise UsageError("no inputs; expected a tensor or array [n, ..], or one image or more")
        inputs = inputs if hasattr(inputs, "shape") else list(inputs)
        is_array = isinstance(inputs, np.ndarray) and inputs.dtype.kind in "fiub"
        if is_array and all(model.preprocess is None for model in models):
            return cls({None: Picked(torch.from_numpy(np.ascontiguousarray(inputs)))}, Picked(inputs))
        return cls({}, Picked(inputs))

    @classmethod
    def of_numbers(cls, numbers: NDArray[np.float32]) -> Units:
        """Numbers [n, ..] that every member takes unchanged, also those that prepare images."""
        return cls({None: Picked(torch.from_numpy(numbers))}, Picked(numbers))

    def of(self, model: LoadedModel) -> Any:
        """[n, ..]: the inputs of this model, preprocessed on first use."""
        if isinstance(model.module, Called) and self.rows is not None:
            return self.rows.get()
        key = model.preprocess_key
        for known in (key, None):
            if known in self.tensors:
                return self.tensors[known].get()
        if self.rows is None or model.preprocess is None:
            raise UsageError(f"{model.name}: no inputs for its preprocessing; give tensors, or images it can prepare")
        self.tensors[key] = Picked(torch.stack([model.preprocess(image) for image in self.rows.get()]))
        return self.tensors[key].get()

    def only(self, rows: NDArray[np.int64]) -> Units:
        """The units at these positions. Nothing is copied before a member needs it. The dicts are copied first, since
        members in threads add to them."""
        return Units(
            {key: each.only(rows) for key, each in self.tensors.copy().items()},
            None if self.rows is None else self.rows.only(rows),
            {block: each.only(rows) for block, each in self.activations.copy().items()},
        )

    @property
    def form(self) -> Hashable:
        """Equal for inputs that can be joined."""
        parts = (self.tensors.get(None), self.rows)
        return tuple(None if part is None else form(part.values) for part in parts)

    def joined(self, others: Sequence[Units]) -> Units:
        """These units, and then others of the same form; what has not been computed for all of them is left out."""
        parts = [self, *others]
        keys = [key for key in self.tensors if all(key in part.tensors for part in others)]
        blocks = [block for block in self.activations if all(block in part.activations for part in others)]
        return Units(
            {key: Picked.joined([part.tensors[key] for part in parts]) for key in keys},
            None if self.rows is None else Picked.joined([part.rows for part in parts if part.rows is not None]),
            {block: Picked.joined([part.activations[block] for part in parts]) for block in blocks},
        )

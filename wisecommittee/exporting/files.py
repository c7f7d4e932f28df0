"""The files of an export, as its manifest lists them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from wisecommittee.exporting.plan import Graph

Shape = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """name : str; dtype : such as 'float32'; shape : of which the first side is 'batch'."""

    name: str
    dtype: str
    shape: Shape

    @classmethod
    def of(cls, name: str, tensor: Tensor) -> TensorSpec:
        return cls(name, str(tensor.dtype).removeprefix("torch."), ("batch", *tensor.shape[1:]))

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype, "shape": list(self.shape)}


@dataclass(frozen=True, slots=True)
class GraphFile:
    """A graph that has been written. file : its name in the folder."""

    name: str
    file: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    @classmethod
    def of(cls, graph: Graph, file: str) -> GraphFile:
        return cls(graph.name, file, _specs(graph.inputs), _specs(graph.outputs))

    def to_json(self) -> dict[str, Any]:
        return {
            "file": self.file,
            "inputs": [spec.to_json() for spec in self.inputs],
            "outputs": [spec.to_json() for spec in self.outputs],
        }


@dataclass(frozen=True, slots=True)
class Written:
    """What a target has written. graphs : its graphs; notes : what it could not write, in sentences."""

    graphs: tuple[GraphFile, ...]
    notes: tuple[str, ...] = ()


def _specs(tensors: Mapping[str, Tensor]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec.of(name, tensor) for name, tensor in tensors.items())

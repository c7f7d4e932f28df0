"""What is exported: the graphs of a committee, their inputs and outputs, and the units that they are checked with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray
from torch import Tensor, nn

from wisecommittee.committees.committee import Committee
from wisecommittee.exporting.golden import GoldenUnits
from wisecommittee.runtime.decisions import Decisions


@dataclass(frozen=True, slots=True)
class Input:
    """A tensor of units that graphs take.

    name : str; values : [n, ..] of the golden units; preprocess : key of the preprocessing that makes it of images,
    None if units come as tensors
    """

    name: str
    values: NDArray[Any]
    preprocess: str | None


@dataclass(frozen=True, slots=True)
class Graph:
    """A torch module that becomes a file.

    name : 'stage_0', 'cascade' or 'member_0'; module : takes `inputs`, by position, and gives `outputs`, a tensor or a
    tuple; inputs, outputs : {name: example tensor [n, ..]}; what : in messages
    """

    name: str
    module: nn.Module
    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]
    what: str


@dataclass(frozen=True, slots=True)
class Plan:
    """A committee whose members are loaded, and the decisions that its exports have to repeat.

    Parameters
    ----------
    committee : Committee
    inputs : tuple of Input
        Several where members prepare images in different ways.
    stages : tuple of Graph
        Of every stage; empty where only wisecommittee.runtime can decide.
    cascade : Graph or None
        All stages in one.
    members : {model: Graph}
        Of every member by itself, where there are no stages.
    golden : GoldenUnits
    decisions : Decisions
        Of the deployed committee on the golden units.
    classes : tuple of str or None
        Names of the classes.
    """

    committee: Committee
    inputs: tuple[Input, ...]
    stages: tuple[Graph, ...]
    cascade: Graph | None
    members: Mapping[str, Graph]
    golden: GoldenUnits
    decisions: Decisions
    classes: tuple[str, ...] | None

    @property
    def graphs(self) -> tuple[Graph, ...]:
        whole = () if self.cascade is None else (self.cascade,)
        return (*self.stages, *whole, *self.members.values())

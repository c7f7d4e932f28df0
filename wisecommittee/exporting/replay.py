"""Runs exported graphs on units: stage by stage with numpy between the stages, and as one graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.committee import Committee
from wisecommittee.runtime.decisions import Decisions
from wisecommittee.runtime.rows import taken
from wisecommittee.runtime.runtime import Runtime

Arrays = Mapping[str, NDArray[Any]]
Run = Callable[[Arrays], dict[str, NDArray[Any]]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """prediction, stage : int64 [n]; confidence : float32 [n]."""

    prediction: NDArray[np.int64]
    stage: NDArray[np.int64]
    confidence: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Rows:
    """Several tensors of the same n units, {name: [n, ..]}."""

    tensors: Mapping[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(next(iter(self.tensors.values())))

    def only(self, chosen: NDArray[np.int64]) -> Rows:
        return Rows({name: taken(values, chosen) for name, values in self.tensors.items()})


def run_stages(stages: Sequence[tuple[Sequence[str], Run]], inputs: Arrays) -> Outcome:
    """Each stage on the units that have not exited. stages : the names of its inputs, and the graph."""
    n = len(next(iter(inputs.values())))
    out = Outcome(np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.float32))
    index, known = np.arange(n), dict(inputs)
    for number, (names, run) in enumerate(stages):
        if not len(index):
            break
        given = run({name: known[name] for name in names})
        out.prediction[index], out.stage[index] = given["prediction"], number
        out.confidence[index] = given["confidence"]
        left = np.flatnonzero(~given["exit"])
        index = index[left]
        known |= {f"{name}_before": given[name] for name in ("sum", "votes") if name in given}
        known = {name: values[left] for name, values in known.items()}
    return out


def run_cascade(cascade: Run, inputs: Arrays) -> Outcome:
    given = cascade(inputs)
    return Outcome(given["prediction"], given["stage"], given["confidence"])


def run_members(
    committee: Committee,
    members: Mapping[str, tuple[Sequence[str], Run]],
    inputs: Arrays,
    unit_ids: Sequence[str],
    features: Mapping[str, Any] | None,
) -> Outcome:
    """The members as callables of wisecommittee.runtime, whose policy decides."""

    def called(names: Sequence[str], run: Run) -> Callable[[Rows], NDArray[np.float32]]:
        return lambda rows: run({name: rows.tensors[name] for name in names})["outputs"]

    run = Runtime(committee, {name: called(*member) for name, member in members.items()})
    return outcome_of(run(Rows(inputs), unit_ids, features))


def outcome_of(decisions: Decisions) -> Outcome:
    confidence = decisions.confidence
    shown = np.zeros(len(decisions), np.float32) if confidence is None else confidence
    return Outcome(decisions.prediction.astype(np.int64), decisions.stage, shown)

"""Runs exported .pt2 files. Loading one runs it: torch evaluates text of its graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from wisecommittee.errors import ContentError, first_line
from wisecommittee.exporting.files import GraphFile
from wisecommittee.exporting.replay import Arrays, Run
from wisecommittee.exporting.tracing import quiet
from wisecommittee.extraction.models.from_torch_file import read_program


def opened(path: Path, graph: GraphFile) -> Run:
    """A .pt2 file that the caller trusts as a function of arrays, on the CPU."""
    with quiet():
        program = read_program(f"{path}", str(path)).module()

    def run(arrays: Arrays) -> dict[str, NDArray[Any]]:
        tensors = [torch.from_numpy(np.array(arrays[spec.name])) for spec in graph.inputs]
        try:
            with torch.no_grad():
                outputs = program(*tensors)
        except Exception as error:  # its own guards raise anything
            raise ContentError(f"{path}: torch cannot run it ({first_line(error)})") from error
        outputs = (outputs,) if isinstance(outputs, torch.Tensor) else outputs
        return {spec.name: tensor.numpy() for spec, tensor in zip(graph.outputs, outputs, strict=True)}

    return run

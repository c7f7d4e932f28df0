"""Tracing a torch module with any batch size."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import torch

from wisecommittee.errors import WiseCommitteeError, first_line
from wisecommittee.exporting.plan import Graph

TRACED = 3  # units in the example: torch.export takes sizes 0 and 1 for constants


def traced(graph: Graph) -> Any:
    """The torch.export.ExportedProgram of a graph; WiseCommitteeError where torch cannot trace it."""
    batch = torch.export.Dim("batch")
    examples = tuple(_rows(tensor) for tensor in graph.inputs.values())
    try:
        with quiet(), torch.no_grad():
            shapes = (tuple({0: batch} for _ in examples),)
            return torch.export.export(graph.module, examples, dynamic_shapes=shapes, strict=False)
    except Exception as error:  # a model's code can raise anything while it is traced
        raise WiseCommitteeError(
            f"{graph.what}: torch.export cannot trace it with any batch size ({first_line(error)}); rewrite its "
            f"forward pass without Python branches on values or on the batch size, or run it with "
            f"wisecommittee.deploy"
        ) from error


def _rows(tensor: torch.Tensor) -> torch.Tensor:
    """TRACED units like these."""
    return tensor[torch.arange(TRACED) % len(tensor)]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """A block in which torch's exporters neither warn, nor log, nor print the graphs that they fail on."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        nowhere = io.StringIO()
        with (
            contextlib.redirect_stdout(nowhere),
            contextlib.redirect_stderr(nowhere),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)

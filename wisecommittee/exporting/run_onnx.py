"""Runs exported ONNX files, with onnxruntime. They hold no code."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import ContentError, MissingExtraError, first_line
from wisecommittee.exporting.files import GraphFile
from wisecommittee.exporting.replay import Arrays, Run


def opened(path: Path, graph: GraphFile) -> Run:
    """An ONNX file as a function of arrays, on the CPU."""
    check_installed("onnxruntime")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1  # waiting threads would take the time of others
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no common base
        raise ContentError(f"{path}: onnxruntime cannot open it ({first_line(error)})") from error
    taken, given = ([spec.name for spec in listed] for listed in (graph.inputs, graph.outputs))

    def run(arrays: Arrays) -> dict[str, NDArray[Any]]:
        try:
            outputs = session.run(given, {name: np.ascontiguousarray(arrays[name]) for name in taken})
        except Exception as error:
            raise ContentError(f"{path}: onnxruntime cannot run it ({first_line(error)})") from error
        return dict(zip(given, outputs, strict=True))

    return run


def check_installed(*packages: str) -> None:
    """MissingExtraError for the first of these packages that is not there."""
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(package, "onnx")

"""The targets of `export`.

May be added: a module with a function `write`, one with a function `opened` where its files can be run here, and the
line of the target in EXPORTS.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wisecommittee.errors import UnknownNameError
from wisecommittee.exporting.files import GraphFile, Written
from wisecommittee.exporting.replay import Run

if TYPE_CHECKING:
    from wisecommittee.exporting.plan import Plan


@dataclass(frozen=True, slots=True)
class Target:
    """A form in which a committee is exported.

    Parameters
    ----------
    writer : str
        Module of the function `write`: (plan, folder) -> what it has written into the folder.
    runner : str or None
        Module of the function `opened`: (path, graph) -> the graph in that file as a function from {input: array} to
        {output: array}; None for a target whose files cannot be run here.
    runs_code : bool
        Whether opening a file runs code that is in it.
    """

    writer: str
    runner: str | None = None
    runs_code: bool = False

    def write(self, plan: Plan, folder: Path) -> Written:
        written: Written = _module(self.writer).write(plan, folder)
        return written

    def opened(self, path: Path, graph: GraphFile) -> Run:
        assert self.runner is not None
        run: Run = _module(self.runner).opened(path, graph)
        return run


# Modules are imported on first use: to run ONNX files needs no torch.
EXPORTS: dict[str, Target] = {
    "onnx": Target("to_onnx", "run_onnx"),
    "pt2": Target("to_pt2", "run_pt2", runs_code=True),
}


def target_named(name: str) -> Target:
    """The target of that name; UnknownNameError if there is none."""
    if name not in EXPORTS:
        raise UnknownNameError("export target", name, EXPORTS)
    return EXPORTS[name]


def _module(name: str) -> Any:
    return import_module(f"wisecommittee.exporting.{name}")

"""pt2: the graphs as torch.export archives, which torch loads without the code of the members, also from C++."""

from __future__ import annotations

from pathlib import Path

import torch

from wisecommittee.errors import WiseCommitteeError
from wisecommittee.exporting.files import GraphFile, Written
from wisecommittee.exporting.plan import Graph, Plan
from wisecommittee.exporting.tracing import quiet, traced


def write(plan: Plan, folder: Path) -> Written:
    """Write the graphs of a plan as .pt2 files; without that of the whole cascade where torch cannot trace it."""
    files = [_save(graph, folder) for graph in (*plan.stages, *plan.members.values())]
    notes: tuple[str, ...] = ()
    if plan.cascade is not None:
        try:
            files.append(_save(plan.cascade, folder))
        except WiseCommitteeError as error:
            notes = (f"no graph of the whole cascade: {error}",)
    return Written(tuple(files), notes)


def _save(graph: Graph, folder: Path) -> GraphFile:
    program = traced(graph)
    with quiet():
        torch.export.save(program, folder / f"{graph.name}.pt2")
    return GraphFile.of(graph, f"{graph.name}.pt2")

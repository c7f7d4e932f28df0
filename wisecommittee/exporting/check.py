"""Replays the golden units of an export through its files."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from wisecommittee.committees.committee import Committee
from wisecommittee.errors import CommitteeError, ContentError, TrustError, counted, option
from wisecommittee.exporting.manifest import Manifest, read_manifest, within
from wisecommittee.exporting.replay import Outcome, Run, run_cascade, run_members, run_stages
from wisecommittee.exporting.targets import target_named
from wisecommittee.exporting.vectors import Vectors, read_vectors

CLOSE = 1e-4  # between confidences: other programs and devices round in another way
ALONE = 4  # units that also run by themselves


@dataclass(frozen=True, slots=True)
class Checked:
    """An export whose files decide as the deployed committee did.

    Parameters
    ----------
    folder : Path
    target : str
    units : int
        Golden units.
    forms : tuple of str
        What has been run: 'stages', 'cascade', 'members'; of a mixture, with the folder of the part.
    """

    folder: Path
    target: str
    units: int
    forms: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {"folder": str(self.folder), "target": self.target, "units": self.units, "checked": list(self.forms)}


def check_export(folder: str | os.PathLike[str], *, trust: bool = False) -> Checked:
    """Run the golden units of an export through its files, and compare the decisions.

    Parameters
    ----------
    folder : path
        As `export` wrote it.
    trust : bool
        Open files that run code when they are opened (.pt2). Anybody may have written a folder.

    Returns
    -------
    Checked

    Raises
    ------
    CommitteeError
        A graph decides otherwise; the message names the first unit.
    ContentError
        A file is missing or damaged, or cannot be run.
    TrustError
        Opening the files would run code.
    UnknownNameError
        The manifest names a target that this release does not know.
    """
    root = Path(folder)
    manifest = read_manifest(root)
    target = target_named(manifest.target)
    if target.runner is None:
        return Checked(root, manifest.target, 0, ())
    if target.runs_code and not trust:
        raise TrustError(
            f"{root}: {manifest.target} files are programs, which run when they are opened; check a folder whose "
            f"origin you trust with {option('trust', True)}"
        )
    if manifest.parts:
        parts = [check_export(within(root, part), trust=trust) for part in manifest.parts]
        forms = tuple(f"{part.folder.name}/{form}" for part in parts for form in part.forms)
        return Checked(root, manifest.target, min(part.units for part in parts), forms)
    inputs = [str(each["name"]) for each in manifest.content.get("inputs", ())]
    vectors = read_vectors(root, inputs)
    ways = _ways(root, manifest)
    for form, run in ways.items():
        _compare(vectors, run(vectors), f"{root}: {form}")
        for row in range(min(ALONE, len(vectors.unit_ids))):
            _compare(vectors.only(row), run(vectors.only(row)), f"{root}: {form}, one unit at a time")
    return Checked(root, manifest.target, len(vectors.unit_ids), tuple(ways))


def _ways(root: Path, manifest: Manifest) -> dict[str, Callable[[Vectors], Outcome]]:
    """The ways in which the files can be run."""
    target = target_named(manifest.target)

    def opened(name: str) -> tuple[list[str], Run]:
        graph = manifest.graphs[name]
        return [spec.name for spec in graph.inputs], target.opened(within(root, graph.file), graph)

    if manifest.decides != "graph":
        committee = Committee.load(within(root, "committee.json"))
        members = {name: opened(graph) for name, graph in manifest.members.items()}
        return {"members": lambda v: run_members(committee, members, v.inputs, v.unit_ids, v.features)}
    stages = [opened(f"stage_{number}") for number in range(sum(name.startswith("stage_") for name in manifest.graphs))]
    if not stages:
        raise ContentError(f"{root}: its manifest lists no graph of a stage")
    ways: dict[str, Callable[[Vectors], Outcome]] = {"stages": lambda v: run_stages(stages, v.inputs)}
    if "cascade" in manifest.graphs:
        ways["cascade"] = partial(_whole, opened("cascade")[1])
    return ways


def _whole(run: Run, vectors: Vectors) -> Outcome:
    return run_cascade(run, vectors.inputs)


def _compare(vectors: Vectors, found: Outcome, what: str) -> None:
    """CommitteeError for the first unit that is decided otherwise."""
    expected = vectors.expected
    with np.errstate(invalid="ignore"):
        apart = ~(np.abs(found.confidence - expected.confidence) <= CLOSE * (1 + np.abs(expected.confidence)))
    wrong = (found.prediction != expected.prediction) | (found.stage != expected.stage) | apart
    if not wrong.any():
        return
    row = int(wrong.argmax())

    def words(each: Outcome) -> str:
        return f"class {each.prediction[row]} at stage {each.stage[row]}, confidence {each.confidence[row]:.6g}"

    raise CommitteeError(
        f"{what}: unit {vectors.unit_ids[row]!r} gets {words(found)}; the deployed committee gave it {words(expected)} "
        f"({counted(int(wrong.sum()), 'unit')} of {len(wrong):,} differ)"
    )

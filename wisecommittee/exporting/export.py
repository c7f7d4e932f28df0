"""Writes a committee as files that other programs run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policies.mixing import Mixing
from wisecommittee.deployment.deploy import deploy
from wisecommittee.deployment.members import Module, store_of_members
from wisecommittee.errors import UnknownNameError, WiseCommitteeError
from wisecommittee.exporting.check import check_export
from wisecommittee.exporting.describing import described, described_mixture
from wisecommittee.exporting.exported import Exported
from wisecommittee.exporting.folder import check_place, whole_folder
from wisecommittee.exporting.golden import Wanted, golden_units
from wisecommittee.exporting.manifest import write_manifest
from wisecommittee.exporting.planning import plan_of
from wisecommittee.exporting.targets import Target, target_named
from wisecommittee.exporting.vectors import write_vectors
from wisecommittee.store import LogitStore, StoreLike


def export(
    committee: Committee | str | os.PathLike[str],
    to: str,
    out: str | os.PathLike[str],
    models: Mapping[str, Module] | None = None,
    *,
    store: StoreLike | None = None,
    wanted: Wanted = Wanted(),
    trust: bool = False,
    **options: Any,
) -> Exported:
    """Write a committee as files that other programs run, with golden units, and check them.

    The folder holds the graphs, committee.json, manifest.json and golden/. It appears as a whole once the files decide
    the golden units as the deployed committee does.

    Parameters
    ----------
    committee : Committee or path
        A path is the path of a committee.json.
    to : str
        'onnx' or 'pt2'.
    out : path
        A new folder, an empty one, or an earlier export, which is replaced.
    models : {member: spec or torch module}, optional
        The cards of the store say where the other members are loaded from.
    store : LogitStore or path, optional
        The store that the committee was searched in; by default the usual one, unless `models` has every member.
    wanted : Wanted
        The golden units.
    trust : bool
        Run Python modules and programs (.pt2, .ts) that only a card names.
    **options
        preprocess, force, softmax, classes, replay: as of `deploy`; features: {column: [n]} of the golden units, where
        the policy decides by features.

    Returns
    -------
    Exported

    Raises
    ------
    UsageError
        A member is no torch module, the shape of the inputs is not known, or other files stand in the folder.
    CommitteeError
        The committee exits by a stored score or is made of answers, a member gives other outputs than those in the
        store, or a graph decides otherwise than the deployed committee.
    TrustError
        Code would run that only a card names.
    WiseCommitteeError
        torch cannot trace a member.
    """
    target, chosen = target_named(to), committee if isinstance(committee, Committee) else Committee.load(committee)
    given, place = store_of_members(chosen, models, store), Path(out)
    if unknown := [name for name in models or {} if name not in chosen.models]:
        raise UnknownNameError("member", unknown[0], chosen.models)
    check_place(place)
    writer = _Writer(to, target, dict(models or {}), given, wanted, trust, options)
    with whole_folder(place) as folder:
        if isinstance(chosen.policy, Mixing):
            exported = writer.write_mixture(chosen, chosen.policy, folder)
        else:
            exported = writer.write(chosen, folder)
        try:
            checked = check_export(folder, trust=True)
        except WiseCommitteeError as error:
            raise type(error)(str(error).replace(str(folder), str(place))) from error
    return replace(exported, folder=place, checked=checked.forms)


@dataclass(frozen=True, slots=True)
class _Writer:
    """What `export` was called with."""

    to: str
    target: Target
    models: Mapping[str, Module]
    store: LogitStore | None
    wanted: Wanted
    trust: bool
    options: Mapping[str, Any]

    def write(self, committee: Committee, folder: Path) -> Exported:
        options = dict(self.options)
        features = options.pop("features", None)
        models = {name: module for name, module in self.models.items() if name in committee.models}
        data = self.wanted.data
        with (
            deploy(committee, models, store=self.store, data=data, trust=self.trust, device="cpu", **options) as run,
            torch.no_grad(),
        ):
            golden = golden_units(run, self.wanted, self.store, trust=self.trust)
            plan = plan_of(run, golden, features)
            written = self.target.write(plan, folder)
        committee.save(folder / "committee.json")
        write_vectors(plan, folder, features)
        write_manifest(folder, described(plan, self.to, written))
        files = tuple(graph.file for graph in written.graphs)
        return Exported(folder, self.to, files, len(golden.unit_ids), golden.source, (), written.notes)

    def write_mixture(self, committee: Committee, policy: Mixing, folder: Path) -> Exported:
        """Each part of a mixture in a folder of its own."""
        parts = []
        for number, part in enumerate(policy.parts):
            members = {name: committee.members[name] for name in part.models if name in committee.members}
            (folder / f"part_{number}").mkdir()
            parts.append(self.write(replace(part, members=members), folder / f"part_{number}"))
        committee.save(folder / "committee.json")
        write_manifest(folder, described_mixture(committee, policy, self.to, [each.folder.name for each in parts]))
        files = tuple(f"{each.folder.name}/{file}" for each in parts for file in each.files)
        notes = tuple(f"{each.folder.name}: {note}" for each in parts for note in each.notes)
        return Exported(folder, self.to, files, parts[0].units, parts[0].source, (), notes)

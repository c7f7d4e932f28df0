"""manifest.json: what an export holds, with the sha256 of every file. It may come from a stranger."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wisecommittee.committees.fields import checked_object, is_whole, shown
from wisecommittee.errors import ContentError, WiseCommitteeError
from wisecommittee.exporting.files import GraphFile, TensorSpec
from wisecommittee.reading import open_regular, parse_json, read_text
from wisecommittee.writing import written_whole

VERSION = 1
NAME = "manifest.json"
MAX_MANIFEST = 4 << 20  # bytes
MAX_FILES = 10_000
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,199}")
_REQUIRED = {"target", "decides", "graphs", "files"}
_KNOWN = _REQUIRED | {"made_with", "committee", "label", "stages", "members", "inputs", "classes", "golden", "parts"}
_KNOWN |= {"mixing", "notes"}


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest that has been read.

    target : name of the target; decides : 'graph' or 'wisecommittee.runtime'; graphs : {name: GraphFile}; members :
    {model: name of its graph}, where the runtime decides; parts : folders of the committees of a mixture
    """

    target: str
    decides: str
    graphs: Mapping[str, GraphFile]
    members: Mapping[str, str]
    parts: tuple[str, ...]
    content: Mapping[str, Any]


def write_manifest(folder: Path, content: Mapping[str, Any]) -> None:
    """Write manifest.json with the sha256 and size of every other file of the folder."""
    names = sorted(_files_in(folder) - {NAME})
    files = {name: {"sha256": _sha256(folder / name), "bytes": (folder / name).stat().st_size} for name in names}
    text = json.dumps({"version": VERSION, **content, "files": files}, indent=1, ensure_ascii=False) + "\n"
    with written_whole(folder / NAME) as file:
        file.write(text.encode())


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a folder, whose files are those that it lists; ContentError otherwise."""
    path = folder / NAME
    text = read_text(path, limit=MAX_MANIFEST, remedy="name a folder that `wisecommittee export` has written")
    try:
        content = checked_object(parse_json(text), NAME, VERSION, _KNOWN, _REQUIRED, ContentError)
        manifest = _read(content)
    except ContentError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ContentError(f"{path}: not a manifest of an export ({error!r:.200})") from error
    for name, facts in content["files"].items():
        _check_file(folder, name, facts)
    return manifest


def is_export(folder: Path) -> bool:
    """Whether a folder holds an export and nothing else."""
    try:
        content = parse_json(read_text(folder / NAME, limit=MAX_MANIFEST))
        listed = set(content["files"]) if content["version"] == VERSION else set()
    except (WiseCommitteeError, OSError, ValueError, TypeError, KeyError):
        return False
    return _files_in(folder) <= listed | {NAME}


def within(folder: Path, name: str) -> Path:
    """The path of a file that a manifest names; ContentError if it leads out of the folder."""
    parts = name.split("/")
    sound = len(parts) <= 8 and all(_PART.fullmatch(part) for part in parts)
    path = folder / name
    if not sound or not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise ContentError(f"{folder / NAME}: names {shown(name)}; expected a file of this folder")
    return path


def _read(content: Mapping[str, Any]) -> Manifest:
    if content["decides"] not in ("graph", "wisecommittee.runtime") or not isinstance(content["target"], str):
        raise ValueError("decides, target")
    if not isinstance(content["files"], dict) or len(content["files"]) > MAX_FILES:
        raise ValueError("files")
    graphs = {name: _graph(name, facts) for name, facts in content["graphs"].items()}
    if unlisted := [graph.file for graph in graphs.values() if graph.file not in content["files"]]:
        raise ContentError(f"{NAME}: graph {shown(unlisted[0])} is not among its files")
    members = dict(content.get("members") or {})
    if not set(members.values()) <= set(graphs):
        raise ValueError("members")
    return Manifest(content["target"], content["decides"], graphs, members, tuple(content.get("parts") or ()), content)


def _graph(name: str, facts: Any) -> GraphFile:
    def specs(listed: Any) -> tuple[TensorSpec, ...]:
        return tuple(TensorSpec(str(each["name"]), str(each["dtype"]), tuple(each["shape"])) for each in listed)

    return GraphFile(name, str(facts["file"]), specs(facts["inputs"]), specs(facts["outputs"]))


def _check_file(folder: Path, name: str, facts: Any) -> None:
    path = within(folder, name)
    if not isinstance(facts, dict) or not is_whole(facts.get("bytes")) or not isinstance(facts.get("sha256"), str):
        raise ContentError(f"{folder / NAME}: no size and sha256 of {name!r}")
    with open_regular(path) as source:
        size = os.fstat(source.fileno()).st_size
    if size != facts["bytes"] or _sha256(path) != facts["sha256"]:
        raise ContentError(f"{path}: not the file that was exported (its sha256 differs from {NAME}); export it again")


def _sha256(path: Path) -> str:
    with open_regular(path) as source:
        return hashlib.file_digest(source, "sha256").hexdigest()  # type: ignore[arg-type]


def _files_in(folder: Path) -> set[str]:
    found: Sequence[Path] = [path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()]
    return {path.relative_to(folder).as_posix() for path in found}

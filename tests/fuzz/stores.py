"""Damaged stores: files changed, cut, exchanged, linked elsewhere, renamed; cards edited. `verify` must not call one
sound whose labels, outputs, costs or kinds differ from those that were stored."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from fuzz.damage import damage_file, damaged_json, replace
from fuzz.product import DefectError, run
from wisecommittee import LogitStore, ModelCard
from wisecommittee.errors import WiseCommitteeError
from wisecommittee.searches.calibration.calibrate import calibrate
from wisecommittee.store.features import import_features

UNITS, CLASSES = 24, 3
IMPORT = ("--store", "store", "--split", "val", "--labels", "given/labels.csv", "--costs", "given/models.csv")
QUICK = ("--max-models", 2, "--levels", 5, "--threads", 1)
WRITING: tuple[tuple[Any, ...], ...] = (
    ("calibrate", "--store", "store", "--model", "*"),
    ("calibrate", "--store", "store", "--model", "a/0", "--method", "none"),
    ("import", *IMPORT, "--logits", "a/0=given/a.npz"),
    ("import", *IMPORT, "--logits", "a/0=given/b.npz", "--replace"),
    ("import", *IMPORT, "--logits", "new=given/b.npz"),
    ("import", "--store", "store", "--costs", "given/models.csv"),
    ("remove", "a/0", "--store", "store"),
    ("remove", "p", "--store", "store", "--split", "val"),
    ("split", "--store", "store", "--split", "val", "--into", "one=0.5,two=0.5"),
)
COMMANDS: tuple[tuple[Any, ...], ...] = (
    *WRITING,
    ("models", "--store", "store"),
    ("models", "--store", "store", "--json"),
    ("search", "--store", "store", *QUICK),
    ("search", "--store", "store", *QUICK, "--calibrated", "--json"),
    ("search", "--store", "store", *QUICK, "--exact", "--save", "c.json", "--frontier", "f.parquet"),
    ("search", "--store", "store", *QUICK, "--cost", "usd"),
    ("evaluate", "given/committee.json", "--store", "store"),
    ("evaluate", "given/committee.json", "--store", "store", "--split", "val", "--force"),
    ("search", "--store", "answers", *QUICK, "--cost", "usd"),
    ("search", "--store", "answers", *QUICK, "--cost", "usd", "--policy", "router"),
    ("import", "--store", "answers", "--features", "given/features.csv"),
    ("models", "--store", "answers"),
)


def make(folder: Path) -> None:
    """A store of logits, probabilities and a calibration in val and test, and one of answers; files to import."""
    random = np.random.default_rng(0)
    store = LogitStore(folder / "store")
    given = folder / "given"
    given.mkdir()
    for split in ("val", "test"):
        labels = random.integers(0, CLASSES, UNITS)
        signal = 2.0 * np.eye(CLASSES)[labels]
        units = [f"{split}-{i}" for i in range(UNITS)]
        for name in ("a/0", "a/1", "b"):
            outputs = (random.standard_normal((UNITS, CLASSES)) + signal).astype(np.float32)
            card = ModelCard(name, blocks={name: 1000 + 7 * len(name)}, costs={"usd": 0.5}, weights="0" * 64, params=9)
            store.add(card, split, labels=labels, unit_ids=units, outputs=outputs)
            if (split, name) == ("val", "a/0"):
                np.savez(given / "a.npz", outputs=outputs, unit_id=units)
        rows = np.exp(random.standard_normal((UNITS, CLASSES)) + signal)
        card = ModelCard("p", kind="probabilities", blocks={"trunk": 500, "p": 50}, costs={"usd": 0.25})
        rows = (rows / rows.sum(axis=1, keepdims=True)).astype(np.float32)
        scores = {"halting": random.random(UNITS, dtype=np.float32)}
        store.add(card, split, labels=labels, unit_ids=units, outputs=rows, scores=scores)
        if split == "val":
            lines = [f"{unit},{label}" for unit, label in zip(units, labels, strict=True)]
            (given / "labels.csv").write_text("\n".join(["unit_id,label", *lines]))
            others = random.standard_normal((UNITS, CLASSES)).astype(np.float32)
            np.savez(given / "b.npz", outputs=others, unit_id=units)
    (given / "models.csv").write_text("model,flops,usd\na/0,2000,1\na/1,1000,2\nb,1500,1\np,550,3\nnew,10,1\n")
    calibrate(store, ["*"], "temperature")
    answers = LogitStore(folder / "answers")
    for name in ("small", "large"):
        answers.add(
            ModelCard(name, kind="answers"),
            "val",
            labels=[str(i % 4) for i in range(UNITS)],
            answers=[str(i % (4 if name == "large" else 3)) for i in range(UNITS)],
            scores={"confidence": random.random(UNITS, dtype=np.float32)},
            unit_costs={"usd": random.random(UNITS) + 0.1},
            unit_ids=[f"q{i}" for i in range(UNITS)],
        )
    columns = [f"q{i},{i % 3},{'xyz'[i % 3]}" for i in range(UNITS)]
    (given / "features.csv").write_text("\n".join(["unit_id,length,task", *columns]))
    import_features(answers, "val", given / "features.csv")
    os.chdir(folder)
    code, _, err = run("search", "--store", "store", *QUICK, "--save", "given/committee.json", "--target-flops", 1500)
    assert code == 0, err
    (folder / "sound.json").write_text(json.dumps({name: figures(LogitStore(name)) for name in ("store", "answers")}))


def figures(store: LogitStore) -> dict[str, Any]:
    """Of every model of every split what is computed with, by unit."""
    found: dict[str, Any] = {}
    for split in store.splits():
        units = store.unit_ids(split)
        found[split] = {"labels": dict(zip(units, store.labels(split).tolist(), strict=True))}
        for name, values in store.features(split).items():
            found[split][f"feature {name}"] = dict(zip(units, values.tolist(), strict=True))
        for card in store.cards(split):
            contents = card.contents
            columns = {f"score {name}": store.scores(card.model, split, name) for name in contents.scores}
            columns |= {f"cost {name}": store.unit_costs(card.model, split, name) for name in contents.unit_costs}
            if contents.classes is None:
                columns["answer"] = store.answers(card.model, split)
            else:
                columns["outputs"] = store.outputs(card.model, split)
            calibration = None if card.calibration is None else card.calibration.to_json()
            found[split][card.model] = {
                "card": [card.architecture, card.replica, card.kind, dict(card.blocks), dict(card.costs), calibration],
                "columns": {n: dict(zip(units, c.tolist(), strict=True)) for n, c in columns.items()},
            }
    return json.loads(json.dumps(found))


def damage(folder: Path, random: Random) -> str:
    """One to three things done to a store."""
    return "; ".join(_damage(folder, random) for _ in range(random.choice((1, 1, 1, 2, 3))))


def _damage(folder: Path, random: Random) -> str:
    root = folder / random.choice(("store", "store", "answers"))
    files = sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    folders = sorted(path for path in root.rglob("*") if path.is_dir() and not path.is_symlink())
    if not files or not folders:
        return "nothing left"
    kind = random.choices(("file", "card", "swap", "folder", "link", "added"), (6, 5, 2, 2, 3, 2))[0]
    if kind == "card":
        return _edit_card(random.choice([path for path in files if path.name == "card.json"] or files), random)
    if kind == "swap":
        one = random.choice(files)
        other = random.choice([path for path in files if path.suffix == one.suffix])
        data = one.read_bytes()
        one.write_bytes(other.read_bytes())
        other.write_bytes(data)
        return f"{one.relative_to(folder)} and {other.relative_to(folder)} exchanged"
    if kind == "folder":
        return _damage_folder(random.choice(folders), folders, random)
    if kind == "link":
        return _link(folder, random.choice([*files, *folders]), random)
    if kind == "added":
        return _add(random.choice([root, *folders]), random)
    one = random.choice(files)
    return f"{one.relative_to(folder)}: {damage_file(one, random, files)}"


def _edit_card(path: Path, random: Random) -> str:
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return "no card left to edit"
    text, done = damaged_json(value, random)
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    return f"{path.parent.name}/{path.name}: {done}"


def _damage_folder(path: Path, folders: list[Path], random: Random) -> str:
    what = random.choice(("renamed", "renamed", "copied", "exchanged", "removed", "not UTF-8", "a file"))
    names = (
        "model=b",
        "model=c",
        "model=a%2F0",
        "model=a%2f0",
        "model=..",
        "model=",
        "model=%00",
        "val",
        "test",
        "x",
        ".x",
    )
    name = path.with_name(random.choice(names))
    if what == "renamed" and not name.exists():
        path.rename(name)
    elif what == "copied" and not name.exists():
        shutil.copytree(path, name, symlinks=True)
    elif what == "exchanged":  # models, that is: what a split's folder is called is what the split is called
        other = random.choice([f for f in folders if len(f.parts) == len(path.parts)])
        if other != path and path.name.startswith("model="):
            path.rename(path.with_name("hold"))
            other.rename(path)
            path.with_name("hold").rename(other)
            name = other
    elif what == "removed":
        shutil.rmtree(path)
    elif what == "not UTF-8":
        os.rename(os.fsencode(path), os.fsencode(path) + b"\xff\xfe")
    elif what == "a file":
        shutil.rmtree(path)
        path.write_bytes(b"x")
    return f"{path.name} {what} {name.name}"


def _link(folder: Path, path: Path, random: Random) -> str:
    """A file, a folder or a name that the product writes for a while becomes a link or a pipe."""
    outside = folder / "outside"
    store = folder / "store"
    folders = (store / "val/model=new", store / "one", store / "val/model=a%2F0", store / "val/model=p", store / "val")
    names = (".card.json.tmp", ".units.parquet.tmp", ".turn", ".writing-0.json", "card.json", "part-0-0.parquet", "x")
    inside = (path if path.is_dir() else path.parent) / random.choice(names)
    place, target = random.choice(
        (
            (random.choice(folders), outside / "folder"),
            (inside, outside / "file"),
            (inside, outside / "missing"),
            (path, random.choice((outside, outside / "file", Path("/dev/zero")))),
        )
    )
    what = random.choice(("a link to another", "a link to another", "a link to another", "a pipe", "a loop"))
    replace(place, what, target)
    return f"{place.relative_to(folder)}: {what} {target}"


def _add(path: Path, random: Random) -> str:
    name = random.choice(
        ("part-0-7.parquet", "card.json", "units.parquet", ".writing-0.json", "model=new", "notes.txt", ".turn", "val")
    )
    place = path / name
    if place.exists() or not path.is_dir():
        return "nothing added"
    if random.random() < 0.3:
        place.mkdir()
    else:
        place.write_bytes(random.choice((b"", b"x", b"{}", b"[]", b'{"version": 1}', random.randbytes(200))))
    return f"{name} added in {path.name}"


def attempt(folder: Path, random: Random) -> None:
    """Verify both stores, compare what is called sound, then ask for something else."""
    sound = json.loads((folder / "sound.json").read_text())
    for name in ("store", "answers"):
        code, _, _ = run("verify", "--store", name)
        if code == 0:
            _compare(name, sound[name])
    linked = any(path.is_symlink() for path in Path("store").rglob("*"))
    for command in random.sample(WRITING, 3) if linked else [random.choice(COMMANDS)]:
        run(*command)
    if random.random() < 0.3:
        run("verify", "--store", "store")


def _compare(name: str, sound: dict[str, Any]) -> None:
    try:
        found = figures(LogitStore(name))
    except WiseCommitteeError as error:
        raise DefectError(f"verify calls {name} sound, and reading it fails: {error}") from error
    for split in set(found) & set(sound):
        for entry in found[split]:
            if entry not in sound[split]:
                raise DefectError(f"verify calls {name} sound, with {entry} in {split}, which nobody stored")
            if found[split][entry] != sound[split][entry]:
                raise DefectError(f"verify calls {name} sound, and {entry} in {split} is not as it was stored")

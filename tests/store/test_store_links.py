"""Links, pipes and sockets at any name of a store: nothing outside it changes, and nobody waits for a pipe."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import signal
import socket
from pathlib import Path

import numpy as np
import pytest

from wisecommittee.committees.cards import ModelCard
from wisecommittee.errors import StoreError, WiseCommitteeError
from wisecommittee.searches.calibration.calibrate import calibrate
from wisecommittee.store import LogitStore
from wisecommittee.store.layout import lock_name
from wisecommittee.store.splitting import split_store

N, C = 200, 4
RNG = np.random.default_rng(0)
Y = RNG.integers(0, C, N)
X = (RNG.normal(size=(N, C)) + 2 * np.eye(C)[Y]).astype(np.float32)
CARD = ModelCard("a", blocks={"a": 10})


@pytest.fixture(autouse=True)
def settings(tmp_path, monkeypatch):
    """A cache of its own, and an end to waiting."""
    monkeypatch.setenv("WISECOMMITTEE_CACHE", str(tmp_path / "cache"))

    def waited(*_):
        raise TimeoutError("waited for a pipe")

    signal.signal(signal.SIGALRM, waited)
    signal.alarm(60)
    yield
    signal.alarm(0)


def add(store: LogitStore) -> None:
    store.add(CARD, "val", labels=Y, outputs=X)


def add_another(store: LogitStore) -> None:
    store.add(ModelCard("b", blocks={"b": 10}), "val", labels=Y, outputs=-X)


def replace(store: LogitStore) -> None:
    store.add(CARD, "val", labels=Y, outputs=X + 1, replace=True)


def price(store: LogitStore) -> None:
    store.update_card("val", store.card("a", "val"), lambda card: dataclasses.replace(card, costs={"usd": 1}))


ACTIONS = {
    "add": add,
    "add another": add_another,
    "replace": replace,
    "price": price,
    "calibrate": lambda store: calibrate(store, ["a"]),
    "remove": lambda store: store.remove("a"),
    "split": lambda store: split_store(store, {"val": 0.5, "test": 0.5}),
    "split apart": lambda store: split_store(store, {"one": 0.5, "two": 0.5}, source="val"),
    "outputs": lambda store: store.outputs("a", "val"),
    "labels": lambda store: store.labels("val"),
}


def names(store: LogitStore) -> list[str]:
    """Every name that some command looks at."""
    lock = [lock_name("val", model, 0) for model in "ab"]
    here = ["model=a/card.json", "model=a/part-0-0.parquet", "model=a/.writing-0.json", "model=a/.units-0-0.parquet",
            "model=a/part-0-1.parquet", "model=a", "model=b", "units.parquet", ".turn"]  # fmt: skip
    return [
        "val",
        "test",
        *lock,
        *(f"val/{name}" for name in here),
        ".staging",
        ".dividing",
        ".held-val",
        ".lock-split",
    ]


def tree(root: Path) -> dict[str, bytes | None]:
    return {str(p.relative_to(root)): p.read_bytes() if p.is_file() else None for p in sorted(root.rglob("*"))}


def link(path: Path, outside: Path) -> None:
    """To what was there before, or to a folder of somebody's files."""
    if path.exists():
        path.rename(outside / path.name)
    elif "." not in path.name or path.name in (".staging", ".dividing", ".held-val"):
        (outside / path.name).mkdir()
        (outside / path.name / "precious").write_bytes(b"precious")
    else:
        (outside / path.name).write_bytes(b"precious")
    path.symlink_to(outside / path.name)


def dangling(path: Path, outside: Path) -> None:
    discard(path)
    path.symlink_to(outside / "nowhere")


def pipe(path: Path, outside: Path) -> None:
    discard(path)
    os.mkfifo(path)


def listening(path: Path, outside: Path) -> None:
    discard(path)
    here = os.getcwd()
    os.chdir(path.parent)  # addresses of sockets are short
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)
    os.chdir(here)


def discard(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


ODD = {"link": link, "dangling": dangling, "pipe": pipe, "listening": listening}


@pytest.mark.parametrize("kind", ODD)
def test_nothing_outside_changes_and_nobody_waits(kind, tmp_path):
    add(LogitStore(tmp_path / "whole"))
    for number, name in enumerate(names(LogitStore(tmp_path / "whole"))):
        for action in ACTIONS.values():
            root, outside = tmp_path / f"store{number}", tmp_path / "outside"
            shutil.copytree(tmp_path / "whole", root)
            outside.mkdir()
            ODD[kind](root / name, outside)
            before = tree(outside)
            problems = LogitStore(root).verify()
            assert any(f"{root}/{name}: a " in problem for problem in problems), (name, problems)
            with contextlib.suppress(WiseCommitteeError):
                action(LogitStore(root))
            assert tree(outside) == before, name
            shutil.rmtree(root)
            shutil.rmtree(outside)


def test_what_a_user_is_told(tmp_path):
    """A model's folder that is a link can be read and taken out of the store; what it points to stays."""
    store = LogitStore(tmp_path / "store")
    add(store)
    (tmp_path / "outside").mkdir()
    link(tmp_path / "store/val/model=a", tmp_path / "outside")
    before = tree(tmp_path / "outside")
    assert np.array_equal(store.outputs("a", "val"), X)
    told = r"store/val/model=a: a symbolic link; nothing is written or removed through one; put a folder in its place"
    for action in (replace, price, lambda s: calibrate(s, ["a"])):
        with pytest.raises(StoreError, match=told):
            action(store)
    assert store.remove("a") == ("val",)
    assert tree(tmp_path / "outside") == before
    assert not (tmp_path / "store/val").exists()


def test_the_store_itself_may_be_a_link(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "store").symlink_to("elsewhere")
    store = LogitStore(tmp_path / "store")
    add(store)
    price(store)
    split_store(store, {"val": 0.5, "test": 0.5})
    assert store.verify() == []
    assert store.splits() == ("test", "val")
    assert (tmp_path / "store").is_symlink()


def test_names_that_are_not_utf8_stop_nobody(tmp_path):
    store = LogitStore(tmp_path / "store")
    add(store)
    for name in (b"\xff", b"val/\xff", b"val/model=\xff", b"val/model=a/\xff", "é".encode(), "val/model=é".encode()):
        os.mkdir(os.fsencode(tmp_path / "store") + b"/" + name)
    assert store.splits() == ("val",)
    assert store.models("val") == ("a",)
    assert np.array_equal(store.outputs("a", "val"), X)
    add_another(store)
    problems = store.verify()
    assert sum("a name that is not UTF-8" in problem for problem in problems) == 4
    for problem in problems:
        problem.encode()
    replace(store)
    split_store(store, {"one": 0.5, "two": 0.5}, source="val")
    assert store.remove("a") == ("one", "two", "val")
    assert store.remove(os.fsdecode(b"\xff")) == ()


def test_a_store_whose_name_is_not_utf8(tmp_path):
    store = LogitStore(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    add(store)
    replace(store)
    assert np.array_equal(store.outputs("a", "val"), X + 1)
    (tmp_path / os.fsdecode(b"\xff/val/model=a/card.json")).write_text("")
    store.verify()[0].encode()

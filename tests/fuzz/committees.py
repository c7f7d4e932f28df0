"""Damaged committees, frontiers and learning curves, and what is evaluated and drawn from them."""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fuzz import stores
from fuzz.damage import TEXTS, damage_file, damaged_json
from fuzz.product import run
from fuzz.stores import QUICK
from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policies import POLICIES
from wisecommittee.committees.policy import Policy, State
from wisecommittee.errors import CommitteeError, WiseCommitteeError
from wisecommittee.searches.frontier import Frontier

FILES = (
    "cascade.json",
    "ensemble.json",
    "calibrated.json",
    "policy.json",
    "frontier.parquet",
    "frontier.parquet",
    "curves.parquet",
)
ABOUT = b"wisecommittee_frontier"


@dataclass(frozen=True, slots=True)
class Above(Policy):
    """A kind of policy with parameters, which only these tests know."""

    level: float
    names: tuple[str, ...] = ()
    kind = "above"
    needs = frozenset({"members", "prediction", "unit_ids"})

    def __post_init__(self) -> None:
        if isinstance(self.level, bool) or not isinstance(self.level, (int, float)) or not abs(self.level) < 1e30:
            raise CommitteeError(f"level {str(self.level)[:60]!r}; expected a number")
        if not isinstance(self.names, tuple) or not all(isinstance(name, str) for name in self.names):
            raise CommitteeError(f"names {str(self.names)[:60]!r}; expected a list of text")

    def next(self, state: State) -> NDArray[np.int64]:
        return state.exit_where(state.scores[-1] >= self.level)


POLICIES[Above.kind] = Above


def make(folder: Path) -> None:
    importlib.import_module("wisecommittee.report.page")  # it takes seconds, which no case should
    stores.make(folder)
    search = ("search", "--store", "store", *QUICK)
    for words in (
        (
            "--target-flops",
            1500,
            "--save",
            "cascade.json",
            "--frontier",
            "frontier.parquet",
            "--max-percentile-cost",
            1800,
        ),
        ("--family", "ensemble", "--target-flops", 3000, "--save", "ensemble.json"),
        ("--calibrated", "--models", "a/*", "--target-flops", 2500, "--save", "calibrated.json"),
    ):
        code, _, err = run(*search, *words)
        assert code == 0, err
    cascade = Committee.load("cascade.json")
    replace(cascade, policy=Above(0.5, ("a", "b"))).save("policy.json")
    rows = {"phase": ["one"] * 4 + ["two"] * 4, "epoch": list(range(4)) * 2, "loss": np.linspace(2, 0.1, 8)}
    pd.DataFrame({**rows, "val_accuracy": np.linspace(0.1, 0.9, 8), "lr": 0.1}).to_parquet(folder / "curves.parquet")
    (folder / "case.json").write_text("{}")


def damage(folder: Path, random: Random) -> str:
    name = random.choice(FILES)
    (folder / "case.json").write_text(json.dumps(name))
    path = folder / name
    if random.random() < 0.3:
        return damage_file(path, random, [folder / other for other in FILES])
    if path.suffix == ".json":
        text, done = damaged_json(json.loads(path.read_text()), random)
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        return f"{name}: {done}"
    return f"{name}: {_parquet(path, random)}"


def _parquet(path: Path, random: Random) -> str:
    """A field of the metadata, a cell, a column of another type, rows in another order."""
    table = pq.read_table(path)
    metadata = table.schema.metadata or {}
    what = random.choice(("metadata", "metadata", "cell", "cell", "json", "type", "gone", "order", "rows"))
    place = random.randrange(table.num_columns)
    name, column = table.column_names[place], table.column(place)
    if what == "metadata" and ABOUT in metadata:
        text, done = damaged_json(json.loads(metadata[ABOUT]), random)
        table = table.replace_schema_metadata({ABOUT: text.encode("utf-8", "surrogateescape")})
        what = f"metadata {done}"
    elif what == "json" and "json" in table.column_names:
        place = table.column_names.index("json")
        texts = table.column(place).to_pylist()
        at = random.randrange(len(texts))
        text, done = damaged_json(json.loads(texts[at]), random)
        texts[at] = text.encode("utf-8", "replace").decode()
        table = table.set_column(place, "json", pa.array(texts))
        what = f"committee {at}: {done}"
    elif what == "cell":
        values: list[Any] = column.to_pylist()
        numbers = (float("nan"), float("inf"), -1, 0, 1e300, 2, 1 << 53)
        texts = ("", "x", "frontier", *[text.encode("utf-8", "replace").decode() for text in TEXTS[:6]])
        hostile: Any = random.choice(numbers if pa.types.is_primitive(column.type) else texts)
        values[random.randrange(len(values))] = random.choice((hostile, hostile, None))
        try:
            table = table.set_column(place, name, pa.array(values))
        except (pa.ArrowException, OverflowError, TypeError):
            return "nothing"
    elif what == "type":
        texts = [str(value) for value in column.to_pylist()]
        table = table.set_column(
            place, name, pa.array(random.choice((texts, [[t] for t in texts], [None] * len(texts))))
        )
    elif what == "gone":
        table = table.remove_column(place)
    elif what == "order":
        table = table.take(pa.array(random.sample(range(len(table)), len(table))))
    elif what == "rows":
        table = table.slice(0, random.choice((0, 1, len(table) - 1)))
    pq.write_table(table, path)
    return f"{name}: {what}"


def attempt(folder: Path, random: Random) -> None:
    name = json.loads((folder / "case.json").read_text())
    drawn = random.random() < 0.03
    if name == "curves.parquet":
        if drawn:
            run("plot", "learning", "--curves", name, "--store", "store", "--out", "p.png")
        else:
            _curves(name)
    elif name == "frontier.parquet":
        if drawn:
            run("report", "--frontier", name, "--store", "store", "--out", "r.html")
        elif random.random() < 0.2:
            run("tables", random.choice(("frontier", "match", "exits")), "--frontier", name, "--store", "store")
        else:
            _frontier(name)
    elif drawn:
        run("plot", "exits", "--committee", name, "--store", "store", "--out", "p.png")
    elif random.random() < 0.5:
        run("evaluate", name, "--store", "store", "--split", "val", *random.choice(((), ("--json",), ("--force",))))
    else:
        _committee(name)


def _committee(name: str) -> None:
    """What a committee that loads is asked: its name, its identity, and itself again."""
    try:
        committee = Committee.load(name)
    except WiseCommitteeError:
        return
    committee.save("again.json")
    again = Committee.load("again.json")
    assert (again, again.fingerprint, again.label()) == (committee, committee.fingerprint, committee.label())


def _frontier(name: str) -> None:
    try:
        frontier = Frontier.load(name)
    except WiseCommitteeError:
        return
    frontier.save("again.parquet")
    assert Frontier.load("again.parquet") == frontier
    for evaluation in frontier:
        json.dumps(evaluation.figures(), allow_nan=False)
    if frontier.axis == "average":
        assert [frontier.within(average_cost=e.average_cost) for e in frontier] == list(frontier)


def _curves(name: str) -> None:
    from wisecommittee.report.plot_learning import read_curves

    try:
        curves = read_curves(name)
    except WiseCommitteeError:
        return
    assert {"phase", "epoch", "loss"} <= set(curves.columns)

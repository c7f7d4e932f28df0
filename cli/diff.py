"""wisecommittee diff: what differs between two committees, or between a committee and a store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options
from .console import Unit, out, percent, print_json

if TYPE_CHECKING:
    from wisecommittee.operations.difference import Difference, Field, OnUnits


def diff(
    a: Annotated[Path, typer.Argument(metavar="A", help="committee.json written by search --save.")],
    b: Annotated[
        Path | None, typer.Argument(metavar="[B]", help="Another committee; without it, A is compared with the store.")
    ] = None,
    store: Annotated[
        str | None, typer.Option("--store", help="Also compare on the units of this store, and each with the store.")
    ] = None,
    split: Annotated[str, typer.Option(help="Split whose units are compared.")] = "test",
    features: options.Features = None,
    labels_from: options.LabelsFrom = None,
    force: Annotated[
        bool, typer.Option("--force", help="Compare even if the members' weights or FLOPs differ.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Say what differs between two committees: fields of their files, and with a store the units that they answer
    differently or at another stage, which of them is right, and the differences of quality and cost with 95 %
    intervals. With one committee and a store: whether the store still holds what the committee was chosen on.

    The exit status is 0 whether or not anything differs.

    **Examples**

    `wisecommittee diff old.json new.json`

    `wisecommittee diff old.json new.json --store logits --split test --json`

    `wisecommittee diff committee.json --store logits`
    """
    from wisecommittee.errors import UsageError
    from wisecommittee.operations.diff import diff as differences
    from wisecommittee.store import LogitStore

    if b is None and store is None:
        raise UsageError("one committee: name another one after it, or a store with --store")
    source = None
    if store is not None:
        source = LogitStore(store).with_features(features).with_labels_from(labels_from)
    found = differences(a, b, source, split, force=force)
    if as_json:
        print_json({"a": str(a), "b": None if b is None else str(b), **found.to_json()})
        return
    _show(found, a, b)


def _show(found: Difference, a: Path, b: Path | None) -> None:
    for field in found.fields or ():
        _field(field)
    if found.fields == ():
        _line("the files say the same")
    elif found.alike:
        _line("same stages and policy: both decide alike")
    for name, lines in (found.store or {}).items():
        file = a if name == "a" else b
        for line in lines:
            _line(f"{file}: {line}")
        if not lines:
            _line(f"{file}: the store holds what it was chosen on, as far as it says")
    if found.on is not None:
        _units(found.on)


def _field(field: Field) -> None:
    _line(field.name)
    for sign, value in (("-", field.a), ("+", field.b)):
        if value is not None:
            text = json.dumps(value, ensure_ascii=False)
            _line(f"  {sign} {text if len(text) <= LONGEST else text[: LONGEST - 3] + '...'}")


LONGEST = 200  # characters of a value


def _units(on: OnUnits) -> None:
    unit = Unit(on.cost["name"], [on.cost["a"], on.cost["b"]])
    said = "" if on.answers is None else f"{on.answers:,} answered differently, "
    _line(f"{on.split}, {on.n:,} units: {said}{on.stages:,} exit at another stage")
    if on.right is not None:
        right = on.right
        _line(
            f"  right: both {right['both']:,}, only A {right['a_only']:,}, only B {right['b_only']:,}, neither "
            f"{right['neither']:,}"
        )
    if on.quality is not None:
        p = "" if on.quality["p"] is None else f", McNemar p = {on.quality['p']:.3g}"
        _means(f"{on.measure} %", on.quality, percent, p)
    _means(f"average {unit.name}", on.cost, lambda value: ("-" if value < 0 else "") + unit(abs(value)), "")
    if on.chose:
        chosen = " and ".join(name.upper() for name in on.chose)
        _line(f"  {on.split} chose {chosen}, so these figures flatter {'it' if len(on.chose) == 1 else 'them'}")
    for pair in on.units:
        values = [
            f"{name} {said} at stage {stage}{'' if right is None else ', right' if right else ', wrong'}"
            for name, said, stage, right in zip(
                "AB", pair.prediction, pair.stage, pair.correct or (None, None), strict=True
            )
        ]
        _line(f"  unit {pair.unit}: {'; '.join(values)}")


def _means(name: str, figures: Any, shown: Any, more: str) -> None:
    low, high = map(shown, figures["interval"])
    _line(
        f"  {name}: A {shown(figures['a'])}, B {shown(figures['b'])}; B less A {shown(figures['difference'])} "
        f"[{low}, {high}]{more}"
    )


def _line(text: str) -> None:
    out.print(text, markup=False)

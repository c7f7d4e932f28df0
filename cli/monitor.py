"""wisecommittee monitor: a committee on a stream of new units, beside a reference split."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options
from .console import Unit, out, percent, print_json, table

if TYPE_CHECKING:
    from wisecommittee.operations.monitored import Monitored
    from wisecommittee.operations.watching import Watched


def monitor(
    committee: Annotated[Path, typer.Argument(help="committee.json written by search --save.")],
    store: options.Store = None,
    split: Annotated[str, typer.Option(help="Split that holds the stream, in the order of its units.")] = "live",
    against: Annotated[
        str | None,
        typer.Option(
            help="Split to compare with.",
            show_default="test, else the split that chose the committee, else its expected figures",
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="Labels of the stream, or of a random part of it: csv or Parquet with unit_id,label."),
    ] = None,
    alpha: Annotated[
        float, typer.Option(help="Largest probability that a stream without drift is ever called drifted.")
    ] = 0.05,
    cost: Annotated[
        str | None, typer.Option("--cost", help="Watch another cost than the one it was chosen by.")
    ] = None,
    labels_from: options.LabelsFrom = None,
    force: Annotated[bool, typer.Option("--force", help="Watch even if the members' weights or FLOPs differ.")] = False,
    threads: options.Threads = None,
    as_json: options.Json = False,
) -> None:
    """Watch a committee on new units: exit ratios, average cost, agreement of its stages and, with labels, accuracy.

    Each is compared with the reference split by a test that may look after every unit: a stream without drift is called
    drifted with probability alpha at most, whatever its length and however often this command is run. The sampling
    error of the reference is counted. Agreement: of the units that run more than one stage, the share whose answer is
    still that of the first stage. "steady" means that no drift is shown, not that there is none. Needs outputs of the
    stream in the store: `import` or `extract` them with `--split live`, in the order in which they came.

    **Examples**

    `wisecommittee monitor committee.json --split live`

    `wisecommittee monitor committee.json --split july --against test --labels audited.csv --json`
    """
    from wisecommittee.operations.monitor import monitor as watch
    from wisecommittee.store import LogitStore

    done = watch(
        committee,
        LogitStore(store).with_labels_from(labels_from),
        split,
        against=against,
        labels=labels,
        alpha=alpha,
        force=force,
        cost=cost,
        threads=threads,
    )
    if as_json:
        print_json(done.to_json())
        return
    unit = Unit(done.live.committee.cost, [w.reference for w in done.watched if w.name == "average cost"])
    columns = [("figure", "left"), (done.against, "right"), (split, "right")]
    columns += [(f"change [{100 * (1 - alpha):g} %, all]", "right"), ("verdict", "left")]
    rows = [_row(each, unit) for each in done.watched]
    label = done.live.committee.label()
    table(f"{label}   (figures in %, costs in {unit.name})", columns, rows, _caption(done))
    out.print(_summary(done), style="bold")


def _row(each: Watched, unit: Unit) -> list[str]:
    cost = each.name == "average cost"

    def signed(value: float) -> str:
        return f"{'+' if value >= 0 else '-'}{unit(abs(value))}" if cost else f"{100 * value:+.2f}"

    shown = unit if cost else percent
    change = f"{signed(each.live - each.reference)} [{signed(each.interval[0])}, {signed(each.interval[1])}]"
    verdict = each.verdict if each.unit is None else f"{each.verdict}, unit {each.unit:,}"
    return [each.name, shown(each.reference), shown(each.live), change, verdict]


def _caption(done: Monitored) -> str:
    reference, live = done.reference, done.live
    against = "expected: the figures that committee.json carries, whose interval is counted"
    if reference is not None:
        against = f"{reference.split}: {len(reference):,} units, whose sampling error is counted"
    texts = [
        f"{live.split}: {len(live):,} units in the order of the store; {against}. Without drift "
        f"{100 * (1 - done.alpha):g} % of streams stay steady, whatever their length."
    ]
    if done.reference_chose:
        texts.append(
            f"{done.against} chose this committee, so its figures are optimistic, which can look like drift; a test "
            f"split is a better reference."
        )
    if not done.with_labels:
        texts.append("Without labels accuracy is not measured.")
    elif done.with_labels < len(live):
        texts.append(f"{live.measure.capitalize()}: on the {done.with_labels:,} units of {live.split} with a label.")
    return " ".join(texts)


def _summary(done: Monitored) -> str:
    if done.unit is None:
        return f"steady: no drift is shown in {len(done.live):,} units of {done.live.split}"
    names = ", ".join(each.name for each in done.watched if each.unit is not None)
    return f"drifted: {names}; shown by unit {done.unit:,} of {done.live.split}"

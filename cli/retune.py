"""wisecommittee retune: thresholds moved so that exit shares hold on a stream."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options
from .console import Unit, check_folder, out, percent, print_json, shares, table

if TYPE_CHECKING:
    from wisecommittee.operations.retune import Retuned


def retune(
    committee: Annotated[Path, typer.Argument(help="committee.json written by search --save.")],
    store: options.Store = None,
    split: Annotated[str, typer.Option(help="Split that holds the stream.")] = "live",
    against: Annotated[
        str | None,
        typer.Option(
            help="Split whose exit shares are kept.", show_default="test, else the split that chose the committee"
        ),
    ] = None,
    save: Annotated[Path | None, typer.Option(help="Write the committee with its new thresholds.")] = None,
    labels_from: options.LabelsFrom = None,
    force: Annotated[
        bool, typer.Option("--force", help="Retune even if the members' weights or FLOPs differ.")
    ] = False,
    threads: options.Threads = None,
    as_json: options.Json = False,
) -> None:
    """Move the thresholds of a committee so that, at each stage, the share of units that exits on a stream is that of
    the reference split.

    Needs no labels. It keeps the average cost where confidences have shifted; whether accuracy is kept too, only labels
    can tell: `evaluate` the saved committee on labelled units.

    **Examples**

    `wisecommittee retune committee.json --split live --save retuned.json`

    `wisecommittee retune committee.json --split july --against june --json`
    """
    from wisecommittee.operations.retune import retune as moved
    from wisecommittee.store import LogitStore

    check_folder(save)
    done = moved(
        committee, LogitStore(store).with_labels_from(labels_from), split, against=against, force=force, threads=threads
    )
    if save is not None:
        done.committee.save(save)
    if as_json:
        print_json(done.to_json())
        return
    _show(done)
    if save is not None:
        out.print(f"wrote {save}", markup=False)


def _show(done: Retuned) -> None:
    from wisecommittee.committees.committee import together

    samples = {
        f"{done.reference.split}, as it was": done.reference,
        f"{done.after.split}, before": done.before,
        f"{done.after.split}, after": done.after,
    }
    unit = Unit(done.committee.cost, [float(each.cost.mean()) for each in samples.values()])
    rows = [
        [
            name,
            f"{len(each):,}",
            unit(float(each.cost.mean())),
            "-" if each.quality is None else percent(float(each.quality.mean())),
            shares(each.exit_ratios()),
        ]
        for name, each in samples.items()
    ]
    columns = [("thresholds on", "left"), ("units", "right"), ("average cost", "right")]
    columns += [(f"{done.after.measure} %", "right"), ("exits %", "left")]
    caption = (
        f"Thresholds were set by the confidences of {done.after.split}, without its labels: they keep the average "
        f"cost, not the accuracy."
    )
    table(f"{done.committee.label()}   (costs in {unit.name})", columns, rows, caption)
    before, after = (each.committee.conditions() for each in (done.before, done.after))
    for k, stage in enumerate(done.committee.stages[:-1]):
        stays = "; stays" if k in done.kept else f"; was {before[k]}"
        out.print(f"  after {together(stage)}: answer if {after[k]}{stays}", markup=False)

"""wisecommittee evaluate: a saved committee on a split."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated

import typer

from . import options
from .console import check_folder, out, print_json
from .show import show_evaluations, show_members, show_note, show_recorded, show_thresholds
from .show_groups import show_groups


def evaluate(
    committee: Annotated[Path, typer.Argument(help="committee.json written by search --save.")],
    store: options.Store = None,
    split: Annotated[str, typer.Option(help="Split to evaluate on.")] = "test",
    cost: Annotated[
        str | None, typer.Option("--cost", help="Charge another cost than the one it was chosen by.")
    ] = None,
    units: Annotated[
        Path | None,
        typer.Option(
            help="Write a row per unit, .csv or .parquet: unit_id, prediction, stage, confidence, cost, label, correct."
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            "--by",
            metavar="COLUMN",
            help="Also per group: class, predicted, or a column of the labels file in which units are equal.",
        ),
    ] = None,
    by_file: Annotated[
        Path | None, typer.Option(help="Table with unit_id and the column of --by, .csv or .parquet.")
    ] = None,
    features: options.Features = None,
    labels_from: options.LabelsFrom = None,
    force: Annotated[
        bool, typer.Option("--force", help="Evaluate even if the members' weights or FLOPs differ.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Evaluate a committee on outputs in the store: accuracy with its interval, average and worst-case cost, exit
    ratios, and its members by themselves.

    **Examples**

    `wisecommittee evaluate committee.json --split test`

    `wisecommittee evaluate committee.json --units units.csv`

    `wisecommittee evaluate committee.json --by class`

    `wisecommittee evaluate committee.json --by hospital --by-file origin.csv`
    """
    from wisecommittee.committees.committee import Committee
    from wisecommittee.errors import UsageError, option
    from wisecommittee.operations.groups import evaluate_by
    from wisecommittee.searches.doctor import copied
    from wisecommittee.searches.evaluate import evaluate_all
    from wisecommittee.searches.members import judged, members_alone
    from wisecommittee.searches.small_networks import small_networks
    from wisecommittee.store import LogitStore
    from wisecommittee.store.staleness import warn_if_stale

    if by_file is not None and by is None:
        raise UsageError(f"--by-file {str(by_file)!r}: name its column with --by COLUMN")
    if units:
        from wisecommittee.report.frame import check_rows

        check_folder(units)
        check_rows(units)
    chosen, source = Committee.load(committee), LogitStore(store).with_features(features)
    source = judged([chosen], source.with_labels_from(labels_from), split)
    if chosen.labels_from not in (None, source.labels_from):
        warnings.warn(
            f"{committee} was chosen for agreement with {chosen.labels_from}, and this is another quality; "
            f"{option('labels_from', chosen.labels_from)} measures that agreement",
            stacklevel=2,
        )
    if chosen.chosen_on not in (None, split) and (why := copied(source, str(chosen.chosen_on), split)) is not None:
        warnings.warn(f"these figures of {split} are no test: {why}", stacklevel=2)
    warn_if_stale(chosen, source)
    result, *alone = evaluate_all([chosen, *members_alone(chosen)], source, split, force=force, cost=cost)
    if units:
        from wisecommittee.report.frame import write_rows
        from wisecommittee.searches.units import evaluate_units

        write_rows(evaluate_units(chosen, source, split, force=force, cost=cost), units)
    groups = None
    if by is not None:
        groups = evaluate_by(chosen, source, by, split, by_file=by_file, force=force, cost=cost)
    if as_json:
        grouped = {} if groups is None else {"by": by, "groups": [group.to_json() for group in groups]}
        singles = [{"model": e.committee.models[0], **e.figures()} for e in alone]
        trusted = {"labels_from": source.labels_from, "left_out": source.left_out(split)}
        figures = {**result.figures(), **(trusted if source.labels_from else {})}
        figures["small_networks"] = small_networks([result])
        print_json({"committee": result.committee.to_json(), "split": split, **figures, "members": singles, **grouped})
        return
    constant = [name for name in result.further if name not in result.distributions]
    show_evaluations([result], [{f"average {name}": result.costs[name].average for name in constant}])
    show_thresholds(result)
    show_recorded(chosen)
    show_members(result, alone)
    show_note(small_networks([result]))
    if by is not None and groups is not None:
        show_groups(result, groups, by)
    if units:
        out.print(f"wrote {units}", markup=False)

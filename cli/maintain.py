"""wisecommittee split and remove: keeping house in a store."""

from __future__ import annotations

from typing import Annotated

import typer

from . import options
from .console import out, print_json


def split(
    into: Annotated[str, typer.Option(help="New splits with their shares, for example val=0.5,test=0.5.")],
    store: options.Store = None,
    source: Annotated[str | None, typer.Option("--split", help="Split to divide; default the only one.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the random division.")] = 0,
    by: Annotated[
        str | None,
        typer.Option(
            "--by",
            metavar="COLUMN",
            help="Keep units together that are equal in this column of the labels file (patient, video, author).",
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Divide a split of all models into new ones, stratified by label; of images that were cut into cells, whole
    images at random. With --by no group of units is in two splits: columns beside unit_id and label that group units
    are kept when labels are imported.

    **Examples**

    `wisecommittee split --store S --into val=0.5,test=0.5 --seed 0`

    `wisecommittee split --store S --into val=0.5,test=0.5 --by patient`
    """
    from wisecommittee.errors import UsageError, counted
    from wisecommittee.store import LogitStore
    from wisecommittee.store.splitting import is_divided, split_store

    shares: dict[str, float] = {}
    for part in into.split(","):
        name, _, share = part.partition("=")
        if name.strip() in shares:
            raise UsageError(f"--into {into!r}: {name.strip()!r} stands twice; expected different names")
        try:
            shares[name.strip()] = float(share)
        except ValueError:
            raise UsageError(
                f"--into {into!r}: {part!r} is not NAME=SHARE; expected for example val=0.5,test=0.5"
            ) from None
    target = LogitStore(store)
    already = is_divided(target, shares, seed=seed, source=source, by=by)
    done = split_store(target, shares, seed=seed, source=source, by=by)
    if as_json:
        print_json({"store": target.files.uri, "units": done, "seed": seed})
    else:
        shown = ", ".join(f"{name} {counted(units, 'unit')}" for name, units in done.items())
        out.print(f"{target.files.uri}: {shown}{' (divided already)' if already else ''}", markup=False)


def remove(
    model: Annotated[str, typer.Argument(help="Model to remove.")],
    store: options.Store = None,
    source: Annotated[str | None, typer.Option("--split", help="Only from this split; default from all.")] = None,
) -> None:
    """Remove a model and its outputs from the store. One that is not there is removed already.

    **Example**  `wisecommittee remove b3/0`
    """
    from wisecommittee.errors import nearest
    from wisecommittee.store import LogitStore

    target = LogitStore(store)
    if splits := target.remove(model, source):
        out.print(f"removed {model} from {', '.join(splits)}", markup=False)
        return
    near = nearest(model, {other for split in target.splits() for other in target.models(split)})
    removed_from = f"split {source}" if source else "any split"
    out.print(
        f"nothing to remove: {model} is not in {removed_from} of {target.files.uri}"
        + (f"; {near} is, should that be meant" if near else ""),
        markup=False,
    )

"""wisecommittee import: cached outputs from elsewhere into the store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options
from .console import human, percent, print_json, progress, table, warn_of

if TYPE_CHECKING:
    from wisecommittee.committees.cards import StoredCard
    from wisecommittee.store import LogitStore


def import_(
    more: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME=FILE]..", help="Further arrays of the kind named by the option."),
    ] = None,
    store: options.Store = None,
    split: Annotated[str, typer.Option(help="Split the arrays belong to: val chooses, test reports.")] = "val",
    labels: Annotated[Path | None, typer.Option(help="True classes: .npy, or csv/Parquet with unit_id,label.")] = None,
    costs: Annotated[
        Path | None,
        typer.Option(
            help="models.csv: model, flops, and optionally architecture, replica, params, latency_ms, usd, blocks."
        ),
    ] = None,
    logits: Annotated[
        list[str] | None,
        typer.Option("--logits", metavar="NAME=FILE", help="Logits [units, classes]; may be repeated."),
    ] = None,
    probabilities: Annotated[
        list[str] | None,
        typer.Option("--probabilities", metavar="NAME=FILE", help="Softmax outputs [units, classes]; may be repeated."),
    ] = None,
    answers: Annotated[
        Path | None,
        typer.Option(
            help="Long table: unit_id, model, answer, then per-unit costs (usd, tokens); optionally confidence, which "
            "thresholds need, and score."
        ),
    ] = None,
    features: Annotated[
        Path | None,
        typer.Option(
            help="Columns known before any model runs, for routers: .csv or .parquet with unit_id; numbers, or text "
            "of categories. Alone, of the units of a split in the store."
        ),
    ] = None,
    classes: Annotated[
        Path | None,
        typer.Option(
            help="File that names the classes in order (txt: a name a line; csv: index,name; json), where labels or "
            "columns are names and do not say which class is which number. A class may have several names."
        ),
    ] = None,
    unlabelled: Annotated[
        bool, typer.Option("--unlabelled", help="The units have no labels: a stream for `monitor` and `retune`.")
    ] = False,
    by_position: Annotated[
        bool,
        typer.Option(
            "--by-position", help="Pair rows in order although only the labels, or only the outputs, have unit ids."
        ),
    ] = False,
    ignore_case: Annotated[
        bool, typer.Option("--ignore-case", help="With --answers: 'Yes' and 'yes' are the same answer.")
    ] = False,
    cell: Annotated[
        int | None,
        typer.Option(
            help="Semantic segmentation: arrays are [images, height, width, classes], units are cells of so many "
            "pixels squared, costs are per cell.",
        ),
    ] = None,
    ignore_label: Annotated[int, typer.Option(help="With --cell, the label of pixels that do not count.")] = 255,
    dtype: Annotated[
        str, typer.Option(help="float32, or float16 for half the disk (it can flip near-ties).")
    ] = "float32",
    replace: options.Replace = False,
    as_json: options.Json = False,
) -> None:
    """Put outputs that are already on disk into the store. Everything is checked before anything is written.

    Files: .npy or .npz [units, classes]; .csv or .parquet with unit_id and one column per class, headed by class names
    or by the numbers 0, 1, ..; or one column for class 1 of two. Names decide, not positions: rows are aligned by unit
    id, columns and labels by class name. Rows without ids are units 0, 1, .. in order. Logits may be -inf where a class
    does not exist for a unit. Importing the same content again changes nothing.

    **Examples**

    `wisecommittee import --split val --labels labels.npy --costs models.csv --logits b3/0=b3.npy --logits b5/0=b5.npy`

    `wisecommittee import --split val --answers answers.csv --labels truth.csv` (then `search --cost usd`)

    `wisecommittee import --cell 128 --labels pixels.npy --costs models.csv --logits r50=r50.npy --logits r101=r101.npy`

    `wisecommittee import --split live --unlabelled --costs models.csv --logits b3/0=b3.npy --logits b5/0=b5.npy`

    `wisecommittee import --split val --features prompts.csv` (adds columns to the units, for `search --policy router`)

    `wisecommittee import --costs models.csv` (adds cost columns to models already in the store)
    """
    from wisecommittee.errors import UsageError
    from wisecommittee.searches.doctor import examine
    from wisecommittee.store import LogitStore
    from wisecommittee.store.features import changes, import_features
    from wisecommittee.store.imports.answers import import_answers
    from wisecommittee.store.imports.costs import import_costs
    from wisecommittee.store.imports.outputs import import_outputs
    from wisecommittee.store.imports.segmentation import import_images
    from wisecommittee.store.readers.features import read_feature_table

    target, files = LogitStore(store), _files(more or [], logits or [], probabilities or [])
    done: dict[str, str] = {}
    columns = None if features is None else read_feature_table(features)
    known = target.features(split) if target.has_split(split) else {}
    if unlabelled and labels is not None:
        raise UsageError(f"--unlabelled with --labels {str(labels)!r}: leave one out")
    if cell is not None and features is not None:
        raise UsageError("--features with --cell: routers are not searched for mIoU; leave one out")
    if answers and files:
        raise UsageError("--answers cannot be mixed with --logits or --probabilities in one store")
    if answers:
        done = import_answers(
            target, split, answers, labels=labels, costs=costs, by_position=by_position, ignore_case=ignore_case,
            unlabelled=unlabelled, replace=replace, features=columns,
        )  # fmt: skip
    elif files:
        wanting = labels is None and (cell is not None or not unlabelled)
        if wanting or costs is None:
            raise UsageError(
                f"{'--labels' if wanting else '--costs'} is missing; arrays need both --labels and --costs models.csv "
                f"(a stream for `monitor` may be --unlabelled instead)"
            )
        if cell is None or labels is None:
            done = import_outputs(
                target, split, files, labels=labels, costs=costs, classes=classes, by_position=by_position, dtype=dtype,
                replace=replace, features=columns,
            )  # fmt: skip
        else:
            with progress() as update:
                done = import_images(
                    target, split, files, labels=labels, costs=costs, cell=cell, ignored=ignore_label,
                    replace=replace, progress=update,
                )  # fmt: skip
    elif costs:
        done = import_costs(target, costs)
    elif features is None:
        raise UsageError(
            "nothing to import; give --logits or --probabilities NAME=FILE, --answers FILE, or --features FILE"
        )
    if columns is not None and not (answers or files):
        import_features(target, split, columns, replace=replace)
    status = {} if columns is None else changes(known, columns.of_units(target.unit_ids(split), split))
    warn_of(examine(target, [split] if target.has_split(split) else [], models=done))
    if files or answers:
        _show(target, split, done, status, "mIoU %" if cell else "accuracy %", as_json)
    elif as_json:
        print_json({"store": target.files.uri, "split": split, "models": done, **_features(target, split, status)})
    elif done:  # a cost file changes cards of every split
        table(f"{target.files.uri}: costs", [("model", "left"), ("", "left")], [[m, s] for m, s in done.items()])
    if status and not as_json:
        _show_features(target, split, status)


def _files(more: list[str], logits: list[str], probabilities: list[str]) -> list[tuple[str, str, Path]]:
    """(kind, model, file) of every NAME=FILE; those in `more` are of the kind of the only option given."""
    from wisecommittee.errors import UsageError

    if more and bool(logits) == bool(probabilities):
        raise UsageError(f"{more[0]!r}: say what it is with --logits NAME=FILE or --probabilities NAME=FILE")
    given = [("logits", text) for text in logits] + [("probabilities", text) for text in probabilities]
    given += [("logits" if logits else "probabilities", text) for text in more]
    return [(kind, *_pair(text)) for kind, text in given]


def _features(store: LogitStore, split: str, columns: dict[str, str]) -> dict[str, object]:
    """{"features": {column: what was done, and what the column is}}; empty without features."""
    from wisecommittee.store.feature_table import described

    if not columns:
        return {}
    known = described(store.features(split))
    return {"features": {name: {"status": status, **known[name]} for name, status in columns.items()}}


def _show_features(store: LogitStore, split: str, columns: dict[str, str]) -> None:
    from wisecommittee.store.feature_table import described

    known = described(store.features(split))
    rows = []
    for name, status in columns.items():
        kind, values = known[name]["kind"], known[name].get("values")
        rows.append([name, status, kind if values is None else f"{values:,} {kind}"])
    table(f"{store.files.uri}, split {split}", [("feature", "left"), ("", "left"), ("taken as", "left")], rows)


def _show(
    store: LogitStore, split: str, done: dict[str, str], features: dict[str, str], measure: str, as_json: bool
) -> None:
    """What was done with each model ({model: 'added', ..}), its quality and its costs."""
    from wisecommittee.searches.stages.split_model import model_quality

    cards = {card.model: card for card in store.cards(split)}
    units = len(store.unit_ids(split))
    quality = {model: model_quality(store, split, cards[model]) for model in done if model in cards}
    if as_json:
        facts = {"models": done, "units": units, "quality": quality, **_features(store, split, features)}
        print_json({"store": store.files.uri, "split": split, **facts})
        return
    costs = {model: _costs(store, split, cards[model]) for model in done if model in cards}
    names = list(dict.fromkeys(name for shown in costs.values() for name in shown))
    columns = [("model", "left"), ("", "left"), ("units", "right"), (measure, "right")]
    columns += [(name, "right") for name in names]
    rows = [
        [
            model,
            status,
            f"{units:,}",
            "-" if (share := quality.get(model)) is None else percent(share),
            *(costs.get(model, {}).get(name, "-") for name in names),
        ]
        for model, status in done.items()
    ]
    table(f"{store.files.uri}, split {split}", columns, rows)


def _costs(store: LogitStore, split: str, card: StoredCard) -> dict[str, str]:
    """{name: cost as it is shown} of a model; of costs that differ between units their mean."""
    shown = {"MACs": human(sum(card.blocks.values()))} if card.blocks else {}
    shown |= {name: f"{value:.4g}" for name, value in card.costs.items()}
    varying = card.contents.unit_costs
    return shown | {f"mean {name}": f"{store.unit_costs(card.model, split, name).mean():.4g}" for name in varying}


def _pair(text: str) -> tuple[str, Path]:
    from wisecommittee.errors import UsageError

    name, sign, file = text.rpartition("=") if Path(text.partition("=")[2]).name == "" else text.partition("=")
    if not sign or not name or not file:
        raise UsageError(f"{text!r}: expected NAME=FILE, for example b3/0=b3_val.npy")
    return name, Path(file)

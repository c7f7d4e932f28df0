"""The kinds of inputs that `wisecommittee import` takes: told apart, checked against each other, and imported."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wisecommittee.errors import UsageError

from .console import print_json, progress, say, warn_of
from .import_show import log_json, show_log

if TYPE_CHECKING:
    from wisecommittee.store import LogitStore
    from wisecommittee.store.feature_table import FeatureTable


def told_apart(
    inputs: list[str], logits: list[str], probabilities: list[str]
) -> tuple[list[str], list[tuple[str, str, Path]]]:
    """([FORMAT:]PATH of each log, (kind, model, file) of each NAME=FILE). A NAME=FILE without an option of its own is
    of the kind of the only option given."""
    from wisecommittee.store.logs.formats import LOG_FORMATS

    pairs = [text for text in inputs if "=" in text and text.partition(":")[0] not in LOG_FORMATS]
    if pairs and bool(logits) == bool(probabilities):
        raise UsageError(f"{pairs[0]!r}: say what it is with --logits NAME=FILE or --probabilities NAME=FILE")
    given = [("logits", text) for text in logits] + [("probabilities", text) for text in probabilities]
    given += [("logits" if logits else "probabilities", text) for text in pairs]
    return [text for text in inputs if text not in pairs], [(kind, *_pair(text)) for kind, text in given]


def _pair(text: str) -> tuple[str, Path]:
    name, sign, file = text.rpartition("=") if Path(text.partition("=")[2]).name == "" else text.partition("=")
    if not sign or not name or not file:
        raise UsageError(f"{text!r}: expected NAME=FILE, for example b3/0=b3_val.npy")
    return name, Path(file)


def refuse_mixed(
    logs: object, answers: object, files: object, of_logs: Mapping[str, object], of_answers: Mapping[str, object]
) -> None:
    """UsageError for two kinds of inputs together, and for options of another kind of input."""
    if answers and files:
        raise UsageError("--answers cannot be mixed with --logits or --probabilities in one store")
    if logs and (answers or files):
        raise UsageError("a log beside --answers or arrays: import them one after the other")
    if not logs and (option := next((name for name, value in of_logs.items() if value), None)):
        raise UsageError(f"{option} is for evaluation logs; name one, as in `wisecommittee import results/`")
    if not (logs or answers) and (option := next((name for name, value in of_answers.items() if value), None)):
        raise UsageError(f"{option} is for answers; give a log, or --answers FILE")


def import_logs(store: LogitStore, split: str, logs: list[str], wanted: Mapping[str, Any], *, as_json: bool) -> None:
    from wisecommittee.store.logs.importing import import_log
    from wisecommittee.store.logs.spec import log_spec

    specs = [log_spec(text) for text in logs]
    for spec in specs:
        if spec.recognised:
            say(f"{spec.path}: read as {spec.format.name}, {spec.format.words}")
    with progress(quiet=as_json) as update:
        done = import_log(store, split, specs, progress=update, **wanted)
    if not wanted["dry_run"]:
        warn(store, split, done.models)
    if as_json:
        print_json(log_json(store, split, specs, done))
    else:
        show_log(store, split, done, dry_run=wanted["dry_run"])


def import_arrays(
    store: LogitStore,
    split: str,
    files: list[tuple[str, str, Path]],
    wanted: Mapping[str, Any],
    *,
    unlabelled: bool,
    cell: int | None,
    ignored: int,
) -> dict[str, str]:
    from wisecommittee.store.imports.outputs import import_outputs
    from wisecommittee.store.imports.segmentation import import_images

    wanting = wanted["labels"] is None and (cell is not None or not unlabelled)
    if wanting or wanted["costs"] is None:
        raise UsageError(
            f"{'--labels' if wanting else '--costs'} is missing; arrays need both --labels and --costs models.csv "
            f"(a stream for `monitor` may be --unlabelled instead)"
        )
    if cell is None:
        return import_outputs(store, split, files, **wanted)
    alike = {name: wanted[name] for name in ("labels", "costs", "replace")}
    with progress() as update:
        return import_images(store, split, files, cell=cell, ignored=ignored, progress=update, **alike)


def import_facts(
    store: LogitStore, split: str, costs: Path | None, features: FeatureTable | None, *, replace: bool
) -> dict[str, str]:
    """Costs or features of what is in the store."""
    from wisecommittee.store.features import import_features
    from wisecommittee.store.imports.costs import import_costs

    if costs is None and features is None:
        raise UsageError(
            "nothing to import; name an evaluation log, or give --logits or --probabilities NAME=FILE, --answers FILE, "
            "or --features FILE"
        )
    done = {} if costs is None else import_costs(store, costs)
    if features is not None:
        import_features(store, split, features, replace=replace)
    return done


def warn(store: LogitStore, split: str, models: Mapping[str, str]) -> None:
    from wisecommittee.searches.doctor import examine

    warn_of(examine(store, [split] if store.has_split(split) else [], models=models))

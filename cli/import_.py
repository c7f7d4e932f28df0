"""wisecommittee import: cached outputs, tables of answers and evaluation logs from elsewhere into the store."""

from __future__ import annotations

from typing import Any

from wisecommittee.errors import UsageError

from . import import_options as given
from . import options
from .console import print_json, table
from .import_kinds import import_arrays, import_facts, import_logs, refuse_mixed, told_apart, warn
from .import_show import features_json, show_features, show_models


def import_(
    inputs: given.Inputs = None,
    store: options.Store = None,
    split: given.Split = "val",
    labels: given.Labels = None,
    costs: given.Costs = None,
    features: given.Features = None,
    unlabelled: given.Unlabelled = False,
    by_position: given.ByPosition = False,
    replace: options.Replace = False,
    as_json: options.Json = False,
    tasks: given.Tasks = None,
    metric: given.Metric = None,
    filter_: given.Filter = None,
    per_byte: given.PerByte = False,
    dry_run: given.DryRun = False,
    answers: given.Answers = None,
    missing: given.Missing = None,
    free_form: given.FreeForm = False,
    ignore_case: given.IgnoreCase = False,
    logits: given.Logits = None,
    probabilities: given.Probabilities = None,
    classes: given.Classes = None,
    cell: given.Cell = None,
    ignore_label: given.IgnoreLabel = 255,
    dtype: given.Dtype = "float32",
) -> None:
    """Put outputs that are already on disk into the store. Everything is checked before anything is written.

    **Evaluation logs**: files or folders, packed (.gz) or not. The format is recognised, or named before a colon:

    FORMATS

    **Arrays**: .npy or .npz [units, classes]; .csv or .parquet with unit_id and one column per class, headed by class
    names or by the numbers 0, 1, ..; or one column for class 1 of two. Names decide, not positions: rows are aligned by
    unit id, columns and labels by class name. Rows without ids are units 0, 1, .. in order. Logits may be -inf where a
    class does not exist for a unit. Importing the same content again changes nothing.

    **Examples**

    `wisecommittee import results/ --dry-run` (which models, units and costs the logs in a folder have)

    `wisecommittee import lm-eval:results/ --task 'mmlu_*' --costs models.csv --missing skip`

    `wisecommittee import --split val --answers answers.csv --labels truth.csv` (then `search --cost usd`)

    `wisecommittee import --split val --labels labels.npy --costs models.csv --logits b3/0=b3.npy --logits b5/0=b5.npy`

    `wisecommittee import --cell 128 --labels pixels.npy --costs models.csv --logits r50=r50.npy --logits r101=r101.npy`

    `wisecommittee import --split live --unlabelled --costs models.csv --logits b3/0=b3.npy --logits b5/0=b5.npy`

    `wisecommittee import --split val --features prompts.csv` (adds columns to the units, for `search --policy router`)

    `wisecommittee import --costs models.csv` (adds cost columns to models already in the store)
    """
    from wisecommittee.store import LogitStore
    from wisecommittee.store.features import changes
    from wisecommittee.store.imports.answers import import_answers
    from wisecommittee.store.logs.records import LogOptions
    from wisecommittee.store.readers.features import read_feature_table

    target = LogitStore(store)
    logs, files = told_apart(inputs or [], logits or [], probabilities or [])
    columns = None if features is None else read_feature_table(features)
    if unlabelled and labels is not None:
        raise UsageError(f"--unlabelled with --labels {str(labels)!r}: leave one out")
    if cell is not None and features is not None:
        raise UsageError("--features with --cell: routers are not searched for mIoU; leave one out")
    of_logs = {"--task": tasks, "--metric": metric, "--filter": filter_, "--per-byte": per_byte, "--dry-run": dry_run}
    refuse_mixed(logs, answers, files, of_logs, {"--missing": missing, "--free-form": free_form})
    shared: dict[str, Any] = {"labels": labels, "costs": costs, "replace": replace, "features": columns}
    if logs:
        wanted = LogOptions(tuple(tasks or ()), metric, filter_, per_byte, free_form, ignore_case, split)
        shared |= {"missing": missing, "unlabelled": unlabelled, "dry_run": dry_run, "options": wanted}
        import_logs(target, split, logs, shared, as_json=as_json)
        return
    known = target.features(split) if target.has_split(split) else {}
    if answers:
        shared |= {"missing": missing, "free_form": free_form, "ignore_case": ignore_case, "unlabelled": unlabelled}
        done = import_answers(target, split, answers, by_position=by_position, **shared)
    elif files:
        shared |= {"classes": classes, "by_position": by_position, "dtype": dtype}
        done = import_arrays(target, split, files, shared, unlabelled=unlabelled, cell=cell, ignored=ignore_label)
    else:
        done = import_facts(target, split, costs, columns, replace=replace)
    status = {} if columns is None else changes(known, columns.of_units(target.unit_ids(split), split))
    warn(target, split, done)
    if files or answers:
        show_models(target, split, done, status, "mIoU %" if cell else "accuracy %", as_json)
    elif as_json:
        print_json({"store": target.files.uri, "split": split, "models": done, **features_json(target, split, status)})
    else:
        if done:  # a cost file changes cards of every split
            table(f"{target.files.uri}: costs", [("model", "left"), ("", "left")], [[m, s] for m, s in done.items()])
        show_features(target, split, status)


def fill_help() -> None:
    """Write the formats of logs in place of FORMATS into the help."""
    from wisecommittee.store.logs.formats import LOG_FORMATS

    listed = "\n".join(f"    - `{each.name}`: {each.words}" for each in LOG_FORMATS.values())
    import_.__doc__ = (import_.__doc__ or "").replace("    FORMATS", listed)

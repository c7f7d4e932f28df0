"""Cached outputs from elsewhere -> store: arrays, tables of costs, long tables of answers. Nothing is ever unpickled.

Everything is read and checked before anything is written.
"""

from __future__ import annotations

import os
import re
import warnings
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace as replace_fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.cards import MAX_COUNT, ModelCard, check_cost, split_model_name
from wisecommittee.committees.replicas import numbering_notes, same_replica
from wisecommittee.errors import (
    AbsentNameError,
    AlignmentError,
    ContentError,
    CostError,
    StoreError,
    UsageError,
    counted,
    option,
)
from wisecommittee.reading import parse_json
from wisecommittee.store.groups import write_groups
from wisecommittee.store.imports.preparing import prepared
from wisecommittee.store.logit_store import LogitStore
from wisecommittee.store.parquet.parts import Rows
from wisecommittee.store.readers.classes import (
    ClassList,
    in_order,
    means_something_else,
    number_labels,
    place_columns,
    read_class_list,
)
from wisecommittee.store.readers.frames import named_column, numbers, read_table, unit_ids
from wisecommittee.store.readers.labels import Labels, pair, read_labels
from wisecommittee.store.readers.outputs import Outputs, read_outputs
from wisecommittee.tasks.text import comparable, is_missing

if TYPE_CHECKING:
    import pandas as pd

THOUSANDS = re.compile(r"^\d{1,3}(,\d{3})+(\.\d+)?$")
DESCRIPTIONS = ("model", "architecture", "replica", "params", "input_size", "training_cost", "group", "blocks")
ANSWER_COLUMNS = ("unit_id", "model", "answer", "confidence", "score", "label")


def import_outputs(
    store: LogitStore,
    split: str,
    files: Sequence[tuple[str, str, str | os.PathLike[str]]],
    *,
    labels: str | os.PathLike[str],
    costs: str | os.PathLike[str],
    classes: str | os.PathLike[str] | None = None,
    by_position: bool = False,
    dtype: str = "float32",
    replace: bool = False,
) -> dict[str, str]:
    """Import arrays of logits or probabilities; returns {model: 'added' | 'unchanged' | 'card updated' | 'replaced'}.

    files : (kind, model, file) with kind 'logits' or 'probabilities'; .npy or .npz [N, C], or .csv or .parquet with
    unit_id and one column per class, aligned by name. labels : .npy [N], or .csv or .parquet with unit_id, label; class
    numbers or class names. costs : models.csv. classes : a file that names the classes (store/readers/classes.py);
    needed where the names in the files do not say which class is which number. by_position : pair rows and labels in
    order although only one side has unit ids.
    """
    names = [model for _, model, _ in files]
    if twice := sorted(name for name, count in Counter(names).items() if count > 1):
        raise UsageError(f"{', '.join(twice)} is given more than once")
    known = read_labels(labels)
    cards = read_cards(costs, names)
    certain = frozenset() if known.numbers is not None else frozenset(known.texts)
    found = {model: read_outputs(file, kind, certain) for kind, model, file in files}
    listed = class_order(store, split, known, found, None if classes is None else read_class_list(Path(classes)))
    numbered = _class_numbers(known, listed)
    with store.adding_many(split):
        ready = []
        for kind, model, file in files:
            outputs, class_names = in_class_order(found[model], listed, f"{model} ({Path(file).name})")
            card = replace_fields(cards[model], kind=kind, class_names=class_names, origin=_origin(file))
            ids, places = pair(known, found[model].unit_ids, len(outputs), model, by_position=by_position)
            outputs = prepared(outputs, numbered[places], kind, f"{model} in {split}", dtype)
            store.check(card, split, Rows(ids, outputs), numbered[places], dtype)
            ready.append((card, ids, numbered[places], outputs))
            grouped = {name: [values[place] for place in places.tolist()] for name, values in known.groups.items()}
        _same_classes({card.model: outputs.shape[1] for card, _, _, outputs in ready})
        _distinct_replicas([card for card, *_ in ready])
        done = {
            card.model: store.add(
                card, split, labels=values, outputs=outputs, unit_ids=ids, dtype=dtype, replace=replace
            )
            for card, ids, values, outputs in ready
        }
    if known.groups:
        write_groups(store, split, ids, grouped)
    warn_of_numbering(store, split, names)
    return done


def class_order(
    store: LogitStore, split: str, labels: Labels, found: Mapping[str, Outputs], given: ClassList | None
) -> ClassList | None:
    """Which class is which number, for all models and splits of a store; None where columns go by number.

    In this order: the file that names the classes; what earlier models of the store agreed on; labels that are names
    (then classes are in the order of their names); headings that all models have in one order, which labels that are
    numbers count.
    """
    earlier = store.class_names(split)
    if given is not None:
        if earlier is not None and earlier != given.names:
            raise ContentError(
                f"the classes of this store are {_shown(earlier)} in this order, {option('classes')} says "
                f"{_shown(given.names)}; expected the same for every model and split"
            )
        return given
    tables = {model: outputs.columns for model, outputs in found.items() if outputs.columns is not None}
    named = {model: columns for model, columns in tables.items() if columns.order is None}
    words = labels.numbers is None
    if earlier is not None:
        return in_order(earlier)
    if not words and not named:
        return None
    if words:
        if unnamed := [model for model in found if model not in tables]:
            raise ContentError(
                f"{labels.file}: labels are names, such as {labels.texts[0]!r}, and the outputs of {unnamed[0]} have "
                f"no headings; say which class is which column with {option('classes', placeholder='FILE')}, or number "
                "the labels from 0"
            )
        first = next(iter(tables.values()))
        numbers_are_names = all(columns.order is not None for columns in tables.values())
        return in_order(
            [first.names[k] for k in first.order] if numbers_are_names and first.order else sorted(first.names)
        )
    orders = {columns.names for columns in named.values()}
    if len(orders) > 1:
        one, other = (next(m for m, columns in named.items() if columns.names == order) for order in sorted(orders)[:2])
        if {frozenset(order) for order in orders} == {frozenset(next(iter(orders)))}:
            raise ContentError(
                f"{one} and {other} have the same classes in different orders ({_shown(named[one].names)}; "
                f"{_shown(named[other].names)}), and the labels are numbers; say which class is which number with "
                f"{option('classes', placeholder='FILE')}, or give labels by name"
            )
    return in_order(next(iter(named.values())).names)


def in_class_order(
    outputs: Outputs, classes: ClassList | None, what: str
) -> tuple[NDArray[np.floating], tuple[str, ...] | None]:
    """Outputs [N, C] with column k for class k, and the names of the classes."""
    values, columns = outputs.values, outputs.columns
    if classes is None:
        return values, None
    if columns is not None and (columns.order is None or set(columns.names) <= set(classes.numbers)):
        places = place_columns(columns, classes, what)
        if columns.order is not None:  # the values are in the order of the headings' numbers already
            places = np.argsort(np.array(columns.order))[places]
        if not np.array_equal(places, np.arange(len(places))):
            values = values[:, places]
    if values.shape[1] != len(classes.names):
        raise ContentError(
            f"{what}: {counted(values.shape[1], 'class', 'classes')}, {len(classes.names)} are named "
            f"({_shown(classes.names)}); every model needs the same classes"
        )
    return values, classes.names


def _class_numbers(labels: Labels, classes: ClassList | None) -> NDArray[np.generic]:
    """Labels as class numbers; what is no number is left to the gate to refuse."""
    if labels.numbers is not None:
        return labels.numbers
    return labels.values if classes is None else number_labels(labels.texts, classes, str(labels.file))


def _shown(names: Sequence[str], most: int = 4) -> str:
    return ", ".join(names[:most]) + (", .." if len(names) > most else "")


def import_answers(
    store: LogitStore,
    split: str,
    answers: str | os.PathLike[str],
    *,
    labels: str | os.PathLike[str] | None = None,
    costs: str | os.PathLike[str] | None = None,
    by_position: bool = False,
    ignore_case: bool = False,
    replace: bool = False,
) -> dict[str, str]:
    """Import a long table of answers: unit_id, model, answer, confidence, then per-unit costs, and optionally score.

    score : graded quality in [0, 1] instead of answer == label. Labels come from --labels or from a label column. An
    answer is right if it is its label by the rule of tasks/text.py; an empty one never is.
    """
    table = read_table(answers, text=("unit_id", "model", "answer", "label"), blank=("answer", "label"))
    for name in ("unit_id", "model", "answer", "confidence"):
        named_column(table, name, answers)
    table["unit_id"] = unit_ids(table, answers)
    order = list(dict.fromkeys(table["unit_id"]))
    truth, grouped = _labels_of_answers(table, order, answers, labels, by_position=by_position)
    cost_columns = [name for name in table.columns if name not in ANSWER_COLUMNS]
    for name in cost_columns:
        if means_something_else(name):
            shown = f"column {name!r} is no cost" if name else "a column has no heading"
            raise ContentError(
                f"{answers}: {shown}; expected {', '.join(ANSWER_COLUMNS)} and costs of a unit (usd, tokens); leave it "
                f"out"
            )
    models = list(dict.fromkeys(table["model"]))
    if "" in models:
        raise ContentError(f"{answers}: model is empty in row {table['model'].tolist().index('')}; expected a name")
    cards = read_cards(costs, models) if costs else {m: ModelCard(m) for m in models}
    if not cost_columns and not costs:
        raise CostError(
            f"{answers}: no cost column, and no {option('costs')}; committees cannot be compared without a cost"
        )
    with store.adding_many(split):
        ready = []
        places = table.groupby("model", sort=False).indices
        for model in models:
            mine = table.iloc[places[model]]
            card = replace_fields(cards[model], kind="answers", origin=_origin(answers))
            ids = mine["unit_id"].tolist()
            rows = Rows(
                ids,
                answers=[comparable(text, ignore_case=ignore_case) for text in mine["answer"]],
                quality=numbers(mine["score"], f"{answers}: score of {model}").astype(np.float32)
                if "score" in mine
                else None,
                scores={
                    "confidence": numbers(mine["confidence"], f"{answers}: confidence of {model}").astype(np.float32)
                },
                unit_costs={name: numbers(mine[name], f"{answers}: {name} of {model}") for name in cost_columns},
            )
            known = [comparable(truth[unit], ignore_case=ignore_case) for unit in ids]
            store.check(card, split, rows, known, "float32")
            ready.append((card, known, rows))
        sizes = {card.model: set(rows.unit_ids) for card, _, rows in ready}
        first = models[0]
        for model, units in sizes.items():
            if units != sizes[first]:
                odd = sorted(units ^ sizes[first])[0]
                raise AlignmentError(
                    f"{answers}: unit {odd!r} is answered by only one of {first} and {model}; every model needs "
                    f"every unit"
                )
        _distinct_replicas([card for card, *_ in ready])
        done = {
            card.model: store.add(
                card,
                split,
                labels=known,
                unit_ids=rows.unit_ids,
                answers=rows.answers,
                quality=rows.quality,
                scores=rows.scores,
                unit_costs=rows.unit_costs,
                replace=replace,
            )
            for card, known, rows in ready
        }
    if grouped:
        write_groups(store, split, list(truth), grouped)
    warn_of_numbering(store, split, models)
    return done


def _labels_of_answers(
    table: pd.DataFrame,
    units: list[str],
    answers: str | os.PathLike[str],
    labels: str | os.PathLike[str] | None,
    *,
    by_position: bool,
) -> tuple[dict[str, str], dict[str, list[str]]]:
    """{unit id: label} of every unit that is answered, and the columns that group them, in the same order."""
    if labels is not None:
        known = read_labels(labels)
        texts = known.texts
        ids, places = pair(known, units, len(units), str(answers), by_position=by_position)
        truth = {unit: texts[place] for unit, place in zip(ids, places.tolist(), strict=True)}
        return truth, {name: [values[place] for place in places.tolist()] for name, values in known.groups.items()}
    if "label" not in table.columns:
        if "score" in table.columns:
            return dict.fromkeys(units, ""), {}
        raise UsageError(f"{answers}: no label column; give the true answers with {option('labels')}")
    truth = {}
    for unit, label in zip(table["unit_id"], map(comparable, table["label"]), strict=True):
        if truth.setdefault(unit, label) != label:
            raise ContentError(f"{answers}: unit {unit!r} has two labels, {truth[unit]!r} and {label!r}; expected one")
    blank = [unit for unit, label in truth.items() if is_missing(label)]
    if blank and "score" not in table.columns:
        raise ContentError(
            f"{answers}: {counted(len(blank), 'unit')} without a label, such as {blank[0]!r}; expected a label for "
            f"each; leave these units out"
        )
    return truth, {}


def _origin(file: str | os.PathLike[str]) -> str:
    return f"imported from {Path(file).name}"


def read_cards(costs: str | os.PathLike[str], models: Sequence[str]) -> dict[str, ModelCard]:
    """Cards of these models from models.csv; rows of other models are ignored.

    Columns: model, flops, and optionally architecture, replica, params, training_cost, blocks ('id:flops;id:flops') and
    any further numeric column as a cost of that name (latency_ms, usd).
    """
    table = read_table(costs)
    listed = named_column(table, "model", costs).astype(str).str.strip()
    if table.columns.tolist() == ["model"]:
        raise CostError(f"{costs}: no cost column beside model; expected flops, latency_ms or usd")
    cards = {}
    rows_of = {str(name): [int(row) for row in rows] for name, rows in listed.groupby(listed).indices.items()}
    for model in models:
        rows: list[int] = rows_of.get(model, [])
        if len(rows) != 1:
            if len(rows):
                raise CostError(f"{costs}: {counted(len(rows), 'row')} for {model}; expected one")
            raise AbsentNameError(f"model (it has no row in {costs})", model, listed)
        row = table.iloc[rows[0]]
        cards[model] = _card(model, {str(k): str(v).strip() for k, v in row.items() if str(v).strip()}, costs)
    return cards


def _card(model: str, row: Mapping[str, str], costs: str | os.PathLike[str]) -> ModelCard:
    what = f"{costs}: {model}"
    architecture, replica = split_model_name(model)
    blocks: dict[str, int | float] = {}
    if "flops" in row:
        blocks = {model: _cost(row["flops"], f"{what}: flops")}
    if "blocks" in row:
        named = _blocks(row["blocks"], what)
        if blocks and abs(sum(named.values()) - blocks[model]) > 1e-6 * blocks[model]:
            raise CostError(f"{what}: blocks add up to {sum(named.values()):g}, flops say {blocks[model]:g}")
        blocks = named
    further: dict[str, int | float] = {}
    for name, text in row.items():
        if name in DESCRIPTIONS or name == "flops":
            continue
        if name in ("latency_ms", "usd"):
            further[name] = _cost(text, f"{what}: {name}", free=True)
        elif not means_something_else(name) and (number := _number(text)) is not None and number >= 0:
            further[name] = number
    if not blocks and not further:
        raise CostError(f"{what}: no cost; fill its flops (or latency_ms, usd)")
    training = _cost(row["training_cost"], f"{what}: training_cost", free=True) if "training_cost" in row else None
    return ModelCard(
        model,
        row.get("architecture", architecture),
        _whole(row["replica"], f"{what}: replica") if "replica" in row else replica,
        blocks=blocks,
        costs=further,
        params=_whole(row["params"], f"{what}: params", rounded=True) if "params" in row else None,
        training_cost=training,
        group=row.get("group"),
        replica_given="architecture" in row or "replica" in row,
    )


def _blocks(text: str, what: str) -> dict[str, int | float]:
    try:
        pairs = parse_json(text).items() if text.startswith("{") else [p.rsplit(":", 1) for p in text.split(";") if p]
        return {str(block).strip(): _cost(str(value), f"{what}: block {block!r}") for block, value in pairs}
    except (ValueError, AttributeError, TypeError) as error:
        if isinstance(error, UsageError):
            raise
        raise CostError(f"{what}: blocks {text[:100]!r}; expected 'trunk:1000000;head:2000'") from error


def _whole(text: str, what: str, *, rounded: bool = False) -> int:
    number = _number(text)
    if number is None or not 0 <= number < MAX_COUNT or (number != int(number) and not rounded):
        raise StoreError(f"{what} {text[:60]!r}; expected a whole number from 0")
    return int(number)


def _number(text: str) -> int | float | None:
    if THOUSANDS.match(text):
        text = text.replace(",", "")
    try:
        value = float(text)
    except ValueError:
        return None
    if not np.isfinite(value):
        return value
    return int(value) if value.is_integer() else value


def _cost(text: str, what: str, *, free: bool = False) -> int | float:
    value = _number(text)
    check_cost(text if value is None else value, what, free=free)
    assert value is not None
    return value


def _same_classes(classes: Mapping[str, int]) -> None:
    if len(set(classes.values())) > 1:
        listed = ", ".join(f"{model} {count}" for model, count in classes.items())
        raise ContentError(f"different numbers of classes: {listed}; the models of a split answer the same question")


def _distinct_replicas(cards: Sequence[ModelCard]) -> None:
    if found := same_replica(cards):
        first, second, architecture, replica = found
        raise StoreError(
            f"{second} and {first} are both architecture {architecture!r} replica {replica}; "
            f"number the replicas in the cost file"
        )


def warn_of_numbering(store: LogitStore, split: str, models: Collection[str]) -> None:
    """Say which of these models have numbers in their names that do not make them replicas."""
    for note in numbering_notes(store.cards(split), models):
        warnings.warn(note, stacklevel=3)

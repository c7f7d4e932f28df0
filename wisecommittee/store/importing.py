"""Cached outputs from elsewhere -> store: arrays, tables of costs, long tables of answers. Nothing is ever unpickled.

Everything is read and checked before anything is written.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.cards import ModelCard, check_cost, split_model_name
from wisecommittee.errors import (
    AbsentNameError,
    AlignmentError,
    ContentError,
    CostError,
    StoreError,
    UsageError,
    counted,
    first_line,
)
from wisecommittee.store.arrays import Npz, load_npy
from wisecommittee.store.footer import check_footer
from wisecommittee.store.logit_store import LogitStore
from wisecommittee.store.parts import Rows

if TYPE_CHECKING:
    import pandas as pd

THOUSANDS = re.compile(r"^\d{1,3}(,\d{3})+(\.\d+)?$")
DESCRIPTIONS = ("model", "architecture", "replica", "params", "input_size", "training_cost", "group", "blocks")
ANSWER_COLUMNS = ("unit_id", "model", "answer", "confidence", "score", "label")


@dataclass(frozen=True, slots=True)
class Labels:
    """labels [N] and the unit ids that came with them, None if they are just positions."""

    values: NDArray[np.generic]
    unit_ids: list[str] | None


def import_outputs(
    store: LogitStore,
    split: str,
    files: Sequence[tuple[str, str, str | os.PathLike[str]]],
    *,
    labels: str | os.PathLike[str],
    costs: str | os.PathLike[str],
    dtype: str = "float32",
    replace: bool = False,
) -> dict[str, str]:
    """Import arrays of logits or probabilities; returns {model: 'added' | 'unchanged' | 'card updated' | 'replaced'}.

    files : (kind, model, file) with kind 'logits' or 'probabilities'; .npy or .npz [N, C], or .csv or .parquet with
    unit_id and one column per class. labels : .npy [N], or .csv or .parquet with unit_id, label. costs : models.csv.
    """
    names = [model for _, model, _ in files]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"{', '.join(twice)} is given more than once")
    known = read_labels(labels)
    cards = read_cards(costs, names)
    ready = []
    for kind, model, file in files:
        card = replace_kind(cards[model], kind, file)
        outputs, unit_ids = read_outputs(file)
        ids, values = _line_up(known, unit_ids, len(outputs), model)
        store.check(card, split, Rows(ids, outputs), values, dtype)
        ready.append((card, ids, values, outputs))
    _same_classes({card.model: outputs.shape[1] for card, _, _, outputs in ready})
    _distinct_replicas([card for card, *_ in ready])
    return {
        card.model: store.add(card, split, labels=values, outputs=outputs, unit_ids=ids, dtype=dtype, replace=replace)
        for card, ids, values, outputs in ready
    }


def import_answers(
    store: LogitStore,
    split: str,
    answers: str | os.PathLike[str],
    *,
    labels: str | os.PathLike[str] | None = None,
    costs: str | os.PathLike[str] | None = None,
    replace: bool = False,
) -> dict[str, str]:
    """Import a long table of answers: unit_id, model, answer, confidence, then per-unit costs, and optionally score.

    score : graded quality in [0, 1] instead of answer == label. Labels come from --labels or from a label column.
    """
    table = read_table(answers, text=("unit_id", "model", "answer", "label"))
    for name in ("unit_id", "model", "answer", "confidence"):
        named_column(table, name, answers)
    unit_order = list(dict.fromkeys(table["unit_id"]))
    truth = _labels_of_answers(table, unit_order, answers, labels)
    cost_columns = [name for name in table.columns if name not in ANSWER_COLUMNS]
    models = list(dict.fromkeys(table["model"]))
    cards = read_cards(costs, models) if costs else {m: ModelCard(m) for m in models}
    if not cost_columns and not costs:
        raise CostError(f"{answers}: no cost column, and no --costs; committees cannot be compared without a cost")
    ready = []
    for model in models:
        mine = table[table["model"] == model]
        card = replace_kind(cards[model], "answers", answers)
        ids = mine["unit_id"].tolist()
        values = truth.reindex(ids)
        if values.isna().any():
            raise AlignmentError(f"{model}: unit {ids[int(np.flatnonzero(values.isna())[0])]!r} has no label")
        rows = Rows(
            ids,
            answers=_as_text(mine["answer"], truth.dtype.kind in "iu"),
            quality=_numbers(mine["score"], f"{answers}: score of {model}").astype(np.float32)
            if "score" in mine
            else None,
            scores={"confidence": _numbers(mine["confidence"], f"{answers}: confidence of {model}").astype(np.float32)},
            unit_costs={name: _numbers(mine[name], f"{answers}: {name} of {model}") for name in cost_columns},
        )
        store.check(card, split, rows, values.to_numpy(), "float32")
        ready.append((card, values.to_numpy(), rows))
    sizes = {card.model: set(rows.unit_ids) for card, _, rows in ready}
    first = models[0]
    for model, units in sizes.items():
        if units != sizes[first]:
            odd = sorted(units ^ sizes[first])[0]
            raise AlignmentError(
                f"{answers}: unit {odd!r} is answered by only one of {first} and {model}; every model needs every unit"
            )
    _distinct_replicas([card for card, *_ in ready])
    return {
        card.model: store.add(
            card,
            split,
            labels=values,
            unit_ids=rows.unit_ids,
            answers=rows.answers,
            quality=rows.quality,
            scores=rows.scores,
            unit_costs=rows.unit_costs,
            replace=replace,
        )
        for card, values, rows in ready
    }


def _labels_of_answers(
    table: pd.DataFrame, units: list[str], answers: str | os.PathLike[str], labels: str | os.PathLike[str] | None
) -> pd.Series:
    """Label of every unit id."""
    import pandas as pd

    if labels is not None:
        known = read_labels(labels)
        if known.unit_ids is not None:
            return pd.Series(known.values, index=known.unit_ids)
        if len(known.values) != len(units):
            labelled = counted(len(known.values), "label")
            raise AlignmentError(f"{labels}: {labelled} for {counted(len(units), 'unit')} of {answers}")
        numbered = [str(i) for i in range(len(units))]
        return pd.Series(known.values, index=numbered if set(numbered) == set(units) else units)
    if "label" not in table.columns:
        if "score" in table.columns:
            return pd.Series([""] * len(units), index=units)
        raise UsageError(f"{answers}: no label column; give the true answers with --labels")
    pairs = table[["unit_id", "label"]].drop_duplicates()
    if pairs["unit_id"].duplicated().any():
        unit = pairs["unit_id"][pairs["unit_id"].duplicated()].iloc[0]
        raise ContentError(f"{answers}: unit {unit!r} has two labels")
    return pairs.set_index("unit_id")["label"]


def _as_text(column: pd.Series, integral: bool) -> list[str]:
    """Answers as text; '3.0' is '3' where labels are whole numbers."""
    text = [str(value).strip() for value in column]
    if not integral:
        return text
    return [value.removesuffix(".0") if re.fullmatch(r"-?\d+\.0", value) else value for value in text]


def read_labels(file: str | os.PathLike[str]) -> Labels:
    path = Path(file)
    if path.suffix == ".npy":
        return Labels(load_npy(path), None)
    table = read_table(path, text=("unit_id",))
    values = named_column(table, "label", path)
    text = values.astype(str).str.strip()
    numbers = text.str.fullmatch(r"-?\d+(\.0+)?")
    labels = (
        text.str.replace(r"\.0+$", "", regex=True).astype(np.int64).to_numpy() if numbers.all() else text.to_numpy(str)
    )
    return Labels(labels, named_column(table, "unit_id", path).tolist() if "unit_id" in table.columns else None)


def read_outputs(file: str | os.PathLike[str]) -> tuple[NDArray[np.floating], list[str] | None]:
    """Outputs floating [N, C] (memory-mapped from .npy) and unit ids where the file has them."""
    path = Path(file)
    unit_ids: list[str] | None = None
    if path.suffix == ".npy":
        outputs = load_npy(path)
    elif path.suffix == ".npz":
        with Npz(path) as archive:
            names = [n for n in archive.names if n not in ("unit_id", "unit_ids")]
            if len(names) != 1:
                raise StoreError(
                    f"{path}: arrays {', '.join(archive.names)[:200]}; expected outputs and, optionally, unit_id"
                )
            outputs = archive[names[0]]
            if ids := [n for n in archive.names if n in ("unit_id", "unit_ids")]:
                unit_ids = [str(u) for u in archive[ids[0]].tolist()]
    else:
        table = read_table(path, text=("unit_id",))
        if "unit_id" in table.columns:
            unit_ids = table.pop("unit_id").tolist()
        if list(table.columns) == ["outputs"]:
            lengths = {len(row) for row in table["outputs"]}
            if len(lengths) != 1:
                raise ContentError(
                    f"{path}: rows of {sorted(lengths)} outputs; expected the same number of classes in each"
                )
            outputs = np.stack(table["outputs"].to_list())
        else:
            outputs = np.column_stack([_numbers(table[name], f"{path}: {name}") for name in table.columns])
    if outputs.dtype.kind in "iu":
        outputs = outputs.astype(np.float32)
    if outputs.dtype.kind != "f" or outputs.ndim != 2:
        raise ContentError(
            f"{path}: {outputs.dtype} array of shape {list(outputs.shape)}; expected numbers [units, classes]"
        )
    return outputs, unit_ids


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
    for model in models:
        rows = table[listed == model]
        if len(rows) != 1:
            if len(rows):
                raise CostError(f"{costs}: {counted(len(rows), 'row')} for {model}; expected one")
            raise AbsentNameError(f"model (it has no row in {costs})", model, listed)
        cards[model] = _card(model, {str(k): str(v).strip() for k, v in rows.iloc[0].items() if str(v).strip()}, costs)
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
            further[name] = _cost(text, f"{what}: {name}")
        elif (number := _number(text)) is not None and number > 0:
            further[name] = number
    if not blocks and not further:
        raise CostError(f"{what}: no cost; fill its flops (or latency_ms, usd)")
    params = _number(row["params"]) if "params" in row else None
    training = _number(row["training_cost"]) if "training_cost" in row else None
    number = _number(row["replica"]) if "replica" in row else replica
    if number is None or number != int(number) or number < 0:
        raise StoreError(f"{what}: replica {row.get('replica')!r}; expected a whole number from 0")
    return ModelCard(
        model,
        row.get("architecture", architecture),
        int(number),
        blocks=blocks,
        costs=further,
        params=None if params is None else int(params),
        training_cost=training,
        group=row.get("group"),
    )


def _blocks(text: str, what: str) -> dict[str, int | float]:
    try:
        pairs = json.loads(text).items() if text.startswith("{") else [p.rsplit(":", 1) for p in text.split(";") if p]
        return {str(block).strip(): _cost(str(value), f"{what}: block {block!r}") for block, value in pairs}
    except (ValueError, AttributeError, TypeError) as error:
        if isinstance(error, UsageError):
            raise
        raise CostError(f"{what}: blocks {text!r}; expected 'trunk:1000000;head:2000'") from error


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


def _cost(text: str, what: str) -> int | float:
    value = _number(text)
    if value is None:
        raise CostError(f"{what} is {text!r}; expected a number above 0")
    check_cost(value, what)
    return value


def replace_kind(card: ModelCard, kind: str, file: str | os.PathLike[str]) -> ModelCard:
    return replace(card, kind=kind, origin=f"imported from {Path(file).name}")


def _line_up(
    labels: Labels, unit_ids: list[str] | None, rows: int, model: str
) -> tuple[list[str], NDArray[np.generic]]:
    """Unit ids and labels of a model's rows, by id where both sides have ids, else by position."""
    n = len(labels.values)
    if unit_ids is None:
        if rows != n:
            raise AlignmentError(f"{model}: {rows:,} rows and {n:,} labels; expected one label for each row")
        numbered = [str(i) for i in range(n)]
        if labels.unit_ids is None:
            return numbered, labels.values
        # Rows without ids are units 0..n-1; labels that name other ids are paired by position.
        if set(labels.unit_ids) != set(numbered):
            return labels.unit_ids, labels.values
        unit_ids = numbered
    known = [str(i) for i in range(n)] if labels.unit_ids is None else labels.unit_ids
    places = {unit: i for i, unit in enumerate(known)}
    if len(places) != len(known):
        raise AlignmentError("labels: a unit id stands more than once; every unit needs one label")
    missing = [unit for unit in unit_ids if unit not in places]
    if missing:
        raise AlignmentError(f"{model}: unit {missing[0]!r} and {len(missing) - 1:,} more have no label")
    if len(unit_ids) < n:
        lost = next(unit for unit in known if unit not in set(unit_ids))
        rows_there = counted(len(unit_ids), "row")
        raise AlignmentError(f"{model}: {rows_there} for {counted(n, 'label')}; unit {lost!r} is missing")
    return unit_ids, labels.values[[places[unit] for unit in unit_ids]]


def _same_classes(classes: Mapping[str, int]) -> None:
    if len(set(classes.values())) > 1:
        listed = ", ".join(f"{model} {count}" for model, count in classes.items())
        raise ContentError(f"different numbers of classes: {listed}; the models of a split answer the same question")


def _distinct_replicas(cards: Sequence[ModelCard]) -> None:
    seen: dict[tuple[str, int], str] = {}
    for card in cards:
        other = seen.setdefault((card.architecture, card.replica), card.model)
        if other != card.model:
            raise StoreError(
                f"{card.model} and {other} are both architecture {card.architecture!r} replica {card.replica}; "
                f"number the replicas in the cost file"
            )


def read_table(file: str | os.PathLike[str], text: tuple[str, ...] = ()) -> pd.DataFrame:
    """A csv (all cells as text) or Parquet table; columns in `text` always as text."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(file)
    if not path.is_file():
        raise StoreError(f"{path}: no such file")
    try:
        if path.suffix == ".parquet":
            with path.open("rb") as source:
                check_footer(source)
            table = pq.read_table(path, use_threads=False).to_pandas(use_threads=False)
            for name in set(text) & set(table.columns):
                column = table[name]
                if column.isna().any():
                    raise ContentError(f"{path}: column {name} has {int(column.isna().sum())} empty values")
                whole = column.dtype.kind == "f" and (column == column.round()).all()
                table[name] = (column.astype(np.int64) if whole else column).astype(str)
        elif path.suffix == ".csv":
            table = pd.read_csv(path, dtype=str, keep_default_na=False, skipinitialspace=True, encoding="utf-8-sig")
        else:
            raise UsageError(f"{path}: a {path.suffix or 'nameless'} file; expected .npy, .npz, .csv or .parquet")
    except (pa.ArrowException, UnicodeDecodeError, OSError, ValueError) as error:
        if isinstance(error, UsageError):
            raise
        raise StoreError(f"{path}: not a readable table ({first_line(error)})") from error
    table.columns = [str(name).strip() for name in table.columns]
    if table.columns.duplicated().any():
        raise StoreError(f"{path}: column {table.columns[table.columns.duplicated()][0]!r} stands twice")
    if table.empty:
        raise StoreError(f"{path}: no rows")
    return table


def named_column(table: pd.DataFrame, name: str, file: str | os.PathLike[str]) -> pd.Series:
    if name not in table.columns:
        raise StoreError(f"{file}: no column {name!r}; columns: {', '.join(map(str, table.columns[:12]))}")
    return table[name]


def _numbers(column: pd.Series, what: str) -> NDArray[np.float64]:
    import pandas as pd

    try:
        return pd.to_numeric(column).to_numpy(np.float64)
    except (ValueError, TypeError) as error:
        raise ContentError(f"{what}: {first_line(error)}; expected numbers") from error

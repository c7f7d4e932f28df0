"""models.csv: one row per model, with its costs and other facts -> cards."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from wisecommittee.committees.cards import MAX_COUNT, ModelCard
from wisecommittee.committees.fields import check_cost
from wisecommittee.committees.model_names import split_model_name
from wisecommittee.errors import AbsentNameError, CostError, StoreError, UsageError, counted
from wisecommittee.reading import parse_json
from wisecommittee.store.imports.prices import PRICES, Prices, prices_in
from wisecommittee.store.readers.classes import means_something_else
from wisecommittee.store.readers.frames import named_column, read_table

THOUSANDS = re.compile(r"^\d{1,3}(,\d{3})+(\.\d+)?$")
DESCRIPTIONS = ("model", "architecture", "replica", "params", "input_size", "training_cost", "group", "blocks")


def read_cards(costs: str | os.PathLike[str], models: Sequence[str]) -> dict[str, ModelCard]:
    """Cards of these models from models.csv; rows of other models are ignored.

    Columns: model, flops, and optionally architecture, replica, params, training_cost, blocks ('id:flops;id:flops') and
    any further numeric column as a cost of that name (latency_ms, usd).
    """
    cards = {}
    for model, row in _rows(costs, dict(zip(models, models, strict=True))):
        if column := next((name for name in row if name in PRICES), None):
            raise CostError(
                f"{costs}: {model}: {column} is a price of tokens, which only tables of answers and logs have for each "
                f"unit; give flops, usd or latency_ms"
            )
        cards[model] = _card(model, row, f"{costs}: {model}")
    return cards


def read_priced_cards(
    costs: str | os.PathLike[str], models: Mapping[str, str]
) -> tuple[dict[str, ModelCard], dict[str, Prices]]:
    """As `read_cards`, where columns may also be the prices per token in PRICES: ({model: card}, {model: its prices}).

    models : {model: name of its row, if no row has the name of the model itself}. A model that has neither prices nor
    other costs is a CostError.
    """
    cards, prices = {}, {}
    for model, row in _rows(costs, models):
        what = f"{costs}: {model}"
        priced = {
            name: float(_cost(text, f"{what}: {name}", free=True)) for name, text in row.items() if name in PRICES
        }
        cards[model] = _card(
            model, {name: text for name, text in row.items() if name not in PRICES}, what, bool(priced)
        )
        if (found := prices_in(priced, what)) is not None:
            prices[model] = found
            if "usd" in cards[model].costs:
                raise CostError(f"{what}: usd, and prices per token; leave one out")
    return cards, prices


def _rows(costs: str | os.PathLike[str], models: Mapping[str, str]) -> Iterator[tuple[str, dict[str, str]]]:
    """(model, {column: text of each filled cell}) for each of these models."""
    table = read_table(costs)
    listed = named_column(table, "model", costs).astype(str).str.strip()
    if table.columns.tolist() == ["model"]:
        raise CostError(f"{costs}: no cost column beside model; expected flops, latency_ms or usd")
    rows_of = {str(name): [int(row) for row in rows] for name, rows in listed.groupby(listed).indices.items()}
    for model, other in models.items():
        rows: list[int] = rows_of.get(model) or rows_of.get(other, [])
        if len(rows) != 1:
            if len(rows):
                raise CostError(f"{costs}: {counted(len(rows), 'row')} for {model}; expected one")
            raise AbsentNameError(f"model (it has no row in {costs})", model, listed)
        row = table.iloc[rows[0]]
        yield model, {str(k): str(v).strip() for k, v in row.items() if str(v).strip()}


def _card(model: str, row: Mapping[str, str], what: str, is_priced: bool = False) -> ModelCard:
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
    if not blocks and not further and not is_priced:
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

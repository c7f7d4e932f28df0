"""A long table of answers, one row for each unit and model -> store. All is checked before anything is written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace as with_fields
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from wisecommittee.committees.cards import ModelCard
from wisecommittee.errors import AlignmentError, ContentError, CostError, UsageError, counted, option
from wisecommittee.store import checks
from wisecommittee.store.feature_table import FeatureTable
from wisecommittee.store.features import table_of
from wisecommittee.store.groups import write_groups
from wisecommittee.store.imports.models_csv import read_cards
from wisecommittee.store.imports.putting import origin, put_together, warn_of_numbering
from wisecommittee.store.incoming import CheckedModel
from wisecommittee.store.logit_store import LogitStore
from wisecommittee.store.readers.classes import means_something_else
from wisecommittee.store.readers.frames import named_column, numbers, read_table, unit_ids
from wisecommittee.store.readers.labels import pair, read_labels
from wisecommittee.store.rows import ModelRows
from wisecommittee.tasks.text import comparable, is_missing

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("unit_id", "model", "answer", "confidence", "score", "label")
# Headings that other programs give a confidence: taken for a cost, they would be charged.
LIKE_CONFIDENCE = frozenset("certainty conf likelihood logprob p prob proba probability".split())  # noqa: SIM905


@dataclass(frozen=True, slots=True)
class _Table:
    """The table of answers. file : as messages name it; costs : headings of its columns of per-unit costs."""

    file: str
    frame: pd.DataFrame
    costs: tuple[str, ...]
    ignore_case: bool

    @property
    def models(self) -> list[str]:
        return list(dict.fromkeys(self.frame["model"]))

    @property
    def units(self) -> list[str]:
        return list(dict.fromkeys(self.frame["unit_id"]))

    def rows(self, frame: pd.DataFrame, model: str) -> ModelRows:
        """The rows of one model, which are `frame`."""

        def column(name: str) -> np.ndarray:
            return numbers(frame[name], f"{self.file}: {name} of {model}")

        return ModelRows(
            frame["unit_id"].tolist(),
            answers=[comparable(text, ignore_case=self.ignore_case) for text in frame["answer"]],
            quality=column("score").astype(np.float32) if "score" in frame else None,
            scores={"confidence": column("confidence").astype(np.float32)} if "confidence" in frame else {},
            unit_costs={name: column(name) for name in self.costs},
        )


def import_answers(
    store: LogitStore,
    split: str,
    answers: str | os.PathLike[str],
    *,
    labels: str | os.PathLike[str] | None = None,
    costs: str | os.PathLike[str] | None = None,
    by_position: bool = False,
    ignore_case: bool = False,
    unlabelled: bool = False,
    replace: bool = False,
    features: str | os.PathLike[str] | FeatureTable | None = None,
) -> dict[str, str]:
    """Import a table of answers of several models.

    Parameters
    ----------
    store : LogitStore
    split : str
        The split to write to.
    answers : path
        A .csv or .parquet table with columns unit_id, model and answer, then per-unit costs (usd, tokens), and
        optionally confidence, which policies such as thresholds compare, and score: graded quality in [0, 1] instead
        of answer == label.
    labels : path, optional
        True answers, in the formats of `import_outputs`; by default the column label of `answers`. An answer is right
        if it equals its label by the rule of tasks/text.py; an empty answer is never right.
    costs : path, optional
        models.csv (models_csv.py); not needed if the table has per-unit costs.
    by_position : bool
        Pair units and labels in order although only one of the two files has unit ids.
    ignore_case : bool
        Take 'Yes' and 'yes' for the same answer.
    unlabelled : bool
        The split has no labels; `monitor` and `retune` take it. Graded answers need none in any case.
    replace : bool
        Replace models and features that have other content in the store.
    features : path, optional
        Columns of the units that are known before any model runs, as of `import_features`.

    Returns
    -------
    {model: str}
        'added', 'unchanged', 'card updated' or 'replaced'.

    Raises
    ------
    WiseCommitteeError
        Its subclasses are in errors.py. The message names the file, the row and the remedy; then nothing was written.
    """
    frame = read_table(answers, text=("unit_id", "model", "answer", "label"), blank=("answer", "label"))
    for name in ("unit_id", "model", "answer"):
        named_column(frame, name, answers)
    frame["unit_id"] = unit_ids(frame, answers)
    table = _Table(str(answers), frame, tuple(str(name) for name in frame if name not in COLUMNS), ignore_case)
    unlabelled = unlabelled and "score" not in frame
    truth: dict[str, str] = {}
    groups: dict[str, list[str]] = {}
    if not unlabelled:
        truth, groups = _labels_of_answers(frame, table.units, answers, labels, by_position=by_position)
    _check_headings(table)
    cards = read_cards(costs, table.models) if costs else {model: ModelCard(model) for model in table.models}
    if not table.costs and not costs:
        raise CostError(
            f"{answers}: no cost column, and no {option('costs')}; committees cannot be compared without a cost"
        )
    with store.adding_many(split):
        ready = []
        rows_of = frame.groupby("model", sort=False).indices
        for model in table.models:
            rows = table.rows(frame.iloc[rows_of[model]], model)
            card = with_fields(cards[model], kind="answers", origin=origin(answers))
            known: ArrayLike = np.full(len(rows), checks.NO_LABEL, np.int64)
            if not unlabelled:
                known = [comparable(truth[unit], ignore_case=ignore_case) for unit in rows.unit_ids]
            ready.append(store.checked(card, split, rows, known))
        _check_same_units(ready, table.file)
        done = put_together(store, split, lambda: ready, replace=replace, features=table_of(features))
    if groups:
        write_groups(store, split, list(truth), groups)
    warn_of_numbering(store, split, table.models)
    return done


def _check_headings(table: _Table) -> None:
    """Columns beside the known ones are costs, and every row names its model."""
    for name in table.costs:
        if name.casefold() in LIKE_CONFIDENCE:
            raise ContentError(f"{table.file}: column {name!r}; name it confidence if it is one, else leave it out")
        if means_something_else(name):
            shown = f"column {name!r} is no cost" if name else "a column has no heading"
            raise ContentError(
                f"{table.file}: {shown}; expected {', '.join(COLUMNS)} and costs of a unit (usd, tokens); leave it out"
            )
    if "" in table.models:
        row = table.frame["model"].tolist().index("")
        raise ContentError(f"{table.file}: model is empty in row {row}; expected a name")


def _check_same_units(models: Sequence[CheckedModel], file: str) -> None:
    first, *others = models
    units = set(first.rows.unit_ids)
    for model in others:
        if odd := sorted(units.symmetric_difference(model.rows.unit_ids)):
            raise AlignmentError(
                f"{file}: unit {odd[0]!r} is answered by only one of {first.card.model} and {model.card.model}; every "
                f"model needs every unit"
            )


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
        ids, label_rows = pair(known, units, len(units), str(answers), by_position=by_position)
        truth = {unit: texts[row] for unit, row in zip(ids, label_rows.tolist(), strict=True)}
        return truth, known.groups_of(label_rows)
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

"""A long table of answers: its rows of each model, its labels, and the checks of its headings."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import ContentError, UsageError, counted, option
from wisecommittee.store.readers.classes import means_something_else
from wisecommittee.store.readers.frames import named_column, numbers, read_table, unit_ids
from wisecommittee.store.readers.labels import pair, read_labels
from wisecommittee.store.rows import ModelRows
from wisecommittee.store.token_scores import cell_scores
from wisecommittee.tasks.text import comparable, is_missing

if TYPE_CHECKING:
    import pandas as pd

TOKENS = "token_logprobs"  # lists of log-probabilities, which give confidences
COLUMNS = ("unit_id", "model", "answer", "confidence", "score", "label", TOKENS)
# Headings that other programs give a confidence: taken for a cost, they would be charged.
LIKE_CONFIDENCE = frozenset("certainty conf likelihood logprob p prob proba probability".split())  # noqa: SIM905


@dataclass(frozen=True, slots=True)
class AnswersTable:
    """The table of answers.

    Attributes
    ----------
    file : str
        As messages name it.
    frame : DataFrame
    costs : tuple of str
        Headings of its columns of per-unit costs.
    form : callable
        Brings answers to the text by which they are compared.
    """

    file: str
    frame: pd.DataFrame
    costs: tuple[str, ...]
    form: Callable[[str], str]

    @property
    def models(self) -> list[str]:
        return list(dict.fromkeys(self.frame["model"]))

    @property
    def units(self) -> list[str]:
        return list(dict.fromkeys(self.frame["unit_id"]))

    @property
    def graded(self) -> bool:
        return "score" in self.frame

    def each_model(self) -> Iterator[tuple[str, ModelRows]]:
        """(model, its rows), one model after the other."""
        rows_of = self.frame.groupby("model", sort=False).indices
        for model in self.models:
            yield model, self._rows(self.frame.iloc[rows_of[model]], model)

    def _rows(self, frame: pd.DataFrame, model: str) -> ModelRows:
        def column(name: str) -> NDArray[np.float64]:
            return numbers(frame[name], f"{self.file}: {name} of {model}")

        scores = {"confidence": column("confidence")} if "confidence" in frame else {}
        if TOKENS in frame:
            rows = frame.index.tolist()
            scores |= cell_scores(frame[TOKENS].tolist(), lambda at: f"{self.file}: {TOKENS} in row {rows[at]}")
        forms = {text: self.form(text) for text in frame["answer"].unique()}
        return ModelRows(
            frame["unit_id"].tolist(),
            answers=[forms[text] for text in frame["answer"].tolist()],
            quality=column("score").astype(np.float32) if self.graded else None,
            scores={name: values.astype(np.float32) for name, values in scores.items()},
            unit_costs={name: column(name) for name in self.costs},
        )


def read_answers(file: str | os.PathLike[str], form: Callable[[str], str]) -> AnswersTable:
    """A .csv or .parquet table with unit_id, model and answer."""
    frame = read_table(file, text=("unit_id", "model", "answer", "label"), blank=("answer", "label"))
    for name in ("unit_id", "model", "answer"):
        named_column(frame, name, file)
    frame["unit_id"] = unit_ids(frame, file)
    return AnswersTable(str(file), frame, tuple(str(name) for name in frame if name not in COLUMNS), form)


def check_headings(table: AnswersTable) -> None:
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


def labels_of_answers(
    table: AnswersTable,
    units: list[str],
    labels: str | os.PathLike[str] | None,
    *,
    by_position: bool,
) -> tuple[dict[str, str], dict[str, list[str]]]:
    """{unit id: label} of every unit that is answered, and the columns that group them, in the same order."""
    if labels is not None:
        known = read_labels(labels)
        texts = known.texts
        ids, label_rows = pair(known, units, len(units), table.file, by_position=by_position)
        truth = {unit: texts[row] for unit, row in zip(ids, label_rows.tolist(), strict=True)}
        return truth, known.groups_of(label_rows)
    if "label" not in table.frame:
        if table.graded:
            return dict.fromkeys(units, ""), {}
        raise UsageError(f"{table.file}: no label column; give the true answers with {option('labels')}")
    truth = {}
    for unit, label in zip(table.frame["unit_id"], map(comparable, table.frame["label"]), strict=True):
        if truth.setdefault(unit, label) != label:
            raise ContentError(
                f"{table.file}: unit {unit!r} has two labels, {truth[unit]!r} and {label!r}; expected one"
            )
    blank = [unit for unit, label in truth.items() if is_missing(label)]
    if blank and not table.graded:
        raise ContentError(
            f"{table.file}: {counted(len(blank), 'unit')} without a label, such as {blank[0]!r}; expected a label for "
            f"each; leave these units out"
        )
    return truth, {}

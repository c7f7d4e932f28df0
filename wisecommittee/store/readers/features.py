"""A table of features, one row for each unit, of another program."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import ContentError, StoreError, counted
from wisecommittee.store import checks
from wisecommittee.store.feature_table import FeatureTable
from wisecommittee.store.readers.frames import named_column, read_table, unit_ids

if TYPE_CHECKING:
    import pandas as pd

MOST_COLUMNS = 4096
MOST_CHARACTERS = 200  # of a category; longer text is no category
# Headings of values that are known only when a model has run, or not even then.
_LATER = frozenset(
    """
    label labels target targets truth ground_truth gt y y_true ytrue correct answer answers pred preds prediction
    predictions predicted y_pred yhat y_hat argmax loss nll output outputs
    """.split()  # noqa: SIM905
)


def read_feature_table(file: str | os.PathLike[str]) -> FeatureTable:
    """The features of a .csv or .parquet file with unit_id.

    A column of numbers is numbers, a column of text categories; in a .csv, a column is numbers if every cell is one.

    Raises
    ------
    AlignmentError, ContentError
        A unit stands twice, a value is missing, or a column cannot be a feature; the message names the remedy.
    """
    path = Path(file)
    frame = read_table(path, text=("unit_id",))
    named_column(frame, "unit_id", path)
    ids = unit_ids(frame, path) or []
    checks.check_unit_ids(ids, str(path))
    names = [str(name) for name in frame.columns if name != "unit_id"]
    if not 0 < len(names) <= MOST_COLUMNS:
        raise ContentError(
            f"{path}: {counted(len(names), 'column')} beside unit_id; expected 1 to {MOST_COLUMNS:,} features"
        )
    for name in names:
        if not name or name.casefold() in _LATER:
            shown = f"column {name!r}" if name else "a column without a heading"
            raise ContentError(f"{path}: {shown} is no feature, known before any model runs; leave it out or rename it")
    return FeatureTable(
        str(path),
        {unit: row for row, unit in enumerate(ids)},
        {name: _values(frame[name], name, path, ids) for name in names},
    )


def _values(column: pd.Series, name: str, path: Path, ids: list[str]) -> NDArray[np.generic]:
    """Numbers float64 [n], or categories as text [n]."""
    what = f"{path}: column {name!r}"
    if column.dtype.kind in "iufb":
        return _finite(column.to_numpy(np.float64), what, ids)
    cells = column.tolist()
    for row, cell in enumerate(cells):
        if cell is None or cell != cell or (isinstance(cell, str) and not cell.strip()):
            raise _missing(what, ids[row])
        if not isinstance(cell, str):
            raise ContentError(
                f"{what} holds {type(cell).__name__} {str(cell)[:40]!r} for unit {ids[row]!r}; expected numbers or text"
            )
    texts = [cell.strip() for cell in cells]
    if path.suffix == ".csv":
        parsed = {text: _number(text) for text in set(texts)}
        words = [row for row, text in enumerate(texts) if parsed[text] is None]
        if not words:
            return _finite(np.array([parsed[text] for text in texts], np.float64), what, ids)
        if len(words) < len(texts) / 2:
            raise ContentError(
                f"{what}: {texts[words[0]][:40]!r} for unit {ids[words[0]]!r} among numbers; write a number for each "
                f"unit, or a word for each if these are categories"
            )
    if (longest := max(texts, key=len)) and len(longest) > MOST_CHARACTERS:
        raise ContentError(
            f"{what}: text of {len(longest):,} characters; expected categories of {MOST_CHARACTERS} at most; give "
            f"numbers or categories made of the text instead"
        )
    return checks.text_array(texts, what)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _finite(values: NDArray[np.float64], what: str, ids: list[str]) -> NDArray[np.float64]:
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad) and np.isnan(values[bad[0]]):
        raise _missing(what, ids[bad[0]])
    if len(bad):
        raise ContentError(f"{what} is {values[bad[0]]} for unit {ids[bad[0]]!r}; expected finite numbers")
    return values


def _missing(what: str, unit: Any) -> StoreError:
    return ContentError(
        f"{what} is empty for unit {unit!r}; fill it, or write a category of its own, such as 'missing', for each unit "
        f"without a value"
    )

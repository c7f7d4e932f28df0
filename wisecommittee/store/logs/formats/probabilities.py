"""Wide tables of class probabilities, as `predict_proba` of scikit-learn's classifiers gives them.

One table with columns MODEL_proba_CLASS or MODEL|proba_CLASS, or one file for each model, named after it, with columns
proba_CLASS; and columns unit_id and label. Classes are matched by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from wisecommittee.errors import ContentError
from wisecommittee.store.logs.opening import files_of, first_files, plain_name
from wisecommittee.store.logs.records import LogFormat, LogOptions, Records
from wisecommittee.store.logs.tabular import TABLES, Block, blocks, headings, seen_headings
from wisecommittee.tasks.text import comparable

IDS = ("unit_id", "id")
LABELS = ("label", "y", "y_true", "target")
_COLUMN = re.compile(r"(?:(?P<model>.+?)[_|])?proba_(?P<name>.+)", re.DOTALL)

Columns = dict[str, dict[str, str]]  # {model: {class: heading}}; '' is the model of a file named after it


def _columns(names: Sequence[str]) -> Columns:
    found: Columns = {}
    for name in names:
        if (match := _COLUMN.fullmatch(name)) is not None:
            found.setdefault(match["model"] or "", {})[comparable(match["name"])] = name
    return found


def _in_order(classes: Sequence[str]) -> tuple[str, ...]:
    """Classes as scikit-learn orders them: numbers by value, texts by their characters."""
    numbered = all(name.lstrip("-").isdecimal() for name in classes)
    return tuple(sorted(classes, key=(lambda name: (int(name), name)) if numbered else None))


def matches(path: Path) -> bool:
    return any(_columns(seen_headings(file)) for file in first_files(path, *TABLES))


def read(path: Path, options: LogOptions) -> Iterator[Records]:
    """Records in blocks. A model whose cells of a row are all empty has no record of that unit."""
    options.only("probabilities")
    known: tuple[tuple[str, ...], str] | None = None
    for file in files_of(path, *TABLES):
        names = headings(file)
        columns = _columns(names)
        if not columns:
            raise ContentError(
                f"{file}: no column MODEL_proba_CLASS, MODEL|proba_CLASS or proba_CLASS; expected one for each class"
            )
        for model, of_class in columns.items():
            what = f"{file}: model {model!r}" if model else str(file)
            known = known or (_in_order(list(of_class)), what)
            if (odd := set(known[0]) ^ set(of_class)) or len(of_class) < 2:
                raise ContentError(
                    f"{what}: classes {', '.join(sorted(of_class))[:80]}; {known[1]} has {', '.join(known[0])[:80]}; "
                    f"expected the same two or more" + (f", without or with {min(odd)!r}" if odd else "")
                )
        unit = next((name for name in IDS if name in names), None)
        label = next((name for name in LABELS if name in names), None)
        assert known is not None
        first = 0
        for block in blocks(file):
            units = block.texts(unit) if unit else [str(first + row) for row in range(len(block))]
            first += len(block)
            labels = _labels(block, label, known[0])
            for model, of_class in columns.items():
                headed = [of_class[name] for name in known[0]]
                yield _records(model or plain_name(file).rpartition(".")[0], block, units, headed, labels, known[0])


def _labels(block: Block, heading: str | None, classes: tuple[str, ...]) -> list[str | None] | None:
    if heading is None:
        return None
    labels = [None if text is None else comparable(text) for text in block.texts(heading)]
    for row, text in enumerate(labels):
        if text is not None and text not in classes:
            raise ContentError(
                f"{block.where(row)}: {heading} {text[:40]!r}; expected one of the classes {', '.join(classes)[:80]}"
            )
    return labels


def _records(
    model: str,
    block: Block,
    units: Sequence[str | None],
    headed: Sequence[str],
    labels: Sequence[str | None] | None,
    classes: tuple[str, ...],
) -> Records:
    """headed : the headings of the columns of the classes, in their order."""
    outputs = np.stack([block.numbers(name, 0, 1) for name in headed], axis=1)
    empty = np.isnan(outputs)
    for row in range(len(block)) if None in units or empty.any() else ():
        if units[row] is None or (empty[row].any() and not empty[row].all()):
            wrong = "unit_id" if units[row] is None else headed[int(np.flatnonzero(empty[row])[0])]
            raise ContentError(f"{block.where(row)}: {wrong} is empty; expected a value in each column of the row")
    rows = np.flatnonzero(~empty.all(axis=1)).tolist()
    return Records(
        model,
        block.file,
        block.lines[rows],
        [str(units[row]) for row in rows],
        outputs=outputs[rows],
        kind="probabilities",
        class_names=classes,
        labels=None if labels is None else [labels[row] for row in rows],
    )


PROBABILITIES = LogFormat(
    "probabilities", "wide tables of class probabilities: MODEL_proba_CLASS, or proba_CLASS in MODEL.csv", matches, read
)

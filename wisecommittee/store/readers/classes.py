"""Which output column is which class: by the headings of a table, and by a file that names the classes."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import ContentError, counted, option
from wisecommittee.reading import parse_json, read_text
from wisecommittee.tasks.text import comparable

MAX_BYTES = 64 << 20  # most bytes of a file of class names
_NUMBER = re.compile(r"(?P<before>.*?)(?P<number>\d+)(?:\.0+)?(?P<after>[\])}]?)", re.DOTALL)
# Headings that other programs use for indices, labels or splits: read as classes, they would silently give nonsense.
_OTHER = frozenset(
    """
    id ids idx index row rowid row_id rownames row_names sample_id image_id item_id unit unitid uid uuid guid image file
    filename file_name path label labels target targets truth ground_truth gt y y_true ytrue class category pred preds
    prediction predictions predicted y_pred yhat y_hat argmax answer split fold folds set subset partition weight
    weights sample_weight correct loss nll confidence score entropy margin max_prob timestamp model
    """.split()  # noqa: SIM905
)
_POSITIVE = frozenset(
    "p prob proba probability positive pos y_prob y_score score logit output outputs".split()  # noqa: SIM905
)
# Headings that other programs give a confidence: taken for a cost, they would be charged.
_LIKE_CONFIDENCE = frozenset("certainty conf likelihood logprob p prob proba probability".split())  # noqa: SIM905


@dataclass(frozen=True, slots=True)
class ClassColumns:
    """The class columns of a table.

    names : their headings, in the order of the file. order : int [C] file column of class 0, 1, .., where the headings
    are numbers; None where they are words, and only other names can say which class is which number.
    """

    names: tuple[str, ...]
    order: tuple[int, ...] | None


def means_something_else(heading: str) -> bool:
    """Whether a heading stands for something that is neither a class nor a cost: an index, a label, a split."""
    return heading == "" or re.sub(r"[^a-z0-9]+", "_", heading.casefold()).strip("_") in _OTHER


def means_a_confidence(heading: str) -> bool:
    """Whether a heading that is no cost is likely that of a confidence."""
    return heading.casefold() in _LIKE_CONFIDENCE


def class_columns(headings: Sequence[str], what: str, known: frozenset[str] = frozenset()) -> ClassColumns:
    """The classes that these headings name; ContentError names those that mean something else.

    known : names that are certainly classes, as the labels hold them.
    """
    names = tuple(comparable(name) for name in headings)
    for name in names:
        if name not in known and means_something_else(name):
            shown = f"column {name!r} is no class" if name else "a column has no heading"
            raise ContentError(
                f"{what}: {shown}; expected unit_id and one column for each class; name it unit_id if it says which "
                f"unit a row is, else leave it out (pandas: index=False)"
            )
    if all(_is_number(name) for name in names) and not all(name.isdigit() for name in names):
        raise ContentError(
            f"{what}: its first row holds numbers ({', '.join(names[:3])}, ..); expected headings: unit_id and the "
            f"number or name of each class"
        )
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ContentError(f"{what}: two columns are named {twice!r}; expected a column for each class")
    if (column_of := _numbered(names, what, known)) is None:
        return ClassColumns(names, None)
    numbers = sorted(column_of)
    if numbers != list(range(len(names))):
        missing = next((k for k in range(len(names)) if k not in column_of), None)
        raise ContentError(
            f"{what}: its columns are numbered {numbers[0]} to {numbers[-1]}"
            + (f" without {missing}" if missing is not None and missing > numbers[0] else "")
            + f"; {counted(len(names), 'class', 'classes')} are numbered 0 to {len(names) - 1}; "
            f"rename the columns, or leave out those that are no classes"
        )
    return ClassColumns(names, tuple(column_of[k] for k in numbers))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _numbered(names: Sequence[str], what: str, known: frozenset[str]) -> dict[int, int] | None:
    """{number: column} where all headings are one word and a number ('3', 'class_3', 'p[3]'); None where they are
    names. Headings of which most are numbered are refused: the rest may be something else."""
    matches = [_NUMBER.fullmatch(name) for name in names]
    forms: dict[tuple[str, str], list[int]] = {}
    for column, match in enumerate(matches):
        if match is not None:
            forms.setdefault((match["before"], match["after"]), []).append(column)
    form, columns = max(forms.items(), key=lambda item: len(item[1]), default=(("", ""), []))
    column_of: dict[int, int] = {}
    for column in columns:
        match = matches[column]
        assert match is not None
        column_of[int(match["number"])] = column
    complete = len(columns) == len(names)
    if complete and len(column_of) < len(names):
        raise ContentError(
            f"{what}: two columns have the same number; expected one for each class 0 to {len(names) - 1}"
        )
    if complete and (
        form == ("", "") or sorted(column_of) in (list(range(len(names))), list(range(1, len(names) + 1)))
    ):
        if sorted(column_of)[0] == 1 and set(names) <= known:
            return None  # names after all: the labels hold the same names
        return column_of
    if (
        len(columns) > 1
        and not complete
        and sorted(column_of) == list(range(len(column_of)))
        and not set(names) <= known
    ):
        odd = next(name for column, name in enumerate(names) if column not in columns)
        raise ContentError(
            f"{what}: {len(columns)} columns are numbered from 0, column {odd!r} is not; expected unit_id and one "
            f"column for each class; leave out what is no class"
        )
    return None


def positive(heading: str, what: str) -> None:
    """Raise unless the only column of a table can be the second of two classes: '1', 'p1', 'class_1', 'prob', .."""
    match = _NUMBER.fullmatch(heading)
    if not (int(match["number"]) == 1 if match is not None else heading.casefold() in _POSITIVE):
        raise ContentError(
            f"{what}: one column, {heading or '(no heading)'!r}; expected a column for each class, or for two classes "
            f"the one of class 1, named '1'"
        )


# A file of classes


@dataclass(frozen=True, slots=True)
class ClassList:
    """Class numbers by name: names [C] in order, and {name: class} of these and of every other name of a class."""

    names: tuple[str, ...]
    numbers: Mapping[str, int]


def in_order(names: Sequence[str]) -> ClassList:
    return ClassList(tuple(names), {name: number for number, name in enumerate(names)})


def read_classes(path: Path) -> tuple[str, ...]:
    """Class names per output index. txt: a name a line; csv: a column of names, or index and name, with or without a
    heading; json: a list of names, {index: name} or {name: index}."""
    return _in_order(path, _pairs(path))


def read_class_list(path: Path) -> ClassList:
    """A file of classes (see read_classes) in which no two classes share a name. An index that stands there again gives
    its class a further name."""
    pairs = _pairs(path)
    numbers: dict[str, int] = {}
    for index, name in pairs:
        if numbers.setdefault(comparable(name), index) != index:
            other = numbers[comparable(name)]
            raise ContentError(f"classes: {str(path)!r}: {name!r} is class {other} and class {index}; expected one")
    return ClassList(tuple(comparable(name) for name in _in_order(path, pairs)), numbers)


def _in_order(path: Path, pairs: Sequence[tuple[int, str]]) -> tuple[str, ...]:
    """The first name of every index."""
    names: dict[int, str] = {}
    for index, name in pairs:
        names.setdefault(index, name)
    count = len(names)
    if sorted(names) != list(range(count)) or count < 2:
        raise ContentError(
            f"classes: {str(path)!r} names {count:,} classes"
            + ("" if count < 2 else f" whose indices are not 0 to {count - 1}")
            + "; expected at least 2, a name for every output index from 0, as txt, csv or json"
        )
    return tuple(names[index] for index in range(count))


def _pairs(path: Path) -> list[tuple[int, str]]:
    text = read_text(path, limit=MAX_BYTES, remedy=f"name a file of class names with {option('classes')}")
    try:
        if path.suffix == ".json":
            return _from_json(parse_json(text))
        if path.suffix == ".csv":
            return _from_rows([row for row in csv.reader(text.splitlines()) if row])
        return list(enumerate(line.strip() for line in text.splitlines() if line.strip()))
    except (ValueError, csv.Error) as error:
        raise ContentError(
            f"classes: {str(path)!r}: {error}; expected a name for every output index from 0, as txt, csv or json"
        ) from error


def _from_json(value: Any) -> list[tuple[int, str]]:
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return list(enumerate(value))
    if isinstance(value, dict) and all(type(index) is int for index in value.values()):
        return [(index, name) for name, index in value.items()]
    if isinstance(value, dict) and all(isinstance(name, str) for name in value.values()):
        return [(int(index), name) for index, name in value.items()]
    raise ValueError("neither a list of names nor an object of indices and names")


def _from_rows(rows: list[list[str]]) -> list[tuple[int, str]]:
    if all(len(row) == 1 for row in rows):
        names = [row[0].strip() for row in rows]
        return list(enumerate(names[1:] if names and names[0].lower() in ("class", "name", "label") else names))
    rows = [row for row in rows if len(row) > 1]
    body = rows if any(cell.strip().isdigit() for cell in rows[0][:2]) else rows[1:]
    index = 0 if all(row[0].strip().isdigit() for row in body) else 1  # whichever column is numbers
    return [(int(row[index]), row[1 - index].strip()) for row in body]


# Several tables, one order of classes


def place_columns(columns: ClassColumns, classes: ClassList, what: str) -> NDArray[np.int64]:
    """int64 [C]: the file's column of each class, by name."""
    column_of: dict[int, int] = {}
    unknown = []
    for column, name in enumerate(columns.names):
        number = classes.numbers.get(name)
        if number is None:
            unknown.append(name)
        elif column_of.setdefault(number, column) != column:
            first = columns.names[column_of[number]]
            raise ContentError(f"{what}: columns {first!r} and {name!r} are both class {classes.names[number]!r}")
    missing = [name for number, name in enumerate(classes.names) if number not in column_of]
    if unknown or missing:
        raise ContentError(
            f"{what}: {_difference(missing, unknown)}; every model needs the same classes; say with "
            f"{option('classes', placeholder='FILE')} which name is which class (index,name; a class may have several "
            "names)"
        )
    return np.array([column_of[number] for number in range(len(classes.names))], dtype=np.int64)


def number_labels(labels: Sequence[str], classes: ClassList, what: str) -> NDArray[np.int64]:
    """int64 [N] class numbers of labels that are names."""
    numbers = [classes.numbers.get(label) for label in labels]
    unknown = sorted({label for label, number in zip(labels, numbers, strict=True) if number is None})
    if unknown:
        near = {name.casefold() for name in classes.numbers}
        hint = " (case differs)" if unknown[0].casefold() in near else ""
        raise ContentError(
            f"{what}: {_shown(unknown)} is no class of the outputs, which are {_shown(classes.names, 3)}{hint}; "
            f"mend the labels, or name the classes with {option('classes', placeholder='FILE')}"
        )
    return np.array(numbers, dtype=np.int64)


def _difference(missing: Sequence[str], unknown: Sequence[str]) -> str:
    problems = [f"no column for class {_shown(missing)}"] if missing else []
    return " and ".join(problems + ([f"column {_shown(unknown)} is none of the classes"] if unknown else []))


def _shown(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(repr(name) for name in names[:most]) + more

"""The checks every array passes on its way into a store. Each raises one error that names model, value and remedy."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wisecommittee.committees.combine import PROBABILITY_TOLERANCE
from wisecommittee.errors import AlignmentError, ContentError, UsageError, counted, option
from wisecommittee.tasks.text import comparable, is_missing

ROUNDED_TOLERANCE = 0.02  # differences that rounding to bfloat16 makes; corrected before rows are stored (preparing.py)
BLOCK_VALUES = 1 << 20  # values checked at a time: memory-mapped arrays stay on disk
MAX_TEXT = 10_000  # characters of an id, an answer or a label: a row group of them is a few MB
MAX_TEXT_ARRAY = 4 << 30  # most bytes of an array of texts
ANY_TEXT_ARRAY = 256 << 20  # .. if the longest text is a hundred times as long as the others
MAX_COUNT = 1 << 24  # pixels of a cell: float32 counts are exact below
NO_LABEL = -1  # the label of every unit of a split without labels
DTYPES = ("float32", "float16")


def check_dtype(dtype: str, what: str) -> np.dtype:
    if dtype not in DTYPES:
        raise UsageError(f"{what}: dtype {dtype!r}; a store holds {' or '.join(DTYPES)}")
    return np.dtype(dtype)


def check_outputs(
    outputs: NDArray[np.floating], kind: str, what: str, *, dtype: str = "float32", warn: bool = True, first: int = 0
) -> None:
    """outputs : floating [n, C], finite once stored as dtype; rows of probabilities sum to 1 within 1e-3.

    Warns of logits that look like probabilities. first : the number of the first row in messages.
    """
    if outputs.ndim != 2 or outputs.shape[1] < 2:
        raise ContentError(
            f"{what}: outputs of shape {list(outputs.shape)}; expected [units, classes], 2 classes or more"
        )
    if outputs.dtype.kind != "f":
        raise ContentError(f"{what}: outputs are {outputs.dtype}; expected floating point numbers")
    normalised = True
    step = max(1, BLOCK_VALUES // outputs.shape[1])
    for start in range(0, len(outputs), step):
        block = outputs[start : start + step]
        with np.errstate(over="ignore", invalid="ignore"):
            stored = block.astype(dtype, copy=False)
            least, largest = stored.min(), stored.max()  # NaN if any is
        if not (np.isfinite(least) and np.isfinite(largest)):
            _refuse_infinite(block, stored, what, first + start)
        if kind == "probabilities":
            _check_probabilities(stored, what, first + start)
        elif kind == "cell_counts":
            _check_cell_counts(stored, what, first + start)
        elif normalised:
            # Cheap tests first: most logits need no sums.
            near = least >= 0 and largest <= 1 + ROUNDED_TOLERANCE
            normalised = near and bool(_sums_to_one(stored, ROUNDED_TOLERANCE).all())
    if warn and kind == "logits" and normalised and len(outputs):
        warnings.warn(
            f"{what}: declared as logits, but every row is non-negative and sums to 1, or nearly so; if these are "
            f"softmax outputs, import them with {option('probabilities')}",
            stacklevel=2,  # always the same line: a model that is checked twice is warned of once
        )


def _sums_to_one(block: NDArray[np.floating], tolerance: float = PROBABILITY_TOLERANCE) -> NDArray[np.bool_]:
    """bool [n]: rows that sum to 1."""
    return np.abs(block.sum(axis=1, dtype=np.float64) - 1) <= tolerance


def _check_probabilities(block: NDArray[np.floating], what: str, first: int) -> None:
    bad = (block < 0).any(axis=1)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ContentError(
            f"{what}: row {first + row} has a negative value, {block[row].min():.6g}; probabilities are 0 or more; "
            f"import logits with {option('logits')}"
        )
    fits = _sums_to_one(block)
    if not fits.all():
        row = int(np.flatnonzero(~fits)[0])
        raise ContentError(
            f"{what}: row {first + row} sums to {block[row].sum(dtype=np.float64):.6g}; probabilities sum to 1 within "
            f"{PROBABILITY_TOLERANCE} (what half precision rounds, up to {ROUNDED_TOLERANCE}, is mended); give all "
            f"classes of the softmax, in float32"
        )


def _check_cell_counts(block: NDArray[np.floating], what: str, first: int) -> None:
    """Rows tp [C], fp [C], fn [C] of pixel counts; every wrong pixel is one fp and one fn."""
    if block.shape[1] % 3 or block.dtype != np.float32:
        raise ContentError(
            f"{what}: {block.shape[1]} columns of {block.dtype}; cell counts are float32 counts tp, fp, fn by class"
        )
    bad = ((block < 0) | (block != np.rint(block)) | (block >= MAX_COUNT)).any(axis=1)
    _, fp, fn = np.split(block, 3, axis=1)
    bad |= fp.sum(axis=1, dtype=np.float64) != fn.sum(axis=1, dtype=np.float64)
    if bad.any():
        raise ContentError(
            f"{what}: row {first + int(np.flatnonzero(bad)[0])} is no count of pixels; expected whole numbers from 0 "
            f"with as many fp as fn in total"
        )


def check_pixels(statistics: NDArray[np.floating], labels: NDArray[np.generic], what: str) -> None:
    """The label of a cell is its number of labelled pixels: tp + fn of every model."""
    tp, _, fn = np.split(np.asarray(statistics, np.float64), 3, axis=1)
    counted = tp.sum(axis=1) + fn.sum(axis=1)
    if labels.dtype.kind not in "iu" or len(labels) != len(counted) or (labels != counted).any():
        wrong = labels.dtype.kind in "iu" and len(labels) == len(counted)
        row = int(np.flatnonzero(labels != counted)[0]) if wrong else 0
        raise AlignmentError(
            f"{what}: {counted[row]:.0f} labelled pixels in row {row}, its label says {labels[row]}; the label of a "
            f"cell is its number of labelled pixels, the same for every model"
        )


def labelled_classes(kind: str, classes: int | None) -> int | None:
    """How many classes a label can be, None where it is no class."""
    return classes if kind in ("logits", "probabilities") else None


def _refuse_infinite(given: NDArray[np.floating], stored: NDArray[np.floating], what: str, first: int) -> None:
    bad = ~np.isfinite(stored)
    row, column = (int(places[0]) for places in np.nonzero(bad))
    value = given[row, column]
    if np.isfinite(value):
        remedy = "store them as float32" if stored.dtype == np.float16 else "scale them down"
        raise ContentError(f"{what}: {value:.6g} in row {first + row} does not fit {stored.dtype}; {remedy}")
    raise ContentError(
        f"{what}: NaN or infinity, {value} in row {first + row}, class {column} "
        f"({counted(bad.any(axis=1).sum(), 'such row')} in this block); expected finite numbers; mend the model or "
        f"leave these units out of the split"
    )


def as_array(values: ArrayLike, noun: str, what: str) -> NDArray[Any]:
    """An array [n, ..] of any type, not copied if it is one."""
    try:
        return np.atleast_1d(np.asarray(values))
    except ValueError:
        raise ContentError(f"{what}: {noun} of different lengths; expected one row for each unit") from None


def as_labels(labels: ArrayLike, what: str) -> NDArray[np.generic]:
    """Labels [n] of any type."""
    array = as_array(labels, "labels", what)
    if array.ndim != 1:
        raise ContentError(f"{what}: labels of shape {list(array.shape)}; expected one label for each unit")
    return array


def has_labels(labels: NDArray[np.generic]) -> bool:
    """Whether units [n] have labels: not all of them are NO_LABEL."""
    return not len(labels) or labels.dtype.kind != "i" or bool((labels != NO_LABEL).any())


def check_labels(
    given: ArrayLike, classes: int | None, what: str, *, graded: bool = False, whole: bool = False
) -> NDArray[np.generic]:
    """int64 [n] in 0..C-1 for outputs; for answers (classes None) int64, or text as it is compared (tasks/text.py).

    graded : quality comes from elsewhere, and labels may be empty. whole : these are the labels of all units of a
    split, which may be NO_LABEL for every unit.
    """
    labels = as_labels(given, what)
    if labels.dtype.kind == "f" and np.isfinite(labels).all() and (labels == np.trunc(labels)).all():
        labels = labels.astype(np.int64)
    if labels.dtype.kind == "u" and labels.max(initial=0) > np.iinfo(np.int64).max:
        raise ContentError(f"{what}: a label of {labels.max()}; expected numbers below 2**63")
    if labels.dtype.kind in "iub":
        labels = labels.astype(np.int64)
    elif classes is not None:
        raise ContentError(
            f"{what}: labels are {labels.dtype}, {labels[:1].tolist()}..; expected whole numbers from 0, or names of "
            f"the classes that the outputs' columns or {option('classes', placeholder='FILE')} name"
        )
    else:
        given_texts = as_text(labels, "label", what)
        forms = {text: comparable(text) for text in set(given_texts)}
        texts = [forms[text] for text in given_texts]
        check_texts(texts, "label", what)
        if not graded and (empty := [row for row, text in enumerate(texts) if is_missing(text)]):
            raise ContentError(
                f"{what}: an empty label, {texts[empty[0]]!r}, in row {empty[0]} ({len(empty):,} in all); expected a "
                f"label for each unit; leave these units out"
            )
        labels = text_array(texts, what)
    if classes is not None and len(labels) and not (whole and not has_labels(labels)):
        numbers: NDArray[np.int64] = labels.astype(np.int64, copy=False)
        bad = np.flatnonzero((numbers < 0) | (numbers >= classes))
        if len(bad):
            raise ContentError(
                f"{what}: label {labels[bad[0]]} of row {bad[0]} (and {len(bad) - 1} more) is outside the {classes} "
                f"classes 0..{classes - 1}; mend the labels, or give outputs of every class"
            )
    return labels


def as_text(values: Iterable[Any], noun: str, what: str) -> list[str]:
    """Texts or numbers as a list of text; bytes are UTF-8; None and NaN are refused."""
    if isinstance(values, np.ndarray):
        try:
            values = (np.char.decode(values, "utf-8") if values.dtype.kind == "S" else values).tolist()
        except UnicodeDecodeError as error:
            raise ContentError(f"{what}: a {noun} of bytes that are not UTF-8 ({error.reason})") from None
    values = list(values)
    if set(map(type, values)) == {str}:
        return values
    texts: list[str] = []
    for value in values:
        if value is None or (isinstance(value, float) and value != value):
            raise ContentError(f"{what}: {noun} {value} in row {len(texts)}; expected one for every unit")
        texts.append(str(value))
    return texts


def check_texts(texts: Sequence[str], noun: str, what: str) -> None:
    longest = max(texts, key=len, default="")
    if len(longest) > MAX_TEXT:
        raise ContentError(
            f"{what}: a {noun} of {len(longest):,} characters, {longest[:20]!r}..; expected {MAX_TEXT:,} at most; "
            f"keep the part that is compared"
        )
    try:
        "".join(texts).encode()
    except UnicodeEncodeError as error:
        raise ContentError(f"{what}: a {noun} that is no Unicode text ({error.reason}); expected UTF-8") from None


def text_array(texts: Sequence[str], what: str) -> NDArray[np.str_]:
    """Text [n]; numpy gives every element the room of the longest, so that is bounded."""
    longest = max(map(len, texts), default=0)
    most = min(MAX_TEXT_ARRAY, max(ANY_TEXT_ARRAY, 400 * sum(map(len, texts))))
    if 4 * longest * len(texts) > most:
        raise ContentError(
            f"{what}: {len(texts):,} texts, the longest of {longest:,} characters; they would take "
            f"{4 * longest * len(texts) / 1e9:.1f} GB of memory; shorten the longest"
        )
    return np.array(texts, dtype=np.str_)


def as_column(values: ArrayLike, dtype: type[np.floating], noun: str, what: str) -> NDArray[Any]:
    """Numbers as an array of dtype; those too large become infinite, which check_column refuses."""
    array = as_array(values, noun, what)
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            return array.astype(dtype, casting="same_kind", copy=False)
    except TypeError:
        raise ContentError(f"{what}: {noun} is {array.dtype}; expected numbers") from None


def check_unit_ids(unit_ids: Sequence[str], what: str) -> None:
    if len(set(unit_ids)) != len(unit_ids):
        seen: set[str] = set()
        twice = next(unit for unit in unit_ids if unit in seen or seen.add(unit))  # type: ignore[func-returns-value]
        raise AlignmentError(f"{what}: unit id {twice!r} stands more than once; every unit needs one row")


def check_column(
    values: NDArray[np.floating], rows: int, what: str, *, least: float | None = None, most: float | None = None
) -> None:
    """A score, quality or per-unit cost: one finite number for every row, within bounds."""
    if values.shape != (rows,):
        raise AlignmentError(f"{what}: {list(values.shape)} values for {rows:,} units; expected one for each")
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0])
        raise ContentError(f"{what}: {values[row]} in row {row}; expected finite numbers")
    for bound, name, bad in ((least, "least", values < (least or 0)), (most, "most", values > (most or 0))):
        if bound is not None and bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise ContentError(f"{what}: {values[row]} in row {row}; expected at {name} {bound}")

"""Statements as they are written: 'accuracy >= best_single - 0.01'."""

from __future__ import annotations

import math
import re
from dataclasses import replace

from wisecommittee.errors import UsageError, nearest
from wisecommittee.searches.statements.statement import BEST_SINGLE, OF_COST, Guarantee

COMPARED = re.compile(r"(.*[^<>=≥≤\s])\s*(>=|<=|≥|≤|==|=|>|<)\s*([^<>=≥≤]*)")
NUMBER = r"[0-9.]+(?:[eE][+-]?[0-9]+)?"
# A model and a margin. The sign stands apart from the name of a model, which may hold one.
MARGIN = re.compile(rf"({BEST_SINGLE}|.*\S(?=\s))\s*([+-])\s*({NUMBER})")
MULTIPLE = re.compile(rf"({NUMBER})\s*\*\s*(.*\S)")
# The left side of each kind of statement, and an example.
FORMS: dict[str, tuple[re.Pattern[str], str]] = {
    "accuracy": (re.compile(r"accuracy"), "accuracy >= best_single - 0.01"),
    "agreement": (re.compile(r"agreement\s+with\s+(.+)"), "agreement with MODEL >= 0.98"),
    "precision": (re.compile(r"precision\s+of\s+(.+)"), "precision of CLASS >= 0.9"),
    "recall": (re.compile(r"recall\s+of\s+(.+)"), "recall of CLASS >= 0.9"),
    "average": (re.compile(r"average_(\w.*)"), "average_flops <= 4e9"),
    "exceeding": (re.compile(rf"P\(\s*(\w.*?)\s*>\s*({NUMBER})\s*\)"), "P(cost > 4e9) <= 0.05"),
}


def parse_guarantee(text: str) -> Guarantee:
    """The statement that a text makes.

    Raises
    ------
    UsageError
        The text is no statement; the message names the part that is wrong, and an example.

    Examples
    --------
    >>> str(parse_guarantee("accuracy>=best_single - .01"))
    'accuracy >= best_single - 0.01'
    """
    compared = COMPARED.fullmatch(text.strip())
    if compared is None:
        raise _error(text, "no comparison", "FIGURE >= NUMBER or COST <= NUMBER", "accuracy")
    left, sign, right = (part.strip() for part in compared.groups())
    figure, groups = _figure(text, left)
    expected = "<=" if figure in OF_COST else ">="
    if sign.replace("≥", ">=").replace("≤", "<=") != expected:
        raise _error(text, f"{sign!r} after {left!r}", f"{expected!r}", figure)
    if figure == "accuracy" and re.fullmatch(r"[-+]?" + NUMBER, right) is None:
        factor, model, number = _compared_model(text, right, figure)
        return Guarantee(figure, number, model, factor=factor)
    if figure == "average" and (MULTIPLE.fullmatch(right) or right.startswith(BEST_SINGLE)):
        factor, model, number = _compared_model(text, right, figure)
        return Guarantee(figure, number, groups[0], factor=factor, reference=model)
    guarantee = Guarantee(figure, _limit(text, right, figure), groups[0] if groups else None)
    return replace(guarantee, limit=_number(text, groups[1], figure)) if figure == "exceeding" else guarantee


def _figure(text: str, left: str) -> tuple[str, tuple[str, ...]]:
    """The kind of statement, and the names and numbers on its left side."""
    for figure, (form, _) in FORMS.items():
        if found := form.fullmatch(left):
            return figure, found.groups()
    starts = {"P(": "exceeding", "average": "average", **{figure: figure for figure in FORMS}}
    near = next((starts[start] for start in starts if left.startswith(start)), nearest(left, FORMS))
    if near:
        raise _error(text, repr(left), "the form of the example", near)
    examples = "; ".join(example for _, example in FORMS.values())
    raise UsageError(f"statement {text!r}: unknown figure {left!r}; expected one of: {examples}")


def _compared_model(text: str, right: str, figure: str) -> tuple[float, str, float]:
    """The factor, the model that a figure is compared with, and the difference that is allowed."""
    factor = 1.0
    if multiple := MULTIPLE.fullmatch(right):
        factor, right = _number(text, multiple[1], figure), multiple[2]
        if not factor:
            raise _error(text, f"factor {multiple[1]}", "a factor above 0", figure)
    parted = MARGIN.fullmatch(right)
    if parted is None:
        if re.fullmatch(rf"{NUMBER}\s+{BEST_SINGLE}", right):
            raise _error(text, repr(right), f"a multiple with *, such as '{right.split()[0]} * {BEST_SINGLE}'", figure)
        if not right or right.startswith((f"{BEST_SINGLE} ", f"{BEST_SINGLE}-")):
            raise _error(text, repr(right), "a number, or a model and a margin", figure)
        return factor, right, 0.0
    model, sign, digits = parted.groups()
    size = _number(text, digits, figure)
    if size > 1 and figure == "accuracy":
        raise _error(text, f"margin {digits}", "a margin from 0 to 1", figure)
    return factor, model, -size if sign == "-" else size


def _limit(text: str, right: str, figure: str) -> float:
    """The number on the right side: a cost, or a share."""
    number = _number(text, right, figure)
    if figure == "average" and number < 0:
        raise _error(text, repr(right), "a cost from 0", figure)
    if figure != "average" and not 0 < number < 1:
        likely = f"{number / 100:g}" if 1 < number < 100 else "0.95"
        raise _error(text, repr(right), f"a share above 0 and below 1, such as {likely}", figure)
    return number


def _number(text: str, part: str, figure: str) -> float:
    try:
        number = float(part)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise _error(text, repr(part), "a number", figure)
    return number


def _error(text: str, found: str, expected: str, figure: str) -> UsageError:
    return UsageError(f"statement {text!r}: {found}; expected {expected}, as in '{FORMS[figure][1]}'")

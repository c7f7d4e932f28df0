"""A statement about a committee on new units, and how it is written."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

from wisecommittee.errors import UsageError, nearest

BEST_SINGLE = "best_single"
COMPARED = re.compile(r"(.*[^<>=≥≤\s])\s*(>=|<=|≥|≤|==|=|>|<)\s*([^<>=≥≤]*)")
NUMBER = r"[0-9.]+(?:[eE][+-]?[0-9]+)?"
MARGIN = re.compile(rf"(.*\S)\s*([+-])\s*({NUMBER})")
# The left side of each kind of statement, and an example.
FORMS: dict[str, tuple[re.Pattern[str], str]] = {
    "accuracy": (re.compile(r"accuracy"), "accuracy >= best_single - 0.01"),
    "agreement": (re.compile(r"agreement\s+with\s+(.+)"), "agreement with MODEL >= 0.98"),
    "precision": (re.compile(r"precision\s+of\s+(.+)"), "precision of CLASS >= 0.9"),
    "recall": (re.compile(r"recall\s+of\s+(.+)"), "recall of CLASS >= 0.9"),
    "average": (re.compile(r"average_(\w.*)"), "average_flops <= 4e9"),
    "exceeding": (re.compile(rf"P\(\s*(\w.*?)\s*>\s*({NUMBER})\s*\)"), "P(cost > 4e9) <= 0.05"),
}
OF_COST = ("average", "exceeding")


@dataclass(frozen=True, slots=True)
class Guarantee:
    """A statement about a committee on new units: a figure of it is at least, or a cost at most, a number.

    Parameters
    ----------
    figure : str
        'accuracy' (of graded answers, the mean grade); 'agreement': the share of units for which the committee predicts
        what a model by itself predicts; 'precision': the share of units predicted as a class that have it as label;
        'recall': the share of units with a class as label that are predicted as it; 'average': a mean cost;
        'exceeding': the share of units that cost more than `limit`.
    number : float
        The number that the figure is compared with. Of an accuracy that is compared with a model's, the difference
        that is allowed: -0.01 for "accuracy >= best_single - 0.01".
    subject : str or None
        The model ('best_single': the most accurate by itself), the class, or the cost ('cost': the one searched).
    limit : float or None
        Of 'exceeding', in units of the cost.

    Examples
    --------
    >>> str(Guarantee.parse("accuracy>=best_single - .01"))
    'accuracy >= best_single - 0.01'
    """

    figure: str
    number: float
    subject: str | None = None
    limit: float | None = None

    @classmethod
    def parse(cls, text: str) -> Guarantee:
        """The statement that a text makes.

        Raises
        ------
        UsageError
            The text is no statement; the message names the part that is wrong, and an example.
        """
        compared = COMPARED.fullmatch(text.strip())
        if compared is None:
            raise _error(text, "no comparison", "FIGURE >= NUMBER or COST <= NUMBER", "accuracy")
        left, sign, right = (part.strip() for part in compared.groups())
        figure, groups = _figure(text, left)
        expected = "<=" if figure in OF_COST else ">="
        if sign.replace("≥", ">=").replace("≤", "<=") != expected:
            raise _error(text, f"{sign!r} after {left!r}", f"{expected!r}", figure)
        guarantee = cls(figure, 0.0, groups[0] if groups else None)
        if figure == "exceeding":
            guarantee = replace(guarantee, limit=_number(text, groups[1], figure))
        return guarantee._with_right_side(text, right)

    def _with_right_side(self, text: str, right: str) -> Guarantee:
        if self.figure == "accuracy" and re.fullmatch(r"[-+]?" + NUMBER, right) is None:
            parted = MARGIN.fullmatch(right)
            model, number = (right, 0.0) if parted is None else (parted[1], _number(text, parted[3], self.figure))
            if not model or number > 1:
                expected = "a model and a margin from 0 to 1" if model else "a number, or a model and a margin"
                raise _error(text, repr(right), expected, "accuracy")
            return replace(self, subject=model, number=-number if parted is None or parted[2] == "-" else number)
        number = _number(text, right, self.figure)
        if self.figure == "average" and number < 0:
            raise _error(text, repr(right), "a cost from 0", "average")
        if self.figure != "average" and not 0 < number < 1:
            likely = f"{number / 100:g}" if 1 < number < 100 else "0.95"
            raise _error(text, repr(right), f"a share above 0 and below 1, such as {likely}", self.figure)
        return replace(self, number=number)

    @property
    def of_cost(self) -> bool:
        return self.figure in OF_COST

    @property
    def models(self) -> tuple[str, ...]:
        """The model that the committee is compared with, if the statement names one."""
        return (self.subject,) if self.subject and self.figure in ("accuracy", "agreement") else ()

    def at_margin(self, margin: float) -> Guarantee:
        """The statement with another margin: FIGURE >= LIMIT - margin, or COST <= LIMIT + margin.

        The limit is the model's accuracy where there is one, and the number of this statement elsewhere.
        """
        if self.figure == "accuracy" and self.subject:
            return self.with_number(-margin)
        return self.with_number(self.number + margin if self.of_cost else self.number - margin)

    def with_number(self, number: float) -> Guarantee:
        return replace(self, number=number)

    def __str__(self) -> str:
        number = _written(self.number)
        if self.figure == "accuracy" and self.subject:
            margin = f" {'+' if self.number > 0 else '-'} {_written(abs(self.number))}" if self.number else ""
            return f"accuracy >= {self.subject}{margin}"
        if self.figure == "exceeding":
            return f"P({self.subject} > {_written(self.limit or 0.0)}) <= {number}"
        left = {"accuracy": "accuracy", "average": f"average_{self.subject}"}.get(self.figure)
        word = " with " if self.figure == "agreement" else " of "
        return f"{left or self.figure + word + str(self.subject)} {'<=' if self.of_cost else '>='} {number}"


def _figure(text: str, left: str) -> tuple[str, tuple[str, ...]]:
    """The kind of statement, and the names and numbers on its left side."""
    for figure, (form, _) in FORMS.items():
        if found := form.fullmatch(left):
            return figure, found.groups()
    near = next((f for f in FORMS if left.lower().startswith(f)), nearest(left, FORMS))
    if near:
        raise _error(text, repr(left), "the form of the example", near)
    examples = "; ".join(example for _, example in FORMS.values())
    raise UsageError(f"guarantee {text!r}: unknown figure {left!r}; expected one of: {examples}")


def _number(text: str, part: str, figure: str) -> float:
    try:
        number = float(part)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise _error(text, repr(part), "a number", figure)
    return number


def _written(number: float) -> str:
    """A number to twelve digits: 0.01, 4e9."""
    plain = f"{number:.12g}"
    digits, _, power = f"{number:.11e}".partition("e")
    short = f"{digits.rstrip('0').rstrip('.')}e{int(power)}"
    return short if len(short) < len(plain) and abs(number) >= 1 else plain


def _error(text: str, found: str, expected: str, figure: str) -> UsageError:
    return UsageError(f"guarantee {text!r}: {found}; expected {expected}, as in '{FORMS[figure][1]}'")

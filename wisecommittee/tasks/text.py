"""The text by which an answer and a label are compared: one rule for both, and one for answers in free form."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable
from functools import partial

_DECIMAL = re.compile(r"([+-]?\d+)\.(\d*?)0+")
_INVISIBLE = "\ufeff\u200b"  # byte order mark, zero-width space: left by editors, invisible
_NUMBER = re.compile(
    r"(?P<sign>[+-]?)\\?[$€£]?(?P<inner>[+-]?)(?P<whole>\d{1,3}(,\d{3})+|\d*)(\.(?P<fraction>\d*))?\\?%?"
)
# What may stand around an answer: markdown emphasis and code, quotation marks, signs of mathematics.
_MARKS = tuple((mark, mark) for mark in ("**", "__", "*", "_", "`", "$", '"', "'"))
_PAIRS = (("“", "”"), ("‘", "’"), ("\\(", "\\)"), ("\\[", "\\]"))
_BRACES = re.compile(r"\\boxed\{|\\.|[{}]", re.DOTALL)
MOST_CHARACTERS = 48  # of a voting form: an array of a million of them takes 200 MB
_DIGITS = 16  # of the hash at the end of a shortened text

_MISSING = frozenset(
    ("", "nan", "NaN", "NaT", "<NA>")
)  # empty, and the spellings of a missing value in pandas and numpy


def is_missing(label: str) -> bool:
    """Whether a text stands for no label at all."""
    return label in _MISSING


def comparable(text: str, *, ignore_case: bool = False) -> str:
    """The text by which an answer or a label is compared.

    White space around it is dropped and runs of it within become one space, Unicode is brought to its composed form
    (NFC), and a number loses the zeros at the end of its fraction: '3.0' is '3', '0.50' is '0.5'. Case counts unless
    ignore_case is set.
    """
    text = " ".join(unicodedata.normalize("NFC", text).strip(_INVISIBLE).split())
    if (number := _DECIMAL.fullmatch(text)) is not None:
        text = f"{number[1]}.{number[2]}" if number[2] else number[1]
    return text.casefold() if ignore_case else text


def voting_form(text: str) -> str:
    r"""The text by which answers in free form are compared and vote.

    The content of the last \boxed{} whose braces are balanced, if there is one; without case, white space beside single
    spaces, full stops at its end, and marks around it (markdown emphasis, quotation marks, signs of mathematics). A
    number is written plainly: '$1,234.50' is '1234.5', '50%' is '50', '3.0' is '3'. What is longer than MOST_CHARACTERS
    keeps its beginning and a 64-bit hash of the whole. The form of a form is itself.

    >>> voting_form(r"So the answer is $\boxed{1,234.0}$.")
    '1234'
    >>> voting_form('**"Paris"**.')
    'paris'
    """
    before = None
    while text != before:
        before = text
        text = _without_marks(_boxed(text))
    if len(text) > MOST_CHARACTERS:
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_DIGITS // 2).hexdigest()
        text = f"{text[: MOST_CHARACTERS - 1 - _DIGITS]}…{digest}"
    return text


def answer_form(*, free_form: bool = False, ignore_case: bool = False) -> str | None:
    """The name of the rule by which answers are compared, as cards and committees have it; None for `comparable`."""
    return "free_form" if free_form else "ignore_case" if ignore_case else None


def form_named(name: str | None) -> Callable[[str], str]:
    """The function of a name that `answer_form` gives."""
    return form_of_answers(free_form=name == "free_form", ignore_case=name == "ignore_case")


def form_of_answers(*, free_form: bool = False, ignore_case: bool = False) -> Callable[[str], str]:
    """The function that brings answers and labels to the text by which they are compared."""
    return voting_form if free_form else partial(comparable, ignore_case=ignore_case)


def _boxed(text: str) -> str:
    r"""The content of the last \boxed{..} with balanced braces; the text itself if it has none."""
    opened: list[tuple[int, bool]] = []  # where each open brace's content begins, and whether it is of a box
    last = (-1, -1)
    for token in _BRACES.finditer(text) if "\\boxed{" in text else ():
        if token[0].endswith("{") and token[0] != "\\{":
            opened.append((token.end(), token[0] != "{"))
        elif token[0] == "}" and opened:
            start, of_box = opened.pop()
            last = max(last, (start, token.start())) if of_box else last
    return text[slice(*last)] if last[0] >= 0 else text


def _without_marks(text: str) -> str:
    """The text without case, superfluous white space, full stops at the end and one pair of marks; numbers plainly."""
    text = comparable(comparable(text, ignore_case=True)).rstrip(". ")
    for opening, closing in _MARKS + _PAIRS:
        inner = text[len(opening) : -len(closing)]
        if inner and text.startswith(opening) and text.endswith(closing) and opening not in inner:
            text = inner.strip()
            break
    number = _NUMBER.fullmatch(text)
    if number is None or not (number["whole"] or number["fraction"]):
        return text
    whole = number["whole"].replace(",", "").lstrip("0") or "0"
    fraction = (number["fraction"] or "").rstrip("0")
    plain = f"{whole}.{fraction}" if fraction else whole
    return f"-{plain}" if "-" in (number["sign"] + number["inner"]) and plain != "0" else plain

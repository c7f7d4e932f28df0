"""The text by which an answer and a label are compared: one rule for both."""

from __future__ import annotations

import re
import unicodedata

_DECIMAL = re.compile(r"([+-]?\d+)\.(\d*?)0+")
_INVISIBLE = "\ufeff\u200b"  # byte order mark, zero-width space: left by editors, invisible

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

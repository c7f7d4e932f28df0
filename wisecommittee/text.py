"""Text from elsewhere on its way out of the program: characters that act instead of being shown are written as their
codes.

Names of models, costs, splits and files come from strangers. A terminal obeys control characters, and marks of
direction and characters without width make one name look like another. Every way out passes its text through `shown`
once, and adds what its own format obeys: markup in HTML, mathematics in plots, formulas in csv.
"""

from __future__ import annotations

import json
import re
from typing import Any

# Control characters, marks of direction, separators of lines, halves of surrogate pairs, and what has no width (the
# Default_Ignorable_Code_Point of Unicode). A list of its own, so that no version of Python refuses what another wrote.
HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]"
)


def shown(text: str) -> str:
    r"""The text with every hidden character as Python writes it: a name that clears the screen becomes '\x1b[2J'."""
    return HIDDEN.sub(lambda hidden: ascii(hidden[0])[1:-1], text)


def shown_lines(text: str) -> str:
    """As `shown`, for a text whose line breaks stay."""
    return "\n".join(map(shown, text.split("\n")))


def one_line(text: str) -> str:
    """The text for a message: lines and spaces joined, other hidden characters as their codes."""
    return shown(" ".join(part for part in re.split(r"[ \t\r\n]+", text) if part))


def as_json(value: Any) -> str:
    """ONE line of JSON that reads back exactly; hidden characters as JSON's own codes, no number as null."""
    text = json.dumps(_finite(value), allow_nan=False, ensure_ascii=False)
    return HIDDEN.sub(lambda hidden: json.dumps(hidden[0])[1:-1], text)


def _finite(value: Any) -> Any:
    """The value with NaN and infinity, which JSON lacks, as None."""
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, (list, tuple)) else value

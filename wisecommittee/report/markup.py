"""Text for HTML and SVG."""

from __future__ import annotations

import html

from wisecommittee.text import shown_lines


def escape(text: str) -> str:
    """A text that HTML and SVG show as it is."""
    return html.escape(shown_lines(text))

"""Texts and tables as HTML, for pages and notebooks."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from wisecommittee.text import shown_lines

if TYPE_CHECKING:
    from wisecommittee.report.table import Table


def escape(text: str) -> str:
    """A text that HTML and SVG show as it is."""
    return html.escape(shown_lines(text))


def as_html(table: Table, *, folded: bool = False) -> str:
    """A table as HTML, as the terminal shows it. folded : below its title until that is chosen, or on paper.

    A class keeps notebooks from setting mathematics between the dollar signs of names.
    """
    headings, right, breaks = table.headings(), table.right(), table.breaks()
    above = ""
    if any(over for over, _ in headings):
        cells, place = [], 0
        while place < len(headings):
            end = place + 1
            while end < len(headings) and headings[end][0] == headings[place][0]:
                end += 1
            over = headings[place][0]
            cells.append(f'<th class="{"over" if over else ""}" colspan="{end - place}">{escape(over)}</th>')
            place = end
        above = f"<tr>{''.join(cells)}</tr>"
    sides = ["right" if side else "" for side in right]
    names = "".join(f'<th class="{side}">{escape(name)}</th>' for side, (_, name) in zip(sides, headings, strict=True))
    body = []
    for place, row in enumerate(table.cells()):
        cells = [f'<td class="{side}">{escape(cell)}</td>' for side, cell in zip(sides, row, strict=True)]
        body.append(f"<tr{' class=gap' if place in breaks else ''}>{''.join(cells)}</tr>")
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in table.notes)
    title = f"<caption>{escape(table.title)}</caption>"
    made = (
        f'<div class="wide tex2jax_ignore mathjax_ignore"><table>{"" if folded else title}'
        f"<thead>{above}<tr>{names}</tr></thead>"
        f"<tbody>{''.join(body)}</tbody></table></div>{notes}"
    )
    return f"<details><summary>{escape(table.title)}</summary>{made}</details>" if folded else made

"""Where the columns of a table stand on a terminal of any width: names fold and are never cut, and columns that do not
fit beside them follow below, under the numbers of their rows."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len

GAP = 2  # between columns
EDGES = 2  # both sides of a table
LEAST = 14  # width of a folded name
WRAPPED = 12  # width to which headings are broken, about that of numbers
SHORT = 6  # columns of text no wider stand in every block


@dataclass(frozen=True, slots=True)
class Layout:
    """headings : lines of each column; least : width of each below which it is not drawn; blocks : columns that stand
    side by side; rows are numbered where there are several."""

    headings: tuple[tuple[str, ...], ...]
    least: tuple[int, ...]
    blocks: tuple[tuple[int, ...], ...]


def lay_out(headings: Sequence[str], names: Sequence[bool], rows: Sequence[Sequence[str]], width: int) -> Layout:
    """names : columns of text, which fold; the first of them name the rows. A heading may hold lines already."""
    cells = [max((cell_len(row[i]) for row in rows), default=0) for i in range(len(headings))]
    keys = next((i for i, text in enumerate(names) if not text), len(names)) or 1
    tried = []
    for room in (width // 2, width // 3, width // 4):
        for most in (WRAPPED, 1):
            lines = [narrow(heading, max(most, cell)) for heading, cell in zip(headings, cells, strict=True)]
            wide = [max([cell, *map(cell_len, heading)]) for heading, cell in zip(lines, cells, strict=True)]
            least = [min(wish, max(LEAST, room)) if text else wish for wish, text in zip(wide, names, strict=True)]
            least[:keys] = _shares(wide[:keys], room)
            tried.append(Layout(tuple(lines), tuple(least), tuple(_blocks(least, keys, width, len(str(len(rows)))))))
    return min(tried, key=lambda layout: len(layout.blocks))  # the first of these: the most room for names


def narrow(heading: str, most: int = WRAPPED) -> tuple[str, ...]:
    """In lines of so many characters, or of a word where that is longer."""
    wrapped = (
        textwrap.wrap(line, most, break_long_words=False, break_on_hyphens=False) for line in heading.split("\n")
    )
    return tuple(line for lines in wrapped for line in lines)


def _shares(wishes: Sequence[int], room: int) -> list[int]:
    """The room among columns of names: each what it wishes, the long ones the same part of what the short leave."""
    shares = [0] * len(wishes)
    for index, i in enumerate(sorted(range(len(wishes)), key=wishes.__getitem__)):
        shares[i] = min(wishes[i], max(LEAST, (room - sum(shares)) // (len(wishes) - index)))
    return shares


def _blocks(least: Sequence[int], keys: int, width: int, digits: int) -> list[tuple[int, ...]]:
    """One block if all fit; else, beside the numbers of the rows, the names with what fits and the rest below."""
    if sum(least) + GAP * (len(least) - 1) <= width:
        return [tuple(range(len(least)))]
    again = tuple(i for i in range(keys) if least[i] <= SHORT)
    blocks, used = [tuple(range(keys))], digits + sum(GAP + least[i] for i in range(keys))
    for i in range(keys, len(least)):
        if used + GAP + least[i] > width and blocks[-1] != again:
            blocks.append(again)
            used = digits + sum(GAP + least[k] for k in again)
        blocks[-1] = (*blocks[-1], i)
        used += GAP + least[i]
    return blocks

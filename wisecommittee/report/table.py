"""A table as a value: raw rows, and columns that say how each number is printed and in which unit.

The command line prints it on the terminal (cli/show.py); formats.py writes it as text.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from wisecommittee.report.markup import escape

Value = str | int | float | tuple[float, ...] | None
SCALES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
SPAN = 1e5  # if the costs of a table span more, every cell has its own unit
DASH = "-"
OURS = "this store"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Parameters
    ----------
    name : str
        Name for programs (csv, JSON), which get values at full precision: shares in [0, 1], costs in their own unit.
    heading : str
        Heading for people; the unit is added in brackets.
    kind : str
        'cost', or a key of KINDS: how values are printed.
    over : str
        Heading above several columns.
    """

    name: str
    heading: str
    kind: str = "text"
    over: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """cost : name of the cost of its 'cost' columns. grouped : neighbours with an equal first value are one group."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Value, ...], ...]
    notes: tuple[str, ...] = ()
    cost: str = "flops"
    grouped: bool = False

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"{self.title}: a row of {len(row)} values, {len(self.columns)} columns")

    def to_html(self, *, folded: bool = False) -> str:
        """The table as HTML with the texts of the terminal.

        folded : hide it below its title until that is clicked or the page is printed. The classes of the outer element
        keep notebooks from setting mathematics between the dollar signs of names.
        """
        sides = ["right" if right else "" for right in self.right()]
        groups = "".join(
            f'<th class="{"over" if over else ""}" colspan="{width}">{escape(over)}</th>'
            for over, width in self.spans()
        )
        above = f"<tr>{groups}</tr>" if any(column.over for column in self.columns) else ""
        names = "".join(
            f'<th class="{side}">{escape(name)}</th>' for side, (_, name) in zip(sides, self.headings(), strict=True)
        )
        breaks = self.breaks()
        body = []
        for i, row in enumerate(self.cells()):
            cells = [f'<td class="{side}">{escape(cell)}</td>' for side, cell in zip(sides, row, strict=True)]
            body.append(f"<tr{' class=gap' if i in breaks else ''}>{''.join(cells)}</tr>")
        notes = "".join(f'<p class="note">{escape(note)}</p>' for note in self.notes)
        caption = "" if folded else f"<caption>{escape(self.title)}</caption>"
        text = (
            f'<div class="wide tex2jax_ignore mathjax_ignore"><table>{caption}'
            f"<thead>{above}<tr>{names}</tr></thead>"
            f"<tbody>{''.join(body)}</tbody></table></div>{notes}"
        )
        return f"<details><summary>{escape(self.title)}</summary>{text}</details>" if folded else text

    def _repr_html_(self) -> str:
        """The HTML that a notebook shows."""
        return self.to_html()

    def column(self, name: str) -> list[Value]:
        """The raw values of a column, by its name."""
        index = next(i for i, column in enumerate(self.columns) if column.name == name)
        return [row[index] for row in self.rows]

    def headings(self) -> list[tuple[str, str]]:
        """(heading above, heading with its unit) of every column."""
        units = {"percent": " (%)", "points": " (points)", "exits": " (%)", "cost": self._unit()}
        return [(c.over, c.heading + units.get(c.kind, "")) for c in self.columns]

    def spans(self) -> list[tuple[str, int]]:
        """(heading above, number of columns below it) of every run of neighbouring columns; "" for no heading."""
        return [(over, len(list(columns))) for over, columns in itertools.groupby(c.over for c in self.columns)]

    def cells(self) -> list[list[str]]:
        """The rows as printed. A grouped table leaves out the leading texts that are the same in the row above."""
        scale = self._scale()
        out = [[_printed(v, c.kind, scale) for v, c in zip(row, self.columns, strict=True)] for row in self.rows]
        for index in range(len(out) - 1, 0, -1) if self.grouped else ():
            for i, column in enumerate(self.columns):
                if column.kind != "text" or out[index][i] != out[index - 1][i]:
                    break
                out[index][i] = ""
        return out

    def right(self) -> list[bool]:
        """Whether each column holds numbers, which are aligned to the right."""
        return [column.kind not in ("text", "source") for column in self.columns]

    def breaks(self) -> set[int]:
        """Indices of the rows after a gap: where a group of several rows begins or ends, and where the rows of a paper
        begin."""
        if not self.grouped:
            return set()
        keys = [(row[0], row[-1] if self.columns[-1].kind == "source" else None) for row in self.rows]
        alone = [keys.count(key) == 1 for key in keys]
        return {
            i
            for i in range(1, len(keys))
            if keys[i] != keys[i - 1] and (keys[i][1] != keys[i - 1][1] or not (alone[i] and alone[i - 1]))
        }

    def to_json(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "cost": self.cost,
            "columns": [c.name for c in self.columns],
            "rows": [[list(v) if isinstance(v, tuple) else _finite(v) for v in row] for row in self.rows],
            "notes": list(self.notes),
        }

    def _scale(self) -> tuple[float, str] | None:
        """(size, letter) of one unit for all costs: the largest in which the least cost is 0.1 or more. None if costs
        span more than SPAN: each cell then names its unit."""
        if self.cost != "flops":
            return 1.0, ""
        indices = [i for i, column in enumerate(self.columns) if column.kind == "cost"]
        values = [abs(v) for row in self.rows for i in indices if isinstance(v := row[i], (int, float)) and v]
        least = min(values, default=1.0)
        if max(values, default=1.0) > SPAN * least:
            return None
        return next((s for s in SCALES if least >= 0.1 * s[0]), SCALES[-1])

    def _unit(self) -> str:
        if self.cost != "flops":
            return f" ({self.cost})"
        scale = self._scale()
        return f" ({scale[1]})" if scale and scale[1] else ""


def extended(table: Table, rows: Sequence[tuple[Value, ...]], source: str) -> Table:
    """The table with the rows of a paper below its own and a last column that names the source of each row."""
    if table.columns[-1].kind != "source":
        columns = (*table.columns, Column("source", "source", "source"))
        table = replace(table, columns=columns, rows=tuple((*row, OURS) for row in table.rows))
    return replace(
        table,
        rows=(*table.rows, *((*row, source) for row in rows)),
        notes=(*table.notes, f"paper: {source}."),
    )


def cost_heading(cost: str, average: str = "average ") -> str:
    """The heading of a column of costs, after the word `average`."""
    return f"{average}FLOPs" if cost == "flops" else f"{average}cost"


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _printed(value: Value, kind: str, scale: tuple[float, str] | None) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return DASH
    if isinstance(value, tuple):
        return " / ".join(_share(v) for v in value)
    if isinstance(value, str):
        return value if kind != "source" or value == OURS else "paper"
    if kind != "cost":
        return KINDS[kind](value)
    size, letter = scale or next((s for s in SCALES if abs(value) >= 0.9995 * s[0]), SCALES[-1])
    return _cost(value / size) + (f" {letter}".rstrip() if scale is None else "")


def _share(value: float) -> str:
    return "<0.1" if 0 < value < 0.0005 else f"{100 * value:.1f}"


def _cost(value: float) -> str:
    if value == 0 or 0.001 <= abs(value) < 999.5:
        return "0" if value == 0 else f"{value:#.3g}".rstrip(".")
    return f"{value:,.0f}" if abs(value) < 1e7 and abs(value) >= 1 else f"{value:.2e}"


KINDS: dict[str, Callable[[float], str]] = {
    "text": str,
    "count": lambda v: f"{v:,}",
    "number": lambda v: f"{v:.4g}",
    "fixed": lambda v: f"{v:.2f}",
    "percent": lambda v: f"{100 * v:.2f}",
    "points": lambda v: f"{100 * v:+.2f}",
    "exits": _share,
    "times": lambda v: f"{v:.2f}x",
}

"""A table as a value: raw rows, and columns that say how each number is printed and in which unit.

The terminal's rendering lives in cli/, HTML in markup.py; here are csv (full precision, names for programs), markdown
and LaTeX.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wisecommittee.errors import UnknownNameError, UsageError, option
from wisecommittee.report.markup import as_html
from wisecommittee.text import shown
from wisecommittee.writing import written_whole

Value = str | int | float | tuple[float, ...] | None
SCALES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
SPAN = 1e5  # costs of one table that span more are printed each in a unit of its own
DASH = "-"
OURS = "this store"


@dataclass(frozen=True, slots=True)
class Column:
    """name : for programs (csv, JSON), where values keep their precision, [0, 1] and the cost's own unit.

    heading : for people; the unit is added in brackets. kind : 'cost' or a name in KINDS. over : heading above several
    columns.
    """

    name: str
    heading: str
    kind: str = "text"
    over: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """cost : the name of the cost its 'cost' columns are in. grouped : rows with one first value belong together."""

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

    def _repr_html_(self) -> str:
        """How a notebook shows it."""
        return as_html(self)

    def column(self, name: str) -> list[Value]:
        """The raw values of one column."""
        place = next(i for i, column in enumerate(self.columns) if column.name == name)
        return [row[place] for row in self.rows]

    def headings(self) -> list[tuple[str, str]]:
        """[(over, heading with its unit)] per column."""
        units = {"percent": " (%)", "points": " (points)", "exits": " (%)", "cost": self._unit()}
        return [(c.over, c.heading + units.get(c.kind, "")) for c in self.columns]

    def cells(self) -> list[list[str]]:
        """The printed rows; in a grouped table the text that begins a row like the one above is left out."""
        scale = self._scale()
        out = [[_printed(v, c.kind, scale) for v, c in zip(row, self.columns, strict=True)] for row in self.rows]
        for place in range(len(out) - 1, 0, -1) if self.grouped else ():
            for i, column in enumerate(self.columns):
                if column.kind != "text" or out[place][i] != out[place - 1][i]:
                    break
                out[place][i] = ""
        return out

    def right(self) -> list[bool]:
        """Which columns are numbers."""
        return [column.kind not in ("text", "source") for column in self.columns]

    def breaks(self) -> set[int]:
        """Rows before which a group of several rows begins or ends, or those of a paper begin."""
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
        """One unit for all costs of the table: the largest that leaves the least at 0.1 or more. None where they span
        so much that each cell names its own."""
        if self.cost != "flops":
            return 1.0, ""
        places = [i for i, column in enumerate(self.columns) if column.kind == "cost"]
        values = [abs(v) for row in self.rows for i in places if isinstance(v := row[i], (int, float)) and v]
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
    """With the rows of a paper below, and a last column that says which rows are whose."""
    if table.columns[-1].kind != "source":
        columns = (*table.columns, Column("source", "source", "source"))
        table = replace(table, columns=columns, rows=tuple((*row, OURS) for row in table.rows))
    return replace(
        table,
        rows=(*table.rows, *((*row, source) for row in rows)),
        notes=(*table.notes, f"paper: {source}."),
    )


def cost_heading(cost: str, average: str = "average ") -> str:
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


def as_csv(table: Table) -> str:
    """Raw values under names for programs; shares of stages joined by '/'; no notes. A text that a spreadsheet would
    take for a formula begins with an apostrophe."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([no_formula(column.name) for column in table.columns])
    for row in table.rows:
        writer.writerow(map(_raw, row))
    return out.getvalue()


def _raw(value: Value) -> str | int | float:
    if isinstance(value, tuple):
        return "/".join(map(repr, value))
    return "" if value is None else no_formula(value) if isinstance(value, str) else value


FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20].")
NUMBERS = re.compile(r"-?[\d.]+(e[-+]?\d+)?(, -?[\d.]+(e[-+]?\d+)?)*")


def no_formula(text: str) -> str:
    """A text for csv: spreadsheets compute what begins with =, +, -, @ or their wide forms."""
    return f"'{shown(text)}" if FORMULA.match(text) and not NUMBERS.fullmatch(text) else shown(text)


def as_markdown(table: Table) -> str:
    headings = [f"{over}: {heading}" if over else heading for over, heading in table.headings()]
    rows = [[in_markdown(cell) for cell in row] for row in (headings, *table.cells())]
    widths = [max(3, *(len(row[i]) for row in rows)) for i in range(len(headings))]
    right = table.right()

    def line(row: Sequence[str]) -> str:
        cells = (c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True))
        return "| " + " | ".join(cells) + " |"

    ruler = line(["-" * (w - 1) + (":" if r else "-") for w, r in zip(widths, right, strict=True)])
    body = "\n".join([line(rows[0]), ruler, *map(line, rows[1:])])
    notes = "".join(f"\n{BLOCK.sub(_begun, in_markdown(note))}\n" for note in table.notes)
    return f"**{in_markdown(table.title)}**\n\n{body}\n{notes}"


# Within a line: emphasis, code, links, raw HTML, entities, mathematics; '_' inside a word is none of them.
INLINE = re.compile(r"[\\`*\[\]|~$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
BLOCK = re.compile(r"^(\d*)([-+#>=.)])")  # at its beginning: lists, headings, quotations


def in_markdown(text: str) -> str:
    """A text that Markdown shows as it is."""
    marked = INLINE.sub(r"\\\g<0>", shown(text)).replace("<", "&lt;")
    return re.sub(r"&(?=#?\w+;)(?!lt;)", "&amp;", marked)


def _begun(found: re.Match[str]) -> str:
    return f"{found[1]}\\{found[2]}"


def as_latex(table: Table) -> str:
    """A table environment; needs the package booktabs."""
    columns = "".join("r" if right else "l" for right in table.right())
    headings = table.headings()
    above, rules = _spans([over for over, _ in headings])
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escaped(table.title)}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        *([f"{above} \\\\", rules] if above else []),
        " & ".join(escaped(heading) for _, heading in headings) + r" \\",
        r"\midrule",
    ]
    breaks = table.breaks()
    for place, row in enumerate(table.cells()):
        if place in breaks:
            lines.append(r"\midrule")
        lines.append(" & ".join(map(escaped, row)) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [rf"\par\footnotesize {escaped(note)}" for note in table.notes]
    return "\n".join([*lines, r"\end{table}", ""])


def _spans(overs: Sequence[str]) -> tuple[str, str]:
    """The row of headings above others and the rules below it; empty where there are none."""
    cells, rules, place = [], [], 0
    while place < len(overs):
        end = place + 1
        while end < len(overs) and overs[end] == overs[place]:
            end += 1
        if overs[place]:
            cells.append(rf"\multicolumn{{{end - place}}}{{c}}{{{escaped(overs[place])}}}")
            rules.append(rf"\cmidrule(lr){{{place + 1}-{end}}}")
        else:
            cells += [""] * (end - place)
        place = end
    return (" & ".join(cells), "".join(rules)) if rules else ("", "")


LATEX = {
    "\\": r"\textbackslash{}",
    **{c: "\\" + c for c in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
}


def escaped(text: str) -> str:
    return "".join(LATEX.get(c, c) for c in shown(text))


FORMATS: dict[str, Callable[[Table], str]] = {
    "csv": as_csv,
    "markdown": as_markdown,
    "latex": as_latex,
    "html": as_html,
}
ENDINGS = {".csv": "csv", ".md": "markdown", ".tex": "latex", ".html": "html"}


def render(table: Table, form: str) -> str:
    """The table as text in one of FORMATS."""
    if form not in FORMATS:
        raise UnknownNameError("format", form, FORMATS)
    return FORMATS[form](table)


def form_of(asked: str | None, file: Path | None) -> str:
    """The format asked for, else the one a file's ending says, else 'rich' for the terminal."""
    if asked is not None:
        if asked not in (*FORMATS, "rich"):
            raise UnknownNameError("format", asked, (*FORMATS, "rich"))
        if asked == "rich" and file is not None:
            raise UsageError(
                f"{option('format')} rich is for the terminal; choose csv, markdown, latex or html for a file"
            )
        return asked
    if file is None:
        return "rich"
    if file.suffix.lower() not in ENDINGS:
        raise UsageError(f"{str(file)!r} ends in none of {', '.join(ENDINGS)}; name the format with {option('format')}")
    return ENDINGS[file.suffix.lower()]


def write(table: Table, form: str, path: Path) -> Path:
    text = render(table, form)
    with written_whole(path) as file:
        file.write(text.encode())
    return path

"""A table as text: csv (full precision, names for programs), Markdown, LaTeX and HTML."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from wisecommittee.errors import UnknownNameError, UsageError, option
from wisecommittee.report.table import Table, Value
from wisecommittee.text import shown
from wisecommittee.writing import written_whole


def as_csv(table: Table) -> str:
    """The table as csv, without notes.

    Raw values under the columns' names for programs; shares of stages are joined by '/'. A text that a spreadsheet
    would take for a formula begins with an apostrophe.
    """
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
    """A text for csv; an apostrophe goes before =, +, -, @ and their wide forms, which begin formulas."""
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
    """A text with Markdown's signs escaped."""
    marked = INLINE.sub(r"\\\g<0>", shown(text)).replace("<", "&lt;")
    return re.sub(r"&(?=#?\w+;)(?!lt;)", "&amp;", marked)


def _begun(start: re.Match[str]) -> str:
    return f"{start[1]}\\{start[2]}"


def as_latex(table: Table) -> str:
    """The table as a LaTeX table environment; needs the package booktabs."""
    columns = "".join("r" if right else "l" for right in table.right())
    headings = table.headings()
    above, rules = _heading_groups(table.spans())
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
    for index, row in enumerate(table.cells()):
        if index in breaks:
            lines.append(r"\midrule")
        lines.append(" & ".join(map(escaped, row)) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [rf"\par\footnotesize {escaped(note)}" for note in table.notes]
    return "\n".join([*lines, r"\end{table}", ""])


def _heading_groups(spans: Sequence[tuple[str, int]]) -> tuple[str, str]:
    """The row of headings above several columns and the rules below it; ("", "") where there are none."""
    cells, rules, first = [], [], 1
    for over, width in spans:
        if over:
            cells.append(rf"\multicolumn{{{width}}}{{c}}{{{escaped(over)}}}")
            rules.append(rf"\cmidrule(lr){{{first}-{first + width - 1}}}")
        else:
            cells += [""] * width
        first += width
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
    "html": Table.to_html,
}
ENDINGS = {".csv": "csv", ".md": "markdown", ".tex": "latex", ".html": "html"}


def render(table: Table, form: str) -> str:
    """The table as text in one of FORMATS."""
    if form not in FORMATS:
        raise UnknownNameError("format", form, FORMATS)
    return FORMATS[form](table)


def form_of(asked: str | None, file: Path | None) -> str:
    """The format that was asked for, else the one of the file's ending, else 'rich' for the terminal."""
    if asked is not None:
        if asked not in (*FORMATS, "rich"):
            raise UnknownNameError("format", asked, (*FORMATS, "rich"))
        if asked == "rich" and file is not None:
            raise UsageError(
                f"{option('format', 'rich')} is for the terminal; choose csv, markdown, latex or html for a file"
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

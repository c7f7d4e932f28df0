"""Tables as values: raw and printed figures, and the formats they leave in."""

from __future__ import annotations

import csv
import io
import json

import pytest

from wisecommittee.errors import UnknownNameError, UsageError, WiseCommitteeError
from wisecommittee.report import formats, tables
from wisecommittee.report.table import Column, Table

TABLE = Table(
    "A & B",
    (
        Column("model", "model"),
        Column("quality", "top-1", "percent", over="single"),
        Column("average_cost", "FLOPs", "cost", over="single"),
        Column("speedup", "speed-up", "times"),
        Column("exit_ratios", "exits", "exits"),
    ),
    (
        ("b3", 0.8134, 1_800_000_000, None, (1.0,)),
        ("b3", 0.8126, 230_000_000.5, 7.826, (0.6004, 0.3993, 0.0003)),
        ("b5_x", 1.0, 10_300_000_000.0, 1.0, (0.0, 1.0)),
    ),
    ("note",),
    grouped=True,
)


def test_numbers_are_printed_by_kind_and_costs_share_a_unit():
    assert TABLE.headings() == [
        ("", "model"),
        ("single", "top-1 (%)"),
        ("single", "FLOPs (G)"),
        ("", "speed-up"),
        ("", "exits (%)"),
    ]
    assert TABLE.cells() == [
        ["b3", "81.34", "1.80", "-", "100.0"],
        ["", "81.26", "0.230", "7.83x", "60.0 / 39.9 / <0.1"],
        ["b5_x", "100.00", "10.3", "1.00x", "0.0 / 100.0"],
    ]
    assert TABLE.breaks() == {2}
    assert TABLE.right() == [False, True, True, True, True]


@pytest.mark.parametrize(
    ("costs", "cost", "unit", "printed"),
    [
        ((640, 398_208), "flops", "FLOPs (k)", ["0.640", "398"]),
        ((12, 398_208), "flops", "FLOPs", ["12.0", "398,208"]),
        ((386e6, 37e9), "flops", "FLOPs (G)", ["0.386", "37.0"]),
        ((0, 5), "flops", "FLOPs", ["0", "5.00"]),
        ((0.0005, 0.25), "usd", "FLOPs (usd)", ["5.00e-04", "0.250"]),
        ((1234.5, 3), "latency_ms", "FLOPs (latency_ms)", ["1,234", "3.00"]),
    ],
)
def test_one_unit_per_table(costs, cost, unit, printed):
    made = Table("", (Column("c", "FLOPs", "cost"),), tuple((c,) for c in costs), cost=cost)
    assert made.headings() == [("", unit)]
    assert [row[0] for row in made.cells()] == printed


def test_csv_keeps_what_was_measured():
    rows = list(csv.reader(io.StringIO(formats.as_csv(TABLE))))
    assert rows[0] == ["model", "quality", "average_cost", "speedup", "exit_ratios"]
    assert rows[2] == ["b3", "0.8126", "230000000.5", "7.826", "0.6004/0.3993/0.0003"]
    assert rows[1][3] == ""
    assert [float(row[1]) for row in rows[1:]] == TABLE.column("quality")


def test_json_has_no_nan():
    odd = Table("t", (Column("x", "x", "number"),), ((float("nan"),), (float("inf"),), (2.5,)))
    assert json.loads(json.dumps(odd.to_json(), allow_nan=False))["rows"] == [[None], [None], [2.5]]
    assert [row[0] for row in odd.cells()] == ["-", "-", "2.5"]


def test_markdown():
    lines = formats.as_markdown(TABLE).splitlines()
    assert lines[0] == "**A & B**"
    assert lines[2].startswith("| model | single: top-1 (%) | single: FLOPs (G) |")
    assert lines[3].startswith("| ----- | ----------------: |")
    assert len({len(line) for line in lines[2:7]}) == 1
    assert lines[-1] == "note"
    piped = Table("t", (Column("c", "c"),), (("a | b",),))
    assert "| a \\| b |" in formats.as_markdown(piped)


def test_latex():
    text = formats.as_latex(TABLE)
    assert r"\caption{A \& B}" in text
    assert r" & \multicolumn{2}{c}{single} &  &  \\" in text
    assert r"\cmidrule(lr){2-3}" in text
    assert r"b5\_x & 100.00 & 10.3 & 1.00x & 0.0 / 100.0 \\" in text
    assert text.count(r"\midrule") == 2  # below the headings, and before the second group
    assert formats.escaped("a_b 5% <~^\\") == r"a\_b 5\% \textless{}\textasciitilde{}\textasciicircum{}\textbackslash{}"


def test_rows_must_fit_their_columns():
    with pytest.raises(ValueError, match="a row of 1 values, 2 columns"):
        Table("t", (Column("a", "a"), Column("b", "b")), (("x",),))


def test_formats_and_endings(tmp_path):
    assert formats.form_of(None, None) == "rich"
    assert formats.form_of(None, tmp_path / "x.TEX") == "latex"
    assert formats.form_of("csv", tmp_path / "x.txt") == "csv"
    with pytest.raises(UsageError, match=r"ends in none of .csv, .md, .tex"):
        formats.form_of(None, tmp_path / "x.xlsx")
    with pytest.raises(UsageError, match="format='rich' is for the terminal"):
        formats.form_of("rich", tmp_path / "x.md")
    with pytest.raises(UnknownNameError, match="did you mean 'latex'"):
        formats.form_of("latx", None)
    assert formats.write(TABLE, "csv", tmp_path / "x.csv").read_text() == formats.as_csv(TABLE)
    with pytest.raises(WiseCommitteeError, match="cannot write"):
        formats.write(TABLE, "csv", tmp_path / "missing" / "x.csv")


def test_unknown_tables_name_the_known_ones():
    with pytest.raises(UnknownNameError, match="did you mean 'frontier'"):
        tables.fill("frontir", None)

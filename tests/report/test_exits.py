"""Every way out of the program with names that a stranger chose: they stay text, and none is lost or taken for another.

The names hold what terminals, mathtext, HTML, Markdown, LaTeX, spreadsheets, format strings, rich markup and shells
obey. Hidden characters are refused as names of models (tests below); an older or a foreign store may hold them all the
same, so the stores here are written as if nothing were refused.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
import shutil
import sys
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from frontiers import FRONTIER, evaluation
from wisecommittee.cli import console, main

from wisecommittee.analyses.study import study_of
from wisecommittee.committees import cards
from wisecommittee.committees.cards import ModelCard
from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.errors import StoreError, UsageError
from wisecommittee.report import formats, plot, tables
from wisecommittee.report.page import page
from wisecommittee.searches.members import identity
from wisecommittee.searches.query import Query
from wisecommittee.store import LogitStore
from wisecommittee.text import HIDDEN, as_json, one_line, shown

CHECK = cards.check_name
HOSTILE = (
    "$\\frac{$ | $$ + x..y",
    "=cmd|' /C calc'!A0<script>alert(1)</script>",
    "_[red]:smile:{0}%s\\textbf{}[/red]",
    '"&lt;`**b**``',
    "\x1b[31m\x9b2J\u202e\u200bend",
)
COSTS = ("$\\frac{$", "<b>_usd\x1b]0;x\x07")
UNITS = 60


def hostile_cards(names, splits=("val", "test")):
    """Three replicas of each architecture, and a group of leaves of the last."""
    for split, seed in zip(splits, (1, 2), strict=True):
        rng = np.random.default_rng(seed)
        labels = rng.integers(0, 4, UNITS)
        for m, name in enumerate(names):
            for r in range(3):
                outputs = rng.standard_normal((UNITS, 4)).astype(np.float32)
                outputs[np.arange(UNITS), labels] += np.float32(0.8 + 0.5 * m)
                costs = {"latency_ms": 1.0 + m, "batch_ms": 0.5 + m, **dict.fromkeys(COSTS, 1.0 + m)}
                blocks = {f"{m}/{r}": 10**6 * 3**m}
                yield split, ModelCard(f"{name}/{r}", name, r, blocks=blocks, costs=costs, training_cost=1.0 + m), {
                    "labels": labels, "outputs": outputs, "scores": {"=s$<": outputs.max(axis=1)}
                }  # fmt: skip


def leaves_of(name, splits=("val", "test")):
    for split, seed in zip(splits, (1, 2), strict=True):
        rng = np.random.default_rng(seed)
        labels = rng.integers(0, 4, UNITS)
        for r in range(4):
            outputs = rng.standard_normal((UNITS, 4)).astype(np.float32)
            outputs[np.arange(UNITS), labels] += np.float32(1)
            card = ModelCard(
                f"{name}/{r}", name, r, blocks={"trunk": 900, f"leaf{r}": 100}, group=f"{name}", position=r
            )
            yield split, card, {"labels": labels, "outputs": outputs}


def filled(folder, given):
    store = LogitStore(folder)
    for split, card, values in given:
        store.add(card, split, **values)
    return store


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WISECOMMITTEE_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(cards, "check_name", lambda noun, name: None)
        yield


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return filled(tmp_path_factory.mktemp("pool") / "logits", hostile_cards(HOSTILE))


@pytest.fixture(scope="module")
def leaves(tmp_path_factory):
    return filled(tmp_path_factory.mktemp("leaves") / "logits", leaves_of(f"hne-{HOSTILE[0]}-{HOSTILE[4]}"))


@pytest.fixture(scope="module")
def sizes(tmp_path_factory):
    """Checkpoints at two input sizes each."""
    names = [f"{name}@{size}" for name in HOSTILE[:2] for size in (224, 300)]
    return filled(tmp_path_factory.mktemp("sizes") / "logits", hostile_cards(names))


@pytest.fixture(scope="module")
def ladder(tmp_path_factory):
    """Architectures whose names differ in a number."""
    names = [f"{HOSTILE[0]}{HOSTILE[4]}{rung}" for rung in range(4)]
    return filled(tmp_path_factory.mktemp("ladder") / "logits", hostile_cards(names))


@pytest.fixture(scope="module")
def study(store):
    return study_of(store, max_models=2, levels=8, threads=1)


@pytest.fixture(scope="module")
def committee(store):
    """Of all signs, where every unit exits early."""
    models = [f"{name}/0" for name in HOSTILE]
    members = {model: identity(store.card(model, "val")) for model in models}
    stages = ((models[0],), (models[1], models[2]), (models[3],), (models[4],))
    return Committee(stages, Thresholds((0.3, 0.3, 0.3)), members=members, chosen_on="val")


@pytest.fixture(scope="module")
def study_for(study, leaves, sizes, ladder, committee):
    """kind -> a study that the kind can be made of."""
    wanted = {
        **dict.fromkeys(("leaves", "deviation", "anytime"), study_of(leaves, threads=1)),
        "self-cascades": study_of(sizes, max_models=2, levels=8, threads=1),
        "scaled-cascades": study_of(ladder, max_models=2, levels=8, threads=1),
        **dict.fromkeys(ABOUT_COMMITTEES, replace(study, committees=(committee,))),
    }
    return lambda kind: wanted.get(kind, study)


ABOUT_COMMITTEES = ("exits", "thresholds", "confidence", "sweep", "calibration")


def only_shown(text):
    """Nothing but line breaks acts."""
    assert not HIDDEN.search(text.replace("\n", "")), text


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)


@pytest.mark.parametrize("kind", tables.TABLES)
def test_every_table_in_every_format(kind, study_for):
    made = tables.fill(kind, study_for(kind))
    texts = [value for row in made.rows for value in row if isinstance(value, str)]
    assert kind == "members" or any("\\frac" in text for text in (*texts, *made.notes))  # that one names nobody
    # csv: the same values under an apostrophe where a spreadsheet would compute
    text = formats.as_csv(made)
    only_shown(text)
    for row, raw in zip(list(csv.reader(io.StringIO(text)))[1:], made.rows, strict=True):
        for cell, value in zip(row, raw, strict=True):
            if isinstance(value, str):
                assert cell in (shown(value), f"'{shown(value)}")
                assert not re.match(r"\s*[=+@-]\D", cell)
    # Markdown: rows keep their cells, nothing is raw HTML, mathematics or emphasis
    text = formats.as_markdown(made)
    only_shown(text)
    assert "<" not in text
    assert not re.search(r"(?<!\\)[$`]", text)
    body = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in body} == {len(made.columns) + 1}
    # HTML
    text = formats.render(made, "html")
    only_shown(text)
    tags = Tags()
    tags.feed(text)
    assert set(tags.tags) <= {"div", "table", "caption", "thead", "tbody", "tr", "th", "td", "p"}
    # LaTeX
    text = formats.as_latex(made)
    only_shown(text)
    assert not re.search(r"(?<!\\)\$|\\frac|\\textbf\{\}|(?<!\\)_", text)
    json.loads(json.dumps(made.to_json(), allow_nan=False))


PLOTTED = [kind for kind in plot.kinds() if kind != "learning"]


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
@pytest.mark.parametrize("kind", PLOTTED)
def test_every_plot_in_every_format(kind, ending, study_for, tmp_path):
    path = plot.picture(kind, study_for(kind), tmp_path / f"x.{ending}")
    assert path.read_bytes().lstrip().startswith({"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[ending])
    if ending == "svg":
        text = path.read_text(encoding="utf-8")
        only_shown(text)
        ElementTree.fromstring(text)


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("kind", ["frontier", "exits", "match", "members", "replica-ensembles", "replicas"])
def test_names_of_costs_in_plots_and_tables(kind, cost, study, tmp_path):
    asked = replace(study, query=replace(study.query, cost=cost))
    plot.picture(kind, asked, tmp_path / "x.svg")
    drawing = ElementTree.fromstring((tmp_path / "x.svg").read_text(encoding="utf-8"))
    assert drawing.tag.endswith("svg")
    made = tables.fill(kind, asked)
    only_shown(formats.as_markdown(made) + formats.as_latex(made) + formats.as_csv(made))


def test_names_without_a_sign_in_the_font_are_warned_of_once(tmp_path):
    singles = (evaluation("甲乙", 20, 700), evaluation("丙", 30, 800))
    with pytest.warns(UserWarning, match="has no sign for") as heard:
        plot.draw("frontier", tmp_path / "x.png", frontier=replace(FRONTIER, singles=singles))
    assert len(heard) == 1
    assert all(sign in str(heard[0].message) for sign in "甲乙丙")


def test_a_curve_s_phase_is_text(tmp_path):
    import pandas as pd

    rows = [{"phase": name, "epoch": e, "loss": 1.0, "accuracy": 0.5} for name in HOSTILE for e in (1, 2)]
    ax = plot.PLOTS["learning"].draw(plot.Figure().add_subplot(), pd.DataFrame(rows))
    entries = [text.get_text().replace("\n", " ") for text in ax.get_legend().get_texts()]
    assert entries[:-1] == list(map(shown, HOSTILE))  # the one that begins with an underscore too
    ax.figure.canvas.draw()


def test_the_page_holds_text_only(study, committee):
    for asked in (
        study,
        replace(study, committees=(committee,)),
        replace(study, query=replace(study.query, cost=COSTS[1])),
    ):
        text = page(asked, command="wisecommittee report --store \x1b[2J</pre>")
        only_shown(text)
        tags = Tags()
        tags.feed(text)
        assert tags.tags.count("script") == 2
        assert "b" not in tags.tags or "<b>_usd" not in text
        points = json.loads(re.search(r'id="points">(.*?)</script>', text)[1])
        for point in points:
            only_shown(point)


# The terminal


@pytest.fixture
def run(capsys, monkeypatch):
    monkeypatch.setattr("warnings.showwarning", lambda *a, **k: None)

    def call(*arguments, code=0):
        monkeypatch.setattr(sys, "argv", ["wisecommittee", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        assert ended.value.code == code, captured.err
        only_shown(captured.out)
        only_shown(captured.err)
        return captured

    return call


def commands(folder):
    """Every command that reads a store, and one mistake of each kind: (arguments, exit code)."""
    store = ("--store", folder)
    little = ("--models", "*/0", "--max-models", 2)
    return {
        "models": (("models", *store), 0),
        "verify": (("verify", *store), 0),
        "search": (("search", *store, *little, "--levels", 5), 0),
        "match": (("search", *store, *little, "--levels", 5, "--match", f"{HOSTILE[4]}/0"), 0),
        "cost": (
            (
                "search",
                *store,
                *little,
                "--levels",
                5,
                "--cost",
                COSTS[1],
                "--target-cost",
                1e9,
                "--save",
                "c\x1b[31m.json",
            ),
            0,
        ),
        "evaluate": (("evaluate", "committee.json", *store), 0),
        "calibrate": (("calibrate", "--model", f"{HOSTILE[4]}/0", *store), 0),
        "tables": (("tables", "exits", *store, "--committee", "committee.json"), 0),
        "plot": (("plot", "exits", *store, "--committee", "committee.json", "--out", "\x1b[31mx.svg"), 0),
        "report": (("report", *store, *little, "--out", "\x1b[31mx.html"), 0),
        "remove": (("remove", f"{HOSTILE[4]}/2", *store), 0),
        "unknown model": (("search", *store, "--match", "\x1b[2J\u202e"), 1),
        "unknown cost": (("search", *store, "--cost", "\x9b2J"), 1),
        "unknown option": (("search", "--\x1b[2J"), 2),
        "absent file": (("evaluate", "no\x1b[2J\u202e.json", *store), 1),
        "heading of a cost file": (("import", *store, "--costs", "hostile.csv"), 1),
        "member": (("evaluate", "hostile.json", *store), 1),
        "absent folder": (("report", *store, "--out", "no\x1b[2J/x.html"), 1),
    }


@pytest.mark.parametrize("name", list(commands("")))
def test_every_command_prints_text_only(name, run, store, committee, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = LogitStore(shutil.copytree(store.files.local, tmp_path / "S\u202e"))
    committee.save("committee.json")
    (tmp_path / "hostile.csv").write_text("mo\x1b[2Jdel,flops\x9b\n\u202ea,1\n", encoding="utf-8")
    Committee((("\x1b[2J\u202ea",),)).save("hostile.json")
    arguments, code = commands(made.files.uri)[name]
    said = run(*arguments, code=code)
    if name == "models":
        together = "".join(said.out.split())
        for architecture in HOSTILE:
            assert "".join(shown(f"{architecture}/0").split()) in together


def test_json_is_exact(run, store, committee, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = LogitStore(shutil.copytree(store.files.local, tmp_path / "S"))
    committee.save("committee.json")
    said = json.loads(run("models", "--store", made.files.uri, "--json").out)
    assert {entry["model"] for entry in said["models"]} == {f"{name}/{r}" for name in HOSTILE for r in range(3)}
    said = json.loads(run("evaluate", "committee.json", "--store", made.files.uri, "--json").out)
    assert said["committee"]["stages"] == [list(stage) for stage in committee.stages]
    assert json.loads(as_json({"x": [float("nan"), float("inf"), (1.5, True)]})) == {"x": [None, None, [1.5, True]]}


def test_progress_is_text(monkeypatch, capsys):
    stream = io.StringIO()
    monkeypatch.setattr(console, "err", console.Terminal(file=stream, width=200, force_terminal=True))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    names = [name.replace("\x1b[31m", "") for name in HOSTILE]  # the bars have codes of their own
    with console.progress() as update:
        for name in names:
            update(name, 1, 2)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", stream.getvalue())
    only_shown(text)
    assert all(shown(name) in text for name in names)


def test_a_message_is_one_line():
    assert one_line("a\n  b\tc\r\nd \x1b[2J \x85 \u2028") == "a b c d \\x1b[2J \\x85 \\u2028"


def test_output_that_its_encoding_cannot_hold_shows_codes(monkeypatch):
    for encoding in ("ascii", "latin-1", "utf-8"):
        stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(stream, "isatty", lambda: True)
        console.use_any_text()
        print("\ud800 → é")
        console.print_json({"\ud800→é": 1})
        stream.flush()
        lines = stream.buffer.getvalue().decode(encoding).splitlines()
        assert "ud800" in lines[0]
        assert json.loads(lines[1]) == {"\ud800→é": 1}


# Names that are refused, and labels


@pytest.mark.parametrize("sign", [*"\x00\n\x1f\x7f\x85\x9b", "\u00ad", "\u061c", "\u200b", "\u200e", "\u2028", "\u202e",
                                  "\u2066", "\u3164", "\ufe0f", "\ufeff", "\ud800", "\U000e0041"])  # fmt: skip
def test_hidden_characters_are_no_names(sign, monkeypatch):
    monkeypatch.setattr(cards, "check_name", CHECK)
    for fields in (
        {"model": f"a{sign}b"},
        {"model": "a", "costs": {f"a{sign}b": 1}},
        {"model": "a", "group": f"a{sign}b"},
    ):
        with pytest.raises(StoreError, match="control characters"):
            ModelCard(**fields)


@pytest.mark.parametrize("name", ["", " a", "a\u3000", ".", ".."])
def test_names_that_are_no_names(name, monkeypatch):
    monkeypatch.setattr(cards, "check_name", CHECK)
    with pytest.raises(StoreError, match="expected text without outer spaces"):
        ModelCard(name)


def test_names_of_any_script_are_names(monkeypatch):
    monkeypatch.setattr(cards, "check_name", CHECK)
    for name in ("模型/0", "מודל/0", "модель 2", "a.b..c", "x|y", "<b>", "$x$", "'=1", "🙂"):
        assert ModelCard(name).model == name


def splits(models):
    """Every committee of these models, in this order."""
    for bars in itertools.product((False, True), repeat=len(models) - 1):
        stages = [[models[0]]]
        for model, bar in zip(models[1:], bars, strict=True):
            stages.append([model]) if bar else stages[-1].append(model)
        yield Committee(tuple(map(tuple, stages)), Thresholds((0.5,) * (len(stages) - 1)))


def test_no_two_committees_have_one_label():
    """Names made of the signs of labels themselves, in every committee of up to three."""
    names = ["a", "b", "a | b", "a + b", "a|b", '"a"', '"a | b"', '"', "\\", "a\\", "h/0 + h/1", '"h/0".. 2']
    names += [
        'a" | "b',
        '""',
        'a" + "b',
        "h/0",
        "h/1",
        "h/2",
        "h/0..2",
        "h/00",
        "h/02",
        '"a|b/0"..2',
        "a|b/0",
        "a|b/1",
        "a|b/2",
    ]
    seen = {}
    for size in (1, 2, 3):
        for models in itertools.permutations(names, size):
            for committee in splits(models):
                other = seen.setdefault(committee.label(), committee.stages)
                assert other == committee.stages, committee.label()


def test_labels_of_ordinary_names_have_no_quotes():
    committee = Committee((("b3/0",), ("b5/0", "b5/1"), ("h/0", "h/1", "h/2")), Thresholds((0.5, 0.5)))
    assert committee.label() == "b3/0 | b5/0 + b5/1 | h/0..2"
    assert Committee((("x|y",), ("a b",)), Thresholds((0.5,))).label() == '"x|y" | a b'


# What a table or a plot has no use for


@pytest.mark.parametrize(
    ("kind", "changes", "says"),
    [
        ("match", {"committees": 1}, "not about given committees"),
        ("scaled-cascades", {"committees": 2}, "shows one committee, and 2 were given"),
        ("confidence", {"published": True}, "print nothing in this layout"),
        ("replica-ensembles", {"published": True}, "print nothing in this layout"),
        ("leaves", {"published": True}, "print nothing in this layout"),
        ("exits", {"published": True, "committees": 1}, "beside a whole pool"),
        ("match", {"published": True, "query": Query(cost="latency_ms")}, "are in FLOPs, not latency_ms"),
    ],
)
def test_what_a_table_would_leave_out_is_refused(kind, changes, says, study, committee):
    given = (committee,) * changes.pop("committees", 0)
    with pytest.raises(UsageError, match=says):
        tables.check(kind, replace(study, committees=given, **changes))


@pytest.mark.parametrize(
    ("kind", "changes", "says"),
    [
        ("sweep", {"committees": 2}, "shows one committee, and 2 were given"),
        ("confidence", {"committees": 2}, "shows one committee"),
        ("frontier", {"committees": 1}, "not about given committees"),
        ("exits", {"curves": "x.parquet"}, "no learning curves"),
        ("replica-ensembles", {"published": True}, "print nothing in this layout"),
    ],
)
def test_what_a_plot_would_leave_out_is_refused(kind, changes, says, study, committee, tmp_path):
    given = (committee,) * changes.pop("committees", 0)
    with pytest.raises(UsageError, match=says):
        plot.check(kind, tmp_path / "x.png", replace(study, committees=given, **changes))


def test_committees_of_different_costs_share_no_table(study, committee):
    with pytest.raises(UsageError, match="flops and latency_ms share no axis"):
        tables.check("thresholds", replace(study, committees=(committee, replace(committee, cost="latency_ms"))))


@pytest.mark.parametrize("kind", ["thresholds", "confidence", "exits"])
def test_every_committee_that_is_named_is_in_the_table(kind, study, committee):
    other = replace(committee, stages=(committee.stages[0], committee.stages[2]), policy=Thresholds((0.4,)))
    asked = replace(study, committees=(committee, other))
    tables.check(kind, asked)
    made = tables.fill(kind, asked)
    assert set(made.column("committee")) == {committee.label(), other.label()}
    alone = tables.fill(kind, replace(study, committees=(other,)))
    values = [row[-len(alone.columns) + (kind == "exits") :] for row in made.rows if row[0] == other.label()]
    if kind != "exits":
        assert values == list(alone.rows)


def test_every_committee_that_is_named_is_in_the_plot(study, committee):
    two = [
        replace(committee, stages=((a,), (b,)), policy=Thresholds((0.4,)))
        for a, b in itertools.pairwise(committee.models)
    ]
    asked = replace(study, committees=tuple(two[:2]))
    ax = plot.of_study(plot.Figure(figsize=(7, 4)).add_subplot(), "thresholds", asked)
    entries = [text.get_text().replace("\n", " ") for text in ax.get_legend().get_texts()]
    for c in two[:2]:
        assert any(entry.startswith(shown(c.label())[:40]) for entry in entries)


def test_long_texts_of_a_plot_keep_their_ends():
    from wisecommittee.report.style import folded

    assert folded("a short one", 20) == "a short one"
    lines = folded("x" * 30 + "y" * 30, 20).split("\n")
    assert "".join(lines) == "x" * 30 + "y" * 30
    text = folded("x" * 100 + "/0", 20)
    assert text.endswith("/0")
    assert text.startswith("x")
    assert "…" in text
    assert max(map(len, text.split("\n"))) <= 20


@pytest.mark.parametrize("kind", ["smallest-ensemble", "replica-ensembles", "match", "frontier", "exits", "thresholds"])
def test_names_of_a_folder_s_whole_length_leave_room_for_the_drawing(kind, tmp_path):
    """The layout does not collapse, which matplotlib would warn of, and warnings are errors here."""
    names = [f"{'an_architecture_with_all_its_settings' * 4}-v{rung}" for rung in range(4)]
    long = filled(tmp_path / "logits", hostile_cards(names))
    path = plot.picture(kind, study_of(long, max_models=2, levels=6, threads=1), tmp_path / "x.png")
    assert path.read_bytes().startswith(b"\x89PNG")

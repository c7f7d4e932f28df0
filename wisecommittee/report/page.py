"""One page about a store: which committee, what to expect of it, how sure. A single HTML file that needs no network.

The tables, plots and evaluations on it are those of the other commands. Texts from the store are escaped, and a content
policy forbids whatever is not in the file.
"""

from __future__ import annotations

import io
import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from importlib import resources
from itertools import zip_longest
from pathlib import Path
from typing import Any

import matplotlib

from wisecommittee.analyses.study import Study, spread
from wisecommittee.errors import WiseCommitteeError, counted
from wisecommittee.report import plot
from wisecommittee.report.expected import expected_note, expected_words
from wisecommittee.report.markup import escape
from wisecommittee.report.page_answer import answer, figures_of
from wisecommittee.report.page_chart import Marks, chart
from wisecommittee.report.tables import fill
from wisecommittee.searches.choice import Choice
from wisecommittee.searches.doctor import examine
from wisecommittee.searches.evaluation import Evaluation
from wisecommittee.searches.frontier import Frontier
from wisecommittee.searches.query import Query
from wisecommittee.searches.selection import Selection
from wisecommittee.searches.target import Target
from wisecommittee.version import __version__
from wisecommittee.writing import written_whole

POINTS = 250  # committees drawn at most
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
# The chapters in order: (heading, kinds of tables, kinds of plots).
CHAPTERS: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("Beside every single model", ("match", "worst-case"), ()),
    ("Where units exit", ("exits",), ("exits",)),
    ("Is confidence worth trusting?", ("confidence",), ("confidence", "calibration")),
    ("The thresholds of the committee above", ("thresholds",), ("thresholds",)),
    ("Ensembles as cascades", ("conversion",), ()),
    ("How many members, and which", ("members", "diversity"), ("members",)),
)


def write_page(
    study: Study, path: str | os.PathLike[str], target: Target | None = None, command: str | None = None
) -> Path:
    """Write the page about a study.

    Parameters
    ----------
    study : Study
    path : path
    target : Target, optional
        Target of the committee on the page; by default to be as accurate as the best single model.
    command : str, optional
        The command that made the page, printed on it.
    """
    text = page(study, target, command)
    with written_whole(path) as file:
        file.write(text.encode())
    return Path(path)


def page(study: Study, target: Target | None = None, command: str | None = None) -> str:
    """The page about a study as HTML."""
    frontier = study.frontier_with_expected()
    choice = chosen_for(study, target)
    sections = [_head(study, choice), _doctor(study), answer(study, choice), _frontier(study, choice, frontier)]
    about = replace(study, given=frontier, committees=study.committees or (choice.val.committee,))
    sections += [_chapter(about, *chapter) for chapter in CHAPTERS]
    sections.append(_commands(study, choice, command))
    style, script = _file("page.css"), _file("page.js")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<title>Committees of {escape(_name(study))}</title><style>\n{style}</style></head>\n<body>\n"
        + "\n".join(sections)
        + f"\n<script>\n{script}</script>\n</body></html>\n"
    )


def chosen_for(study: Study, target: Target | None) -> Choice:
    """The committee of the page about a study."""
    if study.guarantees.guarantee:
        return study.guaranteed(target)
    return study.choice(target or _default_target(study.frontier_with_expected()))


def _default_target(frontier: Frontier) -> Target | None:
    """As accurate as the best single model; the most accurate committee where none is (a replica that canonical
    committees leave out, a limit on the worst case)."""
    best = frontier.best_single()
    if frontier.best().quality < best.quality:
        return None
    alone = best.committee.shape == "single"  # a Frontier made in Python may list committees as `singles`
    return Target("match", best.committee.models[0]) if alone else Target("target_accuracy", best.quality)


def _file(name: str) -> str:
    return resources.files("wisecommittee.report").joinpath(name).read_text(encoding="utf-8")


def _name(study: Study) -> str:
    return study.store.files.uri.rstrip("/").rsplit("/", 1)[-1]


def _head(study: Study, choice: Choice) -> str:
    pool = [counted(len(choice.frontier.singles), "model")]
    pool += [f"{e.split}: {counted(e.n, 'unit')}" for e in (choice.val, choice.test) if e]
    searched = choice.frontier.searched
    proved = ", proved over all real thresholds" if searched.get("exact") else ""
    if not searched.get("complete", True):
        proved = "; the search was stopped before its end, and this is the best found so far"
    return (
        f"<h1>Committees of {escape(_name(study))}</h1>"
        f'<p class="soft">{escape("; ".join(pool))}; '
        f"{searched.get('combinations', 0):,} combinations and {searched.get('threshold_vectors', 0):,} threshold "
        f"vectors searched{proved}.</p>"
    )


def _doctor(study: Study) -> str:
    """Warnings about the data, before the figures that they concern."""
    splits = [split for split in dict.fromkeys((study.split, study.reports)) if study.store.has_split(split)]
    doubts = examine(study.store, splits)
    if not doubts:
        return f'<p class="soft">Doctor: nothing about {escape(" and ".join(splits))} looks implausible.</p>'
    items = "".join(f"<li>{escape(doubt.text)}</li>" for doubt in doubts)
    return f"<h2>Doctor</h2><p>Look at this first; the figures below take it as it is.</p><ul>{items}</ul>"


def _frontier(study: Study, choice: Choice, frontier: Frontier) -> str:
    shown = spread(list(zip_longest(frontier, frontier.expected)), POINTS)
    committees = [e for e, _ in shown]
    test = [e for e in study.reported_where_possible(committees) if e is not None]
    singles = list(frontier.singles)
    singles_on_test = [e for e in study.reported_where_possible(singles) if e is not None]
    texts: dict[int, str] = {}
    for e in (*committees, *singles, *test, *singles_on_test):
        texts[id(e)] = "\n".join([e.committee.label(), figures_of(e, study.quality), *_conditions(e)])
    for e, expected in shown:
        if expected is not None:
            label, figures, *more = texts[id(e)].split("\n")
            texts[id(e)] = "\n".join([label, figures, expected_words(expected, study.quality), *more])
    line = [(frontier.x(e), expected) for e, expected in shown if expected is not None]
    marks = Marks(committees, singles, [*test, *singles_on_test], choice.val, line)
    drawn = chart(marks, texts, study.quality, frontier.axis)
    all_of_it = counted(len(frontier), "committee")
    note = f"{len(committees):,} of the {all_of_it} of the frontier. {expected_note(study, frontier)}"
    heading = "Accuracy" if frontier.query.labels_from is None else study.quality.capitalize()
    return f'<h2>{escape(heading)} and cost</h2>{drawn}<p class="note">{escape(note)}</p>'


def _conditions(e: Evaluation) -> list[str]:
    return [", ".join(e.committee.conditions())] if e.committee.conditions() else []


def _chapter(study: Study, heading: str, tables: Sequence[str], plots: Sequence[str]) -> str:
    parts = [f"<h2>{escape(heading)}</h2>"]
    for kind in tables:
        parts.append(_or_reason(lambda k=kind: fill(k, study).to_html(folded=k != "match")))
    for kind in plots:
        parts.append(_or_reason(lambda k=kind: _picture(k, study)))
    return "".join(parts)


def _or_reason(make: Any) -> str:
    """A table or a plot as HTML, or else the reason why the pool has none."""
    try:
        return str(make())
    except WiseCommitteeError as error:
        return f'<p class="note">Not shown: {escape(str(error))}</p>'


def _picture(kind: str, study: Study) -> str:
    drawn_kind = plot.plot_named(kind)
    assert drawn_kind.gather is not None
    arguments = drawn_kind.gather(study)
    with matplotlib.rc_context({"font.size": 9, "svg.hashsalt": kind}), plot.missing_signs():
        out = io.StringIO()
        plot.figure(kind, **arguments).savefig(out, format="svg", metadata={"Date": None})
    drawing = out.getvalue()
    drawing = drawing[drawing.index("<svg") :]
    # Ids are made unique, since several drawings share the page.
    drawing = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{kind}-", drawing)
    drawing = re.sub(r"<metadata>.*?</metadata>", "", drawing, flags=re.DOTALL)
    return f"<figure>{drawing}<figcaption>{escape(drawn_kind.says)}</figcaption></figure>"


USUAL = Query(max_models=4, combine="mean_logits", confidence="max_prob", cost="flops")
SHOWN = (
    "split",
    "labels_from",
    "max_models",
    "levels",
    "replicas",
    "family",
    "combine",
    "confidence",
    "cost",
    "axis",
    "max_worst_cost",
)


def _search_options(study: Study, frontier: Frontier) -> list[str]:
    """Options of the search that found the frontier, as the command line takes them, where they are not as usual."""
    query = frontier.query
    given: list[tuple[str, Any]] = []
    if set(study.store.models(study.split)) != set(query.models or ()):
        given += [("models", pattern) for pattern in study.query.models or ()]
    given += [
        (name, getattr(query, name)) for name in SHOWN if getattr(query, name) not in (None, getattr(USUAL, name))
    ]
    if (method := frontier.searched.get("method", "exhaustive")) != "exhaustive":
        given += [("method", method)]
    if query.max_percentile_cost is not None:
        given += zip(("percentile", "max_percentile_cost"), query.max_percentile_cost, strict=True)
    given += [("max_average", f"{name}={most}") for name, most in (query.max_average or {}).items()]
    given += [("limit", statement) for statement in query.limit or ()]
    selection, usual = Selection(choose="best") if study.given else study.selection, Selection().to_json()
    given += [(name, value) for name, value in selection.to_json().items() if value != usual[name]]
    for name, value in study.guarantees.to_json().items() if study.guarantees.guarantee else ():
        given += [(name, each) for each in (value if isinstance(value, list) else [value])]
    flags = [name for name in ("calibrated", "shared_threshold") if getattr(query, name)]
    texts = [(name, str(value)) for name, value in given] + [(name, "") for name in flags]
    return [part for name, text in texts for part in (f"--{name.replace('_', '-')}", text) if part]


def _commands(study: Study, choice: Choice, command: str | None) -> str:
    store = ["--store", study.store.files.uri]
    targets = {} if choice.target is None else choice.target.to_json()
    target = [part for name, value in targets.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    asked, saved = _search_options(study, choice.frontier), ["--frontier", "frontier.parquet"]
    saving = ["--save", "committee.json"] if target or choice.certificate else []
    lines = [
        ["wisecommittee", "search", *store, *asked, *target, *saving, *saved],
        *([["wisecommittee", "evaluate", "committee.json", *store, "--split", study.reports]] if saving else []),
        ["wisecommittee", "plot", "frontier", *store, *saved, "--out", "frontier.pdf"],
    ]
    if choice.frontier.axis == "average":
        lines += [["wisecommittee", "tables", "match", *store, *saved, "--format", "latex"]]
    text = "\n".join(([command] if command else []) + [shlex.join(line) for line in lines])
    return (
        f"<h2>To get this again</h2><pre>{escape(text)}</pre>"
        f'<p class="note">wisecommittee {escape(__version__)}. FLOPs are multiply-adds. Intervals are at 95 %.</p>'
    )

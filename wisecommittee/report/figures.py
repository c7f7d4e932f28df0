"""A store -> the picture a command asks for: gathers what a plot draws, by a search or from a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wisecommittee.committees.cards import Committee
from wisecommittee.errors import UnknownNameError
from wisecommittee.report.plot import draw
from wisecommittee.search.answer import reported
from wisecommittee.search.evaluate import Evaluation, evaluate
from wisecommittee.search.frontier import Frontier
from wisecommittee.search.search import search
from wisecommittee.store import LogitStore

KINDS = ("frontier", "exits")
QUALITIES = {"top-1": "top-1 accuracy", "score": "mean score"}
BARS = 8  # committees of the exits plot, spread over the frontier
HOLLOW = 400  # committees evaluated again on test at most


def figure(
    kind: str,
    path: Path,
    store: LogitStore,
    *,
    split: str = "val",
    frontier_file: Path | None = None,
    committees: Sequence[Path] = (),
    ensembles: bool = False,
    **options: Any,
) -> Path:
    """Write the plot `kind` of a store to a file and return its path; options are those of `search`."""
    if kind not in KINDS:
        raise UnknownNameError("plot", kind, KINDS)
    if kind == "exits" and committees:
        return draw(kind, path, evaluations=[evaluate(Committee.load(file), store, split) for file in committees])
    found = Frontier.load(frontier_file) if frontier_file else search(store, split, **options)
    if kind == "exits":
        return draw(kind, path, evaluations=spread(list(found), BARS))
    together = search(store, split, family="ensemble", **options) if ensembles else None
    return draw_frontier(path, store, found, together)


def draw_frontier(path: Path, store: LogitStore, found: Frontier, ensembles: Frontier | None = None) -> Path:
    """The frontier with its single models and, where the store has test, the same committees there."""
    test = reported(spread(list(found), HOLLOW), store)
    quality = QUALITIES.get(str(found.query.get("quality")), "accuracy")
    return draw("frontier", path, frontier=found, test=test or None, ensembles=ensembles, quality=quality)


def spread(evaluations: list[Evaluation], most: int) -> list[Evaluation]:
    """At most that many of them, evenly spaced, first and last included."""
    if len(evaluations) <= most:
        return evaluations
    return [evaluations[round(i * (len(evaluations) - 1) / (most - 1))] for i in range(most)]

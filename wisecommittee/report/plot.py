"""Plots: each takes an Axes, draws on it and returns it; `draw` makes a figure of one of them and writes it to a file.

May be added: a file plot_<kind>.py with the function that draws and the one that gathers what it draws from a study,
and its line in PLOTS.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wisecommittee.analyses.study import Study
from wisecommittee.errors import UnknownNameError, UsageError, WiseCommitteeError
from wisecommittee.report import plot_exits, plot_frontier, plot_learning
from wisecommittee.report.plot_exits import exits as exits
from wisecommittee.report.plot_frontier import frontier as frontier
from wisecommittee.report.plot_frontier import frontiers as frontiers
from wisecommittee.report.plot_learning import learning as learning

SIZE = (7.2, 4.6)  # inches


@dataclass(frozen=True, slots=True)
class Plot:
    """One kind of plot.

    draw : takes an Axes and what is drawn on it, and returns the Axes; says : one line for --help; gather : the
    arguments of draw from a study (None: drawn by name only, from Python); size : (width, height) in inches from those
    arguments.
    """

    draw: Callable[..., Axes]
    says: str
    gather: Callable[[Study], dict[str, Any]] | None = None
    size: Callable[..., tuple[float, float]] = lambda **what: SIZE


PLOTS: dict[str, Plot] = {
    "frontier": Plot(frontier, "committees and single models by cost and accuracy", plot_frontier.gather),
    "frontiers": Plot(frontiers, "several frontiers side by side"),
    "learning": Plot(learning, "loss and accuracy per epoch of a training (--curves)", plot_learning.gather),
    "exits": Plot(exits, "exit ratios per stage", plot_exits.gather, plot_exits.size),
}


def plot_named(kind: str) -> Plot:
    if kind not in PLOTS:
        raise UnknownNameError("plot", kind, PLOTS)
    return PLOTS[kind]


def kinds() -> dict[str, str]:
    """{kind: what it shows} of the plots that a study can fill."""
    return {kind: plot.says for kind, plot in PLOTS.items() if plot.gather}


def picture(kind: str, study: Study, path: str | os.PathLike[str]) -> Path:
    """Gather what a plot draws from a study, and write it to a file."""
    if kind not in kinds():
        raise UnknownNameError("plot", kind, kinds())
    _check_ending(Path(path))  # before the search
    gather = PLOTS[kind].gather
    assert gather is not None
    return draw(kind, path, **gather(study))


def figure(kind: str, *, size: tuple[float, float] | None = None, dpi: int = 150, **what: Any) -> Figure:
    """One plot on a figure of its own; arguments as for `draw`."""
    plot = plot_named(kind)
    made = Figure(figsize=size or plot.size(**what), dpi=dpi, layout="constrained")
    plot.draw(made.add_subplot(), **what)
    return made


def draw(
    kind: str, path: str | os.PathLike[str], *, size: tuple[float, float] | None = None, dpi: int = 150, **what: Any
) -> Path:
    """Draw one plot on a figure of its own and write it; the path's ending names the format.

    kind : a name in PLOTS; what : that function's arguments; size : width and height in inches.

    >>> draw("frontier", "frontier.png", frontier=frontier)                     # doctest: +SKIP
    """
    plot_named(kind)
    path = Path(path)
    _check_ending(path)
    with matplotlib.rc_context({"font.size": 9}):
        made = figure(kind, size=size, dpi=dpi, **what)
        try:
            made.savefig(path, dpi=dpi)
        except OSError as error:
            raise WiseCommitteeError(f"cannot write {os.fspath(path)!r}: {error.strerror or error}") from error
    return path


def _check_ending(path: Path) -> None:
    formats = sorted(Figure().canvas.get_supported_filetypes())
    if path.suffix[1:].lower() not in formats:
        raise UsageError(f"{os.fspath(path)!r} does not end in a known format; expected one of {', '.join(formats)}")

"""Plots: each takes an Axes, draws on it and returns it; `draw` makes a figure of one of them and writes it to a file.

May be added: a file plot_<kind>.py with a function that draws and a function that gathers its arguments from a study,
and its line in PLOTS.
"""

from __future__ import annotations

import contextlib
import os
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wisecommittee.analyses.study import Study
from wisecommittee.errors import UnknownNameError, UsageError
from wisecommittee.report import (
    plot_calibration,
    plot_confidence,
    plot_conversion,
    plot_exits,
    plot_frontier,
    plot_hne,
    plot_learning,
    plot_match,
    plot_members,
    plot_replica_ensembles,
    plot_replicas,
    plot_risk_coverage,
    plot_scaled_cascades,
    plot_smallest_ensemble,
    plot_thresholds,
)
from wisecommittee.report.uses import MANY, NOTHING, Uses
from wisecommittee.writing import written_whole

SIZE = (7.2, 4.6)  # inches


@dataclass(frozen=True, slots=True)
class Plot:
    """One kind of plot.

    Parameters
    ----------
    draw : callable
        Takes an Axes and the values to draw, and returns the Axes.
    says : str
        One line for --help.
    gather : callable or None
        From a study to the arguments of `draw`; None if only Python can draw this plot.
    size : callable
        From the arguments of `draw` to (width, height) in inches.
    uses : Uses
        The options of a study that the plot can show.
    """

    draw: Callable[..., Axes]
    says: str
    gather: Callable[[Study], dict[str, Any]] | None = None
    size: Callable[..., tuple[float, float]] = lambda **what: SIZE
    uses: Uses = NOTHING


PLOTS: dict[str, Plot] = {
    "frontier": Plot(
        plot_frontier.frontier,
        "committees and single models by cost and accuracy",
        plot_frontier.gather,
        uses=Uses(published="flops"),
    ),
    "frontiers": Plot(plot_frontier.frontiers, "several frontiers side by side"),
    "learning": Plot(
        plot_learning.learning,
        "loss and accuracy per epoch of a training (--curves)",
        plot_learning.gather,
        uses=Uses(curves=True),
    ),
    "anytime": Plot(
        plot_hne.anytime,
        "the first 1, 2, 4, .. leaves by cost and accuracy",
        plot_hne.gather_anytime,
        uses=Uses(published="flops"),
    ),
    "leaves": Plot(plot_hne.leaves, "every leaf alone, and the first 1, 2, 4, .. together", plot_hne.gather),
    "deviation": Plot(plot_hne.deviation, "how much the logits of the first leaves differ", plot_hne.gather),
    "exits": Plot(
        plot_exits.exits, "exit ratios per stage", plot_exits.gather, plot_exits.size, uses=Uses(MANY, mixed=True)
    ),
    "thresholds": Plot(
        plot_thresholds.thresholds,
        "accuracy and cost while a threshold of one cascade rises",
        plot_thresholds.gather,
        uses=Uses(MANY),
    ),
    "sweep": Plot(
        plot_thresholds.sweep,
        "accuracy and cost against a cascade's first threshold",
        plot_thresholds.gather_first,
        uses=Uses(1),
    ),
    "confidence": Plot(
        plot_confidence.draw, "accuracy within the most confident units", plot_confidence.gather, uses=Uses(1)
    ),
    "risk-coverage": Plot(
        plot_risk_coverage.draw,
        "errors among the surest units, if the others get no answer",
        plot_risk_coverage.gather,
        uses=Uses(MANY),
    ),
    "calibration": Plot(
        plot_calibration.draw,
        "confidence and accuracy, calibrated or not",
        plot_calibration.gather,
        plot_calibration.size,
        uses=Uses(1),
    ),
    "match": Plot(plot_match.draw, "for every model the committees of its cost and accuracy", plot_match.gather),
    "conversion": Plot(
        plot_conversion.draw, "ensembles and the cascades of their members", plot_conversion.gather, uses=Uses(MANY)
    ),
    "members": Plot(plot_members.draw, "what 2, 3, 4 members buy over target costs", plot_members.gather),
    "replicas": Plot(plot_replicas.draw, "how much it matters which replicas are taken", plot_replicas.gather),
    "scaled-cascades": Plot(
        plot_scaled_cascades.draw,
        "a base cascade scaled up its architecture ladder",
        plot_scaled_cascades.gather,
        uses=Uses(1, "flops"),
    ),
    "replica-ensembles": Plot(
        plot_replica_ensembles.draw,
        "ensembles of 1, 2, .. replicas of each architecture",
        plot_replica_ensembles.gather,
    ),
    "parallel": Plot(
        plot_replica_ensembles.draw,
        "the same where each member runs on a worker of its own",
        plot_replica_ensembles.gather_parallel,
    ),
    "smallest-ensemble": Plot(
        plot_smallest_ensemble.draw,
        "the smallest ensemble that is right, unit by unit",
        plot_smallest_ensemble.gather,
        plot_smallest_ensemble.size,
    ),
}


def __getattr__(name: str) -> Callable[..., Axes]:
    """plot.frontier, plot.match, ..: the drawing function of a kind."""
    if name in PLOTS:
        return PLOTS[name].draw
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def plot_named(kind: str) -> Plot:
    """The plot of that kind; UnknownNameError if there is none."""
    if kind not in PLOTS:
        raise UnknownNameError("plot", kind, PLOTS)
    return PLOTS[kind]


def kinds() -> dict[str, str]:
    """{kind: one line about it} of the plots that can be drawn from a study."""
    return {kind: plot.says for kind, plot in PLOTS.items() if plot.gather}


def picture(kind: str, study: Study, path: str | os.PathLike[str]) -> Path:
    """Draw a plot of a study and write it to a file.

    Parameters
    ----------
    kind : str
        A key of `kinds()`.
    study : Study
    path : path
        Its ending names the format.

    Returns
    -------
    Path
        The file that was written.

    Raises
    ------
    UnknownNameError
        There is no such kind of plot.
    UsageError
        The ending names no known format.
    """
    check(kind, Path(path))
    gather = PLOTS[kind].gather
    assert gather is not None
    return draw(kind, path, **gather(study))


def check(kind: str, path: Path, study: Study | None = None) -> None:
    """Check a plot before its search runs.

    Parameters
    ----------
    kind : str
    path : Path
        The file to write; its ending names the format.
    study : Study, optional

    Raises
    ------
    UnknownNameError
        There is no such kind of plot.
    UsageError
        The ending names no known format, or the study has an option that the plot would ignore.
    """
    if kind not in kinds():
        raise UnknownNameError("plot", kind, kinds())
    _check_ending(path)
    if study is not None:
        PLOTS[kind].uses.check(f"plot {kind}", study)


def of_study(ax: Axes, kind: str, study: Study) -> Axes:
    """Draw a plot of a study on an Axes.

    Parameters
    ----------
    ax : Axes
    kind : str
        A key of `kinds()`.
    study : Study

    Returns
    -------
    Axes
        `ax`.

    Raises
    ------
    UnknownNameError
        There is no such kind of plot.
    """
    known = plot_named(kind)
    if known.gather is None:
        raise UnknownNameError("plot of a study", kind, kinds())
    return known.draw(ax, **known.gather(study))


def figure(kind: str, *, size: tuple[float, float] | None = None, dpi: int = 150, **what: Any) -> Figure:
    """Draw one plot on a new figure.

    Parameters
    ----------
    kind : str
        A key of PLOTS.
    size : (float, float), optional
        Width and height in inches; by default the plot's usual size.
    dpi : int
        Dots per inch.
    **what
        Arguments of the plot's drawing function, such as `frontier=` of plot.frontier.

    Returns
    -------
    Figure

    Raises
    ------
    UnknownNameError
        There is no such kind of plot.
    """
    plot = plot_named(kind)
    drawn = Figure(figsize=size or plot.size(**what), dpi=dpi, layout="constrained")
    plot.draw(drawn.add_subplot(), **what)
    return drawn


def draw(
    kind: str, path: str | os.PathLike[str], *, size: tuple[float, float] | None = None, dpi: int = 150, **what: Any
) -> Path:
    """Draw one plot on a new figure and write it to a file.

    Parameters
    ----------
    kind : str
        A key of PLOTS.
    path : path
        Its ending names the format.
    size : (float, float), optional
        Width and height in inches; by default the plot's usual size.
    dpi : int
        Dots per inch.
    **what
        Arguments of the plot's drawing function, such as `frontier=` of plot.frontier.

    Returns
    -------
    Path
        The file that was written.

    Raises
    ------
    UnknownNameError
        There is no such kind of plot.
    UsageError
        The ending names no known format.

    Examples
    --------
    >>> draw("frontier", "frontier.png", frontier=frontier)                     # doctest: +SKIP
    """
    plot_named(kind)
    path = Path(path)
    _check_ending(path)
    with matplotlib.rc_context({"font.size": 9}), missing_signs():
        drawn = figure(kind, size=size, dpi=dpi, **what)
        with written_whole(path) as file:
            drawn.savefig(file, dpi=dpi, format=path.suffix[1:].lower())
        return path


@contextlib.contextmanager
def missing_signs() -> Iterator[None]:
    """Give one warning for all signs that the font lacks, instead of one warning per sign."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    lacking: dict[str, None] = {}
    for warning in caught:
        if match := re.match(r"Glyph (\d+)", str(warning.message)):
            lacking[chr(int(match[1]))] = None
        else:
            warnings.warn(warning.message, warning.category, stacklevel=2)
    if lacking:
        family = " ".join(matplotlib.rcParams["font.family"])
        warnings.warn(
            f"the font of the plot ({family}) has no sign for {' '.join(lacking)}; boxes stand in their place, unless "
            "font.family in a matplotlibrc names a font that has them",
            stacklevel=2,
        )


def _check_ending(path: Path) -> None:
    formats = sorted(Figure().canvas.get_supported_filetypes())
    if path.suffix[1:].lower() not in formats:
        raise UsageError(f"{os.fspath(path)!r} does not end in a known format; expected one of {', '.join(formats)}")

"""The smallest ensemble that is right, unit by unit (Li et al. 2023, Fig. 1(b))."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

from wisecommittee.analyses.smallest_ensemble import SmallestEnsemble, smallest_ensembles
from wisecommittee.analyses.study import Study
from wisecommittee.errors import UsageError
from wisecommittee.report.labels import Fitted
from wisecommittee.report.style import Percent, folded, legend, literal, luminance, stage_colors

PIECES = 4  # the last is 'so many or more'
MOST_BARS = 24
LONGEST = 28  # characters of a name in a line beside its bar


def draw(ax: Axes, shares: Sequence[SmallestEnsemble]) -> Axes:
    """Draw the share of units by the number of members they need (Li et al. 2023, Fig. 1(b)).

    One bar per architecture; the grey part is the units for which no ensemble is right.

    Parameters
    ----------
    ax : Axes
    shares : sequence of SmallestEnsemble

    Returns
    -------
    Axes
        `ax`.

    Raises
    ------
    UsageError
        There are too many architectures for one plot.
    """
    if len(shares) > MOST_BARS:
        raise UsageError(f"{len(shares)} architectures cannot be read in one plot; choose at most {MOST_BARS}")
    most = max(len(e.first) for e in shares)
    pieces = min(most, PIECES)
    labels = [f"{k + 1} member{'s' if k else ''}" for k in range(pieces)]
    if most > pieces:
        labels[-1] += " or more"
    colors: list[Any] = [*stage_colors(pieces), (0.75, 0.75, 0.75)]
    left = [0.0] * len(shares)
    for k, (label, color) in enumerate(zip([*labels, "never right"], colors, strict=True)):
        last = k == pieces - 1
        widths = [e.never if k == pieces else sum(e.first[k:]) if last else sum(e.first[k : k + 1]) for e in shares]
        hatch = "///" if k == pieces else None
        ax.barh(range(len(shares)), widths, left=left, height=0.6, color=color, edgecolor="white", linewidth=0.6,
                hatch=hatch, label=label)  # fmt: skip
        ink = "black" if k == pieces or luminance(color) > 0.35 else "white"
        for row, (start, width) in enumerate(zip(left, widths, strict=True)):
            inside: dict[str, Any] = {"ha": "center", "va": "center_baseline", "color": ink}
            text = f"{100 * width:.1f} %"
            ax.add_artist(Fitted(start + width / 2, row, text, room=0.9 * width, least=6.0, size=7.5, **inside))
        left = [a + b for a, b in zip(left, widths, strict=True)]
    ax.set(xlim=(0, 1), ylim=(len(shares) - 0.5, -0.5))
    ax.set_yticks(range(len(shares)), [folded(literal(e.architecture), LONGEST) for e in shares])
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel(f"share of {shares[0].split} (%), n = {shares[0].n:,}, by the smallest ensemble that is right")
    ax.xaxis.set_major_formatter(Percent())
    ax.spines[["top", "right", "left"]].set_visible(False)
    return legend(ax)


def gather(study: Study) -> dict[str, Any]:
    """The shares of the study's architectures."""
    return {"shares": smallest_ensembles(study)}


def size(shares: Sequence[SmallestEnsemble]) -> tuple[float, float]:
    """Taller for more bars."""
    return 7.2, 1.3 + 0.36 * len(shares)

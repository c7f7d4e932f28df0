"""Where units exit."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from matplotlib.axes import Axes

from wisecommittee.analyses.study import Study, spread
from wisecommittee.errors import UsageError
from wisecommittee.report.labels import Fitted
from wisecommittee.report.style import Percent, amount, legend, luminance, sample, stage_colors
from wisecommittee.searches.evaluation import Evaluation

BARS = 8  # committees, spread over the frontier, where none are named
MOST_BARS = 24
LONG = 150  # characters of a label that one line holds


def exits(ax: Axes, evaluations: Evaluation | Iterable[Evaluation]) -> Axes:
    """Draw where units exit: a bar per committee, a piece of it per stage (Wang et al. 2022, Table 16).

    Parameters
    ----------
    ax : Axes
    evaluations : Evaluation or iterable of Evaluation

    Returns
    -------
    Axes
        `ax`.

    Raises
    ------
    UsageError
        There is no committee, or there are too many for one plot.
    """
    rows = [evaluations] if isinstance(evaluations, Evaluation) else list(evaluations)
    if not rows:
        raise UsageError("exits: name at least one evaluated committee")
    if len(rows) > MOST_BARS:
        raise UsageError(
            f"exits of {len(rows)} committees cannot be read in one plot; choose at most {MOST_BARS} of them"
        )
    for stage, color in enumerate(stage_colors(max(len(e.exit_ratios) for e in rows))):
        ink = "black" if luminance(color) > 0.35 else "white"
        reaching = [(row, e.exit_ratios) for row, e in enumerate(rows) if stage < len(e.exit_ratios)]
        bar_rows = [row for row, _ in reaching]
        shares = [ratios[stage] for _, ratios in reaching]
        before = [sum(ratios[:stage]) for _, ratios in reaching]
        bars: dict[str, Any] = {"height": 0.46, "color": color, "edgecolor": "white", "linewidth": 0.8}
        ax.barh(bar_rows, shares, left=before, label=f"stage {stage + 1}", **bars)
        for row, share, left in zip(bar_rows, shares, before, strict=True):
            inside: dict[str, Any] = {
                "room": 0.9 * share,
                "least": 7.0,
                "size": 7.5,
                "ha": "center",
                "va": "center_baseline",
            }
            ax.add_artist(Fitted(left + share / 2, row, f"{100 * share:.1f} %", color=ink, **inside))
    for row, e in enumerate(rows):
        for line, text in enumerate(reversed(_lines(e.committee.label()))):
            where = row - 0.27 - 0.21 * line
            ax.add_artist(Fitted(0, where, text, room=1.0, least=0.0, size=8.0, va="bottom", color="0.15"))
    figures = [f"{100 * e.quality:.2f} %\n{amount(e.average_cost, e.committee.cost)}" for e in rows]
    ax.set(xlim=(0, 1), ylim=(len(rows) - 0.65, -0.75))
    ax.set_yticks(range(len(rows)), figures, fontsize=7.5)
    ax.tick_params(axis="y", length=0, left=False, labelleft=False, labelright=True)
    ax.set_xlabel(f"share of units that exit (%) on {sample(rows)}")
    ax.xaxis.set_major_formatter(Percent())
    ax.spines[["top", "right", "left"]].set_visible(False)
    return legend(ax)


def _lines(label: str) -> list[str]:
    """Of a long label two, parted between members as near to its middle as may be."""
    signs = [sign.end() for sign in re.finditer(r" [|+] ", label)]
    if len(label) <= LONG or not signs:
        return [label]
    cut = min(signs, key=lambda cut_at: abs(cut_at - len(label) / 2))
    return [label[:cut].rstrip(), label[cut:]]


def gather(study: Study) -> dict[str, Any]:
    """The committees that the user named on the study's split, else committees spread over the frontier."""
    return {"evaluations": study.named() or spread(list(study.frontier()), BARS)}


def size(evaluations: Evaluation | Iterable[Evaluation]) -> tuple[float, float]:
    """Taller for more bars."""
    return 7.2, 1.1 + 0.5 * (1 if isinstance(evaluations, Evaluation) else len(list(evaluations)))

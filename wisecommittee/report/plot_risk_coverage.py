"""Errors among the units that are answered, over the share of units that are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from wisecommittee.analyses.risk_coverage import RiskCoverageCurve, risk_coverage
from wisecommittee.analyses.study import Study
from wisecommittee.errors import UsageError
from wisecommittee.report.style import SERIES, Percent, entry, legend

DRAWN = 1000  # points of a curve at most
FEWEST = 20  # units with an answer from which a curve is drawn: the risk of fewer is an accident


def draw(ax: Axes, curves: Sequence[RiskCoverageCurve]) -> Axes:
    """Draw risk-coverage curves (Geifman and El-Yaniv 2017), each with the area under it.

    A filled mark is where a committee that abstains answers.

    Parameters
    ----------
    ax : Axes
    curves : sequence of RiskCoverageCurve

    Returns
    -------
    Axes
        `ax`.

    Raises
    ------
    UsageError
        There are more curves than line styles.
    """
    if len(curves) > len(SERIES):
        raise UsageError(f"{len(curves)} curves in one plot; at most {len(SERIES)} can be told apart")
    highest = 0.0
    for curve, (color, marker, dashes) in zip(curves, SERIES, strict=False):
        units = len(curve)
        drawn = np.unique(np.linspace(min(FEWEST, units), units, DRAWN).astype(int))
        share, risk = drawn / units, curve.risk[drawn - 1]
        highest = max(highest, float(risk.max()))
        name = entry(f"{curve.committee.label()}, {curve.split}: AURC {curve.aurc:.3g}")
        ax.plot(share, risk, color=color, linestyle=dashes, linewidth=1.3, label=name)
        if curve.point is not None and curve.point.quality is not None:
            ax.plot([curve.point.share], [1 - curve.point.quality], marker, color=color, markersize=6, zorder=4)
    sizes = {curve.split: len(curve) for curve in curves}
    ax.set_xlabel(f"answered units (%) of {', '.join(f'{split} (n = {n:,})' for split, n in sizes.items())}")
    ax.set_ylabel("wrong answers among them (%)")
    ax.xaxis.set_major_formatter(Percent())
    ax.yaxis.set_major_formatter(Percent())
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1.05 * highest if highest else 0.01)
    ax.grid(True, color="0.9", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    return legend(ax)


def gather(study: Study) -> dict[str, Any]:
    """The curves of the committees that the user named, else of two models and of the most accurate committee."""
    return {"curves": risk_coverage(study)}

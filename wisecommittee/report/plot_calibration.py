"""Whether confidence equals accuracy, before and after calibration."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes

from wisecommittee.analyses.calibration import Effect, effects_of, single
from wisecommittee.analyses.study import Study
from wisecommittee.report.style import Percent, legend, sample
from wisecommittee.searches.calibration.reliability import Reliability

LONGEST = 44  # characters of a committee that fit below the axis
BEFORE, AFTER = ("#D55E00", "s", "--"), ("#0072B2", "o", "-")


def draw(ax: Axes, effect: Effect) -> Axes:
    """Draw reliability before and after calibration (Wang et al. 2022, Fig. 6), on the reporting split if there is one.

    A curve shows the accuracy of the units in each interval of confidence, with its 95 % interval. On the dotted line
    confidence equals accuracy. Bars show the share of units in each interval of confidence, after calibration.

    Parameters
    ----------
    ax : Axes
    effect : Effect

    Returns
    -------
    Axes
        `ax`.
    """
    (before, _), (raw, mended) = effect.shown
    lows, width = mended.edges[:-1], mended.edges[1]
    share = mended.count / mended.n
    bars: dict[str, Any] = {"align": "edge", "color": "0.88", "edgecolor": "white", "linewidth": 0.8, "zorder": 1}
    ax.bar(lows, share, width, label=f"share of units, {effect.method}", **bars)
    ax.plot([0, 1], [0, 1], color="0.45", linewidth=1.0, linestyle=(0, (1, 1)), zorder=2)
    _curve(ax, raw, BEFORE, "as it is")
    _curve(ax, mended, AFTER, effect.method)
    c = before.committee
    name = c.label() if len(c.label()) <= LONGEST else f"the {c.shape} of {len(c.models)} models"
    ax.set_xlabel(f"confidence (%) of {name} on {sample([before])}")
    ax.set_ylabel("accuracy, and share of units (%)")
    ax.xaxis.set_major_formatter(Percent())
    ax.yaxis.set_major_formatter(Percent())
    ax.set(xlim=(0, 1), ylim=(0, 1.02))
    ax.grid(True, color="0.9", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    return legend(ax)


def gather(study: Study) -> dict[str, Any]:
    """The first committee that the user named, else the cheapest model of the study."""
    if study.committees:
        return {"effect": effects_of(study, study.committees[:1])[0]}
    pool = study.pool()
    cheapest = min(range(len(pool.cards)), key=lambda m: float(pool.cost.stages([[m]])[-1].sum()))
    return {"effect": single(study, pool.cards[cheapest].model)}


def size(effect: Effect) -> tuple[float, float]:
    """Nearly square, because both axes are shares."""
    return 5.6, 5.2


def _curve(ax: Axes, reliability: Reliability, style: tuple[str, str, str], name: str) -> None:
    color, marker, dashes = style
    filled = reliability.count > 0
    low, high = reliability.intervals()[filled].T
    ax.vlines(reliability.confidence[filled], low, high, color=color, linewidth=0.8, alpha=0.55, zorder=2.5)
    label = f"{name}: ECE {100 * reliability.ece:.2f} %"
    ax.plot(reliability.confidence[filled], reliability.accuracy[filled], color=color, linestyle=dashes, linewidth=1.3,
            marker=marker, markersize=4.5, markeredgewidth=0, clip_on=False, zorder=3, label=label)  # fmt: skip

"""Plots that take an Axes and return it, tables as values, and the page. analyses/ and searches/ compute their figures;
these modules only show them.

May be added: a plot (plot_<kind>.py and its line in plot.PLOTS), a table (table_<kind>.py and its line in
tables.TABLES). Their modules are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wisecommittee.report import plot as plot
    from wisecommittee.report import tables as tables


def __getattr__(name: str) -> Any:
    if name not in ("plot", "tables"):
        raise AttributeError(f"module 'wisecommittee.report' has no attribute {name!r}")
    import importlib

    return importlib.import_module(f"wisecommittee.report.{name}")

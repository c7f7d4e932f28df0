"""What people look at: plots that take an Axes and return it, and tables as values. No figure is computed here, only
shown; what is shown is computed in analyses/.

May be added: a plot (plot_<kind>.py and its line in plot.PLOTS), a table (table_<kind>.py and its line in
tables.TABLES); matplotlib is loaded when `plot` is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wisecommittee.report import plot as plot


def __getattr__(name: str) -> Any:
    if name != "plot":
        raise AttributeError(f"module 'wisecommittee.report' has no attribute {name!r}")
    import importlib

    return importlib.import_module("wisecommittee.report.plot")

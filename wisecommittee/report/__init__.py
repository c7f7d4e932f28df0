"""What people look at: plots that take an Axes and return it, and tables as values. No figure is computed here, only
shown; what is shown is computed in analyses/.

May be added: a plot (plot_<kind>.py and its line in plot.PLOTS), a table (table_<kind>.py and its line in
tables.TABLES); what they need is loaded when they are first used.
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

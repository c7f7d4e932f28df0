"""wisecommittee: the exact accuracy/compute frontier of the models you already have, from their cached outputs."""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` costs what the whole package does, and the program's first lines are here
if TYPE_CHECKING:
    from typing import Any

    from wisecommittee.analyses.study import Study
    from wisecommittee.committees.cards import Committee, ModelCard
    from wisecommittee.report import plot, tables
    from wisecommittee.search.evaluate import Evaluation, evaluate, evaluate_all
    from wisecommittee.search.frontier import Frontier
    from wisecommittee.search.search import search
    from wisecommittee.store import LogitStore

__version__ = "0.1.0"

# Loaded on first use: importing the package costs nothing, and never matplotlib or torch.
_HOMES = {
    "Committee": "wisecommittee.committees.cards",
    "ModelCard": "wisecommittee.committees.cards",
    "Evaluation": "wisecommittee.search.evaluate",
    "evaluate": "wisecommittee.search.evaluate",
    "evaluate_all": "wisecommittee.search.evaluate",
    "search": "wisecommittee",  # these two packages are callable
    "deploy": "wisecommittee",
    "Frontier": "wisecommittee.search.frontier",
    "LogitStore": "wisecommittee.store",
    "Study": "wisecommittee.analyses.study",
    "plot": "wisecommittee.report",
    "tables": "wisecommittee.report",
}

__all__ = [
    "Committee",
    "Evaluation",
    "Frontier",
    "LogitStore",
    "ModelCard",
    "Study",
    "__version__",
    "deploy",
    "evaluate",
    "evaluate_all",
    "plot",
    "search",
    "tables",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'wisecommittee' has no attribute {name!r}")
    import importlib

    if _HOMES[name] == "wisecommittee":
        return importlib.import_module(f"wisecommittee.{name}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

"""wisecommittee: the exact accuracy/compute frontier of the models you already have, from their cached outputs."""

from __future__ import annotations

from wisecommittee.version import __version__

TYPE_CHECKING = False  # `typing` costs what the whole package does, and the program's first lines are here
if TYPE_CHECKING:
    from typing import Any

    from wisecommittee.analyses.policies import compare_policies
    from wisecommittee.analyses.study import Study
    from wisecommittee.committees.cards import ModelCard
    from wisecommittee.committees.committee import Committee
    from wisecommittee.committees.policies.thresholds import Thresholds
    from wisecommittee.deployment.deploy import deploy
    from wisecommittee.estimators.committee_classifier import CommitteeClassifier
    from wisecommittee.exporting.check import check_export
    from wisecommittee.exporting.export import export
    from wisecommittee.extraction.extract import extract
    from wisecommittee.operations.audit import audit
    from wisecommittee.operations.diff import diff
    from wisecommittee.operations.explain import explain, explain_all
    from wisecommittee.operations.groups import evaluate_by
    from wisecommittee.operations.monitor import monitor
    from wisecommittee.operations.retune import retune
    from wisecommittee.report import plot, tables
    from wisecommittee.runtime import Member, Outputs, Runtime
    from wisecommittee.runtime.queues import Queues
    from wisecommittee.searches.calibration.calibrate import calibrate
    from wisecommittee.searches.choosing import search_and_choose
    from wisecommittee.searches.evaluate import evaluate, evaluate_all
    from wisecommittee.searches.evaluation import Evaluation
    from wisecommittee.searches.frontier import Frontier
    from wisecommittee.searches.guarantees.options import GuaranteeOptions
    from wisecommittee.searches.guarantees.search import search_with_guarantee
    from wisecommittee.searches.query import Query
    from wisecommittee.searches.search import search
    from wisecommittee.searches.selection import Selection
    from wisecommittee.searches.target import Target
    from wisecommittee.serving.serve import serve
    from wisecommittee.store import LogitStore
    from wisecommittee.store.features import import_features
    from wisecommittee.store.imports.answers import import_answers
    from wisecommittee.store.imports.outputs import import_outputs
    from wisecommittee.store.logs.imported import ImportedLog
    from wisecommittee.store.logs.importing import import_log
    from wisecommittee.store.logs.records import LogOptions
    from wisecommittee.store.splitting import split_store

# Loaded on first use: importing the package costs nothing, and never matplotlib or torch.
_HOMES = {
    "Committee": "wisecommittee.committees.committee",
    "ModelCard": "wisecommittee.committees.cards",
    "Thresholds": "wisecommittee.committees.policies.thresholds",
    "Evaluation": "wisecommittee.searches.evaluate",
    "evaluate": "wisecommittee.searches.evaluate",
    "evaluate_all": "wisecommittee.searches.evaluate",
    "search": "wisecommittee.searches.search",
    "search_and_choose": "wisecommittee.searches.choosing",
    "Selection": "wisecommittee.searches.selection",
    "Target": "wisecommittee.searches.target",
    "search_with_guarantee": "wisecommittee.searches.guarantees.search",
    "GuaranteeOptions": "wisecommittee.searches.guarantees.options",
    "compare_policies": "wisecommittee.analyses.policies",
    "evaluate_by": "wisecommittee.operations.groups",
    "monitor": "wisecommittee.operations.monitor",
    "retune": "wisecommittee.operations.retune",
    "explain": "wisecommittee.operations.explain",
    "explain_all": "wisecommittee.operations.explain",
    "diff": "wisecommittee.operations.diff",
    "audit": "wisecommittee.operations.audit",
    "deploy": "wisecommittee.deployment.deploy",
    "serve": "wisecommittee.serving.serve",
    "Runtime": "wisecommittee.runtime",
    "Member": "wisecommittee.runtime",
    "Outputs": "wisecommittee.runtime",
    "Queues": "wisecommittee.runtime.queues",
    "CommitteeClassifier": "wisecommittee.estimators.committee_classifier",
    "check_export": "wisecommittee.exporting.check",
    "export": "wisecommittee.exporting.export",
    "extract": "wisecommittee.extraction.extract",
    "calibrate": "wisecommittee.searches.calibration.calibrate",
    "import_answers": "wisecommittee.store.imports.answers",
    "import_features": "wisecommittee.store.features",
    "import_log": "wisecommittee.store.logs.importing",
    "import_outputs": "wisecommittee.store.imports.outputs",
    "split_store": "wisecommittee.store.splitting",
    "Query": "wisecommittee.searches.query",
    "Frontier": "wisecommittee.searches.frontier",
    "ImportedLog": "wisecommittee.store.logs.imported",
    "LogOptions": "wisecommittee.store.logs.records",
    "LogitStore": "wisecommittee.store",
    "Study": "wisecommittee.analyses.study",
    "plot": "wisecommittee.report",
    "tables": "wisecommittee.report",
}

__all__ = [
    "Committee",
    "CommitteeClassifier",
    "Evaluation",
    "Frontier",
    "GuaranteeOptions",
    "ImportedLog",
    "LogOptions",
    "LogitStore",
    "Member",
    "ModelCard",
    "Outputs",
    "Query",
    "Queues",
    "Runtime",
    "Selection",
    "Study",
    "Target",
    "Thresholds",
    "__version__",
    "audit",
    "calibrate",
    "check_export",
    "compare_policies",
    "deploy",
    "diff",
    "evaluate",
    "evaluate_all",
    "evaluate_by",
    "explain",
    "explain_all",
    "export",
    "extract",
    "import_answers",
    "import_features",
    "import_log",
    "import_outputs",
    "monitor",
    "plot",
    "retune",
    "search",
    "search_and_choose",
    "search_with_guarantee",
    "serve",
    "split_store",
    "tables",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'wisecommittee' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

"""A store and what was asked of it; every search and evaluation runs once, however many tables and plots need it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from glob import escape
from pathlib import Path
from typing import Any, TypeVar

from wisecommittee.committees.cards import StoredCard
from wisecommittee.committees.committee import Committee
from wisecommittee.committees.cost import default_cost
from wisecommittee.errors import UsageError
from wisecommittee.searches.choice import REPORTING, reported
from wisecommittee.searches.evaluate import evaluate
from wisecommittee.searches.evaluation import Evaluation
from wisecommittee.searches.frontier import Frontier
from wisecommittee.searches.search import search
from wisecommittee.searches.stages.pool import Pool, open_pool, select_cards
from wisecommittee.searches.workers.threads import Progress
from wisecommittee.store import LogitStore, open_store

QUALITIES = {"top-1": "top-1 accuracy", "score": "mean score", "mIoU": "mIoU"}
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Study:
    """store may be given as a folder or a URI; split chooses, reports (where the store has it) reports; the options are
    those of `search`.

    committees : named by the user, for the analyses of given committees; given : a frontier instead of a search;
    ensembles, published : draw or list these too; curves : file with learning curves.
    """

    store: LogitStore
    split: str = "val"
    reports: str = REPORTING
    models: Sequence[str] | None = None
    max_models: int = 4
    levels: int = 100
    replicas: str = "canonical"
    cost: str = "flops"
    confidence: str | None = None
    combine: str | None = None
    calibrated: bool = False
    committees: tuple[Committee, ...] = ()
    given: Frontier | None = None
    ensembles: bool = False
    published: bool = False
    curves: Path | None = None
    threads: int | None = None
    progress: Progress | None = None
    _kept: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "store", open_store(self.store))

    def search(self, **changes: Any) -> Frontier:
        """The frontier of the study's options with these changes."""
        key = tuple(sorted((name, str(value)) for name, value in changes.items()))
        if key not in self._kept:
            options: dict[str, Any] = {
                "models": self.models,
                "max_models": self.max_models,
                "levels": self.levels,
                "replicas": self.replicas,
                "cost": self.cost,
                "confidence": self.confidence,
                "combine": self.combine,
                "calibrated": self.calibrated,
                "threads": self.threads,
                "progress": self.progress,
            }
            found = search(self.store, self.split, **{**options, **changes})
            if found.searched.get("stopped_by") == "interrupt":
                raise KeyboardInterrupt  # a part of a frontier is no frontier to draw
            self._kept[key] = found
        kept: Frontier = self._kept[key]
        return kept

    def frontier(self) -> Frontier:
        return self.given or self.search()

    def cards(self) -> tuple[StoredCard, ...]:
        """Of the models asked for, in canonical order."""
        return select_cards(self.store, self.split, self.models, with_calibration=self.calibrated)

    def reported(self, chosen: Sequence[Evaluation]) -> list[Evaluation]:
        """The same committees on the reporting split; empty if the store lacks it, or a member there."""
        found = self.reported_where_possible(chosen)
        whole = [e for e in found if e is not None]
        return whole if len(whole) == len(found) else []

    def reported_where_possible(self, chosen: Sequence[Evaluation]) -> list[Evaluation | None]:
        """The same committees on the reporting split, None where a member is not there; empty without such a split."""
        return reported(chosen, self.store, self.reports)

    def named(self) -> list[Evaluation]:
        """The committees named by the user, on the split."""
        return [evaluate(committee, self.store, self.split) for committee in self.committees]

    def require_named(self, what: str) -> list[Evaluation]:
        if not self.committees:
            raise UsageError(
                f"{what} is about given committees; name one with --committee committee.json "
                "(`wisecommittee search --target-flops X --save committee.json` writes one)"
            )
        return self.named()

    def pool(self) -> Pool:
        """The models asked for, checked to be combined, scored and charged together on the split."""
        if Pool not in self._kept:
            how: dict[str, Any] = {"combine": self.combine, "confidence": self.confidence, "cost": self.cost}
            self._kept[Pool] = open_pool(self.store, self.split, self.cards(), **how)
        found: Pool = self._kept[Pool]
        return found

    @property
    def quality(self) -> str:
        """What is measured, as axes and headings name it."""
        task = self.given.query.get("quality") if self.given else self.pool().task.name
        return QUALITIES.get(str(task), "accuracy")


QUERIED = ("split", "max_models", "levels", "replicas", "cost", "confidence", "combine", "calibrated")


def study_of(store: LogitStore, given: Frontier | None = None, **asked: Any) -> Study:
    """A study with these options. None is the default, which a given frontier sets: its own models and options."""
    options = {name: value for name, value in asked.items() if value is not None}
    query = {} if given is None else given.query
    for name in ("split", "cost"):
        if options.get(name, query.get(name)) != query.get(name, options.get(name)):
            raise UsageError(
                f"{name} {options[name]} and a frontier that was searched with {name} {query[name]}; leave --{name} "
                f"out, or the frontier"
            )
    own = {name: query[name] for name in QUERIED if query.get(name) is not None}
    own |= {"models": [escape(model) for model in query["models"]]} if "models" in query else {}
    split = {**own, **options}.get("split", "val")
    if "cost" not in {**own, **options} and store.has_split(split):
        own["cost"] = default_cost(select_cards(store, split, {**own, **options}.get("models")))
    return Study(store, given=given, **{**own, **options})


def spread(items: Sequence[Item], most: int) -> list[Item]:
    """At most that many of them, evenly spaced, first and last included."""
    if len(items) <= most:
        return list(items)
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]

"""A store and a query. Every search of a study runs once, for all tables and plots that need it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from glob import escape
from pathlib import Path
from typing import Any, TypeVar

from wisecommittee.committees.cards import StoredCard
from wisecommittee.committees.committee import Committee
from wisecommittee.committees.cost import default_cost
from wisecommittee.errors import UsageError, option
from wisecommittee.options import from_options
from wisecommittee.searches.choice import Choice
from wisecommittee.searches.choosing import choose, choose_from, search_and_choose
from wisecommittee.searches.distribution import CostDetail
from wisecommittee.searches.doctor import REPORTING
from wisecommittee.searches.evaluate import evaluate
from wisecommittee.searches.evaluation import Evaluation
from wisecommittee.searches.frontier import Frontier
from wisecommittee.searches.guarantees.options import GuaranteeOptions
from wisecommittee.searches.guarantees.search import search_with_guarantee
from wisecommittee.searches.methods import AUTO_POLICY
from wisecommittee.searches.query import Query
from wisecommittee.searches.reporting import reported
from wisecommittee.searches.search import Solution, search, solution_of
from wisecommittee.searches.selection import Selection
from wisecommittee.searches.stages.pool import Pool, open_pool, select_cards
from wisecommittee.searches.target import Target
from wisecommittee.searches.workers.execution import Execution
from wisecommittee.searches.workers.threads import Progress, interruptible
from wisecommittee.store import LogitStore, open_store
from wisecommittee.tasks import TASKS
from wisecommittee.tasks.task import agreement_with

MAX_MODELS = 4  # of the committees of a study, by default
TAKEN_OVER = (
    "split",
    "labels_from",
    "policy",
    "max_models",
    "levels",
    "replicas",
    "cost",
    "confidence",
    "combine",
    "calibrated",
)
OWN = ("reports", "committees", "ensembles", "published", "curves")  # fields of a study that are no options of a query
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Study:
    """A store and a query, from which every table and plot is made.

    Parameters
    ----------
    store : LogitStore or path
        A folder or a URI is opened.
    query : Query
        The search of the study; its split chooses.
    reports : str
        Name of the reporting split, which the store may lack.
    committees : tuple of Committee
        Committees that the user named, for the analyses of given committees.
    given : Frontier, optional
        A frontier that replaces the search.
    ensembles : bool
        Whether plots draw the frontier of ensembles too.
    published : bool
        Whether tables and plots show the papers' figures too.
    curves : Path, optional
        File with learning curves.
    execution : Execution
        How searches run.
    selection : Selection
        How `choice` chooses a committee, and the folds of the figures to expect on new data.
    guarantees : GuaranteeOptions
        What the committee of `guaranteed` must satisfy, and which units test that.

    Examples
    --------
    >>> plot.picture("frontier", Study("logits"), "frontier.pdf")               # doctest: +SKIP
    """

    store: LogitStore
    query: Query = field(default_factory=Query)
    reports: str = REPORTING
    committees: tuple[Committee, ...] = ()
    given: Frontier | None = None
    ensembles: bool = False
    published: bool = False
    curves: Path | None = None
    execution: Execution = field(default_factory=Execution)
    selection: Selection = field(default_factory=Selection)
    guarantees: GuaranteeOptions = field(default_factory=GuaranteeOptions)
    _kept: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        trusted = (self.query if self.given is None else self.given.query).labels_from
        object.__setattr__(self, "store", open_store(self.store).with_labels_from(trusted))

    @property
    def split(self) -> str:
        """The split that chooses."""
        return self.query.split

    @property
    def cost(self) -> str:
        """The cost that the query names, or the default of the models."""
        if self.query.cost is not None:
            return self.query.cost
        if default_cost not in self._kept:
            self._kept[default_cost] = default_cost(select_cards(self.store, self.split, self.query.models))
        return str(self._kept[default_cost])

    @property
    def max_models(self) -> int:
        """Most members of a committee."""
        return self.query.max_models or MAX_MODELS

    @property
    def threads(self) -> int:
        return self.execution.thread_count

    @property
    def progress(self) -> Progress | None:
        return self.execution.progress

    def search(self, **changes: Any) -> Frontier:
        """The frontier of the study's query with some of its fields changed.

        Parameters
        ----------
        **changes
            Fields of Query.

        Returns
        -------
        Frontier
            Searched once per query.

        Raises
        ------
        KeyboardInterrupt
            Ctrl-C ended the search before it was complete.
        """
        query = replace(self.query, cost=self.cost, max_models=self.max_models)
        changed = replace(query, **changes)
        if changed == query:
            return self.solution().frontier
        key = repr(changed)
        if key not in self._kept:
            self._kept[key] = _whole(search(self.store, changed, self.execution))
        kept: Frontier = self._kept[key]
        return kept

    def solution(self) -> Solution:
        """The search of the study's query, with what the searches without each fold use again."""
        if Solution not in self._kept:
            query = replace(self.query, cost=self.cost, max_models=self.max_models)
            with interruptible():
                found = solution_of(self.store, query, self.execution)
            _whole(found.frontier)
            self._kept[Solution] = found
        kept: Solution = self._kept[Solution]
        return kept

    def choice(self, target: Target | None = None) -> Choice:
        """The committee of the study's query that meets a target, with the figures to expect on new data.

        Parameters
        ----------
        target : Target, optional
            None: the most accurate committee, and the figures to expect along the frontier.

        Returns
        -------
        Choice
            Searched once per target. Of a given frontier, the best on the split that chose it, without such figures.

        Raises
        ------
        InfeasibleError
            No committee meets the target.
        """
        if self.given is not None:
            return choose(self.given, self.store, target, threads=self.threads)
        key = (Choice, target)
        if key not in self._kept:
            selection = replace(self.selection, choose="best") if target is None else self.selection
            with interruptible() as ctrl_c:
                found = self._chosen(target, selection)
                if ctrl_c.number:
                    raise KeyboardInterrupt  # some folds were not searched
            self._kept[key] = found
        kept: Choice = self._kept[key]
        return kept

    def guaranteed(self, target: Target | None = None) -> Choice:
        """The committee of the study's query for which units that did not choose it show the statements.

        Raises
        ------
        UsageError, InfeasibleError
            As of `search_with_guarantee`; also if a frontier is given, whose committees all units chose.
        """
        if self.given is not None:
            raise UsageError(
                f"a frontier that was given and {option('guarantee')}: a test needs a search of a part of the units; "
                f"leave one of them out"
            )
        key = (GuaranteeOptions, target)
        if key not in self._kept:
            query = replace(self.query, cost=self.cost, max_models=self.max_models)
            found = search_with_guarantee(self.store, self.guarantees, query, target, self.execution, self.selection)
            _whole(found.frontier)
            self._kept[key] = found
        kept: Choice = self._kept[key]
        return kept

    def _chosen(self, target: Target | None, selection: Selection) -> Choice:
        if self.query.policy == AUTO_POLICY:  # several searches, one of which is chosen
            query = replace(self.query, cost=self.cost, max_models=self.max_models)
            return search_and_choose(self.store, query, target, self.execution, selection)
        return choose_from(self.solution(), target, selection)

    def over(self, cost: str) -> Study:
        """A study of the same models and options over another cost."""
        return replace(self, query=replace(self.query, cost=cost), given=None)

    def frontier(self) -> Frontier:
        """The given frontier, else that of the query."""
        return self.given or self.search()

    def frontier_with_expected(self) -> Frontier:
        """The given frontier with the figures to expect that it carries; else that of the query, with its own."""
        return self.given or self.choice().frontier

    def cards(self) -> tuple[StoredCard, ...]:
        """The cards of the query's models, in canonical order."""
        return select_cards(self.store, self.split, self.query.models, with_calibration=self.query.calibrated)

    def reported(self, chosen: Sequence[Evaluation]) -> list[Evaluation]:
        """The same committees on the reporting split; empty if the store lacks that split, or a member in it."""
        evaluations = self.reported_where_possible(chosen)
        whole = [e for e in evaluations if e is not None]
        return whole if len(whole) == len(evaluations) else []

    def reported_where_possible(self, chosen: Sequence[Evaluation]) -> list[Evaluation | None]:
        """The same committees on the reporting split, None for committees with a member that is not there.

        Empty if the store lacks that split.
        """
        return reported(chosen, self.store, self.reports)

    def named(self) -> list[Evaluation]:
        """The committees that the user named, evaluated on the split that chooses."""
        detail = CostDetail.of(self.query)
        return [evaluate(committee, self.store, self.split, detail=detail) for committee in self.committees]

    def pool(self) -> Pool:
        """The query's models, checked to be combined, scored and charged together on the split."""
        if Pool not in self._kept:
            combine, confidence = self.query.combine, self.query.confidence
            self._kept[Pool] = open_pool(
                self.store,
                self.split,
                self.cards(),
                combine=combine,
                confidence=confidence,
                cost=self.cost,
                parallel=self.query.parallel or (),
            )
        pool: Pool = self._kept[Pool]
        return pool

    @property
    def quality(self) -> str:
        """The name of the quality, as axes and headings show it."""
        if self.store.labels_from is not None:
            return agreement_with(self.store.labels_from)
        name = self.given.quality if self.given else self.pool().task.name
        return TASKS[name].label if name in TASKS else "accuracy"


def _whole(frontier: Frontier) -> Frontier:
    """The frontier; KeyboardInterrupt if Ctrl-C ended its search: a part of a frontier is no frontier to draw."""
    if frontier.searched.get("stopped_by") == "interrupt":
        raise KeyboardInterrupt
    return frontier


def study_of(store: LogitStore, given: Frontier | None = None, **options: Any) -> Study:
    """A study from keywords.

    Parameters
    ----------
    store : LogitStore or path
    given : Frontier, optional
        A frontier that replaces the search. The models and options of its query become defaults.
    **options
        Fields of Query, Execution, Selection, GuaranteeOptions and Study; None stands for the default.

    Returns
    -------
    Study

    Raises
    ------
    UsageError
        The split or the cost differs from the given frontier's, or there is no such option.
    """
    fields_of_study = {name: value for name in OWN if (value := options.pop(name, None)) is not None}
    kinds = {"query": Query, "execution": Execution, "selection": Selection, "guarantees": GuaranteeOptions}
    parts = from_options(kinds, options)
    asked, run, selection, guarantees = (
        {name: value for name, value in part.items() if value is not None} for part in parts.values()
    )
    query = Query()
    if given is not None:
        for name in ("split", "cost", "labels_from"):
            if asked.get(name, getattr(given.query, name)) != getattr(given.query, name):
                raise UsageError(
                    f"{name} {asked[name]} and a frontier that was searched with {name} {getattr(given.query, name)}; "
                    f"leave {option(name)} out, or the frontier"
                )
        models = given.query.models and tuple(map(escape, given.query.models))
        query = replace(Query(), models=models, **{name: getattr(given.query, name) for name in TAKEN_OVER})
    query = replace(query, **asked)
    how = Execution(**run)
    chosen, tested = Selection(**selection), GuaranteeOptions(**guarantees)
    return Study(store, query, given=given, execution=how, selection=chosen, guarantees=tested, **fields_of_study)


def spread(items: Sequence[Item], most: int) -> list[Item]:
    """At most `most` of the items, evenly spaced, with the first and the last."""
    if len(items) <= most:
        return list(items)
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]

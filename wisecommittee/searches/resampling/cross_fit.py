"""A search repeated without each fold of the units, and its committees measured on the units of that fold.

A committee is never measured on a unit that had a part in its choice, so the results estimate what the search finds on
new units (cross-validation of the whole search: Hastie, Tibshirani and Friedman 2009, Sec. 7.10.2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.committee import Committee
from wisecommittee.errors import InfeasibleError, UsageError, counted, option
from wisecommittee.searches.exits import all_thresholds
from wisecommittee.searches.folds import make_folds, make_group_folds
from wisecommittee.searches.frontier import Frontier
from wisecommittee.searches.resampling.outcomes import Outcomes, outcomes_of
from wisecommittee.searches.search import Solution, solve
from wisecommittee.searches.stages.exit_table import prefix_tables
from wisecommittee.searches.stages.pool import Pool
from wisecommittee.searches.stages.stage_tables import StageTables
from wisecommittee.searches.strategies.problem import Problem
from wisecommittee.searches.workers.threads import interrupts
from wisecommittee.store.groups import groups_of
from wisecommittee.store.imports.segmentation import images_of


@dataclass(frozen=True, slots=True)
class Fold:
    """A fold of the units, and the search of all other units.

    Parameters
    ----------
    frontier : Frontier
        Of the other units; without single models.
    trained : int64 [N - n]
        The other units, as positions in the pool.
    held_out : int64 [n]
        The units of the fold.
    pool : Pool
        Of the fold's units.
    tables : StageTables or None
        Of the fold's units; None if they do not hold all prefixes.
    """

    frontier: Frontier
    trained: NDArray[np.int64]
    held_out: NDArray[np.int64]
    pool: Pool
    tables: StageTables | None

    def outcomes(self, committees: Sequence[Committee]) -> list[Outcomes]:
        """The outcomes of committees on the units of the fold."""
        return outcomes_on(self.pool, self.tables, committees)


Chooser = Callable[[Fold], Committee]
Preparation = Callable[[Problem], Problem]  # of a problem before it is searched


@dataclass(frozen=True, slots=True)
class CrossFit:
    """The folds of one or several divisions of the units of a pool.

    tables : stage tables of all units; None if they do not hold all prefixes. together : int64 [N], the image of each
    unit, where units are the cells of images, or its group; else None. grouped_by : the column of the groups.
    """

    pool: Pool
    tables: StageTables | None
    repeats: tuple[tuple[Fold, ...], ...]
    together: NDArray[np.int64] | None = None
    grouped_by: str | None = None

    @property
    def groups(self) -> NDArray[np.int64] | None:
        """int64 [N], the group of each unit; None where none were named."""
        return None if self.grouped_by is None else self.together

    def on_all(self, committees: Sequence[Committee]) -> list[Outcomes]:
        """The outcomes of given committees on all units."""
        return outcomes_on(self.pool, self.tables, committees)

    def outcomes(self, choose: Chooser) -> list[Outcomes]:
        """The outcomes on all N units, for each division: a unit's are those of the committee that is chosen without
        the unit's fold."""
        out = []
        for folds in self.repeats:
            parts = [fold.outcomes([choose(fold)])[0] for fold in folds]
            out.append(Outcomes.joined(parts, [fold.held_out for fold in folds]))
        return out


def outcomes_on(pool: Pool, tables: StageTables | None, committees: Sequence[Committee]) -> list[Outcomes]:
    """The outcomes of committees on the units of a pool; tables : as of Fold."""
    if tables is None or not all_thresholds(committees):
        tables = prefix_tables(pool, committees)
    return outcomes_of(tables, committees)


@dataclass(frozen=True, slots=True)
class Skipped:
    """There are no cross-fitted figures. why : a sentence without its full stop; stopped : whether Ctrl-C or the time
    limit came."""

    why: str
    stopped: bool = False


def as_it_is(problem: Problem) -> Problem:
    """The preparation that changes nothing."""
    return problem


class FoldSearches:
    """The searches of a problem without each fold, made one at a time.

    Parameters
    ----------
    solution : Solution
        Of all units; its stage tables serve the searches of parts.
    folds, repeats, seed
        As of Selection.
    prepared
        Applied to the problem of each part before it is searched.
    group_by
        As of Selection.

    Attributes
    ----------
    made : list of Fold
        Of the first division into folds, then of the second, ..
    skipped : Skipped or None
        Why no further fold is searched: there are too few units, no committee keeps the limits without some fold, or
        Ctrl-C or the time limit came.
    """

    def __init__(
        self,
        solution: Solution,
        folds: int,
        repeats: int,
        seed: int,
        prepared: Preparation = as_it_is,
        group_by: str | None = None,
    ) -> None:
        quiet = replace(solution.problem.execution, progress=None, notify=None)
        self.problem = replace(solution.problem, execution=quiet, tables=solution.tables)
        self.solution, self.prepared, self.folds = solution, prepared, folds
        self.together, self.group_by = together_by(self.problem.pool, group_by), group_by
        self.made: list[Fold] = []
        self.skipped: Skipped | None = None
        parts = self.problem.pool.units if self.together is None else int(self.together.max()) + 1
        if parts < 2 * folds:
            few = counted(parts, "unit" if self.together is None else "image" if group_by is None else "group")
            self.skipped = Skipped(f"{few} {'is' if parts == 1 else 'are'} too few for {folds} folds")
            repeats = 0
        self._of_unit = [self._division(seed + repeat) for repeat in range(repeats)]

    def __len__(self) -> int:
        """The number of folds in all."""
        return len(self._of_unit) * self.folds

    def _division(self, seed: int) -> NDArray[np.int16]:
        """int16 [N]: the fold of each unit."""
        labels = self.problem.pool.labels
        if self.together is not None and self.group_by is not None:
            return make_group_folds(labels, self.together, self.folds, seed)
        return make_folds(labels, self.folds, seed, self.together)

    def search_next(self) -> bool:
        """Search without the next fold; False if none is left, or once they are skipped."""
        repeat, number = divmod(len(self.made), self.folds)
        if self.skipped or repeat == len(self._of_unit):
            return False
        try:
            fold = _fold(self.problem, self.solution, self._of_unit[repeat] == number, self.prepared)
        except InfeasibleError as error:
            self.skipped = Skipped(f"without fold {number + 1} of the units, {error}")
            return False
        if not fold.frontier.searched["complete"] or interrupts().number:
            self.skipped = Skipped("stopped before all folds were searched", stopped=True)
            return False
        self.made.append(fold)
        return True

    def result(self) -> CrossFit | Skipped:
        """What the folds give, once all are searched."""
        if self.skipped:
            return self.skipped
        repeats = [tuple(self.made[at : at + self.folds]) for at in range(0, len(self.made), self.folds)]
        return CrossFit(self.problem.pool, self.problem.tables, tuple(repeats), self.together, self.group_by)


def cross_fit(searches: FoldSearches) -> CrossFit | Skipped:
    """Search without every fold, with progress. Returns Skipped for the reasons of FoldSearches."""
    progress = searches.solution.problem.execution.progress
    if progress and len(searches):
        progress("folds", 0, len(searches))
    while searches.search_next():
        if progress:
            progress("folds", len(searches.made), len(searches))
    return searches.result()


def _fold(problem: Problem, solution: Solution, mask: NDArray[np.bool_], prepared: Preparation) -> Fold:
    trained, held_out = np.flatnonzero(~mask), np.flatnonzero(mask)
    frontier = solve(prepared(problem.of_units(trained)), solution.strategy, whole=False).frontier
    tables = None if problem.tables is None else problem.tables.of_units(held_out)
    pool = problem.pool.of_units(held_out) if tables is None else tables.pool
    return Fold(frontier, trained, held_out, pool, tables)


def together_by(pool: Pool, group_by: str | None) -> NDArray[np.int64] | None:
    """The group, or the image, of each unit that is not independent of others; else None.

    Raises
    ------
    UsageError
        Groups are named of units that are cells of images.
    AbsentNameError, ContentError
        The split has no such column, or units without a group in it.
    """
    if group_by is None:
        return image_of_units(pool)
    if pool.task.width > 1:
        raise UsageError(
            f"{option('group_by', group_by)}: units are cells of images, which stay whole as it is; leave it out"
        )
    groups = groups_of(pool.store, pool.split, group_by)
    return groups if pool.rows is None else np.unique(groups[pool.rows], return_inverse=True)[1].astype(np.int64)


def image_of_units(pool: Pool) -> NDArray[np.int64] | None:
    """The image of each unit, where units are the cells of images; else None."""
    return images_of(pool.unit_ids().tolist()) if pool.task.width > 1 else None

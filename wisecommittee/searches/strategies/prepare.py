"""Stage tables of the combinations that a strategy tries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from wisecommittee.errors import UsageError, option
from wisecommittee.searches.grid.candidates import Candidates
from wisecommittee.searches.stages.pool import Pool
from wisecommittee.searches.stages.prefixes import distinct
from wisecommittee.searches.stages.stage_tables import StageTables, prefixes_for, stage_tables
from wisecommittee.searches.strategies.problem import Problem
from wisecommittee.searches.workers.estimate import MOST_MEMORY, machine_memory, table_memory
from wisecommittee.searches.workers.threads import Mapper, Progress, interrupts


@dataclass(frozen=True, slots=True)
class Prepared:
    """Candidates with their stage tables.

    untried : how many combinations have no stage tables, because Ctrl-C came while they were made.
    """

    tables: StageTables
    candidates: list[Candidates]
    untried: int = 0


class _Abandoned(KeyboardInterrupt):
    """Ctrl-C while stage tables are made."""


def prepare(problem: Problem, candidates: list[Candidates], mapper: Mapper, *, exact: bool = False) -> Prepared:
    """Stage tables of the candidates: the problem's, or new ones; of the single models alone if Ctrl-C comes while they
    are made."""
    ctrl_c, execution = interrupts(), problem.execution
    if problem.tables is not None:
        return Prepared(problem.tables, candidates)
    pool, thresholded = problem.pool, problem.family.thresholded

    def abandon() -> None:
        mapper.stop()
        raise _Abandoned

    def make(which: list[Candidates], progress: Progress | None, opened: Callable[[], object] | None) -> StageTables:
        return tables_of(
            pool, which, thresholded, execution.thread_count, progress=progress, opened=opened, exact=exact
        )

    untried = 0
    try:
        tables = make(candidates, execution.progress, lambda: ctrl_c.keep(abandon))
        ctrl_c.keep(mapper.stop)
    except _Abandoned:
        untried = sum(len(c.sequences) for c in candidates if c.size > 1)
        candidates = [c for c in candidates if c.size == 1]
        if not candidates:
            raise
        tables = make(candidates, None, None)
        ctrl_c.keep(mapper.stop)
    return Prepared(tables, candidates, untried)


def tables_of(
    pool: Pool,
    candidates: list[Candidates],
    thresholded: bool,
    threads: int,
    *,
    progress: Progress | None = None,
    opened: Callable[[], object] | None = None,
    exact: bool = False,
) -> StageTables:
    """Stage tables of every prefix of the candidates and of every model by itself.

    thresholded : whether the stages but the last have thresholds, so that their confidences are needed. opened : called
    when the outputs are decoded. exact : whether the exact mode's memory is needed too.
    """
    combinations: set[tuple[int, ...]] = {(m,) for m in range(len(pool.cards))}
    compared: set[tuple[int, ...]] = set()
    for c in candidates:
        prefixes = c.sequences
        for k in range(c.size, 0, -1):
            prefixes = distinct(prefixes[:, :k])
            # Combinations of the same tiers (ordered: with the same last tier) predict alike: one of them is enough.
            columns = prefixes[:, -1:] if pool.combine.ordered else np.sort(prefixes, axis=1)
            alike = set(map(tuple, distinct(columns).tolist()))
            combinations |= alike
            if k < c.size and thresholded:
                compared |= alike
    trie, scored = prefixes_for(pool, combinations, compared)
    needed = table_memory(len(trie), int(scored.sum()), pool.units, exact=exact, graded=not pool.task.exact_match)
    _require_memory(needed, len(trie), pool.units)
    return stage_tables(pool, trie, scored, threads=threads, progress=progress, opened=opened)


def _require_memory(needed: int, nodes: int, units: int) -> None:
    have = machine_memory()
    if needed > MOST_MEMORY * have:
        raise UsageError(
            f"{nodes:,} distinct prefixes over {units:,} units need {needed / 1e9:.1f} GB, this machine has "
            f"{have / 1e9:.1f}; lower {option('max_models')}, choose models with {option('models')}, or take "
            f"{option('method', 'beam')}"
        )

"""The public search: pool, tables, sweep, and the frontier of reported committees."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from wisecommittee.committees.cost import default_cost
from wisecommittee.committees.families import Family, family_named
from wisecommittee.errors import InfeasibleError, StoppedError, UsageError
from wisecommittee.kernels import jit
from wisecommittee.searches.exact.gap import gap, reached_by, router_gap
from wisecommittee.searches.exact.proof import ExactSearch, require_provable
from wisecommittee.searches.frontier import COSTS, Frontier, skyline
from wisecommittee.searches.grid.candidates import Candidates, within_worst_case
from wisecommittee.searches.grid.miou import SkylineSearch, chains
from wisecommittee.searches.grid.shared_threshold import SharedSearch
from wisecommittee.searches.grid.sweep import GridSearch, Point
from wisecommittee.searches.heuristic.neighbours import Moves
from wisecommittee.searches.heuristic.space import Scope
from wisecommittee.searches.limits import Limits, make_limits
from wisecommittee.searches.options import from_options, takes_options
from wisecommittee.searches.query import Query, flops_limit_error
from wisecommittee.searches.reporter import Reporter
from wisecommittee.searches.stages.pool import Pool, open_pool, select_cards
from wisecommittee.searches.stages.prefixes import distinct
from wisecommittee.searches.stages.stage_tables import StageTables, prefixes_for, stage_tables
from wisecommittee.searches.workers.estimate import chosen, estimate, left_out, machine_memory, table_memory
from wisecommittee.searches.workers.execution import Execution
from wisecommittee.searches.workers.threads import Mapper, Progress, Threads, interruptible, interrupts
from wisecommittee.store import StoreLike, open_store

NOTICEABLE = 5.0  # CPU seconds of work that is announced


@interruptible()
@takes_options(Query, Execution)
def search(
    store: StoreLike, query: Query | None = None, execution: Execution | None = None, **options: Any
) -> Frontier:
    """Search all committees of the models of a split and return their exact frontier.

    Parameters
    ----------
    store
        The store that holds the outputs of the models.
    query, execution
        What is asked and how it is run, as values; by default those of all defaults.
    {options}

    Returns
    -------
    Frontier
        Committees by rising cost and rising quality, and every model by itself. Its `searched` counts what was tried:
        `left_out` is the number of combinations that replicas 'all' would try beside these; `ties` the largest share of
        units with one confidence at a stage, which no threshold parts. Stopped by `time_limit`, or by Ctrl-C once the
        outputs are decoded (before, Ctrl-C ends the search), `complete` is False and `gap` (where it is proved) bounds
        by how much quality a combination that was not finished can exceed the frontier at equal cost; beam and greedy
        always give a coarse gap, to a router that knows every unit's cheapest way to be right.

    Raises
    ------
    UsageError
        The query cannot be asked of these models.
    InfeasibleError
        No committee keeps the limits.
    StoppedError
        Ctrl-C came before any committee was found that keeps the limits.
    """
    started, store = time.perf_counter(), open_store(store)
    parts = from_options({"query": Query, "execution": Execution}, options)
    query = replace(query or Query(), **parts["query"])
    execution = replace(execution or Execution(), **parts["execution"])
    deadline = execution.deadline()
    if query.split == "test":
        raise UsageError("search chooses a committee and test only reports; choose on val (or another split)")
    kind = family_named(query.family)
    threads, progress, notify, scheduler = (
        execution.thread_count,
        execution.progress,
        execution.notify,
        execution.scheduler,
    )
    cards = kind.members(
        select_cards(store, query.split, query.models, with_calibration=query.calibrated), query.confidence
    )
    cost = query.cost or default_cost(cards)
    if query.max_worst_flops is not None and cost != "flops":
        raise flops_limit_error(cost)
    pool = open_pool(
        store,
        query.split,
        cards,
        combine=query.combine or kind.combine,
        confidence=query.confidence or kind.confidence,
        cost=cost,
    )
    query = replace(
        query,
        models=tuple(card.model for card in cards),
        max_models=query.max_models or kind.stages or len(cards),
        combine=pool.combine.name,
        confidence=pool.confidence_name,
        cost=cost,
        max_worst_cost=query.worst_limit,
        max_worst_flops=None,
    )
    max_models, levels, replicas, axis = query.max_models, query.levels, query.replicas, query.axis
    method, exact, family, shared_threshold = query.method, query.exact, query.family, query.shared_threshold
    worst_limit = query.max_worst_cost
    assert max_models is not None
    if not kind.thresholded and pool.combine.ordered:
        raise UsageError("an ensemble needs a rule that averages; `last` has only cascades")
    tiered = pool.with_tiers(kind.tiers(cards, replicas))
    limits = make_limits(tiered, query)
    guess = estimate(
        cards,
        pool.units,
        kind,
        max_models=max_models,
        levels=levels,
        replicas=replicas,
        ordered=pool.combine.ordered,
        shared=shared_threshold,
    )
    plan = chosen(method, exact, guess, threads)
    if shared_threshold:
        _check_shared(plan, kind, pool, axis)
    if pool.task.width > 1:
        plan = _check_segmentation(plan, method, exact, axis)
    if plan in ("beam", "greedy"):
        _check_heuristic(plan, method, family, limits, scheduler, axis)
    if notify and plan in ("beam", "greedy"):
        notify(f"{plan}, which proves nothing; an exhaustive search would be {guess}")
    elif notify and guess.cpu_seconds > NOTICEABLE:
        notify(f"{plan}: {guess}{' for the grid it starts from' if plan == 'exact' else ''}")

    pool = tiered
    with jit.announced(progress):
        if plan in ("beam", "greedy"):
            assert kind.chains is not None
            scope = Scope(
                pool,
                Moves.over(kind.chains(cards, replicas), len(cards)),
                max_models,
                None if worst_limit is None else pool.cost.ceiling(worst_limit),
                threads,
                progress,
            )
            searched, points, tables = _heuristic(plan, scope, levels, deadline)
        else:
            sizes = range(1, min(max_models, len(cards)) + 1)
            joined = any(len(card.members) > 1 for card in cards)
            found = {n: chains(cards, n) if joined else kind.sequences(cards, n, replicas) for n in sizes}
            candidates = within_worst_case(pool, {n: s for n, s in found.items() if len(s)}, worst_limit)
            proved = plan == "exact" and kind.thresholded and not shared_threshold
            if proved:
                require_provable(candidates, pool.cost, limits)
            with execution.mapper(deadline) as mapper:
                wanted = sum(len(c.sequences) for c in candidates)
                tables, candidates = _tables_in_time(
                    pool, candidates, kind.thresholded, threads, progress, mapper, exact=proved
                )
                untried = wanted - sum(len(c.sequences) for c in candidates)
                sweep: GridSearch | SkylineSearch
                if pool.task.width > 1:
                    sweep = SkylineSearch(pool, tables, candidates, levels, limits)
                elif shared_threshold:
                    sweep = SharedSearch(pool, tables, candidates, limits)
                else:
                    swept = levels if kind.thresholded else 1
                    sweep = GridSearch(pool, tables, candidates, swept, limits, axis, threads=threads)
                searched, points, left = _exhaustive(sweep, tables, mapper, proved, untried)
            searched["exact"] = searched["complete"] and (plan == "exact" or not kind.thresholded or shared_threshold)

    interrupts().searched()
    if not searched["complete"]:
        searched["stopped_by"] = "interrupt" if interrupts().number else "time limit"
    if not points:
        if searched["complete"]:
            raise InfeasibleError(f"no committee keeps the limits: {limits}; raise one of them")
        kind_of = StoppedError if interrupts().number else InfeasibleError
        raise kind_of(f"no committee that keeps the limits ({limits}) was found in time; allow more of it")

    reporter = Reporter(pool, tables, family, shared=shared_threshold)
    evaluations = reporter.report(points)
    if (ties := reporter.ties()) is not None:
        searched["ties"] = ties
    singles = [m for m, card in enumerate(cards) if len(card.members) == 1] or range(len(cards))
    alone = sorted(reporter.report([((m,), ()) for m in singles]), key=lambda e: (e.average_cost, -e.quality))
    most = None
    if plan in ("beam", "greedy"):
        most = router_gap(pool, evaluations)
    elif left and isinstance(sweep, GridSearch) and sweep.correct.bits and axis == "average":
        most = gap(sweep, reached_by(evaluations, pool.cost, pool.units), left)
    searched |= {} if most is None else {"gap": most}
    sizes = range(1, min(max_models, len(cards)) + 1)
    searched["left_out"] = 0 if pool.task.width > 1 else left_out(cards, sizes, kind, replicas)
    searched["seconds"] = round(time.perf_counter() - started, 4)
    return Frontier(skyline(evaluations, COSTS[axis]), tuple(alone), query, searched, store.files.uri, pool.task.name)


def _exhaustive(
    sweep: GridSearch | SkylineSearch, tables: StageTables, mapper: Mapper, exact: bool, untried: int
) -> tuple[dict[str, Any], list[Point], list[tuple[int, ...]]]:
    """What was searched, the points of the frontier, and the combinations that a stop has left (if exact: unproved),
    beside `untried` others that have no stage tables: then no combinations are returned."""
    unfinished = sweep.run(mapper)
    lacking = Counter(map(len, unfinished))
    swept = {c.size: len(c.sequences) - lacking[c.size] for c in sweep.candidates}
    points, left = sweep.points(), unfinished
    if exact:
        assert isinstance(sweep, GridSearch)
        left = [tuple(s) for c in sweep.candidates if c.size > 1 for s in c.sequences.tolist()]
        if not mapper.stopped():
            proof = ExactSearch(sweep, tables)
            left = proof.run(mapper)
            points = proof.points()
    searched: dict[str, Any] = {
        "combinations": sum(swept.values()),
        "threshold_vectors": sweep.thresholds(unfinished)
        if isinstance(sweep, SharedSearch)
        else sum(number * sweep.levels ** (size - 1) for size, number in swept.items()),
        "method": "exact" if exact else "exhaustive",
        "complete": not (left or untried),
        # Nothing better exists: over all real thresholds if exact, else over the grid of levels.
        "certified": not (left or untried),
    }
    if left or untried:
        searched["unfinished_combinations"] = len(left) + untried
    return searched, points, [] if untried else left


def _check_shared(plan: str, family: Family, pool: Pool, axis: str) -> None:
    if axis != "average":
        raise UsageError(f"--shared-threshold is searched over average cost; leave --axis {axis} out")
    if not family.thresholded:
        raise UsageError(f"--shared-threshold with --family {family.name}, which has no thresholds; leave it out")
    if pool.task.width > 1:
        raise UsageError(
            "--shared-threshold is for answers that are right or wrong or graded, not for mIoU; leave it out"
        )
    if plan in ("beam", "greedy"):
        raise UsageError(
            f"--shared-threshold tries every combination, and this is {plan}: choose fewer models with --models, a "
            f"lower --max-models, or --method exhaustive"
        )


def _check_segmentation(plan: str, method: str, exact: bool, axis: str) -> str:
    if axis != "average":
        raise UsageError(f"mIoU is searched over average cost; leave --axis {axis} out and limit it, --max-worst-cost")
    if exact or method not in ("auto", "exhaustive"):
        raise UsageError(
            f"mIoU is searched over all vectors of levels, without a proof over all thresholds; leave "
            f"{'--exact' if exact else f'--method {method}'} out"
        )
    return "exhaustive"


def _check_heuristic(plan: str, method: str, family: str, limits: Limits, scheduler: str | None, axis: str) -> None:
    why = f"--method {plan}" if method == plan else f"this pool is too large to exhaust, and --method {plan}"
    if family != "cascade":
        raise UsageError(
            f"{why} searches cascades, not family {family!r}; choose fewer models with --models, or fewer --levels or "
            f"--max-models"
        )
    if axis != "average":
        raise UsageError(f"{why} searches over average cost; leave --axis {axis} out, or choose fewer models")
    if limits:
        raise UsageError(
            f"{why} limits the worst case only; choose fewer models with --models, fewer --levels or --max-models"
        )
    if scheduler is not None:
        raise UsageError(f"{why} runs on one machine; leave --scheduler out")


def _heuristic(
    plan: str, scope: Scope, levels: int, deadline: float | None
) -> tuple[dict[str, Any], list[Point], StageTables]:
    """Points of a search that proves nothing, with the stage tables of their own prefixes."""
    from wisecommittee.searches.heuristic.beam import beam_points
    from wisecommittee.searches.heuristic.greedy import greedy_points

    mapper = Threads(scope.threads, scope.progress, deadline)
    with mapper.until_deadline() as stop:
        scope = replace(scope, stop=stop)
        found = beam_points(scope, levels) if plan == "beam" else greedy_points(scope)
    complete = not mapper.stopped()
    interrupts().searched()
    sizes = sorted({len(sequence) for sequence, _ in found.points})
    some = [np.array([s for s, _ in found.points if len(s) == n], np.int64) for n in sizes]
    candidates = [Candidates(n, rows, np.arange(len(rows))) for n, rows in zip(sizes, some, strict=True)]
    tables = _tables(scope.pool, candidates, True, scope.threads, None)
    searched = {
        "combinations": found.combinations,
        "threshold_vectors": found.vectors,
        "method": plan,
        "complete": complete,
        "certified": False,
        "exact": False,
    }
    return searched, found.points, tables


class _Abandoned(KeyboardInterrupt):
    """Ctrl-C while stage tables are made."""


def _tables_in_time(
    pool: Pool,
    candidates: list[Candidates],
    thresholded: bool,
    threads: int,
    progress: Progress | None,
    mapper: Mapper,
    *,
    exact: bool,
) -> tuple[StageTables, list[Candidates]]:
    """Stage tables, and the candidates that they are of: of the single models alone if Ctrl-C comes meanwhile."""
    ctrl_c = interrupts()

    def abandon() -> None:
        mapper.stop()
        raise _Abandoned

    def opened() -> None:
        ctrl_c.keep(abandon)

    try:
        tables = _tables(pool, candidates, thresholded, threads, progress, exact=exact, opened=opened)
        ctrl_c.keep(mapper.stop)
    except _Abandoned:
        candidates = [c for c in candidates if c.size == 1]
        if not candidates:
            raise
        tables = _tables(pool, candidates, thresholded, threads, None)
        ctrl_c.keep(mapper.stop)
    return tables, candidates


def _tables(
    pool: Pool,
    candidates: list[Candidates],
    thresholded: bool,
    threads: int,
    progress: Progress | None,
    *,
    exact: bool = False,
    opened: Callable[[], object] | None = None,
) -> StageTables:
    """Tables of all models alone and of all prefixes of the candidates; thresholded : whether those are compared."""
    combinations: set[tuple[int, ...]] = {(m,) for m in range(len(pool.cards))}
    compared: set[tuple[int, ...]] = set()
    for c in candidates:
        prefixes = c.sequences
        for k in range(c.size, 0, -1):
            prefixes = distinct(prefixes[:, :k])
            # One combination for every set of tiers, or for every last one, stands for all that predict alike.
            columns = prefixes[:, -1:] if pool.combine.ordered else np.sort(prefixes, axis=1)
            alike = set(map(tuple, distinct(columns).tolist()))
            combinations |= alike
            if k < c.size and thresholded:
                compared |= alike
    trie, scored = prefixes_for(pool, combinations, compared)
    _check_memory(len(trie), int(scored.sum()), pool.units, exact=exact)
    return stage_tables(pool, trie, scored, threads=threads, progress=progress, opened=opened)


def _check_memory(nodes: int, scored: int, units: int, *, exact: bool) -> None:
    needed, have = table_memory(nodes, scored, units, exact=exact), machine_memory()
    if needed > 0.7 * have:
        raise UsageError(
            f"{nodes:,} distinct prefixes over {units:,} units need {needed / 1e9:.1f} GB, this machine has "
            f"{have / 1e9:.1f}; lower --max-models, choose models with --models, or take --method beam"
        )

"""The public search: pool, tables, sweep, and the frontier of reported committees."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from wisecommittee.committees.cost import default_cost
from wisecommittee.committees.families import Family, family_named
from wisecommittee.errors import InfeasibleError, StoppedError, UnknownNameError, UsageError
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
from wisecommittee.searches.reporter import Reporter
from wisecommittee.searches.stages.pool import Pool, open_pool, select_cards
from wisecommittee.searches.stages.prefixes import build_prefixes, distinct
from wisecommittee.searches.stages.stage_tables import StageTables, correct_key, stage_tables
from wisecommittee.searches.workers.estimate import chosen, estimate, left_out, machine_memory, table_memory
from wisecommittee.searches.workers.threads import Mapper, Progress, Threads, interruptible, interrupts, thread_count
from wisecommittee.store import LogitStore
from wisecommittee.tasks import Segmentation

MOST_LEVELS = 4096
NOTICEABLE = 5.0  # CPU seconds of work that is announced
Notify = Callable[[str], None]


@interruptible()
def search(
    store: LogitStore,
    split: str = "val",
    *,
    max_models: int | None = None,
    levels: int = 100,
    exact: bool = False,
    method: str = "auto",
    shared_threshold: bool = False,
    confidence: str | None = None,
    combine: str | None = None,
    family: str = "cascade",
    models: Sequence[str] | None = None,
    replicas: str = "canonical",
    cost: str | None = None,
    axis: str = "average",
    max_worst_flops: float | None = None,
    max_worst_cost: float | None = None,
    max_percentile_cost: tuple[float, float] | None = None,
    max_average: Mapping[str, float] | None = None,
    calibrated: bool = False,
    time_limit: float | None = None,
    threads: int | None = None,
    scheduler: str | None = None,
    progress: Progress | None = None,
    notify: Notify | None = None,
) -> Frontier:
    """Search all committees of the models of a split and return their exact frontier.

    split : the split that chooses; 'test' is refused, it reports.
    family : 'cascade' (finds ensembles and tiers too), 'ensemble', 'anytime' (the first 1, 2, 4, .. members of a group)
    'halting' (the members of a group in order, by default with mean_probs and their stored score 'halting') or
    'self_cascade' (one checkpoint at rising input sizes).
    max_models : stages of a cascade or members of an ensemble at most, 4 by default (halting: the whole group). One
    stage may add several members of a group, such as the next leaves of an HNE: then it counts once.
    levels : P, percentile thresholds per stage, +inf ('nobody exits') included.
    method : 'exhaustive' (every combination, every vector of levels), 'exact' (or exact=True: the optimum over all real
    thresholds, proved, for up to 4 members; the grid is its warm start), 'beam' or 'greedy' (large pools, not proved),
    'auto' (exhaustive unless the work estimated is too much, then beam); `notify` is told which and the estimate before
    it starts, unless it is a matter of seconds.
    shared_threshold : one threshold for all stages of a committee (IRENE's margin), over all its real values; levels
    and method are then without meaning.
    confidence : max_prob, prob_gap, logit_gap, neg_entropy or a stored score; combine : mean_logits, mean_probs or last
    (both default by the kind of outputs). models : globs. replicas : 'canonical' (a committee uses the first r replicas
    of an architecture, the first members of a group) or 'all'; `searched` says as `left_out` how many combinations
    'all' would try beside these. Every model by itself is tried either way.
    cost : 'flops' (multiply-adds) or a cost the cards name; by default FLOPs, or the only cost there is.
    axis : which figure of that cost the frontier is over: its 'average', the 'worst' case, or 'p99', what 99 % of the
    units do not exceed.
    max_worst_flops, max_worst_cost : limit on the cost of all members together. max_percentile_cost : (percent, limit):
    the smallest cost that at least so many percent of the units do not exceed is at most the limit. max_average :
    {name: limit} on the averages of further costs.
    calibrated : use each model with the calibration fitted for it on this split (`wisecommittee calibrate`),
    cross-fitted here; a committee records it.
    time_limit : seconds after which what was found so far is returned; stage tables and single models are always
    finished. Ctrl-C does the same once these are, and ends the search before. `searched` then says
    complete: False, counts what was searched, and says as `gap` (where it is proved, see bound.py) by how much quality
    anything it has not finished can exceed what it found at equal cost. beam and greedy always say a gap, a coarse one:
    to a router that knows every unit's cheapest way to be right. `ties` says which share of the units has one and the
    same confidence at a stage of the frontier, so that no threshold parts them.
    threads : default WISECOMMITTEE_THREADS or every core. scheduler : address of a dask scheduler whose workers do the
    sweeps, or 'local'. The result of a complete search depends on neither.
    """
    started = time.perf_counter()
    deadline = None if time_limit is None else time.time() + time_limit
    kind = family_named(family)
    worst_limit = max_worst_flops if max_worst_flops is not None else max_worst_cost
    if axis not in COSTS:
        raise UnknownNameError("axis", axis, COSTS)
    _check(split, max_models, levels, replicas, time_limit, worst_limit)
    threads = thread_count(threads)
    cards = kind.members(select_cards(store, split, models, with_calibration=calibrated), confidence)
    cost = cost or default_cost(cards)
    if max_worst_flops is not None and cost != "flops":
        raise UsageError(f"a limit in FLOPs and costs in {cost}; use --max-worst-cost")
    max_models = max_models or kind.stages or len(cards)
    pool = open_pool(
        store, split, cards, combine=combine or kind.combine, confidence=confidence or kind.confidence, cost=cost
    )
    if not kind.thresholded and pool.combine.ordered:
        raise UsageError("an ensemble needs a rule that averages; `last` has only cascades")
    tiered = pool.with_tiers(kind.tiers(cards, replicas))
    limits = make_limits(tiered, max_percentile_cost, max_average)
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
    if isinstance(pool.task, Segmentation):
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
            joined = isinstance(pool.task, Segmentation) and any(len(card.members) > 1 for card in cards)
            found = {n: chains(cards, n) if joined else kind.sequences(cards, n, replicas) for n in sizes}
            candidates = within_worst_case(pool, {n: s for n, s in found.items() if len(s)}, worst_limit)
            proved = plan == "exact" and kind.thresholded and not shared_threshold
            if proved:
                require_provable(candidates, pool.cost, limits)
            tables = _tables(pool, candidates, kind.thresholded, threads, progress, exact=proved)
            with _mapper(scheduler, threads, progress, deadline) as mapper:
                sweep: GridSearch | SkylineSearch
                if isinstance(pool.task, Segmentation):
                    sweep = SkylineSearch(pool, tables, candidates, levels, limits)
                elif shared_threshold:
                    sweep = SharedSearch(pool, tables, candidates, limits)
                else:
                    swept = levels if kind.thresholded else 1
                    sweep = GridSearch(pool, tables, candidates, swept, limits, axis, threads=threads)
                searched, points, left = _exhaustive(sweep, tables, mapper, proved)
            searched["exact"] = searched["complete"] and (plan == "exact" or not kind.thresholded or shared_threshold)

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
    elif left and isinstance(sweep, GridSearch) and sweep.lookup.correct.bits and axis == "average":
        most = gap(sweep, reached_by(evaluations, pool.cost, pool.units), left)
    searched |= {} if most is None else {"gap": most}
    sizes = range(1, min(max_models, len(cards)) + 1)
    searched["left_out"] = 0 if isinstance(pool.task, Segmentation) else left_out(cards, sizes, kind, replicas)
    query = {
        "store": store.files.uri,
        "split": split,
        "models": [card.model for card in cards],
        "max_models": max_models,
        "levels": levels,
        "shared_threshold": shared_threshold,
        "family": family,
        "replicas": replicas,
        "combine": pool.combine.name,
        "confidence": pool.confidence_name,
        "cost": cost,
        "axis": axis,
        "calibrated": calibrated,
        "quality": pool.task.name,
        "max_worst_cost": worst_limit,
        "max_percentile_cost": None if max_percentile_cost is None else list(max_percentile_cost),
        "max_average": None if max_average is None else dict(max_average),
    }
    searched["seconds"] = round(time.perf_counter() - started, 4)
    return Frontier(skyline(evaluations, COSTS[axis]), tuple(alone), query, searched)


def _check(
    split: str,
    max_models: int | None,
    levels: int,
    replicas: str,
    time_limit: float | None,
    worst_limit: float | None,
) -> None:
    if split == "test":
        raise UsageError("search chooses a committee and test only reports; choose on val (or another split)")
    if max_models is not None and max_models < 1:
        raise UsageError(f"max_models {max_models}; expected at least 1")
    if not 2 <= levels <= MOST_LEVELS:
        raise UsageError(f"levels {levels}; expected 2 to {MOST_LEVELS}")
    if replicas not in ("canonical", "all"):
        raise UsageError(f"replicas {replicas!r}; expected canonical or all")
    if time_limit is not None and not 0 <= time_limit < float("inf"):
        raise UsageError(f"time limit {time_limit!r}; expected a finite number of seconds from 0")
    if worst_limit is not None and not 0 <= worst_limit < float("inf"):
        raise UsageError(f"worst-case limit {worst_limit!r}; expected a finite number from 0")


@contextmanager
def _mapper(scheduler: str | None, threads: int, progress: Progress | None, deadline: float | None) -> Iterator[Mapper]:
    """Who does the chunks."""
    if scheduler is None:
        yield Threads(threads, progress, deadline)
        return
    from wisecommittee.searches.workers.cluster import Cluster

    with Cluster(scheduler, progress, deadline) as cluster:
        yield cluster


def _exhaustive(
    sweep: GridSearch | SkylineSearch, tables: StageTables, mapper: Mapper, exact: bool
) -> tuple[dict[str, Any], list[Point], list[tuple[int, ...]]]:
    """What was searched, the points of the frontier, and the combinations that a stop has left (if exact: unproved)."""
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
        "complete": not left,
        # Nothing better exists: over all real thresholds if exact, else over the grid of levels.
        "certified": not left,
    }
    if left:
        searched["unfinished_combinations"] = len(left)
    return searched, points, left


def _check_shared(plan: str, family: Family, pool: Pool, axis: str) -> None:
    if axis != "average":
        raise UsageError(f"--shared-threshold is searched over average cost; leave --axis {axis} out")
    if not family.thresholded:
        raise UsageError(f"--shared-threshold with --family {family.name}, which has no thresholds; leave it out")
    if isinstance(pool.task, Segmentation):
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
    sizes = sorted({len(sequence) for sequence, _ in found.points})
    some = [np.array([s for s, _ in found.points if len(s) == n], np.int64) for n in sizes]
    candidates = [Candidates(n, rows, np.arange(len(rows))) for n, rows in zip(sizes, some, strict=True)]
    tables = _tables(scope.pool, candidates, True, scope.threads, None)
    searched = {
        "combinations": found.combinations,
        "threshold_vectors": found.vectors,
        "method": plan,
        "complete": not mapper.stopped(),
        "certified": False,
        "exact": False,
    }
    return searched, found.points, tables


def _tables(
    pool: Pool,
    candidates: list[Candidates],
    thresholded: bool,
    threads: int,
    progress: Progress | None,
    *,
    exact: bool = False,
) -> StageTables:
    keys: set[tuple[int, ...]] = {(m,) for m in range(len(pool.cards))}
    needed: set[tuple[int, ...]] = set()
    for c in candidates:
        prefixes = c.sequences
        for k in range(c.size, 0, -1):
            prefixes = distinct(prefixes[:, :k])
            columns = prefixes[:, -1:] if pool.combine.ordered else np.sort(prefixes, axis=1)
            some = {correct_key(pool, row) for row in distinct(columns).tolist()}
            keys |= some
            if k < c.size and thresholded:
                needed |= some
    trie = build_prefixes(keys)
    scored = np.zeros(len(trie), dtype=bool)
    if not isinstance(pool.confidence, str):
        scored[[trie.find[key] for key in needed]] = True
    _check_memory(len(trie), int(scored.sum()), pool.units, exact=exact)
    return stage_tables(pool, trie, scored, threads=threads, progress=progress)


def _check_memory(nodes: int, scored: int, units: int, *, exact: bool) -> None:
    needed, have = table_memory(nodes, scored, units, exact=exact), machine_memory()
    if needed > 0.7 * have:
        raise UsageError(
            f"{nodes:,} distinct prefixes over {units:,} units need {needed / 1e9:.1f} GB, this machine has "
            f"{have / 1e9:.1f}; lower --max-models, choose models with --models, or take --method beam"
        )

"""The public search: pool, tables, sweep, and the frontier of reported committees."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.families import family_named
from wisecommittee.errors import UsageError
from wisecommittee.search.evaluate import Evaluation
from wisecommittee.search.exact import ExactSearch
from wisecommittee.search.exhaustive import Candidates, GridSearch, within_worst_case
from wisecommittee.search.frontier import Frontier
from wisecommittee.search.tables import (
    Pool,
    Progress,
    StageTables,
    build_prefixes,
    open_pool,
    select_cards,
    stage_tables,
)
from wisecommittee.search.witness import Reporter
from wisecommittee.store import LogitStore

MOST_LEVELS = 4096


def search(
    store: LogitStore,
    split: str = "val",
    *,
    max_models: int = 4,
    levels: int = 100,
    exact: bool = False,
    confidence: str | None = None,
    combine: str | None = None,
    family: str = "cascade",
    models: Sequence[str] | None = None,
    replicas: str = "canonical",
    cost: str = "flops",
    max_worst_flops: float | None = None,
    max_worst_cost: float | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Frontier:
    """Search all committees of the models of a split and return their exact frontier.

    split : the split that chooses; 'test' is refused, it reports. max_models : members of a committee at most.
    levels : P, percentile thresholds per stage, +inf ('nobody exits') included. exact : prove the optimum over all real
    thresholds, for up to 4 members; the grid is its warm start. confidence : max_prob, prob_gap,
    logit_gap, neg_entropy or a stored score; combine : mean_logits, mean_probs or last (both default by the kind of
    outputs).
    models : globs. replicas : 'canonical' or 'all'. cost : 'flops' (multiply-adds) or a cost the cards name.
    max_worst_flops, max_worst_cost : limit on the cost of all members together. threads : default
    WISECOMMITTEE_THREADS or every core; the result does not depend on it.
    """
    started = time.perf_counter()
    if split == "test":
        raise UsageError("search chooses a committee and test only reports; choose on val (or another split)")
    if max_models < 1:
        raise UsageError(f"max_models {max_models}; expected at least 1")
    if not 2 <= levels <= MOST_LEVELS:
        raise UsageError(f"levels {levels}; expected 2 to {MOST_LEVELS}")
    kind = family_named(family)
    if max_worst_flops is not None and cost != "flops":
        raise UsageError(f"a limit in FLOPs and costs in {cost}; use --max-worst-cost")
    worst_limit = max_worst_flops if max_worst_flops is not None else max_worst_cost
    if worst_limit is not None and not 0 <= worst_limit < float("inf"):
        raise UsageError(f"worst-case limit {worst_limit!r}; expected a finite number from 0")
    threads = thread_count(threads)
    cards = select_cards(store, split, models)
    pool = open_pool(store, split, cards, combine=combine, confidence=confidence, cost=cost)

    sizes = range(1, min(max_models, len(cards)) + 1)
    found = {n: kind.combinations(cards, n, replicas) for n in sizes}
    if not kind.thresholded and pool.combine.ordered:
        raise UsageError("an ensemble needs a rule that averages; `last` has only cascades")
    found = {n: sequences for n, sequences in found.items() if len(sequences)}
    candidates = within_worst_case(pool, found, worst_limit)
    tables = _tables(pool, candidates, found[1], kind.thresholded, threads, progress)
    sweep = GridSearch(pool, tables, candidates, levels if kind.thresholded else 1, threads, progress)
    sweep.run()
    found_points = ExactSearch(sweep, progress).run() if exact and kind.thresholded else sweep.points()

    total = sum(len(c.sequences) for c in candidates)
    vectors = sum(len(c.sequences) * (levels if kind.thresholded else 1) ** (c.size - 1) for c in candidates)
    reporter = Reporter(pool, tables, family)
    points = [reporter.report(*point) for point in found_points]
    singles = tuple(
        sorted(
            (reporter.report((int(m),), ()) for (m,) in found[1]) if replicas == "all" else reporter.all_singles(),
            key=lambda e: (e.average_cost, -e.quality),
        )
    )
    query = {
        "store": store.files.uri,
        "split": split,
        "models": [card.model for card in cards],
        "max_models": max_models,
        "levels": levels,
        "family": family,
        "replicas": replicas,
        "combine": pool.combine.name,
        "confidence": pool.confidence_name,
        "cost": cost,
        "quality": pool.task.name,
        "max_worst_cost": worst_limit,
    }
    searched = {
        "combinations": total,
        "threshold_vectors": vectors,
        "exact": exact or not kind.thresholded,
        "seconds": round(time.perf_counter() - started, 4),
    }
    return Frontier(_skyline(points), singles, query, searched)


def thread_count(threads: int | None = None) -> int:
    """The given number, WISECOMMITTEE_THREADS, or the cores this process may use."""
    if threads is None:
        named = os.environ.get("WISECOMMITTEE_THREADS")
        if not named:
            return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        if not named.isdigit():
            raise UsageError(f"WISECOMMITTEE_THREADS is {named!r}; expected a number from 1")
        threads = int(named)
    if threads < 1:
        raise UsageError(f"threads {threads}; expected at least 1")
    return threads


def _tables(
    pool: Pool,
    candidates: list[Candidates],
    singles: NDArray[np.int64],
    thresholded: bool,
    threads: int,
    progress: Progress | None,
) -> StageTables:
    keys: set[tuple[int, ...]] = {(m,) for m in range(len(pool.cards))}
    needed: set[tuple[int, ...]] = set()
    for c in candidates:
        for k in range(1, c.size + 1):
            columns = c.sequences[:, k - 1 : k] if pool.combine.ordered else np.sort(c.sequences[:, :k], axis=1)
            some = set(map(tuple, np.unique(columns, axis=0).tolist()))
            keys |= some
            if k < c.size and thresholded:
                needed |= some
    trie = build_prefixes(keys)
    scored = np.zeros(len(trie), dtype=bool)
    if not isinstance(pool.confidence, str):
        scored[[trie.find[key] for key in needed]] = True
    _check_memory(len(trie), int(scored.sum()), pool.units)
    return stage_tables(pool, trie, scored, threads=threads, progress=progress)


def _check_memory(nodes: int, scored: int, units: int) -> None:
    needed = units * (nodes + 10 * scored)
    have = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > 0.7 * have:
        raise UsageError(
            f"{nodes:,} distinct prefixes over {units:,} units need {needed / 1e9:.1f} GB, this machine has "
            f"{have / 1e9:.1f}; lower --max-models or choose models with --models"
        )


def _skyline(points: list[Evaluation]) -> tuple[Evaluation, ...]:
    """By rising cost, keeping only rising quality (re-evaluation can move a point only where grades were rounded)."""
    kept: list[Evaluation] = []
    for point in sorted(points, key=lambda e: (e.average_cost, -e.quality)):
        if not kept or point.quality > kept[-1].quality:
            kept.append(point)
    return tuple(kept)

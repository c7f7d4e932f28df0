"""Exhaustive search: every combination, every vector of percentile thresholds, exact counts, one envelope.

Semantics: levels are order statistics over all units, t_j = sorted[min(N-1, ceil(j N / (P-1)))] for j < P-1 and +inf; a
unit continues at level j iff fewer than j+1 of the levels are <= its confidence. Ties are never split.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.cards import Committee
from wisecommittee.committees.families import family_named
from wisecommittee.errors import InfeasibleError, UsageError
from wisecommittee.kernels import grid
from wisecommittee.search.evaluate import Evaluation, evaluate_table, identity
from wisecommittee.search.frontier import Frontier
from wisecommittee.search.tables import (
    Pool,
    Progress,
    StageTables,
    assemble,
    build_prefixes,
    correct_key,
    open_pool,
    score_row,
    select_cards,
    stage_tables,
)
from wisecommittee.store import LogitStore

CHUNKS = 16  # private envelopes per size; fixed, so that work is divided alike for any number of threads
THRESHOLDED = 3  # stages the kernel sweeps; longer cascades loop over the levels of earlier ones
MOST_LEVELS = 4096
SCRATCH_BYTES = 1 << 20  # histograms of one batch of last members


def search(
    store: LogitStore,
    split: str = "val",
    *,
    max_models: int = 4,
    levels: int = 100,
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
    levels : P, percentile thresholds per stage, +inf ('nobody exits') included. confidence : max_prob, prob_gap,
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
    candidates = _within_worst_case(pool, found, worst_limit)
    tables = _tables(pool, candidates, found[1], kind.thresholded, threads, progress)
    envelope = _Search(pool, tables, candidates, levels if kind.thresholded else 1, threads, progress).run()

    total = sum(len(c.sequences) for c in candidates)
    vectors = sum(len(c.sequences) * (levels if kind.thresholded else 1) ** (c.size - 1) for c in candidates)
    reporter = _Reporter(pool, tables, family)
    points = [reporter.report(*point) for point in envelope]
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
        "exact": False,
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


@dataclass(frozen=True, slots=True)
class _Candidates:
    """All sequences of one size. sequences int64 [n, size], ranks int64 [n] in the order of ties over all sizes."""

    size: int
    sequences: NDArray[np.int64]
    ranks: NDArray[np.int64]


def _within_worst_case(pool: Pool, found: dict[int, NDArray[np.int64]], limit: float | None) -> list[_Candidates]:
    """Drop what costs too much in the worst case, and rank the rest: fewer members, less worst case, names."""
    out = []
    first_rank = 0
    least = None
    for size, sequences in found.items():
        worst = pool.cost.worst(sequences)
        least = int(worst.min()) if least is None else min(least, int(worst.min()))
        if limit is not None:
            keep = worst <= pool.cost.ceiling(limit)
            sequences, worst = sequences[keep], worst[keep]
        if not len(sequences):
            continue
        order = np.lexsort((*sequences.T[::-1], worst))
        ranks = np.empty(len(order), dtype=np.int64)
        ranks[order] = first_rank + np.arange(len(order))
        first_rank += len(order)
        out.append(_Candidates(size, sequences, ranks))
    if not out:
        assert least is not None
        assert limit is not None
        raise InfeasibleError(
            f"no committee costs at most {limit:.6g} {pool.cost.name} in the worst case; the cheapest model costs "
            f"{pool.cost.true(least):.6g}"
        )
    return out


def _tables(
    pool: Pool,
    candidates: list[_Candidates],
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


def level_values(ordered: NDArray[np.float32], levels: int) -> NDArray[np.float32]:
    """float32 [P - 1]: the finite levels of a stage, order statistics of its ascending confidences [N] over all
    units."""
    n, steps = len(ordered), levels - 1
    places = [min(n - 1, -(-j * n // steps)) for j in range(steps)]
    return ordered[places]


def reported_threshold(ordered: NDArray[np.float32], value: np.float32) -> np.float32:
    """The float32 midpoint between a level and the next lower distinct confidence, if it lies strictly above that one.

    ordered : float32 [N] confidences of the stage over all units, ascending.
    """
    place = int(np.searchsorted(ordered, value))
    if place == 0:
        return value
    lower = ordered[place - 1]
    middle = np.float32((np.float64(lower) + np.float64(value)) / 2)
    return middle if middle > lower else value


@dataclass(frozen=True, slots=True)
class _Stages:
    """The thresholded stages the kernel sweeps, first to last: bins, correct and marginal cost [units], levels."""

    bins: list[NDArray[np.unsignedinteger]]
    correct: list[NDArray[np.integer]]
    cost: list[NDArray[np.int64]]
    levels: list[int]

    def of(self, units: NDArray[np.bool_]) -> _Stages:
        return _Stages(
            [b[units] for b in self.bins], [c[units] for c in self.correct], [c[units] for c in self.cost], self.levels
        )


class _Search:
    """The sweep over all groups of all sizes; holds what the groups share."""

    def __init__(
        self,
        pool: Pool,
        tables: StageTables,
        candidates: list[_Candidates],
        levels: int,
        threads: int,
        progress: Progress | None,
    ) -> None:
        self.pool, self.tables, self.candidates = pool, tables, candidates
        self.levels, self.threads, self.progress = levels, threads, progress
        self.correct = tables.correct
        units = pool.units
        # One level means ensembles: nobody exits before the end.
        self.bins = np.zeros((len(tables.score), units), np.uint8 if levels <= 256 else np.uint16)
        self.level_values: list[NDArray[np.float32]] = []
        if levels > 1:
            for row, score in enumerate(tables.score):
                values = level_values(np.sort(score), levels)
                self.level_values.append(values)
                self.bins[row] = np.searchsorted(values, score, side="right")
        self.everybody = np.zeros(units, self.bins.dtype)
        self.nothing = np.zeros(units, self.correct.dtype)
        best = int(pool.task.scale) * units
        self.counter = np.int16 if best <= np.iinfo(np.int16).max else np.int32
        self.envelope = (
            np.full(best + 1, grid.UNREACHED, np.int64),
            np.full(best + 1, -1, np.int64),
            np.full(best + 1, -1, np.int64),
        )
        self.stop = threading.Event()

    def run(self) -> list[tuple[tuple[int, ...], tuple[float, ...]]]:
        """(sequence, threshold values) of every point of the frontier, by rising cost."""
        total = sum(len(c.sequences) for c in self.candidates)
        done = 0
        for c in self.candidates:
            groups = self._groups(c)
            chunks = [groups[i::CHUNKS] for i in range(min(CHUNKS, len(groups)))]
            with ThreadPoolExecutor(self.threads) as workers:
                try:
                    for envelope, count in workers.map(self._chunk, chunks):
                        grid.merge(*self.envelope, *envelope)
                        done += count
                        if self.progress:
                            self.progress("thresholds", done, total)
                except BaseException:
                    self.stop.set()
                    workers.shutdown(cancel_futures=True)
                    raise
        return self._points()

    def _groups(self, c: _Candidates) -> list[tuple[tuple[int, ...], NDArray[np.int64], NDArray[np.int64]]]:
        """(shared first members, last members, ranks), cheapest first so that the envelope prunes early."""
        heads = c.sequences[:, :-1]
        starts = np.flatnonzero(np.r_[True, (heads[1:] != heads[:-1]).any(axis=1)]) if c.size > 1 else np.array([0])
        stops = np.r_[starts[1:], len(heads)]
        groups = [
            (tuple(map(int, heads[a])), c.sequences[a:b, -1], c.ranks[a:b]) for a, b in zip(starts, stops, strict=True)
        ]
        return sorted(groups, key=lambda group: int(group[2].min()))

    def _chunk(self, groups: list[tuple[tuple[int, ...], NDArray[np.int64], NDArray[np.int64]]]) -> tuple[Any, int]:
        envelope = tuple(array.copy() for array in self.envelope)
        count = 0
        for head, lasts, ranks in groups:
            if self.stop.is_set():
                break
            self._group(head, lasts, ranks, envelope)
            count += len(lasts)
        return envelope, count

    def _group(
        self, head: tuple[int, ...], lasts: NDArray[np.int64], ranks: NDArray[np.int64], envelope: tuple[Any, ...]
    ) -> None:
        """Offer every threshold vector of the cascades head + (last,) to the envelope."""
        pool, find = self.pool, self.tables.prefixes.find
        prefixes = [head[:k] for k in range(1, len(head) + 1)]
        stage_bins = [self._stage_bins(prefix) for prefix in prefixes]
        stage_correct = [self.correct[find[correct_key(pool, prefix)]] for prefix in prefixes]
        last_correct = np.stack([self.correct[find[correct_key(pool, (*head, int(m)))]] for m in lasts], axis=1)
        stage_cost, last_cost, unit_cost = self._marginal_costs(head, lasts)
        # Shorter cascades are padded in front with stages that everybody continues and that cost nothing.
        padding = max(0, THRESHOLDED - len(head))
        nothing = np.zeros(pool.units, np.int64)
        inner = _Stages(
            bins=([self.everybody] * padding + stage_bins)[-THRESHOLDED:],
            correct=([self.nothing] * padding + stage_correct)[-THRESHOLDED:],
            cost=([nothing] * padding + stage_cost)[-THRESHOLDED:],
            levels=([1] * padding + [self.levels] * len(head))[-THRESHOLDED:],
        )
        outer = max(0, len(head) - THRESHOLDED)
        if not outer:
            self._sweep(inner, last_correct, last_cost, unit_cost, ranks, 0, 0, 0, envelope)
            return
        for place, vector in enumerate(itertools.product(range(self.levels), repeat=outer)):
            # Units that leave at an outer stage are settled; the kernel sees the others.
            continues = np.ones(pool.units, dtype=bool)
            settled_correct = settled_cost = 0
            for level, bins, right, paid in zip(vector, stage_bins, stage_correct, stage_cost, strict=False):
                settled_cost += int(paid[continues].sum())
                settled_correct += int(right[continues & (bins > level)].sum(dtype=np.int64))
                continues &= bins <= level
            if continues.any():
                rest = None if unit_cost is None else unit_cost[continues]
                self._sweep(
                    inner.of(continues), last_correct[continues], last_cost, rest, ranks,
                    settled_correct, settled_cost, place * self.levels**THRESHOLDED, envelope,
                )  # fmt: skip

    def _sweep(
        self,
        inner: _Stages,
        last_correct: NDArray[np.integer],
        last_cost: NDArray[np.int64],
        unit_cost: NDArray[np.int64] | None,
        ranks: NDArray[np.int64],
        settled_correct: int,
        settled_cost: int,
        outer_level: int,
        envelope: tuple[Any, ...],
    ) -> None:
        """The kernel over three stages and all last members, in batches whose histograms fit the cache."""
        (b1, b2, b3), (w1, w2, w3) = inner.bins, inner.cost
        c1, c2, c3 = (c.astype(np.int64) for c in inner.correct)
        levels1, levels2, levels3 = inner.levels
        base = np.empty((levels1, levels2), np.int64)
        spent = np.empty_like(base)
        grid.pair_table(b1, b2, c2 - c1, c3 - c2, settled_correct + int(c1.sum()), base)
        grid.pair_table(b1, b2, w2, w3, settled_cost + int(w1.sum()), spent)
        order, starts = grid.bucket(b1, levels1)
        radix = np.array([self.levels**2, self.levels], np.int64)
        shape = (levels2, levels3)
        batch = max(1, SCRATCH_BYTES // (levels2 * levels3 * np.dtype(self.counter).itemsize))
        for a in range(0, len(ranks), batch):
            some = slice(a, a + batch)
            members = len(ranks[some])
            varying = np.zeros((0, 0), np.int64) if unit_cost is None else np.ascontiguousarray(unit_cost[:, some])
            counts = np.empty(shape, self.counter)
            gains = np.empty((members, *shape), self.counter)
            costs = np.empty((0, 0, 0) if unit_cost is None else (members, *shape), np.int64)
            grid.sweep(
                order, starts, b2, b3, inner.correct[2], np.ascontiguousarray(last_correct[:, some]), base, spent,
                last_cost[some], varying, ranks[some], outer_level, radix, counts, gains, costs, *envelope,
            )  # fmt: skip

    def _stage_bins(self, sequence: tuple[int, ...]) -> NDArray[np.unsignedinteger]:
        return self.everybody if self.levels == 1 else self.bins[score_row(self.pool, self.tables, sequence)]

    def _marginal_costs(
        self, head: tuple[int, ...], lasts: NDArray[np.int64]
    ) -> tuple[list[NDArray[np.int64]], NDArray[np.int64], NDArray[np.int64] | None]:
        """Marginal cost of each stage of the head as int64 [N], of each last member as int64 [m] or [N, m]."""
        cost, units = self.pool.cost, self.pool.units
        if cost.per_unit is not None:
            return (
                [cost.per_unit[m] for m in head],
                np.zeros(len(lasts), np.int64),
                np.ascontiguousarray(cost.per_unit[lasts].T),
            )
        sequences = np.array([[*head, m] for m in lasts], np.int64)
        cumulative = cost.cumulative(sequences)
        marginal = np.diff(cumulative, axis=1, prepend=0)
        return [np.full(units, step) for step in marginal[0, :-1]], np.ascontiguousarray(marginal[:, -1]), None

    def _points(self) -> list[tuple[tuple[int, ...], tuple[float, ...]]]:
        cost, rank, level = self.envelope
        by_rank = {int(r): tuple(map(int, s)) for c in self.candidates for s, r in self._wanted(c, rank)}
        points = []
        above = np.r_[cost[1:], grid.UNREACHED]
        for a in np.flatnonzero((cost < above) & (cost != grid.UNREACHED)):
            sequence = by_rank[int(rank[a])]
            index, places = int(level[a]), []
            for _ in range(max(len(sequence) - 1, THRESHOLDED)):
                index, place = divmod(index, self.levels)
                places.append(place)
            places = places[: len(sequence) - 1][::-1]
            points.append((sequence, tuple(self._value(sequence, k, j) for k, j in enumerate(places))))
        return points

    @staticmethod
    def _wanted(c: _Candidates, ranks: NDArray[np.int64]) -> list[tuple[NDArray[np.int64], int]]:
        mask = np.isin(c.ranks, ranks)
        return list(zip(c.sequences[mask], c.ranks[mask].tolist(), strict=True))

    def _value(self, sequence: tuple[int, ...], stage: int, level: int) -> float:
        if level >= self.levels - 1:
            return float("inf")
        return float(self.level_values[score_row(self.pool, self.tables, sequence[: stage + 1])][level])


class _Reporter:
    """Turns a witness into the committee that is reported, evaluated by the plain evaluator."""

    def __init__(self, pool: Pool, tables: StageTables, family: str) -> None:
        self.pool, self.tables, self.family = pool, tables, family
        self.members = {card.model: identity(card) for card in pool.cards}
        self._sorted: dict[int, NDArray[np.float32]] = {}

    def all_singles(self) -> list[Evaluation]:
        return [self.report((m,), ()) for m in range(len(self.pool.cards))]

    def report(self, sequence: tuple[int, ...], values: tuple[float, ...]) -> Evaluation:
        """Merge stages where nobody exits, drop stages nobody reaches, put thresholds midway, evaluate."""
        table = assemble(self.pool, self.tables, [(m,) for m in sequence])
        stages: list[tuple[int, ...]] = []
        thresholds: list[float] = []
        waiting = np.ones(self.pool.units, dtype=bool)
        tier: tuple[int, ...] = ()
        for k, member in enumerate(sequence):
            tier = (*tier, member)
            last = k == len(sequence) - 1
            leaves = waiting if last else waiting & (table.score[k] >= np.float32(values[k]))
            if not last and not leaves.any():
                continue
            stages.append(tier if self.pool.sequenced else tuple(sorted(tier)))
            tier = ()
            waiting = waiting & ~leaves
            if last or not waiting.any():
                break
            thresholds.append(float(reported_threshold(self._ordered(sequence[: k + 1]), np.float32(values[k]))))
        table = assemble(self.pool, self.tables, stages)
        names = tuple(tuple(self.pool.cards[m].model for m in stage) for stage in stages)
        committee = Committee(
            stages=names,
            thresholds=tuple(thresholds),
            confidence=self.pool.confidence_name,
            combine=self.pool.combine.name,
            family=self.family,
            cost=self.pool.cost.name,
            chosen_on=self.pool.split,
            members={name: self.members[name] for stage in names for name in stage},
        )
        return evaluate_table(table, committee, self.pool.task, self.pool.cost, self.pool.split)

    def _ordered(self, sequence: tuple[int, ...]) -> NDArray[np.float32]:
        row = score_row(self.pool, self.tables, sequence)
        if row not in self._sorted:
            self._sorted[row] = np.sort(self.tables.score[row])
        return self._sorted[row]


def _skyline(points: list[Evaluation]) -> tuple[Evaluation, ...]:
    """By rising cost, keeping only rising quality (re-evaluation can move a point only where grades were rounded)."""
    kept: list[Evaluation] = []
    for point in sorted(points, key=lambda e: (e.average_cost, -e.quality)):
        if not kept or point.quality > kept[-1].quality:
            kept.append(point)
    return tuple(kept)

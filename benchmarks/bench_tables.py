"""Stage tables of all 494 prefixes (164 with a confidence) against float32 numpy.

Both opponents reuse the parent's sum. The plain one works on whole arrays of all units; the blocked one on blocks that
fit the cache, with one pass for the maximum and one for the exponentials, on a sample of units, scaled to all.
"""

from __future__ import annotations

import numpy as np

from benchmarks.synthetic import Synthetic
from benchmarks.timing import cpu_seconds
from wisecommittee.committees.families import cascade
from wisecommittee.searches.stages.pool import Pool, open_pool
from wisecommittee.searches.stages.prefixes import Prefixes, build_prefixes
from wisecommittee.searches.stages.stage_tables import stage_tables


def problem(units: int, classes: int) -> tuple[Pool, Prefixes, np.ndarray]:
    store = Synthetic(units, classes)
    pool = open_pool(store, "val", store.cards("val"))  # type: ignore[arg-type]
    sets = {tuple(sorted(row)) for n in (1, 2, 3, 4) for row in cascade.combinations(pool.cards, n).tolist()}
    trie = build_prefixes(sets)
    return pool, trie, trie.sizes < 4


def numpy_tables(
    pool: Pool, trie: Prefixes, scored: np.ndarray, units: int, block: int
) -> tuple[np.ndarray, np.ndarray]:
    """The same tables for the first units, in plain numpy."""
    outputs = [pool.store.outputs(card.model, pool.split) for card in pool.cards]
    correct = np.empty((len(trie), units), bool)
    score = np.empty((int(scored.sum()), units), np.float32)
    sums = np.empty((5, block, outputs[0].shape[1]), np.float32)
    work = np.empty_like(sums[0])
    for a in range(0, units, block):
        b = min(units, a + block)
        n, row = b - a, 0
        for node in range(len(trie)):
            size = trie.sizes[node]
            total = sums[size, :n]
            if size == 1:
                np.copyto(total, outputs[trie.members[node]][a:b])
            else:
                np.add(sums[size - 1, :n], outputs[trie.members[node]][a:b], out=total)
            best = total.argmax(axis=1)
            correct[node, a:b] = best == pool.labels[a:b]
            if scored[node]:
                top = np.take_along_axis(total, best[:, None], axis=1)
                np.subtract(total, top, out=work[:n])
                work[:n] *= np.float32(1 / size)
                np.exp(work[:n], out=work[:n])
                score[row, a:b] = 1 / work[:n].sum(axis=1)
                row += 1
    return correct, score


def plain_tables(pool: Pool, trie: Prefixes, scored: np.ndarray, units: int) -> tuple[np.ndarray, np.ndarray]:
    """The same as one writes it first: whole arrays, prefix by prefix."""
    outputs = [pool.store.outputs(card.model, pool.split)[:units] for card in pool.cards]
    labels = pool.labels[:units]
    correct, score = np.empty((len(trie), units), bool), []
    sums: list[np.ndarray] = [np.zeros(0)] * 5
    for node, (member, size) in enumerate(zip(trie.members, trie.sizes, strict=True)):
        sums[size] = total = outputs[member] if size == 1 else sums[size - 1] + outputs[member]
        correct[node] = total.argmax(axis=1) == labels
        if scored[node]:
            mean = total / np.float32(size)
            e = np.exp(mean - mean.max(axis=1, keepdims=True))
            score.append(e.max(axis=1) / e.sum(axis=1))
    return correct, np.stack(score)


def run(units: int = 25_000, sample: int = 500) -> list[dict]:
    lines = []
    for classes in (1000, 100, 10):
        pool, trie, scored = problem(units, classes)
        stage_tables(pool, trie, scored, threads=1)  # compile
        ours = cpu_seconds(lambda p=pool, t=trie, s=scored: stage_tables(p, t, s, threads=1), 9)
        some = min(units, sample * 1000 // classes)
        blocks = [b for b in (8, 16, 32, 64, 256, 1024) if b <= some]
        blocked = min(
            cpu_seconds(lambda p=pool, t=trie, s=scored, b=b, n=some: numpy_tables(p, t, s, n, b), 1) for b in blocks
        )
        plain = cpu_seconds(lambda p=pool, t=trie, s=scored: plain_tables(p, t, s, units), 1 if classes == 1000 else 3)
        tables = stage_tables(pool, trie, scored, threads=1)
        for correct, score in (numpy_tables(pool, trie, scored, 200, 32), plain_tables(pool, trie, scored, 200)):
            assert (tables.correct.rows(range(len(trie)))[:, :200] == correct).all()
            shown = pool.confidence.scale.shown(tables.score[:, :200])  # type: ignore[union-attr]
            assert np.allclose(shown, score, rtol=1e-4)
        for opponent, seconds, sampled in (
            ("incremental float32 numpy, blocked (best of several sizes)", blocked, some),
            ("incremental float32 numpy, whole arrays", plain, units),
        ):
            scaled = seconds * units / sampled
            lines.append(
                {
                    "benchmark": f"stage tables, C = {classes}",
                    "units": units,
                    "prefixes": len(trie),
                    "cpu_seconds": round(ours, 3),
                    "opponent": opponent,
                    "opponent_cpu_seconds": round(scaled, 2),
                    "opponent_sampled_units": sampled,
                    "ratio": round(scaled / ours, 1),
                }
            )
    return lines

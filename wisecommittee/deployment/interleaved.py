"""Times a committee and single models in turns, on the same units, in calls of one size.

Other load on the machine then slows all of them alike, and ratios of one round stay true.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from wisecommittee.deployment.realised import AtBatchSize, Realised
from wisecommittee.deployment.timed_run import LEAST_PASSES, MOST_PASSES, TimedRun
from wisecommittee.extraction.timing import Quartiles, wait
from wisecommittee.runtime.rows import slices

LEAST_UNITS = 32  # of a round, so that it has units of every route
COMMITTEE = 0  # its place among the subjects; the single models follow


@dataclass(frozen=True, slots=True)
class Round:
    """One round, times in milliseconds per unit.

    whole : float64 [S] of the committee and the single models; passes : float64 [S] sum of the forward passes of the
    stages, each by itself on all units, times the share of the units that run it.
    """

    whole: NDArray[np.float64]
    passes: NDArray[np.float64]


def at_batch_size(
    subjects: Sequence[TimedRun], flops: Sequence[float | None], size: int, seconds: float
) -> AtBatchSize:
    """The committee and the single models in calls of `size` units.

    subjects : the committee, then single models, all on the same units; flops : average multiply-adds per unit of each,
    None if unknown; seconds : approximate time of each
    """
    rounds: list[Round] = []
    calls = _calls(len(subjects[0].units), size)
    _round(subjects, next(calls), 0)
    started = time.perf_counter()
    while len(rounds) < LEAST_PASSES or (
        len(rounds) < MOST_PASSES and time.perf_counter() - started < seconds * len(subjects)
    ):
        rounds.append(_round(subjects, next(calls), len(rounds)))
    whole, passes = (np.array([getattr(each, name) for each in rounds]) for name in ("whole", "passes"))
    ours, singles = flops[COMMITTEE], []
    for number, timed in enumerate(subjects[1:], 1):
        theirs = flops[number]
        speedup, predicted = (times[:, number] / times[:, COMMITTEE] for times in (whole, passes))
        singles.append(
            Realised(
                timed.run.committee.label(),
                _quartiles(whole[:, number]),
                _quartiles(speedup),
                theirs / ours if ours and theirs else None,
                _quartiles(predicted),
                _quartiles(speedup / predicted),
            )
        )
    return AtBatchSize(size, len(rounds), _quartiles(whole[:, COMMITTEE]), tuple(singles))


def _calls(units: int, size: int) -> Iterator[list[NDArray[np.int64]]]:
    """The units of the calls of each round, [calls] of int64 [size]: in random order, each as often as any other."""
    rng, queue = np.random.default_rng(0), np.zeros(0, np.int64)
    while True:
        calls = []
        for _ in range(max(1, min(LEAST_UNITS, units) // size)):
            while len(queue) < size:
                queue = np.concatenate([queue, rng.permutation(units)])
            calls.append(queue[:size])
            queue = queue[size:]
        yield calls


def _round(subjects: Sequence[TimedRun], calls: Sequence[NDArray[np.int64]], turn: int) -> Round:
    """Every subject on the units of all calls, another one first in each round."""
    whole, passes = np.zeros(len(subjects)), np.zeros(len(subjects))
    for rows in calls:
        for place in range(len(subjects)):
            number = (turn + place) % len(subjects)
            timed = subjects[number].only(rows)
            started = time.perf_counter()
            ran = timed.decide().ran.mean(axis=0)
            whole[number] += 1e3 * (time.perf_counter() - started)
            passes[number] += sum(share * _forward(timed, k) for k, share in enumerate(ran.tolist()) if share)
    units = sum(map(len, calls))
    return Round(whole / units, passes / units)


def _forward(timed: TimedRun, stage: int) -> float:
    """Milliseconds of the forward passes of a stage, by itself on all units, without anything around them; blocks that
    an earlier member has run are left out."""
    run, total = timed.run, 0.0
    earlier = [name for k in range(stage) for name in run.committee.stages[k]]
    for name in run.committee.stages[stage]:
        model, rest = run.models[name], run.models[name].module
        parts = [_on(run.device, part) for part in slices(timed.units.of(model), run.pass_size)]
        with torch.inference_mode():
            if name in run.sharing:
                before, rest = run.sharing[name].chain.divided(
                    run.sharing[other].chain for other in earlier if other in run.sharing
                )
                parts = [before(part) for part in parts]
            wait(run.device)
            started = time.perf_counter()
            for part in parts:
                rest(part)
            wait(run.device)
        total += 1e3 * (time.perf_counter() - started)
        earlier.append(name)
    return total


def _on(device: torch.device, part: Any) -> Any:
    return part.to(device) if isinstance(part, torch.Tensor) else part


def _quartiles(values: NDArray[np.float64]) -> Quartiles:
    q1, median, q3 = np.quantile(values, (0.25, 0.5, 0.75)).tolist()
    return Quartiles(q1, median, q3, len(values))

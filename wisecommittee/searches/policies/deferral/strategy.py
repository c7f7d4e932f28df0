"""The search for learned deferral (Jitkrittum et al. 2023), with answers of the combining rule, of a learned posterior
over labels, or of weighted means.

Gains and answers are fitted without each fold of the units; their estimates for the units of that fold take the place
of confidences and answers in the exhaustive search of thresholds. What is reported is fitted to all units.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.errors import UsageError, option
from wisecommittee.searches.policies.arrays import member_arrays
from wisecommittee.searches.policies.building import committee_of
from wisecommittee.searches.policies.deferral.answers import (
    Answers,
    PosteriorAnswers,
    RuleAnswers,
    WeightedAnswers,
)
from wisecommittee.searches.policies.deferral.chains import MOST_CHAINS, Chain, Chains, chains_of
from wisecommittee.searches.policies.deferral.committees import committee_at
from wisecommittee.searches.policies.deferral.gains import fit_gains
from wisecommittee.searches.policies.deferral.known import Known
from wisecommittee.searches.policies.deferral.thresholds import Learned, best_thresholds, steps_of
from wisecommittee.searches.stages.stage_tables import tables_for
from wisecommittee.searches.strategies.problem import Findings, Problem, Strategy
from wisecommittee.searches.workers.threads import Watch

FOLDS = 5
MOST_COMMITTEES = 50
MOST_CLASSES = 50  # of a posterior
MOST_CELLS = 1 << 22  # units times classes of weighted means


def run(problem: Problem) -> Findings:
    """Fit gains and answers, and return the committees of the best thresholds."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):  # many small systems of equations: threads only wait for each other
        return _searched(problem)


def _searched(problem: Problem) -> Findings:
    pool, threads = problem.pool, problem.execution.thread_count
    chains = chains_of(problem)
    fold = folds_of(pool.units)
    known = Known.of(member_arrays(pool, threads=threads), labelled=pool.combine.ordered)
    learned, offered = list[Learned](), who_answers(problem, chains, known, fold)
    sets = sum(len({tuple(sorted(now)) for now, _ in steps_of(pool, tried)}) for _, tried in offered)
    watch = Watch(DEFERRAL.name, sets, problem.execution.progress, problem.deadline)
    for answers, tried in offered:
        apart = not (pool.combine.ordered and isinstance(answers, RuleAnswers))
        steps = steps_of(pool, tried)
        gains = fit_gains(steps, answers, known, fold, pool.task.scale, apart=apart, go_on=watch.tick)
        known_chains = [chain for chain in tried if set(steps_of(pool, [chain])) <= set(gains)]
        learned.append(Learned(known_chains, answers, gains))
        if watch.stopped:
            break
    with problem.execution.mapper(problem.deadline) as mapper:
        points, unfinished = best_thresholds(problem, learned, mapper)
    kept = np.unique(np.linspace(0, len(points) - 1, min(len(points), MOST_COMMITTEES)).round().astype(int))
    committees = [committee_at(pool, known, points[n]) for n in kept.tolist()]
    if watch.stopped:
        committees += [committee_of(pool, [[m]], Thresholds()) for m in range(len(pool.cards))]
    tried = [chain for each in learned for chain in each.chains]
    searched = {
        "combinations": len(chains.every),
        "threshold_vectors": sum(problem.query.levels ** (len(chain) - 1) for chain in tried),
        "method": DEFERRAL.name,
        "complete": not unfinished and watch.done == sets,
        "certified": False,
        "exact": False,
        "answers": [each.answers.kind for each in learned],
        "all_chains": chains.complete,
    }
    return Findings((), None, searched, committees=committees)


def folds_of(units: int) -> NDArray[np.int64]:
    """int64 [N]: the fold of every unit, at random."""
    return np.random.default_rng(0).permutation(units) % FOLDS


def who_answers(
    problem: Problem, chains: Chains, known: Known, fold: NDArray[np.integer]
) -> list[tuple[Answers, list[Chain]]]:
    """The combining rule; where the newest member answers, a posterior over labels; where rows over classes are
    averaged, weighted means. With the chains for which they are tried."""
    pool = problem.pool
    prefixes = {chain[:size] for chain in chains.every for size in range(1, len(chain) + 1)}
    compared = {chain[:size] for chain in chains.every for size in range(1, len(chain))}
    tables = tables_for(pool, prefixes, compared=compared, predict=True, threads=problem.execution.thread_count)
    out: list[tuple[Answers, list[Chain]]] = [(RuleAnswers(pool, tables), chains.every)]
    classes = np.unique(pool.labels if pool.averaged else pool.labels.astype(np.str_))
    if not pool.task.counts:
        return out
    if pool.combine.ordered and len(classes) <= MOST_CLASSES:
        out.append((PosteriorAnswers(pool, known, classes, fold), chains.every))
    if not pool.combine.ordered:
        outputs = [pool.log_probabilities(m) for m in range(len(pool.cards))]
        if outputs[0].size <= MOST_CELLS:
            out.append((WeightedAnswers(pool, outputs, pool.space(0), fold), chains.favoured))
    return out


def refuse(problem: Problem) -> None:
    """UsageError where there is nobody to defer to."""
    cards = problem.pool.cards
    if len(cards) < 2 or problem.max_models < 2:
        alone = f"one model, {cards[0].model}" if len(cards) < 2 else option("max_models", problem.max_models)
        raise UsageError(f"{option('policy', DEFERRAL.name)} with {alone}; it needs two or more")


def work(problem: Problem) -> float:
    """As of Strategy."""
    combinations, units = problem.estimate.combinations, problem.pool.units
    grid = combinations * problem.query.levels * units if combinations > MOST_CHAINS else 0
    return 250.0 * min(combinations, 5 * MOST_CHAINS) * units + grid


DEFERRAL = Strategy("deferral", refuse, run, work=work)

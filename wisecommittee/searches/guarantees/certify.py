"""The test of a path of committees, up to the first whose statements are not shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from wisecommittee.searches.evaluate import evaluate_in
from wisecommittee.searches.evaluation import Evaluation
from wisecommittee.searches.frontier import Frontier
from wisecommittee.searches.guarantees.answerable import classes_named, labelled
from wisecommittee.searches.guarantees.certificate import Certificate, CheckedStatement
from wisecommittee.searches.guarantees.claims import Stages, Units, hypothesis
from wisecommittee.searches.guarantees.hypothesis import Hypothesis
from wisecommittee.searches.guarantees.options import GuaranteeOptions
from wisecommittee.searches.guarantees.path import candidates, order_of_tests, saves_cost
from wisecommittee.searches.guarantees.results import calibration_hash, results_of
from wisecommittee.searches.meeting import single_named
from wisecommittee.searches.stages.exit_table import stage_indices
from wisecommittee.searches.stages.pool import Pool
from wisecommittee.searches.statements.statement import BEST_SINGLE
from wisecommittee.searches.target import Target
from wisecommittee.statistics.sequence import rejected_in_order

ORDER = 20240  # seed of the order in which units are bet on

Row = list[Hypothesis]  # of the statements about one committee


def certify(
    frontier: Frontier,
    asked: GuaranteeOptions,
    pools: tuple[Pool, Pool],
    target: Target | None = None,
    least: float | None = None,
    threads: int = 1,
) -> tuple[Evaluation, Certificate]:
    """The committee of a frontier that passes last on a path of committees, and its tests.

    Everything that the path depends on is fixed by the units that choose: the reference models, the committees and
    their order. So the probability that the committee is returned and a statement is false is at most delta.

    Parameters
    ----------
    frontier : Frontier
        Searched on the units that choose.
    asked : GuaranteeOptions
    pools : (Pool, Pool)
        The models on the units that choose, and on those that test.
    target : Target or None
        Which of the committees are candidates, and whether the aim is quality or a low cost (see path.py).
    least : float or None
        The quality that a target of accuracy or a match stands for.
    threads : int

    Returns
    -------
    Evaluation
        On the units that choose; the first committee of the path if none passes.
    Certificate
    """
    delta, trusted = asked.delta, pools[0].store.labels_from
    statements = tuple(replace(each, labels_from=trusted) for each in asked.statements)
    references = {
        each.model: frontier.best_single() if each.model == BEST_SINGLE else single_named(frontier, each.model)
        for each in statements
        if each.model is not None
    }
    every = candidates(frontier, list(references.values()), target, least)
    choosing, testing = pools
    most = _most(choosing, [*every, *references.values()])
    before = _hypotheses(every, references, asked, choosing, most, threads)
    order = order_of_tests(every, lambda i: _joint(before[i], delta), save_cost=saves_cost(statements, target))
    path = [every[i] for i in order]
    tests = _hypotheses(path, references, asked, testing, most, threads)
    passed = rejected_in_order((_joint(row, delta) for row in tests), delta)
    index = max(passed - 1, 0)
    figures = evaluate_in(testing, [path[index].committee], threads)[0]

    def tested(at: int) -> tuple[CheckedStatement, ...]:
        models = {model for e in (path[at], *references.values()) for model in e.committee.models}
        digest = calibration_hash(testing, sorted(models))
        holds = _joint(tests[at], delta) <= delta
        return tuple(
            CheckedStatement(each, delta, e.n, e.method, e.p_value(delta), holds, e.smallest_margin(delta), digest)
            for each, e in zip(statements, tests[at], strict=True)
        )

    failed = (path[passed], tested(passed)) if passed < len(path) else None
    return path[index], Certificate(tested(index), figures, labelled(testing), asked, len(path), passed, failed)


def _joint(row: Row, delta: float) -> float:
    """The p-value of the hypothesis that any statement is false: the largest."""
    return max(each.p_value(delta) for each in row)


def _hypotheses(
    evaluations: Sequence[Evaluation],
    references: Mapping[str, Evaluation],
    asked: GuaranteeOptions,
    pool: Pool,
    most: Mapping[tuple[Stages, str], float],
    threads: int,
) -> list[Row]:
    """For each committee the hypotheses that its statements are false, tested on the pool's units."""
    committees = [e.committee for e in evaluations]
    every = results_of(pool, [*committees, *(e.committee for e in references.values())], threads)
    units = Units(
        pool.labels,
        pool.task.counts,
        np.random.default_rng(ORDER).permutation(pool.units),
        dict(zip(references, every[len(committees) :], strict=True)),
        classes_named(asked.statements, pool),
        most,
    )
    return [[hypothesis(each, results, units) for each in asked.statements] for results in every[: len(committees)]]


def _most(pool: Pool, evaluations: Sequence[Evaluation]) -> dict[tuple[Stages, str], float]:
    """What the dearest unit of a pool costs each committee, in every cost that varies per unit."""
    out = {}
    for charges in (pool.cost, *pool.further):
        for e in evaluations if charges.per_unit is not None else ():
            cost = charges.stages(stage_indices(pool, e.committee))
            out[e.committee.stages, charges.name] = charges.true(int(cost[-1].max()))
    return out

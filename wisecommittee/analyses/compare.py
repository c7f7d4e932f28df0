"""Trained committees against their baselines, over the seeds in a store: accuracy, cost and utility (Li et al. 2023,
Tables 1 and 2)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from wisecommittee.analyses.study import Study, study_of
from wisecommittee.committees.committee import Committee
from wisecommittee.committees.naming import METHODS, Origin
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.committees.utility import utility
from wisecommittee.errors import StoreError
from wisecommittee.searches.evaluate import evaluate_all
from wisecommittee.searches.evaluation import Evaluation
from wisecommittee.store import LogitStore

STEPS = 100  # thresholds 0, 0.01, .., 1, one for all stages (Li et al. 2023, App. A.2)
HALTING = "halting"


@dataclass(frozen=True, slots=True)
class SeedSpread:
    """Mean and sample standard deviation over seeds; the deviation is None for a single seed."""

    mean: float
    deviation: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> SeedSpread:
        return cls(fmean(values), stdev(values) if len(values) > 1 else None)


@dataclass(frozen=True, slots=True)
class MethodResult:
    """One method at one seed.

    threshold : the threshold chosen on the choosing split, None if the method has none.
    """

    quality: float
    cost: float
    threshold: float | None = None


@dataclass(frozen=True, slots=True)
class MethodRow:
    """One method over all its seeds.

    cost : in the study's cost; models : the cost in single models, None without any in the store; utility : utility of
    the means, NaN if there is a `reason`; results : {seed: MethodResult}.
    """

    method: str
    quality: SeedSpread
    cost: SeedSpread
    models: SeedSpread | None
    utility: float
    reason: str | None
    results: dict[int, MethodResult]


@dataclass(frozen=True, slots=True)
class MethodComparison:
    """All methods that trained one backbone on the same data.

    split, n : the split that reports and its number of units; single_cost : cost of the single model
    """

    data: str
    backbone: str
    split: str
    n: int
    single_cost: float | None
    rows: tuple[MethodRow, ...]


@dataclass(frozen=True, slots=True)
class Reference:
    """The single model and the average ensemble that utility is measured by."""

    single: MethodResult
    ensemble: MethodResult

    def utility(self, quality: float, cost: float) -> tuple[float, str | None]:
        models, relative = self.ensemble.cost / self.single.cost, cost / self.single.cost
        return utility(quality, relative, self.single.quality, self.ensemble.quality, models)


def compare(study: Study) -> list[MethodComparison]:
    """One comparison per data and backbone, in the order of their names."""
    trained: dict[tuple[str, str], TrainedModels] = {}
    for card in sorted(study.cards(), key=lambda card: (card.position or 0, card.replica)):
        if origin := Origin.of(card.architecture):
            methods = trained.setdefault((origin.data, origin.backbone), {})
            seeds = methods.setdefault((origin.method, origin.variant), {})
            seeds.setdefault(origin.seed, []).append(card.model)
    if not trained:
        raise StoreError(
            f"store {study.store.files.uri!r} has no trained committees in {study.split!r}; put some there with "
            f"`wisecommittee train pool --backbone ..`, `train irene`, `train snapshot`, .."
        )
    return [_comparison(study, *key, methods) for key, methods in sorted(trained.items())]


# {(method, variant): {seed: members in order}}
TrainedModels = dict[tuple[str, str], dict[int, list[str]]]


def _comparison(study: Study, data: str, backbone: str, trained: TrainedModels) -> MethodComparison:
    split = study.reports if study.store.has_split(study.reports) else study.split
    pool = trained.pop(("pool", ""), {})
    several = {seed: models for seed, models in pool.items() if len(models) > 1}
    choosing = {seed: _reference(study, models, study.split) for seed, models in several.items()}
    reporting = {seed: _reference(study, models, split) for seed, models in several.items()}

    results: dict[str, dict[int, MethodResult]] = {}
    results["Single model"] = {seed: _single(study, models, split) for seed, models in pool.items()}
    results[METHODS["pool"].label] = {seed: reference.ensemble for seed, reference in reporting.items()}
    sweeps = {"WoC": {seed: _cascades(study, models) for seed, models in several.items()}}
    order = list(METHODS)
    for (name, variant), seeds in sorted(trained.items(), key=lambda entry: (order.index(entry[0][0]), entry[0][1])):
        method = METHODS[name]
        label = f"{method.label} {variant}".strip()
        if method.combine is None:
            sweeps[label] = {seed: _halting(study, models) for seed, models in seeds.items()}
        else:
            results[label] = {seed: _together(study, models, split, method.combine) for seed, models in seeds.items()}
    for label, by_seed in sweeps.items():
        results[label] = {seed: _shared(study, c, choosing.get(seed), split) for seed, c in by_seed.items()}

    single_cost = next((result.cost for result in results["Single model"].values()), None)
    rows = tuple(_row(label, by_seed, single_cost, reporting) for label, by_seed in results.items() if by_seed)
    return MethodComparison(data, backbone, split, len(study.store.labels(split)), single_cost, rows)


def _row(
    label: str, results: dict[int, MethodResult], single_cost: float | None, references: dict[int, Reference]
) -> MethodRow:
    quality = SeedSpread.of([result.quality for result in results.values()])
    cost = SeedSpread.of([result.cost for result in results.values()])
    models = SeedSpread.of([result.cost / single_cost for result in results.values()]) if single_cost else None
    if known := [references[seed] for seed in results if seed in references]:
        reference = Reference(_mean([r.single for r in known]), _mean([r.ensemble for r in known]))
        value, reason = reference.utility(quality.mean, cost.mean)
    else:
        value, reason = math.nan, "the store has no average ensemble of its seeds; run `wisecommittee train pool`"
    return MethodRow(label, quality, cost, models, value, reason, results)


def _mean(results: Sequence[MethodResult]) -> MethodResult:
    return MethodResult(fmean(r.quality for r in results), fmean(r.cost for r in results))


@dataclass(frozen=True, slots=True)
class PoolJudge:
    """Utility, quality and cost of halting committees on val, each at its best shared threshold, measured by the pool
    that a store has for the same data, backbone and seed."""

    reference: Reference
    split: str

    @classmethod
    def by_pool(cls, study: Study, pool: Origin) -> PoolJudge:
        cards = study.store.cards(study.split) if study.store.has_split(study.split) else ()
        models = [card.model for card in cards if card.architecture == pool.architecture]
        if len(models) < 2:
            raise StoreError(
                f"utility is measured by {pool.architecture}/0, /1, .., of which {study.store.files.uri!r} has "
                f"{len(models)} in {study.split!r}; run `wisecommittee train pool --backbone {pool.backbone}` with the "
                f"same data and seed first"
            )
        reference = _reference(study, models, study.split)
        _, reason = reference.utility(reference.single.quality, reference.single.cost)
        if reason:
            raise StoreError(f"{pool.architecture}: no utility to search by, {reason}")
        return cls(reference, study.split)

    def __call__(self, store: LogitStore, models: Sequence[str]) -> tuple[float, float, float]:
        study = study_of(store, split=self.split)
        best = _best(study, _halting(study, models), self.reference)
        value, _ = self.reference.utility(best.quality, best.average_cost)
        return value, best.quality, best.average_cost / self.reference.single.cost


# What is evaluated


def _reference(study: Study, models: Sequence[str], split: str) -> Reference:
    return Reference(_single(study, models, split), _together(study, models, split))


def _single(study: Study, models: Sequence[str], split: str) -> MethodResult:
    """The mean over replicas."""
    alone = evaluate_all([_committee(study, [(model,)]) for model in models], study.store, split)
    return _mean([MethodResult(e.quality, e.average_cost) for e in alone])


def _together(study: Study, models: Sequence[str], split: str, rule: str = "mean_probs") -> MethodResult:
    (evaluation,) = evaluate_all([_committee(study, [tuple(models)], rule=rule)], study.store, split)
    return MethodResult(evaluation.quality, evaluation.average_cost)


def _shared(study: Study, committees: Sequence[Committee], reference: Reference | None, split: str) -> MethodResult:
    """Figures, on a split, of the committee that is best on the choosing split."""
    chosen = _best(study, committees, reference)
    (evaluation,) = evaluate_all([chosen.committee], study.store, split)
    return MethodResult(evaluation.quality, evaluation.average_cost, evaluation.committee.thresholds.values[0])


def _best(study: Study, committees: Sequence[Committee], reference: Reference | None) -> Evaluation:
    """The greatest utility on the choosing split, then the most accurate, then the cheapest."""
    return max(evaluate_all(committees, study.store, study.split), key=lambda e: _worth(e, reference))


def _worth(evaluation: Evaluation, reference: Reference | None) -> tuple[float, float, float]:
    value = math.nan if reference is None else reference.utility(evaluation.quality, evaluation.average_cost)[0]
    return (-math.inf if math.isnan(value) else value, evaluation.quality, -evaluation.average_cost)


def _cascades(study: Study, models: Sequence[str]) -> list[Committee]:
    """WoC as Li et al. ran it: stop at one threshold for all stages."""
    cascade = _committee(study, [(model,) for model in models])
    return [cascade.at(step / STEPS) for step in range(STEPS + 1)]


def _halting(study: Study, models: Sequence[str]) -> list[Committee]:
    """IRENE: stop where the halting score exceeds m."""
    cascade = _committee(study, [(model,) for model in models], confidence=HALTING)
    return [cascade.at(above=step / STEPS) for step in range(STEPS + 1)]


def _committee(
    study: Study, stages: Sequence[tuple[str, ...]], *, rule: str = "mean_probs", confidence: str = "max_prob"
) -> Committee:
    return Committee(tuple(stages), Thresholds((0.0,) * (len(stages) - 1)), confidence, rule, cost=study.cost)

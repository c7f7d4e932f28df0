"""Single models, ensembles and cascades before and after calibration (Wang et al. 2022, D.2 and Fig. 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from wisecommittee.analyses.cascades import cascade_pool, exits_of, stage_table, stage_values, with_exits
from wisecommittee.analyses.study import Study, spread
from wisecommittee.committees.calibration import Calibration
from wisecommittee.committees.committee import Committee
from wisecommittee.committees.confidence import CONFIDENCES, scale_of
from wisecommittee.errors import UsageError
from wisecommittee.searches.calibration.calibrate import fit
from wisecommittee.searches.calibration.reliability import Reliability, reliability
from wisecommittee.searches.evaluate import evaluate_in
from wisecommittee.searches.evaluation import Evaluation
from wisecommittee.searches.exits import exit_rows
from wisecommittee.searches.stages.pool import Pool, open_pool

ROWS = 6  # ensembles, and cascades, of a frontier


@dataclass(frozen=True, slots=True)
class Effect:
    """One committee before and after its models are calibrated, at equal cost.

    Before and after have the same stages, and the same number of units exits at each. On the split that chooses,
    calibrations are cross-fitted. Figures of test are None without a test split.

    method : name of the members' calibration methods
    """

    method: str
    before: Evaluation
    after: Evaluation
    reliability: tuple[Reliability, Reliability]
    test: tuple[Evaluation, Evaluation] | None
    test_reliability: tuple[Reliability, Reliability] | None

    @property
    def shown(self) -> tuple[tuple[Evaluation, Evaluation], tuple[Reliability, Reliability]]:
        """(evaluations, reliabilities) before and after, on test if there is one, else on the split that chooses."""
        return (
            ((self.before, self.after), self.reliability)
            if self.test is None or self.test_reliability is None
            else (self.test, self.test_reliability)
        )


def effects(study: Study) -> list[Effect]:
    """The effects on the committees that the user named.

    By default the committees are spread over the frontiers of ensembles and of cascades.
    """
    if study.committees:
        return effects_of(study, study.committees)
    averaged = not study.pool().combine.ordered  # where the newest member answers, there are no ensembles
    searched = study.search(family="ensemble", calibrated=False) if averaged else ()
    ensembles = [e for e in searched if e.committee.shape == "ensemble"]
    cascades = [e for e in study.search(calibrated=False) if e.committee.shape == "cascade"]
    return effects_of(study, [e.committee for e in (*spread(ensembles, ROWS), *spread(cascades, ROWS))])


def effects_of(study: Study, committees: Sequence[Committee]) -> list[Effect]:
    """The effects on these committees, whose models are calibrated unless they are calibrated already."""
    plain = [committee for committee in committees if not _calibrated(committee)]
    calibrations = calibrations_of(study, sorted({model for committee in plain for model in committee.models}))
    return [_effect(study, committee, calibrations) for committee in committees]


def _effect(study: Study, committee: Committee, calibrations: Mapping[str, Calibration]) -> Effect:
    """The effect on one committee; its twin has the other calibration and the same number of exits at each stage."""

    def pools(split: str) -> tuple[Pool, Pool]:
        calibrated = _calibrated(committee)
        after = cascade_pool(study, committee, split) if calibrated else _pool(study, committee, split, calibrations)
        return _pool(study, committee, split, {}), after

    raw, mended = pools(study.split)
    if _calibrated(committee):
        both = with_exits(raw, committee, exits_of(mended, committee)), committee
    else:
        both = committee, with_exits(mended, committee, exits_of(raw, committee))
    has_test = study.reports != study.split and study.store.has_split(study.reports)
    has_test = has_test and set(committee.models) <= set(study.store.models(study.reports))
    before, after = _evaluated((raw, mended), both)
    test = pools(study.reports) if has_test else None
    return Effect(
        " and ".join(sorted({card.calibration.method for card in mended.cards if card.calibration})),
        before,
        after,
        _reliable((raw, mended), both),
        _evaluated(test, both) if test else None,
        _reliable(test, both) if test else None,
    )


def _calibrated(committee: Committee) -> bool:
    return any(member.get("calibration") for member in committee.members.values())


def _evaluated(pools: tuple[Pool, Pool], committees: tuple[Committee, Committee]) -> tuple[Evaluation, Evaluation]:
    before, after = (evaluate_in(pool, [committee])[0] for pool, committee in zip(pools, committees, strict=True))
    return before, after


def _reliable(pools: tuple[Pool, Pool], committees: tuple[Committee, Committee]) -> tuple[Reliability, Reliability]:
    before, after = (reliability_in(pool, committee) for pool, committee in zip(pools, committees, strict=True))
    return before, after


def single(study: Study, model: str) -> Effect:
    """The effect on one model: its predictions stay, so only its reliability changes."""
    pool = study.pool()
    return effects_of(
        study,
        [
            Committee(
                ((model,),),
                confidence=pool.confidence_name,
                combine=pool.combine.name,
                cost=pool.cost.name,
                chosen_on=pool.split,
                labels_from=pool.store.labels_from,
            )
        ],
    )[0]


def calibrations_of(study: Study, models: Sequence[str]) -> dict[str, Calibration]:
    """{model: calibration} on the cards if every model has one, else temperatures that are fitted now, not stored."""
    if not models:
        return {}
    stored = {model: study.store.card(model, study.split).calibration for model in models}
    on_cards = {model: calibration for model, calibration in stored.items() if calibration is not None}
    if len(on_cards) == len(models):
        return on_cards
    fits = fit(study.store, models, split=study.split, threads=study.threads, progress=study.progress)
    return {fitted.model: fitted.calibration for fitted in fits if fitted.calibration is not None}


def reliability_in(pool: Pool, committee: Committee) -> Reliability:
    """Reliability of a committee's units: the maximum probability (the stored confidence of answers) at their exit."""
    row, everyone = exit_rows(stage_table(pool, committee), committee), np.arange(pool.units)
    used = pool if isinstance(pool.confidence, str) else replace(pool, confidence=CONFIDENCES["max_prob"])
    score, quality = stage_values(used, committee)
    confidence = scale_of(used.confidence).shown(score[row, everyone])
    if confidence.min() < 0 or confidence.max() > 1:
        raise UsageError(
            f"{committee.confidence} of {committee.label()} runs from {confidence.min():.4g} to "
            f"{confidence.max():.4g}; reliability needs probabilities"
        )
    return reliability(confidence, quality[row, everyone])


def _pool(study: Study, committee: Committee, split: str, calibrations: Mapping[str, Calibration]) -> Pool:
    cards = sorted((study.store.card(model, split) for model in committee.models), key=lambda card: card.key)
    used = [card.with_calibration(calibrations.get(card.model)) for card in cards]
    pool = open_pool(
        study.store, split, used, combine=committee.combine, confidence=committee.confidence, cost=committee.cost
    )
    return pool.with_fees(part.policy.fee(committee.cost) for part in committee.parts)

"""Members of a runtime that look their outputs up in a store, and the comparison of a runtime with the evaluation."""

from __future__ import annotations

import numpy as np

import wisecommittee as wc
from wisecommittee.committees.confidence import CONFIDENCES
from wisecommittee.runtime import Outputs
from wisecommittee.searches.units import evaluate_units

ROUNDING = 1e-5  # relative, of a confidence


def stored_member(store, split, model):
    """A callable from positions of units to what the store holds of them, not calibrated."""
    card = store.card(model, split)
    scores = {name: store.scores(model, split, name) for name in card.contents.scores}
    costs = {name: store.unit_costs(model, split, name) for name in card.contents.unit_costs}
    answers = card.kind == "answers"
    values = store.answers(model, split) if answers else store.outputs(model, split)

    def call(rows):
        return Outputs(
            None if answers else values[rows],
            values[rows] if answers else None,
            {name: score[rows] for name, score in scores.items()},
            {name: cost[rows] for name, cost in costs.items()},
        )

    return call


def stored_runtime(committee, store, split, **options):
    return wc.Runtime(committee, {m: stored_member(store, split, m) for m in committee.models}, **options)


def known_of(store, split, rows):
    """What a runtime may need beside the inputs, of these units."""
    features = {name: values[rows] for name, values in store.features(split).items()}
    return {"unit_ids": np.asarray(store.unit_ids(split))[rows].tolist(), "features": features}


def decide(committee, store, split, rows, **options):
    """Decisions on the units at these positions, in this order."""
    return stored_runtime(committee, store, split, **options)(rows, **known_of(store, split, rows))


def check_as_evaluated(committee, store, split, **options):
    """Every unit gets the prediction, stage, confidence and cost that the evaluation reports; returns the stages."""
    table = evaluate_units(committee, store, split)
    decisions = decide(committee, store, split, np.arange(len(table)), **options)
    if "prediction" in table:
        assert decisions.prediction.astype(str).tolist() == table["prediction"].fillna(-1).astype(str).tolist()
    assert (decisions.stage + 1).tolist() == table["stage"].tolist()
    if "confidence" in table:
        exact = committee.confidence not in CONFIDENCES
        expected = table["confidence"].to_numpy()
        np.testing.assert_allclose(decisions.confidence, expected, rtol=0 if exact else ROUNDING, atol=1e-6)
    if committee.cost in decisions.costs:
        np.testing.assert_allclose(decisions.costs[committee.cost], table["cost"], rtol=1e-12)
    return decisions.stage

"""Which models and units of logs are stored, and what is stored for units without an answer."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from wisecommittee.committees.cards import ModelCard
from wisecommittee.errors import ContentError, UsageError, option
from wisecommittee.store.imports.missing import ESCALATE, SKIP, Unanswered
from wisecommittee.store.imports.models_csv import read_priced_cards
from wisecommittee.store.imports.prices import Prices
from wisecommittee.store.logs.spill import Spill
from wisecommittee.store.logs.units import Key, Units


def names_of(spill: Spill) -> dict[str, Key]:
    """{name in the store: model and sample}: samples are replicas, 'model/0' and so on."""
    samples = Counter(model for model, _ in spill.samples)
    return {
        f"{model}/{sample}" if samples[model] > 1 or sample else model: (model, sample)
        for model, sample in spill.samples
    }


def unanswered_in(spill: Spill, units: Units, models: Mapping[str, Key]) -> Unanswered:
    """How many units lack an answer, of which models."""
    lacking = {name: ~units.answered[key] for name, key in models.items() if not units.answered[key].all()}
    if not lacking:
        return Unanswered({}, 0, len(units))
    name = next(iter(lacking))
    unit = int(np.flatnonzero(lacking[name])[0])
    record = int(units.record[models[name]][unit])
    where = f"({spill.place(models[name], record)})" if record >= 0 else "(no record)"
    return Unanswered(
        {model: int(rows.sum()) for model, rows in lacking.items()},
        int(np.any(list(lacking.values()), axis=0).sum()),
        len(units),
        f"{units.unit_ids[unit].as_py()!r} of {name} {where}",
    )


def kept_units(units: Units, unanswered: Unanswered, missing: str | None, *, dry_run: bool) -> tuple[Units, str]:
    """The units that are stored, and what is stored for those without an answer.

    ContentError if there are such units and `missing` does not say what becomes of them.
    """
    scored = bool(units.choices.any())
    if not unanswered.units:
        return units, missing or ESCALATE
    if missing is None and not dry_run:
        unanswered.refuse()
    if scored and missing not in (None, SKIP):
        raise UsageError(
            f"{option('missing', missing)}: log-likelihoods and probabilities have no value that stands for no answer; "
            f"give {option('missing', SKIP)}"
        )
    if not scored and missing != SKIP:
        return units, missing or ESCALATE
    units = units.only(np.all(list(units.answered.values()), axis=0))
    if not len(units):
        raise ContentError(f"no unit has an answer of every model; leave a model out, or give {option('missing')}")
    return units, SKIP


def cards_of(
    models: Mapping[str, Key], costs: str | os.PathLike[str] | None, origins: Sequence[str]
) -> tuple[dict[str, ModelCard], dict[str, Prices]]:
    """({model: card with its costs}, {model: prices per token})."""
    cards, prices = {name: ModelCard(name) for name in models}, dict[str, Prices]()
    if costs is not None:
        cards, prices = read_priced_cards(costs, {name: model for name, (model, _) in models.items()})
    said = f"imported from {', '.join(origins)}"
    return {name: replace(card, origin=said) for name, card in cards.items()}, prices

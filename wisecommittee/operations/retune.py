"""Thresholds moved to a stream: the share of units that exits at each stage stays that of a reference split. Labels are
not needed, and nothing is said of accuracy."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.confidence import scale_of
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.errors import CommitteeError, option
from wisecommittee.operations.moving import moved_thresholds
from wisecommittee.operations.outcomes import UnitOutcomes, outcomes_in, unit_outcomes
from wisecommittee.operations.reference import reference_split
from wisecommittee.searches.members import judged, members_pool
from wisecommittee.searches.provenance import record_of_retuning
from wisecommittee.searches.stages.exit_table import committee_tables
from wisecommittee.searches.workers.threads import thread_count
from wisecommittee.store import StoreLike, open_store
from wisecommittee.store.staleness import warn_if_stale


@dataclass(frozen=True, slots=True)
class Retuned:
    """A committee with new thresholds.

    Parameters
    ----------
    committee : Committee
        With the new thresholds; `chosen_on` is the stream that set them.
    reference : UnitOutcomes
        The committee with its thresholds of before, on the reference split.
    before, after : UnitOutcomes
        The stream with both thresholds.
    kept : tuple of int
        Stages, from 0, whose threshold stays: no unit of the reference exits there, or none of the stream reaches them.
    """

    committee: Committee
    reference: UnitOutcomes
    before: UnitOutcomes
    after: UnitOutcomes
    kept: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """The object that `retune --json` prints."""
        return {
            "committee": self.committee.to_json(),
            "split": self.after.split,
            "n": len(self.after),
            "against": self.reference.split,
            "against_n": len(self.reference),
            "thresholds": {"before": _thresholds(self.before), "after": _thresholds(self.after)},
            "kept_stages": [stage + 1 for stage in self.kept],
            **{name: _figures(getattr(self, name)) for name in ("reference", "before", "after")},
        }


def _thresholds(outcomes: UnitOutcomes) -> list[float]:
    return list(outcomes.committee.thresholds.values)


def _figures(outcomes: UnitOutcomes) -> dict[str, Any]:
    quality = None if outcomes.quality is None else float(outcomes.quality.mean())
    ratios = list(outcomes.exit_ratios())
    return {"exit_ratios": ratios, "average_cost": float(outcomes.cost.mean()), "quality": quality}


def retune(
    committee: Committee | str | os.PathLike[str],
    store: StoreLike,
    split: str = "live",
    *,
    against: str | None = None,
    force: bool = False,
    threads: int | None = None,
) -> Retuned:
    """Move the thresholds of a committee so that the exit shares of a reference split hold on a stream.

    Stage by stage, of the units that reach it, the share that exits becomes as nearly as possible that of the
    reference. A new threshold lies midway between two neighbouring confidences of the stream, as those of `search` do.
    This keeps the average cost; whether accuracy is kept too, only labels can tell.

    Parameters
    ----------
    committee : Committee or path
        Exits by thresholds.
    store : LogitStore or path
    split : str
        The stream.
    against : str, optional
        The reference split; by default as of `monitor`.
    force, threads
        As of `evaluate`.

    Returns
    -------
    Retuned

    Raises
    ------
    CommitteeError
        The committee has no thresholds, or as of `evaluate`.
    AbsentError
        There is no reference split.
    StoreError
        As of `evaluate`.
    """
    chosen = committee if isinstance(committee, Committee) else Committee.load(committee)
    if not isinstance(chosen.policy, Thresholds):
        raise CommitteeError(
            f"{chosen.label()} exits by policy {chosen.policy.kind!r}, and retune moves thresholds only; search again "
            f"with {option('split', split)} once that has labels, or choose a committee with "
            f"{option('policy', Thresholds.kind)}"
        )
    if not chosen.thresholds.values:
        raise CommitteeError(f"{chosen.label()} has one stage and no threshold to move")
    source = open_store(store)
    source.require_split(split)
    warn_if_stale(chosen, source)
    source = judged([chosen], source, split)
    base = reference_split(chosen, source, split, against)
    reference = unit_outcomes(chosen, source, base, force=force, threads=threads)
    pool = members_pool([chosen], source, split, force=force, labelled=False)
    (table,) = committee_tables(pool, [chosen], threads=thread_count(threads))
    exits = np.bincount(reference.stage, minlength=len(chosen.stages))
    pairs, kept = moved_thresholds(table.score, exits, chosen.thresholds.pairs, scale_of(chosen.confidence))
    cards = [source.card(model, split) for model in chosen.models]
    query = {"store": source.files.uri, "split": split, "against": base}
    provenance = record_of_retuning(source, cards, query, chosen.provenance)
    moved = chosen.altered(policy=Thresholds.of(pairs), chosen_on=split, provenance=provenance)
    before, after = (outcomes_in(pool, each, threads) for each in (chosen, moved))
    return Retuned(moved, reference, before, after, kept)

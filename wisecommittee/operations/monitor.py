"""A committee on a stream of new units, beside a reference split: whether its figures have drifted."""

from __future__ import annotations

import os

import numpy as np

from wisecommittee.committees.committee import Committee
from wisecommittee.errors import AbsentError, UsageError, option
from wisecommittee.operations.expected import expected_values
from wisecommittee.operations.labelling import quality_by
from wisecommittee.operations.monitored import Monitored
from wisecommittee.operations.outcomes import unit_outcomes
from wisecommittee.operations.reference import find_reference, reference_split
from wisecommittee.operations.watching import watched_values
from wisecommittee.searches.members import judged
from wisecommittee.store import StoreLike, open_store
from wisecommittee.store.staleness import warn_if_stale
from wisecommittee.tasks.task import agreement_with


def monitor(
    committee: Committee | str | os.PathLike[str],
    store: StoreLike,
    split: str = "live",
    *,
    against: str | None = None,
    labels: str | os.PathLike[str] | None = None,
    alpha: float = 0.05,
    force: bool = False,
    cost: str | None = None,
    threads: int | None = None,
) -> Monitored:
    """Watch a committee on a stream beside a reference split: exit ratios, average cost, agreement of its stages and,
    with labels, accuracy.

    Without drift, nothing is called drifted in a share 1 - alpha of streams, whatever their length and however often
    they are looked at. The test carries the sampling error of the reference (statistics/sequential.py).

    Parameters
    ----------
    committee : Committee or path
    store : LogitStore or path
    split : str
        The stream: its units come in the order of the store, which is that of the file they were imported from.
    against : str, optional
        The reference split; by default 'test' if the store has it for all members, else the split the committee was
        chosen on, else the expected figures that committee.json carries, without exits and agreement.
    labels : path, optional
        Labels of the stream, or of a random part of it, in the formats of `import_outputs`; by default those that the
        split was imported with.
    alpha : float
        In (0, 1).
    force, cost, threads
        As of `evaluate`.

    Returns
    -------
    Monitored

    Raises
    ------
    AbsentError
        There is no split to compare with, or nothing to watch.
    CommitteeError, StoreError
        As of `evaluate`.
    """
    if not 0 < alpha < 1:
        raise UsageError(f"{option('alpha', alpha)}: expected a probability between 0 and 1, such as 0.05")
    chosen = committee if isinstance(committee, Committee) else Committee.load(committee)
    source = open_store(store)
    source.require_split(split)
    warn_if_stale(chosen, source)
    if labels is None:
        source = judged([chosen], source, split)
    elif source.labels_from is not None:
        raise UsageError(
            f"{option('labels', os.fspath(labels))} with {option('labels_from', source.labels_from)}: each says what "
            f"is right; leave one of them out"
        )
    base = find_reference(chosen, source, split, against)
    expected = chosen.expected if cost in (None, chosen.cost) else None
    if base is None and expected is None:
        base = reference_split(chosen, source, split, against)
    live = unit_outcomes(chosen, source, split, force=force, cost=cost, threads=threads)
    quality = live.quality if labels is None else quality_by(labels, live, source)
    reference = None
    if base is not None:
        reference = unit_outcomes(chosen, source, base, force=force, cost=cost, threads=threads)
        every = watched_values(reference, live, quality)
    else:
        chosen_for = "accuracy" if chosen.labels_from is None else agreement_with(chosen.labels_from)
        every = expected_values(expected or {}, live, quality if live.measure == chosen_for else None)
    if not every:
        raise AbsentError(
            f"{chosen.label()} runs the same models for every unit, so that there is nothing to watch without labels; "
            f"give those of {split} with {option('labels', placeholder='FILE')}"
        )
    share = alpha / sum(not values.repeats for values in every)
    watched = tuple(values.watched(share) for values in every)
    return Monitored(reference, live, watched, alpha, 0 if quality is None else int(np.isfinite(quality).sum()))

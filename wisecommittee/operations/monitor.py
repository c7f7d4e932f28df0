"""A committee on a stream of new units, beside a reference split: whether its figures have drifted."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from wisecommittee.committees.committee import Committee
from wisecommittee.errors import AbsentError, UsageError, option
from wisecommittee.operations.expected import expected_values
from wisecommittee.operations.labelling import quality_by
from wisecommittee.operations.outcomes import UnitOutcomes, unit_outcomes
from wisecommittee.operations.reference import find_reference, reference_split
from wisecommittee.operations.watching import Watched, watched_values
from wisecommittee.store import StoreLike, open_store

EXPECTED = "expected"


@dataclass(frozen=True, slots=True)
class Monitored:
    """A committee on a stream beside a reference split.

    Parameters
    ----------
    reference : UnitOutcomes or None
        None if the stream stands beside the expected figures of committee.json.
    live : UnitOutcomes
    watched : tuple of Watched
    alpha : float
        Largest probability that any figure of a stream without drift is ever called drifted.
    with_labels : int
        Number of units of the stream whose label is known.
    """

    reference: UnitOutcomes | None
    live: UnitOutcomes
    watched: tuple[Watched, ...]
    alpha: float
    with_labels: int

    @property
    def unit(self) -> int | None:
        """Number of the first unit of the stream with which any drift was shown."""
        return min((each.unit for each in self.watched if each.unit is not None), default=None)

    @property
    def verdict(self) -> str:
        """'steady' as long as no drift is shown, else 'drifted'."""
        return "steady" if self.unit is None else "drifted"

    @property
    def against(self) -> str:
        """The reference split, or 'expected'."""
        return EXPECTED if self.reference is None else self.reference.split

    @property
    def reference_chose(self) -> bool:
        """Whether the committee was chosen on the reference split, whose figures are optimistic then."""
        return self.reference is not None and self.reference.split == self.live.committee.chosen_on

    def to_json(self) -> dict[str, Any]:
        """The object that `monitor --json` prints."""
        return {
            "committee": self.live.committee.to_json(),
            "split": self.live.split,
            "n": len(self.live),
            "with_labels": self.with_labels,
            "against": self.against,
            "against_n": None if self.reference is None else len(self.reference),
            "against_chose": self.reference_chose,
            "alpha": self.alpha,
            "verdict": self.verdict,
            "unit": self.unit,
            "watched": [each.to_json() for each in self.watched],
            "exit_ratios": {
                "reference": None if self.reference is None else list(self.reference.exit_ratios()),
                "live": list(self.live.exit_ratios()),
            },
        }


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
        every = expected_values(expected or {}, live, quality)
    if not every:
        raise AbsentError(
            f"{chosen.label()} runs the same models for every unit, so that there is nothing to watch without labels; "
            f"give those of {split} with {option('labels', placeholder='FILE')}"
        )
    share = alpha / sum(not values.repeats for values in every)
    watched = tuple(values.watched(share) for values in every)
    return Monitored(reference, live, watched, alpha, 0 if quality is None else int(np.isfinite(quality).sum()))

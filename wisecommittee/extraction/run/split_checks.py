"""Whether the units of the data are those of the split."""

from __future__ import annotations

from wisecommittee.errors import AlignmentError, option
from wisecommittee.extraction.data.data import Data
from wisecommittee.extraction.run.plan import Run
from wisecommittee.extraction.run.probes import PROBE_UNITS, Probes
from wisecommittee.store import checks
from wisecommittee.store.units import check_against_units, missing_units


def check_split(run: Run, probes: Probes) -> None:
    """AlignmentError if the split exists and has other units, as far as they are known before they are read."""
    data, split = run.data, run.split
    known = data.known()
    if known is None and not data.images:
        probe = probes(None)
        known = probe.unit_ids, probe.labels
    if known is not None:
        checks.check_unit_ids(known[0], data.what)
    if not run.store.has_split(split):
        return
    index = run.store.unit_index(split)
    left_out = next((unit for unit in data.corrupt if unit.unit_id in index), None)
    if left_out is not None:
        raise AlignmentError(
            f"{data.what}: {left_out} cannot be decoded, but the models of {split} have seen it; mend it, or write to "
            f"another split: the models of a split see the same units"
        )
    if data.units not in (None, len(index)):
        if (shorter := _left_out(run, data, len(index))) is not None:
            raise shorter
        raise AlignmentError(
            f"{data.what}: {data.units:,} units, {split} has {len(index):,}; "
            f"the models of a split see the same units, write to another split"
        )
    if known is None:
        return
    labels = checks.check_labels(known[1], None, data.what)
    there = run.store.labels(split)
    for unit, label in zip(known[0][:PROBE_UNITS], labels[:PROBE_UNITS], strict=True):
        stored = f"label {there[index[unit]]}" if unit in index else "no such unit"
        if stored != f"label {label}":
            raise AlignmentError(
                f"{data.what}: unit {unit!r} has label {label}, {split} has {stored}; "
                f"the models of a split see the same units, write to another split"
            )
    check_against_units(data.what, known[0], labels, index, there)
    if data.units is not None and len(known[0]) == data.units != len(index):
        raise missing_units(data.what, known[0], index)


def _left_out(run: Run, data: Data, there: int) -> AlignmentError | None:
    """The error for a split that lacks units because they could not be decoded."""
    for model in run.store.models(run.split):
        corrupt = run.store.card(model, run.split).meta.get("corrupt")
        missing, names = (corrupt.get("units"), corrupt.get("first")) if isinstance(corrupt, dict) else (None, None)
        if type(missing) is int and not data.corrupt and data.units == there + missing:
            shown = names[0] if isinstance(names, list) and names else "?"
            remedy = (
                "they can now; write to another split"
                if run.settings.skip_corrupt
                else f"use {option('skip_corrupt', True)} too"
            )
            return AlignmentError(
                f"{data.what}: {run.split} left out {missing:,} of its images that could not be decoded, as "
                f"{shown!r}; {remedy}: the models of a split see the same units"
            )
    return None

"""The split that a stream is compared with."""

from __future__ import annotations

from wisecommittee.committees.committee import Committee
from wisecommittee.errors import AbsentError, UsageError, option
from wisecommittee.searches.doctor import REPORTING
from wisecommittee.store import LogitStore


def reference_split(committee: Committee, store: LogitStore, split: str, against: str | None) -> str:
    """The split to compare `split` with; AbsentError if the store has none."""
    found = find_reference(committee, store, split, against)
    if found is None:
        raise AbsentError(
            f"{store.files.uri!r} has neither a test split nor the split that chose the committee, with all its "
            f"members, to compare {split} with; name another with {option('against', placeholder='SPLIT')}"
        )
    return found


def find_reference(committee: Committee, store: LogitStore, split: str, against: str | None) -> str | None:
    """`against`, else test, else the split that chose the committee; None if the store has no such split.

    Figures of the split that chose are optimistic, so that test goes before it.
    """
    if against is not None:
        if against == split:
            raise UsageError(f"{option('against', against)}: the stream is compared with another split; name that")
        store.require_split(against)
        return against
    for name in (REPORTING, committee.chosen_on):
        if name not in (None, split) and set(committee.models) <= set(store.models(str(name))):
            return str(name)
    return None

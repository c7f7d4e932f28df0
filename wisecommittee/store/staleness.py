"""Whether a store still is what a committee was chosen on."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.fields import is_whole
from wisecommittee.errors import counted
from wisecommittee.store.layout import is_split_name
from wisecommittee.store.logit_store import LogitStore


def staleness(committee: Committee, store: LogitStore) -> list[str]:
    """What differs between the split that chose a committee and the same split of a store, as sentences.

    Empty if nothing does, if the committee does not say what it was chosen on, and if the store has no such split: new
    data in other splits are what committees are for. Other weights of a member are refused elsewhere.
    """
    before = _recorded(committee)
    split = before.get("split")
    if not isinstance(split, str) or not is_split_name(split) or not store.has_split(split):
        return []
    now = set(store.models(split))
    outputs = before["outputs"] if isinstance(before.get("outputs"), dict) else {}
    if gone := sorted(model for model in outputs if model not in now):
        return [f"{split} no longer has {', '.join(gone)}"]
    cards = {model: store.card(model, split).contents for model in outputs}
    out = []
    if any(card.units not in (None, before.get("units_hash")) for card in cards.values()):
        rows, units = max(card.rows for card in cards.values()), before.get("units")
        number = f"{counted(rows, 'unit')}, then {units:,}" if is_whole(units) and units != rows else ""
        out.append(f"{split} has other units or labels than chose it" + (f" ({number})" if number else ""))
    if changed := sorted(model for model, card in cards.items() if card.content != outputs[model]):
        out.append(f"the outputs of {', '.join(changed)} in {split} are not those that chose it")
    return out


def warn_if_stale(committee: Committee, store: LogitStore) -> None:
    """Warn if the split that chose a committee has changed since."""
    if why := staleness(committee, store):
        warnings.warn(
            f"{committee.label()} may no longer be the best choice: {'; '.join(why)}; search again", stacklevel=3
        )


def _recorded(committee: Committee) -> Mapping[str, Any]:
    """What the provenance says of the store; anybody may have written it."""
    store = (committee.provenance or {}).get("store")
    return store if isinstance(store, dict) else {}

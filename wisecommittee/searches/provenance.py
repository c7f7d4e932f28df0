"""What a committee was chosen with: versions, the contents of the store, the query, and what the search claims.

Nothing in it depends on the time or the machine, so that equal searches of equal stores write equal files. Evaluation
and deployment ignore it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from wisecommittee.committees.cards import StoredCard
from wisecommittee.committees.charging import RecordedCost
from wisecommittee.committees.committee import FORMS, Committee
from wisecommittee.committees.cost import block_costs
from wisecommittee.searches.evaluation import Evaluation
from wisecommittee.store import LogitStore
from wisecommittee.version import __version__

PACKAGES = ("numpy", "numba")  # beside this one, those that compute figures
Record = Mapping[str, Any]


def versions() -> dict[str, str]:
    """{"wisecommittee", "numpy", "numba"}: the versions that run."""
    out = {"wisecommittee": __version__}
    for package in PACKAGES:
        try:
            out[package] = version(package)
        except PackageNotFoundError:
            continue
    return out


def contents(store: LogitStore, split: str, cards: Sequence[StoredCard]) -> dict[str, Any]:
    """What a split of a store holds of these models.

    Returns
    -------
    {"split", "units", "units_hash", "outputs", "fingerprint"}
        units : their number; units_hash : of the ids and labels of the split; outputs : {model: hash of its outputs},
        also of the model that labels are from; fingerprint : of all of these.
    """
    hashes = {card.model: card.contents.content for card in cards}
    if store.labels_from is not None and store.labels_from not in hashes:
        hashes[store.labels_from] = store.card(store.labels_from, split).contents.content
    units = store.units(split)
    written_for = next((card.contents.units for card in cards if card.contents.units), units.hash)
    out = {
        "split": split,
        "units": len(units.index),
        "units_hash": written_for,
        "outputs": dict(sorted(hashes.items())),
    }
    return out | {"fingerprint": hashlib.sha256(json.dumps(out, sort_keys=True).encode()).hexdigest()[:16]}


def record_of_search(
    store: LogitStore, cards: Sequence[StoredCard], query: Mapping[str, Any], searched: Mapping[str, Any]
) -> Record:
    """The provenance that all committees of a search share.

    cards : of all models that were searched. query : as `search --json` prints it. searched : what the search counted
    and claims; without the seconds it took.
    """
    return {
        "versions": versions(),
        "store": contents(store, query["split"], cards),
        "query": dict(query),
        "searched": {name: value for name, value in searched.items() if name != "seconds"},
    }


def record_of_retuning(
    store: LogitStore, cards: Sequence[StoredCard], query: Mapping[str, Any], before: Record | None
) -> Record:
    """The provenance of a committee whose thresholds were moved; its field `search` is that of the search before."""
    record: Record = {"versions": versions(), "store": contents(store, query["split"], cards), "retuned": dict(query)}
    search = None if before is None else before.get("search", before)
    return record if search is None else {**record, "search": search}


def recorded(committee: Committee, record: Record | None) -> Committee:
    """The committee with the provenance of its search; the outputs in it are those of its members."""
    if record is None:
        return committee
    needed = {*committee.models, committee.labels_from}
    outputs = {model: each for model, each in record["store"]["outputs"].items() if model in needed}
    return replace(committee, provenance={**record, "store": {**record["store"], "outputs": outputs}})


def all_recorded(evaluations: Iterable[Evaluation], record: Record | None) -> tuple[Evaluation, ...]:
    """Evaluations whose committees have the provenance of their search."""
    return tuple(replace(each, committee=recorded(each.committee, record)) for each in evaluations)


def is_record(value: object) -> bool:
    """Whether a value can be the record of a frontier's file."""
    store = value.get("store") if isinstance(value, dict) else None
    return value is None or (isinstance(store, dict) and isinstance(store.get("outputs"), dict))


def recorded_costs(store: LogitStore, split: str, cards: Iterable[StoredCard], name: str) -> dict[str, Any]:
    """The fields `costs`, of models that are not charged by their blocks, `stage_overhead` and `answer_form` of a
    Committee of these models, by the cards of a split and the overhead that the store records."""
    cards = list(cards)
    charged = [card for card in cards if name != "flops" or name in card.contents.unit_costs]
    costs = {card.model: _cost(card, store, split, name) for card in charged}
    form = next((card.meta["answer_form"] for card in cards if card.meta.get("answer_form") in FORMS), None)
    return {"costs": costs, "stage_overhead": store.stage_overhead().costs.get(name, 0.0), "answer_form": form}


def _cost(card: StoredCard, store: LogitStore, split: str, name: str) -> RecordedCost:
    varies = name in card.contents.unit_costs
    charges = block_costs(card, name, store.unit_costs(card.model, split, name) if varies else None)
    if charges is None:
        return None
    by_model = {block.partition("\0")[0]: cost for block, cost in charges.items()}
    return by_model[card.model] if by_model.keys() == {card.model} else by_model

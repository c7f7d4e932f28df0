"""card.json: a card and a checksum of all it says.

Costs, calibrations and names decide the choice of a committee as much as outputs do, so a flipped bit in them must be
found too.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from wisecommittee.committees.card_json import card_from_json
from wisecommittee.committees.cards import ModelCard, StoredCard
from wisecommittee.committees.model_names import OLD_KINDS
from wisecommittee.errors import StoreError, WiseCommitteeError, option
from wisecommittee.reading import parse_json
from wisecommittee.store import checks
from wisecommittee.store.storage.files import MAX_JSON

CHECKSUM = "checksum"


def encode_card(card: ModelCard) -> bytes:
    try:
        data = card.to_json()
        data[CHECKSUM] = _checksum(data)
        text = json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise StoreError(
            f"{card.model}: its card is no JSON ({error}); expected text, finite numbers, lists and objects in meta"
        ) from error
    if len(text) > MAX_JSON:
        raise StoreError(f"{card.model}: card of {len(text):,} bytes; expected {MAX_JSON:,} at most, shorten meta")
    return text


def decode_card(text: bytes, model: str, what: str) -> StoredCard:
    """The card of a committed model; StoreError says what is wrong with it."""
    remedy = f"extract or import {model} again with {option('replace', True)}"
    try:
        data = parse_json(text)
    except ValueError as error:
        raise StoreError(f"{what}: not JSON ({error}); {remedy}") from error
    try:
        given = data.pop(CHECKSUM, None) if isinstance(data, dict) else None
        card = card_from_json(data)
        _check_as_written(data, card)
        altered = given != _checksum(data)
    except (WiseCommitteeError, ArithmeticError, RecursionError, UnicodeEncodeError) as error:
        raise StoreError(f"{what}: {error}; {remedy}") from error
    if card.model != model:
        raise StoreError(f"{what}: the card of {card.model!r}, not of {model!r}; {remedy}")
    if given is None or card.contents.units is None:
        lacking = "checksum" if given is None else "hash of the units it was written for"
        raise StoreError(f"{what}: it has no {lacking}, so that nothing says whether it is as it was; {remedy}")
    if altered:
        raise StoreError(
            f"{what}: its checksum differs, it was damaged or edited by hand; undo an edit and change costs with "
            f"`wisecommittee import --costs models.csv`, or {remedy}"
        )
    return card


def _checksum(data: dict[str, Any]) -> str:
    text = json.dumps({name: value for name, value in data.items() if name != CHECKSUM}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _check_as_written(data: Any, card: StoredCard) -> None:
    """Raise unless the card equals its file without conversions, and its contents are consistent."""
    written = card.to_json()
    contents = card.contents
    given = [(name, value, written.get(name)) for name, value in data.items() if name not in ("contents", "kind")]
    if "kind" in data:
        given.append(("kind", OLD_KINDS.get(data["kind"], data["kind"]), card.kind))
    given += [(f"contents.{name}", value, written["contents"].get(name)) for name, value in data["contents"].items()]
    sound = {
        "dtype": contents.dtype in checks.DTYPES,
        "classes": (contents.classes is None) == (card.kind == "answers") and (contents.classes or 2) >= 2,
        "content": _is_sha256(contents.content),
        "parts": len({part.file for part in contents.parts}) == len(contents.parts),
        "rows": contents.rows == sum(part.rows for part in contents.parts) > 0,
        "units": contents.units is None or _is_sha256(contents.units),  # a lack of it is named below
    }
    for name in (name for name, fine in sound.items() if not fine):
        raise StoreError(f"contents.{name} is {str(written['contents'][name])[:100]}, which no store writes")
    for name, value, kept in given:
        if value != kept and not (value in (None, {}) and kept is None):
            raise StoreError(f"{name} is {str(value)[:100]}, which no store writes")


def _is_sha256(text: str) -> bool:
    return re.fullmatch("[0-9a-f]{64}", text) is not None

"""Names in a store: of splits, of the folder of each model, and of the files and locks in them.

stage_overhead.json                         what every stage costs beside its members
<split>/units.parquet                       unit ids and labels of the split; the label is -1 for every
                                            unit of a split without labels
<split>/groups.parquet                      columns by which units belong together
<split>/features.parquet                    columns that are known before any model runs
<split>/model=<escaped name>/part-R-N.parquet   part N that rank R has written
<split>/model=<escaped name>/card.json      the commit record
"""

from __future__ import annotations

import functools
import hashlib
import re
from urllib.parse import quote, unquote

from wisecommittee.errors import StoreError, UsageError

DEFAULT_STORE = "logits"
MAX_NAME = 240  # bytes of a folder's name; file systems allow 255
OVERHEAD = "stage_overhead.json"
PREFIX = "model="
DIVIDING = ".dividing"  # new splits of a division, before they are moved to their names (splitting.py)
HELD = ".held-"  # prefix of a split while the one that replaces it is moved
LAST_WRITER = ".last-writer"  # in a split that many models are being added to: the process that had the last turn
PART_NAME = re.compile(r"part-([0-9]+)-([0-9]+)\.parquet")
PLAN_NAME = re.compile(r"\.writing-([0-9]+)\.json")


def is_split_name(name: str) -> bool:
    return bool(name) and name.isascii() and not name.startswith(".") and quote(name, safe="") == name


def check_split_name(split: str) -> None:
    if not is_split_name(split):
        raise UsageError(f"split {split!r}: expected a plain name such as val or test")


def folder_name(model: str) -> str:
    """'b3/0' -> 'model=b3%2F0'"""
    return f"{PREFIX}{quote(model, safe='', errors='surrogateescape')}"


@functools.lru_cache(maxsize=1 << 16)  # called for every folder of a split whenever a model is added
def model_of(folder: str) -> str | None:
    """The model whose folder has that name; None if no model has."""
    if not folder.isascii() or not folder.startswith(PREFIX):
        return None
    model = unquote(folder.removeprefix(PREFIX))
    return model if model and folder == folder_name(model) else None


def model_folder(split: str, model: str) -> str:
    check_split_name(split)
    name = folder_name(model)
    if len(name) > MAX_NAME:
        raise StoreError(f"{model}: its folder's name would have {len(name)} characters; choose a shorter name")
    return f"{split}/{name}"


def units_path(split: str) -> str:
    return f"{split}/units.parquet"


def groups_path(split: str) -> str:
    return f"{split}/groups.parquet"


def features_path(split: str) -> str:
    return f"{split}/features.parquet"


def card_path(split: str, model: str) -> str:
    return f"{model_folder(split, model)}/card.json"


def part_name(rank: int, number: int) -> str:
    return f"part-{rank}-{number}.parquet"


def part_units_path(folder: str, rank: int, number: int) -> str:
    """Unit ids and labels of a part, until the model is committed."""
    return f"{folder}/.units-{rank}-{number}.parquet"


def plan_path(folder: str, rank: int) -> str:
    """The plan of a rank, until the model is committed (leftovers.py)."""
    return f"{folder}/.writing-{rank}.json"


def lock_name(split: str, model: str, rank: int) -> str:
    """The lock that a rank holds while it writes a model."""
    check_split_name(split)
    return f"{split}/.lock-{turn_name(model)}-{rank}"


def turn_name(model: str) -> str:
    """One word for a model, by which its writer claims a turn (storage/files.py)."""
    return hashlib.sha256(model.encode()).hexdigest()[:16]

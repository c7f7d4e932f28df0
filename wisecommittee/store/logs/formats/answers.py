"""The long table of answers that `import --answers` takes, here also packed, or as the files of a folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from wisecommittee.errors import ContentError
from wisecommittee.store.logs.long_table import Roles, long_records
from wisecommittee.store.logs.opening import files_of, first_files
from wisecommittee.store.logs.records import LogFormat, LogOptions, Records
from wisecommittee.store.logs.tabular import TABLES, blocks, headings, is_of_hub, seen_headings
from wisecommittee.store.readers.classes import means_something_else

NEEDED = ("unit_id", "model", "answer")
TOKENS, TOPS = "token_logprobs", "top_logprobs"
COLUMNS = (*NEEDED, "confidence", "score", "label", TOKENS, TOPS)


def is_answers(names: Sequence[str]) -> bool:
    return set(NEEDED) <= set(names)


def matches(path: Path) -> bool:
    return any(is_answers(seen_headings(file)) and not is_of_hub(file) for file in first_files(path, *TABLES))


def read(path: Path, options: LogOptions) -> Iterator[Records]:
    """Records in blocks; columns beside the known ones are costs of a unit."""
    options.only("answers")
    for file in files_of(path, *TABLES):
        names = headings(file)
        for name in NEEDED:
            if name not in names:
                raise ContentError(f"{file}: no column {name!r}; columns: {', '.join(names)[:200]}")
        costs = {name: name for name in names if name not in COLUMNS}
        for name in costs:
            if means_something_else(name):
                raise ContentError(
                    f"{file}: column {name!r} is no cost; expected {', '.join(COLUMNS)} and costs of a unit; leave it "
                    f"out"
                )
        here = {name: name for name in COLUMNS if name in names}
        roles = Roles(
            *NEEDED,
            label=here.get("label"),
            grade=here.get("score"),
            tokens=here.get(TOKENS),
            tops=here.get(TOPS),
            scores={name: name for name in ("confidence",) if name in names},
            costs=costs,
        )
        for block in blocks(file):
            yield from long_records(block, roles, options)


ANSWERS = LogFormat(
    "answers", "long tables: unit_id, model, answer, and label or score, confidence, costs", matches, read
)

"""Proxy and oracle: a table of a cheap model's scores and an expensive model's labels, as SUPG and BARGAIN have them.

SUPG's tables have the columns id, proxy_score and label (`supg/datasource/datasource.py` of
github.com/stanford-futuredata/supg); BARGAIN takes arrays, its score is that of the proxy's answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from wisecommittee.errors import ContentError
from wisecommittee.store.logs.opening import files_of, first_files
from wisecommittee.store.logs.records import LogFormat, LogOptions, Records
from wisecommittee.store.logs.tabular import TABLES, Block, blocks, headings, seen_headings

IDS = ("id", "unit_id", "record_id", "idx")
SCORES = ("proxy_score", "proxy_scores")
LABELS = ("label", "oracle_label", "oracle", "labels")
CLASSES = ("0", "1")
_LABEL = {"0": 0, "1": 1, "false": 0, "true": 1}


def _first(names: Sequence[str], known: Sequence[str]) -> str | None:
    return next((name for name in known if name in names), None)


def matches(path: Path) -> bool:
    tables = map(seen_headings, first_files(path, *TABLES))
    return any(_first(names, SCORES) and _first(names, LABELS) for names in tables)


def read(path: Path, options: LogOptions) -> Iterator[Records]:
    """Records of the models `proxy` and `oracle`: probabilities of the classes 0 and 1. The oracle is always right."""
    options.only("proxy-oracle")
    first = 0
    for file in files_of(path, *TABLES):
        names = headings(file)
        score, label = _first(names, SCORES), _first(names, LABELS)
        if score is None or label is None:
            raise ContentError(
                f"{file}: no column {' or '.join(SCORES if score is None else LABELS)}; expected id, proxy_score and "
                f"label"
            )
        unit = _first(names, IDS)
        for block in blocks(file, {name for name in (unit, score, label) if name}):
            yield from _of_block(block, unit, score, label, first)
            first += len(block)


def _of_block(block: Block, unit: str | None, score: str, label: str, first: int) -> Iterator[Records]:
    """first : number of the first row among those of all files, which names the units where no column does."""
    units = block.texts(unit) if unit else [str(first + row) for row in range(len(block))]
    labels = np.empty(len(block), np.int64)
    for row, text in enumerate(block.texts(label)):
        known = _LABEL.get((text or "").casefold())
        if known is None or units[row] is None:
            wrong = f"{label} {(text or '')[:40]!r}; expected 0 or 1" if known is None else f"{unit} is empty"
            raise ContentError(f"{block.where(row)}: {wrong}")
        labels[row] = known
    positive = block.numbers(score, 0, 1)
    if np.isnan(positive).any():
        row = int(np.flatnonzero(np.isnan(positive))[0])
        raise ContentError(f"{block.where(row)}: {score} is empty; expected a number from 0 to 1")
    for model, probability in (("proxy", positive), ("oracle", labels.astype(np.float64))):
        yield Records(
            model,
            block.file,
            block.lines,
            [str(each) for each in units],
            outputs=np.stack([1 - probability, probability], axis=1),
            kind="probabilities",
            class_names=CLASSES,
            labels=labels,
        )


PROXY_ORACLE = LogFormat("proxy-oracle", "SUPG and BARGAIN tables (.csv): id, proxy_score, label", matches, read)

"""The hash of a model's content: equal for equal rows, whatever their order and the layout of their files."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from wisecommittee.store.rows import ModelRows

CONTENT_MODULUS = 1 << 256
HASHED_BYTES = 1 << 18  # of values that are packed for their hashes at a time


def content_sum(rows: ModelRows) -> int:
    """Sum over rows of a 256-bit hash of (unit id, values): independent of row order and of part boundaries."""
    width = sum(column.nbytes for column in _columns(rows)) // max(len(rows), 1)
    step = max(1, HASHED_BYTES // max(width, 1))
    pieces = (rows.slice(start, start + step) for start in range(0, len(rows), step))
    return sum(map(_content_sum, pieces)) % CONTENT_MODULUS


def _content_sum(rows: ModelRows) -> int:
    packed = [column.view(np.uint8).reshape(len(rows), -1) for column in _columns(rows)]
    values = [b""] * len(rows)
    if packed:
        together = packed[0] if len(packed) == 1 else np.concatenate(packed, axis=1)
        values = together.view(f"V{together.shape[1]}").ravel().tolist()
    answers = rows.answers or [""] * len(rows)
    digests = [
        hashlib.blake2b(unit.encode() + b"\0" + value + answer.encode(), digest_size=32).digest()
        for unit, value, answer in zip(rows.unit_ids, values, answers, strict=True)
    ]
    words = np.frombuffer(b"".join(digests), "<u4").reshape(-1, 8).sum(axis=0, dtype=np.uint64)
    return sum(word << (32 * place) for place, word in enumerate(words.tolist()))


def _columns(rows: ModelRows) -> list[NDArray[np.generic]]:
    """The values of rows [n, ..] but their answers, in the order in which they are hashed."""
    columns: list[NDArray[np.generic]] = []
    if rows.outputs is not None:
        columns.append(np.ascontiguousarray(rows.outputs, dtype="<f4"))
    if rows.quality is not None:
        columns.append(np.ascontiguousarray(rows.quality, dtype="<f4"))
    columns += [np.ascontiguousarray(rows.scores[name], dtype="<f4") for name in sorted(rows.scores)]
    return columns + [np.ascontiguousarray(rows.unit_costs[name], dtype="<f8") for name in sorted(rows.unit_costs)]


def content_hash(content: int) -> str:
    return f"{content % CONTENT_MODULUS:064x}"

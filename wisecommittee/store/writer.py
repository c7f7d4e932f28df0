"""Streamed, resumable writing of one model into one split.

Rows are appended in any batches and leave as immutable parts; card.json is written last and is the commit record. A
killed writer leaves whole parts behind; a writer of the same identity continues after them (`rows_done`), any other
writer clears them away. Several ranks (torchrun) each write their own parts; one of them commits.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.cards import Contents, ModelCard, Part
from wisecommittee.errors import AlignmentError, ContentError, StoreError
from wisecommittee.store import gate, parts
from wisecommittee.store.parts import Rows

if TYPE_CHECKING:
    from wisecommittee.store.logit_store import LogitStore

PART_NAME = re.compile(r"part-(\d+)-(\d+)\.parquet")
UNITS_NAME = ".units-{rank}-{number}.parquet"  # labels of a part, until the split has its units.parquet
PLAN_NAME = ".writing-{rank}.json"


class Writer:
    """Writes one model into one split; use as a context manager and call `commit` at the end.

    card : the model, without contents. classes : columns of the outputs, None for answers. dtype : 'float32' | 'float16'.
    identity : text that says what is being extracted (model, weights, data, preprocessing, number of ranks); rows left by
    a killed writer are kept only if it is equal. rows_per_part : rows in each part but the last of a rank.
    """

    def __init__(
        self,
        store: LogitStore,
        card: ModelCard,
        split: str,
        *,
        classes: int | None,
        dtype: str = "float32",
        identity: str = "",
        rows_per_part: int = parts.ROW_GROUP,
        rank: int = 0,
        replace: bool = False,
    ) -> None:
        if dtype not in ("float32", "float16"):
            raise ContentError(f"dtype {dtype!r}; a store holds float32 or float16")
        self.store, self.card, self.split, self.rank = store, card, split, rank
        self.classes, self.dtype, self.rows_per_part = classes, np.dtype(dtype), rows_per_part
        self.what = f"{card.model} in {split}"
        self.folder = store.model_folder(split, card.model)
        self._replace = replace
        described = json.dumps([card.to_json(), classes, dtype, identity, rows_per_part], sort_keys=True, default=str)
        self._identity = hashlib.sha256(described.encode()).hexdigest()
        self._stack = ExitStack()
        self._pending: list[Rows] = []
        self._pending_labels: list[NDArray[np.generic]] = []
        self._pending_rows = 0
        self._parts: list[Part] = []
        self._content = 0
        self._columns: tuple[tuple[str, ...], tuple[str, ...], bool] | None = None
        self._units: dict[str, int] | None = None
        self._labels: NDArray[np.generic] | None = None
        self._seen: set[str] = set()
        self.rows_done = 0

    def __enter__(self) -> Self:
        name = self.store.lock_name(self.split, self.card.model, self.rank)
        self._stack.enter_context(self.store.files.lock(name, self.what))
        committed = self.store.read_card(self.split, self.card.model)
        if committed is not None and not self._replace:
            self._stack.close()
            raise StoreError(f"{self.what}: already in the store with {self._rows_of(committed)} rows; use --replace")
        if self.store.has_split(self.split):
            self._units, self._labels = self.store.unit_index(self.split), self.store.labels(self.split)
        self._continue_or_clear(committed)
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    @staticmethod
    def _rows_of(card: ModelCard) -> str:
        return f"{card.contents.rows:,}" if card.contents else "0"

    def _continue_or_clear(self, committed: ModelCard | None) -> None:
        files = self.store.files
        kept = {part.file for part in committed.contents.parts} if committed and committed.contents else set()
        plan_path = f"{self.folder}/{PLAN_NAME.format(rank=self.rank)}"
        mine = {
            name: int(match[2])
            for name in files.names(self.folder)
            if (match := PART_NAME.fullmatch(name)) and int(match[1]) == self.rank
        }
        # Parts are immutable: a replacement is numbered after what it replaces.
        self._first = 1 + max((number for name, number in mine.items() if name in kept), default=-1)
        try:
            plan = json.loads(files.read(plan_path, limit=1 << 16))
        except (FileNotFoundError, ValueError, StoreError):
            plan = None
        left = sorted((number, name) for name, number in mine.items() if name not in kept)
        if plan == {"identity": self._identity, "first": self._first}:
            for offset, (number, name) in enumerate(left):
                if number != self._first + offset or not self._adopt(name, number):
                    break
        for _, name in left[len(self._parts) :]:
            files.delete(f"{self.folder}/{name}")
        files.write(plan_path, json.dumps({"identity": self._identity, "first": self._first}).encode())

    def _adopt(self, name: str, number: int) -> bool:
        """Take over a whole part of an earlier run; False if it cannot be read."""
        files = self.store.files
        try:
            data = files.read(f"{self.folder}/{name}")
            pieces = list(parts.decode(data, name))
            labels_path = f"{self.folder}/{UNITS_NAME.format(rank=self.rank, number=number)}"
            unit_ids, labels = parts.decode_units(files.read(labels_path), name)
        except (StoreError, FileNotFoundError):
            return False
        rows = parts.join(pieces)
        if rows.unit_ids != unit_ids or len(rows) != self.rows_per_part:
            return False
        self._check(rows, labels)
        self._record(rows, name, data)
        self.rows_done += len(rows)
        return True

    def append(
        self,
        unit_ids: Sequence[str],
        labels: NDArray[np.generic],
        outputs: NDArray[np.floating] | None = None,
        *,
        answers: Sequence[str] | None = None,
        quality: NDArray[np.floating] | None = None,
        scores: Mapping[str, NDArray[np.floating]] | None = None,
        unit_costs: Mapping[str, NDArray[np.floating]] | None = None,
    ) -> None:
        """Add rows: unit_ids [n] text, labels [n], outputs floating [n, C] or answers [n], columns [n]. Order is free."""
        n = len(unit_ids)
        if outputs is not None and outputs.dtype != self.dtype:
            if self.dtype == np.float16:
                gate.check_float16(outputs, self.what)
            outputs = outputs.astype(self.dtype)
        rows = Rows(
            list(map(str, unit_ids)),
            outputs,
            None if answers is None else list(map(str, answers)),
            None if quality is None else np.asarray(quality, dtype=np.float32),
            {name: np.asarray(c, dtype=np.float32) for name, c in (scores or {}).items()},
            {name: np.asarray(c, dtype=np.float64) for name, c in (unit_costs or {}).items()},
        )
        lengths = {n, len(labels)} | {len(c) for c in (outputs, answers, quality) if c is not None}
        if len(lengths) != 1 or (outputs is None) == (answers is None):
            raise AlignmentError(f"{self.what}: a batch with {sorted(lengths)} rows; ids, labels and outputs go together")
        labels = self._check(rows, np.asarray(labels))
        self._pending.append(rows)
        self._pending_labels.append(labels)
        self._pending_rows += n
        while self._pending_rows >= self.rows_per_part:
            self._flush(self.rows_per_part)

    def _check(self, rows: Rows, labels: NDArray[np.generic]) -> NDArray[np.generic]:
        if rows.outputs is not None:
            if rows.outputs.ndim != 2 or rows.outputs.shape[1] != self.classes:
                raise ContentError(f"{self.what}: outputs of shape {list(rows.outputs.shape)}; expected {self.classes} classes")
            gate.check_outputs(rows.outputs, self.card.kind, self.what, warn=False)
        for name, score in rows.scores.items():
            gate.check_column(score, len(rows), f"{self.what}: score {name!r}")
        for name, costs in rows.unit_costs.items():
            gate.check_column(costs, len(rows), f"{self.what}: cost {name!r}", least=0.0)
        if rows.quality is not None:
            gate.check_column(rows.quality, len(rows), f"{self.what}: score", least=0.0)
        columns = (tuple(sorted(rows.scores)), tuple(sorted(rows.unit_costs)), rows.quality is not None)
        if self._columns not in (None, columns):
            raise ContentError(f"{self.what}: columns {columns} after rows with {self._columns}")
        self._columns = columns
        labels = gate.check_labels(labels, self.classes, self.what)
        for unit in rows.unit_ids:
            if unit in self._seen:
                raise AlignmentError(f"{self.what}: unit id {unit!r} stands more than once; every unit needs one row")
            self._seen.add(unit)
        if self._units is not None:
            check_against_units(self.what, rows.unit_ids, labels, self._units, self._labels)
        return labels

    def _flush(self, count: int) -> None:
        rows, labels = parts.join(self._pending), np.concatenate(self._pending_labels)
        now, later = rows.slice(0, count), rows.slice(count, len(rows))
        number = self._first + len(self._parts)
        units_name = UNITS_NAME.format(rank=self.rank, number=number)
        name = f"part-{self.rank}-{number}.parquet"
        data = parts.encode(now)
        self.store.files.write(f"{self.folder}/{units_name}", parts.encode_units(now.unit_ids, labels[:count]))
        self.store.files.write(f"{self.folder}/{name}", data)
        self._record(now, name, data)
        self._pending, self._pending_labels = [later], [labels[count:]]
        self._pending_rows = len(later)

    def _record(self, rows: Rows, name: str, data: bytes) -> None:
        self._parts.append(Part(name, len(rows), hashlib.sha256(data).hexdigest()))
        self._content += parts.content_sum(rows)

    def finish(self) -> None:
        """Write what is pending; a rank that does not commit ends with this."""
        if self._pending_rows:
            self._flush(self._pending_rows)

    def commit(self) -> ModelCard:
        """Write the rest, the split's units if it is the first model, and the card. Only then does the model exist.

        With several ranks: after every rank has called `finish`, one calls `commit`; it takes over their parts.
        """
        self.finish()
        files = self.store.files
        for number, rank, name in self._foreign_parts():
            data = files.read(f"{self.folder}/{name}")
            rows = parts.join(list(parts.decode(data, name)))
            side = f"{self.folder}/{UNITS_NAME.format(rank=rank, number=number)}"
            self._check(rows, parts.decode_units(files.read(side), name)[1])
            self._record(rows, name, data)
        total = sum(part.rows for part in self._parts)
        if not total:
            raise StoreError(f"{self.what}: no rows; the data is empty")
        if self._units is None:
            unit_ids, labels = self._gather_units()
            if not files.write(f"{self.split}/units.parquet", parts.encode_units(unit_ids, labels), exclusive=True):
                self._units, self._labels = self.store.unit_index(self.split), self.store.labels(self.split)
                check_against_units(self.what, unit_ids, labels, self._units, self._labels)
        if self._units is not None and total != len(self._units):
            missing = next(unit for unit in self._units if unit not in self._seen)
            raise AlignmentError(
                f"{self.what}: {total:,} units, the split has {len(self._units):,} (first missing: {missing!r}); "
                f"give every unit, or use another split"
            )
        scores, unit_costs, graded = self._columns or ((), (), False)
        content = f"{self._content % parts.CONTENT_MODULUS:064x}"
        contents = Contents(
            total, self.classes, self.dtype.name, content, tuple(self._parts), scores, unit_costs, graded
        )
        card = self.card.with_contents(contents)
        self.store.check_siblings(self.split, card)
        old = self.store.read_card(self.split, self.card.model)
        self.store.write_card(self.split, card)
        kept = {part.file for part in self._parts}
        stale = [part.file for part in old.contents.parts] if old and old.contents else []
        for name in files.names(self.folder):
            if (name in stale and name not in kept) or name.startswith((".units-", ".writing-")):
                files.delete(f"{self.folder}/{name}")
        return card

    def _foreign_parts(self) -> Iterator[tuple[int, int, str]]:
        """(number, rank, file) of parts the other ranks wrote in this run."""
        names = self.store.files.names(self.folder)
        ranks = {int(m[1]) for name in names if (m := re.fullmatch(r"\.writing-(\d+)\.json", name))}
        for rank in sorted(ranks - {self.rank}):
            plan = json.loads(self.store.files.read(f"{self.folder}/{PLAN_NAME.format(rank=rank)}", limit=1 << 16))
            if plan.get("identity") != self._identity:
                continue
            found = sorted((int(m[2]), n) for n in names if (m := PART_NAME.fullmatch(n)) and int(m[1]) == rank)
            yield from ((number, rank, name) for number, name in found if number >= plan["first"])

    def _gather_units(self) -> tuple[list[str], NDArray[np.generic]]:
        unit_ids: list[str] = []
        labels: list[NDArray[np.generic]] = []
        for part in self._parts:
            match = PART_NAME.fullmatch(part.file)
            assert match is not None
            side = f"{self.folder}/{UNITS_NAME.format(rank=match[1], number=match[2])}"
            some_ids, some_labels = parts.decode_units(self.store.files.read(side), part.file)
            unit_ids += some_ids
            labels.append(some_labels)
        return unit_ids, np.concatenate(labels)


def check_against_units(
    what: str,
    unit_ids: Sequence[str],
    labels: NDArray[np.generic],
    units: Mapping[str, int],
    known: NDArray[np.generic] | None,
) -> None:
    """Every id is one of the split's units and has the label the split has for it."""
    try:
        places = np.fromiter((units[unit] for unit in unit_ids), dtype=np.int64, count=len(unit_ids))
    except KeyError as error:
        raise AlignmentError(
            f"{what}: unit {error.args[0]!r} is not one of the split's {len(units):,} units; "
            f"the models of a split see the same units, use another split for other data"
        ) from None
    if known is None or len(places) == 0:
        return
    differs = np.flatnonzero(np.asarray(known[places]).astype(np.str_) != labels.astype(np.str_)) if (
        known.dtype.kind != labels.dtype.kind
    ) else np.flatnonzero(known[places] != labels)
    if len(differs):
        first = differs[0]
        raise AlignmentError(
            f"{what}: unit {unit_ids[first]!r} has label {labels[first]}, the split says {known[places[first]]} "
            f"({len(differs):,} units differ); use another split, or remove its models first"
        )

"""Streamed, resumable writing of one model into one split.

Rows are appended in any batches and leave as immutable parts; card.json is written last and is the commit record. A
killed writer leaves whole parts behind; a writer of the same identity continues after them (`rows_done`), any other
writer clears them away. Several ranks (torchrun) each write their own parts; one of them commits.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wisecommittee.committees.cards import Contents, ModelCard, Part, StoredCard
from wisecommittee.errors import AlignmentError, BusyError, ContentError, StoreError, counted, option
from wisecommittee.store import checks
from wisecommittee.store.card_files import encode_card
from wisecommittee.store.parquet import parts
from wisecommittee.store.parquet.parts import Rows

if TYPE_CHECKING:
    from wisecommittee.store.logit_store import LogitStore

PART_NAME = re.compile(r"part-([0-9]+)-([0-9]+)\.parquet")
PLAN_NAME = re.compile(r"\.writing-([0-9]+)\.json")

Source = Callable[[int, int], tuple[Rows, NDArray[np.generic]]]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a rank is writing: whose rows, the number of its first part, and how many parts once it has finished."""

    identity: str
    first: int
    finished: int | None = None

    @classmethod
    def from_bytes(cls, data: bytes) -> Plan | None:
        """None if it is not a plan."""
        try:
            plan = cls(**json.loads(data))
        except (ValueError, TypeError, RecursionError):
            return None
        numbers = (plan.first, 0 if plan.finished is None else plan.finished)
        return plan if all(type(number) is int and number >= 0 for number in numbers) else None

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self)).encode()


class Writer:
    """Writes one model into one split; use as a context manager and call `commit` at the end.

    card : the model. classes : columns of the outputs, None for answers. dtype : 'float32' | 'float16'.
    Rows left by a killed writer are kept if they are known to be the ones that will be appended:
    identity : text that says what is being extracted (model, weights, data, preprocessing, number of ranks); it is the
    same. source : (start, stop) -> the rows and labels that will be appended; they are the same.
    rows_per_part : rows in each part but the last of a rank; default one row group.
    ranks : how many write this model. A commit needs them all to have finished; without it, all that have begun.
    """

    def __init__(
        self,
        store: LogitStore,
        card: ModelCard,
        split: str,
        *,
        classes: int | None,
        dtype: str = "float32",
        identity: str | None = None,
        source: Source | None = None,
        rows_per_part: int | None = None,
        rank: int = 0,
        ranks: int | None = None,
        replace: bool = False,
    ) -> None:
        if rank < 0 or (ranks is not None and rank >= ranks):
            raise ContentError(f"rank {rank} of {ranks or 'any number'}; expected a number from 0")
        self.what = f"{card.model} in {split}"
        self.store, self.split, self.rank, self.ranks = store, split, rank, ranks
        self.card = card.without_contents()
        self.classes, self.dtype = classes, checks.check_dtype(dtype, self.what)
        self.group_rows = parts.row_group_rows(classes)
        self.rows_per_part = rows_per_part or self.group_rows
        self.folder = store.model_folder(split, card.model)
        self.rows_done = 0
        self._replace, self._source = replace, source
        self._recognisable = identity is not None or source is not None
        described = [encode_card(self.card).decode(), classes, dtype, identity, self.rows_per_part, ranks]
        self._identity = hashlib.sha256(json.dumps(described).encode()).hexdigest()
        self._stack = ExitStack()
        self._units: Mapping[str, int] | None = None
        self._labels: NDArray[np.generic] | None = None
        self._pending: list[tuple[Rows, NDArray[np.generic]]] = []
        self._pending_rows = 0
        self._encoder = parts.Encoder()
        self._encoded: list[tuple[list[str], NDArray[np.generic]]] = []
        self._parts: list[Part] = []
        self._content = 0
        self._columns: tuple[tuple[str, ...], tuple[str, ...], bool] | None = None
        self._seen: set[str] = set()

    def __enter__(self) -> Self:
        name = self.store.lock_name(self.split, self.card.model, self.rank)
        self._stack.enter_context(self.store.files.lock(name, self.what))
        try:
            committed = self.store.committed(self.split, self.card.model, replace=self._replace)
            if committed is not None and not self._replace:
                raise StoreError(f"{self.what}: already in the store; use {option('replace', True)} to exchange it")
            if self.store.has_split(self.split):
                self._units, self._labels = self.store.unit_index(self.split), self.store.labels(self.split)
            self._continue_or_clear(committed)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    # What an earlier run left

    def _continue_or_clear(self, committed: StoredCard | None) -> None:
        kept = {part.file for part in committed.contents.parts} if committed else set()
        names = self.store.files.names(self.folder)
        mine = {int(m[2]): name for name in names if (m := PART_NAME.fullmatch(name)) and int(m[1]) == self.rank}
        # Parts are immutable: a replacement is numbered after what it replaces.
        self._first = number = 1 + max((number for number, name in mine.items() if name in kept), default=-1)
        plan = self._read_plan(self.rank)
        resumable = plan is not None and (plan.identity, plan.first) == (self._identity, self._first)
        if plan is not None and resumable and self._recognisable:
            last = None if plan.finished is None else plan.first + plan.finished - 1
            while number in mine and self._adopt(number, short=number == last):
                number += 1
        for left, name in mine.items():
            if name not in kept and not self._first <= left < number:
                self.store.files.delete(f"{self.folder}/{name}")
        self._write_plan()

    def _adopt(self, number: int, *, short: bool) -> bool:
        """Take over a whole part of an earlier run; False if it has to be written again."""
        try:
            data, pieces = self._read_part(self.rank, number)
        except StoreError:
            return False
        rows = sum(len(piece) for piece, _ in pieces)
        if (rows != self.rows_per_part and not short) or not self._is_source(pieces):
            return False
        for piece, labels in pieces:
            self._check(piece, labels)
            self._content += parts.content_sum(piece)
        self._record(self.rank, number, rows, data)
        self.rows_done += rows
        return True

    def _is_source(self, pieces: list[tuple[Rows, NDArray[np.generic]]]) -> bool:
        start = self.rows_done
        if self._source is None:
            return True
        for rows, labels in pieces:
            stop = start + len(rows)
            expected, known = self._source(start, stop)
            alike = (expected.unit_ids, expected.columns) == (rows.unit_ids, rows.columns)
            if not alike or not np.array_equal(known, labels):
                return False
            if parts.content_sum(expected.stored(self.dtype)) != parts.content_sum(rows):
                return False
            start = stop
        return True

    def _read_part(self, rank: int, number: int) -> tuple[bytes, list[tuple[Rows, NDArray[np.generic]]]]:
        """The bytes of an uncommitted part; its row groups with their labels."""
        name = _part_name(rank, number)
        try:
            data = self.store.files.read(f"{self.folder}/{name}")
            unit_ids, labels = parts.decode_units(self.store.files.read(self._units_path(rank, number)), name)
        except FileNotFoundError as error:
            raise StoreError(f"{error} is missing; run rank {rank} again") from None
        pieces, start = [], 0
        for rows in parts.decode(data, name, self.classes):
            stop = start + len(rows)
            if rows.unit_ids != unit_ids[start:stop]:
                break
            pieces.append((rows, labels[start:stop]))
            start = stop
        if start != len(unit_ids):
            raise StoreError(f"{self.what}: {name} has other units than its labels; run rank {rank} again")
        return data, pieces

    def _units_path(self, rank: int, number: int) -> str:
        """Labels of a part, until the split has its units.parquet."""
        return f"{self.folder}/.units-{rank}-{number}.parquet"

    def _plan_path(self, rank: int) -> str:
        return f"{self.folder}/.writing-{rank}.json"

    def _read_plan(self, rank: int) -> Plan | None:
        try:
            return Plan.from_bytes(self.store.files.read(self._plan_path(rank), limit=1 << 16))
        except (FileNotFoundError, StoreError):
            return None

    def _write_plan(self, finished: int | None = None) -> None:
        self.store.files.write(self._plan_path(self.rank), Plan(self._identity, self._first, finished).to_bytes())

    # Rows

    def append(
        self,
        unit_ids: Sequence[str],
        labels: ArrayLike,
        outputs: NDArray[np.floating] | None = None,
        *,
        answers: Sequence[str] | None = None,
        quality: ArrayLike | None = None,
        scores: Mapping[str, ArrayLike] | None = None,
        unit_costs: Mapping[str, ArrayLike] | None = None,
    ) -> None:
        """Add rows in any order: unit_ids [n] text, labels [n], outputs floating [n, C] or answers [n], columns [n]."""
        columns: dict[str, Any] = {"answers": answers, "quality": quality, "scores": scores, "unit_costs": unit_costs}
        self.append_rows(parts.make_rows(self.what, unit_ids, outputs, **columns), labels)

    def append_rows(self, rows: Rows, labels: ArrayLike) -> None:
        """Add rows that are put together already."""
        known = self._check(rows, labels)
        at = 0
        while at < len(rows):
            room = min(self.group_rows, self.rows_per_part - self._encoder.rows) - self._pending_rows
            stop = min(len(rows), at + room)
            piece = rows.slice(at, stop).stored(self.dtype)
            # What waits for the next call has to outlive the caller's buffer.
            self._pending.append((piece if stop - at == room else piece.copy(), known[at:stop]))
            self._pending_rows += stop - at
            if stop - at == room:
                self._encode()
            if self._encoder.rows == self.rows_per_part:
                self._flush()
            at = stop

    def _check(self, rows: Rows, labels: ArrayLike) -> NDArray[np.generic]:
        """Everything the gate asks; returns the labels as stored."""
        classes = None if rows.outputs is None or rows.outputs.ndim != 2 else rows.outputs.shape[1]
        if rows.outputs is not None and classes not in (None, self.classes):
            raise ContentError(f"{self.what}: {classes} classes; expected {self.classes or 'answers'}, as announced")
        first = sum(part.rows for part in self._parts) + self._encoder.rows + self._pending_rows
        parts.check_values(self.what, self.card.kind, rows, dtype=self.dtype.name, first=first)
        known = checks.check_labels(
            labels, checks.labelled_classes(self.card.kind, self.classes), self.what, graded=rows.quality is not None
        )
        if len(known) != len(rows):
            raise AlignmentError(f"{self.what}: {len(rows):,} rows with {len(known):,} labels; expected one for each")
        if self.card.kind == "statistics" and rows.outputs is not None:
            checks.check_pixels(rows.outputs, known, self.what)
        if self._columns not in (None, rows.columns):
            raise ContentError(
                f"{self.what}: columns {rows.columns} after {self._columns}; expected the same in all rows"
            )
        if self._columns is None:
            graded = rows.quality is not None
            placeholder = Contents(len(rows), self.classes, self.dtype.name, "", graded=graded)
            if self._source is None:  # else they are an array that was checked as a whole
                self.store.check_siblings(self.split, self.card.with_contents(placeholder))
        if self._units is not None:
            check_against_units(self.what, rows.unit_ids, known, self._units, self._labels)
        checks.check_unit_ids(rows.unit_ids, self.what)
        if not self._seen.isdisjoint(rows.unit_ids):
            twice = next(unit for unit in rows.unit_ids if unit in self._seen)
            raise AlignmentError(f"{self.what}: unit id {twice!r} stands more than once; every unit needs one row")
        self._columns = rows.columns
        self._seen.update(rows.unit_ids)
        return known

    def _encode(self) -> None:
        """Compress what is pending into a row group."""
        rows = parts.join([rows for rows, _ in self._pending])
        self._encoded.append((rows.unit_ids, np.concatenate([labels for _, labels in self._pending])))
        self._encoder.add(rows)
        self._content += parts.content_sum(rows)
        self._pending, self._pending_rows = [], 0

    def _flush(self) -> None:
        """Write the part. Its labels go first: a part that is there is whole."""
        number = self._first + len(self._parts)
        unit_ids = [unit for ids, _ in self._encoded for unit in ids]
        labels = np.concatenate([labels for _, labels in self._encoded])
        data = self._encoder.close()
        parts.check_expansion(len(unit_ids) * (self.classes or 1) * self.dtype.itemsize, len(data), self.what)
        self.store.files.write(self._units_path(self.rank, number), parts.encode_units(unit_ids, labels))
        self.store.files.write(f"{self.folder}/{_part_name(self.rank, number)}", data)
        self._record(self.rank, number, len(unit_ids), data)
        self._encoder, self._encoded = parts.Encoder(), []

    def _record(self, rank: int, number: int, rows: int, data: bytes | memoryview) -> None:
        self._parts.append(Part(_part_name(rank, number), rows, hashlib.sha256(data).hexdigest()))

    # The end

    def finish(self) -> None:
        """Write what is pending; a rank that does not commit ends with this."""
        if self._pending_rows:
            self._encode()
        if self._encoder.rows:
            self._flush()
        own = sum(part.file.startswith(f"part-{self.rank}-") for part in self._parts)
        self._write_plan(finished=own)

    def commit(self) -> StoredCard:
        """Write the rest, the split's units if it is the first model, and the card. Only then does the model exist.

        With several ranks: after every rank has called `finish`, one calls `commit`; it takes over their parts.
        """
        self.finish()
        for rank, numbers in self._other_ranks():
            for number in numbers:
                data, pieces = self._read_part(rank, number)
                for rows, labels in pieces:
                    self._check(rows, labels)
                    self._content += parts.content_sum(rows)
                self._record(rank, number, sum(len(rows) for rows, _ in pieces), data)
        total = sum(part.rows for part in self._parts)
        if not total:
            raise StoreError(f"{self.what}: no rows; expected at least one, the data is empty")
        scores, unit_costs, graded = self._columns or ((), (), False)
        content = parts.content_hash(self._content)
        contents = Contents(
            total, self.classes, self.dtype.name, content, tuple(self._parts), scores, unit_costs, graded
        )
        with self.store.turn(self.split, self.card.model) as keep_turn:
            self.store.check_siblings(self.split, self.card.with_contents(contents))
            card = self.card.with_contents(replace(contents, units=self._settle_units(total, keep_turn)))
            keep_turn()
            self.store.write_card(self.split, card)
        _clear(self.store, self.split, card)
        return card

    def _other_ranks(self) -> list[tuple[int, range]]:
        """(rank, part numbers) of the other ranks of this run; raises unless all have finished."""
        names = self.store.files.names(self.folder)
        begun = {int(match[1]) for name in names if (match := PLAN_NAME.fullmatch(name))}
        found = []
        expected = set(range(self.ranks or 0))
        for rank in sorted((begun | expected) - {self.rank}):
            plan = self._read_plan(rank)
            lock = self.store.lock_name(self.split, self.card.model, rank)
            if plan is None or plan.identity != self._identity:
                with self.store.files.lock(lock, self.what):  # left by an earlier run, unless somebody is at it
                    if rank in expected:
                        raise StoreError(f"{self.what}: rank {rank} of {self.ranks} has not begun; run it, then commit")
            elif plan.finished is None:
                raise StoreError(f"{self.what}: rank {rank} has not finished; wait for it or run it again, then commit")
            else:
                found.append((rank, range(plan.first, plan.first + plan.finished)))
        return found

    def _settle_units(self, total: int, keep_turn: Callable[[], None]) -> str:
        """The split's units are this model's: compared if it has models, written if this is the first. Their hash."""
        if not self.store.has_split(self.split):
            unit_ids, labels = self._gather_units()
            keep_turn()
            self.store.files.delete_temporaries(self.split)
            self.store.files.write(f"{self.split}/units.parquet", parts.encode_units(unit_ids, labels))
            return parts.units_hash(unit_ids, labels)
        units, labels = self.store.unit_index(self.split), self.store.labels(self.split)
        if units is not self._units:
            unit_ids, own = self._gather_units()
            check_against_units(self.what, unit_ids, own, units, labels)
        if total != len(units):
            raise missing_units(self.what, self._seen, units)
        return self.store.units_hash(self.split)

    def _gather_units(self) -> tuple[list[str], NDArray[np.generic]]:
        unit_ids: list[str] = []
        labels: list[NDArray[np.generic]] = []
        for part in self._parts:
            match = PART_NAME.fullmatch(part.file)
            assert match is not None
            side = self.store.files.read(self._units_path(int(match[1]), int(match[2])))
            some_ids, some_labels = parts.decode_units(side, part.file)
            unit_ids += some_ids
            labels.append(some_labels)
        return unit_ids, np.concatenate(labels)


def clear_leftovers(store: LogitStore, split: str, model: str) -> None:
    """Remove what a writer that was killed right after its commit has left beside a model. Only where a lock can tell
    that nobody is replacing it."""
    if store.files.local is None:
        return
    with contextlib.suppress(BusyError), store.files.lock(store.lock_name(split, model, 0), f"{model} in {split}"):
        if (card := store.read_card(split, model)) is not None:
            _clear(store, split, card)


def _clear(store: LogitStore, split: str, card: StoredCard) -> None:
    kept = {"card.json", *(part.file for part in card.contents.parts)}
    folder = store.model_folder(split, card.model)
    for name in store.files.names(folder):
        if name not in kept:
            with contextlib.suppress(StoreError):  # a folder of somebody's; the model is complete without
                store.files.delete(f"{folder}/{name}")


def _part_name(rank: int, number: int) -> str:
    return f"part-{rank}-{number}.parquet"


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
    here = known[places]
    alike = here.dtype.kind == labels.dtype.kind
    differs = np.flatnonzero(here != labels if alike else here.astype(np.str_) != labels.astype(np.str_))
    if len(differs):
        first = differs[0]
        raise AlignmentError(
            f"{what}: unit {unit_ids[first]!r} has label {labels[first]}, the split says {here[first]} "
            f"({len(differs):,} in all); use another split, or remove its models first"
        )


def missing_units(what: str, unit_ids: Iterable[str], units: Mapping[str, int]) -> AlignmentError:
    """The error of a model that lacks some of the split's units."""
    given = set(unit_ids)
    first = next((unit for unit in units if unit not in given), None)
    return AlignmentError(
        f"{what}: {counted(len(given), 'unit')}, the split has {len(units):,} (first missing: {first!r}); "
        f"give every unit, or use another split"
    )

"""Streamed, resumable writing of one model into one split.

Rows are appended in any batches and leave as immutable parts; card.json is written last and is the commit record. A
killed writer leaves whole parts behind; a writer of the same identity continues after them (`rows_done`), any other
writer clears them away. Several ranks (torchrun) each write their own parts; one of them commits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wisecommittee.committees.cards import Contents, PartFile, StoredCard
from wisecommittee.errors import StoreError, option
from wisecommittee.store import leftovers
from wisecommittee.store.admission import Admission
from wisecommittee.store.content import content_hash, content_sum
from wisecommittee.store.incoming import BatchChecks, CheckedModel
from wisecommittee.store.layout import PART_NAME, PLAN_NAME, lock_name, part_name, part_units_path, units_path
from wisecommittee.store.leftovers import Plan, WrittenPart
from wisecommittee.store.parquet.row_groups import check_expansion
from wisecommittee.store.parquet.units_file import decode_units, encode_units, units_hash
from wisecommittee.store.part_buffer import EncodedPart, PartBuffer
from wisecommittee.store.rows import make_rows
from wisecommittee.store.units import SplitUnits
from wisecommittee.store.write_job import WriteJob


class Writer:
    """Writes the rows of one job; a context manager. Call `commit` at the end.

    rows_done : rows of this rank that are in parts already; append the rows after them.
    """

    def __init__(self, admission: Admission, job: WriteJob) -> None:
        self.job = job
        self.rows_done = 0
        self._admission, self._catalog, self._files = admission, admission.catalog, admission.files
        self._folder, self._fingerprint = job.folder, job.fingerprint()
        self._stack = ExitStack()
        self._units: SplitUnits | None = None
        self._buffer = PartBuffer(np.dtype(job.dtype), job.group_rows, job.part_rows)
        self._first = 0  # number of the first part of this job
        self._parts: list[PartFile] = []
        self._taken_content = 0  # content sum of the parts that this writer has not encoded itself

    def __enter__(self) -> Self:
        job = self.job
        self._stack.enter_context(self._files.lock(lock_name(job.split, job.card.model, job.rank), job.what))
        try:
            committed = self._catalog.committed(job.split, job.card.model, replace=job.replace)
            if committed is not None and not job.replace:
                raise StoreError(f"{job.what}: already in the store; use {option('replace', True)} to exchange it")
            if self._catalog.has_split(job.split):
                self._units = self._catalog.units(job.split)
            if job.model is not None and self._units is not None and self._units is not job.model.units:
                self._units.check_rows(job.what, job.model.rows.unit_ids, job.model.labels, whole=True)
            self._checks = BatchChecks(self._admission, job.card, job.split, job.classes, job.dtype, self._units)
            self._continue_or_clear(committed)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    # Parts of an earlier run

    def _continue_or_clear(self, committed: StoredCard | None) -> None:
        kept = {part.file for part in committed.contents.parts} if committed else set()
        names = [(name, match) for name in self._files.names(self._folder) if (match := PART_NAME.fullmatch(name))]
        of_this_rank = {int(match[2]): name for name, match in names if int(match[1]) == self.job.rank}
        # Parts are immutable: parts of a replacement are numbered after those of the replaced model.
        self._first = 1 + max((number for number, name in of_this_rank.items() if name in kept), default=-1)
        number = self._first
        plan = leftovers.read_plan(self._files, self._folder, self.job.rank)
        if plan is not None and (plan.identity, plan.first) == (self._fingerprint, self._first):
            last = None if plan.finished is None else plan.first + plan.finished - 1
            while number in of_this_rank and self._take_over(number, may_be_short=number == last):
                number += 1
        for left, name in of_this_rank.items():
            if name not in kept and not self._first <= left < number:
                self._files.delete(f"{self._folder}/{name}")
        self._write_plan()

    def _take_over(self, number: int, *, may_be_short: bool) -> bool:
        """Take over a whole part of an earlier run; False if it has to be written again."""
        if not self.job.can_be_continued:
            return False
        try:
            part = self._read_part(self.job.rank, number)
        except StoreError:
            return False
        if part.rows != self.job.part_rows and not may_be_short:
            return False
        if self.job.model is not None:
            if not self._holds_rows_of(self.job.model, part):
                return False
        else:
            self._check_part(part)
        self._record_other(self.job.rank, number, part)
        self.rows_done += part.rows
        return True

    def _holds_rows_of(self, model: CheckedModel, part: WrittenPart) -> bool:
        """Whether a part holds the next rows of the model."""
        start = self.rows_done
        for rows, labels in part.groups:
            stop = start + len(rows)
            expected = model.rows.slice(start, stop)
            alike = (expected.unit_ids, expected.columns) == (rows.unit_ids, rows.columns)
            if not alike or not np.array_equal(model.labels[start:stop], labels):
                return False
            if content_sum(expected.stored(np.dtype(model.dtype))) != content_sum(rows):
                return False
            start = stop
        return True

    def _read_part(self, rank: int, number: int) -> WrittenPart:
        return leftovers.read_part(self._files, self._folder, rank, number, self.job.classes)

    def _check_part(self, part: WrittenPart) -> None:
        for rows, labels in part.groups:
            self._checks.check(rows, labels)

    def _record_other(self, rank: int, number: int, part: WrittenPart) -> None:
        """Record a part of the model that this writer has not encoded itself."""
        self._taken_content += sum(content_sum(rows) for rows, _ in part.groups)
        self._record(rank, number, part.rows, part.data)

    def _record(self, rank: int, number: int, rows: int, data: bytes | memoryview) -> None:
        self._parts.append(PartFile(part_name(rank, number), rows, hashlib.sha256(data).hexdigest()))

    def _write_plan(self, finished: int | None = None) -> None:
        plan = Plan(self._fingerprint, self._first, finished)
        leftovers.write_plan(self._files, self._folder, self.job.rank, plan)

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
        rows = make_rows(
            self.job.what, unit_ids, outputs, answers=answers, quality=quality, scores=scores, unit_costs=unit_costs
        )
        for part in self._buffer.add(rows, self._checks.check(rows, labels)):
            self._write(part)

    def append_model(self) -> None:
        """Add the rows of the job's checked model that are not written yet."""
        model = self.job.model
        assert model is not None
        for start in range(self.rows_done, len(model.rows), self.job.group_rows):
            stop = min(len(model.rows), start + self.job.group_rows)
            for part in self._buffer.add(model.rows.slice(start, stop), model.labels[start:stop]):
                self._write(part)

    def _write(self, part: EncodedPart) -> None:
        """Write a part. Its labels are written first, so that a part that exists is complete."""
        rank, number, rows = self.job.rank, self._first + len(self._parts), len(part.unit_ids)
        width = (self.job.classes or 1) * np.dtype(self.job.dtype).itemsize
        check_expansion(rows * width, len(part.data), self.job.what)
        self._files.write(part_units_path(self._folder, rank, number), encode_units(part.unit_ids, part.labels))
        self._files.write(f"{self._folder}/{part_name(rank, number)}", part.data)
        self._record(rank, number, rows, part.data)

    # The end

    def finish(self) -> None:
        """Write the rows that wait for a full part; a rank that does not commit ends with this."""
        for part in self._buffer.rest():
            self._write(part)
        self._write_plan(finished=sum(part.file.startswith(f"part-{self.job.rank}-") for part in self._parts))

    def commit(self) -> StoredCard:
        """Write the rest, the split's units if it is the first model, and the card. Only then does the model exist.

        With several ranks: after every rank has called `finish`, one calls `commit`; it takes over their parts.
        """
        self.finish()
        for rank, numbers in self._other_ranks():
            for number in numbers:
                part = self._read_part(rank, number)
                self._check_part(part)
                self._record_other(rank, number, part)
        job, contents = self.job, self._contents()
        with self._admission.turn(job.split, job.card.model) as keep_turn:
            self._admission.check(job.split, job.card, job.classes, graded=contents.graded)
            units = self._settle_units(contents.rows, keep_turn)
            card = job.card.without_contents().with_contents(replace(contents, units=units))
            keep_turn()
            self._admission.write_card(job.split, card)
        leftovers.clear(self._files, job.split, card)
        return card

    def committed(self) -> StoredCard:
        """The card of the model, once any rank has committed it."""
        return self._catalog.card(self.job.card.model, self.job.split)

    def _contents(self) -> Contents:
        rows = sum(part.rows for part in self._parts)
        if not rows:
            raise StoreError(f"{self.job.what}: no rows; expected at least one, the data is empty")
        model = self.job.model
        columns = self._checks.columns if model is None else model.rows.columns
        scores, unit_costs, graded = columns or ((), (), False)
        content = content_hash(self._buffer.content + self._taken_content)
        return Contents(rows, self.job.classes, self.job.dtype, content, tuple(self._parts), scores, unit_costs, graded)

    def _other_ranks(self) -> list[tuple[int, range]]:
        """(rank, part numbers) of the other ranks of this job; raises unless all have finished."""
        job, names = self.job, self._files.names(self._folder)
        begun = {int(match[1]) for name in names if (match := PLAN_NAME.fullmatch(name))}
        expected = set(range(job.ranks or 0))
        written = []
        for rank in sorted((begun | expected) - {job.rank}):
            plan = leftovers.read_plan(self._files, self._folder, rank)
            if plan is None or plan.identity != self._fingerprint:
                # Left by an earlier run, unless the rank is at work on something else and holds its lock.
                with self._files.lock(lock_name(job.split, job.card.model, rank), job.what):
                    if rank in expected:
                        raise StoreError(f"{job.what}: rank {rank} of {job.ranks} has not begun; run it, then commit")
            elif plan.finished is None:
                raise StoreError(f"{job.what}: rank {rank} has not finished; wait for it or run it again, then commit")
            else:
                written.append((rank, range(plan.first, plan.first + plan.finished)))
        return written

    def _settle_units(self, rows: int, keep_turn: Callable[[], None]) -> str:
        """Returns the hash of the split's units. They are compared with this model's units, or written if it is the
        first model."""
        split = self.job.split
        if not self._catalog.has_split(split):
            unit_ids, labels = self._gather_units()
            keep_turn()
            self._files.delete_temporaries(split)
            self._files.write(units_path(split), encode_units(unit_ids, labels))
            return units_hash(unit_ids, labels)
        units = self._catalog.units(split)
        if units is not self._units or rows != len(units.index):
            units.check_rows(self.job.what, *self._gather_units(), whole=True)
        return units.hash

    def _gather_units(self) -> tuple[list[str], NDArray[np.generic]]:
        """Unit ids and labels of all rows, from the files beside the parts."""
        unit_ids: list[str] = []
        labels: list[NDArray[np.generic]] = []
        for part in self._parts:
            match = PART_NAME.fullmatch(part.file)
            assert match is not None
            data = self._files.read(part_units_path(self._folder, int(match[1]), int(match[2])))
            part_ids, part_labels = decode_units(data, part.file)
            unit_ids += part_ids
            labels.append(part_labels)
        return unit_ids, np.concatenate(labels)

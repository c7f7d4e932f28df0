"""LogitStore: a folder (or s3:// or gs:// URI) of model outputs, as aligned arrays."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import quote, unquote

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wisecommittee.committees.cards import Contents, ModelCard, StoredCard
from wisecommittee.errors import (
    AbsentNameError,
    AlignmentError,
    ContentError,
    StoreError,
    UsageError,
    WiseCommitteeError,
    counted,
    option,
)
from wisecommittee.store import checks
from wisecommittee.store.cache import Places, cached
from wisecommittee.store.card_files import decode_card, encode_card
from wisecommittee.store.imports.preparing import prepared
from wisecommittee.store.parquet import parts
from wisecommittee.store.parquet.parts import Rows
from wisecommittee.store.siblings import Siblings, check_classes
from wisecommittee.store.storage.files import MAX_JSON, Stamp, open_files
from wisecommittee.store.writer import PLAN_NAME, Writer, check_against_units, missing_units

DEFAULT_STORE = "logits"
MAX_NAME = 240  # bytes of a folder's name; file systems allow 255
IMPORT_GROUPS_PER_PART = 4
DIVIDING = ".dividing"  # splits made of another one, while they are put in their places (splitting.py)
HELD = ".held-"  # .. and what they take the place of
LAST = ".last-writer"  # in a split while many models are added to it: who had the last turn
_ODD = "a store holds files and folders only; put what is meant in its place, or remove it"


@dataclass(frozen=True, slots=True)
class _Units:
    """index {unit id: row}, labels [N] and their hash; stamp : of the file they were read from.

    sound : (number of classes, whether answers are graded) the labels were found to fit.
    """

    index: dict[str, int]
    labels: NDArray[np.generic]
    hash: str
    stamp: Stamp
    sound: set[tuple[int | None, bool]] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Known:
    """Cards of a split by model, and the stamps of the files they were read from."""

    stamps: dict[str, Stamp]
    cards: dict[str, StoredCard]
    siblings: Siblings


class LogitStore:
    """Model outputs on disk, aligned by unit id.

    path : folder or URI; default the environment's WISECOMMITTEE_STORE, else 'logits'. Opening reads nothing.

    >>> store = LogitStore("logits")                      # doctest: +SKIP
    >>> store.outputs("b3/0", "val").shape                # doctest: +SKIP
    (25000, 1000)
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.files = open_files(path if path is not None else os.environ.get("WISECOMMITTEE_STORE") or DEFAULT_STORE)
        self._units: dict[str, _Units] = {}
        self._siblings: dict[str, _Known] = {}
        self._adding: dict[str, bytes] = {}  # splits that many models are added to, and the name to do so by
        self._seen: dict[str, str] = {}  # in each split, the folder of a model that was there

    def __repr__(self) -> str:
        return f"LogitStore({self.files.uri!r})"

    # Layout

    def model_folder(self, split: str, model: str) -> str:
        check_split_name(split)
        name = _folder_name(model)
        if len(name) > MAX_NAME:
            raise StoreError(f"{model}: its folder's name would have {len(name)} characters; choose a shorter name")
        return f"{split}/{name}"

    def lock_name(self, split: str, model: str, rank: int) -> str:
        check_split_name(split)
        return f"{split}/.lock-{self.turn_name(model)}-{rank}"

    def turn_name(self, model: str) -> str:
        return hashlib.sha256(model.encode()).hexdigest()[:16]

    # Reading

    def splits(self) -> tuple[str, ...]:
        return tuple(name for name in self.files.names() if _is_split_name(name) and self.has_split(name))

    def has_split(self, split: str) -> bool:
        """Whether at least one model is in that split; the first one fixes its units."""
        check_split_name(split)
        if split in self._seen and self._is_committed(split, self._seen[split]):
            return True
        for name in self.files.names(split):
            if _model_of(name) and self._is_committed(split, name):
                self._seen[split] = name
                return True
        return False

    def _is_committed(self, split: str, folder: str) -> bool:
        return self.files.stamp(f"{split}/{folder}/card.json") is not None

    def require(self) -> None:
        """Raise unless there is a store."""
        if not self.files.exists():
            raise StoreError(
                f"there is no store at {self.files.uri!r}; make one with `wisecommittee extract`, `import` or `demo`, "
                f"or name another with {option('store')}"
            )

    def require_split(self, split: str) -> None:
        """Raise unless the store has that split and at least one model in it."""
        check_split_name(split)
        self.require()
        if not self.has_split(split):
            known = ", ".join(self.splits())
            told = f"{known}; name one with {option('split')}, or" if known else "none, the store is empty;"
            raise StoreError(
                f"store {self.files.uri!r} has no split {split!r}; splits: {told} extract or import into it"
            )

    def models(self, split: str) -> tuple[str, ...]:
        """Names of the committed models of a split, sorted."""
        return tuple(sorted(self._committed(split)))

    def _committed(self, split: str) -> dict[str, Stamp]:
        """{model: stamp of its card}"""
        check_split_name(split)
        stamps = self.files.stamps(split, "card.json").items()
        return {model: stamp for name, stamp in stamps if (model := _model_of(name)) is not None}

    def cards(self, split: str) -> tuple[StoredCard, ...]:
        """The cards of a split in canonical order (architecture, replica)."""
        return tuple(sorted((self.card(model, split) for model in self.models(split)), key=lambda card: card.key))

    def card(self, model: str, split: str) -> StoredCard:
        card = self.read_card(split, model)
        if card is None:
            raise AbsentNameError(f"model in {split}", model, self.models(split))
        return card

    def read_card(self, split: str, model: str) -> StoredCard | None:
        path = f"{self.model_folder(split, model)}/card.json"
        try:
            data = self.files.read(path, MAX_JSON)
        except FileNotFoundError:
            return None
        return decode_card(data, model, self.files.place(path))

    def committed(self, split: str, model: str, *, replace: bool = False) -> StoredCard | None:
        """The card of a model if it is in the split; one that cannot be read does not stop its replacement."""
        try:
            return self.read_card(split, model)
        except StoreError:
            if replace:
                return None
            raise

    def unit_index(self, split: str) -> dict[str, int]:
        """{unit id: row} in the order of every array this store returns for the split."""
        return self._read_units(split).index

    def units_hash(self, split: str) -> str:
        """Of unit ids and labels, as the cards of the split record it."""
        return self._read_units(split).hash

    def unit_ids(self, split: str) -> list[str]:
        return list(self.unit_index(split))

    def labels(self, split: str) -> NDArray[np.generic]:
        """int64 [N], or text [N] where answers are text."""
        return self._read_units(split).labels

    def _read_units(self, split: str) -> _Units:
        check_split_name(split)
        path = f"{split}/units.parquet"
        what = self.files.place(path)
        stamp = self.files.stamp(path)
        known = self._units.get(split)
        if known is not None and known.stamp == stamp:
            return known
        self.require_split(split)
        if stamp is None:
            raise StoreError(f"{what} is missing; restore it, or remove the models of {split} and import them again")
        unit_ids, labels = parts.decode_units(self.files.read(path), what)
        checks.check_unit_ids(unit_ids, what)
        if not unit_ids:
            raise StoreError(f"{what}: no units; remove the models of {split} and import them again")
        labels.flags.writeable = False
        index = {unit: row for row, unit in enumerate(unit_ids)}
        units = _Units(index, labels, parts.units_hash(unit_ids, labels), stamp)
        if (card := self._any_card(split)) is not None:
            self._check_units(card, split, units)
        self._units[split] = units
        return units

    def _any_card(self, split: str) -> StoredCard | None:
        for model in self.models(split):
            with contextlib.suppress(StoreError):  # one that cannot be read is the business of those who read it
                if (card := self.read_card(split, model)) is not None:
                    return card
        return None

    def _check_units(self, card: StoredCard, split: str, units: _Units) -> None:
        """The units of a split are those that a model of it was written for, and their labels are classes it has."""
        contents = card.contents
        if contents.rows != len(units.index):
            raise AlignmentError(
                f"{card.model}: {counted(contents.rows, f'{split} unit')}, the split has {len(units.index):,}; "
                f"extract or import it again"
            )
        what = self.files.place(f"{split}/units.parquet")
        if contents.units != units.hash:
            raise AlignmentError(
                f"{what} is not what it was when {card.model} was written; restore it, or remove the models of {split} "
                f"and import them again"
            )
        labelled = checks.labelled_classes(card.kind, contents.classes), contents.graded
        if labelled not in units.sound:
            checks.check_labels(units.labels, labelled[0], what, graded=labelled[1])
            units.sound.add(labelled)

    def outputs(self, model: str, split: str) -> NDArray[np.floating]:
        """Logits or probabilities, [N, C] in unit order, memory-mapped from the decoded cache; read-only.

        float32, or float16 if they are stored so: half the memory; compute with float32 blocks of them.
        """
        card, contents = self._described(model, split)
        if contents.classes is None:
            raise StoreError(f"{model} in {split} holds answers, not logits; read them with answers()")
        return self._column(
            card, split, "outputs", np.dtype(contents.dtype), lambda rows: rows.outputs, contents.classes
        )

    def scores(self, model: str, split: str, name: str) -> NDArray[np.float32]:
        """A stored confidence, float32 [N]."""
        card, contents = self._described(model, split)
        if name not in contents.scores:
            raise AbsentNameError(f"stored score of {model} in {split}", name, contents.scores)
        return self._column(card, split, f"score_{name}", np.float32, lambda rows: rows.scores[name])

    def unit_costs(self, model: str, split: str, name: str) -> NDArray[np.float64]:
        """A cost that varies per unit, float64 [N] in its own unit."""
        card, contents = self._described(model, split)
        if name not in contents.unit_costs:
            raise AbsentNameError(f"per-unit cost of {model} in {split}", name, contents.unit_costs)
        return self._column(card, split, f"cost_{name}", np.float64, lambda rows: rows.unit_costs[name])

    def quality(self, model: str, split: str) -> NDArray[np.float32]:
        """Graded quality of a model's answers, float32 [N] in [0, 1]."""
        card, contents = self._described(model, split)
        if not contents.graded:
            raise StoreError(f"{model} in {split} has no graded score; import its answers with a score column")
        return self._column(card, split, "quality", np.float32, lambda rows: rows.quality)

    def answers(self, model: str, split: str) -> NDArray[np.str_]:
        """Answers as text [N] in unit order."""
        card, contents = self._described(model, split)
        if contents.classes is not None:
            raise StoreError(f"{model} in {split} holds {card.kind}, not answers; read them with outputs()")
        out = np.empty(len(self.unit_index(split)), dtype=object)
        for places, values in self._blocks(card, split, lambda rows: np.array(rows.answers, dtype=object)):
            out[places] = values
        return checks.text_array(out.tolist(), f"{model} in {split}")

    def _described(self, model: str, split: str) -> tuple[StoredCard, Contents]:
        card = self.card(model, split)
        self._check_units(card, split, self._read_units(split))
        return card, card.contents

    def _column(
        self,
        card: StoredCard,
        split: str,
        name: str,
        dtype: type[np.floating] | np.dtype,
        pick: Callable[[Rows], NDArray[Any] | None],
        *tail: int,
    ) -> NDArray[Any]:
        """A column of a committed model, [N, *tail] in unit order."""
        contents = card.contents
        described = card.with_calibration(None).to_json()["contents"]
        identity = json.dumps([card.kind, described, self._read_units(split).hash, name, tail])
        key = hashlib.sha256(identity.encode()).hexdigest()[:40]
        what = f"{card.model} in {split}"
        return cached(key, (contents.rows, *tail), np.dtype(dtype), lambda: self._blocks(card, split, pick), what)

    def _blocks(self, card: StoredCard, split: str, pick: Callable[[Rows], Any]) -> Iterator[tuple[Places, Any]]:
        """(places in unit order, values) of a model's row groups; raises unless every unit comes once."""
        what = f"{card.model} in {split}"
        self._check_claim(card, split, what)
        index, labels = self.unit_index(split), self.labels(split)
        filled = np.zeros(len(index), dtype=bool)
        for rows in self.read_parts(card, split):
            try:
                places = np.fromiter((index[unit] for unit in rows.unit_ids), dtype=np.int64, count=len(rows))
            except KeyError as error:
                unit = error.args[0]
                raise AlignmentError(f"{what}: unit {unit!r} is not in the split; extract or import it again") from None
            if filled[places].any() or len(np.unique(places)) != len(places):
                raise AlignmentError(f"{what}: a unit id stands more than once; extract or import it again")
            filled[places] = True
            if card.kind == "statistics" and rows.outputs is not None:
                checks.check_pixels(rows.outputs, labels[places], what)
            if len(places) and np.array_equal(places, np.arange(places[0], places[0] + len(places))):
                yield slice(int(places[0]), int(places[0]) + len(places)), pick(rows)
            else:
                yield places, pick(rows)
        if not filled.all():
            raise AlignmentError(
                f"{what}: {(~filled).sum():,} of {counted(len(index), 'unit')} missing; extract or import it again"
            )

    def _check_claim(self, card: StoredCard, split: str, what: str) -> None:
        """What the card says the parts unpack to is plausible for their size, before anything is unpacked."""
        contents, folder = card.contents, self.model_folder(split, card.model)
        sizes = [stamp[1] for part in contents.parts if (stamp := self.files.stamp(f"{folder}/{part.file}"))]
        width = (contents.classes or 1) * np.dtype(contents.dtype).itemsize
        if len(sizes) == len(contents.parts):  # else the first that is missing is named where it is read
            parts.check_expansion(contents.rows * width, sum(sizes), what)

    def read_parts(self, card: StoredCard, split: str) -> Iterator[Rows]:
        """Row groups of a committed model as they are stored; raises unless they are what its card says."""
        contents = card.contents
        for part in contents.parts:
            path = f"{self.model_folder(split, card.model)}/{part.file}"
            place = self.files.place(path)
            remedy = f"extract or import {card.model} again with {option('replace', True)}"
            try:
                data = self.files.read(path)
            except FileNotFoundError:
                data = b""
            if not data or hashlib.sha256(data).hexdigest() != part.sha256:
                if self.read_card(split, card.model) != card:
                    raise StoreError(f"{card.model} in {split} was replaced while it was read; run again")
                raise StoreError(f"{place} {'changed since it was written' if data else 'is missing'}; {remedy}")
            total = 0
            for rows in parts.decode(data, place, contents.classes):
                columns = (tuple(sorted(contents.scores)), tuple(sorted(contents.unit_costs)), contents.graded)
                if rows.columns != columns:
                    raise StoreError(f"{place}: columns {rows.columns}; its card says {columns}; {remedy}")
                parts.check_values(place, card.kind, rows, first=total)
                total += len(rows)
                yield rows
            if total != part.rows:
                raise StoreError(f"{place}: {counted(total, 'row')}; its card says {part.rows:,}; {remedy}")

    def refresh(self) -> None:
        """Forget what was read so far; needed after something else changed the splits."""
        self._units.clear()
        self._siblings.clear()

    # Writing

    @contextlib.contextmanager
    def adding_many(self, split: str) -> Iterator[None]:
        """Look at the models that a split has once for all that are added meanwhile, and again after others had a turn.

        Else each that is added looks at the cards of all before it.
        """
        check_split_name(split)
        path = f"{split}/{LAST}"
        self.files.delete(path)  # of one that was killed; whoever is alive takes another look
        self._adding[split] = secrets.token_hex(8).encode()
        try:
            yield
        finally:
            if self._last_writer(split) == self._adding.pop(split):
                self.files.delete(path)

    @contextlib.contextmanager
    def turn(self, split: str, model: str) -> Iterator[Callable[[], None]]:
        """A turn in which the cards of a split may change (see Files.turn)."""
        with self.files.turn(split, self.turn_name(model), f"{model} in {split}") as keep_turn:
            own = self._adding.get(split)
            if own is None:
                self.files.delete(f"{split}/{LAST}")
            elif own != self._last_writer(split):
                self._siblings.pop(split, None)
                self.files.write(f"{split}/{LAST}", own)
            yield keep_turn

    def _last_writer(self, split: str) -> bytes | None:
        with contextlib.suppress(FileNotFoundError, StoreError):
            return self.files.read(f"{split}/{LAST}", limit=1 << 10)
        return None

    def writer(self, card: ModelCard, split: str, *, classes: int | None, **options: Any) -> Writer:
        """A streamed writer (see Writer) for one model of one split."""
        return Writer(self, card, split, classes=classes, **options)

    def add(
        self,
        card: ModelCard,
        split: str,
        *,
        labels: ArrayLike,
        outputs: NDArray[np.floating] | None = None,
        unit_ids: Sequence[str] | None = None,
        answers: Sequence[str] | None = None,
        quality: ArrayLike | None = None,
        scores: Mapping[str, ArrayLike] | None = None,
        unit_costs: Mapping[str, ArrayLike] | None = None,
        dtype: str = "float32",
        replace: bool = False,
    ) -> str:
        """Put one model's arrays into a split; returns 'added', 'unchanged', 'card updated' or 'replaced'.

        outputs : floating [N, C] (may be memory-mapped), or answers [N] text with optional quality [N] in [0, 1];
        labels [N]; unit_ids [N] text, default '0'..'N-1'; scores, unit_costs {name: [N]}.
        Everything is checked before anything is written; equal content is a no-op, other content needs replace=True.
        """
        what = f"{card.model} in {split}"
        given = checks.as_labels(labels, what)
        ids: Iterable[Any] = map(str, range(len(given))) if unit_ids is None else unit_ids
        columns: dict[str, Any] = {"answers": answers, "quality": quality, "scores": scores, "unit_costs": unit_costs}
        if outputs is not None:
            outputs = prepared(outputs, given, card.kind, what, checks.check_dtype(dtype, what).name)
        rows = parts.make_rows(what, ids, outputs, **columns)
        known = self.check(card, split, rows, given, dtype)
        committed = self.committed(split, card.model, replace=replace)
        if committed is not None and not replace:
            return self._keep_or_refuse(committed, card, split, rows, dtype)
        classes = None if rows.outputs is None else int(rows.outputs.shape[1])
        writer = self.writer(
            card,
            split,
            classes=classes,
            dtype=dtype,
            source=lambda start, stop: (rows.slice(start, stop), known[start:stop]),
            rows_per_part=IMPORT_GROUPS_PER_PART * parts.row_group_rows(classes),
            replace=replace,
        )
        with writer:
            for start in range(writer.rows_done, len(rows), writer.group_rows):
                stop = min(len(rows), start + writer.group_rows)
                writer.append_rows(rows.slice(start, stop), known[start:stop])
            writer.commit()
        return "added" if committed is None else "replaced"

    def check(self, card: ModelCard, split: str, rows: Rows, labels: ArrayLike, dtype: str) -> NDArray[np.generic]:
        """Every check of the gate for a model about to enter a split; changes nothing. Returns the labels as stored."""
        what = f"{card.model} in {split}"
        check_split_name(split)
        encode_card(card)
        given = checks.as_labels(labels, what)
        columns = (("unit ids", rows.unit_ids), ("outputs", rows.outputs), ("answers", rows.answers))
        for noun, values in columns:
            if values is not None and len(values) != len(given):
                raise AlignmentError(
                    f"{what}: {len(values):,} {noun}, {counted(len(given), 'label')}; expected one for each unit"
                )
        checks.check_unit_ids(rows.unit_ids, what)
        parts.check_values(what, card.kind, rows, dtype=checks.check_dtype(dtype, what).name, warn=True)
        classes = None if rows.outputs is None else int(rows.outputs.shape[1])
        labelled = checks.labelled_classes(card.kind, classes)
        known = checks.check_labels(given, labelled, what, graded=rows.quality is not None)
        if card.kind == "statistics" and rows.outputs is not None:
            checks.check_pixels(rows.outputs, known, what)
        if not len(rows):
            raise ContentError(f"{what}: no units; expected at least one")
        placeholder = Contents(len(rows), classes, dtype, "", graded=rows.quality is not None)
        self.check_siblings(split, card.with_contents(placeholder))
        if self.has_split(split):
            units = self.unit_index(split)
            check_against_units(what, rows.unit_ids, known, units, self.labels(split))
            if len(rows) != len(units):
                raise missing_units(what, rows.unit_ids, units)
        return known

    def check_siblings(self, split: str, card: StoredCard) -> None:
        """The card fits the other models of its split (same classes and task, its own place among the replicas) and the
        same model in other splits: with other classes it is another model or another task."""
        self._check_elsewhere(card, split)
        try:
            self._known_siblings(split, card.model).check(card)
        except WiseCommitteeError:
            if self._siblings.pop(split, None) is None:
                raise
            self._known_siblings(split, card.model).check(card)  # as they are now

    def _check_elsewhere(self, card: StoredCard, split: str) -> None:
        for place in self.splits():
            there = None
            with contextlib.suppress(StoreError):  # what cannot be read is that split's business
                there = None if place == split else self.read_card(place, card.model)
            if there is not None:
                check_classes(card, split, there, place)

    def _known_siblings(self, split: str, asking: str) -> Siblings:
        """The models of a split; a card is read once until its file changes. asking : its own may be unreadable.

        While many are added, what is known counts until a turn shows that others had theirs.
        """
        known = self._siblings.get(split)
        if known is not None and split in self._adding:
            return known.siblings
        stamps = self._committed(split)
        if known is not None and known.stamps == stamps:
            return known.siblings
        cards = {}
        for model, stamp in stamps.items():
            if known is not None and known.stamps.get(model) == stamp:
                cards[model] = known.cards[model]
            elif (card := self.committed(split, model, replace=model == asking)) is not None:
                cards[model] = card
        siblings = Siblings(split, cards.values())
        if cards.keys() == stamps.keys():
            self._siblings[split] = _Known(stamps, cards, siblings)
        return siblings

    def class_names(self, split: str) -> tuple[str, ...] | None:
        """Names of classes 0, 1, .. as the models of a split have them, or else those of all other splits agree on."""
        for splits in ([split], self.splits()):
            found = set()
            for name in splits:
                for model in self.models(name):
                    with contextlib.suppress(StoreError):
                        card = self.read_card(name, model)
                        found.add(None if card is None else card.class_names)
            if len(found - {None}) == 1:
                return (found - {None}).pop()
        return None

    def _keep_or_refuse(self, committed: StoredCard, card: ModelCard, split: str, rows: Rows, dtype: str) -> str:
        content = 0
        for start in range(0, len(rows), parts.ROW_GROUP):
            content += parts.content_sum(rows.slice(start, start + parts.ROW_GROUP).stored(np.dtype(dtype)))
        same = (committed.contents.content, committed.kind) == (parts.content_hash(content), card.kind)
        if not same or committed.contents.dtype != dtype:
            raise StoreError(
                f"{card.model} is in {split} already with other content; use {option('replace', True)} to exchange it"
            )
        if card.with_contents(committed.contents).to_json() == committed.to_json():
            return "unchanged"
        return self.update_card(split, committed, lambda found: card.with_contents(found.contents))

    def update_card(self, split: str, read: StoredCard, change: Callable[[StoredCard], StoredCard]) -> str:
        """Exchange the card of a model (costs, calibration, metadata) without touching its outputs; returns 'unchanged'
        or 'card updated'.

        read : the card that the change was made for; if the model has other outputs by now it is refused. change : is
        given the card as it is now, which others may have changed.
        """
        what, folder = f"{read.model} in {split}", self.model_folder(split, read.model)
        with (
            self.files.lock(self.lock_name(split, read.model, 0), what),
            self.turn(split, read.model) as keep_turn,
        ):
            found = self.read_card(split, read.model)
            if found is None or found.with_calibration(None).contents != read.with_calibration(None).contents:
                raise StoreError(
                    f"{what} was {'removed' if found is None else 'replaced'} meanwhile; its card stays as it is, run "
                    f"again"
                )
            changed = change(found)
            if changed.to_json() == found.to_json():
                return "unchanged"
            keep_turn()
            self.files.delete_temporaries(folder)
            self.write_card(split, changed)
        return "card updated"

    def write_card(self, split: str, card: StoredCard) -> None:
        path = f"{self.model_folder(split, card.model)}/card.json"
        self.files.write(path, encode_card(card))
        known, stamp = self._siblings.get(split), self.files.stamp(path)
        if known is not None and stamp is not None:
            known.stamps[card.model], known.cards[card.model] = stamp, card
            known.siblings.add(card)

    def remove(self, model: str, split: str | None = None) -> tuple[str, ...]:
        """Remove a model from one split or from all; returns the splits it was in, none where that is done already. The
        card goes first.

        The units of a split go with its last model.
        """
        self.require()
        if split is not None:
            check_split_name(split)
        splits = [split] if split else [name for name in self.files.names() if _is_split_name(name)]
        found = [name for name in splits if _folder_name(model) in self.files.names(name)]
        for name in found:
            folder, what = self.model_folder(name, model), f"{model} in {name}"
            ranks = {int(match[1]) for left in self.files.names(folder) if (match := PLAN_NAME.fullmatch(left))}
            with ExitStack() as held:
                for rank in sorted(ranks | {0}):
                    held.enter_context(self.files.lock(self.lock_name(name, model, rank), what))
                keep_turn = held.enter_context(self.turn(name, model))
                if not self.files.is_link(folder):
                    self.files.delete(f"{folder}/card.json")
                self.files.delete_folder(folder)
                if not any(left.startswith("model=") for left in self.files.names(name)):
                    keep_turn()
                    for left in ("units.parquet", "groups.parquet"):
                        self.files.delete(f"{name}/{left}")
                    self.files.delete_temporaries(name)
        return tuple(found)

    def verify(self) -> list[str]:
        """Every check of the gate over all splits; one line per problem, none if all is sound. Changes nothing."""
        problems = [f"{self.files.place(path)}: {kind}; {_ODD}" for path, kind in self._odd()]
        problems += [
            f"{self.files.place(name)}: a `wisecommittee split` was cut off; run it again, it is completed then"
            for name in self.files.names()
            if name == DIVIDING or name.startswith(HELD)
        ]

        def attempt(action: Callable[..., object], *arguments: object) -> bool:
            try:
                action(*arguments)
            except WiseCommitteeError as error:
                problems.append(str(error))
                return False
            return True

        blocks: dict[str, tuple[str, float]] = {}
        splits = [name for name in self.files.names() if _is_split_name(name)]
        for split in splits:
            committed = self.models(split)
            finished = {_folder_name(model) for model in committed}
            for folder in self.files.names(split):
                if folder.startswith("model=") and folder not in finished:
                    name = unquote(folder.removeprefix("model=")).encode("utf-8", "backslashreplace").decode()
                    problems.append(f"{name} in {split}: unfinished; extract or import it again, or `remove` it")
            if not committed or not attempt(self.unit_index, split):
                continue
            cards = [self.card(model, split) for model in committed if attempt(self.card, model, split)]
            siblings = Siblings(split, cards)
            for card in cards:
                if attempt(self._verify_model, card, split, siblings):
                    for block, value in card.blocks.items():
                        first, cost = blocks.setdefault(block, (f"{card.model} in {split}", value))
                        if cost != value:
                            there = f"{card.model} in {split}"
                            problems.append(
                                f"block {block!r} costs {cost} in {first}, {value} in {there}; make them equal"
                            )
        if not problems and not any(self.has_split(split) for split in splits):
            attempt(self.require_split, "val")
        return problems

    def _odd(self) -> Iterator[tuple[str, str]]:
        """(path, what it is) of all in the store that no writer of it makes: links, pipes, names that are not UTF-8."""
        folders = [""]
        while folders:
            folder = folders.pop(0)
            odd = self.files.odd(folder)
            for name, kind in odd.items():
                yield f"{folder}/{name}" if folder else name, kind
            if not folder:
                folders += [name for name in self.files.names() if _is_split_name(name)]
            elif "/" not in folder:
                folders += [f"{folder}/{name}" for name in self.files.names(folder) if _model_of(name)]

    def _verify_model(self, card: StoredCard, split: str, siblings: Siblings) -> None:
        contents = card.contents
        self._check_units(card, split, self._read_units(split))
        self._check_elsewhere(card, split)
        siblings.check(card)
        content = sum(values for _, values in self._blocks(card, split, parts.content_sum))
        if parts.content_hash(content) != contents.content:
            raise StoreError(
                f"{card.model} in {split}: its values are not those its card was written for; "
                f"extract or import {card.model} again with {option('replace', True)}"
            )


StoreLike: TypeAlias = LogitStore | str | os.PathLike[str]


def open_store(store: StoreLike) -> LogitStore:
    """The store itself, or the one at that folder or URI."""
    return LogitStore(store) if isinstance(store, (str, os.PathLike)) else store


def _folder_name(model: str) -> str:
    return f"model={quote(model, safe='', errors='surrogateescape')}"


@functools.lru_cache(maxsize=1 << 16)  # asked of every folder of a split for each model that is added
def _model_of(folder: str) -> str | None:
    """The model whose folder has that name; None if no model has."""
    if not folder.isascii() or not folder.startswith("model="):
        return None
    model = unquote(folder.removeprefix("model="))
    return model if model and folder == _folder_name(model) else None


def _is_split_name(name: str) -> bool:
    return bool(name) and name.isascii() and not name.startswith(".") and quote(name, safe="") == name


def check_split_name(split: str) -> None:
    if not _is_split_name(split):
        raise UsageError(f"split {split!r}: expected a plain name such as val or test")

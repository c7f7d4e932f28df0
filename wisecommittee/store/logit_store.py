"""LogitStore: a folder (or s3:// or gs:// URI) of model outputs, as aligned arrays."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace as with_fields
from typing import Any
from urllib.parse import quote, unquote

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.cards import Contents, ModelCard
from wisecommittee.errors import AlignmentError, ContentError, StoreError, UnknownNameError, UsageError, WiseCommitteeError
from wisecommittee.store import gate, parts
from wisecommittee.store.cache import cached
from wisecommittee.store.files import MAX_JSON, Files
from wisecommittee.store.parts import Rows
from wisecommittee.store.writer import Writer, check_against_units

DEFAULT_STORE = "logits"
IMPORT_ROWS_PER_PART = 4 * parts.ROW_GROUP


class LogitStore:
    """Model outputs on disk, aligned by unit id.

    path : folder or URI; default the environment's WISECOMMITTEE_STORE, else 'logits'. Opening reads nothing.

    >>> store = LogitStore("logits")                      # doctest: +SKIP
    >>> store.outputs("b3/0", "val").shape                # doctest: +SKIP
    (25000, 1000)
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.files = Files(path if path is not None else os.environ.get("WISECOMMITTEE_STORE") or DEFAULT_STORE)
        self._units: dict[str, tuple[dict[str, int], NDArray[np.generic]]] = {}

    def __repr__(self) -> str:
        return f"LogitStore({self.files.uri!r}, splits={list(self.splits())})"

    # Layout

    def model_folder(self, split: str, model: str) -> str:
        return f"{split}/model={quote(model, safe='')}"

    def lock_name(self, split: str, model: str, rank: int) -> str:
        return f"{split}/.lock-{hashlib.sha256(model.encode()).hexdigest()[:16]}-{rank}"

    # Reading

    def splits(self) -> tuple[str, ...]:
        return tuple(n for n in self.files.names() if not n.startswith(".") and self.has_split(n))

    def has_split(self, split: str) -> bool:
        return self.files.exists(f"{split}/units.parquet")

    def require_split(self, split: str) -> None:
        """Raise unless the store has that split and at least one model in it."""
        check_split_name(split)
        if not self.files.exists():
            raise StoreError(
                f"there is no store at {self.files.uri!r}; make one with `wisecommittee extract`, `import` or `demo`, "
                f"or name another with --store"
            )
        if not self.has_split(split):
            known = ", ".join(self.splits()) or "none; the store is empty"
            raise StoreError(f"store {self.files.uri!r} has no split {split!r}; splits: {known}")

    def models(self, split: str) -> tuple[str, ...]:
        """Names of the committed models of a split, sorted."""
        names = []
        for name in self.files.names(split):
            if name.startswith("model=") and self.files.exists(f"{split}/{name}/card.json"):
                names.append(unquote(name.removeprefix("model=")))
        return tuple(sorted(names))

    def cards(self, split: str) -> tuple[ModelCard, ...]:
        """The cards of a split in canonical order (architecture, replica)."""
        return tuple(sorted((self.card(model, split) for model in self.models(split)), key=lambda card: card.key))

    def card(self, model: str, split: str) -> ModelCard:
        card = self.read_card(split, model)
        if card is None:
            raise UnknownNameError(f"model in {split}", model, self.models(split))
        return card

    def read_card(self, split: str, model: str) -> ModelCard | None:
        path = f"{self.model_folder(split, model)}/card.json"
        try:
            data = json.loads(self.files.read(path, MAX_JSON))
        except FileNotFoundError:
            return None
        except (ValueError, RecursionError) as error:
            raise StoreError(f"{self.files.uri}/{path}: not JSON ({error}); extract or import the model again") from error
        try:
            card = ModelCard.from_json(data)
        except WiseCommitteeError as error:
            raise StoreError(f"{self.files.uri}/{path}: {error}") from error
        if card.model != model or card.contents is None:
            raise StoreError(f"{self.files.uri}/{path}: the card of {card.model!r}, not of {model!r}")
        return card

    def unit_index(self, split: str) -> dict[str, int]:
        """{unit id: row} in the order of every array this store returns for the split."""
        return self._read_units(split)[0]

    def unit_ids(self, split: str) -> list[str]:
        return list(self.unit_index(split))

    def labels(self, split: str) -> NDArray[np.generic]:
        """int64 [N], or text [N] where answers are text."""
        return self._read_units(split)[1]

    def _read_units(self, split: str) -> tuple[dict[str, int], NDArray[np.generic]]:
        if split not in self._units:
            self.require_split(split)
            what = f"{self.files.uri}/{split}/units.parquet"
            unit_ids, labels = parts.decode_units(self.files.read(f"{split}/units.parquet"), what)
            gate.check_unit_ids(unit_ids, what)
            labels.flags.writeable = False
            self._units[split] = ({unit: row for row, unit in enumerate(unit_ids)}, labels)
        return self._units[split]

    def outputs(self, model: str, split: str) -> NDArray[np.float32]:
        """Logits or probabilities, float32 [N, C] in unit order, memory-mapped from the decoded cache; read-only."""
        contents = self._contents(model, split)
        if contents.classes is None:
            raise StoreError(f"{model} in {split} holds answers, not logits; combine them with --combine last")
        shape = (contents.rows, contents.classes)
        return self._column(model, split, "outputs", shape, np.float32, lambda rows: rows.outputs)

    def scores(self, model: str, split: str, name: str) -> NDArray[np.float32]:
        """A stored confidence, float32 [N]."""
        contents = self._contents(model, split)
        if name not in contents.scores:
            raise UnknownNameError(f"stored score of {model} in {split}", name, contents.scores)
        return self._column(model, split, f"score_{name}", (contents.rows,), np.float32, lambda rows: rows.scores[name])

    def unit_costs(self, model: str, split: str, name: str) -> NDArray[np.float64]:
        """A cost that varies per unit, float64 [N] in its own unit."""
        contents = self._contents(model, split)
        if name not in contents.unit_costs:
            raise UnknownNameError(f"per-unit cost of {model} in {split}", name, contents.unit_costs)
        return self._column(model, split, f"cost_{name}", (contents.rows,), np.float64, lambda rows: rows.unit_costs[name])

    def quality(self, model: str, split: str) -> NDArray[np.float32]:
        """Graded quality of a model's answers, float32 [N] in [0, 1]."""
        contents = self._contents(model, split)
        if not contents.graded:
            raise StoreError(f"{model} in {split} has no graded score; import its answers with a score column")
        return self._column(model, split, "quality", (contents.rows,), np.float32, lambda rows: rows.quality)

    def answers(self, model: str, split: str) -> NDArray[np.str_]:
        """Answers as text [N] in unit order."""
        card = self.card(model, split)
        out = np.empty(self._contents(model, split).rows, dtype=object)
        self._scatter(card, split, out, lambda rows: rows.answers)
        return out.astype(np.str_)

    def _contents(self, model: str, split: str) -> Contents:
        contents = self.card(model, split).contents
        assert contents is not None
        return contents

    def _column(
        self,
        model: str,
        split: str,
        name: str,
        shape: tuple[int, ...],
        dtype: type[np.floating],
        pick: Callable[[Rows], Any],
    ) -> NDArray[Any]:
        card = self.card(model, split)
        assert card.contents is not None
        index = self.unit_index(split)
        if shape[0] != len(index):
            raise AlignmentError(f"{model}: {shape[0]:,} {split} units, the split has {len(index):,}; extract it again")
        order = hashlib.sha256("\0".join(index).encode()).hexdigest()
        key = hashlib.sha256(f"{card.contents.content} {order} {name} {shape}".encode()).hexdigest()[:40]
        return cached(key, shape, np.dtype(dtype), lambda out: self._scatter(card, split, out, pick))

    def _scatter(self, card: ModelCard, split: str, out: NDArray[Any], pick: Callable[[Rows], Any]) -> None:
        """Fill out [N, ..] in unit order from the parts of a model, checking bytes, ids and shapes on the way."""
        index = self.unit_index(split)
        what = f"{card.model} in {split}"
        filled = np.zeros(len(index), dtype=bool)
        for rows in self.read_parts(card, split):
            try:
                places = np.fromiter((index[unit] for unit in rows.unit_ids), dtype=np.int64, count=len(rows))
            except KeyError as error:
                raise AlignmentError(f"{what}: unit {error.args[0]!r} is not in the split; extract it again") from None
            column = pick(rows)
            if np.shape(column) != (len(rows), *out.shape[1:]):
                raise StoreError(f"{what}: a part of shape {np.shape(column)}; its card says {out.shape}")
            if filled[places].any() or len(np.unique(places)) != len(places):
                raise AlignmentError(f"{what}: a unit id stands more than once; extract it again")
            filled[places] = True
            first = int(places[0]) if len(places) else 0
            if len(places) and np.array_equal(places, np.arange(first, first + len(places))):
                out[first : first + len(places)] = column
            else:
                out[places] = column
        if not filled.all():
            raise AlignmentError(f"{what}: {(~filled).sum():,} of {len(index):,} units are missing; extract it again")

    def read_parts(self, card: ModelCard, split: str) -> Any:
        """Row groups of a committed model as they are stored; raises if a part is missing or its bytes changed."""
        assert card.contents is not None
        folder = self.model_folder(split, card.model)
        for part in card.contents.parts:
            path = f"{self.files.uri}/{folder}/{part.file}"
            try:
                data = self.files.read(f"{folder}/{part.file}")
            except FileNotFoundError:
                raise StoreError(f"{path} is missing; extract or import {card.model} again with --replace") from None
            if hashlib.sha256(data).hexdigest() != part.sha256:
                raise StoreError(f"{path} changed since it was written; extract or import {card.model} again with --replace")
            yield from parts.decode(data, path)

    def refresh(self) -> None:
        """Forget the units read so far; needed after something else changed the splits."""
        self._units.clear()

    # Writing

    def writer(self, card: ModelCard, split: str, *, classes: int | None, **options: Any) -> Writer:
        """A streamed writer (see Writer) for one model of one split."""
        check_split_name(split)
        return Writer(self, card, split, classes=classes, **options)

    def add(
        self,
        card: ModelCard,
        split: str,
        *,
        labels: NDArray[np.generic] | Sequence[Any],
        outputs: NDArray[np.floating] | None = None,
        unit_ids: Sequence[str] | None = None,
        answers: Sequence[str] | None = None,
        quality: NDArray[np.floating] | None = None,
        scores: Mapping[str, NDArray[np.floating]] | None = None,
        unit_costs: Mapping[str, NDArray[np.floating]] | None = None,
        dtype: str = "float32",
        replace: bool = False,
    ) -> str:
        """Put one model's arrays into a split; returns 'added', 'unchanged', 'card updated' or 'replaced'.

        outputs : floating [N, C] (may be memory-mapped), or answers [N] text with optional quality [N] in [0, 1];
        labels [N]; unit_ids [N] text, default '0'..'N-1'; scores, unit_costs {name: [N]}.
        Everything is checked before anything is written; equal content is a no-op, other content needs replace=True.
        """
        check_split_name(split)
        n = len(labels)
        ids = [str(i) for i in range(n)] if unit_ids is None else list(map(str, unit_ids))
        rows = Rows(
            ids,
            outputs,
            None if answers is None else list(map(str, answers)),
            None if quality is None else np.asarray(quality, np.float32),
            {k: np.asarray(v, np.float32) for k, v in (scores or {}).items()},
            {k: np.asarray(v, np.float64) for k, v in (unit_costs or {}).items()},
        )
        known_labels = self.check(card, split, rows, np.asarray(labels), dtype)
        committed = self.read_card(split, card.model)
        if committed is not None and not replace:
            return self._keep_or_refuse(committed, card, split, rows, dtype)
        classes = None if outputs is None else int(outputs.shape[1])
        with self.writer(
            card, split, classes=classes, dtype=dtype, rows_per_part=IMPORT_ROWS_PER_PART, replace=replace
        ) as writer:
            for start in range(writer.rows_done, n, parts.ROW_GROUP):
                stop = min(n, start + parts.ROW_GROUP)
                piece = rows.slice(start, stop)
                writer.append(
                    piece.unit_ids,
                    known_labels[start:stop],
                    piece.outputs,
                    answers=piece.answers,
                    quality=piece.quality,
                    scores=piece.scores,
                    unit_costs=piece.unit_costs,
                )
            writer.commit()
        self._units.pop(split, None)
        return "added" if committed is None else "replaced"

    def check(self, card: ModelCard, split: str, rows: Rows, labels: NDArray[np.generic], dtype: str) -> NDArray[np.generic]:
        """Every check of the gate for a model about to enter a split; changes nothing. Returns the labels as stored."""
        what = f"{card.model} in {split}"
        n = len(labels)
        given = {"unit ids": len(rows)}
        given |= {k: len(v) for k, v in (("outputs", rows.outputs), ("answers", rows.answers)) if v is not None}
        for noun, length in given.items():
            if length != n:
                raise AlignmentError(f"{what}: {length:,} {noun} and {n:,} labels; expected one label for each row")
        gate.check_unit_ids(rows.unit_ids, what)
        classes = None
        if rows.outputs is not None:
            gate.check_outputs(rows.outputs, card.kind, what)
            classes = int(rows.outputs.shape[1])
            if dtype == "float16":
                gate.check_float16(rows.outputs, what)
        for name, score in rows.scores.items():
            gate.check_column(score, n, f"{what}: score {name!r}")
        for name, costs in rows.unit_costs.items():
            gate.check_column(costs, n, f"{what}: cost {name!r}", least=0.0)
        if rows.quality is not None:
            gate.check_column(rows.quality, n, f"{what}: score", least=0.0)
            if rows.quality.max(initial=0) > 1:
                raise ContentError(f"{what}: a score of {rows.quality.max()}; graded quality lies in [0, 1]")
        labels = gate.check_labels(labels, classes, what)
        if self.has_split(split):
            units = self.unit_index(split)
            check_against_units(what, rows.unit_ids, labels, units, self.labels(split))
            if n != len(units):
                missing = next(unit for unit in units if unit not in set(rows.unit_ids))
                raise AlignmentError(f"{what}: {n:,} units, the split has {len(units):,} (first missing: {missing!r})")
        placeholder = Contents(n, classes, dtype, "", graded=rows.quality is not None)
        self.check_siblings(split, card.with_contents(placeholder))
        return labels

    def check_siblings(self, split: str, card: ModelCard) -> None:
        """The card fits the other models of its split: same classes and task, its own place among the replicas."""
        assert card.contents is not None
        for other in self.cards(split):
            if other.model == card.model or other.contents is None:
                continue
            if (other.architecture, other.replica) == (card.architecture, card.replica):
                raise StoreError(
                    f"{card.model}: {other.model} is architecture {other.architecture!r} replica {other.replica} already; "
                    f"give it another replica number"
                )
            if other.contents.classes != card.contents.classes:
                raise ContentError(
                    f"{card.model}: {card.contents.classes or 'no'} classes, {other.model} in {split} has "
                    f"{other.contents.classes or 'none (answers)'}; the models of a split answer the same question"
                )
            if other.contents.graded != card.contents.graded:
                raise ContentError(f"{card.model}: graded and ungraded answers ({other.model}) cannot share a split")

    def _keep_or_refuse(self, committed: ModelCard, card: ModelCard, split: str, rows: Rows, dtype: str) -> str:
        assert committed.contents is not None
        stored = rows
        if rows.outputs is not None:
            stored = with_fields(rows, outputs=np.asarray(rows.outputs, dtype=dtype))
        content = f"{parts.content_sum(stored) % parts.CONTENT_MODULUS:064x}"
        if content != committed.contents.content or card.kind != committed.kind:
            raise StoreError(f"{card.model} is in {split} already with other content; use --replace to exchange it")
        updated = card.with_contents(committed.contents)
        if updated == committed:
            return "unchanged"
        return self.update_card(split, updated)

    def update_card(self, split: str, card: ModelCard) -> str:
        """Exchange the card of a model (costs, metadata) without touching its outputs."""
        with self.files.lock(self.lock_name(split, card.model, 0), f"{card.model} in {split}"):
            self.write_card(split, card)
        return "card updated"

    def write_card(self, split: str, card: ModelCard) -> None:
        text = json.dumps(card.to_json(), indent=1, sort_keys=True, ensure_ascii=False)
        self.files.write(f"{self.model_folder(split, card.model)}/card.json", text.encode())

    def remove(self, model: str, split: str | None = None) -> tuple[str, ...]:
        """Remove a model from one split or from all; returns the splits it was in. The card goes first."""
        found = [s for s in ([split] if split else self.splits()) if self.files.exists(self.model_folder(s, model))]
        if not found:
            known = {name for s in self.splits() for name in self.models(s)}
            raise UnknownNameError("model", model, known)
        for name in found:
            with self.files.lock(self.lock_name(name, model, 0), f"{model} in {name}"):
                self.files.delete(f"{self.model_folder(name, model)}/card.json")
                self.files.delete_folder(self.model_folder(name, model))
        return tuple(found)

    def verify(self) -> list[str]:
        """Every check of the gate over all splits; one line per problem, none if the store is sound. Changes nothing."""
        problems: list[str] = []

        def attempt(action: Callable[[], object]) -> bool:
            try:
                action()
            except WiseCommitteeError as error:
                problems.append(str(error))
                return False
            return True

        if not self.splits():
            attempt(lambda: self.require_split("val"))
        blocks: dict[str, tuple[str, float]] = {}
        for split in self.splits():
            if not attempt(lambda split=split: self.unit_index(split)):
                continue
            for folder in self.files.names(split):
                if folder.startswith("model=") and not self.files.exists(f"{split}/{folder}/card.json"):
                    name = unquote(folder.removeprefix("model="))
                    problems.append(f"{name} in {split}: unfinished; run its extraction or import again, or `remove` it")
            for model in self.models(split):
                if attempt(lambda model=model, split=split: self._verify_model(model, split)):
                    for block, value in self.card(model, split).blocks.items():
                        first, cost = blocks.setdefault(block, (f"{model} in {split}", value))
                        if cost != value:
                            problems.append(f"block {block!r} costs {cost} in {first} and {value} in {model} in {split}")
        return problems

    def _verify_model(self, model: str, split: str) -> None:
        card = self.card(model, split)
        assert card.contents is not None
        self.check_siblings(split, card)
        classes = card.contents.classes
        gate.check_labels(self.labels(split), classes, split)
        total, seen = 0, np.zeros(len(self.unit_index(split)), dtype=bool)
        for rows in self.read_parts(card, split):
            check_against_units(f"{model} in {split}", rows.unit_ids, self.labels(split)[:0], self.unit_index(split), None)
            seen[[self.unit_index(split)[unit] for unit in rows.unit_ids]] = True
            if rows.outputs is not None:
                gate.check_outputs(rows.outputs, card.kind, f"{model} in {split}", warn=False)
                if rows.outputs.shape[1] != classes:
                    raise ContentError(f"{model} in {split}: {rows.outputs.shape[1]} classes, its card says {classes}")
            for name, score in rows.scores.items():
                gate.check_column(score, len(rows), f"{model} in {split}: score {name!r}")
            for name, costs in rows.unit_costs.items():
                gate.check_column(costs, len(rows), f"{model} in {split}: cost {name!r}", least=0.0)
            total += len(rows)
        if total != card.contents.rows or total != len(seen) or not seen.all():
            raise AlignmentError(f"{model} in {split}: {total:,} rows for {len(seen):,} units; extract or import it again")


def check_split_name(split: str) -> None:
    if not split or split.startswith(".") or quote(split, safe="") != split:
        raise UsageError(f"split {split!r}: expected a plain name such as val or test")

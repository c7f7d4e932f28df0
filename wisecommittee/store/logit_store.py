"""LogitStore: a folder (or s3:// or gs:// URI) of model outputs, as aligned arrays."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wisecommittee.committees.cards import ModelCard, StoredCard
from wisecommittee.errors import AbsentNameError, StoreError, option
from wisecommittee.store import checks, removing, verifying
from wisecommittee.store.admission import Admission
from wisecommittee.store.catalog import Catalog
from wisecommittee.store.columns import StoredModel
from wisecommittee.store.incoming import CheckedModel, checked
from wisecommittee.store.layout import DEFAULT_STORE, lock_name, model_folder
from wisecommittee.store.parquet import parts
from wisecommittee.store.rows import ModelRows, content_hash, content_sum, make_rows
from wisecommittee.store.storage.opening import open_files
from wisecommittee.store.writer import WriteJob, Writer

IMPORT_GROUPS_PER_PART = 4


class LogitStore(Catalog):
    """Model outputs on disk, aligned by unit id.

    Parameters
    ----------
    path
        Folder or URI; default the environment's WISECOMMITTEE_STORE, else 'logits'. Opening reads nothing.

    Examples
    --------
    >>> store = LogitStore("logits")                      # doctest: +SKIP
    >>> store.outputs("b3/0", "val").shape                # doctest: +SKIP
    (25000, 1000)
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        given = path if path is not None else os.environ.get("WISECOMMITTEE_STORE") or DEFAULT_STORE
        super().__init__(open_files(given))
        self.admission = Admission(self)

    def __repr__(self) -> str:
        return f"LogitStore({self.files.uri!r})"

    def refresh(self) -> None:
        super().refresh()
        self.admission.refresh()

    # Reading

    def outputs(self, model: str, split: str) -> NDArray[np.floating]:
        """Logits or probabilities of a model.

        Returns
        -------
        Array [N, C] in unit order, memory-mapped from the decoded cache and read-only. float32, or float16 if it is
        stored so: half the memory; compute with float32 blocks of it.

        Raises
        ------
        AbsentNameError
            The split has no such model.
        StoreError
            It holds answers, or its files are not what its card says.
        """
        stored = self._stored(model, split)
        contents = stored.card.contents
        if contents.classes is None:
            raise StoreError(f"{model} in {split} holds answers, not logits; read them with answers()")
        return stored.column("outputs", np.dtype(contents.dtype), lambda rows: rows.outputs, contents.classes)

    def scores(self, model: str, split: str, name: str) -> NDArray[np.float32]:
        """A stored confidence of a model, by name.

        Returns
        -------
        float32 [N] in unit order, memory-mapped and read-only.

        Raises
        ------
        AbsentNameError
            The split has no such model, or the model no such score.
        StoreError
            The units of the split changed, or its files are not what its card says.
        """
        stored = self._stored(model, split)
        if name not in stored.card.contents.scores:
            raise AbsentNameError(f"stored score of {model} in {split}", name, stored.card.contents.scores)
        return stored.column(f"score_{name}", np.float32, lambda rows: rows.scores[name])

    def unit_costs(self, model: str, split: str, name: str) -> NDArray[np.float64]:
        """A cost of a model that varies per unit, by name.

        Returns
        -------
        float64 [N] in unit order and in the unit of that cost, memory-mapped and read-only.

        Raises
        ------
        AbsentNameError
            The split has no such model, or the model no such cost.
        StoreError
            The units of the split changed, or its files are not what its card says.
        """
        stored = self._stored(model, split)
        if name not in stored.card.contents.unit_costs:
            raise AbsentNameError(f"per-unit cost of {model} in {split}", name, stored.card.contents.unit_costs)
        return stored.column(f"cost_{name}", np.float64, lambda rows: rows.unit_costs[name])

    def quality(self, model: str, split: str) -> NDArray[np.float32]:
        """Graded quality of a model's answers.

        Returns
        -------
        float32 [N] in [0, 1], in unit order, memory-mapped and read-only.

        Raises
        ------
        AbsentNameError
            The split has no such model.
        StoreError
            Its answers are not graded, or its files are not what its card says.
        """
        stored = self._stored(model, split)
        if not stored.card.contents.graded:
            raise StoreError(f"{model} in {split} has no graded score; import its answers with a score column")
        return stored.column("quality", np.float32, lambda rows: rows.quality)

    def answers(self, model: str, split: str) -> NDArray[np.str_]:
        """Answers of a model.

        Returns
        -------
        Text [N] in unit order.

        Raises
        ------
        AbsentNameError
            The split has no such model.
        StoreError
            It holds outputs, or its files are not what its card says.
        """
        stored = self._stored(model, split)
        if stored.card.contents.classes is not None:
            raise StoreError(f"{model} in {split} holds {stored.card.kind}, not answers; read them with outputs()")
        out = np.empty(stored.card.contents.rows, dtype=object)
        for positions, values in stored.blocks(lambda rows: np.array(rows.answers, dtype=object)):
            out[positions] = values
        return checks.text_array(out.tolist(), stored.what)

    def _stored(self, model: str, split: str) -> StoredModel:
        card = self.card(model, split)
        self.units(split).check_card(card, split)
        return StoredModel(self, card, split)

    # Writing

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
        """Put one model's arrays into a split. Everything is checked before anything is written.

        Parameters
        ----------
        card, split
            The model, and where it goes.
        labels
            [N] class numbers from 0; for answers, true answers as text or numbers.
        outputs
            Floating [N, C], C >= 2; may be memory-mapped. Or else `answers`.
        unit_ids
            [N] text; default '0' .. 'N-1'.
        answers, quality
            [N] text, and optionally their graded quality in [0, 1] instead of answer == label.
        scores, unit_costs
            {name: [N]}: stored confidences, and costs that vary per unit.
        dtype
            'float32', or 'float16' for half the disk.
        replace
            Exchange other content of the same model. Equal content is left as it is in any case.

        Returns
        -------
        'added', 'unchanged', 'card updated' or 'replaced'.

        Raises
        ------
        StoreError
            Or one of its kinds (AlignmentError, ContentError), which names the model, the value and the remedy.
        """
        what = f"{card.model} in {split}"
        given = checks.as_labels(labels, what)
        ids: Iterable[Any] = map(str, range(len(given))) if unit_ids is None else unit_ids
        rows = make_rows(what, ids, outputs, answers=answers, quality=quality, scores=scores, unit_costs=unit_costs)
        return self.put(self.checked(card, split, rows, given, dtype), replace=replace)

    def checked(
        self, card: ModelCard, split: str, rows: ModelRows, labels: ArrayLike, dtype: str = "float32"
    ) -> CheckedModel:
        """Every check of a model about to enter a split; changes nothing. `put` writes what this returns."""
        return checked(self.admission, card, split, rows, labels, dtype)

    def put(self, model: CheckedModel, *, replace: bool = False) -> str:
        """Write a checked model; returns 'added', 'unchanged', 'card updated' or 'replaced'."""
        committed = self.committed(model.split, model.card.model, replace=replace)
        if committed is not None and not replace:
            return self._keep_or_refuse(committed, model)
        part_rows = IMPORT_GROUPS_PER_PART * parts.row_group_rows(model.classes)
        job = WriteJob(
            model.card, model.split, model.classes, model.dtype, model=model, rows_per_part=part_rows, replace=replace
        )
        with Writer(self.admission, job) as writer:
            writer.append_model()
            writer.commit()
        return "added" if committed is None else "replaced"

    def _keep_or_refuse(self, committed: StoredCard, model: CheckedModel) -> str:
        """Equal content stays, and its card is brought up to date; other content is refused."""
        contents, card, dtype = committed.contents, model.card, np.dtype(model.dtype)
        content = 0
        for start in range(0, len(model.rows), parts.ROW_GROUP):
            content += content_sum(model.rows.slice(start, start + parts.ROW_GROUP).stored(dtype))
        same = (contents.content, committed.kind) == (content_hash(content), card.kind)
        if not same or contents.dtype != model.dtype:
            raise StoreError(
                f"{card.model} is in {model.split} already with other content; use {option('replace', True)} to "
                "exchange it"
            )
        if card.with_contents(contents).to_json() == committed.to_json():
            return "unchanged"
        return self.update_card(model.split, committed, lambda now: card.with_contents(now.contents))

    def writer(self, card: ModelCard, split: str, *, classes: int | None, **options: Any) -> Writer:
        """A streamed writer of one model; options : the other fields of WriteJob."""
        return Writer(self.admission, WriteJob(card, split, classes, **options))

    def adding_many(self, split: str) -> AbstractContextManager[None]:
        """A block in which many models are added to a split: cards already in the split are read once for all of
        them."""
        return self.admission.adding_many(split)

    def check_siblings(self, split: str, card: ModelCard, classes: int | None, *, graded: bool = False) -> None:
        """Raise unless a card fits the other models of its split, and the same model in other splits."""
        self.admission.check(split, card, classes, graded=graded)

    def update_card(self, split: str, read: StoredCard, change: Callable[[StoredCard], StoredCard]) -> str:
        """Exchange the card of a model (costs, calibration, metadata) without touching its outputs.

        Parameters
        ----------
        split, read The card that the change was made for. If the model has other outputs by now, the change is refused.
        change Function from the card as it is now, which another process may have changed, to the new card.

        Returns
        -------
        'unchanged' or 'card updated'.
        """
        what = f"{read.model} in {split}"
        with (
            self.files.lock(lock_name(split, read.model, 0), what),
            self.admission.turn(split, read.model) as keep_turn,
        ):
            now = self.read_card(split, read.model)
            if now is None or now.with_calibration(None).contents != read.with_calibration(None).contents:
                raise StoreError(
                    f"{what} was {'removed' if now is None else 'replaced'} meanwhile; its card stays as it is, run "
                    f"again"
                )
            changed = change(now)
            if changed.to_json() == now.to_json():
                return "unchanged"
            keep_turn()
            self.files.delete_temporaries(model_folder(split, read.model))
            self.admission.write_card(split, changed)
        return "card updated"

    def remove(self, model: str, split: str | None = None) -> tuple[str, ...]:
        """Remove a model from one split or from all. The units of a split go with its last model.

        Returns
        -------
        The splits it was in; none where it is removed already.
        """
        return removing.remove(self.admission, model, split)

    def verify(self) -> list[str]:
        """Every check of the store over all splits; changes nothing.

        Returns
        -------
        One line per problem, none if all is sound.
        """
        return verifying.verify(self.admission)


StoreLike: TypeAlias = LogitStore | str | os.PathLike[str]


def open_store(store: StoreLike) -> LogitStore:
    """The store itself, or the one at that folder or URI."""
    return LogitStore(store) if isinstance(store, (str, os.PathLike)) else store

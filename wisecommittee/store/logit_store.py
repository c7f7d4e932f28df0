"""LogitStore: a folder (or s3:// or gs:// URI) of model outputs, as aligned arrays."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wisecommittee.committees.cards import ModelCard, StoredCard
from wisecommittee.errors import AbsentNameError, StoreError, UsageError, option
from wisecommittee.store import checks, removing, verifying
from wisecommittee.store.admission import Admission
from wisecommittee.store.columns import StoredModel
from wisecommittee.store.content import content_hash, content_sum
from wisecommittee.store.incoming import CheckedModel, checked
from wisecommittee.store.layout import DEFAULT_STORE, OVERHEAD, lock_name, model_folder
from wisecommittee.store.parquet import parts
from wisecommittee.store.readers.features import read_feature_table
from wisecommittee.store.rows import ModelRows, make_rows
from wisecommittee.store.stage_overhead import StageOverhead, encode_overhead
from wisecommittee.store.storage.opening import open_files
from wisecommittee.store.trusting_catalog import TrustingCatalog
from wisecommittee.store.writer import WriteJob, Writer

IMPORT_GROUPS_PER_PART = 4


class LogitStore(TrustingCatalog):
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
        self._admission = Admission(self)

    def __repr__(self) -> str:
        return f"LogitStore({self.files.uri!r})"

    @property
    def admission(self) -> Admission:
        """What is written passes here; UsageError for a view, which only reads."""
        if self.labels_from is not None:
            raise UsageError(
                f"{self.files.uri!r} with labels from {self.labels_from} is only read; write to the store itself"
            )
        return self._admission

    def refresh(self) -> None:
        """Forget everything that was read; needed after another process changed the splits."""
        super().refresh()
        self._admission.refresh()

    # Reading

    def outputs(self, model: str, split: str) -> NDArray[np.floating]:
        """Logits or probabilities of a model.

        Parameters
        ----------
        model, split : str

        Returns
        -------
        float32 or float16 [N, C]
            In the order of `unit_ids`, memory-mapped from the decoded cache and read-only. float16 if it is stored so,
            for half the memory: convert blocks of it to float32 to compute.

        Raises
        ------
        AbsentNameError
            The split has no such model.
        StoreError
            The model holds answers, or its files differ from its card.
        """
        stored = self._stored(model, split)
        contents = stored.card.contents
        if contents.classes is None:
            raise StoreError(f"{model} in {split} holds answers, not logits; read them with answers()")
        outputs = stored.column("outputs", np.dtype(contents.dtype), lambda rows: rows.outputs, contents.classes)
        return self._counted(split, outputs)

    def scores(self, model: str, split: str, name: str) -> NDArray[np.float32]:
        """A stored confidence of a model.

        Parameters
        ----------
        model, split : str
        name : str
            One of the names in the card's `contents.scores`.

        Returns
        -------
        float32 [N]
            In the order of `unit_ids`, memory-mapped and read-only.

        Raises
        ------
        AbsentNameError
            The split has no such model, or the model no such score.
        StoreError
            The units of the split changed, or the model's files differ from its card.
        """
        stored = self._stored(model, split)
        if name not in stored.card.contents.scores:
            raise AbsentNameError(f"stored score of {model} in {split}", name, stored.card.contents.scores)
        return self._counted(split, stored.column(f"score_{name}", np.float32, lambda rows: rows.scores[name]))

    def unit_costs(self, model: str, split: str, name: str) -> NDArray[np.float64]:
        """A cost of a model that varies per unit.

        Parameters
        ----------
        model, split : str
        name : str
            One of the names in the card's `contents.unit_costs`, such as 'usd'.

        Returns
        -------
        float64 [N]
            In the order of `unit_ids` and in the unit of that cost, memory-mapped and read-only.

        Raises
        ------
        AbsentNameError
            The split has no such model, or the model no such cost.
        StoreError
            The units of the split changed, or the model's files differ from its card.
        """
        stored = self._stored(model, split)
        if name not in stored.card.contents.unit_costs:
            raise AbsentNameError(f"per-unit cost of {model} in {split}", name, stored.card.contents.unit_costs)
        return self._counted(split, stored.column(f"cost_{name}", np.float64, lambda rows: rows.unit_costs[name]))

    def quality(self, model: str, split: str) -> NDArray[np.float32]:
        """The graded quality of a model's answers.

        Parameters
        ----------
        model, split : str

        Returns
        -------
        float32 [N]
            In [0, 1], in the order of `unit_ids`, memory-mapped and read-only.

        Raises
        ------
        AbsentNameError
            The split has no such model.
        StoreError
            The answers are not graded, or the model's files differ from its card.
        """
        stored = self._stored(model, split)
        if not stored.card.contents.graded:
            raise StoreError(f"{model} in {split} has no graded score; import its answers with a score column")
        return self._counted(split, stored.column("quality", np.float32, lambda rows: rows.quality))

    def with_features(self, file: str | os.PathLike[str] | None) -> Self:
        """This store, whose units have the features of a file in place of those in the store; nothing is written.

        Parameters
        ----------
        file : path, optional
            A .csv or .parquet table with unit_id and a column for each feature, of the units of one split or of
            several. None: the store as it is.

        Returns
        -------
        LogitStore

        Raises
        ------
        AlignmentError, ContentError
            A unit stands twice, a value is missing, or a column cannot be a feature.
        """
        return self if file is None else self.with_feature_table(read_feature_table(file))

    def answers(self, model: str, split: str) -> NDArray[np.str_]:
        """The answers of a model.

        Parameters
        ----------
        model, split : str

        Returns
        -------
        text [N]
            In the order of `unit_ids`.

        Raises
        ------
        AbsentNameError
            The split has no such model.
        StoreError
            The model holds outputs instead of answers, or its files differ from its card.
        """
        stored = self._stored(model, split)
        if stored.card.contents.classes is not None:
            raise StoreError(f"{model} in {split} holds {stored.card.kind}, not answers; read them with outputs()")
        out = np.empty(stored.card.contents.rows, dtype=object)
        for indices, values in stored.blocks(lambda rows: np.array(rows.answers, dtype=object)):
            out[indices] = values
        return self._counted(split, checks.text_array(out.tolist(), stored.what))

    def _stored(self, model: str, split: str) -> StoredModel:
        store = self.source
        card = store.card(model, split)
        store.units(split).check_card(card, split)
        return StoredModel(store, card, split)

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
        """Add one model's arrays to a split. Everything is checked before anything is written.

        Parameters
        ----------
        card : ModelCard
            The model.
        split : str
            The split to write to; the first model of a split fixes its units and labels.
        labels : integer or text [N]
            Class numbers from 0; for answers, the true answers.
        outputs : floating [N, C], optional
            Logits or probabilities, C >= 2; may be memory-mapped. Either these or `answers`.
        unit_ids : text [N], optional
            By default '0' .. 'N-1'.
        answers : text [N], optional
        quality : float [N], optional
            Graded quality of the answers in [0, 1]; without it an answer is right if it equals its label.
        scores : {name: float [N]}, optional
            Confidences to store.
        unit_costs : {name: float [N]}, optional
            Costs that vary per unit, in their own units.
        dtype : str
            'float32', or 'float16' for half the disk.
        replace : bool
            Replace other content of the same model. Equal content is never written again.

        Returns
        -------
        str
            'added', 'unchanged', 'card updated' or 'replaced'.

        Raises
        ------
        StoreError
            Or one of its subclasses AlignmentError and ContentError. The message names the model, the value and the
            remedy.
        """
        what = f"{card.model} in {split}"
        given = checks.as_labels(labels, what)
        ids: Iterable[Any] = map(str, range(len(given))) if unit_ids is None else unit_ids
        rows = make_rows(what, ids, outputs, answers=answers, quality=quality, scores=scores, unit_costs=unit_costs)
        return self.put(self.checked(card, split, rows, given, dtype), replace=replace)

    def checked(
        self, card: ModelCard, split: str, rows: ModelRows, labels: ArrayLike, dtype: str = "float32"
    ) -> CheckedModel:
        """Check a model completely without writing anything.

        Parameters
        ----------
        card : ModelCard
        split : str
        rows : ModelRows
            The N rows of the model.
        labels : integer or text [N]
        dtype : str
            'float32' or 'float16'.

        Returns
        -------
        CheckedModel
            The argument of `put`.

        Raises
        ------
        StoreError
            Or one of its subclasses.
        """
        return checked(self.admission, card, split, rows, labels, dtype)

    def put(self, model: CheckedModel, *, replace: bool = False) -> str:
        """Write a checked model.

        Parameters
        ----------
        model : CheckedModel
        replace : bool
            Replace other content of the same model.

        Returns
        -------
        str
            'added', 'unchanged', 'card updated' or 'replaced'.

        Raises
        ------
        StoreError
            The split holds the model with other content, and `replace` is False.
        """
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
        """Keep equal content and bring its card up to date; StoreError for other content."""
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
        """A writer that takes one model in blocks of rows.

        Parameters
        ----------
        card : ModelCard
        split : str
        classes : int or None
            Number of columns C; None for answers.
        **options
            The other fields of WriteJob.

        Returns
        -------
        Writer
            A context manager.
        """
        return Writer(self.admission, WriteJob(card, split, classes, **options))

    def adding_many(self, split: str) -> AbstractContextManager[None]:
        """A context in which many models are added to a split; the cards in the split are read once for all of them."""
        return self.admission.adding_many(split)

    def check_siblings(self, split: str, card: ModelCard, classes: int | None, *, graded: bool = False) -> None:
        """Check that a card fits the other models of its split, and the same model in other splits.

        Parameters
        ----------
        split : str
        card : ModelCard
        classes : int or None
            Number of columns C; None for answers.
        graded : bool
            Whether the answers have a graded quality.

        Raises
        ------
        StoreError
            Or one of its subclasses; the message names the other model.
        """
        self.admission.check(split, card, classes, graded=graded)

    def update_card(self, split: str, read: StoredCard, change: Callable[[StoredCard], StoredCard]) -> str:
        """Replace the card of a model (costs, calibration, metadata) without touching its outputs.

        Parameters
        ----------
        split : str
        read : StoredCard
            The card that the change was made for. If the model has other outputs by now, the change is refused.
        change : callable
            From the present card, which another process may have changed, to the new card.

        Returns
        -------
        str
            'unchanged' or 'card updated'.

        Raises
        ------
        StoreError
            The model was removed or replaced after `read` was read.
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

    def record_overhead(self, overhead: StageOverhead) -> None:
        """Write what every stage costs beside its members; it replaces what was measured before."""
        self.admission.catalog.files.write(OVERHEAD, encode_overhead(overhead))

    def remove(self, model: str, split: str | None = None) -> tuple[str, ...]:
        """Remove a model from one split or from all splits. The units of a split are removed with its last model.

        Parameters
        ----------
        model : str
        split : str, optional
            By default all splits.

        Returns
        -------
        tuple of str
            The splits that held the model; empty if no split did.
        """
        return removing.remove(self.admission, model, split)

    def verify(self) -> list[str]:
        """Run every check of the store over all splits, without changing anything.

        Returns
        -------
        list of str
            One line per problem; empty if the store is sound.
        """
        return verifying.verify(self.admission)


StoreLike: TypeAlias = LogitStore | str | os.PathLike[str]


def open_store(store: StoreLike) -> LogitStore:
    """The store itself, or the store at a folder or URI."""
    if isinstance(store, (str, os.PathLike)):
        return LogitStore(store)
    if not hasattr(store, "require_split"):
        raise UsageError(f"store {store!r:.60}; expected a LogitStore, a folder or an s3:// or gs:// URI")
    return store

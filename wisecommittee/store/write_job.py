"""The job of a writer as one value: the model, its options, and the rank."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from wisecommittee.committees.cards import ModelCard
from wisecommittee.errors import ContentError
from wisecommittee.store import checks
from wisecommittee.store.card_files import encode_card
from wisecommittee.store.incoming import CheckedModel
from wisecommittee.store.layout import model_folder
from wisecommittee.store.parquet import parts


@dataclass(frozen=True, slots=True)
class WriteJob:
    """The job of a Writer.

    Attributes
    ----------
    card, split
        The model and where it goes.
    classes
        Columns of its outputs, None for answers.
    dtype
        'float32' or 'float16', as outputs are stored.
    identity
        Text that says what is being extracted (model, weights, data, preprocessing, number of ranks). The whole parts
        of a killed writer are kept if its job had the same identity. None: they are cleared away.
    model
        The checked model whose rows will be written. Parts of a killed writer are kept if they hold the same rows.
    rows_per_part
        Rows of each part but the last of a rank; default one row group.
    rank, ranks
        The number of this writer, and how many write this model together. A commit needs all of them to have finished;
        where `ranks` is None, all that have begun.
    replace
        Exchange a model that is in the split already.
    """

    card: ModelCard
    split: str
    classes: int | None
    dtype: str = "float32"
    identity: str | None = None
    model: CheckedModel | None = None
    rows_per_part: int | None = None
    rank: int = 0
    ranks: int | None = None
    replace: bool = False

    def __post_init__(self) -> None:
        if self.rank < 0 or (self.ranks is not None and self.rank >= self.ranks):
            raise ContentError(f"rank {self.rank} of {self.ranks or 'any number'}; expected a number from 0")
        checks.check_dtype(self.dtype, self.what)

    @property
    def what(self) -> str:
        return f"{self.card.model} in {self.split}"

    @property
    def folder(self) -> str:
        return model_folder(self.split, self.card.model)

    @property
    def group_rows(self) -> int:
        return parts.row_group_rows(self.classes)

    @property
    def part_rows(self) -> int:
        return self.rows_per_part or self.group_rows

    @property
    def can_be_continued(self) -> bool:
        """Whether rows of a killed writer can be recognised as rows of this job."""
        return self.identity is not None or self.model is not None

    def fingerprint(self) -> str:
        """A hash that is equal for jobs whose parts are interchangeable."""
        card = encode_card(self.card.without_contents()).decode()
        described = [card, self.classes, self.dtype, self.identity, self.part_rows, self.ranks]
        return hashlib.sha256(json.dumps(described).encode()).hexdigest()

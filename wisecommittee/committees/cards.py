"""ModelCard and StoredCard: the facts about a model, before and after the store holds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from wisecommittee.committees.calibration import Calibration
from wisecommittee.committees.fields import check_cost, plain, shown
from wisecommittee.committees.model_names import KINDS, split_model_name
from wisecommittee.errors import StoreError
from wisecommittee.text import HIDDEN

CARD_VERSION = 1
MAX_COUNT = 1 << 53  # largest replica, parameter count and position: JSON numbers are exact below


@dataclass(frozen=True, slots=True)
class PartFile:
    """One immutable Parquet file of a model: its name, its rows and the sha256 of its bytes."""

    file: str
    rows: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Contents:
    """The contents of the store for a model in one split.

    Attributes
    ----------
    rows : int
        Number of units.
    classes : int or None
        Number of columns of the outputs; None for answers.
    dtype : str
        'float32' or 'float16', the precision of the stored outputs.
    content : str
        Hash of the decoded values, independent of row order, part boundaries and compression.
    parts : tuple of PartFile
        The files with the values.
    scores : tuple of str
        Names of the stored confidences.
    unit_costs : tuple of str
        Names of the costs that vary per unit.
    graded : bool
        Whether the answers have a graded quality.
    calibration : Calibration or None
        The calibration fitted on these outputs; the stored outputs themselves are not calibrated.
    units : str or None
        Hash of the split's unit ids and labels that the model was written for.
    """

    rows: int
    classes: int | None
    dtype: str
    content: str
    parts: tuple[PartFile, ...] = ()
    scores: tuple[str, ...] = ()
    unit_costs: tuple[str, ...] = ()
    graded: bool = False
    calibration: Calibration | None = None
    units: str | None = None


@dataclass(frozen=True, slots=True)
class ModelCard:
    """The name, origin and cost of a model. `LogitStore.add` takes a ModelCard; the store returns StoredCards.

    Attributes
    ----------
    model : str
        Name, unique in a store, such as 'b3/0'.
    architecture : str
    replica : int
        By default both are read from the name ('b3', 0), as far as the names of the whole pool support it
        (replicas.py).
    replica_given : bool
        Whether architecture and replica were given beside the name; if so they count whatever the other names are.
    kind : str
        Kind of the outputs, one of KINDS.
    blocks : {block id: MACs}
        A set of members costs the UNION of its blocks, so networks that share a trunk list the trunk under one id.
        Independent models have one block each.
    costs : {name: number}
        Further costs of one unit (``latency_ms``, ``usd``), in their own units.
    weights : str or None
        sha256 of the checkpoint; None if unknown.
    class_names : tuple of str or None
        Names of classes 0, 1, ..; None if classes have numbers only.
    group : str or None
        The jointly trained network that the model is a member of.
    position : int or None
        Position of the member in its group, from 0.
    params : int or None
        Number of parameters.
    input_size : tuple of int or None
        Shape of one input; its last number is the width in pixels of an image.
    training_cost : float or None
    origin : str or None
        Model spec or file that the outputs came from.
    meta : {name: value}
        Anything else; JSON values.

    Raises
    ------
    StoreError
        A name, the kind or a number is not allowed.
    CostError
        A block costs no finite number above 0, or a further cost is not finite or below 0.
    """

    model: str
    architecture: str = ""
    replica: int = 0
    kind: str = "logits"
    blocks: Mapping[str, int | float] = field(default_factory=dict)
    costs: Mapping[str, int | float] = field(default_factory=dict)
    params: int | None = None
    input_size: tuple[int, ...] | None = None
    training_cost: float | None = None
    group: str | None = None
    position: int | None = None
    origin: str | None = None
    weights: str | None = None
    class_names: tuple[str, ...] | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    replica_given: bool = False

    def __post_init__(self) -> None:
        check_name("model", self.model)
        if len(self.model.encode()) > 180:
            raise StoreError(f"model name {self.model[:40]!r}..: longer than 180 bytes, which no folder name can hold")
        for noun, number in (("replica", self.replica), ("params", self.params), ("position", self.position)):
            if number is not None and not 0 <= number < MAX_COUNT:
                raise StoreError(f"{self.model}: {noun} {shown(number)}; expected a whole number from 0")
        if not self.architecture:
            architecture, replica = split_model_name(self.model)
            object.__setattr__(self, "architecture", architecture)
            object.__setattr__(self, "replica", replica)
        if self.kind not in KINDS:
            raise StoreError(f"{self.model}: kind {self.kind!r} is not one of {', '.join(KINDS)}")
        named = [("architecture", self.architecture), *([("group", self.group)] if self.group else [])]
        for noun, name in (*named, *(("cost", cost) for cost in self.costs)):
            check_name(noun, name)
        for noun, costs in (("block", self.blocks), ("cost", self.costs)):
            for name, value in costs.items():
                check_cost(value, f"{self.model}: {noun} {name!r}", free=noun == "cost")

    @property
    def key(self) -> tuple[str, int, str]:
        """(architecture, replica, name), the sort key of models. Both are read from the name unless they were given."""
        identity = split_model_name(self.model) if self.placed_by_name else (self.architecture, self.replica)
        return (*identity, self.model)

    @property
    def placed_by_name(self) -> bool:
        """Whether architecture and replica follow from the name alone."""
        read = (split_model_name(self.model), (self.model, 0))
        return not self.replica_given and (self.architecture, self.replica) in read

    @property
    def members(self) -> frozenset[str]:
        """The models behind an entry of cell counts (store/imports/segmentation.py); else the model itself."""
        together = self.meta.get("members") if self.kind == "cell_counts" else None
        return frozenset(together or (self.model,))

    def with_contents(self, contents: Contents) -> StoredCard:
        """The card of the same model after the store has written these contents."""
        return StoredCard(**_fields_of(self), contents=contents)

    def without_contents(self) -> ModelCard:
        """The card without contents, as `LogitStore.add` takes it."""
        return self

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {"version": CARD_VERSION}
        for name, value in _fields_of(self).items():
            if value is not None and value != {} and value is not False:
                out[name] = plain(value)
        return out


def _fields_of(card: ModelCard) -> dict[str, Any]:
    return {f.name: getattr(card, f.name) for f in fields(ModelCard)}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCard(ModelCard):
    """The card of a model in the store: a ModelCard with the contents that card.json records."""

    contents: Contents

    def without_contents(self) -> ModelCard:
        return ModelCard(**_fields_of(self))

    @property
    def calibration(self) -> Calibration | None:
        return self.contents.calibration

    def with_calibration(self, calibration: Calibration | None) -> StoredCard:
        """The same card with another calibration, or with none."""
        return replace(self, contents=replace(self.contents, calibration=calibration))

    def to_json(self) -> dict[str, Any]:
        return {**ModelCard.to_json(self), "contents": _contents_to_json(self.contents)}


def check_name(noun: str, name: str) -> None:
    """StoreError unless a name is visible text and safe as a folder name.

    Hidden characters, and characters that act on a terminal, are refused.
    """
    if not name or name != name.strip() or name in (".", ".."):
        raise StoreError(f"{noun} name {name!r}: expected text without outer spaces, and neither . nor ..")
    if hidden := HIDDEN.search(name):
        raise StoreError(
            f"{noun} name {name!r}: expected text without control characters, marks of direction and signs without "
            f"width; {hidden[0]!a} is one, give it another name"
        )


def _contents_to_json(contents: Contents) -> dict[str, Any]:
    values = {f.name: getattr(contents, f.name) for f in fields(contents)}
    values["parts"] = [{"file": part.file, "rows": part.rows, "sha256": part.sha256} for part in contents.parts]
    if contents.calibration is not None:
        values["calibration"] = contents.calibration.to_json()
    return {name: plain(v) for name, v in values.items() if name not in ("calibration", "units") or v is not None}

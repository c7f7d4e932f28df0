"""ModelCard and Committee: the two frozen values everything else passes around, and their JSON."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shlex
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from wisecommittee.committees.calibration import Calibration
from wisecommittee.committees.confidence import scale_of, threshold_above
from wisecommittee.committees.scale import Carried
from wisecommittee.errors import AbsentError, CommitteeError, CostError, StoreError, WiseCommitteeError, counted
from wisecommittee.reading import parse_json, read_text, recognised
from wisecommittee.text import HIDDEN
from wisecommittee.writing import written_whole

CARD_VERSION = 1
COMMITTEE_VERSION = 1
MAX_COMMITTEE = 4 << 20  # bytes of a committee.json
MAX_COUNT = 1 << 53  # of replicas, parameters and positions: what a JSON number holds exactly
KINDS = ("logits", "probabilities", "answers", "cell_counts")
OLD_KINDS = {"statistics": "cell_counts"}  # earlier spellings, as cards and committees may have them
_REPLICA_NAME = re.compile(r"(?P<architecture>.+)/(?P<replica>[0-9]+)")


def split_model_name(model: str) -> tuple[str, int]:
    """'b3/0' -> ('b3', 0), as far as a name alone can say (replicas.py); without a number it is replica 0 of itself."""
    match = _REPLICA_NAME.fullmatch(model)
    return (match["architecture"], int(match["replica"])) if match else (model, 0)


@dataclass(frozen=True, slots=True)
class Part:
    """One immutable Parquet file of a model: its name, its rows and the sha256 of its bytes."""

    file: str
    rows: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Contents:
    """What the store holds of a model in one split.

    rows : number of units; classes : number of columns of the outputs, None for answers;
    content : hash of the decoded values, independent of row order, part boundaries and compression;
    scores, unit_costs : names of the extra columns; graded : whether answers carry a graded quality;
    calibration : fitted on these outputs, which it leaves as they are;
    units : hash of the split's unit ids and labels they were written for.
    """

    rows: int
    classes: int | None
    dtype: str
    content: str
    parts: tuple[Part, ...] = ()
    scores: tuple[str, ...] = ()
    unit_costs: tuple[str, ...] = ()
    graded: bool = False
    calibration: Calibration | None = None
    units: str | None = None


@dataclass(frozen=True, slots=True)
class ModelCard:
    """Who a model is and what it costs; `LogitStore.add` takes one, and hands out a StoredCard of it.

    blocks : {block id: MACs}; a set of members costs the UNION of its blocks, so networks that share a trunk list the
    trunk under one id. Independent models have one block each. costs : further costs per forward of one unit, by name
    (``latency_ms``, ``usd``). weights : sha256 of the checkpoint, None where unknown. class_names : names of classes 0,
    1, .., None where classes are only numbered. training_cost, params, input_size, group and position (members of a
    jointly trained network) and meta are optional and free. replica_given : architecture and replica were given beside
    the name; else they are read from it, and count as far as the names of the whole pool bear it out (replicas.py).
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
                raise StoreError(f"{self.model}: {noun} {_shown(number)}; expected a whole number from 0")
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
        """Canonical order: architecture, then replica, as given or as the name by itself says them; then the name."""
        place = split_model_name(self.model) if self.placed_by_name else (self.architecture, self.replica)
        return (*place, self.model)

    @property
    def placed_by_name(self) -> bool:
        """Whether architecture and replica say nothing that the name does not."""
        places = (split_model_name(self.model), (self.model, 0))
        return not self.replica_given and (self.architecture, self.replica) in places

    @property
    def members(self) -> frozenset[str]:
        """The models behind an entry of cell counts (store/imports/segmentation.py); any other model is by itself."""
        together = self.meta.get("members") if self.kind == "cell_counts" else None
        return frozenset(together or (self.model,))

    def with_contents(self, contents: Contents) -> StoredCard:
        """The card of the same model once the store holds these outputs of it."""
        return StoredCard(**_fields_of(self), contents=contents)

    def without_contents(self) -> ModelCard:
        """The card as it is before the model is written: what `LogitStore.add` takes."""
        return self

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {"version": CARD_VERSION}
        for name, value in _fields_of(self).items():
            if value is not None and value != {} and value is not False:
                out[name] = _plain(value)
        return out


def _fields_of(card: ModelCard) -> dict[str, Any]:
    return {f.name: getattr(card, f.name) for f in fields(ModelCard)}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCard(ModelCard):
    """The card of a model whose outputs the store holds: a ModelCard, and the contents that card.json records."""

    contents: Contents

    def without_contents(self) -> ModelCard:
        return ModelCard(**_fields_of(self))

    @property
    def calibration(self) -> Calibration | None:
        return self.contents.calibration

    def with_calibration(self, calibration: Calibration | None) -> StoredCard:
        """The same model with another calibration of its outputs, or none."""
        return replace(self, contents=replace(self.contents, calibration=calibration))

    def to_json(self) -> dict[str, Any]:
        return {**ModelCard.to_json(self), "contents": _plain(self.contents)}

    @classmethod
    def from_json(cls, data: Any) -> StoredCard:
        known, required = {f.name for f in fields(cls)}, {"model", "contents"}
        data = _checked_object(data, "card.json", CARD_VERSION, known, required, StoreError)
        try:
            numbers = {
                name: _typed(data, name, (int,), StoreError)
                for name in ("params", "position", "replica")
                if name in data
            }
            texts = {
                name: _typed(data, name, (str,), StoreError)
                for name in ("model", "architecture", "kind", "group", "origin", "weights")
                if name in data
            }
            if "kind" in texts:
                texts["kind"] = OLD_KINDS.get(texts["kind"], texts["kind"])
            objects = {
                name: _typed(data, name, (dict,), StoreError) for name in ("blocks", "costs", "meta") if name in data
            }
            if not isinstance(data.get("replica_given", False), bool):
                raise StoreError(f"card.json: replica_given {str(data['replica_given'])[:100]}; expected true or false")
            if "replica" in numbers and numbers["replica"] is None:
                raise StoreError("card.json: 'replica' is None; expected a whole number from 0")
            size = data.get("input_size")
            names = _typed(data, "class_names", (list,), StoreError)
            if names is not None and not all(isinstance(name, str) for name in names):
                raise StoreError(f"card.json: class_names {str(names)[:100]}; expected a list of text")
            _check_meta(objects.get("meta") or {}, texts.get("kind"))
            return cls(
                **texts,
                **numbers,
                **objects,
                replica_given=data.get("replica_given", False),
                training_cost=_typed(data, "training_cost", (int, float), StoreError),
                input_size=None if size is None else _sizes(size),
                class_names=None if names is None else tuple(names),
                contents=_contents_from_json(data["contents"]),
            )
        except (TypeError, ValueError, KeyError, OverflowError, CostError) as error:
            if isinstance(error, StoreError):
                raise
            raise StoreError(f"card.json of {data.get('model')!r}: {error}") from error


def check_name(noun: str, name: str) -> None:
    """A name can be seen and is no way to a folder: nothing in it is hidden or acts on a terminal."""
    if not name or name != name.strip() or name in (".", ".."):
        raise StoreError(f"{noun} name {name!r}: expected text without outer spaces, and neither . nor ..")
    if found := HIDDEN.search(name):
        raise StoreError(
            f"{noun} name {name!r}: expected text without control characters, marks of direction and signs without "
            f"width; {found[0]!a} is one, give it another name"
        )


def check_cost(value: object, what: str, *, free: bool = False) -> None:
    """A cost is a finite number above zero, or `free` of charge."""
    expected = "a finite number from 0" if free else "a finite number above 0"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise CostError(f"{what} is {_shown(value)}; expected {expected}")
    if value < 0 or (value == 0 and not free) or not value < 1e300:
        raise CostError(f"{what} is {_shown(value)}; expected {expected}")


@dataclass(frozen=True, slots=True)
class Committee:
    """An ensemble or a cascade: which members answer at each stage, and when a unit exits.

    stages : tiers of model names; a unit that reaches stage k has run every member of stages 0..k.
    thresholds : len(stages) - 1 float32 values as Python floats; exit at stage k iff confidence >= thresholds[k]; the
    last stage always exits. members : {model: {"weights", "blocks", "kind"}} as it was when the committee was chosen.

    log_odds : a number for every threshold that its float32 confidence cannot express, else None; empty where there is
    none, and then not in the JSON. A number decides in place of its threshold: exit iff log(p / (1 - p)) >= log_odds[k]
    for p = max_prob or prob_gap, iff -log(-neg_entropy) >= log_odds[k] for neg_entropy. The threshold beside it is the
    same in float32, often 1 (or 0). No other confidence has log-odds.
    """

    stages: tuple[tuple[str, ...], ...]
    thresholds: tuple[float, ...] = ()
    confidence: str = "max_prob"
    combine: str = "mean_logits"
    family: str = "cascade"
    cost: str = "flops"
    chosen_on: str | None = None
    members: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    log_odds: tuple[float | None, ...] = ()

    def __post_init__(self) -> None:
        if not self.stages or not all(self.stages):
            raise CommitteeError("a committee needs at least one stage, and each stage at least one model")
        if twice := sorted(name for name, count in Counter(self.models).items() if count > 1):
            raise CommitteeError(f"{_listed(twice)} stands more than once in the stages; a model runs once")
        if len(self.thresholds) != len(self.stages) - 1:
            raise CommitteeError(
                f"{counted(len(self.thresholds), 'threshold')} for {counted(len(self.stages), 'stage')}; "
                f"expected {len(self.stages) - 1}: one for every stage but the last"
            )
        for value in self.thresholds:
            if not math.isfinite(value):
                raise CommitteeError(f"threshold {value!r} is not finite; merge the stages instead of never exiting")
        if len(self.log_odds) not in (0, len(self.thresholds)):
            raise CommitteeError(
                f"{counted(len(self.log_odds), 'number')} of log-odds for "
                f"{counted(len(self.thresholds), 'threshold')}; expected one for each, or null"
            )
        for value, odds in zip(self.thresholds, self.log_odds, strict=False):
            if odds is not None:
                self._check_log_odds(value, odds)

    def _check_log_odds(self, threshold: float, odds: float) -> None:
        scale = scale_of(self.confidence)
        if not scale.saturates or not math.isfinite(odds):
            raise CommitteeError(f"log-odds {odds!r} for a threshold on {self.confidence}, which has none")
        (carried,) = scale.carried([threshold], [odds])
        told, _ = scale.threshold(carried)
        if abs(told - threshold) > 1e-6:
            raise CommitteeError(
                f"threshold {threshold!r} and its log-odds {odds!r}, which mean {self.confidence} {told:.8g}; change "
                f"both, or leave the log-odds out"
            )

    @property
    def carried(self) -> Carried:
        """float32 [K - 1]: the thresholds on the scale on which stage tables carry the confidence."""
        return scale_of(self.confidence).carried(self.thresholds, self.log_odds)

    def told_thresholds(self) -> list[str]:
        """What has to hold to exit at each stage but the last, as it is printed: 'max_prob >= 0.83'."""
        told = [f"{self.confidence} >= {value:.6g}" for value in self.thresholds]
        of = f"-log(-{self.confidence})" if self.confidence == "neg_entropy" else f"log-odds of {self.confidence}"
        odds = self.log_odds or (None,) * len(told)
        return [text if value is None else f"{of} >= {value:.6g}" for text, value in zip(told, odds, strict=True)]

    def with_thresholds(self, thresholds: Sequence[tuple[float, float | None]]) -> Committee:
        """The same stages with other thresholds, each with its log-odds or None."""
        odds = tuple(odds for _, odds in thresholds)
        told = any(value is not None for value in odds)
        return replace(self, thresholds=tuple(value for value, _ in thresholds), log_odds=odds if told else ())

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(model for stage in self.stages for model in stage)

    def at(self, threshold: float | None = None, *, above: float | None = None) -> Committee:
        """The same stages with one threshold for all: exit iff confidence >= threshold, or iff confidence > above."""
        if (threshold is None) == (above is None):
            raise CommitteeError("at: name one of a threshold and above=..")
        value = threshold_above(above) if threshold is None else float(threshold)  # type: ignore[arg-type]
        return self.with_thresholds([(value, None)] * (len(self.stages) - 1))

    @property
    def shape(self) -> str:
        """'single', 'ensemble' or 'cascade'."""
        return "cascade" if len(self.stages) > 1 else "ensemble" if len(self.models) > 1 else "single"

    @property
    def fingerprint(self) -> str:
        """sha256 of the identity of its members: weights where known, blocks and kind."""
        identity = {name: dict(self.members.get(name, {})) for name in sorted(self.models)}
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]

    def label(self) -> str:
        """'b3/0 | b5/0 + b5/1 | h/0..7': stages separated by bars, members of a tier joined by plus signs, three
        successive replicas or more by dots. A name that holds one of these signs stands in quotes: no two committees
        have the same label."""
        return " | ".join(map(together, self.stages))

    def to_json(self) -> dict[str, Any]:
        out = {
            "version": COMMITTEE_VERSION,
            "stages": [list(stage) for stage in self.stages],
            "thresholds": list(self.thresholds),
            "confidence": self.confidence,
            "combine": self.combine,
            "family": self.family,
            "cost": self.cost,
        }
        if self.log_odds:
            out["log_odds"] = list(self.log_odds)
        if self.chosen_on is not None:
            out["chosen_on"] = self.chosen_on
        if self.members:
            out["members"] = {name: _plain(dict(value)) for name, value in sorted(self.members.items())}
            out["fingerprint"] = self.fingerprint
        return out

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write committee.json: the deployable artefact."""
        text = json.dumps(self.to_json(), indent=1, ensure_ascii=False) + "\n"
        with written_whole(path, CommitteeError) as file:
            file.write(text.encode())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Committee:
        """Read a committee.json; CommitteeError names what is wrong with it."""
        file = Path(path)
        remedy = f"write one with `wisecommittee search --target-accuracy 0.9 --save {shlex.quote(str(file))}`"
        try:
            return cls.from_json(parse_json(read_text(file, limit=MAX_COMMITTEE, error=CommitteeError, remedy=remedy)))
        except AbsentError:
            raise
        except (CommitteeError, ValueError) as error:
            what = recognised(file) if file.is_file() else None
            if what is not None and not what.startswith("a committee"):
                raise CommitteeError(f"{file}: {what}; expected a committee, as `search --save` writes it") from error
            if not isinstance(error, CommitteeError):
                raise CommitteeError(f"{file}: not a committee in JSON ({error})") from error
            place = f"{file}: "
            raise CommitteeError(f"{place}{str(error).removeprefix(place)}") from error

    @classmethod
    def from_json(cls, data: Any) -> Committee:
        known = {f.name for f in fields(cls)} | {"fingerprint"}
        data = _checked_object(data, "committee", COMMITTEE_VERSION, known, {"stages"}, CommitteeError)
        stages = data["stages"]
        if not isinstance(stages, list) or not all(
            isinstance(stage, list) and all(isinstance(name, str) for name in stage) for stage in stages
        ):
            raise CommitteeError('committee: "stages" must be a list of lists of model names, [["a"], ["b", "c"]]')
        numbers = _float32s(data.get("thresholds", []), "thresholds")
        odds = data.get("log_odds", [])
        if not isinstance(odds, list):
            raise CommitteeError(f'committee: "log_odds" must be a list of numbers or null, not {_shown(odds)}')
        told = iter(_float32s([value for value in odds if value is not None], "log_odds"))
        texts = {
            name: _typed(data, name, (str,), CommitteeError)
            for name in ("confidence", "combine", "family", "cost", "chosen_on")
            if data.get(name) is not None
        }
        members = _members_from_json(data.get("members", {}))
        committee = cls(
            stages=tuple(tuple(stage) for stage in stages),
            thresholds=numbers,
            members=members,
            log_odds=tuple(None if value is None else next(told) for value in odds),
            **texts,
        )
        if members and data.get("fingerprint") not in (None, committee.fingerprint):
            raise CommitteeError("committee: the fingerprint does not fit the members; the file was edited by hand")
        return replace(committee, members={name: _with_current_kind(member) for name, member in members.items()})


def _float32s(values: Any, name: str) -> tuple[float, ...]:
    if not isinstance(values, list) or any(isinstance(v, bool) or not isinstance(v, (int, float)) for v in values):
        raise CommitteeError(f'committee: "{name}" must be a list of numbers, not {_shown(values)}')
    try:
        numbers = tuple(float(v) for v in values)
    except OverflowError:
        raise CommitteeError(f'committee: "{name}" {_shown(values)}: not a float32 number') from None
    if any(abs(v) > 3.4e38 for v in numbers):
        raise CommitteeError(f'committee: "{name}" {_shown(values)}: not a finite float32 number')
    return numbers


def _with_current_kind(member: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**member, "kind": OLD_KINDS[member["kind"]]} if member.get("kind") in OLD_KINDS else member


def _members_from_json(members: Any) -> Mapping[str, Mapping[str, Any]]:
    if not isinstance(members, dict) or not all(isinstance(m, dict) for m in members.values()):
        raise CommitteeError('committee: "members" must be an object of objects')
    for model, member in members.items():
        try:
            for name in ("kind", "weights"):
                _typed(member, name, (str,), CommitteeError)
            blocks = _typed(member, "blocks", (dict,), CommitteeError) or {}
            for block, value in blocks.items():
                check_cost(value, f"block {block!r}")
            if member.get("calibration") is not None:
                Calibration.from_json(member["calibration"])
        except WiseCommitteeError as error:
            raise CommitteeError(f"committee: member {model!r}: {error}") from error
    return members


def together(models: Sequence[str]) -> str:
    """The members of one stage: 'b5/0 + b5/1', 'h/0..7'."""
    runs: list[list[str]] = []
    for model in models:
        architecture, replica = split_model_name(model)
        if runs and model == f"{architecture}/{replica}" and runs[-1][-1] == f"{architecture}/{replica - 1}":
            runs[-1].append(model)
        else:
            runs.append([model])
    out: list[str] = []
    for run in runs:
        out += map(quoted, run) if len(run) < 3 else [f"{quoted(run[0])}..{split_model_name(run[-1])[1]}"]
    return " + ".join(out)


def quoted(name: str) -> str:
    """A name as a label holds it: in quotes where it could be taken for several, quotes of its own doubled."""
    return '"' + name.replace('"', '""') + '"' if re.search(r'[|+"]|\.\.', name) else name


def _plain(value: Any) -> Any:
    """Frozen dataclasses, mappings and tuples as JSON values."""
    if value is None or isinstance(value, (str, int, float)):  # most of them: a frontier has tens of thousands
        return value
    if isinstance(value, Calibration):
        return value.to_json()
    if isinstance(value, (Part, Contents)):
        values = {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
        return {name: v for name, v in values.items() if name not in ("calibration", "units") or v is not None}
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(v) for v in value]
    return value


def _typed(
    data: Mapping[str, Any], name: str, types: tuple[type, ...], error: Callable[[str], WiseCommitteeError]
) -> Any:
    value = data.get(name)
    if value is not None and (not isinstance(value, types) or isinstance(value, bool)):
        raise error(f"{name!r} is {_shown(value)}; expected {' or '.join(t.__name__ for t in types)}")
    return value


def _shown(value: Any) -> str:
    """A value that is not as it must be, short enough for a line."""
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}.."


def _checked_object(
    data: Any, what: str, version: int, known: set[str], required: set[str], error: Callable[[str], WiseCommitteeError]
) -> dict[str, Any]:
    """A JSON object of the right version with no missing and no unknown field."""
    if not isinstance(data, dict):
        raise error(f"{what}: expected a JSON object, found {type(data).__name__}")
    if "version" not in data or data["version"] != version or isinstance(data["version"], bool):
        raise error(f"{what}: version {_shown(data.get('version'))}; this release reads version {version}")
    unknown = sorted(set(data) - known - {"version"})
    if unknown:
        raise error(f"{what}: unknown field {_listed(unknown)}; known: {', '.join(sorted(known))}")
    missing = sorted(required - set(data))
    if missing:
        raise error(f"{what}: field {', '.join(map(repr, missing))} is missing")
    return data


def _listed(names: Sequence[str]) -> str:
    return ", ".join(_shown(name) for name in names[:8])


def _sizes(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or any(isinstance(s, bool) or not isinstance(s, int) or s < 1 for s in value):
        raise StoreError(f"'input_size' is {_shown(value)}; expected a list of whole numbers")
    return tuple(value)


def _check_meta(meta: Mapping[str, Any], kind: str | None) -> None:
    """The facts of `meta` that are read again are as they were written; all others are free."""
    data, members = meta.get("data"), meta.get("members", {})
    if data is not None and not isinstance(data, str):
        raise StoreError(f"'meta.data' is {_shown(data)}; expected text")
    if kind != "cell_counts" or "members" not in meta:
        return
    if not isinstance(members, dict) or not members or not all(isinstance(m, dict) for m in members.values()):
        raise StoreError(f"'meta.members' is {_shown(members)}; expected the costs of each member")
    for model, costs in members.items():
        for name, value in costs.items():
            check_cost(value, f"cost {name!r} of member {model!r}")
    cell = meta.get("cell")
    if isinstance(cell, bool) or not isinstance(cell, int) or not 0 < cell < MAX_COUNT:
        raise StoreError(f"'meta.cell' is {_shown(cell)}; expected a number of pixels")


def _contents_from_json(data: Any) -> Contents:
    if not isinstance(data, dict):
        raise StoreError(f"card.json: contents is {_shown(data)}; expected an object")
    unknown = sorted(set(data) - {f.name for f in fields(Contents)})
    if unknown:
        raise StoreError(f"card.json: unknown field {_listed(unknown)} in contents")
    parts = tuple(Part(str(p["file"]), int(p["rows"]), str(p["sha256"])) for p in data.get("parts", []))
    for part in parts:
        if not re.fullmatch(r"part-\d+-\d+\.parquet", part.file) or part.rows < 0:
            raise StoreError(f"card.json: part {part.file!r} with {part.rows} rows is not a part of a store")
    classes = data["classes"]
    return Contents(
        rows=int(data["rows"]),
        classes=None if classes is None else int(classes),
        dtype=str(data["dtype"]),
        content=str(data["content"]),
        parts=parts,
        scores=tuple(map(str, data.get("scores", ()))),
        unit_costs=tuple(map(str, data.get("unit_costs", ()))),
        graded=bool(data.get("graded", False)),
        calibration=None if data.get("calibration") is None else Calibration.from_json(data["calibration"]),
        units=None if data.get("units") is None else str(data["units"]),
    )

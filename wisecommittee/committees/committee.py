"""Committee: an ensemble or a cascade as a frozen value, and its JSON."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from wisecommittee.committees.calibration import Calibration
from wisecommittee.committees.cards import OLD_KINDS, check_cost, plain, split_model_name
from wisecommittee.committees.confidence import scale_of, threshold_above
from wisecommittee.committees.fields import checked_object, listed, shown, typed
from wisecommittee.committees.scale import Carried
from wisecommittee.errors import CommitteeError, WiseCommitteeError, counted
from wisecommittee.reading import parse_json, read_text
from wisecommittee.writing import written_whole

COMMITTEE_VERSION = 1
MAX_COMMITTEE = 4 << 20  # bytes of a committee.json


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
            raise CommitteeError(f"{listed(twice)} stands more than once in the stages; a model runs once")
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
            out["members"] = {name: plain(dict(value)) for name, value in sorted(self.members.items())}
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
        text = read_text(file, limit=MAX_COMMITTEE, error=CommitteeError, remedy=remedy)
        try:
            return cls.from_json(parse_json(text))
        except CommitteeError as error:
            raise CommitteeError(f"{file}: {error}") from error
        except ValueError as error:
            raise CommitteeError(f"{file}: not a committee in JSON ({error})") from error

    @classmethod
    def from_json(cls, data: Any) -> Committee:
        known = {f.name for f in fields(cls)} | {"fingerprint"}
        data = checked_object(data, "committee", COMMITTEE_VERSION, known, {"stages"}, CommitteeError)
        stages = data["stages"]
        if not isinstance(stages, list) or not all(
            isinstance(stage, list) and all(isinstance(name, str) for name in stage) for stage in stages
        ):
            raise CommitteeError('committee: "stages" must be a list of lists of model names, [["a"], ["b", "c"]]')
        numbers = _float32s(data.get("thresholds", []), "thresholds")
        odds = data.get("log_odds", [])
        if not isinstance(odds, list):
            raise CommitteeError(f'committee: "log_odds" must be a list of numbers or null, not {shown(odds)}')
        told = iter(_float32s([value for value in odds if value is not None], "log_odds"))
        texts = {
            name: typed(data, name, (str,), CommitteeError)
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
        raise CommitteeError(f'committee: "{name}" must be a list of numbers, not {shown(values)}')
    try:
        numbers = tuple(float(v) for v in values)
    except OverflowError:
        raise CommitteeError(f'committee: "{name}" {shown(values)}: not a float32 number') from None
    if any(abs(v) > 3.4e38 for v in numbers):
        raise CommitteeError(f'committee: "{name}" {shown(values)}: not a finite float32 number')
    return numbers


def _with_current_kind(member: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**member, "kind": OLD_KINDS[member["kind"]]} if member.get("kind") in OLD_KINDS else member


def _members_from_json(members: Any) -> Mapping[str, Mapping[str, Any]]:
    if not isinstance(members, dict) or not all(isinstance(m, dict) for m in members.values()):
        raise CommitteeError('committee: "members" must be an object of objects')
    for model, member in members.items():
        try:
            for name in ("kind", "weights"):
                typed(member, name, (str,), CommitteeError)
            blocks = typed(member, "blocks", (dict,), CommitteeError) or {}
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

"""Committee: an ensemble or a cascade as a frozen value, and its JSON."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from wisecommittee.committees.charging import RecordedCost, costs_from_json, overhead_from_json, stage_costs
from wisecommittee.committees.confidence import threshold_above
from wisecommittee.committees.fields import check_cost, checked_object, listed, plain, shown, typed
from wisecommittee.committees.model_names import OLD_KINDS, split_model_name
from wisecommittee.committees.policies import policy_from_json
from wisecommittee.committees.policies.mixing import Mixing
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.committees.policy import MOST_STAGES, Policy, Route
from wisecommittee.errors import AbsentError, CommitteeError, WiseCommitteeError

COMMITTEE_VERSION = 1
FORMS = ("free_form", "ignore_case")  # of answers, as tasks/text.py names them
MAX_COMMITTEE = 4 << 20  # bytes of a committee.json


@dataclass(frozen=True, slots=True)
class Committee:
    """An ensemble or a cascade: the members of every stage, and the policy that decides when a unit exits.

    Parameters
    ----------
    stages : tuple of tuples of str
        The models that each stage adds.
    policy : Policy
        Decides after every stage but the last whether a unit exits, and which stage it runs next.
    confidence : str
        Name of the confidence function (confidence.py), or of a score that the store holds for every member.
    combine : str
        Name of the rule that turns the outputs of several members into one prediction (combine.py).
    family : str
        The family of combinations that the search chose it from (families/).
    cost : str
        Name of the cost that it is charged in.
    chosen_on : str or None
        The split it was chosen on.
    labels_from : str or None
        The model whose predictions were the labels when it was chosen, so that its quality is agreement with that
        model; None: the labels of the split.
    members : {model: {"kind", "blocks", "weights", "calibration"}}
        The members' cards at the time of the choice.
    parallel : tuple of str
        Costs of which a stage takes that of its dearest member, because its members run at the same time, such as a
        latency; all others add up.
    guarantee : tuple of {"statement", "delta", "n", "method", "holds", "smallest_margin", "calibration_hash"}
        Statements about the committee that were shown when it was chosen. Evaluation and deployment ignore them.
    expected : {"quality", "interval", "average_cost", "cost_interval", ..} or None
        The figures that were expected of new units when it was chosen. Evaluation and deployment ignore them.
    costs : {model: number, {model: number} or None}
        What a unit costs, of members that are not charged by their blocks; None where that varies per unit. An object
        has the costs of the models for which counts of pixels stand. Evaluation takes the store's costs.
    stage_overhead : float
        What every stage costs for a unit beside its members. Evaluation takes that of the store.
    answer_form : str or None
        How the store compares the members' answers: 'free_form' or 'ignore_case' (tasks/text.py); None: as they stand,
        but for white space. A runtime compares them in the same way.
    provenance : {"versions", "store", "query", "searched", ..} or None
        What it was chosen with (searches/provenance.py). Evaluation and deployment ignore it, and committees that
        differ in it alone are equal.

    Raises
    ------
    CommitteeError
        There is no stage, a model is in two stages, or the policy does not fit the stages.

    Examples
    --------
    >>> Committee((("b3/0",), ("b5/0", "b5/1")), Thresholds((0.83,))).label()
    'b3/0 | b5/0 + b5/1'
    """

    stages: tuple[tuple[str, ...], ...]
    policy: Policy = field(default_factory=Thresholds)
    confidence: str = "max_prob"
    combine: str = "mean_logits"
    family: str = "cascade"
    cost: str = "flops"
    chosen_on: str | None = None
    labels_from: str | None = None
    members: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    parallel: tuple[str, ...] = ()
    guarantee: tuple[Mapping[str, Any], ...] = ()
    expected: Mapping[str, Any] | None = None
    costs: Mapping[str, RecordedCost] = field(default_factory=dict, compare=False)
    stage_overhead: float = field(default=0.0, compare=False)
    answer_form: str | None = field(default=None, compare=False)
    provenance: Mapping[str, Any] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not self.stages or not all(self.stages):
            raise CommitteeError("a committee needs at least one stage, and each stage at least one model")
        if twice := sorted(name for name, count in Counter(self.models).items() if count > 1):
            raise CommitteeError(f"{listed(twice)} stands more than once in the stages; a model runs once")
        if len(self.stages) > MOST_STAGES:
            raise CommitteeError(f"{len(self.stages):,} stages; expected at most {MOST_STAGES:,}")
        if not isinstance(self.policy, Policy):
            raise CommitteeError(f"policy {shown(self.policy)}; expected a policy, such as Thresholds((0.8,))")
        self.policy.check(len(self.stages), self.confidence)
        self.policy.check_members(self.stages)

    @property
    def parts(self) -> tuple[Committee, ...]:
        """The committees one of which each unit runs: the parts of a mixture, else the committee alone."""
        return self.policy.parts if isinstance(self.policy, Mixing) else (self,)

    @property
    def answers(self) -> bool:
        """Whether the policy, or that of a part, answers instead of the combination of the members."""
        return any(part.policy.answers for part in self.parts)

    @property
    def abstains(self) -> bool:
        """Whether units may get no answer."""
        return any(part.policy.abstains for part in self.parts)

    @property
    def routes(self) -> tuple[Route, ...]:
        """The sequences of stages after which a unit can exit, in lexicographic order; of a cascade that runs its
        stages in order, (0,), (0, 1), .., (0, .., K - 1)."""
        policy, listed_routes = self.policy, self.policy.routes(len(self.stages))
        every = set(listed_routes)
        if not policy.unordered:
            every |= {route[:n] for route in listed_routes for n in range(1, len(route))}
        order = "ascending" if policy.unordered else "different"
        for route in every:
            sound = len(set(route)) == len(route) and set(route) <= set(range(len(self.stages)))
            if not route or not sound or (policy.unordered and list(route) != sorted(route)):
                raise CommitteeError(
                    f"policy {policy.kind!r}: route {list(route)}; expected {order} stages from 0 to "
                    f"{len(self.stages) - 1}"
                )
        return tuple(sorted(every))

    @property
    def nested(self) -> bool:
        """Whether units run all stages in order, up to the one at which they exit."""
        return len(self.routes) == len(self.stages) and self.routes[-1] == tuple(range(len(self.stages)))

    def decides_as(self, other: Committee) -> bool:
        """Whether the other one runs the same members and gives the same answers to the same units."""
        return self.stages == other.stages and self.policy == other.policy

    @property
    def thresholds(self) -> Thresholds:
        """The policy, if it is Thresholds; CommitteeError for any other policy."""
        if not isinstance(self.policy, Thresholds):
            raise CommitteeError(f"{self.label()} exits by {self.policy.kind!r}; expected a committee with thresholds")
        return self.policy

    def conditions(self) -> list[str]:
        """The condition to exit at each stage but the last, as text: 'max_prob >= 0.83'."""
        return self.policy.conditions(len(self.stages), self.confidence)

    @property
    def models(self) -> tuple[str, ...]:
        """All members, in the order of the stages."""
        return tuple(model for stage in self.stages for model in stage)

    def at(self, threshold: float | None = None, *, above: float | None = None) -> Committee:
        """The same stages with one threshold for all of them.

        Parameters
        ----------
        threshold : float
            Exit iff confidence >= threshold.
        above : float
            Exit iff confidence > above, instead of `threshold`.

        Returns
        -------
        Committee

        Raises
        ------
        CommitteeError
            Not exactly one of the two is given.
        """
        if (threshold is None) == (above is None):
            raise CommitteeError("at: name one of a threshold and above=..")
        value = threshold_above(above) if threshold is None else float(threshold)  # type: ignore[arg-type]
        policy = Thresholds((value,) * (len(self.stages) - 1))
        return self.altered(policy=policy)

    def altered(self, **changes: Any) -> Committee:
        """The committee with other values of these fields, without what was found of the committee that it was: its
        guarantee, its expected figures and its provenance."""
        return replace(self, **{"guarantee": (), "expected": None, "provenance": None, **changes})

    def stage_costs(self, part: int = 0) -> dict[Route, float | None]:
        """What a unit costs that exits after each route, as `evaluate` charges it.

        Parameters
        ----------
        part : int
            Of a mixture, the part whose routes are meant; each part has routes over its own stages.

        Returns
        -------
        {tuple of int: float or None}
            In units of the committee's cost: blocks that members share once, stages whose members run at the same time
            as their dearest member, and what the policy itself costs. None where a member's cost varies per unit, or
            the committee does not record it.

        Examples
        --------
        >>> members = {"a": {"blocks": {"trunk": 8, "a": 2}}, "b": {"blocks": {"trunk": 8, "b": 5}}}
        >>> Committee((("a",), ("b",)), Thresholds((0.8,)), members=members).stage_costs()
        {(0,): 10.0, (0, 1): 15.0}
        """
        return stage_costs(self, part)

    @property
    def shape(self) -> str:
        """'single', 'ensemble' or 'cascade'."""
        return "cascade" if len(self.stages) > 1 else "ensemble" if len(self.models) > 1 else "single"

    @property
    def fingerprint(self) -> str:
        """sha256 of the identity of its members: weights where known, blocks and kind."""
        import hashlib
        import json

        identity = {name: dict(self.members.get(name, {})) for name in sorted(self.models)}
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]

    def label(self) -> str:
        """The committee in one line: 'b3/0 | b5/0 + b5/1 | h/0..7'.

        Bars separate stages, plus signs the members of a stage; two dots stand for three or more successive replicas. A
        name that contains one of these signs is quoted, so that no two committees have the same label. A policy
        other than thresholds stands behind them; a mixture has the share of the second of its parts.
        """
        if isinstance(self.policy, Mixing):
            first, second = (part.label() for part in self.parts)
            return f"{first}, or on {100 * self.policy.share:.1f} % of the units {second}"
        stages = " | ".join(map(together, self.stages))
        return stages if isinstance(self.policy, Thresholds) else f"{stages} ({self.policy.kind})"

    def to_json(self) -> dict[str, Any]:
        """The contents of committee.json.

        A committee with thresholds has the fields `thresholds` and `log_odds`; with any other policy, `thresholds` is
        null and there is the field `policy`.
        """
        out: dict[str, Any] = {"version": COMMITTEE_VERSION, "stages": [list(stage) for stage in self.stages]}
        thresholds = self.policy if isinstance(self.policy, Thresholds) else None
        out["thresholds"] = None if thresholds is None else list(thresholds.values)
        out |= {name: getattr(self, name) for name in ("confidence", "combine", "family", "cost")}
        if self.parallel:
            out["parallel"] = list(self.parallel)
        if thresholds is None:
            out["policy"] = self.policy.to_json()
        elif thresholds.log_odds:
            out["log_odds"] = list(thresholds.log_odds)
        if self.chosen_on is not None:
            out["chosen_on"] = self.chosen_on
        if self.labels_from is not None:
            out["labels_from"] = self.labels_from
        if costs := {name: plain(self.costs[name]) for name in sorted(self.models) if name in self.costs}:
            out["costs"] = costs
        if self.stage_overhead:
            out["stage_overhead"] = self.stage_overhead
        if self.answer_form is not None:
            out["answer_form"] = self.answer_form
        if self.members:
            out["members"] = {name: plain(dict(value)) for name, value in sorted(self.members.items())}
            out["fingerprint"] = self.fingerprint
        if self.guarantee:
            out["guarantee"] = [dict(each) for each in self.guarantee]
        if self.expected is not None:
            out["expected"] = dict(self.expected)
        if self.provenance is not None:
            out["provenance"] = dict(self.provenance)
        return out

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a committee.json, the file that `deploy` and `evaluate` take."""
        import json

        from wisecommittee.writing import written_whole

        text = json.dumps(self.to_json(), indent=1, ensure_ascii=False) + "\n"
        with written_whole(path, CommitteeError) as file:
            file.write(text.encode())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Committee:
        """Read a committee.json.

        Parameters
        ----------
        path : path

        Returns
        -------
        Committee

        Raises
        ------
        AbsentError
            There is no such file.
        CommitteeError
            The file is no committee; the message names the field that is wrong.
        """
        import shlex
        from pathlib import Path

        from wisecommittee.reading import parse_json, read_text, recognised

        file = Path(path)
        remedy = f"write one with `wisecommittee search --target-accuracy 0.9 --save {shlex.quote(str(file))}`"
        try:
            return cls.from_json(parse_json(read_text(file, limit=MAX_COMMITTEE, error=CommitteeError, remedy=remedy)))
        except AbsentError:
            raise
        except (CommitteeError, ValueError) as error:
            kind = recognised(file) if file.is_file() else None
            if kind is not None and not kind.startswith("a committee"):
                raise CommitteeError(f"{file}: {kind}; expected a committee, as `search --save` writes it") from error
            if not isinstance(error, CommitteeError):
                raise CommitteeError(f"{file}: not a committee in JSON ({error})") from error
            prefix = f"{file}: "
            raise CommitteeError(f"{prefix}{str(error).removeprefix(prefix)}") from error

    @classmethod
    def from_json(cls, data: Any) -> Committee:
        """A committee from the contents of committee.json; CommitteeError for anything else."""
        known = {f.name for f in fields(cls)} | {"thresholds", "log_odds", "fingerprint"}
        data = checked_object(data, "committee", COMMITTEE_VERSION, known, {"stages"}, CommitteeError)
        stages = data["stages"]
        if not isinstance(stages, list) or not all(
            isinstance(stage, list) and all(isinstance(name, str) for name in stage) for stage in stages
        ):
            raise CommitteeError('committee: "stages" must be a list of lists of model names, [["a"], ["b", "c"]]')
        texts = {
            name: typed(data, name, (str,), CommitteeError)
            for name in ("confidence", "combine", "family", "cost", "chosen_on", "labels_from")
            if data.get(name) is not None
        }
        members = _members_from_json(data.get("members", {}))
        guarantee = _guarantee_from_json(data.get("guarantee", []))
        expected, provenance = data.get("expected"), data.get("provenance")
        if not isinstance(expected, dict | None):
            raise CommitteeError('committee: "expected" must be an object of figures')
        if not isinstance(provenance, dict | None):
            raise CommitteeError('committee: "provenance" must be an object')
        form = data.get("answer_form")
        if form not in (None, *FORMS):
            raise CommitteeError(f'committee: "answer_form" is {shown(form)}; expected {" or ".join(FORMS)}')
        parallel = data.get("parallel", [])
        if not isinstance(parallel, list) or not all(isinstance(name, str) for name in parallel):
            raise CommitteeError('committee: "parallel" must be a list of names of costs, ["latency_ms"]')
        committee = cls(
            tuple(map(tuple, stages)),
            _policy_from_json(data),
            members=members,
            parallel=tuple(parallel),
            guarantee=guarantee,
            expected=expected,
            costs=costs_from_json(data.get("costs", {})),
            answer_form=form,
            stage_overhead=overhead_from_json(data.get("stage_overhead", 0)),
            provenance=provenance,
            **texts,
        )
        if members and data.get("fingerprint") not in (None, committee.fingerprint):
            raise CommitteeError("committee: the fingerprint does not fit the members; the file was edited by hand")
        return replace(committee, members={name: _with_current_kind(member) for name, member in members.items()})


def _policy_from_json(data: Mapping[str, Any]) -> Policy:
    """The policy in the fields `thresholds` and `log_odds` of a committee.json, or in its field `policy`."""
    values = _float32s([] if data.get("thresholds") is None else data["thresholds"], "thresholds")
    odds = data.get("log_odds", [])
    if not isinstance(odds, list):
        raise CommitteeError(f'committee: "log_odds" must be a list of numbers or null, not {shown(odds)}')
    numbers = iter(_float32s([value for value in odds if value is not None], "log_odds"))
    thresholds = Thresholds(values, tuple(None if value is None else next(numbers) for value in odds))
    if data.get("policy") is None:
        return thresholds
    given = data["policy"]
    if isinstance(given, dict) and given.get("kind") == Mixing.kind:
        given = {**given, "parts": _parts_from_json(given.get("parts"))}
    policy = policy_from_json(given)
    if isinstance(policy, Thresholds) or thresholds != Thresholds():
        raise CommitteeError('committee: "policy" is for kinds without thresholds, which stand in "thresholds" alone')
    return policy


def _parts_from_json(parts: Any) -> list[Committee]:
    """The committees that a mixture has; CommitteeError for anything else."""
    if not isinstance(parts, list) or len(parts) != 2:
        raise CommitteeError("policy 'mixing': \"parts\" must be a list of two committees")
    for part in parts:
        kind = part.get("policy", {}) if isinstance(part, dict) else None
        if isinstance(kind, dict) and kind.get("kind") == Mixing.kind:
            raise CommitteeError("policy 'mixing': a part that mixes itself; expected other kinds of policy")
    return [Committee.from_json(part) for part in parts]


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


def _guarantee_from_json(guarantee: Any) -> tuple[Mapping[str, Any], ...]:
    if not isinstance(guarantee, list) or not all(isinstance(each, dict) and "statement" in each for each in guarantee):
        raise CommitteeError('committee: "guarantee" must be a list of objects with a "statement"')
    return tuple(guarantee)


def _members_from_json(members: Any) -> Mapping[str, Mapping[str, Any]]:
    if not isinstance(members, dict) or not all(isinstance(m, dict) for m in members.values()):
        raise CommitteeError('committee: "members" must be an object of objects')
    from wisecommittee.committees.calibration import Calibration

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
    """A name as a label holds it: quoted if it contains a sign of labels; quotes inside it are doubled."""
    return '"' + name.replace('"', '""') + '"' if re.search(r'[|+"]|\.\.', name) else name

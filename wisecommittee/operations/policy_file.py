"""The file of a policy that another tool chose: JSON of models, thresholds, rule and what the tool claims of it.

    {"models": ["small", "large"],               the models in the order in which they run, or
     "stages": [["small"], ["mid", "large"]],    the models that each stage adds
     "thresholds": [0.9],                        one for each stage but the last
     "confidence": "max_prob",                   or "rule"; by default max_prob, of answers "confidence"
     "combine": "last",                          the default: the newest model answers alone
     "comparison": ">=",                         the default: exit if confidence >= threshold; or ">"
     "claimed": {"accuracy": 0.95, "average_cost": 0.002, "cost": "usd"}}      or "quality"; each may be missing

A committee.json is such a file too; "claimed" may be added to it. Nothing of a file is executed, and unknown fields are
refused.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wisecommittee.committees.committee import MAX_COMMITTEE, Committee
from wisecommittee.committees.confidence import threshold_above
from wisecommittee.committees.fields import shown, typed
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.errors import CommitteeError
from wisecommittee.operations.policy_fields import claims, listed_field, number, refuse_unknown
from wisecommittee.reading import parse_json, read_text, recognised

FIELDS = {"models", "stages", "thresholds", "confidence", "rule", "combine", "comparison", "claimed"}
COMPARISONS = (">=", ">")
REMEDY = "write the policy as JSON, as `wisecommittee audit --help` shows"


@dataclass(frozen=True, slots=True)
class ClaimedPolicy:
    """A policy and the figures that a tool claims of it.

    Parameters
    ----------
    stages : tuple of tuples of str
    thresholds : tuple of float
        Exit iff confidence >= threshold.
    confidence, combine : str or None
        None if the file names none.
    committee : Committee or None
        The whole committee, if the file is a committee.json.
    quality, average_cost : float or None
        The claims; None where there is none.
    cost : str or None
        The name of the cost that is claimed.
    """

    stages: tuple[tuple[str, ...], ...]
    thresholds: tuple[float, ...]
    confidence: str | None
    combine: str | None
    committee: Committee | None
    quality: float | None
    average_cost: float | None
    cost: str | None

    def to_committee(self, confidence: str, cost: str) -> Committee:
        """The policy as a committee. confidence, cost : where the file names none."""
        if self.committee is not None:
            return self.committee
        policy, rule = Thresholds(self.thresholds), self.combine or "last"
        return Committee(self.stages, policy, self.confidence or confidence, rule, cost=self.cost or cost)


def read_policy(path: str | os.PathLike[str]) -> ClaimedPolicy:
    """Read the file of a policy.

    Parameters
    ----------
    path : path

    Returns
    -------
    ClaimedPolicy

    Raises
    ------
    AbsentError
        There is no such file.
    CommitteeError
        The file is no policy; the message names the field that is wrong.
    """
    file = os.fspath(path)
    text = read_text(file, limit=MAX_COMMITTEE, error=CommitteeError, remedy=REMEDY)
    try:
        return policy_from_json(parse_json(text))
    except ValueError as error:
        kind = recognised(file)
        why = f"{kind}; expected a policy" if kind else f"not JSON ({error})"
        raise CommitteeError(f"{file}: {why}; {REMEDY}") from error
    except CommitteeError as error:
        raise CommitteeError(f"{file}: {error}") from error


def policy_from_json(data: Any) -> ClaimedPolicy:
    """A policy from the contents of its file; CommitteeError for anything else."""
    if not isinstance(data, dict):
        raise CommitteeError(f"a policy is a JSON object, not {shown(data)}")
    claimed = claims(data.get("claimed"))
    if "version" in data:
        committee = Committee.from_json({name: value for name, value in data.items() if name != "claimed"})
        values = committee.policy.values if isinstance(committee.policy, Thresholds) else ()
        return ClaimedPolicy(committee.stages, values, committee.confidence, committee.combine, committee, **claimed)
    refuse_unknown(data, FIELDS, "policy")
    if ("models" in data) == ("stages" in data):
        raise CommitteeError('policy: expected one of "models", a list of names, and "stages", a list of such lists')
    if "confidence" in data and "rule" in data:
        raise CommitteeError('policy: "confidence" and "rule" are two names of one field; leave one out')
    texts = {
        name: typed(data, name, (str,), CommitteeError) for name in ("confidence", "rule", "combine", "comparison")
    }
    comparison = texts["comparison"] or COMPARISONS[0]
    if comparison not in COMPARISONS:
        raise CommitteeError(f'policy: "comparison" is {shown(comparison)}; expected ">=" or ">"')
    stages = _stages(data)
    thresholds = [number(value, f"threshold {k + 1}") for k, value in enumerate(listed_field(data, "thresholds"))]
    if comparison == ">":
        thresholds = [threshold_above(value) for value in thresholds]
    if len(thresholds) != len(stages) - 1:
        raise CommitteeError(
            f"policy: {len(thresholds)} thresholds for {len(stages)} stages; expected {len(stages) - 1}: one for each "
            f"stage but the last"
        )
    confidence = texts["confidence"] or texts["rule"]
    return ClaimedPolicy(stages, tuple(thresholds), confidence, texts["combine"], None, **claimed)


def _stages(data: Mapping[str, Any]) -> tuple[tuple[str, ...], ...]:
    named = [[name] for name in listed_field(data, "models")] if "models" in data else listed_field(data, "stages")
    if not named or not all(isinstance(stage, list) and stage for stage in named):
        raise CommitteeError('policy: expected at least one stage, and in "stages" a list of model names for each')
    if wrong := [name for stage in named for name in stage if not isinstance(name, str)]:
        raise CommitteeError(f"policy: {shown(wrong[0])} among the models; expected their names as text")
    return tuple(map(tuple, named))

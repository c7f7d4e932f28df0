"""The kinds of policies, one file each, and the dict of them by name.

May be added: a file with a frozen, slotted subclass of `Policy` (committees/policy.py), and its line in POLICIES.
"""

from __future__ import annotations

from dataclasses import MISSING, fields
from importlib import import_module
from typing import Any, cast

from wisecommittee.committees.fields import listed, shown
from wisecommittee.committees.policies.mixing import Mixing
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.committees.policy import Policy
from wisecommittee.errors import CommitteeError

ABSTAINING = "abstaining"
POLICIES: dict[str, type[Policy] | str] = {  # a name stands for the class in the file KIND.py: loaded when it is needed
    "thresholds": Thresholds,
    "mixing": Mixing,
    ABSTAINING: "Abstaining",
    "agreement": "Agreement",
    "window": "Window",
    "labels": "Labels",
    "router": "Router",
    "deferral": "Deferral",
    "adaptive": "Adaptive",
}


def policy_of_kind(kind: str) -> type[Policy]:
    """The class of a kind of policy."""
    named = POLICIES[kind]
    if isinstance(named, str):
        file = import_module(f"wisecommittee.committees.policies.{kind}")
        named = POLICIES[kind] = cast(type[Policy], getattr(file, named))
    return named


def policy_from_json(data: Any) -> Policy:
    """The policy that `to_json` wrote; CommitteeError for anything else."""
    if not isinstance(data, dict) or not isinstance(data.get("kind"), str):
        raise CommitteeError(f'"policy" is {shown(data)}; expected an object with the text "kind"')
    if data["kind"] not in POLICIES:
        raise CommitteeError(f"policy of kind {shown(data['kind'])}; known: {', '.join(sorted(POLICIES))}")
    policy = policy_of_kind(data["kind"])
    known = {f.name: f for f in fields(policy) if f.init}  # type: ignore[arg-type]
    given = {name: value for name, value in data.items() if name != "kind"}
    if unknown := sorted(set(given) - set(known)):
        raise CommitteeError(f"policy {policy.kind!r}: unknown field {listed(unknown)}; known: {listed(sorted(known))}")
    required = {f.name for f in known.values() if f.default is MISSING and f.default_factory is MISSING}
    if missing := sorted(required - set(given)):
        raise CommitteeError(f"policy {policy.kind!r}: field {listed(missing)} is missing")
    if policy.kind == ABSTAINING:
        given["policy"] = _inner_policy(given["policy"])
    try:
        return policy(**{name: _frozen(value) for name, value in given.items()})
    except (TypeError, ValueError, OverflowError, ArithmeticError) as error:
        raise CommitteeError(f"policy {policy.kind!r}: {error}") from error


def _inner_policy(data: Any) -> Policy:
    """The policy of a committee that abstains."""
    if isinstance(data, dict) and data.get("kind") in (ABSTAINING, Mixing.kind):
        raise CommitteeError(f"policy {ABSTAINING!r} of a policy {data['kind']!r}; expected another kind")
    return policy_from_json(data)


def _frozen(value: Any) -> Any:
    """A JSON value with its lists as tuples."""
    if isinstance(value, list):
        return tuple(map(_frozen, value))
    return {name: _frozen(item) for name, item in value.items()} if isinstance(value, dict) else value

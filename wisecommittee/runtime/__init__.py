"""A committee at work on any callables: functions, sessions, clients of services; needs numpy and nothing else.

May be added: another way to feed units through `Waiting` (committees/walk.py), as the queues do. The policy decides, as
in an evaluation, and the tests compare the two unit by unit. Members that are torch modules: deployment/.
"""

from __future__ import annotations

from wisecommittee.runtime.decisions import Decisions
from wisecommittee.runtime.members import Member, Outputs
from wisecommittee.runtime.runtime import Runtime

__all__ = ["Decisions", "Member", "Outputs", "Runtime"]

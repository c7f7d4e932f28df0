"""Families: which combinations of members exist. One file per family, each with one value `FAMILY`.

May be added: a family that enumerates sequences of stages from cards alone, without evaluating them.
"""

from __future__ import annotations

from wisecommittee.committees.families import anytime, cascade, ensemble, halting, self_cascade
from wisecommittee.committees.families.family import Family
from wisecommittee.errors import UnknownNameError

FAMILIES = {
    family.name: family
    for family in (cascade.FAMILY, ensemble.FAMILY, anytime.FAMILY, halting.FAMILY, self_cascade.FAMILY)
}


def family_named(name: str) -> Family:
    """The family of that name; UnknownNameError if there is none."""
    if name not in FAMILIES:
        raise UnknownNameError("family", name, FAMILIES)
    return FAMILIES[name]

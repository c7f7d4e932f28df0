"""Which combinations of members exist: one file per family, each with one function `combinations`.

May be added: a family that enumerates member sequences from cards alone; how they are evaluated is not its business.
"""

from __future__ import annotations

from wisecommittee.committees.families import cascade, ensemble
from wisecommittee.errors import UnknownNameError

FAMILIES = {"cascade": cascade, "ensemble": ensemble}


def family_named(name: str):  # type: ignore[no-untyped-def]  # a module
    if name not in FAMILIES:
        raise UnknownNameError("family", name, FAMILIES)
    return FAMILIES[name]

"""Which models a list of patterns means: 'b*' all that it matches, '!b7' all but b7, 'a,b' both a and b.

A pattern that is a name, or matches one, is taken as a whole: a model called 'a,b' or '!x' is reached by its name.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Sequence

from wisecommittee.errors import AbsentError, AbsentNameError, UsageError

SHOWN = 12  # names in an error


def selected(names: Sequence[str], patterns: Sequence[str], where: str) -> set[str]:
    """The names that a pattern matches, less those that a pattern after ! matches; where all patterns begin with !, all
    names less those. A pattern that matches nothing is an error, and so is an empty result.

    where : the split of the names, for messages.
    """
    included: set[str] = set()
    excluded: set[str] = set()
    rules = [rule for pattern in patterns for rule in _rules(names, pattern, where)]
    for without, names_of_rule in rules:
        (excluded if without else included).update(names_of_rule)
    if all(without for without, _ in rules):
        included = set(names)
    if not included - excluded:
        raise AbsentError(f"{','.join(patterns)!r} leaves none of the {len(names):,} models in {where}")
    return included - excluded


def _rules(names: Sequence[str], pattern: str, where: str) -> Iterator[tuple[bool, set[str]]]:
    """(whether the names are excluded, names) for each part of a pattern."""
    if matches := _matching(names, pattern):
        yield False, matches
    elif pattern.startswith("!") and (matches := _matching(names, pattern[1:])):
        yield True, matches
    elif "," in pattern:
        for part in pattern.split(","):
            yield from _rules(names, part.strip(), where)
    elif not pattern.removeprefix("!"):
        raise UsageError(f"models {pattern!r}: expected a name or a glob on both sides of a comma and after !")
    elif set("*?[") & set(pattern):
        known = ", ".join(sorted(names)[:SHOWN]) + (f", and {len(names) - SHOWN:,} more" if len(names) > SHOWN else "")
        raise AbsentError(f"no model in {where} matches {pattern.removeprefix('!')!r}; there are {known}")
    else:
        raise AbsentNameError(f"model in {where}", pattern.removeprefix("!"), names)


def _matching(names: Sequence[str], pattern: str) -> set[str]:
    return {name for name in names if name == pattern or fnmatch.fnmatchcase(name, pattern)}

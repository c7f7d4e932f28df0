"""Patterns of model names against their definition, and names that look like patterns."""

from __future__ import annotations

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pools import cases

from wisecommittee.errors import AbsentError, AbsentNameError, UsageError
from wisecommittee.searches.stages.patterns import selected

NAMES = ["a/0", "a/1", "b/0", "c", "xxl"]


@cases(300)
@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from([*NAMES, "a/*", "*0", "?", "*"])), min_size=1, max_size=5),
    st.data(),
)
def test_patterns_are_unions_less_exclusions(rules, data):
    """By hand, with the rules cut into lists of commas anywhere."""
    included = {n for n in NAMES if any(not out and fnmatch.fnmatchcase(n, p) for out, p in rules)}
    if all(out for out, _ in rules):
        included = set(NAMES)
    expected = {n for n in included if not any(out and fnmatch.fnmatchcase(n, p) for out, p in rules)}
    patterns = [""]
    for out, p in rules:
        text = "!" * out + p
        if patterns[-1] and data.draw(st.booleans()):
            patterns[-1] += "," + " " * data.draw(st.integers(0, 1)) + text
        else:
            patterns.append(text)
    if expected:
        assert selected(NAMES, patterns[1:], "val") == expected
    else:
        with pytest.raises(AbsentError, match="leaves none of the 5 models in val"):
            selected(NAMES, patterns[1:], "val")


def test_names_that_look_like_patterns_are_reached():
    names = ["a", "b", "a,b", "!a", "!a,b", "[x]", "c,!d"]
    assert selected(names, ["a,b"], "val") == {"a,b"}
    assert selected(names, ["a", "b"], "val") == {"a", "b"}
    assert selected(names, ["!a"], "val") == {"!a"}
    assert selected(names, ["*", "!!a"], "val") == {*names} - {"!a"}
    assert selected(names, ["!a,b"], "val") == {"!a,b"}
    assert selected(names, ["!!a,b"], "val") == {*names} - {"!a,b"}
    assert selected(names, ["[x]"], "val") == selected(names, ["[[]x]"], "val") == {"[x]"}
    assert selected(names, ["c,!d"], "val") == {"c,!d"}
    assert selected([*names[:2], "a,b"], ["!a,b"], "val") == {"a", "b"}


@pytest.mark.parametrize("patterns", [["xl"], ["!xl"], ["a/0,xl"], ["*,!xl"], ["A/0"], ["a/0 b/0"]])
def test_what_matches_nothing_is_an_error(patterns):
    with pytest.raises(AbsentNameError, match="unknown model in val"):
        selected(NAMES, patterns, "val")


@pytest.mark.parametrize("patterns", [[""], ["!"], ["a/0,"], [",a/0"], ["a/0,,b/0"], ["a/0, !"]])
def test_a_missing_part_is_wrong_usage(patterns):
    with pytest.raises(UsageError, match="expected a name or a glob"):
        selected(NAMES, patterns, "val")

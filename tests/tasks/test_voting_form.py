"""The form in which free answers vote: equal for answers that mean the same, itself when formed again, and short."""

from __future__ import annotations

import random

import pytest

from wisecommittee.tasks.text import MOST_CHARACTERS, comparable, form_of_answers, voting_form

ALIKE = {
    "1234.5": [
        "$1,234.50",
        "1234.5",
        r"\$1,234.5",
        "**1,234.50**",
        r"So it is \boxed{1234.5}.",
        '"1234.5".',
        "+1234.5",
    ],
    "50": ["50%", r"50\%", "50.", "50.0", " 50 ", "$50$", r"\(50\)", "050"],
    "-3": ["-3", "-3.0", "-$3", "$-3", r"\boxed{\boxed{-3}}"],
    "0.5": [".5", "0.50", "0.5."],
    "paris": ["Paris", "PARIS.", "*Paris*", "`paris`", '"Paris"', "'paris'", "“Paris”", "  Paris\n", "Paris..."],
    r"\frac{1}{2}": [
        r"\boxed{\frac{1}{2}}",
        r"\boxed{7} or rather \boxed{\frac{1}{2}}",
        r"\boxed{\frac{1}{2}} \boxed{",
    ],
    "don't": ["Don't", "don't."],
    "": ["", " ", "...", r"\boxed{}"],
}
APART = [("1,23", "123"), ("1.5", "15"), ("A", "B"), ("5 apples", "5"), ("-5", "5"), ('"a" and "b"', 'a" and "b')]


@pytest.mark.parametrize("form", ALIKE)
def test_answers_that_mean_the_same_have_one_form(form):
    assert {answer: voting_form(answer) for answer in ALIKE[form]} == dict.fromkeys(ALIKE[form], form)


@pytest.mark.parametrize(("one", "other"), APART)
def test_answers_that_differ_stay_apart(one, other):
    assert voting_form(one) != voting_form(other)


def test_long_answers_keep_their_beginning_and_a_hash():
    words = " ".join(f"word{i}" for i in range(1000))
    forms = {voting_form(words), voting_form(words + "!"), voting_form("!" + words)}
    assert len(forms) == 3
    assert all(len(form) == MOST_CHARACTERS for form in forms)
    assert voting_form(words.upper()) == voting_form(words)


def test_the_form_of_a_form_is_itself_and_comparable():
    draw = random.Random(0)
    letters = "aB1,.$%*_ \"'`{}\\boxed{-0ßİ“”\n"
    for _ in range(3000):
        text = "".join(draw.choice(letters) if draw.random() < 0.9 else r"\boxed{" for _ in range(draw.randint(0, 70)))
        form = voting_form(text)
        assert len(form) <= MOST_CHARACTERS
        assert voting_form(form) == comparable(form) == form


def test_other_answers_keep_their_case_unless_it_is_ignored():
    assert form_of_answers()("Yes ") == "Yes"
    assert form_of_answers(ignore_case=True)("Yes ") == "yes"
    assert form_of_answers(free_form=True)("Yes.") == "yes"

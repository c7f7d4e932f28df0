"""`wisecommittee search --guarantee` as users run it."""

from __future__ import annotations

import json

import pytest
from guaranteed import drawn_store

ACCURATE = "accuracy >= best_single - 0.05"


@pytest.fixture
def asked(tmp_path, run, monkeypatch):
    """asked('--delta', 0.1) -> (exit code, stdout, stderr) of a search with guarantees, in 80 columns."""
    path = tmp_path / "logits"
    drawn_store(path, splits=("val", "extra"))
    monkeypatch.setattr("wisecommittee.cli.console.out.width", 80)

    def call(*arguments: object) -> tuple[int, str, str]:
        return run("search", "--store", path, "--levels", 20, "--max-models", 2, *arguments)

    return call


def test_the_answer_says_what_holds_on_which_units_and_where_it_stopped(asked):
    code, out, err = asked("--guarantee", ACCURATE)
    assert code == 0, err
    assert all(len(line) <= 80 for line in out.splitlines())
    words = " ".join(out.split())
    for part in (
        f"GUARANTEED: {ACCURATE} (delta 0.05).",
        "shown to hold on new units",
        "val, set aside 300",
        f"{ACCURATE} yes 300 accuracy >= best_single",
        "set aside with seed 0: another seed is a new test",
        "(exact non-inferiority)",
        "With probability 0.95 no statement that is said to hold is false",
        "the first that did not:",
    ):
        assert part in words
    assert "NOT shown" not in out


def test_json_has_the_tests_and_the_options(asked, tmp_path):
    arguments = ("--guarantee", ACCURATE, "--guarantee", "average_flops<=170", "--delta", 0.1, "--seed", 3, "--json")
    code, out, _ = asked(*arguments, "--guarantee-share", 0.4, "--save", tmp_path / "c.json")
    assert code == 0
    answer = json.loads(out)
    query = answer["query"]
    assert query["guarantee"] == [ACCURATE, "average_flops <= 170"]
    assert (query["delta"], query["guarantee_share"], query["seed"]) == (0.1, 0.4, 3)
    first, second = answer["guarantee"]
    assert first["statement"] == ACCURATE
    assert first["holds"] is second["holds"] is True
    assert first["n"] == answer["calibration"]["n"] == 240
    assert answer["val"]["n"] == 360
    assert first["smallest_margin"] <= 0.05
    assert answer["expected"] is None
    assert answer["committee"]["guarantee"] == answer["guarantee"]
    assert json.loads((tmp_path / "c.json").read_text()) == answer["committee"]
    code, out, err = asked(*arguments[:-1])
    assert code == 0, err


def test_a_search_without_statements_has_no_such_keys(asked):
    code, out, _ = asked("--target-flops", 60, "--json")
    answer = json.loads(out)
    assert code == 0
    assert not {"guarantee", "calibration"} & set(answer)
    assert "delta" not in answer["query"]


def test_what_is_not_shown_is_said_with_what_would_be_and_never_saved(asked, tmp_path):
    hard = ("--guarantee", "accuracy >= 0.985", "--guarantee-split", "extra")
    code, out, err = asked(*hard)
    assert code == 0, err
    assert "NOT shown to hold on new units" in out
    assert out.startswith("NOT SHOWN: accuracy >= 0.985 (delta 0.05).")
    assert "0 of" in out
    code, out, _ = asked(*hard, "--json")
    answer = json.loads(out)
    assert code == 0
    (entry,) = answer["guarantee"]
    assert entry["holds"] is False
    assert entry["smallest_margin"] > 0
    assert "guarantee" not in answer["committee"]
    assert "guarantee_share" not in answer["query"]
    code, out, err = asked(*hard, "--json", "--save", tmp_path / "c.json")
    assert code == 1
    assert json.loads(out)["guarantee"][0]["holds"] is False
    assert "is not written" in err
    assert "would show 'accuracy >= 0." in err
    assert not (tmp_path / "c.json").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (["--guarantee", "accuracy > 0.9"], 2, "statement 'accuracy > 0.9': '>' after 'accuracy'; expected '>='"),
        (["--guarantee", ACCURATE, "--delta", 2], 2, "--delta 2.0; expected a number above 0 and below 1"),
        (["--guarantee-share", 0.5], 2, "--guarantee-share 0.5 sets units aside for a test; add --guarantee"),
        (["--guarantee", ACCURATE, "--guarantee-split", "val"], 2, "is the split that chooses"),
        (["--guarantee", ACCURATE, "--guarantee-split", "no"], 1, "no"),
        (["--guarantee", "accuracy >= nobody"], 1, "unknown model 'nobody'"),
        (["--guarantee", "accuracy >= 0.999"], 1, "needs 2,995 units"),
        (["--guarantee", ACCURATE, "--folds", 5], 2, "--folds 5 with --guarantee"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(asked, arguments, code, part):
    found, out, err = asked(*arguments)
    assert found == code
    assert out == ""
    assert part in err
    assert err.count("\n") == 1


def test_help_says_that_another_seed_is_a_new_test(run, monkeypatch):
    code, out, _ = run("search", "--help")
    words = " ".join(out.replace("│", " ").split())
    assert code == 0
    assert "--guarantee 'accuracy >= best_single - 0.01'" in words
    assert "Another seed is a new test" in words

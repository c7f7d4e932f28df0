"""Confidences from the log-probabilities of tokens, against loops over their definitions."""

from __future__ import annotations

import math

import log_tables
import numpy as np
import pytest

from wisecommittee.errors import ContentError
from wisecommittee.store import LogitStore
from wisecommittee.store.imports.answers import import_answers
from wisecommittee.store.logs.logprobs import alternatives, token_logprobs
from wisecommittee.store.token_scores import LOWEST, logprob_scores


def where(record: int) -> str:
    return f"log.jsonl: line {record + 1}"


def test_the_scores_are_those_of_loops_over_their_definitions():
    rng = np.random.default_rng(0)
    tokens = [list(np.log(rng.random(length))) for length in (3, 1, 7, 2)]
    tops = [[sorted(np.log(rng.random(5)), reverse=True) for _ in answer] for answer in tokens]
    scores = logprob_scores(tokens, tops, where)
    for at, (answer, others) in enumerate(zip(tokens, tops, strict=True)):
        product = math.prod(math.exp(token) for token in answer)
        assert math.exp(scores["mean_logprob"][at]) == pytest.approx(product ** (1 / len(answer)))
        assert scores["min_logprob"][at] == min(answer)
        assert scores["first_logprob"][at] == answer[0]
        assert scores["margin_logprob"][at] == pytest.approx(sum(o[0] - o[1] for o in others) / len(others))


def test_the_order_of_the_alternatives_does_not_count():
    forwards, backwards = (logprob_scores([[-1.0]], [[tops]], where) for tops in ([-1, -2, -3], [-3, -2, -1]))
    assert forwards["margin_logprob"] == backwards["margin_logprob"] == 1


def test_an_answer_without_tokens_has_no_confidence():
    scores = logprob_scores([None, [], [-0.5]], [None, [], [[-0.5]]], where)
    for name in ("mean_logprob", "min_logprob", "first_logprob"):
        assert np.isnan(scores[name]).tolist() == [True, True, False]
    assert np.isnan(scores["margin_logprob"]).all()  # one alternative has no second


def test_without_alternatives_there_is_no_margin():
    assert set(logprob_scores([[-1.0]], None, where)) == {"mean_logprob", "min_logprob", "first_logprob"}


def test_a_probability_of_zero_counts_as_the_least_there_is():
    scores = logprob_scores([[-math.inf, 0.0], [-9999.0, 0.0]], [[[0.0, -math.inf], [0, -1]], [[-1, -3]]], where)
    assert scores["min_logprob"].tolist() == [LOWEST, LOWEST]
    assert scores["mean_logprob"].tolist() == [LOWEST / 2, LOWEST / 2]
    assert scores["margin_logprob"].tolist() == [(1 - LOWEST) / 2, 2]


@pytest.mark.parametrize(("wrong", "shown"), [(0.7, "0.7"), (math.nan, "nan")])
def test_a_probability_in_place_of_its_log_is_named_with_its_record(wrong, shown):
    with pytest.raises(ContentError, match=rf"log.jsonl: line 3: log-probability {shown}"):
        logprob_scores([[-1.0, -1.0], None, [-1.0, wrong]], None, where)
    with pytest.raises(ContentError, match=rf"log.jsonl: line 2: log-probability {shown}"):
        logprob_scores([[-1.0], [-1.0]], [[[-1, -2]], [[wrong, -2]]], where)


CHAT = {
    "content": [
        {
            "token": "Yes",
            "logprob": -0.1,
            "top_logprobs": [{"token": "Yes", "logprob": -0.1}, {"token": "No", "logprob": -3}],
        },
        {
            "token": ".",
            "logprob": -0.2,
            "top_logprobs": [{"token": ".", "logprob": -0.2}, {"token": "!", "logprob": -2}],
        },
    ]
}
TOPS = [[-0.1, -3.0], [-0.2, -2.0]]


@pytest.mark.parametrize(
    ("value", "tokens", "tops"),
    [
        (None, None, None),
        ({"content": None}, None, None),
        ([-0.1, -0.2], [-0.1, -0.2], None),
        (np.array([-0.1, -0.2]), [-0.1, -0.2], None),
        (CHAT, [-0.1, -0.2], TOPS),
        (CHAT["content"], [-0.1, -0.2], TOPS),
        ([{"logprob": -0.1}, {"logprob": -0.2}], [-0.1, -0.2], None),
        (
            {
                "token_logprobs": [None, -0.1, -0.2],
                "top_logprobs": [None, {"Yes": -0.1, "No": -3}, {".": -0.2, "!": -2}],
            },
            [-0.1, -0.2],
            TOPS,
        ),
    ],
)
def test_each_form_in_which_logs_hold_them_is_read(value, tokens, tops):
    assert token_logprobs(value) == (tokens, tops)


def test_alternatives_are_read_from_each_form():
    pairs = [("Yes", -0.1), ("No", -3.0)]
    forms = [
        dict(pairs),
        pairs,
        [-0.1, -3.0],
        [{"logprob": p} for _, p in pairs],
        {t: {"logprob": p} for t, p in pairs},
    ]
    assert [alternatives(form) for form in forms] == [[-0.1, -3.0]] * len(forms)


@pytest.mark.parametrize("value", ["-0.1", 0.5, ["-0.1"], [True], {"content": "abc"}])
def test_other_values_are_refused(value):
    with pytest.raises(ValueError, match="expected a"):
        token_logprobs(value)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_of_answers_may_hold_log_probabilities(suffix, tmp_path):
    frame = log_tables.answers_frame().drop(columns="confidence")
    tokens = [(-np.arange(1.0, 2 + row % 3)).tolist() for row in range(len(frame))]
    frame["token_logprobs"] = tokens if suffix == "parquet" else [str(each) for each in tokens]
    path = tmp_path / f"answers.{suffix}"
    frame.to_csv(path, index=False) if suffix == "csv" else frame.to_parquet(path)
    import_answers(store := LogitStore(tmp_path / "logits"), "val", path)
    expected = {
        (unit, model): np.mean(each) for unit, model, each in zip(frame["unit_id"], frame["model"], tokens, strict=True)
    }
    for model in log_tables.MODELS:
        held = dict(zip(store.unit_ids("val"), store.scores(model, "val", "mean_logprob"), strict=True))
        assert held == {unit: pytest.approx(mean) for (unit, other), mean in expected.items() if other == model}


@pytest.mark.parametrize("cell", ["0.5", "[0.5]", '"abc"', "[null]"])
def test_a_cell_without_log_probabilities_is_named_with_its_row(cell, tmp_path):
    frame = log_tables.answers_frame(1).drop(columns="confidence")
    frame["token_logprobs"] = ["[-1.0]", cell]
    frame.to_csv(path := tmp_path / "answers.csv", index=False)
    with pytest.raises(ContentError, match=r"answers.csv: token_logprobs in row 1: .*; expected a"):
        import_answers(LogitStore(tmp_path / "logits"), "val", path)

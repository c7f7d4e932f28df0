"""Statements as they are written, and what is said of those that are wrong."""

from __future__ import annotations

import pytest

from wisecommittee.errors import UsageError
from wisecommittee.searches.guarantees.options import GuaranteeOptions
from wisecommittee.searches.statements.parsing import FORMS, parse_guarantee
from wisecommittee.searches.statements.statement import Guarantee

WRITTEN = {
    "accuracy >= best_single - 0.01": Guarantee("accuracy", -0.01, "best_single"),
    " accuracy>=best_single-.01 ": Guarantee("accuracy", -0.01, "best_single"),
    "accuracy ≥ best_single": Guarantee("accuracy", 0.0, "best_single"),
    "accuracy >= b5/0 + 5e-3": Guarantee("accuracy", 0.005, "b5/0"),
    "accuracy >= resnet-50": Guarantee("accuracy", 0.0, "resnet-50"),
    "accuracy >= resnet-50 - 0.02": Guarantee("accuracy", -0.02, "resnet-50"),
    "accuracy >= 0.95": Guarantee("accuracy", 0.95),
    "accuracy >= 0.97 * best_single": Guarantee("accuracy", 0.0, "best_single", factor=0.97),
    "accuracy >= .97*resnet-50 - 0.01": Guarantee("accuracy", -0.01, "resnet-50", factor=0.97),
    "average_usd <= 0.38 * best_single": Guarantee("average", 0.0, "usd", factor=0.38, reference="best_single"),
    "average_usd <= 0.5 * b5/0 + 1e-3": Guarantee("average", 1e-3, "usd", factor=0.5, reference="b5/0"),
    "average_cost <= best_single": Guarantee("average", 0.0, "cost", reference="best_single"),
    "agreement with a model >= 0.98": Guarantee("agreement", 0.98, "a model"),
    "average_flops <= 4e9": Guarantee("average", 4e9, "flops"),
    "average_latency_ms <= 3.5": Guarantee("average", 3.5, "latency_ms"),
    "P(cost > 0.01) <= 0.05": Guarantee("exceeding", 0.05, "cost", 0.01),
    "P( usd>2 )≤.1": Guarantee("exceeding", 0.1, "usd", 2.0),
    "precision of spam >= 0.9": Guarantee("precision", 0.9, "spam"),
    "recall of not spam >= 0.9": Guarantee("recall", 0.9, "not spam"),
}


@pytest.mark.parametrize("text", WRITTEN)
def test_a_statement_is_read_and_written(text):
    assert parse_guarantee(text) == WRITTEN[text]
    assert parse_guarantee(str(WRITTEN[text])) == WRITTEN[text]


def test_every_example_is_a_statement():
    for figure, (_, example) in FORMS.items():
        assert parse_guarantee(example).figure == figure
        assert str(parse_guarantee(example)) == example


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "no comparison"),
        ("accuracy", "no comparison"),
        ("accuracy > 0.9", "'>' after 'accuracy'; expected '>='"),
        ("accuracy <= 0.9", "'<=' after 'accuracy'; expected '>='"),
        ("average_flops >= 4e9", "'>=' after 'average_flops'; expected '<='"),
        ("accuracy >= 95", "'95'; expected a share above 0 and below 1, such as 0.95"),
        ("accuracy >= 1", "a share above 0 and below 1"),
        ("accuracy >= -0.1", "a share above 0 and below 1"),
        ("accuracy >= ", "a number, or a model and a margin"),
        ("accuracy >= best_single - 2", "margin 2; expected a margin from 0 to 1"),
        ("accuracy >= 0 * best_single", "factor 0; expected a factor above 0"),
        ("accuracy >= 0.97 best_single", "a multiple with *, such as '0.97 * best_single'"),
        ("average_usd <= 0.4 best_single", "'0.4 best_single'; expected a number"),
        ("accuracy >= best_single - 1 %", "a number, or a model and a margin"),
        ("agreement with a >= 98 %", "'98 %'; expected a number"),
        ("agreement >= 0.9", "'agreement'; expected the form of the example, as in 'agreement with MODEL"),
        ("precision >= 0.9", "as in 'precision of CLASS >= 0.9'"),
        ("recall of spam >= x", "'x'; expected a number"),
        ("average_flops <= 1e999", "expected a number"),
        ("average_flops <= -1", "expected a cost from 0"),
        ("P(cost > b) <= 0.05", "expected the form of the example"),
        ("P(cost > 5) <= 5", "a share above 0 and below 1, such as 0.05"),
        ("acuracy >= 0.9", "as in 'accuracy >="),
        ("happiness >= 0.9", "unknown figure 'happiness'; expected one of"),
    ],
)
def test_an_error_names_the_statement_and_the_part(text, part):
    with pytest.raises(UsageError) as caught:
        parse_guarantee(text)
    assert f"statement {text!r}" in str(caught.value)
    assert part in str(caught.value)


def test_a_margin_is_that_of_the_limit():
    assert str(parse_guarantee("accuracy >= best_single - 0.01").at_margin(0.004)) == "accuracy >= best_single - 0.004"
    assert str(parse_guarantee("accuracy >= 0.95").at_margin(-0.01)) == "accuracy >= 0.96"
    assert str(parse_guarantee("average_flops <= 4e9").at_margin(1e9)) == "average_flops <= 5e9"


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"guarantee": ["accuracy >= 0.9"], "delta": 0}, "above 0 and below 1"),
        ({"guarantee": ["accuracy >= 0.9"], "delta": 1.0}, "above 0 and below 1"),
        ({"guarantee": ["accuracy >= 0.9"], "guarantee_share": 1}, "above 0 and below 1"),
        ({"guarantee": ["accuracy >= 0.9"], "guarantee_share": 0.5, "guarantee_split": "cal"}, "choose one"),
        ({"guarantee_share": 0.5}, "add guarantee="),
        ({"guarantee_split": "cal"}, "add guarantee="),
        ({"guarantee": "accuracy >= 0.9"}, "expected a list of texts"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, part):
    with pytest.raises(UsageError, match=part):
        GuaranteeOptions(**options)

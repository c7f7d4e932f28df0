"""Utility (Eq. 14) against the printed rows of the paper's Tables 1 and 2."""

from __future__ import annotations

import math

import pytest
from wisecommittee.published import load

from wisecommittee.committees.utility import utility

OF_TWENTY = {("irene_table2", "ResNet-32", method) for method in ("Snapshot ensemble", "FGE", "MoE")}


def printed():
    for name in ("irene_table1", "irene_table2"):
        table = load(name)
        for backbone, rows in table.groupby("backbone"):
            rows = rows.set_index("method")
            single, average = rows.loc["Single model"], rows.loc["Average ensemble"]
            for method, row in rows.iterrows():
                given = (row.top1_percent, row.cost_models, single.top1_percent, average.top1_percent)
                yield (name, backbone, method), (*given, average.cost_models), row.utility


@pytest.mark.parametrize(("key", "given", "expected"), [pytest.param(*row, id="-".join(row[0])) for row in printed()])
def test_the_rows_of_the_paper(key, given, expected):
    value, reason = utility(*given)
    assert reason is None
    if key in OF_TWENTY:
        assert abs(value - expected) > 0.02
        value, _ = utility(*given, factor=20)
    assert value == pytest.approx(expected, abs=0.02)


def test_single_model_and_average_ensemble_are_worth_one():
    """Also where the average ensemble costs something else than 3, and in [0, 1] as in percent."""
    assert utility(0.9, 1.0, 0.9, 0.93, 2.5) == (1.0, None)
    assert utility(0.93, 2.5, 0.9, 0.93, 2.5)[0] == pytest.approx(1)
    assert utility(92, 1.4, 90, 93, 2.5)[0] == pytest.approx(utility(0.92, 1.4, 0.9, 0.93, 2.5)[0])
    assert utility(0.92, 1.3, 0.9, 0.93, 3)[0] > utility(0.92, 1.4, 0.9, 0.93, 3)[0] > 1
    assert utility(0.0, 1.0, 0.9, 0.93, 3)[0] == pytest.approx(math.exp(-100))


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ((0.9, 1.5, 0.93, 0.93, 3), "the average ensemble (0.93) is no more accurate than one model (0.93)"),
        ((0.9, 1.5, 0.93, 0.91, 3), "the average ensemble (0.91) is no more accurate than one model (0.93)"),
        ((0.9, 1.5, 0.91, 0.93, 1), "the average ensemble costs 1 single models; expected more than 1"),
        ((0.9, 0.0, 0.91, 0.93, 3), "the cost is 0; expected a number above 0"),
        ((math.nan, 1.5, 0.91, 0.93, 3), "the accuracy is nan; expected a number from 0"),
        (
            (0.95, 1.5, 0.9, 0.9001, 3),
            "the average ensemble (0.9001) is hardly more accurate than one model (0.9), "
            "which makes the utility too large for a number",
        ),
        ((0.9, 1.5, 0.0, 0.93, 3), "the accuracy of the single model is 0; expected a number above 0"),
    ],
)
def test_undefined_utility_has_a_reason(given, reason):
    value, why = utility(*given)
    assert math.isnan(value)
    assert why == reason

"""Figures to expect on new data in a study, in tables and in plots of a frontier."""

from __future__ import annotations

from dataclasses import replace

import pytest
from analyses_pool import LEVELS, Case, rows, study_of_case

from wisecommittee.analyses import study as studies
from wisecommittee.errors import UsageError
from wisecommittee.report.plot import figure
from wisecommittee.report.plot_frontier import gather
from wisecommittee.report.tables import fill
from wisecommittee.searches.choosing import search_and_choose
from wisecommittee.searches.query import Query
from wisecommittee.searches.resampling import selecting
from wisecommittee.searches.selection import Selection
from wisecommittee.searches.target import Target
from wisecommittee.searches.workers.execution import Execution

POOL = {"a": (2, 10, 0.8), "b": (1, 35, 1.4), "c": (1, 90, 2.0)}
FOLDS = 4


@pytest.fixture(scope="module")
def case():
    return Case(POOL, n=60)


@pytest.fixture(scope="module")
def study(case):
    return study_of_case(case, folds=FOLDS)


def asked(case, target=None, **selection):
    query = Query(max_models=case.max_models, levels=LEVELS)
    return search_and_choose(case.store, query, target, Execution(threads=1), Selection(folds=FOLDS, **selection))


def test_a_study_chooses_as_a_search_does(case, study):
    assert study.frontier_with_expected().expected == asked(case).evidence.along
    for target in (Target("match", "c/0"), Target("target_flops", 30)):
        found, expected = study.choice(target), asked(case, target)
        assert found.val.committee == expected.val.committee
        assert found.evidence == expected.evidence


def test_a_study_searches_and_folds_once(case, monkeypatch):
    study, calls = study_of_case(case, folds=FOLDS), []
    for home, name in ((studies, "solution_of"), (studies, "search"), (selecting, "cross_fit")):
        whole = getattr(home, name)
        monkeypatch.setattr(home, name, lambda *a, _whole=whole, _name=name: (calls.append(_name), _whole(*a))[1])
    for _ in range(2):
        fill("match", study)
        study.frontier()
        study.search(levels=LEVELS)
    assert calls == ["solution_of"]  # tables without expected figures do not pay for folds
    for _ in range(2):
        fill("frontier", study)
        gather(study)
        study.choice(Target("match", "c/0"))
    assert calls == ["solution_of", "cross_fit", "cross_fit"]  # of the frontier and of the target


def test_the_table_of_the_frontier_shows_them(study):
    found = study.frontier_with_expected()
    shown = rows(fill("frontier", study))
    by_quality = {e.quality: expected for e, expected in zip(found, found.expected, strict=True)}
    assert shown
    for row in shown:
        expected = by_quality[row["quality"]]
        assert (row["expected_quality"], row["expected_low"], row["expected_high"]) == (
            expected.quality,
            *expected.interval,
        )
    assert any("by 4 folds of 60 val units" in note for note in fill("frontier", study).notes)


def test_a_frontier_without_them_says_why(case, study):
    none = study_of_case(case, folds=0)
    table = fill("frontier", none)
    assert "expected_quality" not in [column.name for column in table.columns]
    assert any("val chose these committees" in note and "no folds were searched" in note for note in table.notes)
    given = replace(study, given=none.frontier())
    assert any("this frontier file has no expected figures" in note for note in fill("frontier", given).notes)
    carried = replace(study, given=study.frontier_with_expected())
    assert fill("frontier", carried).rows == fill("frontier", study).rows
    assert given.choice(Target("match", "c/0")).evidence.verdict is None


def test_the_plot_draws_a_second_line_with_its_band(study):
    found = study.frontier_with_expected()
    (ax,) = figure("frontier", **gather(study)).axes
    line = next(line for line in ax.lines if line.get_label() == "expected on new data, 95 % band")
    assert line.get_xdata() == pytest.approx([e.average_cost for e in found])
    assert line.get_ydata() == pytest.approx([expected.quality for expected in found.expected])
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == pytest.approx(
        (min(e.interval[0] for e in found.expected), max(e.interval[1] for e in found.expected))
    )
    assert "expected on new data, 95 % band" in [
        text.get_text() for text in ax.figure.findobj() if hasattr(text, "get_text")
    ]
    (plain,) = figure("frontier", **gather(replace(study, given=replace(found, expected=())))).axes
    assert not [line for line in plain.lines if str(line.get_label()).startswith("expected")]


def test_the_plot_has_single_models_on_test_beside_the_committees(study):
    tests = gather(study)["test"]
    singles = {e.committee.models for e in tests if e.committee.shape == "single"}
    assert singles == {(name,) for name in ("a/0", "a/1", "b/0", "c/0")}


def test_options_of_the_choice_are_options_of_a_study(case):
    study = study_of_case(case, folds=3, reference="b/0", margin=0.02)
    assert study.selection == Selection(folds=3, reference="b/0", margin=0.02)
    assert study.choice(Target("target_flops", 30)).evidence.comparison.reference == "b/0"
    with pytest.raises(UsageError, match="did you mean 'folds'"):
        study_of_case(case, fold=3)

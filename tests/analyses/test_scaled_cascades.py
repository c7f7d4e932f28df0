"""Base cascades scaled up their ladder of architectures, against the oracle."""

from __future__ import annotations

import pytest
from analyses_pool import Case, every_cascade, figures, rows, study_of_case
from matplotlib.figure import Figure

from wisecommittee.analyses import scaled_cascades
from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.errors import AbsentError
from wisecommittee.report import plot, tables

N = 36
LADDER = {"b0": (2, 10, 0.9), "b1": (2, 17, 1.2), "b2": (2, 31, 1.6), "b3": (1, 60, 2.0), "other": (1, 5, 0.4)}


def best_within(case, sequence, cost):
    """(correct, total cost) of the best thresholds of a sequence within an average cost; None if there are none."""
    fitting = [(right, -total) for right, total in every_cascade(case, sequence) if total <= cost * N]
    return max(fitting, default=None)


def test_scaled_families_climb_their_ladder():
    case = Case(LADDER, n=N)
    base = Committee((("b0/0",), ("b0/1", "b1/0")), Thresholds((0.5,)))
    study = study_of_case(case, committees=(base,))
    found = scaled_cascades.scaled_cascades(study)
    # b1 is nearest in cost; the second replica of b0 can climb to b2/1, and b3 has one replica only.
    expected = [("b0/0", "b0/1", "b1/0"), ("b1/0", "b1/1", "b2/0"), ("b2/0", "b2/1", "b3/0")]
    assert [c.members for c in found] == expected[: len(found)]
    cost = case.evaluate("val", base.stages, base.thresholds.values)[1]
    ladder = [10, 17, 31, 60]
    first = min(range(4), key=lambda r: abs(ladder[r] / cost - 1) if ladder[r] > cost else abs(cost / ladder[r] - 1))
    table = rows(tables.fill("scaled-cascades", study))
    for k, c in enumerate(found):
        assert c.name == f"C{k}"
        assert c.single.val.committee.models == (f"b{first + k}/0",)
        wanted = best_within(case, c.members, ladder[first + k])
        if wanted is None:
            assert c.cascade is None
            continue
        e = c.cascade.val
        assert (e.correct, e.average_cost * N) == (wanted[0], pytest.approx(-wanted[1]))
        for on in c.cascade.on():
            assert figures(on) == case.evaluate(on.split, on.committee.stages, on.committee.thresholds.values)
            single = case.evaluate(on.split, [[f"b{first + k}/0"]])
            row = next(t for t in table if (t["name"], t["split"]) == (c.name, on.split))
            assert (row["quality"], row["average_cost"]) == (on.quality, on.average_cost)
            assert (row["single_quality"], row["single_cost"]) == single[:2]
            assert row["delta"] == on.quality - single[0]
    assert len(found) >= 2


def test_a_base_cascade_is_found_below_the_second_model():
    case = Case(LADDER, n=N)
    found = scaled_cascades.scaled_cascades(case.study)
    low = [m for m in case.models["val"] if m.architecture in ("b0", "b1")]
    base = found[0].cascade.val
    assert set(found[0].members) <= {m.name for m in low}
    assert base.average_cost <= 17
    assert found[0].single.val.committee.models == ("b1/0",)


def test_scaled_is_drawn():
    case = Case(LADDER, n=N)
    what = plot.PLOTS["scaled-cascades"].gather(study_of_case(case, published=True))
    ax = plot.PLOTS["scaled-cascades"].draw(Figure(layout="constrained").add_subplot(), **what)
    ax.figure.canvas.draw()
    lines = {line.get_label(): list(zip(line.get_xdata(), line.get_ydata(), strict=True)) for line in ax.lines}
    family = what["family"]
    assert lines["models of the ladder"] == [(c.single.test.average_cost, c.single.test.quality) for c in family]
    drawn = [c.cascade.test for c in family if c.cascade]
    assert lines["scaled cascades"] == [(e.average_cost, e.quality) for e in drawn]
    assert (37e9 > lines["published"][-1][0] > 30e9, lines["published"][0]) == (True, (410_000_000, 0.781))


def test_a_base_of_other_models_is_refused():
    case = Case(LADDER, n=12)
    base = Committee((("b0/0",), ("b1/0",)), Thresholds((0.5,)))
    with pytest.raises(AbsentError, match="b0/0 of the base cascade is not among the models"):
        scaled_cascades.scaled_cascades(study_of_case(case, committees=(base,), models=("b1/*", "b2/*")))

"""The plots of analyses, by the data they draw."""

from __future__ import annotations

from dataclasses import replace

import pytest
from analyses_pool import Case
from matplotlib.figure import Figure

from wisecommittee.analyses import conversion, match, members, replica_ensembles, replicas, smallest_ensemble
from wisecommittee.errors import UsageError
from wisecommittee.report import plot, plot_match

POOL = {"a": (3, 10, 1.0), "b": (3, 27, 1.7), "c": (1, 90, 2.4)}


@pytest.fixture(scope="module")
def case():
    return Case(POOL, n=30, max_models=3)


def drawn(kind, case, **changes):
    what = plot.PLOTS[kind].gather(case.study) | changes
    ax = Figure(figsize=plot.PLOTS[kind].size(**what), layout="constrained").add_subplot()
    assert plot.PLOTS[kind].draw(ax, **what) is ax
    ax.figure.canvas.draw()
    return ax


def points(ax, label):
    line = next(line for line in ax.lines if line.get_label() == label)
    return list(zip(line.get_xdata(), line.get_ydata(), strict=True))


def places(evaluations):
    return [(e.average_cost, e.quality) for e in evaluations]


def test_match(case):
    ax, found = drawn("match", case), match.match(case.study)
    assert points(ax, "single model") == places(m.single.test for m in found)
    assert points(ax, "committee of similar cost") == places(m.similar_cost.test for m in found)
    assert points(ax, "committee of similar accuracy") == places(m.similar_quality.test for m in found)
    assert ax.get_ylabel() == "top-1 accuracy (%) on test (n = 40)"
    assert ax.get_xlabel() == "average FLOPs (multiply-adds) per unit"


def test_conversion(case):
    ax, found = drawn("conversion", case), conversion.conversion(case.study)
    assert points(ax, "ensemble") == places(c.ensemble.test for c in found)
    assert points(ax, "the same members as a cascade") == places(c.cascade.test for c in found)
    joined = [points_of(line) for line in ax.lines if line.get_linewidth() == 0.9]
    assert joined == [places((c.ensemble.test, c.cascade.test)) for c in found]
    singles = [case.evaluate("test", [[m.name]])[:2] for m in case.models["test"]]
    assert sorted(points(ax, "single model")) == sorted((cost, quality) for quality, cost in singles)


def points_of(line):
    return list(zip(line.get_xdata(), line.get_ydata(), strict=True))


def test_members(case):
    ax, found = drawn("members", case), members.members(case.study)
    for most, label in ((1, "single models"), (2, "up to 2 members"), (3, "up to 3 members")):
        wanted = zip(found.targets, (s.test.quality for s in found.curves[most]), strict=True)
        assert points(ax, label) == list(wanted)
    assert ax.get_xlabel() == "target: average FLOPs (multiply-adds) per unit"
    many = members.Members(found.targets, dict.fromkeys(range(1, 9), found.curves[1]))
    with pytest.raises(UsageError, match="8 lines"):
        drawn("members", case, members=many)


def test_replicas(case):
    ax, found = drawn("replicas", case), [r for r in replicas.replicas(case.study) if r.split == "test"]
    assert points(ax, "single model") == places(e for r in found for e in r.singles)
    assert points(ax, "pair as an ensemble") == places(e for r in found for e in r.ensembles)
    assert points(ax, "ordered pair as a cascade") == places(e for r in found for e in r.cascades)


def test_small(case):
    found = replica_ensembles.replica_ensembles(case.study)
    for parallel in (False, True):
        ax = drawn("replica-ensembles", case, parallel=parallel)
        for curve, band in zip(found.curves, ax.collections, strict=True):
            x = [p.parallel if parallel else p.cost for p in curve]
            assert points(ax, curve[0].architecture) == list(zip(x, [p.median for p in curve], strict=True))
            corners = {tuple(v) for v in band.get_paths()[0].vertices}
            assert {(a, q) for a, p in zip(x, curve, strict=True) for q in (p.low, p.high)} <= corners
        assert ("dearest member" in ax.get_xlabel()) == parallel
        named = [p for curve in found.curves for p in curve if not parallel or p in (curve[0], curve[-1])]
        assert sorted(t.get_text() for t in ax.texts) == sorted(str(p.members) for p in named)
    crowd = replica_ensembles.ReplicaEnsembles("test", 40, "flops", tuple(found.curves[0] for _ in range(8)))
    with pytest.raises(UsageError, match="8 architectures"):
        drawn("replica-ensembles", case, ensembles=crowd)


def test_the_paper_s_points_in_the_frontier_plot(case):
    what = plot.PLOTS["frontier"].gather(replace(case.study, published=True))
    assert len(what["published"]) == 8
    assert what["published"]["C7 (paper)"] == (32_600_000_000, 0.848)
    assert plot.PLOTS["frontier"].gather(case.study)["published"] is None


def test_parallel_is_small_over_the_dearest_member(case):
    assert "dearest member" in drawn("parallel", case).get_xlabel()


def test_many_models_are_not_linked_to_their_committees(case, monkeypatch):
    assert len(drawn("match", case).lines) == 3 + 2 * len(POOL)
    monkeypatch.setattr(plot_match, "MOST_LINKED", 2)
    assert len(drawn("match", case).lines) == 3


def test_enough(case):
    found = smallest_ensemble.smallest_ensembles(case.study)
    ax = drawn("smallest-ensemble", case)
    pieces = {c.get_label(): [bar.get_width() for bar in c] for c in ax.containers}
    assert pieces["1 member"] == [e.first[0] for e in found]
    assert pieces["3 members"] == [pytest.approx(e.first[2]) for e in found]
    assert pieces["never right"] == [pytest.approx(e.never) for e in found]
    assert [sum(row) for row in zip(*pieces.values(), strict=True)] == [pytest.approx(1)] * len(found)
    five = [smallest_ensemble.SmallestEnsemble("a", "test", 100, (0.8, 0.05, 0.04, 0.03, 0.02), 0.06)]
    pieces = {
        c.get_label(): [bar.get_width() for bar in c] for c in drawn("smallest-ensemble", case, shares=five).containers
    }
    assert pieces["4 members or more"] == [pytest.approx(0.05)]

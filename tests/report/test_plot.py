"""Plots, by the data they draw: positions, names, scales and refusals. No picture is compared."""

from __future__ import annotations

import itertools
import subprocess
import sys
from dataclasses import replace

import matplotlib
import naive
import numpy as np
import pytest
from axes import axes, drawn, figures, legend, line_named, named, points, shown
from frontiers import FRONTIER, evaluation, frontier_in
from matplotlib.colors import to_hex, to_rgb
from matplotlib.lines import Line2D
from matplotlib.text import Text
from pools import MemoryStore

from wisecommittee.analyses.match import Match, Shown
from wisecommittee.errors import UnknownNameError, UsageError, WiseCommitteeError
from wisecommittee.report import plot, plot_frontier, style
from wisecommittee.searches.frontier import Frontier
from wisecommittee.searches.query import Query
from wisecommittee.searches.search import search

# frontier


def test_frontier_draws_its_figures_by_shape():
    ax = axes()
    assert plot.frontier(ax, FRONTIER) is ax
    assert points(line_named(ax, "frontier on val (n = 1,000)")) == figures(FRONTIER)
    assert points(line_named(ax, "single model")) == figures(FRONTIER.singles)
    assert points(line_named(ax, "ensemble")) == [(40, 0.78)]
    assert points(line_named(ax, "cascade")) == [(14, 0.76), (60, 0.85)]
    shapes = [line_named(ax, noun) for noun in style.NOUNS.values()]
    assert len({s.get_marker() for s in shapes}) == len({to_hex(s.get_color()) for s in shapes}) == 3
    mixtures = "mixtures of two committees, in expectation"
    assert legend(ax) == ["frontier on val (n = 1,000)", mixtures, "single model", "ensemble", "cascade"]
    assert ax.get_title() == ""


def test_mixtures_lie_on_straight_lines_between_the_committees_that_no_mixture_beats():
    ax = axes()
    plot.frontier(ax, FRONTIER)
    corners = [(x, y) for x, y in figures(FRONTIER) if not any(
        a[0] < x < b[0] and y <= a[1] + (b[1] - a[1]) * (x - a[0]) / (b[0] - a[0])
        for a in figures(FRONTIER) for b in figures(FRONTIER))]  # fmt: skip
    assert 1 < len(corners) < len(FRONTIER)
    drawn = points(line_named(ax, "mixtures of two committees"))
    assert set(corners) <= set(drawn)
    for x, y in drawn:
        assert y == pytest.approx(np.interp(x, *zip(*corners, strict=True)))


@pytest.mark.parametrize(("axis", "figure", "name"), [
    ("worst", lambda e: e.worst_case_cost, "worst-case FLOPs (multiply-adds) per unit"),
    ("p99", lambda e: e.p99_cost, "99th percentile of FLOPs (multiply-adds) per unit"),
])  # fmt: skip
def test_the_cost_that_was_searched_is_drawn(axis, figure, name):
    def with_p99(e, factor, **changes):
        return replace(e, costs={"flops": e.cost._replace(p99=factor * e.average_cost)}, **changes)

    given = [with_p99(e, 1.7) for e in FRONTIER]
    singles = tuple(with_p99(e, 1.1) for e in FRONTIER.singles)
    found = Frontier(tuple(given), singles, Query(axis=axis))
    test = [with_p99(e, 3, split="test") for e in given]
    ax = drawn(plot.frontier(axes(), found, test=test, ensembles=replace(found, evaluations=(given[2],))))
    expected = [(figure(e), e.quality) for e in given]
    assert points(line_named(ax, "frontier on val")) == expected
    assert "mixtures of two committees, in expectation" not in legend(ax)
    assert points(line_named(ax, "single model")) == [(figure(e), e.quality) for e in singles]
    assert points(line_named(ax, "ensembles only")) == [expected[2]]
    assert points(line_named(ax, "cascade")) == [expected[1], expected[3]]
    hollow = [p for line in ax.lines if line.get_markerfacecolor() == "none" for p in points(line)]
    assert set(hollow) >= {(figure(e), e.quality) for e in test}
    assert {n: t.xy for n, t in named(ax).items()} == {e.committee.label(): (figure(e), e.quality) for e in singles}
    assert ax.get_xlabel() == name
    together = plot.frontiers(axes(), {"one": found})
    assert points(line_named(together, "one")) == expected
    assert together.get_xlabel() == name
    for kind, what in (("frontiers", {"frontiers": {"a": FRONTIER, "b": found}}),
                       ("frontier", {"frontier": FRONTIER, "ensembles": found})):  # fmt: skip
        with pytest.raises(UsageError, match=f"the average and the {axis} cost|the {axis} and the average cost"):
            plot.figure(kind, **what)


def test_every_hollow_shape_is_in_the_legend():
    test = [replace(e, split="test") for e in FRONTIER]
    for shapes in ({"single", "cascade"}, {"single", "ensemble", "cascade"}, {"cascade"}):
        shown = [e for e in test if e.committee.shape in shapes]
        ax = drawn(plot.frontier(axes(), FRONTIER, test=shown))
        assert legend(ax)[-1] == "the same on test (n = 1,000)"
        marks = [mark for mark in ax.get_legend().findobj(Line2D) if is_hollow(mark)]
        assert {m.get_marker() for m in marks} == {style.SHAPES[shape][1] for shape in shapes}


def is_hollow(line):
    return line.get_markerfacecolor() == "none" or line.get_fillstyle() == "none"


def test_coinciding_matches_are_told_apart():
    """Where a model is matched by itself, the marks of its committees stand around its own."""
    ax = axes()
    plot.match(ax, [Match(*(Shown(FRONTIER.singles[0], None),) * 3)])
    single, cost, accuracy = (
        line_named(ax, n) for n in ("single", "committee of similar cost", "committee of similar a")
    )
    assert is_hollow(cost)
    assert is_hollow(accuracy)
    assert single.get_markersize() < cost.get_markersize() < accuracy.get_markersize()


def test_a_searched_frontier():
    rng = np.random.default_rng(0)
    models = [
        naive.Model(n, n, 0, {n: c}, rng.normal(size=(60, 3)).astype(np.float32)) for n, c in (("a", 2), ("b", 3))
    ]
    found = search(MemoryStore(models, rng.integers(0, 3, 60).tolist()), levels=5, threads=1)
    ax = plot.frontier(axes(), found)
    assert points(line_named(ax, "frontier")) == figures(found)
    assert points(line_named(ax, "single model")) == figures(found.singles)


def test_one_model_is_enough():
    one = Frontier(FRONTIER.evaluations[:1], FRONTIER.singles[:1])
    ax = drawn(plot.frontier(axes(), one))
    assert points(line_named(ax, "single model")) == [(10, 0.7)]
    assert ax.get_xscale() == "linear"
    assert set(named(ax)) == {"a"}


def test_single_models_are_named_where_they_are():
    ax = drawn(plot.frontier(axes(), FRONTIER))
    assert {name: text.xy for name, text in named(ax).items()} == {"a": (10, 0.7), "b": (30, 0.69), "c": (90, 0.8)}
    assert not named(drawn(plot.frontier(axes(), FRONTIER, label_points=False)))


def test_replicas_share_the_name_of_their_architecture():
    singles = [evaluation(f"b/{r}", 30, 700 + r) for r in range(3)] + [evaluation("c/0", 90, 800)]
    ax = drawn(plot.frontier(axes(), replace(FRONTIER, singles=tuple(singles))))
    assert {name: text.xy for name, text in named(ax).items()} == {"b": (30, 0.702), "c/0": (90, 0.8)}


@pytest.mark.parametrize(
    ("unit", "label"),
    [
        ("flops", "average FLOPs (multiply-adds) per unit"),
        ("usd", "average usd per unit"),
        ("latency_ms", "average latency_ms per unit"),
    ],
)
def test_axes_are_named_with_their_units(unit, label):
    ax = plot.frontier(axes(), frontier_in(unit))
    assert ax.get_xlabel() == label
    assert ax.get_ylabel() == "top-1 accuracy (%)"
    assert plot.frontier(axes(), frontier_in(unit), quality="mIoU").get_ylabel() == "mIoU (%)"


@pytest.mark.parametrize(("dearest", "scale"), [(90, "linear"), (100, "linear"), (101, "log"), (5000, "log")])
def test_the_cost_axis_is_logarithmic_beyond_a_decade(dearest, scale):
    singles = (*FRONTIER.singles, evaluation("d", dearest, 500))
    assert plot.frontier(axes(), replace(FRONTIER, singles=singles)).get_xscale() == scale


def test_a_free_model_keeps_the_axis_linear():
    singles = (*FRONTIER.singles, evaluation("free", 0.0, 400), evaluation("d", 5000, 500))
    assert plot.frontier(axes(), replace(FRONTIER, singles=singles)).get_xscale() == "linear"


def tick_labels(axis):
    return [text.get_text() for text in axis.get_ticklabels()]


def test_ticks_are_percent_and_short_costs():
    ax = plot.frontier(axes(), frontier_in(scale=1e6))
    ax.set_ylim(0.69, 0.72)
    ax.set_yticks([0.695, 0.70, 0.71])
    ax.set_xticks([1e7, 2.5e7, 1e9])
    assert tick_labels(drawn(ax).yaxis) == ["69.5", "70.0", "71.0"]
    assert tick_labels(ax.xaxis) == ["10M", "25M", "1G"]


@pytest.mark.parametrize(
    ("ticks", "shown"),
    [
        ([0, 0.002, 15], ["0", "0.002", "15"]),
        ([2e-5, 1e-4, 1e-3], ["$2\\times10^{-5}$", "$10^{-4}$", "$10^{-3}$"]),
        ([2.5e7, 5e7], ["$2.5\\times10^{7}$", "$5\\times10^{7}$"]),
    ],
)
def test_ticks_of_other_costs(ticks, shown):
    ax = plot.frontier(axes(), frontier_in("usd"))
    ax.set_xticks(ticks)
    assert tick_labels(drawn(ax).xaxis) == shown


def test_test_figures_are_hollow_and_say_their_split():
    moved = [replace(e, split="test", quality=e.quality - 0.01) for e in FRONTIER]
    ax = plot.frontier(axes(), FRONTIER, test=iter(moved))
    hollow = [line for line in ax.lines if line.get_markerfacecolor() == "none" and len(line.get_xdata())]
    assert sorted(p for line in hollow for p in points(line)) == sorted(figures(moved))
    markers = {line.get_marker(): points(line) for line in hollow}
    assert markers[style.SHAPES["ensemble"][1]] == [(40, 0.77)]
    assert "the same on test (n = 1,000)" in legend(ax)


def test_ensembles_band_and_published():
    ensembles = Frontier((FRONTIER.evaluations[0], FRONTIER.evaluations[2]), FRONTIER.singles)
    ax = drawn(plot.frontier(axes(), FRONTIER, ensembles=ensembles, band=True, published={"theirs": (50, 0.83)}))
    assert points(line_named(ax, "ensembles only")) == figures(ensembles)
    assert points(line_named(ax, "published")) == [(50, 0.83)]
    assert named(ax)["theirs"].xy == (50, 0.83)
    corners = {tuple(v) for v in ax.collections[0].get_paths()[0].vertices}
    assert {(e.average_cost, bound) for e in FRONTIER for bound in e.interval} <= corners


def test_costs_in_different_units_are_refused():
    dollars = frontier_in("usd")
    with pytest.raises(UsageError, match="usd and in flops"):
        plot.frontier(axes(), FRONTIER, ensembles=dollars)
    with pytest.raises(UsageError, match="usd and in flops"):
        plot.frontier(axes(), FRONTIER, test=list(dollars))
    with pytest.raises(UsageError, match="flops and in usd"):
        plot.frontiers(axes(), {"a": FRONTIER, "b": dollars})


# names


def cloud(count, seed, spread):
    rng = np.random.default_rng(seed)
    some = zip(10 ** rng.uniform(1, 1 + spread, count), rng.integers(600, 600 + int(300 * spread), count), strict=True)
    return (*FRONTIER.singles, *(evaluation(f"model_{i}", float(x), int(y)) for i, (x, y) in enumerate(some)))


@pytest.mark.parametrize("dpi", [72, 150])
@pytest.mark.parametrize("size", [(3, 2), (6, 4)])
@pytest.mark.parametrize(("count", "spread"), [(5, 1.2), (40, 1.2), (40, 0.1)])
def test_names_never_touch_each_other_the_marks_or_the_border(count, spread, size, dpi):
    ax = axes(*size)
    ax.figure.set_dpi(dpi)
    pool = cloud(count, seed=count, spread=spread)
    plot.frontier(ax, replace(FRONTIER, singles=pool))
    boxes = [Text.get_window_extent(text) for text in named(drawn(ax)).values()]
    assert boxes
    assert len(boxes) == len(pool) or count > 5 or size == (3, 2)  # where there is room, every model is named
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    inside = ax.get_window_extent()
    for x, y in ax.transData.transform(figures([*pool, *FRONTIER])):
        assert not any(box.contains(x, y) for box in boxes)
    assert all(inside.contains(*corner) for box in boxes for corner in box.corners())


def test_names_keep_their_place_until_the_figure_changes():
    def offsets(ax):
        return {name: text.get_position() for name, text in named(drawn(ax)).items()}

    pool = replace(FRONTIER, singles=cloud(20, 1, 1.2))
    ax = plot.frontier(axes(), pool)
    before = offsets(ax)
    assert offsets(ax) == before == offsets(plot.frontier(axes(), pool))
    ax.figure.set_size_inches(4, 3)
    assert offsets(ax) != before


def test_the_best_for_their_cost_are_named_first():
    best = [evaluation(f"best_{i}", 20.0 + i / 100, 700 + i) for i in range(2)]
    crowd = [evaluation(f"worse_{i}", 20.0 + i / 1000, 699 - i % 5) for i in range(60)]
    ax = drawn(plot.frontier(axes(3, 2), replace(FRONTIER, singles=(*crowd, *best))))
    assert "best_1" in named(ax)
    assert len(named(ax)) < 60
    assert {text for text in shown(ax) if "_" in text} == set(named(ax))


def test_signs_of_mathematics_in_a_name_stay_text():
    singles = (evaluation("a$^2$", 20, 700),)
    ax = drawn(plot.frontier(axes(), replace(FRONTIER, singles=singles)))
    assert not named(ax)["a$^2$"].get_parse_math()


# frontiers


def test_frontiers_draw_each_under_its_name():
    other = Frontier(FRONTIER.evaluations[:2], FRONTIER.singles[:2])
    ax = axes()
    assert plot.frontiers(ax, {"all": FRONTIER, "two": other}) is ax
    assert points(line_named(ax, "all")) == figures(FRONTIER)
    assert points(line_named(ax, "two")) == figures(other)
    assert points(line_named(ax, "single model")) == figures(FRONTIER.singles)
    assert legend(ax) == ["single model", "all", "two"]
    assert ax.get_ylabel() == "top-1 accuracy (%) on val (n = 1,000)"
    styles = [(line.get_color(), line.get_marker(), line.get_linestyle()) for line in ax.lines]
    assert len({s[0] for s in styles}) == len({s[1] for s in styles}) == len({s[2] for s in styles}) == 3
    assert "single model" not in legend(plot.frontiers(axes(), {"all": FRONTIER}, singles=False))


def test_frontiers_refuse_none_and_more_than_can_be_told_apart():
    with pytest.raises(UsageError, match="at least one"):
        plot.frontiers(axes(), {})
    with pytest.raises(UsageError, match="8 frontiers"):
        plot.frontiers(axes(), {str(i): FRONTIER for i in range(8)})


# exits


def bars(ax):
    """{stage: [(row, left, share)]}"""
    places = {
        c.get_label(): [(b.get_y() + b.get_height() / 2, b.get_x(), b.get_width()) for b in c] for c in ax.containers
    }
    return {stage: [tuple(np.round(place, 9)) for place in some] for stage, some in places.items()}


def test_exits_stack_the_shares():
    ax = axes()
    assert plot.exits(ax, FRONTIER) is ax
    assert bars(ax) == {
        "stage 1": [(0, 0, 1.0), (1, 0, 0.8), (2, 0, 1.0), (3, 0, 0.5)],
        "stage 2": [(1, 0.8, 0.2), (3, 0.5, 0.3)],
        "stage 3": [(3, 0.8, 0.2)],
    }
    texts = {text.get_text(): text.get_position() for text in ax.texts}
    assert [texts[e.committee.label()][1] for e in FRONTIER] == [row - 0.27 for row in range(4)]
    assert texts["30.0 %"] == (pytest.approx(0.65), 3)
    assert ax.get_xlabel() == "share of units that exit (%) on val (n = 1,000)"
    assert tick_labels(drawn(ax).yaxis)[1] == "76.00 %\n14.0 FLOPs"
    assert tick_labels(ax.xaxis) == ["0", "20", "40", "60", "80", "100"]
    assert legend(ax) == ["stage 1", "stage 2", "stage 3"]


def test_later_stages_are_darker():
    ax = plot.exits(axes(), FRONTIER)
    light = [sum(to_rgb(c.patches[0].get_facecolor())) for c in ax.containers]
    assert light == sorted(light, reverse=True)
    assert len(set(light)) == 3


def test_shares_are_printed_where_they_fit():
    one = evaluation("a|b|c", 60, 850, (0.9, 0.08, 0.02))
    assert {"90.0 %", "8.0 %"} <= set(shown(plot.exits(axes(8, 2), one)))
    assert "2.0 %" not in shown(plot.exits(axes(8, 2), one))
    assert "8.0 %" not in shown(plot.exits(axes(3, 2), one))


def test_long_labels_shrink_into_their_room():
    name = "vit_large_patch16_224.augreg_in21k_ft_in1k"
    one = evaluation(f"{name}_0|{name}_1|{name}_2", 60, 850, (0.5, 0.3, 0.2))
    ax = plot.exits(axes(5, 2), one)
    size = shown(ax)[one.committee.label()]
    assert 2 < size < 8
    text = next(t for t in ax.texts if t.get_text() == one.committee.label())
    assert text.get_window_extent().width <= ax.get_window_extent().width
    short = plot.exits(axes(5, 2), FRONTIER.evaluations[1])
    assert shown(short)["a | b"] == 8


def test_exits_of_one_none_and_too_many():
    assert bars(plot.exits(axes(), FRONTIER.evaluations[1]))["stage 2"] == [(0, 0.8, 0.2)]
    with pytest.raises(UsageError, match="at least one"):
        plot.exits(axes(), [])
    with pytest.raises(UsageError, match=r"25 committees .* at most 24"):
        plot.exits(axes(), [FRONTIER.evaluations[1]] * 25)


# draw


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("frontier", {"frontier": FRONTIER}),
        ("frontiers", {"frontiers": {"all": FRONTIER}}),
        ("exits", {"evaluations": FRONTIER.evaluations}),
        ("exits", {"evaluations": FRONTIER.evaluations[1]}),
    ],
)
def test_draw_writes_a_file(kind, what, ending, tmp_path):
    settings = dict(matplotlib.rcParams)
    path = plot.draw(kind, tmp_path / f"figure.{ending}", **what)
    assert path.read_bytes().startswith({"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[ending])
    assert dict(matplotlib.rcParams) == settings


def test_draw_makes_exits_as_high_as_they_need(tmp_path):
    def height(evaluations):
        path = plot.draw("exits", tmp_path / "exits.png", evaluations=evaluations)
        return int.from_bytes(path.read_bytes()[20:24], "big")

    assert height(FRONTIER.evaluations[1]) < height(FRONTIER) < height([FRONTIER.evaluations[1]] * 12)
    path = plot.draw("frontier", tmp_path / "small.png", frontier=FRONTIER, size=(4, 3), dpi=100)
    assert path.read_bytes()[16:24] == (400).to_bytes(4, "big") + (300).to_bytes(4, "big")


def test_draw_answers_unknown_names_with_the_known_ones(tmp_path):
    with pytest.raises(UnknownNameError, match="unknown plot 'frontir'; did you mean 'frontier'") as error:
        plot.draw("frontir", tmp_path / "x.png")
    assert all(name in str(error.value) for name in sorted(plot.PLOTS)[:12])


def test_draw_refuses_endings_and_places_it_cannot_write(tmp_path):
    for name in ("figure", "figure.xyz"):
        with pytest.raises(UsageError, match=r"known format; expected one of .*pdf, .*png"):
            plot.draw("frontier", tmp_path / name, frontier=FRONTIER)
    with pytest.raises(WiseCommitteeError, match=r"cannot write .*missing.*No such file"):
        plot.draw("frontier", tmp_path / "missing" / "x.png", frontier=FRONTIER)
    assert not list(tmp_path.iterdir())


def loaded(code):
    names = ("matplotlib", "matplotlib.pyplot")
    probe = f"import sys\n{code}\nprint(*(m for m in {names!r} if m in sys.modules))"
    return subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout.split()


def test_matplotlib_is_loaded_with_the_first_plot_and_pyplot_never():
    assert loaded("import wisecommittee.report") == []
    assert loaded("import wisecommittee as wc; wc.plot.PLOTS") == ["matplotlib"]


def test_a_frontier_of_many_points_is_drawn_by_a_thousand_of_them():
    many = tuple(evaluation(f"m{i}", 1.0 + i, i // 6) for i in range(5000))
    ax = drawn(plot.frontier(axes(), replace(FRONTIER, evaluations=many)))
    shown_points = points(line_named(ax, "frontier on"))
    assert len(shown_points) == plot_frontier.DRAWN
    assert (shown_points[0], shown_points[-1]) == (figures(many[:1])[0], figures(many[-1:])[0])
    assert max(len(line.get_xdata()) for line in ax.lines) <= plot_frontier.DRAWN


def test_a_long_label_stands_in_two_lines_parted_between_members():
    stages = "|".join(f"{letter * 60}" for letter in "abc")
    ax = drawn(plot.exits(axes(7.2, 1.6), [evaluation(stages, 10, 700, (0.5, 0.3, 0.2))]))
    lines = [text for text in shown(ax) if "aaa" in text or "ccc" in text]
    assert sorted(lines) == ["a" * 60 + " |", "b" * 60 + " | " + "c" * 60]

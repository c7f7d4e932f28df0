"""Self-cascades, scaled families, training cost and measured time, against the oracle; and the tables of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from analyses_pool import LEVELS, Case, cheapest, every_cascade, figures, ordered, rows
from matplotlib.figure import Figure

from wisecommittee.analyses import measured, resolutions, scaled_cascades, training
from wisecommittee.analyses.study import study_of
from wisecommittee.committees.committee import Committee
from wisecommittee.errors import AbsentError
from wisecommittee.report import plot, tables

N = 36


def study_of_case(case, **changes):
    return study_of(case.store, max_models=case.max_models, levels=LEVELS, threads=1, **changes)


# self-cascades

SIZES = {
    "a@240": (1, 10, 1.0),
    "a@300": (1, 24, 1.8),
    "b@260": (1, 20, 1.3),
    "b@380": (1, 60, 2.4),
    "c@300": (1, 50, 1.9),
}
PAIRS = {"a": ("a@240/0", "a@300/0"), "b": ("b@260/0", "b@380/0")}


def test_self_cascades_are_the_cheapest_of_two_stages():
    case = Case(SIZES, n=N)
    found = resolutions.self_cascades(case.study)
    assert [s.single.val.committee.models for s in found] == [("a@240/0",), ("b@260/0",), ("c@300/0",)]
    table = {(t["model"], t["split"]): t for t in rows(tables.fill("self-cascades", case.study))}
    matched = 0
    for s in found:
        model = s.single.val.committee.models[0]
        wanted = case.evaluate("val", [[model]])[0]
        least = []
        for pair in PAIRS.values():
            correct, (scores,), cost = ordered(case, "val", pair)
            for t in sorted(set(scores)):
                stage = [0 if score >= t else 1 for score in scores]
                right = sum(correct[k][i] for i, k in enumerate(stage))
                better = right > sum(correct[0])  # than its first stage alone
                if 0 < sum(stage) < N and right / N >= wanted and better:
                    least.append(sum(cost[k] for k in stage) / N)
        if not least:
            assert s.cascade is None
            continue
        matched += 1
        assert s.cascade.val.average_cost == min(least)
        assert s.cascade.val.quality >= wanted
        for e in s.cascade.on():
            assert figures(e) == case.evaluate(e.split, e.committee.stages, e.committee.thresholds)
            single, t = case.evaluate(e.split, [[model]]), table[model, e.split]
            assert (t["single_quality"], t["single_cost"]) == single[:2]
            assert (t["quality"], t["average_cost"]) == (e.quality, e.average_cost)
            assert t["speedup"] == single[1] / e.average_cost
            assert t["self_cascade"] in ("a/0-240-300", "b/0-260-380")
    assert matched


def test_checkpoints_are_known_by_weights_or_by_name():
    sizes = {
        "small/0": {"weights": "w", "input_size": (3, 240, 240)},
        "large/0": {"weights": "w", "input_size": (3, 300, 300)},
    }
    case = Case({"small": (1, 10, 1.0), "large": (1, 24, 1.8), "b": (1, 20, 1.3)}, n=N, fields=sizes)
    names = [[card.model for card in some] for some in resolutions.checkpoints(case.study.cards())]
    assert sorted(names) == [["b/0"], ["small/0", "large/0"]]
    assert resolutions.base_name("b3@240/1") == "b3/1"
    assert resolutions.base_name("b3/1") == "b3/1"


# scaled families

LADDER = {"b0": (2, 10, 0.9), "b1": (2, 17, 1.2), "b2": (2, 31, 1.6), "b3": (1, 60, 2.0), "other": (1, 5, 0.4)}


def best_within(case, sequence, cost):
    """(correct, total cost) of the best thresholds of a sequence within an average cost; None if there are none."""
    fitting = [(right, -total) for right, total in every_cascade(case, sequence) if total <= cost * N]
    return max(fitting, default=None)


def test_scaled_families_climb_their_ladder():
    case = Case(LADDER, n=N)
    base = Committee((("b0/0",), ("b0/1", "b1/0")), (0.5,))
    study = study_of_case(case, committees=(base,))
    found = scaled_cascades.scaled_cascades(study)
    # b1 is nearest in cost; the second replica of b0 can climb to b2/1, and b3 has one replica only.
    expected = [("b0/0", "b0/1", "b1/0"), ("b1/0", "b1/1", "b2/0"), ("b2/0", "b2/1", "b3/0")]
    assert [c.members for c in found] == expected[: len(found)]
    cost = case.evaluate("val", base.stages, base.thresholds)[1]
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
            assert figures(on) == case.evaluate(on.split, on.committee.stages, on.committee.thresholds)
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
    ax = plot.scaled(Figure(layout="constrained").add_subplot(), **what)
    ax.figure.canvas.draw()
    lines = {line.get_label(): list(zip(line.get_xdata(), line.get_ydata(), strict=True)) for line in ax.lines}
    family = what["family"]
    assert lines["models of the ladder"] == [(c.single.test.average_cost, c.single.test.quality) for c in family]
    drawn = [c.cascade.test for c in family if c.cascade]
    assert lines["scaled cascades"] == [(e.average_cost, e.quality) for e in drawn]
    assert (37e9 > lines["published"][-1][0] > 30e9, lines["published"][0]) == (True, (410_000_000, 0.781))


# training cost

POOL = {"a": (2, 10, 1.0), "b": (2, 27, 1.6), "c": (1, 90, 2.2)}
DAYS = {"a/0": 3.0, "a/1": 3.5, "b/0": 8.0, "b/1": 9.0, "c/0": 30.0}


def test_training_costs_add_up():
    case = Case(POOL, n=N, fields={m: {"training_cost": days} for m, days in DAYS.items()})
    found = {(t["model"], t["kind"], t["split"]): t for t in rows(tables.fill("training", case.study))}
    assert len(found) == 3 * 3 * 2
    frontier = case.search()
    for (model, kind, split), t in found.items():
        single = case.evaluate("val", [[model]])
        if kind == "single":
            assert (t["quality"], t["average_cost"], t["training_cost"]) == (
                *case.evaluate(split, [[model]])[:2],
                DAYS[model],
            )
            continue
        if kind == "committee":
            point = cheapest(frontier, round(single[0] * N))
            assert (t["quality"], t["average_cost"]) == case.evaluate(split, *point[2:])[:2]
            assert t["training_cost"] == sum(DAYS[m] for stage in point[2] for m in stage)
        assert t["training_ratio"] == t["training_cost"] / DAYS[model]
    for t in training.training(case.study):
        e = t.ensemble.val
        assert len(e.committee.stages) == 1
        assert e.quality >= t.single.val.quality
        assert t.costs[1] == sum(DAYS[m] for m in e.committee.models)
    made = tables.fill("training", study_of_case(case, published=True))
    last = rows(made)[-1]
    assert (last["committee"], last["training_cost"], last["training_ratio"]) == ("B5+B5+B5", 144, 0.9)


# measured time

TIMES = {"a/0": 4.0, "a/1": 4.5, "b/0": 5.0, "b/1": 5.5, "c/0": 20.0}


def in_time(case, e):
    """Average milliseconds of a committee, from the exits of the oracle."""
    exits = case.evaluate(e.split, e.committee.stages, e.committee.thresholds)[3]
    spent = [sum(TIMES[m] for stage in e.committee.stages[: k + 1] for m in stage) for k in range(len(exits))]
    return sum(share * ms for share, ms in zip(exits, spent, strict=True))


@pytest.mark.parametrize(("kind", "cost"), [("latency", "latency_ms"), ("throughput", "batch_ms")])
def test_time_of_committees_chosen_by_flops_and_by_time(kind, cost):
    case = Case(POOL, n=N, fields={m: {"costs": {cost: ms}} for m, ms in TIMES.items()})
    table = rows(tables.fill(kind, study_of_case(case)))
    name = {"latency": "latency_ms", "throughput": "throughput"}[kind]
    frontier = case.search()
    for m in measured.measured(case.study, cost):
        model = m.single.val.committee.models[0]
        for split in ("val", "test"):
            alone, by_flops, by_time = (t for t in table if (t["model"], t["split"]) == (model, split))
            ms = TIMES[model]
            shown = {"latency": lambda v: v, "throughput": lambda v: 1000 / v}[kind]
            assert alone[name] == pytest.approx(shown(ms))
            point = cheapest(frontier, round(m.single.val.quality * N))
            flops = case.evaluate(split, *point[2:])
            e = m.by_flops.val if split == "val" else m.by_flops.test
            assert (by_flops["quality"], by_flops["flops_speedup"]) == (flops[0], POOL[model[0]][1] / flops[1])
            assert by_flops[name] == pytest.approx(shown(in_time(case, e)))
            assert by_flops["speedup"] == pytest.approx(ms / in_time(case, e))
            assert by_flops["realised"] == pytest.approx(by_flops["speedup"] / by_flops["flops_speedup"])
            e = m.by_cost.val if split == "val" else m.by_cost.test
            assert by_time[name] == pytest.approx(shown(in_time(case, e)))
            assert by_time["speedup"] == pytest.approx(ms / in_time(case, e))
        assert m.by_cost.val.average_cost <= m.by_flops.val.average_cost * (1 + 1e-9) or m.by_cost.val.quality > 0
    made = tables.fill(kind, study_of_case(case, published=True))
    assert {c[-1] for c in made.cells()} == {"this store", "paper"}


def test_pools_without_flops_are_measured_all_the_same():
    case = Case(POOL, n=N, fields={m: {"costs": {"latency_ms": ms}, "blocks": {}} for m, ms in TIMES.items()})
    table = rows(tables.fill("latency", replace(study_of_case(case))))
    assert {t["chosen_by"] for t in table} == {"-", "latency_ms"}


# what is missing is named


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("self-cascades", r"two input sizes; extract .*--sizes 240,300"),
        ("scaled-cascades", r"no ladder of 3 .*b0, b1, b2"),
        ("training", r"no training cost on the card of a/0 \(5 of 5"),
        ("latency", r"no latency_ms .*bench-models MODEL --store memory"),
        ("throughput", "no batch_ms"),
    ],
)
def test_what_is_missing_is_named(kind, message):
    with pytest.raises(AbsentError, match=message):
        tables.fill(kind, Case(POOL, n=12).study)


def test_a_base_of_other_models_is_refused():
    case = Case(LADDER, n=12)
    base = Committee((("b0/0",), ("b1/0",)), (0.5,))
    with pytest.raises(AbsentError, match="b0/0 of the base cascade is not among the models"):
        scaled_cascades.scaled_cascades(study_of_case(case, committees=(base,), models=("b1/*", "b2/*")))

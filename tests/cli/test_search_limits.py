"""Limits and a time limit of a search, on the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest


def test_limits_on_the_command_line(run, store):
    options = ("--store", store, "--json", "--levels", 20)
    limits = ("--percentile", 90, "--max-percentile-cost", 500, "--max-average", "latency_ms=2.5")
    code, out, err = run("search", *options, *limits)
    assert code == 0, err
    found = json.loads(out)
    assert found["query"]["max_percentile_cost"] == [90, 500]
    assert found["query"]["max_average"] == {"latency_ms": 2.5}
    assert found["searched"]["method"] == "exhaustive"
    assert found["searched"]["complete"] is found["searched"]["certified"] is True
    val = found["val"]
    latency, cost = {"small": 1.5, "mid": 2.5, "large": 7}, {"small": 100, "mid": 400, "large": 1600}
    stages = found["committee"]["stages"]
    running = [sum(latency[m] for stage in stages[: k + 1] for m in stage) for k in range(len(stages))]
    spent = [sum(cost[m] for stage in stages[: k + 1] for m in stage) for k in range(len(stages))]
    assert val["averages"]["latency_ms"] == pytest.approx(np.dot(val["exit_ratios"], running))
    assert val["averages"]["latency_ms"] <= 2.5
    assert val["percentile_cost"]["cost"] in spent
    assert sum(r for r, c in zip(val["exit_ratios"], spent, strict=True) if c <= 500) >= 0.9
    assert {"percentile_cost", "averages"} <= set(found["test"])
    code, out, _ = run("search", *options, "--method", "exact", "--target-flops", 600)
    exact = json.loads(out)
    assert exact["searched"]["exact"] is True
    again = json.loads(run("search", *options, "--exact", "--target-flops", 600)[1])
    assert again["committee"] == exact["committee"]


def varying_store(folder):
    """Three models of answers that cost dollars and milliseconds by unit, without test units."""
    rng = np.random.default_rng(0)
    lines = ["unit_id,model,answer,confidence,usd,latency_ms"]
    labels = rng.integers(0, 3, 200)
    for k, model in enumerate(("small", "mid", "large")):
        right = rng.random(200) < 0.6 + 0.15 * k
        for i in range(200):
            said = labels[i] if right[i] else (labels[i] + 1) % 3
            sure = round(0.5 * right[i] + 0.5 * rng.random(), 2)
            usd, wait = round((0.0005 + 0.001 * rng.random()) * 4**k, 6), round(100 * (k + 1) * (0.5 + rng.random()), 1)
            lines.append(f"{i},{model},{said},{sure},{usd},{wait}")
    (folder / "answers.csv").write_text("\n".join(lines) + "\n")
    (folder / "labels.csv").write_text("unit_id,label\n" + "".join(f"{i},{y}\n" for i, y in enumerate(labels)))
    return ["--answers", folder / "answers.csv", "--labels", folder / "labels.csv"]


def test_limits_and_budgets_of_costs_that_vary_on_the_command_line(run, tmp_path):
    store = tmp_path / "S"
    assert run("import", "--store", store, "--split", "val", *varying_store(tmp_path))[0] == 0
    limits = ("--limit", "P(latency_ms > 250) <= 0.1", "--limit", "P(usd>0.01)<=0.2")
    asked = ("search", "--store", store, "--levels", 15, "--folds", 3, "--target-usd-per-1k", 4)
    code, out, err = run(*asked, *limits, "--json", "--save", tmp_path / "c.json")
    assert code == 0, err
    found = json.loads(out)
    assert found["query"]["cost"] == "usd"
    assert found["query"]["target_usd_per_1k"] == 4
    assert found["query"]["limit"] == ["P(latency_ms > 250) <= 0.1", "P(usd > 0.01) <= 0.2"]
    assert found["val"]["average_cost"] <= 0.004
    assert found["val"]["exceeding"]["P(latency_ms > 250)"] <= 0.1
    assert found["val"]["exceeding"]["P(usd > 0.01)"] <= 0.2
    code, out, err = run(
        "evaluate", tmp_path / "c.json", "--store", store, "--split", "val", "--json", "--units", tmp_path / "u.csv"
    )
    again = json.loads(out)
    assert again["percentiles"] == found["val"]["percentiles"]
    costs = np.sort(np.loadtxt(tmp_path / "u.csv", delimiter=",", skiprows=1, usecols=4))
    assert again["percentiles"]["usd"] == {f"p{p}": costs[-(-p * 200 // 100) - 1] for p in (50, 90, 99)}
    code, out, _ = run(*asked, *limits)
    assert "costs over the units" in out
    assert "P(latency_ms > 250): " in out
    assert "usd per 1,000 units" in out
    assert "$" in out


def test_a_stopped_search_says_so_on_the_command_line(run, store):
    code, out, err = run("search", "--store", store, "--json", "--time-limit", 0)
    assert code == 0
    searched = json.loads(out)["searched"]
    assert searched["complete"] is searched["certified"] is searched["exact"] is False
    assert "stopped before the end" in err
    assert f"{100 * searched['gap']:.2f} points" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--max-average", "latency_ms"), "NAME=NUMBER"),
        (("--max-average", "watts=3"), "no cost 'watts'"),
        (("--max-percentile-cost", 5, "--percentile", 0), "percentile"),
        (("--method", "genetic"), "unknown method 'genetic'"),
        (("--max-percentile-cost", 5), "raise one of them"),
    ],
)
def test_wrong_limits_end_in_one_line(run, store, arguments, message):
    code, _, err = run("search", "--store", store, *arguments)
    assert code in (1, 2)
    assert message in err
    assert len(err.strip().splitlines()) == 1

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

"""The command line through its contract: JSON objects, tables, exit codes, and one line for every mistake."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import wisecommittee as wc
from wisecommittee.store import LogitStore

N, C = 200, 5  # of imported_store


def evaluate_by_hand(committee: dict, split: str) -> tuple[int, float, list[float]]:
    """Correct, average cost and exit ratios from the imported files, in plain numpy."""
    cost = {"small": 100, "mid": 400, "large": 1600}
    labels = np.load(f"{split}_labels.npy")
    total = np.zeros((N, C), np.float32)
    waiting, spent, correct, exits, members = np.ones(N, bool), 0, 0, [], 0
    for k, stage in enumerate(committee["stages"]):
        for model in stage:
            total += np.load(f"{split}_{model}.npy")
            spent += cost[model] * waiting.sum()
            members += 1
        z = (total / np.float32(members)).astype(np.float64)
        p = np.exp(z - z.max(1, keepdims=True))
        confidence = (p / p.sum(1, keepdims=True)).max(1).astype(np.float32)
        last = k == len(committee["stages"]) - 1
        leaves = waiting & (last | (confidence >= (0 if last else committee["thresholds"][k])))
        correct += (total.argmax(1) == labels)[leaves].sum()
        exits.append(leaves.sum() / N)
        waiting &= ~leaves
    return int(correct), spent / N, exits


def test_search_json_is_the_contract(run, store):
    code, out, _ = run("search", "--store", store, "--target-flops", 600, "--json", "--save", "committee.json")
    assert code == 0
    answer = json.loads(out)
    assert {"query", "searched", "committee", "val", "test", "references", "speedup"} <= set(answer)
    assert answer["searched"]["combinations"] == 3 + 6 + 6
    assert answer["searched"]["threshold_vectors"] == 3 + 6 * 100 + 6 * 100**2
    assert answer["searched"]["exact"] is False
    assert answer["committee"]["version"] == 1
    for split in ("val", "test"):
        figures = answer[split]
        correct, cost, exits = evaluate_by_hand(answer["committee"], split)
        assert (figures["n"], figures["correct"]) == (N, correct)
        assert figures["quality"] == correct / N
        assert figures["average_flops"] == figures["average_cost"] == pytest.approx(cost, abs=1e-9)
        assert figures["exit_ratios"] == pytest.approx(exits)
        low, high = figures["interval"]
        assert low < figures["quality"] < high
    assert answer["val"]["average_flops"] <= 600
    best = answer["references"]["best_single"]
    assert (best["model"], best["flops"]) == ("large", 1600)
    cheapest = answer["references"]["cheapest_single_as_accurate"]
    expected = None if cheapest is None else cheapest["flops"] / answer["val"]["average_flops"]
    assert answer["speedup"] == expected
    code, out, _ = run("evaluate", "committee.json", "--store", store, "--json")
    evaluated = json.loads(out)
    assert evaluated["split"] == "test"
    assert {k: evaluated[k] for k in answer["test"]} == answer["test"]
    assert evaluated["committee"] == answer["committee"]


def test_targets(run, store):
    frontier = json.loads(run("search", "--store", store, "--json")[1])["frontier"]
    points = [(e["val"]["average_flops"], e["val"]["quality"]) for e in frontier]
    assert points == sorted(points)
    assert all(a[1] < b[1] for a, b in pairwise(points))
    wanted = points[len(points) // 2]
    best = ("--choose", "best", "--json")
    by_cost = json.loads(run("search", "--store", store, "--target-cost", wanted[0], *best)[1])
    by_quality = json.loads(run("search", "--store", store, "--target-accuracy", wanted[1], *best)[1])
    assert by_cost["val"] == by_quality["val"]
    matched = json.loads(run("search", "--store", store, "--match", "large", *best)[1])
    single = matched["references"]["best_single"]["quality"]
    assert matched["val"]["quality"] >= single
    assert matched["val"]["average_flops"] == next(c for c, q in points if q >= single)
    limited = json.loads(run("search", "--store", store, "--max-worst-flops", 500, "--json")[1])
    assert limited["val"]["worst_case_flops"] <= 500
    by_latency = json.loads(run("search", "--store", store, "--cost", "latency_ms", "--json")[1])
    assert "average_flops" not in by_latency["val"]
    assert by_latency["val"]["worst_case_cost"] <= 11


def test_what_is_matched_is_named_with_its_figures(run, store):
    def quality(split, *models):
        mean = sum(np.load(f"{split}_{model}.npy") for model in models)
        return float((mean.argmax(1) == np.load(f"{split}_labels.npy")).mean())

    matched = json.loads(run("search", "--store", store, "--match", "large", "--json")[1])
    on_test = {"quality": quality("test", "large"), "cost": 1600, "n": 200}
    expected = {"model": "large", "quality": quality("val", "large"), "cost": 1600, "flops": 1600, "test": on_test}
    assert matched["references"]["matched"] == expected
    ensemble = ("--match-ensemble", "small", "--match-ensemble", "mid")
    matched = json.loads(run("search", "--store", store, *ensemble, "--json")[1])
    right, on_test = quality("val", "small", "mid"), quality("test", "small", "mid")
    expected = {"models": ["small", "mid"], "quality": right, "cost": 500, "flops": 500}
    expected["test"] = {"quality": on_test, "cost": 500, "n": 200}
    assert matched["references"]["matched"] == expected
    together = json.loads(run("search", "--store", store, "--match-ensemble", "small,mid", "--json")[1])
    assert together["references"]["matched"] == expected
    code, _, err = run("search", "--store", store, "--match-ensemble", "small")
    assert (code, err.count("\n")) == (2, 1)
    assert "name all of them, as --match-ensemble A,B" in err
    assert (
        json.loads(run("search", "--store", store, "--target-flops", 600, "--json")[1])["references"]["matched"] is None
    )
    _, out, _ = run("search", "--store", store, "--match", "large")
    assert re.search(
        r"to be matched: large, \d\d\.\d\d % at 1\.6 k \(test \d\d\.\d\d %\); the committee is \d\.\d\dx cheaper", out
    )
    _, out, _ = run("search", "--store", store, *ensemble)
    both = rf"{100 * right:.2f} % at 500 \(test {100 * on_test:.2f} %\)"
    assert re.search(rf"to be matched: small \+ mid, {both}; the committee ", out)
    _, out, _ = run("search", "--store", store, "--match", "small", "--max-models", 1)
    assert re.search(r"to be matched: small, \d\d\.\d\d % at 100 \(test \d\d\.\d\d %\); it is the committee", out)


@pytest.mark.parametrize(
    ("cost", "price", "words"),
    [
        (100.0, 100.0, "; the committee is as dear on average"),
        (100.0, 127.0, "; the committee is 1.27x cheaper on average"),
        (103.0, 100.0, "; the committee is 1.03x as dear on average"),
        (1000.0, 1001.0, "; the committee is as dear on average"),
    ],
)
def test_words_about_costs_are_true_as_printed(cost, price, words):
    from types import SimpleNamespace

    from wisecommittee.cli.show import _compared

    from wisecommittee import Committee

    models = ((cost, "a"), (price, "b"))
    val, other = (SimpleNamespace(x=x, committee=Committee(((model,),))) for x, model in models)
    found = SimpleNamespace(val=val, frontier=SimpleNamespace(x=lambda e: e.x, axis="average"))
    assert _compared(found, other) == words
    assert _compared(found, val) == "; it is the committee"


def test_a_committee_is_saved_for_a_target_only(run, store):
    code, out, err = run("search", "--store", store, "--save", "c.json")
    assert (code, out) == (2, "")
    assert "name one, such as --target-flops" in err
    assert not os.path.exists("c.json")
    assert run("search", "--store", store, "--save", "c.json", "--match", "mid")[0] == 0


def test_committees_whose_members_are_on_test_are_reported(run, store):
    """Test lacks one of three models: what needs it says so, all else has its figures."""
    assert run("remove", "large", "--store", store, "--split", "test")[0] == 0
    _, out, _ = run("search", "--store", store)
    rows = [line.split() for line in out.splitlines() if re.match(r" *(small|mid|large)", line)]
    with_large = [any(name == "large" for name in row) for row in rows]
    assert {True, False} == set(with_large)
    for row, lacks in zip(rows, with_large, strict=True):
        after = row[next(i for i, cell in enumerate(row) if cell.startswith("±")) + 1]
        assert (after == "-") is lacks
    assert "The test split lacks large." in " ".join(out.split())
    dear = json.loads(run("search", "--store", store, "--match", "large", "--max-models", 1, "--json")[1])
    assert (dear["test"], dear["test_lacks"]) == (None, ["large"])
    _, out, _ = run("search", "--store", store, "--match", "large", "--max-models", 1)
    assert "The test split lacks large; put it there too" in " ".join(out.split())
    cheap = json.loads(run("search", "--store", store, "--target-flops", 120, "--json")[1])
    assert cheap["test_lacks"] == []
    assert cheap["test"]["n"] == N
    code, out, _ = run("tables", "frontier", "--store", store, "--format", "csv")
    assert (code, "test_quality" in out.splitlines()[0]) == (0, True)


def test_the_only_cost_of_a_store_is_the_cost(run, store):
    (store.parent / "usd.csv").write_text("model,usd\nsmall,0.1\nmid,0.4\n")
    arrays = [part for name in ("small", "mid") for part in ("--logits", f"{name}=val_{name}.npy")]
    given = ("--store", "U", "--labels", "val_labels.npy", "--costs", "usd.csv", *arrays)
    assert run("import", *given)[0] == 0
    named = json.loads(run("search", "--store", "U", "--cost", "usd", "--target-cost", 0.2, "--json")[1])
    for options in (("--target-cost", 0.2), ("--target-cost", 0.2, "--max-worst-cost", 1)):
        found = json.loads(run("search", "--store", "U", *options, "--json")[1])
        assert found["query"]["cost"] == "usd"
        assert found["val"] == named["val"]
    code, _, err = run("search", "--store", "U", "--target-flops", 5)
    assert (code, "the cost is usd" in err) == (2, True)
    code, _, err = run("search", "--store", "U", "--max-worst-flops", 5)
    assert (code, "--max-worst-cost" in err) == (2, True)
    assert run("tables", "frontier", "--store", "U")[0] == 0
    # Of several costs FLOPs are meant, and where there are none of those, one has to be named.
    assert json.loads(run("search", "--store", store, "--json")[1])["query"]["cost"] == "flops"
    (store.parent / "two.csv").write_text("model,usd,eur\nsmall,0.1,1\nmid,0.4,2\n")
    assert run("import", "--store", "T", *given[2:4], "--costs", "two.csv", *arrays)[0] == 0
    code, _, err = run("search", "--store", "T")
    assert (code, "costs in this pool: eur, usd. Choose one with --cost" in err) == (1, True)


def test_models_are_chosen_and_left_out(run, store):
    def models(*patterns):
        given = [part for pattern in patterns for part in ("--models", pattern)]
        code, out, err = run("search", "--store", store, *given, "--json")
        return json.loads(out)["query"]["models"] if code == 0 else (code, err)

    assert models("small,large") == ["large", "small"]
    assert models("!large") == models("!l*") == models("small", "mid") == ["mid", "small"]
    assert models("*,!large", "!mid") == ["small"]
    assert models("xxl")[0] == models("!xxl")[0] == models("small,xxl")[0] == 1
    assert "unknown model in val 'xxl'" in models("small,!xxl")[1]
    assert models("small,,mid")[0] == models("!")[0] == 2
    assert models("small,!s*")[1].startswith("error: 'small,!s*' leaves none of the 3 models")


def test_output_is_the_same_for_any_threads(run, store, monkeypatch):
    def answer(*more):
        found = json.loads(run("search", "--store", store, "--json", *more)[1])
        del found["searched"]["seconds"]
        return found

    first = answer("--threads", 1)
    assert answer("--threads", 3) == first
    monkeypatch.setenv("WISECOMMITTEE_THREADS", "2")
    assert answer() == first


def test_tables_for_people(run, store):
    code, out, _ = run("search", "--store", store)
    assert code == 0
    assert "val chose these" in " ".join(out.split())
    assert "test %" in out
    code, out, _ = run("search", "--store", store, "--target-flops", 600)
    assert "its figures there flatter it" in " ".join(out.split())
    assert out.startswith(("USE: ", "NOT SHOWN: ", "DO NOT USE: "))
    assert "answer if max_prob >=" in out
    assert "best single model: large" in out
    code, out, _ = run("models", "--store", store)
    assert code == 0
    assert "1.6 k" in out
    listed = json.loads(run("models", "--store", store, "--json")[1])["models"]
    labels = np.load("val_labels.npy")
    accuracy = (np.load("val_mid.npy").argmax(1) == labels).mean()
    assert next(m for m in listed if (m["model"], m["split"]) == ("mid", "val"))["quality"] == accuracy


def test_verify_split_remove(run, store):
    assert run("verify", "--store", store)[0] == 0
    part = next((store / "val/model=mid").glob("part-*.parquet"))
    part.write_bytes(part.read_bytes()[:-1])
    code, out, _ = run("verify", "--store", store, "--json")
    assert code == 1
    assert "model=mid" in json.loads(out)["problems"][0]
    assert run("remove", "mid", "--store", store)[0] == 0
    assert run("verify", "--store", store)[0] == 0
    assert run("split", "--store", store, "--split", "val", "--into", "a=0.5,b=0.5")[0] == 0
    models = json.loads(run("models", "--store", store, "--json")[1])["models"]
    assert {m["split"] for m in models} == {"a", "b", "test", "val"}


def test_a_rerun_of_what_is_done_is_done(run, store):
    divide = ("split", "--store", store, "--split", "val", "--into", "a=0.5,b=0.5")
    first, again = run(*divide), run(*divide)
    assert (first[0], again[0]) == (0, 0)
    assert again[1] == first[1].rstrip("\n") + " (divided already)\n"
    assert run("remove", "mid", "--store", store)[:2] == (0, "removed mid from a, b, test, val\n")
    code, out, err = run("remove", "mid", "--store", store)
    assert (code, err) == (0, "")
    assert out.startswith("nothing to remove: mid is not in any split of ")
    assert run("remove", "mid", "--store", store, "--split", "c")[0] == 0
    assert "; small is, should that be meant" in run("remove", "smal", "--store", store)[1]


def test_tables_are_printed_in_every_format(run, store):
    code, text, _ = run("tables", "frontier", "--store", store)
    assert code == 0
    assert "speed-up" in text
    code, text, _ = run("tables", "frontier", "--store", store, "--json")
    found = json.loads(text)
    place = found["columns"].index("average_cost")
    assert found["rows"][0][place] == 100
    for name, start in (("t.csv", "committee,"), ("t.md", "**Frontier**"), ("t.tex", "\\begin{table}")):
        code, text, _ = run("tables", "--store", store, "--out", name)
        assert (code, text) == (0, f"wrote {name}\n")
        written = (store.parent / name).read_text()
        assert written.startswith(start)
    assert run("tables", "--store", store, "--format", "latex")[1] == written


def test_a_frontier_brings_its_options(run, store):
    asked = (
        "--cost",
        "latency_ms",
        "--max-models",
        2,
        "--models",
        "mid",
        "--models",
        "large",
        "--confidence",
        "logit_gap",
    )
    assert run("search", "--store", store, *asked, "--frontier", "f.parquet")[0] == 0
    for kind in ("match", "diversity", "frontier"):
        searched = run("tables", kind, "--store", store, *asked, "--json")
        assert run("tables", kind, "--store", store, "--frontier", "f.parquet", "--json") == searched
    made = json.loads(run("tables", "match", "--store", store, "--frontier", "f.parquet", "--json")[1])
    assert (made["cost"], {row[0] for row in made["rows"]}) == ("latency_ms", {"mid", "large"})
    for option, value in (("cost", "flops"), ("split", "test")):
        code, out, err = run("plot", "--store", store, "--frontier", "f.parquet", f"--{option}", value)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert f"leave --{option} out, or the frontier" in err


def test_reports_take_the_options_of_a_search(run, store):
    asked = ("--store", store, "--confidence", "prob_gap", "--combine", "mean_probs", "--replicas", "all")
    found = json.loads(run("search", *asked, "--json")[1])["frontier"]
    table = json.loads(run("tables", "frontier", *asked, "--json")[1])
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
    shown = {(e["val"]["quality"], e["val"]["average_cost"], e["expected"]["quality"]) for e in found}
    assert len(rows) > 3
    assert {(row["quality"], row["average_cost"], row["expected_quality"]) for row in rows} <= shown
    assert "expected_quality" not in json.loads(run("tables", "frontier", *asked, "--folds", 0, "--json")[1])["columns"]
    assert run("report", *asked)[0] == 0
    assert "--replicas all --combine mean_probs --confidence prob_gap" in (store.parent / "report.html").read_text()


def test_a_frontier_file_brings_its_expected_figures_to_plots_and_tables(run, store):
    found = json.loads(run("search", "--store", store, "--frontier", "f.parquet", "--json")[1])["frontier"]
    table = json.loads(run("tables", "frontier", "--store", store, "--frontier", "f.parquet", "--json")[1])
    expected = {e["expected"]["quality"] for e in found}
    assert {c for c in table["columns"] if "expected" in c} == {"expected_quality", "expected_low", "expected_high"}
    assert {row[table["columns"].index("expected_quality")] for row in table["rows"]} <= expected
    assert run("search", "--store", store, "--frontier", "g.parquet", "--folds", 0)[0] == 0
    _, text, _ = run("tables", "frontier", "--store", store, "--frontier", "g.parquet")
    assert "this frontier file has no expected figures" in " ".join(text.split())


def test_the_verdict_and_test_stand_above_the_committee(run, store):
    said = json.loads(run("search", "--store", store, "--match", "large", "--json")[1])
    _, text, _ = run("search", "--store", store, "--match", "large")
    words = " ".join(text.split())
    assert words.startswith(
        {"use": "USE: ", "do_not_use": "DO NOT USE: ", "not_shown": "NOT SHOWN: "}[said["verdict"]["word"]]
    )
    test = said["comparison"]["test"]
    if said["committee"]["stages"] != [["large"]]:
        assert f"On test (n = 200): {100 * abs(test['difference']):.2f} points" in words
        assert "if test was looked at once" in words


def test_kinds_are_listed(run):
    for command in ("plot", "tables"):
        code, text, _ = run(command, "--list")
        assert code == 0
        assert "frontier" in text


def test_plots_are_written(run, store):
    for kind in ("frontier", "exits"):
        code, _, err = run("plot", kind, "--store", store, "--out", f"{kind}.png", "--ensembles")
        assert code == 0, err
        assert (store.parent / f"{kind}.png").read_bytes().startswith(b"\x89PNG")


MISTAKES = [
    (("search", "--store", "nowhere"), 1, "no store at 'nowhere'"),
    (("search", "--store", "S", "--split", "test"), 2, "only reports"),
    (("search", "--store", "S", "--split", "train"), 1, "splits: test, val"),
    (("search", "--store", "S", "--target-flops", "1"), 1, "the cheapest is small at 100"),
    (("search", "--store", "S", "--target-flops", "-1"), 2, "finite number from 0"),
    (("search", "--store", "S", "--target-flops", "nan"), 2, "finite number from 0"),
    (("search", "--store", "S", "--target-flops", "lots"), 2, "Invalid value for '--target-flops'"),
    (("search", "--store", "S", "--target-accuracy", "94"), 2, "such as 0.94"),
    (("search", "--store", "S", "--target-accuracy", "1"), 1, "the best is"),
    (("search", "--store", "S", "--target-flops", "1e3", "--match", "large"), 2, "choose one target"),
    (("search", "--store", "S", "--match", "larg"), 1, "did you mean 'large'"),
    (("search", "--store", "S", "--models", "x*"), 1, "no model in val matches 'x*'; there are "),
    (("calibrate", "--store", "S", "--model", "!zz*"), 1, "no model in val matches 'zz*'; there are "),
    (("search", "--store", "S", "--confidence", "maxprob"), 2, "did you mean 'max_prob'"),
    (("search", "--store", "S", "--combine", "average"), 2, "mean_logits"),
    (("search", "--store", "S", "--cost", "usd"), 1, "costs in this pool: flops, latency_ms"),
    (("search", "--store", "S", "--max-worst-flops", "10"), 1, "the cheapest model costs 100"),
    (("search", "--store", "S", "--levels", "1"), 2, "2 to"),
    (("evaluate", "none.json", "--store", "S"), 1, "no such file"),
    (("plot", "frontiers", "--store", "S"), 2, "did you mean 'frontier'"),
    (("tables", "frontir", "--store", "S"), 2, "did you mean 'frontier'"),
    (
        ("tables", "replicas", "--store", "S"),
        1,
        "need 3 of an architecture, this pool has 1 at most; train more and name them ",
    ),
    (("tables", "diversity", "--store", "S"), 1, "every architecture has one replica"),
    (("tables", "self-cascades", "--store", "S"), 1, "no checkpoint is in the store at two input sizes"),
    (("tables", "scaled-cascades", "--store", "S"), 1, "no ladder of 3 architectures"),
    (("tables", "training", "--store", "S"), 1, "no training cost on the card of large"),
    (("tables", "throughput", "--store", "S"), 1, "bench-models MODEL --store"),
    (("tables", "match", "--store", "S", "--models", "small"), 1, "there is one model only"),
    (("plot", "parallel", "--store", "S"), 1, "every architecture has one replica"),
    (("tables", "--store", "S", "--format", "word"), 2, "unknown format 'word'"),
    (("plot", "frontier", "--store", "S", "--out", "x.gifx"), 2, "x.gifx"),
    (("import", "--store", "S"), 2, "nothing to import"),
    (("import", "--store", "S", "--logits", "a"), 2, "NAME=FILE"),
    (("import", "--store", "S", "--logits", "a=b.npy"), 2, "--labels is missing"),
    (("split", "--store", "S", "--into", "val"), 2, "NAME=SHARE"),
    (("split", "--store", "S", "--into", "a=1,a=2"), 2, "'a' stands twice"),
    (("split", "--store", "S", "--split", "val", "--into", "a=1,b=nan"), 2, "--into a=1,b=nan; expected two or more"),
    (("split", "--store", "S", "--split", "val", "--into", "a=1,b=1e-9"), 1, "200 units, too few for a=1,b=1e-09"),
    (
        (
            "import",
            "--store",
            "S",
            "--dtype",
            "int8",
            "--labels",
            "val_labels.npy",
            "--costs",
            "models.csv",
            "--logits",
            "small=val_small.npy",
        ),
        2,
        "dtype 'int8'",
    ),
    (("tables", "--store", "S", "--frontier", "f"), 1, "f: no such file; write one with `wisecommittee search --front"),
    (("serch",), 2, "serch"),
    (("search", "--nonsense"), 2, "--nonsense"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), MISTAKES, ids=lambda value: str(value)[:60])
def test_mistakes_end_in_one_line(run, store, arguments, code, message):
    ended, out, err = run(*arguments)
    assert ended == code
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert out == ""


# What is named or needed is not there: always 1. {c} is a committee of models that the store holds.
ABSENT = [
    *[((*command, "--store", "nowhere"), "no store at 'nowhere'") for command in (
        ("models",), ("verify",), ("search",), ("evaluate", "c.json"), ("calibrate", "--model", "small"), ("plot",),
        ("report",), ("tables",), ("compare",), ("split", "--into", "a=1,b=1"), ("remove", "small"),
        ("import", "--costs", "models.csv"), ("bench-models", "--committee", "c.json"),
    )],
    *[((*command, "--split", "train"), "has no split 'train'; splits: test, val") for command in (
        ("models",), ("search",), ("evaluate", "c.json"), ("calibrate", "--model", "small"), ("plot",), ("report",),
        ("tables",), ("compare",), ("split", "--into", "a=1,b=1"), ("bench-models", "--committee", "c.json"),
    )],
    *[(command, "unknown model") for command in (
        ("search", "--models", "huge"), ("search", "--match", "huge"), ("calibrate", "--model", "huge"),
        ("plot", "--models", "huge"), ("report", "--models", "huge"), ("report", "--match", "huge"),
        ("tables", "--models", "huge"), ("import", "--costs", "other.csv"),
        ("search", "--match-ensemble", "small", "--match-ensemble", "huge"),
        ("bench-models", "--committee", "c.json", "--data", "digits", "--against", "huge"),
        ("import", "--labels", "val_labels.npy", "--costs", "other.csv", "--logits", "small=val_small.npy"),
    )],
    *[((*command, "--cost", "usd"), "has no cost 'usd'; costs in this pool: flops, latency_ms") for command in (
        ("search",), ("evaluate", "c.json"), ("plot",), ("report",), ("tables",),
    )],
    *[(command, "none.") for command in (
        ("evaluate", "none.json"), ("plot", "--committee", "none.json"), ("tables", "--committee", "none.json"),
        ("plot", "--frontier", "none.parquet"), ("tables", "--frontier", "none.parquet"),
        ("report", "--frontier", "none.parquet"), ("plot", "learning", "--curves", "none.parquet"),
        ("import", "--costs", "none.csv"), ("import", "--answers", "none.csv"),
        ("import", "--labels", "none.npy", "--costs", "models.csv", "--logits", "a=val_small.npy"),
        ("import", "--labels", "val_labels.npy", "--costs", "models.csv", "--logits", "small=none.npy"),
        ("extract", "--data", "npz:none.npz", "conv4"), ("bench-models", "--committee", "none.json"),
    )],
    (("search", "--calibrated"), "not calibrated on val"),
    (("search", "--family", "anytime"), "needs the members of a jointly trained network"),
    (("search", "--family", "halting"), "needs the members of a jointly trained network"),
    (("search", "--family", "self_cascade"), "one checkpoint at two input sizes"),
    (("search", "--save", "none/c.json"), "there is no folder 'none'"),
    (("train", "pool", "--backbone", "resnet18", "--data", "cifar10:nowhere"), "no data in 'nowhere'"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "message"), ABSENT, ids=lambda value: str(value)[:60])
def test_what_is_not_there_is_no_wrong_usage(run, store, monkeypatch, arguments, message):
    if arguments[0] in ("bench-models", "extract", "train"):
        pytest.importorskip("torch")
    monkeypatch.setenv("WISECOMMITTEE_STORE", str(store))
    (store.parent / "other.csv").write_text("model,flops\nhuger,1\n")
    (store.parent / "c.json").write_text('{"version": 1, "stages": [["small"], ["mid"]], "thresholds": [0.5]}')
    code, out, err = run(*arguments)
    assert message in err
    assert (code, out, len(err.strip().splitlines())) == (1, "", 1)


@pytest.mark.parametrize("file", [".", "S", "S/"])
@pytest.mark.parametrize("arguments", [("search", "--save"), ("search", "--frontier"), ("report", "--out"),
                                       ("tables", "--format", "csv", "--out")])  # fmt: skip
def test_a_folder_is_no_file_to_write(run, store, arguments, file):
    code, out, err = run(*arguments, file, "--store", store)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "is a folder; expected the name of a file to write" in err


def test_a_file_is_written_whole_or_not_at_all(run, store, monkeypatch):
    """The disk is full at the last step: what was there stays, and nothing else does."""
    before = dict.fromkeys(("c.json", "f.parquet", "t.csv", "r.html", "p.png"), b"old")
    for name, text in before.items():
        (store.parent / name).write_bytes(text)
    there = set(store.parent.iterdir())

    replace = os.replace

    def full(source, target):
        if os.path.basename(target) in before:
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr("os.replace", full)
    options = ("search --match mid --save", "search --frontier", "tables --out", "report --out", "plot --out")
    for arguments, name in zip(options, before, strict=True):
        code, out, err = run(*arguments.split(), name, "--store", store)
        assert (code, out, err.count("\n")) == (1, "", 1), err
        assert "No space left on device" in err
    assert {name: (store.parent / name).read_bytes() for name in before} == before
    assert set(store.parent.iterdir()) - there <= {store.parent / "cache"}


BAD_COMMITTEES = [
    ("not json", "not a committee in JSON"),
    ("[]", "JSON object"),
    ('{"stages": [["small"]]}', "version None"),
    ('{"version": 2, "stages": [["small"]]}', "version 2"),
    ('{"version": 1}', "'stages' is missing"),
    ('{"version": 1, "stages": [["small"], ["mid"]], "thresholds": []}', "0 thresholds for 2 stages"),
    ('{"version": 1, "stages": [["small"], ["mid"]], "thresholds": [NaN]}', "not finite"),
    ('{"version": 1, "stages": [["small"], ["mid"]], "thresholds": ["a"]}', "list of numbers"),
    ('{"version": 1, "stages": [["small"], ["small"]], "thresholds": [0.5]}', "more than once"),
    ('{"version": 1, "stages": [[]]}', "at least one model"),
    ('{"version": 1, "stages": "small"}', "list of lists"),
    ('{"version": 1, "stages": [["small"]], "thresholdz": []}', "unknown field 'thresholdz'"),
    ('{"version": 1, "stages": [["huge"]]}', "does not hold"),
    ('{"version": 1, "stages": [["small"]], "combine": "vote"}', "unknown combining rule 'vote'"),
    ('{"version": 1, "stages": [["small"]], "confidence": "guess"}', "unknown confidence 'guess'"),
    ('{"version": 1, "stages": [["small"]], "members": {"small": {"blocks": {"small": 7}}}}', "multiply-adds differ"),
    ("[" * 100_000, "not a committee in JSON"),
]


@pytest.mark.parametrize(("text", "message"), BAD_COMMITTEES, ids=lambda value: value[:40])
def test_bad_committees_are_explained(run, store, text, message):
    (store.parent / "c.json").write_text(text)
    code, _, err = run("evaluate", "c.json", "--store", store)
    assert code == 1
    assert message in err
    assert len(err.strip().splitlines()) == 1


def test_other_weights_need_force(run, store):
    committee = {"version": 1, "stages": [["small"]], "members": {"small": {"blocks": {"small": 7}}}}
    (store.parent / "c.json").write_text(json.dumps(committee))
    assert run("evaluate", "c.json", "--store", store, "--force")[0] == 0


def test_help_has_examples(run):
    for command in ("search", "import", "extract", "evaluate", "split", "plot", "tables", "models"):
        code, out, _ = run(command, "--help")
        assert code == 0
        assert "Example" in out


def test_warnings_are_one_line(tmp_path, store):
    """Through a real process: softmax outputs declared as logits."""
    p = np.random.default_rng(0).dirichlet(np.ones(C), N).astype(np.float32)
    np.save(tmp_path / "p.npy", p)
    (tmp_path / "models.csv").write_text("model,flops\np,1\n")
    code = "from wisecommittee.cli import main; main()"
    arguments = ["import", "--store", "T", "--labels", "val_labels.npy", "--costs", "models.csv", "--logits", "p=p.npy"]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0
    assert done.stderr.startswith("warning: p in val")
    assert len(done.stderr.strip().splitlines()) == 1


def test_report_writes_one_page(store, run):
    code, out, err = run("report", "--store", store, "--cost", "latency_ms", "--target-cost", "4", "--threads", "1")
    assert (code, out.strip()) == (0, "wrote report.html"), err
    text = (store.parent / "report.html").read_text()
    assert "average latency_ms per unit" in text
    assert "--target-cost 4" in text
    code, _, err = run("report", "--store", store, "--target-cost", "4", "--match", "mid")
    assert (code, err.count("\n")) == (2, 1)
    assert "choose one target" in err


@pytest.mark.parametrize(
    "arguments",
    [("search", "--save", "no/c.json"), ("search", "--frontier", "no/f.parquet"), ("report", "--out", "no/r.html"),
     ("plot", "frontier", "--out", "no/f.png")],
)  # fmt: skip
def test_a_file_in_no_folder_is_refused_before_the_work(arguments, store, run):
    code, out, err = run(*arguments, "--store", store)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "there is no folder 'no'; make it first" in err


def test_a_percentile_without_its_limit_is_refused(store, run):
    code, out, err = run("search", "--store", store, "--percentile", "95")
    assert (code, out) == (2, "")
    assert "add --max-percentile-cost NUMBER" in err


@pytest.mark.parametrize("locale", ["C", "en_US.ISO-8859-1"])
def test_any_text_in_any_locale(store, tmp_path, locale):
    """Names of models, files and folders beyond ASCII, where neither the locale nor Python knows UTF-8."""
    environment = {**os.environ, "LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    (tmp_path / "prices.csv").write_text("model,flops\nmod\u00e8le,100\n\u6f22\u5b57,900\n", encoding="utf-8")
    os.rename("val_small.npy", "\u00e9.npy")

    def run(*arguments: str) -> bytes:
        code = "from wisecommittee.cli import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", code, *(a.encode() for a in arguments)],
            capture_output=True, env=environment, cwd=tmp_path, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert not done.stderr
        return done.stdout

    arrays = ("--logits", "mod\u00e8le=\u00e9.npy", "--logits", "\u6f22\u5b57=val_large.npy")
    run("import", "--store", "\u00fc", "--labels", "val_labels.npy", "--costs", "prices.csv", *arrays)
    found = json.loads(run("search", "--store", "\u00fc", "--match", "mod\u00e8le", "--save", "\u00df.json", "--json"))
    saved = json.loads((tmp_path / "\u00df.json").read_text(encoding="utf-8"))
    assert saved == found["committee"]
    assert {name for stage in saved["stages"] for name in stage} <= {"mod\u00e8le", "\u6f22\u5b57"}
    assert (
        json.loads(run("evaluate", "\u00df.json", "--store", "\u00fc", "--split", "val", "--json"))["committee"]
        == saved
    )
    assert "mod\u00e8le" in run("models", "--store", "\u00fc").decode()
    assert "\u00b1" in run("search", "--store", "\u00fc").decode()
    assert run("remove", "mod\u00e8le", "--store", "\u00fc").decode() == "removed mod\u00e8le from val\n"


@pytest.mark.parametrize("megabytes", [300, 500, 700])
def test_too_little_address_space_is_one_line(store, megabytes):
    """As `ulimit -v` sets it."""
    resource = pytest.importorskip("resource")
    limit = megabytes << 20
    done = subprocess.run(
        [sys.executable, "-c", "from wisecommittee.cli import main; main()", "search", "--store", str(store)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert re.fullmatch(r"error: .*(address space|memory).*\n", done.stderr)


def test_a_store_may_be_named_by_its_folder(store):
    found = wc.search(store)
    assert [e.figures() for e in found] == [e.figures() for e in wc.search(LogitStore(store))]
    best = found.best().committee
    assert wc.evaluate(best, Path(store)).quality == wc.evaluate(best, LogitStore(store)).quality
    assert wc.evaluate_all([best], str(store), "val")[0].quality == found.best().quality
    assert wc.Study(str(store)).frontier().best().committee == best


def test_an_import_of_answers_prints_what_they_cost(run, tmp_path):
    """No column of multiply-adds where nobody has any; of costs that differ between units the mean."""
    (tmp_path / "answers.csv").write_text(
        "unit_id,model,answer,confidence,usd,label\n1,a,x,.5,.001,x\n2,a,y,.6,.002,x\n1,b,x,.9,.01,x\n2,b,x,.8,.01,x\n"
    )
    _, said, _ = run("import", "--store", tmp_path / "answers", "--answers", tmp_path / "answers.csv")
    assert "MACs" not in said
    assert "mean usd" in said
    assert re.search(r"a +added +2 +50.00 +0.0015 ", said)

"""Tables on terminals of any width, and what the commands print: no name is lost, every figure that was asked is there,
and the words are true."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from wisecommittee.cli import console, main
from wisecommittee.cli.layout import EDGES, lay_out
from wisecommittee.cli.show import beside, show_table

from wisecommittee import Committee, LogitStore, ModelCard
from wisecommittee.analyses.study import study_of
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.report import tables
from wisecommittee.searches.evaluate import evaluate
from wisecommittee.searches.search import search
from wisecommittee.searches.units import evaluate_units
from wisecommittee.store.imports.answers import import_answers
from wisecommittee.store.imports.segmentation import import_images

WIDTHS = (60, 80, 200)
UNITS = 80


def name(rung, replica):
    return f"tf_efficientnet_b{rung}.ns_jft_in1k_384_distil/{replica}"  # 42 characters


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = LogitStore(tmp_path_factory.mktemp("long") / "logits")
    for split, seed in (("val", 1), ("test", 2)):
        rng = np.random.default_rng(seed)
        labels = rng.integers(0, 4, UNITS)
        for rung in range(4):
            for replica in range(3):
                outputs = rng.standard_normal((UNITS, 4)).astype(np.float32)
                outputs[np.arange(UNITS), labels] += np.float32(0.5 + 0.5 * rung)
                costs = {"latency_ms": 1.0 + rung, "batch_ms": 0.5 + rung}
                card = ModelCard(name(rung, replica), blocks={f"{rung}/{replica}": 10**6 * 5**rung}, costs=costs,
                                 training_cost=1.0 + rung)  # fmt: skip
                store.add(card, split, labels=labels, outputs=outputs)
    return store


@pytest.fixture(scope="module")
def committee(store, tmp_path_factory):
    chosen = Committee(((name(0, 0),), (name(1, 0), name(2, 0))), Thresholds((0.6,)), chosen_on="val")
    path = tmp_path_factory.mktemp("committee") / "committee.json"
    chosen.save(path)
    return path


@pytest.fixture(scope="module")
def study(store, committee):
    return study_of(store, max_models=2, levels=8, threads=1, committees=(Committee.load(committee),))


@pytest.fixture
def at_width(monkeypatch):
    """at_width(60): the terminal is so wide from now on."""
    return lambda width: monkeypatch.setattr(console.out, "width", width)


def signs(texts):
    return Counter("".join("".join(text.split()) for text in texts))


def whole(text, texts, width):
    """Nothing is cut: each line fits, and every sign of these texts is there."""
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    assert not signs(texts) - signs([text])


KINDS = [kind for kind in tables.TABLES if kind not in ("calibration", "self-cascades", "leaves")]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_table_is_whole_at_any_width(kind, width, study, at_width, capsys):
    made = tables.fill(kind, study if kind in ("exits", "thresholds", "confidence") else replace(study, committees=()))
    at_width(width)
    show_table(made, "rich")
    whole(capsys.readouterr().out, [made.title, *made.notes, *(cell for row in made.cells() for cell in row)], width)


@pytest.mark.parametrize("width", [*range(24, 60, 7), *WIDTHS])
def test_a_layout_shows_every_column_once_and_its_names_in_the_first_block(width):
    headings = ["committee", "split", "top-1 accuracy (%)", "FLOPs\nper unit", "exits per stage (%)", "model", "gain"]
    names = [True, True, False, False, False, True, False]
    rows = [["a" * 40, "val", "99.50", "1.00 M", "50.0 / 50.0", "b" * 40, "+1.0"]] * 12
    layout = lay_out(headings, names, rows, width - EDGES)
    shown = [column for block in layout.blocks for column in block]
    assert set(shown) == set(range(7))
    assert {column for column, count in Counter(shown).items() if count > 1} <= {1}  # the short names
    assert layout.blocks[0][:2] == (0, 1)
    for heading, lines in zip(headings, layout.headings, strict=True):
        assert " ".join(lines).split() == heading.split()


# Commands


@pytest.fixture
def run(capsys, monkeypatch, at_width):
    """run(width, 'models', ..) -> what it prints."""

    def call(width, *arguments):
        monkeypatch.setattr(sys, "argv", ["wisecommittee", *map(str, arguments)])
        at_width(width)
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        assert ended.value.code == 0, captured.err
        return captured.out

    return call


@pytest.mark.filterwarnings("ignore:.*right as often as chance")  # a model of the pool is
@pytest.mark.parametrize("width", WIDTHS)
def test_every_command_s_table_is_whole_at_any_width(width, run, store, committee):
    at = ("--store", store.files.uri)
    every = [name(rung, replica) for rung in range(4) for replica in range(3)]
    whole(run(width, "models", *at), every, width)
    members = [name(0, 0), name(1, 0), name(2, 0)]
    whole(run(width, "evaluate", committee, *at), [Committee.load(committee).label(), *members], width)
    found = json.loads(run(width, "search", *at, "--max-models", 2, "--levels", 5, "--match", name(2, 0), "--json"))
    label = Committee.from_json(found["committee"]).label()
    whole(run(width, "search", *at, "--max-models", 2, "--levels", 5, "--match", name(2, 0)), [label], width)
    whole(run(width, "search", *at, "--max-models", 2, "--levels", 5), [name(0, 0)], width)
    whole(run(width, "calibrate", *at, "--model", name(0, 0)), [name(0, 0)], width)
    run(width, "calibrate", *at, "--model", name(0, 0), "--method", "none")


@pytest.mark.filterwarnings("ignore:.*right as often as chance")  # a model of the pool is
def test_figures_that_were_limited_are_in_the_table(run, store):
    limits = ("--percentile", 95, "--max-percentile-cost", 1e8, "--max-average", "latency_ms=3.5")
    asked = ("search", "--store", store.files.uri, "--max-models", 2, "--levels", 5, *limits)
    found = json.loads(run(160, *asked, "--target-accuracy", 0.5, "--json"))
    text = run(160, *asked, "--target-accuracy", 0.5)
    cells = text.split()
    assert "p95" in cells
    for split in ("val", "test"):
        assert console.human(found[split]["percentile_cost"]["cost"]) in text
        assert f"{found[split]['averages']['latency_ms']:.4g}" in cells
    text = run(160, *asked)
    assert "p95" in text.split()
    assert "latency_ms" in text.split()


def test_words_about_cost_are_true():
    assert beside(100, 100) == beside(100.2, 100) == beside(100, 100.2) == "as dear"
    assert beside(152, 100) == "1.52x cheaper"
    assert beside(97, 100) == "1.03x as dear"
    assert (beside(0, 100), beside(100, 0), beside(0, 0)) == ("dearer", "cheaper", "as dear")


def test_evaluate_puts_the_members_beside_the_committee(run, store, committee):
    found = json.loads(run(160, "evaluate", committee, "--store", store.files.uri, "--json"))
    labels = store.labels("test")
    for member in found["members"]:
        right = (store.outputs(member["model"], "test").argmax(axis=1) == labels).sum()
        assert (member["correct"], member["n"]) == (right, UNITS)
        assert member["average_cost"] == sum(store.card(member["model"], "test").blocks.values())
    assert [member["model"] for member in found["members"]] == list(Committee.load(committee).models)


def by_hand(store, committee):
    """(prediction, stage, confidence, cost) of every unit of test: softmax of the mean logits, in float64."""
    waiting, total, spent, run_so_far = np.ones(UNITS, bool), np.zeros((UNITS, 4)), 0, 0
    out = [np.zeros(UNITS, dtype) for dtype in (int, int, float, float)]
    for k, stage in enumerate(committee.stages):
        for model in stage:
            total = total + store.outputs(model, "test").astype(np.float64)
            spent += sum(store.card(model, "test").blocks.values())
            run_so_far += 1
        z = total / run_so_far
        p = np.exp(z - z.max(axis=1, keepdims=True))
        sure = (p / p.sum(axis=1, keepdims=True)).max(axis=1)
        last = k == len(committee.stages) - 1
        leaves = waiting & (last | (sure >= (0 if last else committee.thresholds.values[k])))
        for column, values in zip(
            out, (z.argmax(axis=1), np.full(UNITS, k + 1), sure, np.full(UNITS, spent)), strict=True
        ):
            column[leaves] = values[leaves]
        waiting &= ~leaves
    return out


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_rows_of_units_say_what_happened_to_each(ending, run, store, committee, tmp_path):
    path = tmp_path / f"units.{ending}"
    said = run(160, "evaluate", committee, "--store", store.files.uri, "--units", path, "--json")
    rows = pd.read_csv(path, dtype={"unit_id": str}) if ending == "csv" else pd.read_parquet(path)
    assert rows["unit_id"].tolist() == store.unit_ids("test")
    prediction, stage, confidence, cost = by_hand(store, Committee.load(committee))
    assert rows["prediction"].tolist() == prediction.tolist()
    assert rows["stage"].tolist() == stage.tolist()
    assert rows["cost"].tolist() == cost.tolist()
    np.testing.assert_allclose(rows["confidence"], confidence, rtol=1e-5)
    assert rows["correct"].tolist() == (prediction == store.labels("test")).tolist()
    found = json.loads(said)
    assert rows["correct"].sum() == found["correct"]
    assert rows["cost"].mean() == pytest.approx(found["average_cost"])
    assert [(rows["stage"] == k + 1).mean() for k in range(2)] == found["exit_ratios"]


@pytest.mark.filterwarnings("ignore:.*hold the same units")
def test_rows_of_units_of_answers(tmp_path, run, monkeypatch):
    """Texts stay texts: what a spreadsheet would compute begins with an apostrophe."""
    monkeypatch.chdir(tmp_path)
    lines = ["unit_id,model,answer,confidence,usd"]
    lines += [f"u{i},cheap,{'=1+1' if i % 2 else 'no'},0.{i + 1},0.5" for i in range(6)]
    lines += [f"u{i},dear,yes,0.9,2.0" for i in range(6)]
    (tmp_path / "answers.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "truth.csv").write_text(
        "unit_id,label\n" + "".join(f"u{i},{'=1+1' if i % 2 else 'yes'}\n" for i in range(6))
    )
    for split in ("val", "test"):
        run(160, "import", "--store", "A", "--split", split, "--answers", "answers.csv", "--labels", "truth.csv")
    chosen = Committee((("cheap",), ("dear",)), Thresholds((0.35,)), "confidence", "last", cost="usd")
    chosen.save(tmp_path / "c.json")
    run(160, "evaluate", "c.json", "--store", "A", "--units", "u.csv")
    rows = pd.read_csv("u.csv")
    assert rows["prediction"].tolist() == ["yes", "yes", "yes", "'=1+1", "no", "'=1+1"]
    assert rows["correct"].tolist() == [True, False, True, True, False, True]
    assert rows["cost"].tolist() == [2.5, 2.5, 2.5, 0.5, 0.5, 0.5]
    assert rows["confidence"].tolist() == [0.9, 0.9, 0.9, 0.4, 0.5, 0.6]


def test_a_file_of_rows_with_another_ending_is_refused_before_the_work(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["wisecommittee", "evaluate", "absent.json", "--units", str(tmp_path / "u.xlsx")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "ends in none of .csv, .parquet" in capsys.readouterr().err


def test_import_says_how_many_units_and_how_accurate(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    labels = np.arange(12) % 3
    outputs = np.eye(3, dtype=np.float32)[labels] * 4
    outputs[:3] = outputs[:3, ::-1]  # the middle class stays
    np.save("labels.npy", labels)
    np.save("a.npy", outputs)
    (tmp_path / "models.csv").write_text("model,flops\na,1000\n")
    asked = ("import", "--store", "S", "--labels", "labels.npy", "--costs", "models.csv", "--logits", "a=a.npy")
    text = run(160, *asked)
    assert text.split()[-5:] == ["a", "added", "12", "83.33", "1", "k"][-5:]
    said = json.loads(run(160, *asked, "--json"))
    assert (said["units"], said["quality"], said["models"]) == (12, {"a": 10 / 12}, {"a": "unchanged"})


def same_figures(rows, evaluation, right):
    assert rows[right].sum() == pytest.approx(evaluation.correct)
    assert rows["cost"].mean() == pytest.approx(evaluation.average_cost)
    shares = [(rows["stage"] == k + 1).mean() for k in range(len(evaluation.committee.stages))]
    assert shares == pytest.approx(evaluation.exit_ratios)


def test_rows_of_cells_count_the_pixels_that_are_right(tmp_path):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 3, (6, 8, 8))
    np.save(tmp_path / "pixels.npy", pixels)
    (tmp_path / "models.csv").write_text("model,flops\na,100\nb,400\n")
    files = []
    for model, sharp in (("a", 1.0), ("b", 2.5)):
        outputs = rng.normal(size=(*pixels.shape, 3)) + sharp * np.eye(3)[pixels]
        np.save(tmp_path / f"{model}.npy", outputs.astype(np.float32))
        files.append(("logits", model, tmp_path / f"{model}.npy"))
    store = LogitStore(tmp_path / "S")
    import_images(store, "test", files, labels=tmp_path / "pixels.npy", costs=tmp_path / "models.csv", cell=4)
    chosen = Committee((("a",), ("a+b",)), Thresholds((0.75,)), "confidence", "last")
    rows = evaluate_units(chosen, store)
    assert list(rows) == ["unit_id", "stage", "confidence", "cost", "pixels_right"]
    assert set(rows["stage"]) == {1, 2}
    same_figures(rows, evaluate(chosen, store), "pixels_right")


def test_rows_of_graded_answers_hold_their_scores_and_the_cost_of_each_unit(tmp_path):
    scores = {"cheap": (0.2, 0.9, 1.0, 0.5), "dear": (1.0, 0.8, 1.0, 0.7)}
    lines = ["unit_id,model,answer,confidence,score,usd"]
    for model, price in (("cheap", 1), ("dear", 10)):
        lines += [f"u{i},{model},x,0.{3 + 2 * i},{scores[model][i]},{(i + 1) * price}" for i in range(4)]
    (tmp_path / "answers.csv").write_text("\n".join(lines) + "\n")
    store = LogitStore(tmp_path / "A")
    import_answers(store, "test", tmp_path / "answers.csv")
    chosen = Committee((("cheap",), ("dear",)), Thresholds((0.6,)), "confidence", "last", cost="usd")
    rows = evaluate_units(chosen, store)
    assert rows["stage"].tolist() == [2, 2, 1, 1]
    assert rows["score"].tolist() == [1.0, 0.8, 1.0, 0.5]
    assert rows["cost"].tolist() == [11.0, 22.0, 3.0, 4.0]
    same_figures(rows, evaluate(chosen, store), "score")


def test_rows_of_units_follow_thresholds_beyond_the_last_float32_below_1(tmp_path):
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 4, 300)
    store = LogitStore(tmp_path / "S")
    for m, model in enumerate(("a/0", "b/0")):
        outputs = rng.standard_normal((300, 4)) + (1.0 + m) * np.eye(4)[labels]
        store.add(
            ModelCard(model, blocks={model: 10 * 5**m}), "val", labels=labels, outputs=(30 * outputs).astype("f4")
        )
    committees = [e.committee for e in search(store, exact=True, threads=1) if any(e.committee.thresholds.log_odds)]
    assert committees
    for committee in committees[::5]:
        same_figures(evaluate_units(committee, store, "val"), evaluate(committee, store, "val"), "correct")


@pytest.mark.parametrize(
    ("columns", "expected"), [("80", 80), ("60", 60), ("", 160), ("0", 160), ("-5", 160), ("wide", 160)]
)
def test_columns_says_how_wide_a_pipe_is(store, columns, expected):
    code = "from wisecommittee.cli.console import err, out; print(out.width, err.width)"
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "COLUMNS": columns}
    )
    assert told.stdout.split() == [str(expected)] * 2, told.stderr

"""Evaluation logs as a whole: what is stored, what is refused, and that nothing is half imported."""

from __future__ import annotations

import gzip
import json
import tempfile

import logs
import numpy as np
import pandas as pd
import pytest

import wisecommittee as wc
from wisecommittee.errors import AlignmentError, ContentError, CostError, UsageError, WiseCommitteeError
from wisecommittee.store.logs.formats import LOG_FORMATS

UNITS = 20


@pytest.fixture(autouse=True)
def _formats(monkeypatch, tmp_path):
    monkeypatch.setitem(LOG_FORMATS, "tiny", logs.TINY)
    monkeypatch.setitem(LOG_FORMATS, "free", logs.FREE)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    yield
    assert not list((tmp_path / "temporary").iterdir()), "temporary files are left"


@pytest.fixture
def store(tmp_path):
    return wc.LogitStore(tmp_path / "store")


def rows_of(model, seed=0, **more):
    rng = np.random.default_rng(seed)
    for i in range(UNITS):
        label = "ABCD"[i % 4]
        answer = label if rng.random() < 0.7 else "E"
        yield {"model": model, "unit": f"u{i}", "answer": answer, "label": label, "cost:usd": 0.25 * (i + 1), **more}


def log(path, *models, change=None):
    rows = [row for seed, model in enumerate(models) for row in rows_of(model, seed)]
    for number, values in (change or {}).items():
        rows[number] |= values
    return logs.write(path, rows)


def test_answers_labels_costs_and_features_are_those_of_the_log(store, tmp_path):
    rows = [
        row | {"feature:length": len(row["unit"]), "feature:always": 1, "score:mean_logprob": -0.5}
        for row in rows_of("a")
    ]
    done = wc.import_log(store, "val", [f"tiny:{logs.write(tmp_path / 'log.jsonl', rows)}"])
    assert done.models == {"a": "added"}
    assert store.unit_ids("val") == [row["unit"] for row in rows]
    assert store.labels("val").tolist() == [row["label"] for row in rows]
    assert store.answers("a", "val").tolist() == [row["answer"] for row in rows]
    assert store.unit_costs("a", "val", "usd").tolist() == [row["cost:usd"] for row in rows]
    assert store.scores("a", "val", "mean_logprob").tolist() == [-0.5] * UNITS
    assert list(store.features("val")) == ["length"]  # what is the same for all units says nothing
    assert done.summaries["a"].quality == np.mean([row["answer"] == row["label"] for row in rows])
    assert store.verify() == []


def test_models_in_any_order_and_files_give_the_same_store(store, tmp_path):
    both = list(rows_of("a")) + list(rows_of("b", 1))
    mixed = [both[i] for i in np.random.default_rng(0).permutation(len(both))]
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    logs.write(tmp_path / "one" / "all.jsonl", both)
    for number in range(2):
        text = "".join(json.dumps(row) + "\n" for row in mixed[number::2])
        (tmp_path / "two" / f"{number}.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    wc.import_log(store, "val", [str(tmp_path / "one")])
    before = [card.contents for card in store.cards("val")]
    again = wc.import_log(store, "val", [str(tmp_path / "two")])  # only the names of the files differ
    assert set(again.models.values()) == {"card updated"}
    assert [card.contents for card in store.cards("val")] == before


def test_samples_are_replicas(store, tmp_path):
    rows = [row | {"sample": sample} for sample in range(3) for row in rows_of("gpt", sample)]
    done = wc.import_log(store, "val", [f"tiny:{logs.write(tmp_path / 'log.jsonl', rows)}"])
    assert list(done.models) == ["gpt/0", "gpt/1", "gpt/2"]
    assert [card.replica for card in store.cards("val")] == [0, 1, 2]


def test_choices_of_other_units_have_no_probability(store, tmp_path):
    rng = np.random.default_rng(0)
    outputs = [rng.normal(size=2 + i % 3) for i in range(9)]
    rows = [
        {"model": "a", "unit": f"u{i}", "outputs": o.tolist(), "label": i % 2, "cost:usd": 1.0}
        for i, o in enumerate(outputs)
    ]
    done = wc.import_log(store, "val", [f"tiny:{logs.write(tmp_path / 'log.jsonl', rows)}"])
    stored = store.outputs("a", "val")
    assert stored.shape == (9, 4)
    for row, given in zip(stored, outputs, strict=True):
        assert row[: len(given)].tolist() == given.astype(np.float32).tolist()
        assert (row[len(given) :] == np.finfo(np.float32).min).all()
    assert done.summaries["a"].quality == np.mean([o.argmax() == i % 2 for i, o in enumerate(outputs)])


def test_grades_count_unless_they_repeat_the_label(store, tmp_path):
    rows = [row | {"grade": float(row["answer"] == row["label"])} for row in rows_of("a")]
    wc.import_log(store, "val", [f"tiny:{logs.write(tmp_path / 'log.jsonl', rows)}"])
    assert not store.card("a", "val").contents.graded
    rows[3]["grade"] = 0.25
    rows[4]["grade"] = None
    done = wc.import_log(store, "test", [f"tiny:{logs.write(tmp_path / 'log.jsonl', rows)}"])
    expected = [0.25 if i == 3 else float(row["answer"] == row["label"]) for i, row in enumerate(rows)]
    assert store.quality("a", "test").tolist() == expected
    assert done.summaries["a"].quality == pytest.approx(np.mean(expected))


def test_free_text_is_compared_as_it_votes(store, tmp_path):
    rows = [
        {"model": "a", "unit": str(i), "answer": answer, "label": "1234", "cost:usd": 1.0}
        for i, answer in enumerate([r"\boxed{1,234}", "**1234**.", "$1234.00", "about 1234"])
    ]
    path = logs.write(tmp_path / "log.jsonl", rows)
    assert wc.import_log(store, "val", [f"free:{path}"]).summaries["a"].quality == 0.75
    options = wc.LogOptions(free_form=True)
    assert wc.import_log(store, "val", [f"tiny:{path}"], options=options).models == {"a": "card updated"}
    assert wc.import_log(store, "plain", [f"tiny:{path}"]).summaries["a"].quality == 0


def test_prices_make_dollars_of_tokens(store, tmp_path):
    rows = [
        {key: value for key, value in row.items() if key != "cost:usd"}
        | {"cost:prompt_tokens": 100 + i, "cost:completion_tokens": 7 * i}
        for i, row in enumerate(rows_of("a"))
    ]
    path = logs.write(tmp_path / "log.jsonl", rows)
    prices = "usd_per_1m_prompt_tokens,usd_per_1k_completion_tokens"
    (tmp_path / "models.csv").write_text(f"model,{prices}\na,2.5,0.01\n")
    wc.import_log(store, "val", [f"tiny:{path}"], costs=tmp_path / "models.csv")
    expected = [(100 + i) * 2.5e-6 + 7 * i * 1e-5 for i in range(UNITS)]
    assert store.unit_costs("a", "val", "usd") == pytest.approx(expected)
    with pytest.raises(CostError, match="leave one out"):
        wc.import_log(store, "test", [f"tiny:{log(tmp_path / 'usd.jsonl', 'a')}"], costs=tmp_path / "models.csv")
    (tmp_path / "half.csv").write_text("model,usd_per_1k_prompt_tokens\na,2.5\n")
    with pytest.raises(CostError, match="none of completion_tokens"):
        wc.import_log(store, "test", [f"tiny:{path}"], costs=tmp_path / "half.csv")


REFUSED = {
    "the same unit twice": (
        {25: {"unit": "u3"}},
        AlignmentError,
        "line 26: b answers unit 'u3' again, after .*line 24",
    ),
    "two labels of a unit": (
        {25: {"label": "Z"}},
        ContentError,
        "line 26: unit 'u5' has label 'Z', .*line 6 label 'B'",
    ),
    "a cost that is missing": ({25: {"cost:usd": None}}, ContentError, "line 26: no usd"),
    "a cost below 0": ({25: {"cost:usd": -1.0}}, ContentError, "line 26: usd below 0"),
    "a unit without an answer": ({25: {"answer": None}}, ContentError, "'u5' of b .*line 26.*missing="),
    "a unit that a model lacks": ({25: {"unit": "u99"}}, ContentError, "b 1, a 1|a 1, b 1"),
    "a unit without an id": ({25: {"unit": ""}}, ContentError, "line 26: a unit without an id"),
    "a unit without a label": (
        {5: {"label": None}, 25: {"label": None}},
        ContentError,
        "line 6: unit 'u5' has neither",
    ),
    "a grade above 1": ({25: {"grade": 1.5}}, ContentError, "line 26: a grade outside"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("dry_run", [False, True])
def test_wrong_records_are_named_by_file_and_line_and_nothing_is_written(store, tmp_path, case, dry_run):
    change, error, message = REFUSED[case]
    path = log(tmp_path / "log.jsonl", "a", "b", change=change)
    if dry_run and ("missing=" in message or "b 1" in message):
        pytest.skip("a dry run shows what is missing")
    with pytest.raises(error, match=message):
        wc.import_log(store, "val", [f"tiny:{path}"], dry_run=dry_run)
    assert not (tmp_path / "store").exists()


def test_answers_and_outputs_do_not_mix(store, tmp_path):
    rows = [*rows_of("a"), {"model": "b", "unit": "u0", "outputs": [0.0, 1.0], "label": 1, "cost:usd": 1.0}]
    logs.write(tmp_path / "1.jsonl", rows[:-1])
    logs.write(tmp_path / "2.jsonl", rows[-1:])
    with pytest.raises(ContentError, match=r"2.jsonl: line 1 has logits, .*1.jsonl: line 1 answers"):
        wc.import_log(store, "val", [f"tiny:{tmp_path}"])


def test_choices_have_no_value_for_no_answer(store, tmp_path):
    rows = [
        {"model": m, "unit": f"u{i}", "outputs": [-2.0, -1.0], "label": 1, "cost:usd": 1.0}
        for m in "ab"
        for i in range(4)
    ][:-1]
    path = logs.write(tmp_path / "log.jsonl", rows)
    with pytest.raises(UsageError, match="missing='skip'"):
        wc.import_log(store, "val", [f"tiny:{path}"], missing="escalate")
    assert wc.import_log(store, "val", [f"tiny:{path}"], missing="skip").units == 3


def test_unfinished_files_are_named_by_line(store, tmp_path):
    path = log(tmp_path / "log.jsonl", "a")
    whole = path.read_text()
    path.write_text(whole[:-10])
    with pytest.raises(ContentError, match=f"line {UNITS}: no JSON .*the file ends within it"):
        wc.import_log(store, "val", [f"tiny:{path}"])
    packed = tmp_path / "log.jsonl.gz"
    packed.write_bytes(gzip.compress(whole.encode())[:-20])
    with pytest.raises(ContentError, match="no whole gz file"):
        wc.import_log(store, "val", [f"tiny:{packed}"])


def test_a_dry_run_shows_everything_and_writes_nothing(store, tmp_path):
    path = log(tmp_path / "log.jsonl", "a", "b", change={3: {"answer": None}, 25: {"answer": ""}})
    done = wc.import_log(store, "val", [f"tiny:{path}"], dry_run=True)
    assert done.unanswered.by_model == {"a": 1, "b": 1}
    assert (done.unanswered.units, done.unanswered.of, done.missing) == (2, UNITS, None)
    assert set(done.models.values()) == {"would be added"}
    assert not (tmp_path / "store").exists()


def test_a_log_without_costs_is_refused_and_a_dry_run_says_so(store, tmp_path):
    rows = [{name: value for name, value in row.items() if name != "cost:usd"} for row in rows_of("a")]
    path = logs.write(tmp_path / "log.jsonl", rows)
    with pytest.raises(CostError, match="a: no cost in its log"):
        wc.import_log(store, "val", [f"tiny:{path}"])
    done = wc.import_log(store, "val", [f"tiny:{path}"], dry_run=True)
    assert [note.partition(";")[0] for note in done.notes] == ["a: no cost in its log, and no costs=FILE"]
    assert done.summaries["a"].costs == {}
    assert not (tmp_path / "store").exists()


def test_ctrl_c_leaves_nothing_behind(store, tmp_path):
    def interrupt(task, done, total):
        if task == "models checked":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        wc.import_log(store, "val", [f"tiny:{log(tmp_path / 'log.jsonl', 'a', 'b')}"], progress=interrupt)
    assert not store.has_split("val")


def test_costs_of_missing_answers_are_the_mean_of_the_others(store, tmp_path):
    path = log(tmp_path / "log.jsonl", "a", change={3: {"answer": None, "cost:usd": None}})
    done = wc.import_log(store, "val", [f"tiny:{path}"], missing="wrong")
    others = [0.25 * (i + 1) for i in range(UNITS) if i != 3]
    assert store.unit_costs("a", "val", "usd")[3] == pytest.approx(np.mean(others))
    assert any("cost what its other units cost on average" in note for note in done.notes)


def test_formats_are_recognised_or_named(store, tmp_path):
    path = log(tmp_path / "log.jsonl", "a")
    assert wc.import_log(store, "val", [str(path)]).models == {"a": "added"}
    for wrong, message in (
        ("tyny:" + str(path), "did you mean 'tiny'"),
        ("tiny:/none", "no file or folder"),
        ("/none", "no such file"),
    ):
        with pytest.raises(WiseCommitteeError, match=message):
            wc.import_log(store, "val", [wrong])
    (tmp_path / "note.txt").write_text("nothing")
    with pytest.raises(UsageError, match=r"of no known format; known: .*tiny"):
        wc.import_log(store, "val", [str(tmp_path / "note.txt")])


def test_labels_of_a_file_count_in_place_of_those_of_the_log(store, tmp_path):
    path = log(tmp_path / "log.jsonl", "a", change={3: {"label": None}})
    pd.DataFrame({"unit_id": [f"u{i}" for i in range(UNITS)], "label": ["E"] * UNITS}).to_csv(
        tmp_path / "labels.csv", index=False
    )
    done = wc.import_log(store, "val", [f"tiny:{path}"], labels=tmp_path / "labels.csv")
    assert done.summaries["a"].quality == np.mean(store.answers("a", "val") == "E")


@pytest.mark.filterwarnings("ignore:units of 20 in val without an answer")
def test_the_command_says_the_format_and_what_is_missing(run, tmp_path):
    path = log(tmp_path / "log.jsonl", "a", "b", change={3: {"answer": None}})
    code, out, err = run("import", path, "--store", tmp_path / "store", "--dry-run")
    assert code == 0
    assert "read as tiny" in err
    assert "1 unit of 20 without an answer of every model, such as 'u3' of a" in err
    assert "would be added" in out
    code, out, err = run("import", path, "--store", tmp_path / "store")
    assert (code, out) == (1, "")
    assert "--missing escalate" in err
    code, out, _ = run("import", path, "--store", tmp_path / "store", "--missing", "escalate", "--json")
    shown = json.loads(out)
    assert shown["missing"] == {"option": "escalate", "units": 1, "of": UNITS, "models": {"a": 1}}
    assert shown["logs"] == [{"format": "tiny", "path": str(path), "recognised": True}]
    for wrong in (["--metric", "f1", "--costs", "x.csv"], [path, "--answers", "x.csv"], ["--missing", "skip"]):
        assert run("import", "--store", tmp_path / "store", *wrong)[0] == 2

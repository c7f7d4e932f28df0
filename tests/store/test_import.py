"""Cached outputs from elsewhere: what is accepted, and what is refused with which words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from wisecommittee import reading
from wisecommittee.committees.cards import ModelCard
from wisecommittee.errors import AlignmentError, StoreError, WiseCommitteeError
from wisecommittee.searches.search import search
from wisecommittee.store import LogitStore
from wisecommittee.store.imports.answers import import_answers
from wisecommittee.store.imports.costs import import_costs
from wisecommittee.store.imports.models_csv import read_cards
from wisecommittee.store.imports.outputs import import_outputs
from wisecommittee.store.splitting import assign, split_store
from wisecommittee.store.storage.local import LocalFiles

N, C = 60, 4


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.setenv("WISECOMMITTEE_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    labels = rng.integers(0, C, N)
    np.save(tmp_path / "labels.npy", labels)
    for name in ("a", "b"):
        np.save(tmp_path / f"{name}.npy", rng.normal(size=(N, C)).astype(np.float32) + 2 * np.eye(C)[labels])
    (tmp_path / "models.csv").write_text('model,flops,params,usd\na,1e6,"1,014.45",0.5\nb,2000000,3,1.5\nother,x,,\n')
    return tmp_path


def outputs(files, *names, kind="logits", split="val", **changed):
    arguments = {"labels": files / "labels.npy", "costs": files / "models.csv", **changed}
    store = LogitStore(files / "store")
    return store, import_outputs(store, split, [(kind, n, files / f"{n}.npy") for n in names], **arguments)


def test_arrays_come_back_as_they_were(files):
    store, done = outputs(files, "a", "b")
    assert done == {"a": "added", "b": "added"}
    for name in ("a", "b"):
        np.testing.assert_array_equal(store.outputs(name, "val"), np.load(files / f"{name}.npy").astype(np.float32))
    card = store.card("a", "val")
    assert (card.blocks, card.costs, card.params) == ({"a": 1_000_000}, {"usd": 0.5}, 1014)
    assert store.unit_ids("val")[:3] == ["0", "1", "2"]
    assert outputs(files, "a", "b")[1] == {"a": "unchanged", "b": "unchanged"}


@pytest.mark.parametrize("suffix", ["csv", "parquet", "npz"])
def test_files_with_unit_ids_are_aligned(files, suffix):
    rng = np.random.default_rng(1)
    order = rng.permutation(N)
    values, labels = np.load(files / "a.npy"), np.load(files / "labels.npy")
    ids = np.array([f"img{i}.png" for i in range(N)])
    pd.DataFrame({"unit_id": ids, "label": labels}).to_csv(files / "labels.csv", index=False)
    frame = pd.DataFrame(values[order], columns=[f"class{c}" for c in range(C)])
    frame.insert(0, "unit_id", ids[order])
    file = files / f"shuffled.{suffix}"
    if suffix == "csv":
        frame.to_csv(file, index=False)
    elif suffix == "parquet":
        frame.to_parquet(file)
    else:
        np.savez(file, outputs=values[order], unit_id=ids[order])
    store = LogitStore(files / "store")
    common = {"labels": files / "labels.csv", "costs": files / "models.csv"}
    # The first has no ids and is paired with the labels by position; the second is aligned by id.
    both = [("logits", "b", files / "a.npy"), ("logits", "a", file)]
    import_outputs(store, "val", both, by_position=True, **common)
    np.testing.assert_allclose(store.outputs("a", "val"), store.outputs("b", "val"), rtol=1e-6)
    assert store.unit_ids("val") == ids.tolist()


def test_rows_without_ids_are_paired_in_order_only_with_ids_in_order(files):
    """Labels that name 0..n-1 in another order may be in the order of the rows or not: nobody knows but the caller."""
    labels = np.load(files / "labels.npy")
    frame = pd.DataFrame({"unit_id": range(N), "label": labels})
    frame.to_csv(files / "labels.csv", index=False)
    store, _ = outputs(files, "a", labels=files / "labels.csv")
    assert store.labels("val").tolist() == labels.tolist()
    frame.sample(frac=1, random_state=2).to_csv(files / "labels.csv", index=False)
    with pytest.raises(AlignmentError, match=r"says which unit each row is \('\d+', .*pair them row by row"):
        outputs(files, "b", labels=files / "labels.csv", split="test")
    store, _ = outputs(files, "b", labels=files / "labels.csv", split="test", by_position=True)
    assert store.labels("test").tolist() == frame.sample(frac=1, random_state=2)["label"].tolist()


def change(files, name, edit):
    array = np.load(files / f"{name}.npy")
    np.save(files / f"{name}.npy", edit(array))


BAD_ARRAYS = {
    "another length": (lambda a: a[:-1], "one label for each row"),
    "nan": (lambda a: np.where(np.arange(a.size).reshape(a.shape) == 7, np.nan, a), "NaN or infinity"),
    "inf": (lambda a: np.where(np.arange(a.size).reshape(a.shape) == 7, np.inf, a), "NaN or infinity"),
    "classes": (lambda a: np.c_[a, a], "8 classes, a in val has 4; the models of a split answer the same question"),
    "one value": (lambda a: a[:, 0].sum(keepdims=True).reshape(()), "a single value"),
    "three dimensions": (lambda a: a[:, :, None], r"\[units, classes\]"),
    "text": (lambda a: a.astype(str), "expected numbers"),
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_bad_arrays_leave_nothing_behind(files, case):
    edit, message = BAD_ARRAYS[case]
    change(files, "b", edit)
    with pytest.raises(WiseCommitteeError, match=message):
        outputs(files, "a", "b")
    assert not (files / "store").exists()


def test_labels_outside_the_classes(files):
    change(files, "labels", lambda y: np.where(np.arange(N) == 3, C, y))
    with pytest.raises(WiseCommitteeError, match=r"label 4 of row 3 .* outside the 4 classes"):
        outputs(files, "a")
    change(files, "labels", lambda y: y + 0.5)
    with pytest.raises(WiseCommitteeError, match="whole numbers"):
        outputs(files, "a")


def test_logits_and_probabilities_are_told_apart(files):
    with pytest.raises(WiseCommitteeError, match=r"import.* with logits="):
        outputs(files, "a", kind="probabilities")
    change(files, "a", lambda a: np.exp(a) / np.exp(a).sum(1, keepdims=True))
    with pytest.warns(UserWarning, match="import them with probabilities="):
        outputs(files, "a")
    store, _ = outputs(files, "a", kind="probabilities", split="other")
    assert store.card("a", "other").kind == "probabilities"


BAD_COSTS = {
    "zero": ("model,flops\na,0\n", "above 0"),
    "negative": ("model,flops\na,-3\n", "above 0"),
    "nan": ("model,flops\na,nan\n", "above 0"),
    "infinite": ("model,flops\na,inf\n", "above 0"),
    "text": ("model,flops\na,many\n", "'many'; expected a finite number above 0"),
    "empty": ("model,flops\na,\n", "no cost"),
    "no cost column": ("model\na\n", "no cost column"),
    "no model column": ("name,flops\na,1\n", "no column 'model'"),
    "missing model": ("model,flops\naa,1\n", "did you mean 'aa'"),
    "twice": ("model,flops\na,1\na,2\n", "2 rows for a"),
    "no rows": ("model,flops\n", "no rows"),
    "blocks disagree": ("model,flops,blocks\na,10,t:3;h:4\n", "add up to 7"),
    "blocks malformed": ("model,blocks\na,t3\n", "expected 'trunk"),
    "replica": ("model,flops,replica\na,1,x\n", "whole number"),
}


@pytest.mark.parametrize("case", BAD_COSTS)
def test_bad_costs(files, case):
    text, message = BAD_COSTS[case]
    (files / "models.csv").write_text(text)
    with pytest.raises(WiseCommitteeError, match=message):
        outputs(files, "a")
    assert not (files / "store").exists()


def test_blocks_are_shared(files):
    (files / "models.csv").write_text('model,blocks\na,trunk:100;one:10\nb,"{""trunk"": 100, ""two"": 20}"\n')
    cards = read_cards(files / "models.csv", ["a", "b"])
    assert cards["a"].blocks == {"trunk": 100, "one": 10}
    assert cards["b"].blocks == {"trunk": 100, "two": 20}


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("a.npy", lambda p: np.save(p, np.array([{"x": 1}] * N), allow_pickle=True), "never loaded"),
        ("a.npy", lambda p: p.write_bytes(p.read_bytes()[:50]), "expected arrays"),
        ("a.npy", lambda p: p.write_bytes(b"hello"), "expected arrays"),
        ("a.npy", lambda p: p.unlink(), "no such file"),
        ("models.csv", lambda p: p.write_bytes(b"\xff\xfe\x00"), "not UTF-8 .* save it as UTF-8"),
        ("labels.npy", lambda p: np.save(p, np.array([None] * N), allow_pickle=True), "never loaded"),
    ],
)
def test_unreadable_files_are_named(files, name, write, message):
    write(files / name)
    with pytest.raises(WiseCommitteeError, match=message) as caught:
        outputs(files, "a")
    assert name in str(caught.value)


def test_costs_can_be_added_later(files):
    store, _ = outputs(files, "a", "b")
    before = store.card("a", "val").contents
    (files / "latency.csv").write_text("model,latency_ms\na,3.5\nc,1\n")
    assert import_costs(store, files / "latency.csv") == {"a": "card updated"}
    card = store.card("a", "val")
    assert card.costs == {"usd": 0.5, "latency_ms": 3.5}
    assert card.blocks == {"a": 1_000_000}
    assert card.contents == before
    assert import_costs(store, files / "latency.csv") == {"a": "unchanged"}


def long_table(**columns):
    rows = [
        {
            "unit_id": f"q{i}",
            "model": m,
            "answer": "yes" if (i + k) % 3 else "no",
            "confidence": (i % 4) / 4,
            "usd": cost,
        }
        for k, (m, cost) in enumerate([("small", 0.001), ("large", 0.02)])
        for i in range(30)
    ]
    return pd.DataFrame(rows).assign(**columns)


def truth(tmp_path):
    frame = pd.DataFrame(
        {"unit_id": [f"q{i}" for i in range(30)], "label": ["yes" if i % 2 else "no" for i in range(30)]}
    )
    frame.to_csv(tmp_path / "truth.csv", index=False)
    return tmp_path / "truth.csv"


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_answers(files, suffix):
    table = long_table(tokens=lambda t: t.index + 1).sample(frac=1, random_state=0)
    file = files / f"answers.{suffix}"
    table.to_csv(file, index=False) if suffix == "csv" else table.to_parquet(file)
    store = LogitStore(files / "store")
    assert import_answers(store, "val", file, labels=truth(files)) == dict.fromkeys(table["model"].unique(), "added")
    card = store.card("small", "val")
    assert (card.kind, card.contents.scores, card.contents.unit_costs) == (
        "answers",
        ("confidence",),
        ("tokens", "usd"),
    )
    mine = table[table["model"] == "small"].set_index("unit_id").loc[store.unit_ids("val")]
    assert store.answers("small", "val").tolist() == mine["answer"].tolist()
    np.testing.assert_allclose(store.unit_costs("small", "val", "tokens"), mine["tokens"])
    frontier = search(store, cost="usd")
    assert frontier.evaluations[0].average_cost == pytest.approx(0.001)
    assert search(store, cost="tokens").cost == "tokens"
    with pytest.raises(WiseCommitteeError, match="no cost 'flops'; costs in this pool: tokens, usd"):
        search(store)
    with pytest.raises(WiseCommitteeError, match="answers cannot be averaged by mean_logits; they go with `last`"):
        search(store, cost="usd", combine="mean_logits")


def test_graded_answers(files):
    grades = np.round(np.linspace(0, 1, 60), 2)
    table = long_table(score=grades)
    table.to_csv(files / "answers.csv", index=False)
    store = LogitStore(files / "store")
    import_answers(store, "val", files / "answers.csv")
    frontier = search(store, cost="usd")
    assert frontier.evaluations[0].quality == pytest.approx(grades[:30].mean())
    assert frontier.best().quality == pytest.approx(grades[30:].mean(), abs=0.02)
    low, high = frontier.best().interval
    assert low < frontier.best().quality < high


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda t: t.rename(columns={"confidence": "prob"}), "column 'prob'; name it confidence if it is one"),
        (lambda t: t.drop(columns="usd"), "no cost column"),
        (lambda t: t.assign(confidence="high"), "confidence of small: 'high' in row 0; expected a number"),
        (lambda t: t.assign(usd=-1.0), "at least 0"),
        (lambda t: t.iloc[:-1], "answered by only one of"),
        (lambda t: pd.concat([t, t.iloc[:1]]), "more than once"),
        (lambda t: t.assign(unit_id="u" + t["unit_id"]), "30 units not among the labels of .* such as 'uq0'"),
    ],
)
def test_bad_answers(files, edit, message):
    edit(long_table()).to_csv(files / "answers.csv", index=False)
    with pytest.raises(WiseCommitteeError, match=message):
        import_answers(LogitStore(files / "store"), "val", files / "answers.csv", labels=truth(files))
    assert not (files / "store").exists()


def test_split_is_stratified_disjoint_and_complete(files):
    store, _ = outputs(files, "a", "b", split="all")
    everything = dict(zip(store.unit_ids("all"), store.outputs("a", "all").tolist(), strict=True))
    assert split_store(store, {"val": 0.5, "test": 0.25, "rest": 0.25}, seed=3) == {"val": 30, "test": 15, "rest": 15}
    seen: dict = {}
    for split in ("val", "test", "rest"):
        for unit, row in zip(store.unit_ids(split), store.outputs("a", split).tolist(), strict=True):
            assert unit not in seen
            seen[unit] = row
    assert seen == everything
    labels = np.load(files / "labels.npy")
    for c in range(C):
        assert abs((store.labels("val") == c).sum() - (labels == c).sum() / 2) <= 1
    assert store.verify() == []


def test_split_can_replace_its_source(files):
    store, _ = outputs(files, "a", "b")
    before = store.unit_ids("val")
    split_store(store, {"val": 0.5, "test": 0.5})
    assert sorted(store.unit_ids("val") + store.unit_ids("test")) == sorted(before)
    assert store.splits() == ("test", "val")
    assert store.verify() == []


@pytest.mark.parametrize(
    ("into", "message"),
    [
        ({"val": 1.0}, "two or more"),
        ({"val": 0.5, "test": 0.0}, "above 0"),
        ({"val": 0.5, "te/st": 0.5}, "plain name"),
        ({"val": 1, "test": 1e-9}, "too few"),
    ],
)
def test_bad_splits(files, into, message):
    store, _ = outputs(files, "a")
    with pytest.raises(WiseCommitteeError, match=message):
        split_store(store, into)
    assert len(store.unit_ids("val")) == N


def test_assign_is_deterministic_and_proportional():
    labels = np.array([0] * 7 + [1] * 8 + [2] * 1)
    first = assign(labels, {"a": 1, "b": 1}, 5)
    second = assign(labels, {"a": 1, "b": 1}, 5)
    assert all((first[k] == second[k]).all() for k in first)
    assert sorted(map(len, first.values())) == [8, 8]


@pytest.mark.parametrize("column", ["replica", "params", "training_cost", "flops", "usd", "blocks"])
@pytest.mark.parametrize("text", ["Infinity", "-inf", "NaN", "-1", "9" * 400, "1e400", "1.5x"])
def test_numbers_of_models_csv_that_are_none_are_named(files, column, text):
    row = {"model": "a", "flops": "1e6", column: f"a:{text}" if column == "blocks" else text}
    pd.DataFrame([row]).to_csv(files / "models.csv", index=False)
    with pytest.raises(WiseCommitteeError, match=rf"models\.csv: a: ({column}|block )") as caught:
        outputs(files, "a")
    assert len(str(caught.value)) < 400 + len(str(files))


def test_blocks_nested_beyond_reason_are_refused(files):
    pd.DataFrame([{"model": "a", "blocks": '{"a":' * 2000 + "1" + "}" * 2000}]).to_csv(
        files / "models.csv", index=False
    )
    with pytest.raises(WiseCommitteeError, match=r"expected 'trunk:1000000;head:2000'"):
        outputs(files, "a")


@pytest.mark.parametrize("line", [0, 1])
def test_a_csv_of_very_many_columns_is_refused_unread(files, line):
    lines = ["unit_id,label", "0,1"]
    lines[line] = ",".join(map(str, range(60_000)))
    (files / "labels.csv").write_text("\n".join(lines))
    with pytest.raises(WiseCommitteeError, match=r"60,000 columns; expected 50,000 at most; .*np\.save"):
        outputs(files, "a", labels=files / "labels.csv")


def test_a_csv_larger_than_memory_is_refused_unread(files, monkeypatch):
    monkeypatch.setattr(reading, "free_memory", lambda: 100)
    with pytest.raises(WiseCommitteeError, match=r"models\.csv: .* of memory needed"):
        outputs(files, "a")


def test_what_an_import_reads_grows_with_its_models_and_not_with_their_square(files, monkeypatch):
    """Counted: cards that are looked at and names that are listed in the folder of the split."""
    looked: dict[str, int] = {}

    def counted(name, count):
        kept = getattr(LocalFiles, name)

        def wrapper(self, path="", *arguments, **options):
            found = kept(self, path, *arguments, **options)
            looked[name] = looked.get(name, 0) + count(path, found)
            return found

        monkeypatch.setattr(LocalFiles, name, wrapper)

    counted("stamps", lambda path, found: len(found))
    counted("stamp", lambda path, found: 1)
    counted("read", lambda path, found: path.endswith("card.json"))
    counted("names", lambda path, found: len(found) if path == "val" else 0)
    rng = np.random.default_rng(0)
    used = {}
    for number in (8, 32):
        store = LogitStore(files / f"store{number}")
        names = [f"m/{k // 2}" if k % 2 else f"x{k}" for k in range(number)]
        (files / f"models{number}.csv").write_text("model,flops\n" + "".join(f"{name},10\n" for name in names))
        for k in range(number):
            np.save(files / f"{k}.npy", rng.normal(size=(4, 3)).astype(np.float32))
        np.save(files / "few.npy", np.array([0, 1, 2, 0]))
        arrays = [("logits", name, files / f"{k}.npy") for k, name in enumerate(names)]
        looked.clear()
        import_outputs(store, "val", arrays, labels=files / "few.npy", costs=files / f"models{number}.csv")
        used[number] = dict(looked)
        assert set(store.models("val")) == set(names)
    for name, count in used[8].items():
        assert used[32][name] <= 4.5 * count + 8, name


def test_others_who_write_during_an_import_of_many_are_seen(files):
    """Of two models that are the same replica the second is refused, whoever writes when."""
    store, other = LogitStore(files / "store"), LogitStore(files / "store")
    labels, outputs = np.array([0, 1, 2, 0]), np.eye(4, 3, dtype=np.float32) * 3

    def card(name, replica):
        return ModelCard(name, "b", replica, blocks={name: 10}, replica_given=True)

    def put(into, name, replica):
        into.add(card(name, replica), "val", labels=labels, outputs=outputs)

    with store.adding_many("val"):
        put(store, "p", 0)
        put(other, "q", 1)
        with pytest.raises(StoreError, match=r"r: q is architecture 'b' replica 1 already"):
            put(store, "r", 1)
        with other.adding_many("val"):
            put(store, "r", 2)
            put(other, "s", 3)
            put(store, "t", 4)
            for into, name, replica, taken in ((store, "u", 3, "s"), (other, "u", 4, "t")):
                with pytest.raises(StoreError, match=f"u: {taken} is architecture 'b' replica {replica} already"):
                    put(into, name, replica)
        other.remove("q")
        put(store, "v", 1)
        other.update_card("val", other.card("v", "val"), lambda found: replace(found, replica=7))
        put(store, "w", 1)
    assert store.models("val") == ("p", "r", "s", "t", "v", "w")
    store.remove("u")  # what it had written by then
    assert store.verify() == []
    left = {path.name for path in (files / "store/val").iterdir()}
    assert left == {"units.parquet", *(f"model={name}" for name in "prstvw")}

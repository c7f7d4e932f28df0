"""Names decide, not positions: which column is which class, which row is which unit, which answer is which label."""

from __future__ import annotations

import unicodedata

import numpy as np
import pandas as pd
import pytest

import wisecommittee as wc
from wisecommittee.analyses.study import study_of
from wisecommittee.committees.cards import ModelCard
from wisecommittee.committees.committee import Committee
from wisecommittee.errors import AlignmentError, ContentError, WiseCommitteeError
from wisecommittee.searches.choosing import search_and_choose
from wisecommittee.searches.query import Query
from wisecommittee.searches.search import search
from wisecommittee.searches.stages.split_model import model_quality
from wisecommittee.searches.target import Target
from wisecommittee.searches.units import evaluate_units
from wisecommittee.store import LogitStore
from wisecommittee.store.imports.answers import import_answers
from wisecommittee.store.imports.outputs import import_outputs
from wisecommittee.tasks.text import comparable

N = 90
NAMES = ["bird", "cat", "dog", "frog", "horse"]
RNG = np.random.default_rng(5)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("WISECOMMITTEE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models.csv").write_text("model,flops\na,1000\nb,5000\n")
    return tmp_path


def drawn(classes, n=N, seed=0):
    """labels int64 [n], outputs float64 [n, classes] that are right in about three rows of four."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    outputs = rng.normal(size=(n, classes)).round(4)
    outputs[np.arange(n), labels] += 2
    return labels, outputs


def table(outputs, headings, order=None, ids=None):
    """One column for each class under its heading, in the order of `order`."""
    frame = pd.DataFrame(outputs, columns=headings)
    frame = frame if order is None else frame[order]
    frame.insert(0, "unit_id", [f"img{i}" for i in range(len(outputs))] if ids is None else ids)
    return frame


def write(frame, name, suffix="csv"):
    file = f"{name}.{suffix}"
    frame.to_csv(file, index=False) if suffix == "csv" else frame.to_parquet(file)
    return file


def label_file(labels, ids=None):
    ids = [f"img{i}" for i in range(len(labels))] if ids is None else ids
    pd.DataFrame({"unit_id": ids, "label": labels}).to_csv("labels.csv", index=False)
    return "labels.csv"


def imported(files, labels, split="val", kind="logits", **more):
    """Import {model: file}; the accuracy of each by the store."""
    store = LogitStore("S")
    import_outputs(store, split, [(kind, m, f) for m, f in files.items()], labels=labels, costs="models.csv", **more)
    return store, {m: model_quality(store, split, store.card(m, split)) for m in files}


def accuracy(outputs, labels):
    return float((np.argmax(outputs, axis=1) == labels).mean())


# Which column is which class


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("heading", ["{}", "class_{}", "p[{}]", "logit {}"])
def test_numbered_columns_are_classes_by_their_number(folder, heading, suffix):
    labels, outputs = drawn(12)
    headings = [heading.format(k) for k in range(12)]
    file = write(table(outputs, headings, sorted(headings)), "a", suffix)
    assert sorted(headings) != headings
    store, found = imported({"a": file}, label_file(labels))
    assert found["a"] == accuracy(outputs, labels)
    np.testing.assert_allclose(store.outputs("a", "val"), outputs, rtol=1e-6)
    assert store.card("a", "val").class_names is None


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_models_and_labels_meet_by_the_names_of_classes(folder, suffix):
    labels, outputs = drawn(5)
    _, other = drawn(5, seed=0)
    files = {
        "a": write(table(outputs, NAMES), "a", suffix),
        "b": write(table(other + 1, NAMES, NAMES[::-1]), "b", suffix),
    }
    store, found = imported(files, label_file([NAMES[k] for k in labels]))
    assert found == dict.fromkeys("ab", accuracy(outputs, labels))
    np.testing.assert_allclose(store.outputs("b", "val"), store.outputs("a", "val") + 1, rtol=1e-5, atol=1e-6)
    assert {store.card(m, "val").class_names for m in "ab"} == {tuple(NAMES)}
    np.testing.assert_array_equal(store.labels("val"), labels)
    assert LogitStore("S").card("a", "val").to_json()["class_names"] == NAMES


def test_the_order_of_import_does_not_number_the_classes(folder):
    labels, outputs = drawn(5)
    files = {"a": write(table(outputs, NAMES, NAMES[::-1]), "a"), "b": write(table(outputs, NAMES), "b")}
    words = label_file([NAMES[k] for k in labels])
    imported(files, words)
    (folder / "S").rename(folder / "first")
    second, _ = imported(dict(reversed(files.items())), words)
    for model in "ab":
        ours = LogitStore("first").card(model, "val")
        assert ours == second.card(model, "val")


def test_orders_that_differ_need_labels_that_are_names(folder):
    labels, outputs = drawn(5)
    files = {"a": write(table(outputs, NAMES), "a"), "b": write(table(outputs, NAMES, NAMES[::-1]), "b")}
    with pytest.raises(ContentError, match=r"a and b have the same classes in different orders \(bird, .*classes=FILE"):
        imported(files, label_file(labels))
    assert not (folder / "S").exists()
    (folder / "names.txt").write_text("\n".join(NAMES))
    _, found = imported(files, label_file(labels), classes="names.txt")
    assert found == dict.fromkeys("ab", accuracy(outputs, labels))


def test_a_split_is_aligned_with_the_names_of_another(folder):
    labels, outputs = drawn(5)
    imported({"a": write(table(outputs, NAMES), "a")}, label_file(labels))
    later, others = drawn(5, seed=1)
    shuffled = write(table(others, NAMES, ["dog", "bird", "horse", "frog", "cat"]), "a_test", "parquet")
    store, found = imported({"a": shuffled}, label_file(later), split="test")
    assert found["a"] == accuracy(others, later)
    np.testing.assert_allclose(store.outputs("a", "test"), others, rtol=1e-6)
    np.save("b.npy", outputs.astype(np.float32))  # without names its columns go by number, as the labels do
    store, found = imported({"b": "b.npy"}, label_file(labels), by_position=True)
    assert found["b"] == accuracy(outputs, labels)
    assert store.card("b", "val").class_names == tuple(NAMES)


def test_other_classes_are_refused_or_mapped(folder):
    labels, outputs = drawn(5)
    renamed = ["bird", "cat", "hound", "frog", "pony"]
    files = {"a": write(table(outputs, NAMES), "a"), "b": write(table(outputs, renamed, renamed[::-1]), "b")}
    words = label_file([NAMES[k] for k in labels])
    with pytest.raises(
        ContentError, match=r"b \(b.csv\): no column for class 'dog', 'horse' and column 'pony', 'hound'"
    ):
        imported(files, words)
    (folder / "names.csv").write_text("index,name\n0,bird\n1,cat\n2,dog\n2,hound\n3,frog\n4,horse\n4,pony\n")
    store, found = imported(files, words, classes="names.csv")
    assert found == dict.fromkeys("ab", accuracy(outputs, labels))
    assert store.card("b", "val").class_names == tuple(NAMES)
    with pytest.raises(ContentError, match=r"labels.csv: 'wolf' is no class of the outputs, which are 'bird'"):
        imported(files, label_file(["wolf" if k == 2 else NAMES[k] for k in labels]), split="test")


def test_a_model_has_the_same_classes_in_every_split(folder):
    for split, classes in (("val", 5), ("test", 7)):
        labels, outputs = drawn(classes)
        np.save("y.npy", labels)
        np.save("a.npy", outputs)
        if split == "val":
            imported({"a": "a.npy"}, "y.npy")
        else:
            with pytest.raises(ContentError, match=r"a in test: 7 classes, a in val has 5; a model has the same"):
                imported({"a": "a.npy"}, "y.npy", split)
    assert LogitStore("S").splits() == ("val",)


MEANINGS = ["id", "Unnamed: 0", "index", "label", "pred", "Target", "split", "fold", "image_id", "y true", ""]


@pytest.mark.parametrize("heading", MEANINGS)
@pytest.mark.parametrize("words", [False, True])
def test_headings_that_mean_something_else_are_no_classes(folder, heading, words):
    labels, outputs = drawn(5)
    frame = table(outputs, NAMES if words else [str(k) for k in range(5)])
    frame[heading] = np.arange(N) * 1.5
    with pytest.raises(ContentError, match=r"column '.*' is no class|no heading") as caught:
        imported({"a": write(frame, "a")}, label_file([NAMES[k] for k in labels] if words else labels))
    assert "a.csv" in str(caught.value)
    assert not (folder / "S").exists()


def test_a_class_that_the_labels_name_may_be_called_anything(folder):
    labels, outputs = drawn(5)
    names = ["date", "image", "name", "path", "split"]
    _, found = imported({"a": write(table(outputs, names), "a")}, label_file([names[k] for k in labels]))
    assert found["a"] == accuracy(outputs, labels)


@pytest.mark.parametrize(
    ("headings", "message"),
    [
        (["1", "2", "3", "4", "5"], "numbered 1 to 5; 5 classes are numbered 0 to 4"),
        (["0", "1", "2", "3", "7"], "numbered 0 to 7 without 4"),
        (["V1", "V2", "V3", "V4", "V5"], "numbered 1 to 5"),
        (["0", "1", "2", "3", "height"], "4 columns are numbered from 0, column 'height' is not"),
        (["c0", "c1", "c2", "c3", "height"], "column 'height' is not"),
        (["c1", "c01", "c0", "c2", "c3"], "two columns have the same number"),
        (["cat", "dog", "cat ", "frog", "bird"], "column 'cat' stands twice"),
    ],
)
def test_columns_that_are_not_the_classes_are_refused(folder, headings, message):
    labels, outputs = drawn(5)
    with pytest.raises(WiseCommitteeError, match=message):
        imported({"a": write(table(outputs, headings), "a")}, label_file(labels))


def test_an_index_comes_back_as_a_column(folder):
    """Written with its index, a csv has a column without heading; from a Parquet file pandas would hide the ids."""
    labels, outputs = drawn(5)
    pd.DataFrame(outputs).to_csv("a.csv")
    np.save("y.npy", labels)
    with pytest.raises(ContentError, match=r"a.csv: a column has no heading; .*pandas: index=False"):
        imported({"a": "a.csv"}, "y.npy")
    order = RNG.permutation(N)
    table(outputs, NAMES).set_index("unit_id").iloc[order].to_parquet("a.parquet")
    _, found = imported({"a": "a.parquet"}, label_file(labels))
    assert found["a"] == accuracy(outputs, labels)
    table(outputs, NAMES).iloc[order].to_parquet("b.parquet")  # a nameless index beside ids
    assert imported({"b": "b.parquet"}, label_file(labels))[1]["b"] == found["a"]
    pd.DataFrame(outputs, index=order).to_parquet("c.parquet")
    with pytest.raises(ContentError, match=r"a column has no heading"):
        imported({"a": "c.parquet"}, "y.npy", split="test")


ROWS = {
    "row names of R": ('"c0","c1"\n"q1",.5,.2\n"q2",.1,.3\n', "a column has no heading"),
    "a comma at the end": ("0,1\n.5,.2,\n.1,.3,\n", "every row ends with a comma"),
    "two cells more": ("0,1\nx,y,.5,.2\nx,z,.1,.3\n", "2 cells more than its heading"),
    "a row too long": ("0,1\n.5,.2\n.1,.3,.4\n", "not a readable table"),
    "a row too short": ("0,1\n.5,.2\n.1\n", "NaN or infinity, nan in row 1, class 1"),
    "an empty cell": ("0,1\n.5,.2\n.1,\n", "NaN or infinity"),
    "a heading twice": ("0,0\n.5,.2\n.1,.3\n", "column '0' stands twice"),
    "semicolons": ("0;1\n.5;.2\n.1;.3\n", "separated by ';'; expected commas"),
    "decimal commas": ("0;1\n0,5;0,2\n0,1;0,3\n", "separated by ';'; expected commas between cells and points"),
    "no heading": (".4,.1\n.5,.2\n.1,.3\n", "its first row holds numbers"),
    "no rows": ("0,1\n", "no rows"),
    "nothing": ("", "not a readable table"),
    "one column that is no class": ("height\n.5\n.2\n", "for two classes the one of class 1, named '1'"),
}


@pytest.mark.parametrize("case", ROWS)
def test_rows_that_do_not_fit_their_heading_are_refused(folder, case):
    text, message = ROWS[case]
    (folder / "a.csv").write_text(text)
    np.save("y.npy", np.array([0, 1]))
    with pytest.raises(WiseCommitteeError, match=message) as caught:
        imported({"a": "a.csv"}, "y.npy")
    assert "a.csv" in str(caught.value) or "row" in str(caught.value)


def test_lists_in_parquet_are_checked(folder):
    labels, outputs = drawn(5)
    lists = [row.tolist() for row in outputs]
    pd.DataFrame({"unit_id": [f"img{i}" for i in range(N)], "outputs": lists}).to_parquet("a.parquet")
    assert imported({"a": "a.parquet"}, label_file(labels))[1]["a"] == accuracy(outputs, labels)
    for bad, message in (
        ([*lists[:7], None, *lists[8:]], "1 row without outputs, the first is row 7"),
        ([*lists[:7], [1.0], *lists[8:]], "1 outputs in row 7, 5 in others"),
        ([*lists[:7], [*lists[7][:4], None], *lists[8:]], "NaN or infinity, nan in row 7, class 4"),
    ):
        pd.DataFrame({"unit_id": [f"img{i}" for i in range(N)], "outputs": bad}).to_parquet("b.parquet")
        with pytest.raises(ContentError, match=message):
            imported({"b": "b.parquet"}, label_file(labels))


def test_a_column_of_counts_is_warned_of(folder):
    labels, outputs = drawn(5)
    frame = table(outputs, NAMES)
    frame["visits"] = np.arange(N)
    with pytest.warns(UserWarning, match=r"column 'visits' holds whole numbers only"):
        imported({"a": write(frame, "a")}, label_file(labels % 5))


# One column, two classes


@pytest.mark.parametrize("kind", ["logits", "probabilities"])
@pytest.mark.parametrize("form", ["[N]", "[N, 1]", "csv"])
def test_one_column_is_class_1_of_two(folder, kind, form):
    labels = RNG.integers(0, 2, N)
    logits = RNG.normal(size=N) + 2 * labels - 1
    chance = 1 / (1 + np.exp(-logits))
    values = logits if kind == "logits" else chance
    if form == "csv":
        pd.DataFrame({"1": values}).to_csv("a.csv", index=False)
    else:
        np.save("a.npy", values if form == "[N]" else values[:, None])
    np.save("y.npy", labels)
    store, found = imported({"a": "a.csv" if form == "csv" else "a.npy"}, "y.npy", kind=kind)
    assert found["a"] == ((logits > 0) == labels).mean()
    stored = store.outputs("a", "val").astype(np.float64)
    assert stored.shape == (N, 2)
    odds = stored[:, 1] - stored[:, 0] if kind == "logits" else np.log(stored[:, 1] / stored[:, 0])
    np.testing.assert_allclose(odds, logits, rtol=1e-4, atol=1e-4)


def test_one_column_may_have_the_name_of_its_class(folder):
    labels = RNG.integers(0, 2, N)
    chance = 1 / (1 + np.exp(-(RNG.normal(size=N) + 2 * labels - 1)))
    pd.DataFrame({"unit_id": [f"img{i}" for i in range(N)], "yes": chance}).to_csv("a.csv", index=False)
    store, found = imported({"a": "a.csv"}, label_file([["no", "yes"][k] for k in labels]), kind="probabilities")
    assert found["a"] == ((chance > 0.5) == labels).mean()
    assert store.card("a", "val").class_names == ("no", "yes")


# Which row is which unit

PAIRED = {
    "both in order": (None, None, True),
    "labels 0.. in order": ("numbers", None, True),
    "outputs 0.. in order": (None, "numbers", True),
    "labels 0.. in another order": ("shuffled", None, False),
    "outputs 0.. in another order": (None, "shuffled", False),
    "labels 1..": ("from 1", None, False),
    "outputs named": (None, "names", False),
}


@pytest.mark.parametrize("case", PAIRED)
def test_without_ids_on_one_side_only_numbers_in_order_are_safe(folder, case):
    labels, outputs = drawn(5)
    ids = {
        None: None,
        "numbers": list(range(N)),
        "shuffled": RNG.permutation(N).tolist(),
        "from 1": list(range(1, N + 1)),
        "names": [f"img{i}" for i in range(N)],
    }
    of_labels, of_outputs, safe = PAIRED[case]
    frame = pd.DataFrame({"label": labels})
    if of_labels:
        frame.insert(0, "unit_id", ids[of_labels])
    frame.to_csv("y.csv", index=False)
    frame = table(outputs, NAMES, ids=ids[of_outputs])
    write(frame if of_outputs else frame.drop(columns="unit_id"), "a")
    if not safe:
        with pytest.raises(AlignmentError, match=r"says which unit each row is .* with by_position=True"):
            imported({"a": "a.csv"}, "y.csv")
    _, found = imported({"a": "a.csv"}, "y.csv", by_position=not safe)
    assert found["a"] == accuracy(outputs, labels)


def test_an_index_of_labels_that_is_no_count_may_be_ids(folder):
    labels, outputs = drawn(5)
    np.save("a.npy", outputs)
    pd.Series(labels, name="label").to_csv("y.csv")
    assert imported({"a": "a.npy"}, "y.csv")[1]["a"] == accuracy(outputs, labels)
    for name in (None, "image_id", "filename"):
        pd.Series(labels, name="label", index=[f"img{i}" for i in range(N)]).to_csv("y.csv", index_label=name)
        with pytest.raises(ContentError, match=r"no column unit_id, but .* Name it unit_id if so"):
            imported({"a": "a.npy"}, "y.csv", split="test")


ALIKE = {
    "composed and not": (
        [f"é{i}.png" for i in range(N)],
        [unicodedata.normalize("NFD", f"é{i}.png") for i in range(N)],
        r"'e\\u0301\d+.png'; they have '\\xe9\d+.png', which differs in Unicode form",
    ),
    "folders": ([f"val/{i}.png" for i in range(N)], [f"{i}.png" for i in range(N)], "which differs in the folder"),
    "endings": ([f"i{i}.png" for i in range(N)], [f"i{i}" for i in range(N)], "which differs in the file's ending"),
    "case": ([f"I{i}" for i in range(N)], [f"i{i}" for i in range(N)], "which differs in case"),
    "padding": ([f"{i:04}" for i in range(N)], [f"{i}" for i in range(1, N + 1)], "the way a number is written"),
    "bytes as text": ([f"q{i}" for i in range(N)], [f"b'q{i}'" for i in range(N)], "bytes written as text"),
    "nothing alike": ([f"q{i}" for i in range(N)], [f"x.{i}" for i in range(N)], "they have 'q0'"),
}


@pytest.mark.parametrize("case", ALIKE)
def test_ids_that_differ_are_shown_from_both_sides(folder, case):
    of_labels, of_outputs, message = ALIKE[case]
    labels, outputs = drawn(5)
    with pytest.raises(AlignmentError, match=message) as caught:
        imported({"a": write(table(outputs, NAMES, ids=of_outputs), "a")}, label_file(labels, of_labels))
    assert "not among the labels of labels.csv" in str(caught.value)


def test_ids_are_read_the_same_from_every_kind_of_file(folder):
    labels, outputs = drawn(5)
    np.savez("a.npz", logits=outputs, unit_id=np.array([f"é{i}".encode() for i in range(N)]))
    assert imported({"a": "a.npz"}, label_file(labels, [f"é{i}" for i in range(N)]))[1]["a"] == accuracy(
        outputs, labels
    )
    frame = table(outputs, NAMES, ids=np.arange(N, dtype=np.float64))
    for suffix in ("csv", "parquet"):
        file = write(frame, "b", suffix)
        assert imported({"b": file}, label_file(labels, range(N)), split=suffix)[1]["b"] == accuracy(outputs, labels)


# Which answer is which label


def answers(given, labels, **more):
    """One model's answers in a long table with a label column."""
    frame = pd.DataFrame({"unit_id": [f"q{i}" for i in range(len(given))], "model": "a", "answer": given})
    frame = frame.assign(confidence=0.5, usd=0.001, label=labels, **more)
    frame.to_csv("answers.csv", index=False)
    return frame


def right(split="val", **more):
    store = LogitStore("S")
    import_answers(store, split, "answers.csv", **more)
    return model_quality(store, split, store.card("a", split))


SAME = [
    ("A", "A "),
    ("New  York", " New\u00a0York"),
    ("3", "3.0"),
    ("3.00", "3"),
    ("-2", "-2.0"),
    ("caf\u00e9", "cafe\u0301"),
    ("007", "007"),
    ("\ufeffyes", "yes"),
    ("1,000", "1,000"),
    ("0.50", "0.5"),
    ("-1.250", "-1.25"),
]
DIFFERENT = [("A", "a"), ("7", "007"), ("3.5", "3"), ("", "A"), (" ", "A"), ("yes", "no"), ("1e3", "1000")]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_answers_and_labels_are_read_by_one_rule(folder, one, other):
    answers([one, other], [other, one])
    assert right() == 1.0
    assert comparable(one) == comparable(other)
    assert comparable(comparable(one)) == comparable(one)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_answers_that_differ_are_wrong(folder, one, other):
    answers([one, "x"], [other, "x"])
    assert right() == 0.5


def test_case_is_ignored_only_on_request(folder):
    answers(["Yes", "NO", "Straße"], ["yes", "no", "STRASSE"])
    assert right() == 0.0
    assert right("other", ignore_case=True) == 1.0


def test_numbers_and_their_text_agree_across_files(folder):
    frame = answers([1, 0, 2], [1, 0, 1])
    frame["answer"] = [1.0, 0.0, 2.0]
    frame.drop(columns="label").to_csv("answers.csv", index=False)
    pd.DataFrame({"unit_id": ["q0", "q1", "q2"], "label": ["1", "0", "1"]}).to_parquet("y.parquet")
    assert right(labels="y.parquet") == pytest.approx(2 / 3)


@pytest.mark.parametrize("blank", ["", "  ", "nan", "<NA>"])
def test_a_label_that_is_missing_is_refused(folder, blank):
    answers(["A", "B", ""], ["A", "B", blank])
    with pytest.raises(ContentError, match=r"1 unit without a label, such as 'q2'"):
        right()
    label_file(["A", "B", blank], ["q0", "q1", "q2"])
    with pytest.raises(ContentError, match=r"labels.csv: 1 unit without a label, the first in row 2"):
        right(labels="labels.csv")
    card = ModelCard("a", kind="answers", costs={"usd": 1})
    with pytest.raises(ContentError, match=r"an empty label, '.*', in row 1"):
        LogitStore("S").add(card, "val", labels=["A", blank], answers=["A", ""], scores={"confidence": [0.5, 0.5]})


def test_no_answer_is_never_right(folder):
    frame = answers(["A", None, "B"], ["A", "B", "B"])
    frame.to_parquet("answers.parquet")
    store = LogitStore("S")
    import_answers(store, "val", "answers.parquet")
    assert store.answers("a", "val").tolist() == ["A", "", "B"]
    assert model_quality(store, "val", store.card("a", "val")) == pytest.approx(2 / 3)


def test_answers_in_the_order_of_arrival_are_not_paired_with_labels_without_ids(folder):
    frame = answers(list("ABCA"), list("ABCA")).drop(columns="label")
    frame["unit_id"] = [3, 1, 4, 2]
    frame.to_csv("answers.csv", index=False)
    np.save("y.npy", np.array(list("ABCA")))
    with pytest.raises(AlignmentError, match=r"answers.csv says which unit each row is \('3', '1', '4', ..\), y.npy"):
        right(labels="y.npy")
    assert right(labels="y.npy", by_position=True) == 1.0


@pytest.mark.parametrize("heading", ["Unnamed: 0", "index", "split"])
def test_a_column_that_is_no_cost_is_not_one(folder, heading):
    answers(list("ABC"), list("ABC"), **{heading: [0, 1, 2]})
    with pytest.raises(ContentError, match=r"is no cost|no heading"):
        right()


# Costs


def test_a_model_may_be_free(folder):
    labels, outputs = drawn(5)
    np.save("a.npy", outputs)
    np.save("b.npy", outputs + 3 * np.eye(5)[labels])
    np.save("y.npy", labels)
    (folder / "models.csv").write_text(",model,usd\n0,a,0\n1,b,0.5\n")
    store, _ = imported({"a": "a.npy", "b": "b.npy"}, "y.npy")
    assert store.card("a", "val").costs == {"usd": 0}
    assert store.card("b", "val").costs == {"usd": 0.5}
    frontier = search(store, cost="usd")
    assert frontier.evaluations[0].average_cost == 0
    assert frontier.evaluations[0].quality >= accuracy(outputs, labels)
    free = search_and_choose(store, Query(cost="usd"), Target("target_cost", 0))  # no ratio of a price to nothing
    assert (free.speedup, free.val.average_cost) == (None, 0)
    assert wc.tables.fill("match", study_of(store, cost="usd")).cells()
    (folder / "models.csv").write_text("model,flops\na,0\nb,1\n")
    with pytest.raises(WiseCommitteeError, match=r"flops is 0; expected a finite number above 0"):
        imported({"a": "a.npy"}, "y.npy", split="test")


def test_rows_of_units_name_their_classes(folder):
    labels, outputs = drawn(5)
    store, _ = imported({"a": write(table(outputs, NAMES), "a")}, label_file([NAMES[k] for k in labels]))
    rows = evaluate_units(Committee((("a",),)), store, "val")
    assert rows["prediction"].tolist() == [NAMES[k] for k in outputs.argmax(axis=1)]
    assert rows["label"].tolist() == [NAMES[k] for k in labels]
    assert rows["correct"].tolist() == (outputs.argmax(axis=1) == labels).tolist()

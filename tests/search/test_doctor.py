"""What is sound and still not what it is taken for: every kind is told with its cause, and sound pools are left "
"alone."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from numpy.random import default_rng
from wisecommittee.cli import application

from wisecommittee import LogitStore, ModelCard
from wisecommittee.errors import ContentError
from wisecommittee.searches.choosing import search_and_choose
from wisecommittee.searches.doctor import examine, misread, shared_units
from wisecommittee.searches.query import Query
from wisecommittee.searches.target import Target
from wisecommittee.store.imports.outputs import import_outputs
from wisecommittee.store.imports.segmentation import import_images


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return LogitStore("S")


def drawn(n, classes, seed, strength=2.5):
    """labels int64 [n], logits float32 [n, classes]."""
    rng = default_rng(seed)
    labels = rng.integers(0, classes, n)
    logits = rng.normal(size=(n, classes))
    logits[np.arange(n), labels] += strength
    return labels, logits.astype(np.float32)


def fill(store, split="val", n=400, classes=5, seed=0, models=("a", "b"), ids=None, edit=lambda x: x, **card):
    labels, _ = drawn(n, classes, seed)
    for k, model in enumerate(models):
        _, logits = drawn(n, classes, seed)
        logits = edit(logits + default_rng([seed, k]).normal(size=logits.shape, scale=0.5).astype(np.float32))
        made = ModelCard(model, blocks={model: 1000 * (k + 1)}, **card)
        store.add(made, split, labels=labels, outputs=logits, unit_ids=ids)
    return labels


def told(store, kind, **options):
    return [doubt.text for doubt in examine(store, **options) if doubt.kind == kind]


@pytest.mark.parametrize(("classes", "n"), [(2, 60), (5, 400), (12, 500), (100, 300), (1000, 600)])
@pytest.mark.parametrize("strength", [0.0, 1.0, 4.0])
def test_sound_pools_are_left_alone(store, classes, n, strength):
    """At chance, weak or strong: nothing is said."""
    for split, seed in (("val", 0), ("test", 1)):
        labels, logits = drawn(n, classes, seed, strength)
        for k, model in enumerate("ab"):
            outputs = logits + default_rng([seed, k]).normal(size=logits.shape).astype(np.float32)
            card = ModelCard(model, blocks={model: 1e6 * (k + 1)}, params=1000 * (k + 1))
            store.add(card, split, labels=labels, outputs=outputs)
    assert examine(store) == ()


# The numbers of classes

C = 12
BY_TEXT = np.array(sorted(range(C), key=str))
SHUFFLE = default_rng(7).permutation(C)
MISREAD = {
    "a class of its own first": (lambda y, z: (y, np.c_[np.full(len(z), -3.0), z]), "every label were 1 higher"),
    "labels from 1": (lambda y, z: (y + 1, np.c_[z, np.full(len(z), -3.0)]), "every label were 1 lower"),
    "columns by text": (lambda y, z: (y, z[:, BY_TEXT]), "columns stand in the order of text"),
    "labels by text": (lambda y, z: (np.argsort(BY_TEXT)[y], z), "labels are numbered in the order of text"),
    "reversed": (lambda y, z: (y, z[:, ::-1]), "the classes are in reverse"),
    "shuffled": (lambda y, z: (y, z[:, SHUFFLE]), "were class .*Import outputs and labels by class name"),
    "other labels": (
        lambda y, z: ((z.argmax(1) + 1 + default_rng(0).integers(0, C - 1, len(y))) % C, z),
        "below chance",
    ),
}


@pytest.mark.parametrize("case", MISREAD)
@pytest.mark.parametrize("strength", [2.0, 4.0])
def test_classes_in_another_order_are_told_with_what_would_fit(store, case, strength):
    edit, cause = MISREAD[case]
    y, z = drawn(600, C, 3, strength)
    labels, logits = edit(y, z)
    found = misread(logits.argmax(axis=1), labels, logits.shape[1])
    assert found is not None
    assert found.right == (logits.argmax(axis=1) == labels).mean()
    if case != "other labels":
        assert found.better == pytest.approx((z.argmax(axis=1) == y).mean(), abs=0.01)
    store.add(ModelCard("a", blocks={"a": 1}), "val", labels=labels, outputs=np.ascontiguousarray(logits))
    (text,) = told(store, "labels")
    assert text.startswith("a (")
    assert " in val: " in text
    assert re.search(cause, text)


def test_two_classes_that_are_exchanged(store):
    fill(store, classes=2, edit=lambda x: np.ascontiguousarray(x[:, ::-1]))
    (text,) = told(store, "labels")
    assert "in reverse" in text


def test_large_splits_are_sampled_evenly(store, monkeypatch):
    monkeypatch.setattr("wisecommittee.searches.doctor.look.SAMPLE_VALUES", 5 * 256)
    monkeypatch.setattr("wisecommittee.searches.doctor.look.SAMPLE_UNITS", 256)
    labels = fill(store, n=5000, edit=lambda x: np.roll(x, 1, axis=1))
    assert len(labels) == 5000
    assert len(told(store, "labels")) == 1


# Answers


def test_rows_in_another_order_are_right_by_chance(store):
    labels, logits = drawn(400, 5, 0)
    store.add(ModelCard("a", blocks={"a": 1}), "val", labels=labels, outputs=logits)
    assert told(store, "labels") == []
    store.add(ModelCard("b", blocks={"b": 2}), "val", labels=labels, outputs=np.roll(logits, 1, axis=0))
    (text,) = told(store, "labels")
    assert text.startswith("b in val: right as often as chance, beside a model that is right in")


def test_a_column_that_is_no_class_is_said_and_never_a_label(store):
    labels, logits = drawn(400, 5, 0)
    store.add(ModelCard("a", blocks={"a": 1}), "val", labels=labels, outputs=np.c_[logits, logits[:, 0]] + 0.0)
    assert told(store, "labels") == []
    store.add(ModelCard("b", blocks={"b": 1}), "val", labels=labels, outputs=np.c_[logits, logits[:, ::-1][:, :1] + 1])
    assert "class 5 is the answer for" in told(store, "labels")[0]


def test_two_columns_exchanged_in_one_model(store):
    labels, logits = drawn(600, 5, 0, 3.0)
    store.add(ModelCard("a", blocks={"a": 1}), "val", labels=labels, outputs=logits[:, [1, 0, 2, 3, 4]])
    (text,) = told(store, "labels")
    assert "column 0 were class 1, column 1 were class 0" in text


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (str.upper, "but 100.0 % if case does not count; import the answers with ignore_case=True"),
        (lambda text: f"({text})", r"no answer is its label, such as '\(x0\)' against 'x0'"),
    ],
)
def test_answers_in_another_form_are_told(store, edit, message):
    labels = [f"x{i % 4}" for i in range(40)]
    card = ModelCard("a", kind="answers", costs={"usd": 1})
    store.add(card, "val", labels=labels, answers=[edit(t) for t in labels], scores={"confidence": np.ones(40)})
    (text,) = told(store, "answers")
    assert re.search(message, text)


# Ties


@pytest.mark.parametrize("cause", ["bfloat16", "offset"])
def test_top_values_that_tie_are_told(store, cause):
    def rounded(x):
        if cause == "offset":
            return x + np.float32(2e6)
        return (np.ascontiguousarray(x).view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)

    fill(store, n=1000, edit=lambda x: rounded(x + 30))
    (text,) = told(store, "ties")
    tied = max(float((np.diff(np.sort(store.outputs(m, "val"), axis=1)[:, -2:]) == 0).mean()) for m in "ab")
    assert f"up to {100 * tied:.1f} % of the units" in text


# Copies


def test_one_file_under_two_names(store):
    labels, logits = drawn(100, 5, 0)
    for model in "abc":
        outputs = logits if model != "b" else logits[:, [1, 0, 2, 3, 4]] + 1
        store.add(ModelCard(model, blocks={model: 1}), "val", labels=labels, outputs=outputs)
    assert [text.partition(" hold")[0] for text in told(store, "models")] == ["a, c in val"]
    assert told(store, "models", models=["b"]) == []


@pytest.mark.parametrize("ids", ["same", "other"])
@pytest.mark.parametrize("order", ["same", "shuffled"])
def test_a_test_split_that_is_val_reports_nothing(store, ids, order):
    labels = fill(store, n=200)
    rows = np.arange(200) if order == "same" else default_rng(0).permutation(200)
    names = [f"{'t' if ids == 'other' else ''}{i}" for i in rows]
    for model in "ab":
        outputs = store.outputs(model, "val")[rows]
        store.add(
            store.card(model, "val").without_contents(), "test", labels=labels[rows], outputs=outputs, unit_ids=names
        )
    (text,) = told(store, "copy")
    assert "val and test hold the same units" in text
    with pytest.warns(UserWarning, match="no figures of test: val and test hold the same units"):
        found = search_and_choose(store, Query(), Target("target_flops", 1500))
    assert found.test is None
    assert found.to_json()["test"] is None
    found.val.committee.save("c.json")
    with pytest.warns(UserWarning, match="these figures of test are no test"):
        run("evaluate", "c.json", "--store", "S")


def test_units_of_val_in_test_are_counted(store):
    labels = fill(store, n=500)
    fresh = fill(LogitStore("other"), n=500, seed=9)
    other = LogitStore("other")
    for model in "ab":
        outputs = np.r_[store.outputs(model, "val")[:25], other.outputs(model, "val")[25:]]
        card = store.card(model, "val").without_contents()
        store.add(card, "test", labels=np.r_[labels[:25], fresh[25:]], outputs=outputs)
    assert shared_units(store, "val", "test") == 0.05
    (text,) = told(store, "overlap")
    assert text.startswith("5.0 % of the units of test have the outputs of units of val")
    assert search_and_choose(store, Query(), Target("target_flops", 1500)).test is not None


@pytest.mark.parametrize("change", ["noise", "half precision", "one model only"])
@pytest.mark.parametrize("kind", ["logits", "probabilities"])
def test_near_copies_are_copies(store, change, kind):
    """Another batch size, machine or precision changes the last digits; a model may be trained anew."""

    def outputs(logits):
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        rows = exponentials / exponentials.sum(axis=1, keepdims=True) if kind == "probabilities" else logits
        return rows.astype(np.float32)

    labels, logits = drawn(500, 5, 0)
    order = default_rng(3).permutation(500)
    for k, model in enumerate("ab"):
        val = logits + default_rng(k).normal(size=logits.shape, scale=0.5)
        test = val + default_rng(1).normal(scale=1e-5, size=val.shape)
        if change == "half precision":
            test = val.astype(np.float16).astype(np.float64)
        elif change == "one model only" and model == "b":
            test = drawn(500, 5, 9)[1]
        card = ModelCard(model, blocks={model: 1}, kind=kind)
        store.add(card, "val", labels=labels, outputs=outputs(val))
        store.add(card, "test", labels=labels[order], outputs=outputs(test)[order])
    assert shared_units(store, "val", "test") > 0.6
    assert len(told(store, "copy")) == 1


@pytest.mark.parametrize("decimals", [1, 2, 3])
def test_rounded_outputs_coincide_by_chance(store, decimals):
    for split, seed in (("val", 0), ("test", 1)):
        labels = default_rng(seed).integers(0, 2, 1000)
        for k, model in enumerate("ab"):
            sure = default_rng([seed, k]).beta(2 + 2 * labels, 4 - 2 * labels).round(decimals)
            outputs = np.column_stack([1 - sure, sure]).astype(np.float32)
            store.add(ModelCard(model, blocks={model: 1}, kind="probabilities"), split, labels=labels, outputs=outputs)
    assert told(store, "overlap") == told(store, "copy") == []


def test_questions_of_val_among_those_of_test_are_counted(store):
    for model in "ab":
        rng = default_rng(ord(model))
        sure, said = rng.random((2, 400)), rng.integers(0, 3, (2, 400)).astype(str)
        sure[1, :20], said[1, :20] = sure[0, 50:70], said[0, 50:70]
        for k, split in enumerate(("val", "test")):
            labels = [f"{i % 3}" for i in range(400)]
            card = ModelCard(model, kind="answers", costs={"usd": 1})
            store.add(card, split, labels=labels, answers=said[k], scores={"confidence": sure[k]})
    (text,) = told(store, "overlap")
    assert text.startswith("5.0 % of the units of test")


def test_sure_answers_are_no_copies(store):
    """Rows that many units share do not say that two units are one."""
    rows = np.eye(4, dtype=np.float32)
    for split, seed in (("val", 0), ("test", 1)):
        labels = default_rng(seed).integers(0, 4, 300)
        store.add(ModelCard("a", kind="probabilities", blocks={"a": 1}), split, labels=labels, outputs=rows[labels])
    assert shared_units(store, "val", "test") is None
    assert examine(store) == ()


def test_splits_of_other_names_may_share_units(store):
    labels = fill(store, n=100, split="all")
    for split in ("val", "test"):
        rows = slice(0, 50) if split == "val" else slice(50, 100)
        for model in "ab":
            card = store.card(model, "all").without_contents()
            ids = store.unit_ids("all")[rows]
            store.add(card, split, labels=labels[rows], outputs=store.outputs(model, "all")[rows], unit_ids=ids)
    assert examine(store) == ()


# Pixels


def test_an_object_that_is_the_ignored_label(store, tmp_path):
    labels = np.zeros((6, 16, 16), np.uint8)
    labels[:, 4:12, 4:12] = 255
    outputs = default_rng(0).normal(size=(6, 16, 16, 2)).astype(np.float32)
    outputs[..., 0] += 2 * (labels == 0)
    np.save("y.npy", labels)
    np.save("a.npy", outputs)
    (tmp_path / "m.csv").write_text("model,flops\na,1000\n")
    for split, ignored in (("val", 255), ("other", 7)):
        np.save("y.npy", labels if split == "val" else labels // 255)
        import_images(store, split, [("logits", "a", "a.npy")], labels="y.npy", costs="m.csv", cell=8, ignored=ignored)
    (text,) = told(store, "classes")
    assert "a in val: class 1 never occurs in the labels while 25 % of the pixels do not count" in text
    assert "cannot exceed 50 %" in text


# Costs

COSTS = {
    "billions beside ones": ("a,1820000000,11690000,\nb,4.11,25560000,", "b: 4.11 FLOPs .* with 25,560,000 parameters"),
    "all in billions": ("a,1.82,11690000,\nb,4.11,25560000,", "a, b: 1.82 FLOPs"),
    "exchanged": ("a,11690000,1820000000,\nb,4e9,25e6,", "a: 1.169e.07 FLOPs"),
    "no parameters": ("a,1820000000,,\nb,4.11,,", r"flops of a is 1.82e\+09, of b 4.11: 442,822,384 times as much;"),
    "in total beside per call": (
        "a,2e9,1e7,16.5\nb,4e9,2e7,0.0066",
        "usd of a is 16.5, of b 0.0066: 5,000 times .* per para",
    ),
    "parameters in millions": ("a,1.82e9,12,\nb,4.11e9,26,", "a, b: 12 parameters with 1.82e.09 FLOPs"),
    "per multiply-add": ("a,1e6,,0.2\nb,5e6,,0.0005", "usd of a is 0.2, of b 0.0005: 2,000 times as much per multiply"),
    "sound": ("a,3e6,4000,0.0001\nb,2e11,6e8,0.3", None),
    "free": ("a,3e6,4000,0\nb,2e11,6e8,0.3", None),
}


@pytest.mark.parametrize("case", COSTS)
def test_costs_in_different_units_are_told(store, tmp_path, case):
    rows, message = COSTS[case]
    labels, logits = drawn(50, 5, 0)
    np.save("y.npy", labels)
    np.save("a.npy", logits)
    np.save("b.npy", logits[:, ::-1].copy() + logits)
    (tmp_path / "m.csv").write_text("model,flops,params,usd\n" + rows + "\n")
    import_outputs(store, "val", [("logits", m, f"{m}.npy") for m in "ab"], labels="y.npy", costs="m.csv")
    texts = told(store, "costs")
    assert len(texts) == (message is not None)
    assert message is None or re.search(message, texts[0])


# Where it is told


def run(*arguments):
    return application()(arguments, standalone_mode=False)


def test_the_commands_warn_and_go_on(store, tmp_path, capsys):
    labels, logits = drawn(300, 5, 0)
    np.save("y.npy", labels + 1)
    np.save("a.npy", np.c_[logits, np.full(300, -5, np.float32)])
    (tmp_path / "m.csv").write_text("model,flops\na,1000\n")
    given = ["import", "--store", "S", "--labels", "y.npy", "--costs", "m.csv", "--logits", "a=a.npy"]
    with pytest.warns(UserWarning, match="labels numbered from 1"):
        run(*given)
    with pytest.warns(UserWarning, match="labels numbered from 1"):
        run("search", "--store", "S", "--target-flops", "2000", "--json")
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["val"]["n"] == 300
    with pytest.warns(UserWarning, match="labels numbered from 1"):
        run("verify", "--store", "S", "--json")
    shown = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert shown["problems"] == []
    assert len(shown["warnings"]) == 1


def test_other_classes_in_another_split_are_a_problem(store):
    fill(store, classes=5)
    with pytest.raises(ContentError, match="a in test: 7 classes, a in val has 5"):
        fill(store, split="test", classes=7)


# Halves of the rows, confidences and costs of single units


@pytest.mark.parametrize(
    ("order", "said"),
    [
        (lambda z: np.r_[z[:200], z[:199:-1]], r"second half .* % if they stand in reverse; were the rows"),
        (lambda z: np.r_[z[:200], np.roll(z[200:], 1, axis=0)], r"second half .* stand 1 row later than their labels"),
        (lambda z: np.r_[np.roll(z[:200], -2, axis=0), z[200:]], r"first half .* stand 2 rows earlier than"),
        (lambda z: np.r_[z[:200], default_rng(5).permutation(z[200:])], r"of the other; are the rows of one half"),
    ],
)
def test_half_of_the_rows_in_another_order_is_told(order, said, store):
    labels = fill(store)
    _, logits = drawn(400, 5, 0)
    store.add(ModelCard("odd", blocks={"odd": 10}), "val", labels=labels, outputs=order(logits))
    (text,) = told(store, "rows")
    assert text.startswith("odd in val: right in ")
    assert re.search(said, text)


def test_a_model_that_knows_half_of_the_classes_is_left_alone(store):
    """In a split in the order of its classes: one half of the units is never right."""
    labels = np.sort(drawn(400, 4, 0)[0])
    logits = default_rng(1).normal(size=(400, 4))
    logits[np.arange(400), labels] += 4.0 * (labels < 2)
    store.add(ModelCard("half", blocks={"half": 1}), "val", labels=labels, outputs=logits.astype(np.float32))
    assert told(store, "rows") == []


def answered(store, model, sure, **costs):
    units = len(sure)
    words = [("cat", "dog", "ox")[k % 3] for k in range(units)]
    store.add(
        ModelCard(model, kind="answers"), "val", labels=words, answers=words, unit_ids=[str(k) for k in range(units)],
        scores={"confidence": np.asarray(sure, np.float32)}, unit_costs=costs,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (
            lambda c: [87.0, *c[1:]],
            "m in val: 1 confidence from 87 to 87, and all 39 others from 0 to 1; percent among",
        ),
        (lambda c: [5.0, *c[1:20], 99.0, *c[21:]], "m in val: 2 confidences from 5 to 99"),
        (lambda c: c, None),
        (lambda c: 100 * c, None),
        (lambda c: 3 * c, None),  # a score without bounds
        (lambda c: np.log(c + 0.01), None),
    ],
)
def test_percent_among_shares_is_told(edit, said, store):
    answered(store, "m", edit(default_rng(0).uniform(0, 1, 40)), usd=np.full(40, 0.01))
    texts = told(store, "confidences")
    assert len(texts) == (said is not None)
    assert said is None or texts[0].startswith(said)


@pytest.mark.parametrize("mixed", [False, True])
def test_costs_of_units_in_two_units_are_told(mixed, store):
    """Seconds of one model among milliseconds of others."""
    rng = default_rng(0)
    for model, times in (("small", 1), ("mid", 1.5), ("large", 2)):
        spread = rng.uniform(0.5, 1.5, 40)
        latency = 50 * times * spread / (1000 if mixed and model == "large" else 1)
        answered(store, model, rng.uniform(0, 1, 40), usd=1e-4 * times * spread, latency=latency, tokens=40 * spread)
    texts = told(store, "costs")
    assert len(texts) == mixed
    if mixed:
        assert re.match(r"latency of (small|mid) is \d.* for a unit of val on average, of large 0\.1.* times", texts[0])


def test_shares_of_a_sample_are_said_to_be(store, monkeypatch):
    monkeypatch.setattr("wisecommittee.searches.doctor.look.SAMPLE_UNITS", 300)
    fill(store, n=900, classes=12, edit=lambda z: z[:, ::-1])
    (text,) = told(store, "labels")
    assert text.endswith("(of 300 units at even distances among the 900)")

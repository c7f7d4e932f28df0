"""A deployed committee is the one that was searched: kinds of outputs, stored outputs, preprocessing, classes."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import SVC, LinearSVC
from torch import nn

import wisecommittee as wc
from wisecommittee.committees.cards import ModelCard
from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.deployment.measure import Loading, MeasureSetup, compare
from wisecommittee.errors import (
    AbsentNameError,
    AlignmentError,
    CommitteeError,
    ContentError,
    UsageError,
    WiseCommitteeError,
)
from wisecommittee.extraction.data.wrap import wrap_data
from wisecommittee.extraction.extract import extract
from wisecommittee.extraction.models.loaded import wrap_module
from wisecommittee.store import LogitStore

torch.set_num_threads(1)

N, CLASSES = 240, 4


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def softmax(rows):
    shifted = np.exp(rows - rows.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def units(n=N):
    rng = np.random.default_rng(0)
    labels = np.arange(n) % CLASSES
    centres = np.random.default_rng(1).standard_normal((CLASSES, 6))
    return (1.2 * centres[labels] + rng.standard_normal((n, 6))).astype(np.float32), labels


X, Y = units()


def nets():
    torch.manual_seed(0)
    made = {}
    for name, hidden in (("small", 2), ("large", 32)):
        module = nn.Sequential(nn.Linear(6, hidden), nn.ReLU(), nn.Linear(hidden, CLASSES))
        optimizer = torch.optim.Adam(module.parameters(), 0.02)
        for _ in range(150):
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(torch.from_numpy(X)), torch.from_numpy(Y)).backward()
            optimizer.step()
        made[name] = module.eval()
    return made


NETS = nets()


def said(name):
    with torch.no_grad():
        return NETS[name](torch.from_numpy(X)).numpy()


def imported(tmp_path, kind, outputs=None):
    """A store of outputs that came as files, and the committee that was found in it."""
    store = LogitStore(tmp_path / "logits")
    outputs = outputs or {name: said(name) for name in NETS}
    for place, (name, rows) in enumerate(outputs.items()):
        rows = softmax(rows) if kind == "probabilities" else rows
        card = ModelCard(name, kind=kind, blocks={name: 10 * (place + 1) ** 2})
        store.add(card, "val", labels=Y, outputs=rows.astype(np.float32))
    found = wc.search(store, levels=20)
    return store, max(found, key=lambda one: len(one.committee.stages)).committee


def as_evaluated(run, inputs, committee, store):
    """Decisions equal those of the evaluator on val."""
    decided, expected = run(inputs), wc.evaluate(committee, store, "val")
    assert (decided.prediction == Y).mean() == expected.quality
    ratios = np.bincount(decided.stage, minlength=len(committee.stages)) / N
    assert tuple(ratios) == expected.exit_ratios
    return decided


# Kinds


def test_networks_that_give_logits_are_no_members_chosen_on_probabilities(tmp_path):
    store, committee = imported(tmp_path, "probabilities")
    assert len(committee.stages) > 1
    message = r"small: the committee was chosen on its probabilities, and it gives logits here.*softmax=True"
    with wc.deploy(committee, NETS, device="cpu") as run, pytest.raises(CommitteeError, match=message):
        run(torch.from_numpy(X))
    with pytest.raises(CommitteeError, match=message):
        wc.deploy(committee, NETS, store=store, data=wrap_data(lambda: (X, Y), "x"), device="cpu")
    setup = MeasureSetup(data=wrap_data(lambda: (X, Y), "x"), seconds=0.01, device="cpu")
    with pytest.raises(CommitteeError, match=message):
        compare(committee, store, loading=Loading(NETS), setup=setup)
    with wc.deploy(committee, NETS, store=store, replay=0, softmax=True, device="cpu") as run:
        as_evaluated(run, torch.from_numpy(X), committee, store)
    ended = {name: nn.Sequential(net, nn.Softmax(dim=1)) for name, net in NETS.items()}
    with wc.deploy(committee, ended, store=store, replay=0, device="cpu") as run:
        as_evaluated(run, torch.from_numpy(X), committee, store)


def test_networks_that_end_with_a_softmax_are_no_members_chosen_on_logits(tmp_path):
    store, committee = imported(tmp_path, "logits")
    ended = {name: nn.Sequential(net, nn.Softmax(dim=1)) for name, net in NETS.items()}
    with (
        wc.deploy(committee, ended, device="cpu") as run,
        pytest.raises(CommitteeError, match=r"small: the committee was chosen on its logits, .* are probabilities"),
    ):
        run(torch.from_numpy(X))
    with wc.deploy(committee, ended, force=True, device="cpu") as run:
        assert len(run(torch.from_numpy(X))) == N
    with wc.deploy(committee, NETS, store=store, replay=0, device="cpu") as run:
        decided = as_evaluated(run, torch.from_numpy(X), committee, store)
    assert decided.names == [str(c) for c in decided.prediction]


def test_a_softmax_that_was_there_when_the_outputs_were_kept_may_stay(tmp_path):
    ended = {name: nn.Sequential(net, nn.Softmax(dim=1)) for name, net in NETS.items()}
    store, data = LogitStore(tmp_path / "logits"), wrap_data(lambda: (X, Y), "x")
    with pytest.warns(UserWarning, match="look"):
        extract([wrap_module(net, name) for name, net in ended.items()], data, "val", store, device="cpu")
    committee = Committee((("small",), ("large",)), Thresholds((0.4,)))
    with wc.deploy(committee, ended, store=store, data=data, device="cpu") as run:
        as_evaluated(run, torch.from_numpy(X), committee, store)


def test_probabilities_in_bfloat16_are_probabilities(tmp_path):
    store, committee = imported(tmp_path, "probabilities")

    def short(net):
        return lambda rows: (torch.softmax(net(torch.as_tensor(rows)), 1) * 1.009).bfloat16()

    members, data = {name: short(net) for name, net in NETS.items()}, wrap_data(lambda: (X, Y), "x")
    with wc.deploy(committee, members, store=store, data=data) as run:
        decided = run(X)
    np.testing.assert_allclose(decided.probabilities.sum(axis=1), 1, atol=2e-3)


# Replay


def test_stored_outputs_are_compared_before_anything_is_served(tmp_path):
    store, committee = imported(tmp_path, "logits")
    order = torch.tensor([1, 0, 2, 3])
    turned = nn.Sequential(NETS["large"], nn.Linear(CLASSES, CLASSES, bias=False))
    turned[1].weight.data = torch.eye(CLASSES)[order]
    data = wrap_data(lambda: (X, Y), "x")
    wrong = {"small": NETS["small"], "large": turned}
    with pytest.raises(
        CommitteeError, match=r"large: unit '\d+' of val has .* for class [01] .* the order of its classes"
    ):
        wc.deploy(committee, wrong, store=store, data=data, device="cpu")
    with pytest.raises(CommitteeError, match="large: unit"):
        compare(committee, store, loading=Loading(wrong), setup=MeasureSetup(data=data, seconds=0.01, device="cpu"))
    with wc.deploy(committee, wrong, store=store, data=data, force=True, device="cpu") as run:
        assert len(run(torch.from_numpy(X))) == N
    with wc.deploy(committee, NETS, store=store, data=data, device="cpu") as run:
        as_evaluated(run, torch.from_numpy(X), committee, store)
    wide = {**NETS, "large": nn.Linear(6, 9)}
    with pytest.raises(CommitteeError, match="large: 9 outputs, val has 4 classes"):
        wc.deploy(committee, wide, store=store, data=data, device="cpu")


def test_a_constant_of_the_row_is_no_difference_between_logits(tmp_path):
    store, committee = imported(tmp_path, "logits", {name: said(name) + 50 * X[:, :1] for name in NETS})
    with wc.deploy(committee, NETS, store=store, data=wrap_data(lambda: (X, Y), "x"), device="cpu") as run:
        assert len(run(X)) == N


def test_where_the_inputs_are_not_at_hand_it_is_said_and_they_can_be_given(tmp_path):
    store, committee = imported(tmp_path, "logits")
    with pytest.warns(UserWarning, match=r"not compared with what is stored \(val of .* does not say .*check\(inputs"):
        run = wc.deploy(committee, NETS, store=store, device="cpu")
    with run:
        run.check(X[:9], [str(i) for i in range(9)])
        with pytest.raises(CommitteeError, match="small: unit"):
            run.check(X[1:10], [str(i) for i in range(9)])
        with pytest.raises(AbsentNameError, match="unknown unit of val '240'"):
            run.check(X[:1], ["240"])
        with pytest.raises(AlignmentError, match="1 unit ids for 2 inputs"):
            run.check(X[:2], ["0"])
    with wc.deploy(committee, NETS, device="cpu") as run, pytest.raises(UsageError, match="nothing to compare with"):
        run.check(X[:1], ["0"])
    with pytest.raises(UsageError, match="replay -1"):
        wc.deploy(committee, NETS, store=store, replay=-1)


# Functions and estimators


def fitted(estimator, labels=Y):
    return estimator.fit(X, labels)


def test_estimators_are_members(tmp_path):
    linear, machine = fitted(LogisticRegression(C=0.01)), fitted(SVC(C=2.0))
    probabilities = {"linear": linear.predict_proba(X), "net": softmax(said("large"))}
    store = LogitStore(tmp_path / "logits")
    for place, (name, rows) in enumerate(probabilities.items()):
        card = ModelCard(name, kind="probabilities", blocks={name: 1 + 9 * place})
        store.add(card, "val", labels=Y, outputs=rows.astype(np.float32))
    committee = Committee(
        (("linear",), ("net",)), Thresholds((0.6,)), members={n: {"kind": "probabilities"} for n in probabilities}
    )
    net = nn.Sequential(NETS["large"], nn.Softmax(dim=1))
    data = wrap_data(lambda: (X, Y), "x")
    for inputs in (X, torch.from_numpy(X)):
        with wc.deploy(committee, {"linear": linear, "net": net}, store=store, data=data, device="cpu") as run:
            decided = as_evaluated(run, inputs, committee, store)
    # At the first exit it is what the estimator says.
    first = decided.stage == 0
    np.testing.assert_allclose(decided.probabilities[first], linear.predict_proba(X[first]), rtol=1e-5, atol=1e-6)
    with pytest.raises(
        CommitteeError, match=r"linear: the committee was chosen on its probabilities, and SVC gives none"
    ):
        wc.deploy(committee, {"linear": machine, "net": net}, device="cpu")


@pytest.mark.parametrize("estimator", [LogisticRegression(), LinearSVC(), SVC(), GaussianNB()])
def test_estimators_chosen_on_logits_give_scores_of_the_classes(estimator, tmp_path):
    fitted(estimator)
    has_scores = hasattr(estimator, "decision_function")
    logits = estimator.decision_function(X) if has_scores else estimator.predict_log_proba(X)
    store, committee = imported(tmp_path, "logits", {"only": logits.astype(np.float32)})
    with wc.deploy(committee, {"only": estimator}, store=store, data=wrap_data(lambda: (X, Y), "x")) as run:
        as_evaluated(run, X, committee, store)


def test_scores_of_pairs_of_classes_are_none_of_classes():
    with pytest.raises(CommitteeError, match="chosen on its logits, and SVC gives none"):
        wc.deploy(Committee((("only",),)), {"only": fitted(SVC(decision_function_shape="ovo"))})


def test_two_classes_have_one_score():
    labels = Y % 2
    estimator = fitted(LogisticRegression(), labels)
    with wc.deploy(Committee((("only",),)), {"only": estimator}) as run:
        decided = run(X)
    np.testing.assert_allclose(decided.probabilities, estimator.predict_proba(X), atol=1e-6)
    assert decided.prediction.tolist() == estimator.predict(X).tolist()


def test_estimators_know_the_names_of_their_classes():
    names = np.array(["ant", "bee", "cat", "dog"])
    estimator = fitted(LogisticRegression(), names[Y])
    with wc.deploy(Committee((("only",),)), {"only": estimator}) as run:
        decided = run(X)
    assert decided.classes == tuple(names)
    assert decided.names == estimator.predict(X).tolist()
    with wc.deploy(Committee((("only",),)), {"only": estimator}, classes=["dog", "bee", "ant", "cat"]) as run:
        turned = run(X)
    assert turned.names == decided.names
    assert turned.classes == ("dog", "bee", "ant", "cat")


class Table:
    """Rows that only know iloc and len, as a table of pandas."""

    def __init__(self, rows):
        self.rows, self.shape, self.iloc = rows, rows.shape, self

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, rows):
        return Table(self.rows[rows])


@pytest.mark.parametrize(
    ("make", "weights"),
    [
        (lambda: [f"{row[0]:.6f}" for row in X], lambda texts: np.array([float(text) for text in texts])),
        (lambda: Table(X), lambda table: table.rows[:, 0]),
        (lambda: X, lambda rows: rows[:, 0]),
        (lambda: torch.from_numpy(X), lambda rows: rows[:, 0]),
    ],
    ids=["texts", "table", "array", "tensor"],
)
def test_functions_get_the_rows_that_are_left_as_they_are(make, weights):
    seen = []

    def first(rows):
        value = np.asarray(weights(rows), np.float32)
        seen.append(len(value))
        return np.stack([value, -value], axis=1)

    def last(rows):
        value = torch.as_tensor(np.asarray(weights(rows), np.float32))
        seen.append(len(value))
        return torch.stack([value, value - 1], dim=1)

    committee = Committee((("first",), ("last",)), Thresholds((1.0,)), confidence="logit_gap", combine="last")
    with wc.deploy(committee, {"first": first, "last": last}, batch_size=100) as run:
        decided = run(make())
    left = np.float32(2) * np.abs(X[:, 0]) < 1
    assert decided.stage.tolist() == left.astype(int).tolist()
    assert decided.prediction.tolist() == np.where(left, 0, X[:, 0] < 0).astype(int).tolist()
    assert seen == [100, 100, 40, *[100] * (left.sum() // 100), left.sum() % 100]


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda rows: 1 / 0, WiseCommitteeError, "a: calling it raised ZeroDivisionError"),
        (lambda rows: np.zeros(len(rows)), ContentError, r"a: answered with shape \[240\] to 240 units"),
        (lambda rows: np.zeros((3, 2)), ContentError, r"a: answered with shape \[3, 2\] to 240 units"),
        (lambda rows: "yes", ContentError, "a: answered with a str"),
        (lambda rows: np.full((len(rows), 2), np.nan), ContentError, "a: nan in row 0, class 0"),
    ],
)
def test_answers_that_are_none(function, error, message):
    with wc.deploy(Committee((("a",),)), {"a": function}) as run, pytest.raises(error, match=message):
        run(X)
    with pytest.raises(
        UsageError, match="a: a int; expected a model spec, a torch module, a function, or an estimator"
    ):
        wc.deploy(Committee((("a",),)), {"a": 7})


# Probabilities in the answer


@pytest.mark.parametrize("combine", ["mean_logits", "mean_probs", "last"])
def test_the_answer_has_the_probabilities_of_the_members_that_ran(combine, tmp_path):
    committee = Committee((("small",), ("large",)), Thresholds((0.6,)), combine=combine)
    with wc.deploy(committee, NETS, device="cpu") as run:
        decided = run(X)
    small, large = said("small").astype(np.float64), said("large").astype(np.float64)
    together = {
        "mean_logits": softmax((small + large) / 2),
        "mean_probs": (softmax(small) + softmax(large)) / 2,
        "last": softmax(large),
    }[combine]
    expected = np.where(decided.stage[:, None] == 0, softmax(small), together)
    np.testing.assert_allclose(decided.probabilities, expected, atol=1e-6)
    assert decided.prediction.tolist() == decided.probabilities.argmax(axis=1).tolist()
    assert 0 < (decided.stage == 0).mean() < 1


# What extraction did is done again

CODE = """
import numpy as np, torch
from torch import nn
from wisecommittee.extraction.models.preprocess import Preprocess
def whole(image): return torch.from_numpy(np.array(image)[:4, :4].transpose(2, 0, 1).copy()).float() / 64
def lender(): return nn.Linear(2, 2)
lender.preprocess = Preprocess("corner", (3, 4, 4), whole)
lender.classes = ["fox", "owl"]
def net():
    torch.manual_seed(1)
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 5))
net.classes = ["ant", "bee", "cat", "dog", "eel"]
"""


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """A folder of images of two of the five classes the model knows, extracted with the preprocessing of another."""
    (tmp_path / "lent_nets.py").write_text(CODE)
    monkeypatch.syspath_prepend(str(tmp_path))
    for number in range(24):
        folder = tmp_path / "photos" / ("dog", "bee")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    (tmp_path / "photos/bee/1.png").write_bytes(b"no image")
    store = LogitStore(tmp_path / "logits")
    with pytest.warns(UserWarning, match="1 images cannot be decoded"):
        extract(
            ["lent_nets:net"], "imagefolder:photos", "val", store, preprocess="lent_nets:lender",
            limit=20, skip_corrupt=True, device="cpu",
        )  # fmt: skip
    yield store
    sys.modules.pop("lent_nets", None)


def test_preprocessing_and_chosen_outputs_are_those_of_the_extraction(pictures, tmp_path):
    card = pictures.card("net", "val")
    assert (card.meta["preprocess_of"], card.meta["columns"], card.meta["limit"]) == ("lent_nets:lender", [1, 3], 20)
    committee = Committee((("net",),))
    images = [Image.open(tmp_path / "photos" / unit).convert("RGB") for unit in pictures.unit_ids("val")]
    with wc.deploy(committee, store=pictures, trust=True, device="cpu") as run:
        decided = run(images)
    assert decided.prediction.tolist() == pictures.outputs("net", "val").argmax(axis=1).tolist()
    assert decided.probabilities.shape == (len(images), 2)
    found = compare(committee, pictures, loading=Loading(trust=True), setup=MeasureSetup(seconds=0.01, device="cpu"))
    assert found.committee.accuracy == wc.evaluate(committee, pictures, "val").quality
    other = replace(load_other(), name="net")
    with pytest.warns(UserWarning, match=r"net: prepares images in another way \(other\) than .* \(corner\)"):
        wc.deploy(committee, {"net": other}, store=pictures, trust=True, replay=0, force=True, device="cpu").close()


def load_other():
    from wisecommittee.extraction.models.preprocess import Preprocess
    from wisecommittee.extraction.models.spec import load_model

    loaded = load_model("lent_nets:net")
    return replace(loaded, preprocess=Preprocess("other", (3, 4, 4), lambda image: torch.zeros(3, 4, 4)))

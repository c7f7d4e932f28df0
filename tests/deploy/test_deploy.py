"""A committee at work: unit for unit what the evaluator says, on the units that are left only; and its measurement."""

from __future__ import annotations

import itertools
import json
import sys
import warnings
from dataclasses import replace

import naive
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import Dataset

import wisecommittee as wc
from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.deployment.comparison import Measured, Speedup
from wisecommittee.deployment.deployed import Deployed
from wisecommittee.deployment.measure import Loading, MeasureSetup, compare
from wisecommittee.deployment.members import load_members
from wisecommittee.deployment.timed_run import TimedRun, measured
from wisecommittee.deployment.units import Units
from wisecommittee.errors import (
    AbsentNameError,
    AlignmentError,
    CommitteeError,
    ContentError,
    StoreError,
    UnknownNameError,
    UsageError,
)
from wisecommittee.extraction.data.digits import digits
from wisecommittee.extraction.data.spec import open_data
from wisecommittee.extraction.data.wrap import wrap_data
from wisecommittee.extraction.extract import extract
from wisecommittee.extraction.models.loaded import LoadedModel, wrap_module
from wisecommittee.extraction.models.preprocess import Preprocess
from wisecommittee.extraction.timing import Quartiles
from wisecommittee.runtime.decisions import Decisions
from wisecommittee.searches.calibration.calibrate import calibrate
from wisecommittee.searches.exits import exit_rows
from wisecommittee.searches.members import members_pool
from wisecommittee.searches.stages.exit_table import committee_tables
from wisecommittee.store import LogitStore
from wisecommittee.train.pool import DigitsPool, trained

torch.set_num_threads(1)
POOL = DigitsPool(architectures=("linear", "conv4", "conv8"), replicas=2, epochs=2)


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    """A small digits pool, {name: LoadedModel}, and a store with its logits."""
    folder = tmp_path_factory.mktemp("pool")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WISECOMMITTEE_CACHE", str(folder / "cache"))
        models = trained(POOL, checkpoints=folder / "kept")
        store = LogitStore(folder / "logits")
        for split in ("val", "test"):
            extract(models, "digits", split, store, device="cpu")
    return {model.name: model for model in models}, store


def midway(scores):
    """A threshold in the widest gap near the median, so that the last bits of a confidence decide nothing."""
    ordered = np.sort(scores)
    middle = ordered[len(ordered) // 3 : 2 * len(ordered) // 3]
    at = int(np.diff(middle).argmax())
    return float(np.float32((middle[at] + middle[at + 1]) / 2))


def with_thresholds(committee, store, split):
    """Each of its thresholds midway; confidences do not depend on them."""
    table = committee_tables(members_pool([committee], store, split, force=True), [committee])[0]
    values = tuple(midway(table.score[k]) for k in range(len(committee.stages) - 1))
    return replace(committee, policy=Thresholds(values))


def plain(stages, **more):
    return Committee(tuple(map(tuple, stages)), Thresholds((0.5,) * (len(stages) - 1)), **more)


def images_of(split):
    pixels, labels, unit_ids = digits(split)
    return torch.from_numpy(pixels), labels, unit_ids


STAGES = [
    pytest.param([["conv8/0"]], id="single"),
    pytest.param([["conv8/0", "linear/1", "conv4/0"]], id="ensemble"),
    pytest.param([["conv8/1"], ["linear/0"]], id="out of order"),
    pytest.param([["linear/0"], ["conv4/1", "conv4/0"], ["conv8/0"]], id="with a tier"),
    pytest.param([["linear/0"], ["linear/1"], ["conv4/0"], ["conv8/1"]], id="four stages"),
]


@pytest.mark.parametrize("stages", STAGES)
@pytest.mark.parametrize(
    ("combine", "confidence"),
    [*itertools.product(["mean_logits"], naive.CONFIDENCES), ("mean_probs", "neg_entropy"), ("last", "max_prob")],
)
def test_unit_for_unit_what_the_evaluator_says(stages, combine, confidence, pool):
    models, store = pool
    committee = with_thresholds(plain(stages, combine=combine, confidence=confidence), store, "test")
    (table,) = committee_tables(members_pool([committee], store, "test"), [committee], predict=True)
    stage = exit_rows(table, committee)
    assert len(stages) == 1 or 0 < (stage == 0).mean() < 1
    images, labels, _ = images_of("test")
    for batch_size in (64, 1000):
        with Deployed(committee, models, batch_size=batch_size, device="cpu") as run:
            said = run(images)
        assert said.stage.tolist() == stage.tolist()
        assert said.prediction.tolist() == table.prediction[stage, np.arange(len(stage))].tolist()
        left = stage < len(stages) - 1
        expected = table.score[stage, np.arange(len(stage))]
        np.testing.assert_allclose(said.confidence[left], expected[left], rtol=1e-5, atol=1e-6)
    evaluated = wc.evaluate(committee, store, "test")
    assert (said.prediction == labels).mean() == evaluated.quality
    assert tuple(np.bincount(said.stage, minlength=len(stages)) / len(stage)) == evaluated.exit_ratios


def test_unit_for_unit_what_the_oracle_says(pool):
    """Each unit by itself through the modules, and from there by the definitions."""
    models, store = pool
    committee = with_thresholds(plain([["linear/1"], ["conv4/0"], ["conv8/0"]]), store, "test")
    images, labels, _ = images_of("test")
    images, labels = images[:80], labels[:80]
    members = []
    for (name,) in committee.stages:
        with torch.no_grad():
            rows = np.stack([models[name].module(image[None])[0].numpy() for image in images])
        architecture, replica = name.split("/")
        members.append([naive.Model(name, architecture, int(replica), {name: 1}, rows)])
    expected = naive.evaluate(members, committee.thresholds.values, labels.tolist(), "mean_logits", "max_prob")
    with Deployed(committee, models, device="cpu", batch_size=7) as run:
        said = run(images)
        one_by_one = [run(image[None]) for image in images]
    assert said.stage.tolist() == expected.exit_stage == [int(one.stage[0]) for one in one_by_one]
    assert int((said.prediction == labels).sum()) == expected.correct
    assert said.prediction.tolist() == [int(one.prediction[0]) for one in one_by_one]


def test_calibrated_members_run_as_they_were_chosen(pool, tmp_path):
    models, _ = pool
    store = LogitStore(tmp_path / "logits")
    for split in ("val", "test"):
        extract(list(models.values()), "digits", split, store, device="cpu")
    calibrate(store, ["*"], "platt")
    found = wc.search(store, models=["linear/*", "conv8/*"], calibrated=True, levels=20)
    chosen = next(evaluation.committee for evaluation in found if len(evaluation.committee.stages) > 1)
    assert all("calibration" in member for member in chosen.members.values())
    committee = with_thresholds(chosen, store, "test")
    (table,) = committee_tables(members_pool([committee], store, "test"), [committee], predict=True)
    stage = exit_rows(table, committee)
    with Deployed(committee, models, device="cpu") as run:
        said = run(images_of("test")[0])
    assert said.stage.tolist() == stage.tolist()
    assert said.prediction.tolist() == table.prediction[stage, np.arange(len(stage))].tolist()


# Only the units that are left


class Seen(nn.Module):
    """Logits [n, 2] whose confidence is the unit's first number; notes how many units it gets."""

    def __init__(self, column=0):
        super().__init__()
        self.sizes, self.column, self.scale = [], column, nn.Parameter(torch.ones(1))

    def forward(self, x):
        self.sizes.append(len(x))
        return torch.stack([x[:, self.column], -x[:, self.column]], dim=1) * self.scale


def named(modules):
    return {name: wrap_module(module, name) for name, module in modules.items()}


def sure(*values):
    """Inputs [n, 2]: logits (v, -v) have logit_gap 2 |v|."""
    return torch.tensor(values, dtype=torch.float32)


def test_later_stages_see_the_units_that_are_left():
    a, b, c = Seen(), Seen(1), Seen(1)
    committee = Committee((("a",), ("b",), ("c",)), Thresholds((1.0, 1.0)), confidence="logit_gap")
    x = sure([3, 0], [0.1, 5], [-2, 0], [0.2, -0.3], [0.5, 0], [0.1, 0.1])
    with Deployed(committee, named({"a": a, "b": b, "c": c}), batch_size=2, device="cpu") as run:
        said = run(x)
        assert (a.sizes, b.sizes, c.sizes) == ([2, 2, 2], [2, 1], [2])
        # a: gaps 6, .2, 4, .4, 1, .2 (1 is enough); b: means (.1+5)/2.., gaps 5.1, |.2-.3|, .2
        assert said.stage.tolist() == [0, 1, 0, 2, 0, 2]
        assert said.prediction.tolist() == [0, 0, 1, 1, 0, 0]
        np.testing.assert_allclose(said.confidence, [6, 5.1, 4, 2 * 0.4 / 3, 1, 0.2], rtol=1e-6)
        b.sizes.clear()
        assert run(x[[0, 2]]).stage.tolist() == [0, 0]
        assert b.sizes == []


def test_ties_go_to_the_lowest_class_and_equal_confidence_exits():
    committee = Committee((("a",), ("b",)), Thresholds((0.0,)), confidence="logit_gap")
    with Deployed(committee, named({"a": Seen(), "b": Seen(1)}), device="cpu") as run:
        said = run(sure([0, 5]))
    assert (said.stage.tolist(), said.prediction.tolist()) == ([0], [0])


def test_decisions_print_the_first_and_their_number():
    ran = np.array([[True, False], [True, True]])
    few = Decisions(np.array([1, 0]), np.array([0, 1]), np.float32([0.75, 0.5]), np.eye(2, dtype=np.float32), ran)
    assert repr(few) == "<Decisions of 2 units: 1 at stage 0, confidence 0.75; 0 at stage 1, confidence 0.5>"
    named = replace(few, classes=("cat", "dog"))
    assert repr(named).startswith("<Decisions of 2 units: dog at stage 0, confidence 0.75; cat at stage 1")
    many = Decisions(
        *(np.tile(column, 500) for column in (few.prediction, few.stage, few.confidence)), np.ones((1000, 2)), ran
    )
    assert repr(many).startswith("<Decisions of 1,000 units: 1 at stage 0, ")
    assert repr(many).endswith("; ..>")
    assert len(repr(many)) < 200


def test_modules_come_back_to_the_cpu_also_after_an_error():
    class Broken(Seen):
        def to(self, *args, **options):
            moved.append(args)
            return super().to(*args, **options)

    moved = []
    committee = Committee((("a",),))
    with (
        pytest.raises(wc.errors.WiseCommitteeError, match="a: its forward pass raised"),
        Deployed(committee, named({"a": Broken()}), device="cpu") as run,
    ):
        run(torch.zeros(3, 1, 1, 1).squeeze(1).squeeze(1)[:, :0])
    assert moved[-1] == ("cpu",)


def picture_model(name, shade, calls):
    """Logits from the mean of an image, through a preprocessing of its own that notes its images."""

    def whole(image):
        calls.append(name)
        return torch.from_numpy(np.array(image).transpose(2, 0, 1).copy()).float() / shade

    module = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    torch.manual_seed(len(name))
    nn.init.normal_(module[2].weight)
    preprocess = Preprocess(f"shade {shade}", (3, 4, 4), whole)
    return LoadedModel.called(name, module.eval(), "made", "w" + name, input_size=(3, 4, 4), preprocess=preprocess)


def pictures(n=20):
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)) for _ in range(n)]


def test_images_are_prepared_for_the_members_they_meet():
    calls = []
    models = {name: picture_model(name, shade, calls) for name, shade in (("a", 64), ("bb", 64), ("ccc", 200))}
    images = pictures()
    with torch.no_grad():
        gap = [abs(float(torch.diff(models["a"].module(models["a"].preprocess(i)[None])))) for i in images]
    calls.clear()
    committee = Committee((("a",), ("bb",), ("ccc",)), Thresholds((midway(np.array(gap)), 1e9)), confidence="logit_gap")
    with Deployed(committee, models, device="cpu") as run:
        said = run(images)
        left = int((said.stage > 0).sum())
        assert 0 < left < len(images)
        # bb wants what a wants, ccc something else of the units that are left
        assert calls == ["a"] * len(images) + ["ccc"] * left
        arrays = run([np.asarray(image) for image in images])
    assert said.prediction.tolist() == arrays.prediction.tolist()
    with torch.no_grad():
        for i in np.flatnonzero(said.stage == 2):
            mean = sum(m.module(m.preprocess(images[i])[None]) for m in models.values())
            assert int(mean.argmax()) == said.prediction[i]


def test_only_the_named_classes():
    module = nn.Linear(4, 5)
    wide = replace(wrap_module(module, "a"), classes={"given": ("ant", "bee", "cat", "dog", "eel")})
    x = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
    with Deployed(Committee((("a",),)), {"a": wide}, device="cpu", classes=["eel", "bee"]) as run, torch.no_grad():
        assert run(x).prediction.tolist() == module(x)[:, [4, 1]].argmax(1).tolist()


# What is refused


@pytest.mark.parametrize(
    ("committee", "message"),
    [
        (
            Committee((("a",), ("b",)), Thresholds((0.5,)), confidence="halt"),
            "exits by 'halt', a score kept in the store",
        ),
        (
            Committee((("a",), ("b",)), Thresholds((0.5,)), members={"b": {"kind": "answers"}}),
            "b: its outputs are answers",
        ),
    ],
)
def test_committees_that_cannot_run(committee, message):
    with pytest.raises(CommitteeError, match=message):
        Deployed(committee, named({"a": Seen(), "b": Seen()}), device="cpu")


def test_inputs_that_cannot_run():
    models = named({"a": Seen(), "b": nn.Linear(2, 3)})
    with Deployed(Committee((("a", "b"),)), models, device="cpu") as run:
        with pytest.raises(ContentError, match=r"b: gave 3 classes, a 2; expected the same of all members"):
            run(torch.zeros(2, 2))
        with pytest.raises(UsageError, match="no inputs"):
            run([])
        with pytest.raises(UsageError, match="a: no inputs for its preprocessing"):
            run(pictures(2))
    with pytest.raises(UsageError, match="batch size 0"):
        Deployed(Committee((("a",),)), models, batch_size=0)


NETS = """
import torch
from torch import nn
def small(): return nn.Linear(6, 3)
def large(): return nn.Sequential(nn.Linear(6, 50), nn.ReLU(), nn.Linear(50, 3))
large.replica = 2
def data():
    x = torch.randn(90, 6, generator=torch.Generator().manual_seed(1))
    return x, (x[:, 0] > 0).long() + (x[:, 1] > 0).long()
"""


@pytest.fixture
def nets(tmp_path, monkeypatch):
    """A store of two of a user's modules, extracted under names that are seeds, and their committee on disk."""
    (tmp_path / "deployed_nets.py").write_text(NETS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    store = LogitStore(tmp_path / "logits")
    specs, data = ["deployed_nets:small", "deployed_nets:small", "deployed_nets:large"], "deployed_nets:data"
    extract(specs, data, "val", store, names=["small/0", "small/1", "big"], device="cpu")
    committee = with_thresholds(plain([["small/1"], ["big"]]), store, "val")
    members = {name: {"weights": store.card(name, "val").weights} for name in committee.models}
    replace(committee, members=members).save(tmp_path / "committee.json")
    yield store
    sys.modules.pop("deployed_nets", None)


def test_members_come_from_their_cards(nets, tmp_path):
    expected = wc.evaluate(Committee.load("committee.json"), nets, "val")
    x, y = open_data("deployed_nets:data", "val").make()
    with wc.deploy("committee.json", store=nets, device="cpu", trust=True) as run:
        said = run(x)
    assert float((said.prediction == y.numpy()).mean()) == expected.quality
    assert (said.stage == 0).mean() == expected.exit_ratios[0]
    torch.manual_seed(5)
    other = nn.Linear(6, 3)
    with pytest.raises(CommitteeError, match=r"small/1: the weights of 'Linear' .* are not those.*force=True"):
        wc.deploy("committee.json", {"small/1": other}, store=nets, trust=True)
    with wc.deploy("committee.json", {"small/1": other}, store=nets, trust=True, force=True, device="cpu") as run:
        assert run.models["small/1"].module is other


@pytest.mark.parametrize(
    ("modules", "error", "message"),
    [
        (
            {},
            UsageError,
            r"big: there is no model spec that it could be loaded from; name one, big=SPEC.*, or the store",
        ),
        ({"bigg": "deployed_nets:large"}, UnknownNameError, "unknown member 'bigg'; did you mean 'big'"),
        ({"big": "deployed_nets:larg"}, UnknownNameError, "did you mean 'large'"),
    ],
)
def test_members_that_are_not_to_be_had(modules, error, message, nets):
    with pytest.raises(error, match=message):
        load_members(["big"], modules)


def test_names_say_sizes_and_views(timm, tmp_path):
    images = pictures(3)
    store = LogitStore(tmp_path / "logits")
    np.savez(tmp_path / "d.npz", images=np.stack([np.asarray(i) for i in images]), labels=[0, 1, 0], classes=["a", "b"])
    options = {"random_weights": True, "sizes": [64, 96], "views": ["center", "flip"], "names": ["r/1"]}
    torch.save(timm.create_model("test_resnet", num_classes=2).state_dict(), tmp_path / "w.pt")
    options["random_weights"] = False
    extract([f"timm:test_resnet@{tmp_path / 'w.pt'}"], f"npz:{tmp_path / 'd.npz'}", "val", store, **options)
    assert store.models("val") == ("r@64+flip/1", "r@64/1", "r@96+flip/1", "r@96/1")
    recorded = {name: {"weights": store.card(name, "val").weights} for name in store.models("val")}
    for name, model in load_members(store.models("val"), store=store, recorded=recorded).items():
        assert (model.name, model.input_size) == (name, store.card(name, "val").input_size)
        with Deployed(Committee(((name,),)), {name: model}, device="cpu") as run:
            assert run(images).prediction.tolist() == store.outputs(name, "val").argmax(1).tolist()


# Measuring


def test_a_comparison(pool):
    models, store = pool
    committee = with_thresholds(plain([["linear/0"], ["conv4/0"], ["conv8/0"]]), store, "test")
    setup = MeasureSetup(data=open_data("digits", "test"), seconds=0.01, limit=None, device="cpu")
    found = compare(committee, store, loading=Loading(models), setup=setup)
    expected = wc.evaluate(committee, store, "test")
    ours = found.committee
    assert (ours.accuracy, ours.exit_ratios) == (expected.quality, expected.exit_ratios)
    assert ours.flops == pytest.approx(expected.average_cost, rel=1e-12)
    singles = {name: wc.evaluate(Committee(((name,),)), store, "test") for name in store.models("test")}
    best = max(sorted(singles, key=lambda name: singles[name].average_cost), key=lambda name: singles[name].quality)
    as_accurate = [n for n, e in singles.items() if e.quality >= expected.quality] or [best]
    cheapest = min(as_accurate, key=lambda name: (singles[name].average_cost, name))
    assert [single.model for single in found.singles] == list(dict.fromkeys([cheapest, best]))
    for single in found.singles:
        assert (single.accuracy, single.flops) == (singles[single.model].quality, singles[single.model].average_cost)
        gain = found.speedup(single)
        assert gain.flops == pytest.approx(single.flops / ours.flops)
        assert gain.latency == single.latency.median / ours.latency.median
        assert gain.throughput == pytest.approx(single.batch.median / ours.batch.median)
        assert gain.realised == (gain.latency / gain.flops, gain.throughput / gain.flops)
    assert (found.split, found.units, found.torch) == ("test", 600, torch.__version__)
    printed = found.to_json()
    assert json.loads(json.dumps(printed, allow_nan=False)) == printed
    assert Speedup(None, 2.0, 3.0).to_json()["latency_realised"] is None


def test_latency_is_an_average_over_exits(pool, monkeypatch):
    """A unit takes 1 ms at the first exit, 10 at the second, 100 at the third, by a clock of ours."""
    models, store = pool
    committee = with_thresholds(plain([["linear/0"], ["conv4/0"], ["conv8/0"]]), store, "test")
    images, labels, ids = images_of("test")

    def elapsed(timed):
        said = timed.decide()
        calls.append(len(said))
        return float(np.sum(10.0**said.stage))

    calls = []
    monkeypatch.setattr(TimedRun, "elapsed", elapsed)
    with Deployed(committee, models, device="cpu") as run:
        timed = TimedRun(run, Units.of_tensors({None: images}), ids)
        found = measured(timed, labels, None, 0.001)
    average = float(np.dot(found.exit_ratios, [1, 10, 100]))
    assert found.latency.median == pytest.approx(average)
    assert found.batch.median == pytest.approx(average)
    assert set(calls) == {1, len(images)}
    assert found.flops is None


def test_what_is_compared_can_be_chosen(nets):
    committee = Committee.load("committee.json")
    loading, setup = Loading(trust=True), MeasureSetup(seconds=0.01, device="cpu", limit=40)
    found = compare(committee, nets, ["small/*", "big"], loading=loading, setup=setup)
    assert [single.model for single in found.singles] == ["small/0", "small/1", "big"]
    assert (found.split, found.units) == ("val", 40)
    named_here = replace(loading, modules={"small/0": "deployed_nets:small"})
    found = compare(committee, nets, ["small/0"], loading=named_here, setup=setup)
    rows = open_data("deployed_nets:data", "val").limited(40).chosen
    assert len(rows) == 40
    assert found.singles[0].accuracy == float(
        (nets.outputs("small/0", "val")[rows].argmax(1) == nets.labels("val")[rows]).mean()
    )
    x, y = open_data("deployed_nets:data", "val").make()
    strange = wrap_data(lambda: (x, y, np.arange(90) + 90), "strange")
    relabelled = wrap_data(lambda: (x, 2 - y), "relabelled")
    for more, error, message in (
        ({"against": ["tiny"]}, AbsentNameError, "unknown model in val 'tiny'"),
        ({"loading": Loading({"tiny": "x:y"}, trust=True)}, AbsentNameError, "unknown model 'tiny'"),
        ({"setup": replace(setup, split="tset")}, StoreError, "tset"),
        ({"setup": replace(setup, data=strange)}, AlignmentError, "data 'strange': unit '90' is not in val"),
        ({"setup": replace(setup, data=relabelled)}, AlignmentError, r"unit '\d+' has label \d in val"),
    ):
        with pytest.raises(error, match=message):
            compare(committee, nets, **{"loading": loading, "setup": setup, **more})
    with pytest.raises(UsageError, match="0 seconds"):
        MeasureSetup(seconds=0)


class Photographs(Dataset):
    def __len__(self):
        return 12

    def __getitem__(self, i):
        return pictures(12)[i], i % 2


def test_members_with_different_preprocessing_are_measured(tmp_path):
    calls = []
    models = {name: picture_model(name, shade, calls) for name, shade in (("a", 64), ("ccc", 200))}
    store, data = LogitStore(tmp_path / "logits"), wrap_data(Photographs, "photographs")
    extract(list(models.values()), data, "val", store, device="cpu")
    committee = with_thresholds(plain([["a"], ["ccc"]]), store, "val")
    setup = MeasureSetup(data=data, seconds=0.01, device="cpu")
    found = compare(committee, store, loading=Loading(models), setup=setup)
    assert found.committee.accuracy == wc.evaluate(committee, store, "val").quality
    bare = {name: replace(model, preprocess=None) for name, model in models.items()}
    with pytest.raises(UsageError, match=r"a: data 'photographs' gives images.*preprocess="):
        compare(committee, store, loading=Loading(bare), setup=setup)


# The command


def command(monkeypatch, capsys, *arguments):
    from wisecommittee.cli import main

    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    monkeypatch.setattr(sys, "argv", ["wisecommittee", "bench-models", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    return caught.value.code, *capsys.readouterr()


def test_the_command(nets, monkeypatch, capsys):
    quick = ["--committee", "committee.json", "--seconds", "0.01", "--device", "cpu", "--limit", "30", "--trust"]
    several = ["--against", "small/*,big", "--batch-sizes", "1,4,1000"]
    code, out, err = command(monkeypatch, capsys, *quick, *several, "--json")
    assert (code, err) == (0, "")
    printed = json.loads(out)
    assert [each["batch_size"] for each in printed["batch_sizes"]] == [1, 4, 30]  # there are 30 units
    for each in printed["batch_sizes"]:
        assert [single["model"] for single in each["singles"]] == ["small/0", "small/1", "big"]
        single = each["singles"][0]
        flops = printed["singles"][0]["flops"] / printed["committee"]["flops"]
        assert single["predicted"]["flops"] == pytest.approx(flops, rel=1e-5)
        assert single["realised"]["flops"] == pytest.approx(single["speedup"] / flops, rel=1e-4)
    assert printed["committee"]["charged_flops"] == printed["committee"]["flops"]
    assert [single["model"] for single in printed["singles"]] == ["small/0", "small/1", "big"]
    assert printed["committee"]["model"] == "small/1 | big"
    assert set(printed["singles"][0]["speedup"]) == {
        *("flops", "latency", "throughput", "latency_realised", "throughput_realised")
    }
    from wisecommittee.cli import bench_models

    shown: list[str] = []
    printed_table = bench_models.table

    def noted(first, columns, *rest):
        shown.extend(dict(columns))
        return printed_table(first, columns, *rest)

    monkeypatch.setattr(bench_models, "table", noted)
    code, out, _ = command(monkeypatch, capsys, *quick, "small/1=deployed_nets:small")
    assert code == 0
    assert "small/1 | big" in out
    assert "30 units of val; latency of batch size 1" in " ".join(out.split())
    assert {"speed-up in MACs", "speed-up in latency", "speed-up in units/s"} < set(shown)
    assert {"units", "MACs predict", "passes predict"} < set(shown)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "expected MODEL.., the models to measure, or --committee FILE"),
        (["a:b", "--against", "x"], 2, "--against does not go without --committee"),
        (["a:b", "--trust"], 2, "--trust does not go without --committee"),
        (["a:b", "--batch-sizes", "8"], 2, "--batch-sizes does not go without --committee"),
        (["--committee", "committee.json"], 1, "the store names code, which would run here: small/1: 'deployed_nets:"),
        (["--committee", "committee.json", "--sizes", "224"], 2, "--sizes does not go with --committee"),
        (["--committee", "committee.json", "--random-weights"], 2, "--random-weights does not go with --committee"),
        (["--committee", "committee.json", "deployed_nets:small"], 2, "expected NAME=SPEC"),
        (["--committee", "none.json"], 1, "no such file"),
        (["--committee", "committee.json", "--store", "nowhere"], 1, "nowhere"),
        (["--committee", "committee.json", "--trust", "--data", "imagefoldr:x"], 2, "did you mean 'imagefolder'"),
    ],
)
def test_the_command_fails_in_one_line(arguments, code, message, nets, monkeypatch, capsys):
    found, _, err = command(monkeypatch, capsys, *arguments)
    (line,) = err.splitlines()
    assert (found, message in line) == (code, True), line


def test_spreads_are_what_a_card_would_say():
    one = Measured("a", 0.5, 10.0, Quartiles(1, 2, 3, 9), Quartiles(0.1, 0.25, 0.3, 8), (1.0,))
    assert one.throughput == 4000
    assert one.to_json()["batch_ms_quartiles"] == [0.1, 0.3]

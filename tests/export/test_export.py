"""Exported files: every unit is decided as evaluated, the golden units find damage, nothing else is touched."""

from __future__ import annotations

import json
import shutil
import sys

import exports
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from wisecommittee.cli import main

import wisecommittee as wc
from wisecommittee.committees.calibration import Calibration
from wisecommittee.committees.committee import Committee
from wisecommittee.committees.confidence import CONFIDENCES, scale_of
from wisecommittee.committees.policies.labels import Labels
from wisecommittee.committees.policies.mixing import mixture
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.committees.row_statistics import row_statistics
from wisecommittee.deployment.deployed import Deployed
from wisecommittee.errors import (
    CommitteeError,
    ContentError,
    TrustError,
    UnknownNameError,
    UsageError,
    WiseCommitteeError,
)
from wisecommittee.exporting.folder import whole_folder
from wisecommittee.exporting.golden import Wanted
from wisecommittee.exporting.graphs.calibrations import calibrated
from wisecommittee.exporting.graphs.confidences import judge, shown
from wisecommittee.exporting.manifest import read_manifest
from wisecommittee.exporting.plan import Graph
from wisecommittee.exporting.run_onnx import opened
from wisecommittee.exporting.to_onnx import stage_model
from wisecommittee.searches.units import evaluate_units

torch.set_num_threads(1)
NETS = exports.nets()
CASCADE = Committee((("small",), ("middle", "large/1")), Thresholds((0.9,)))
X = exports.inputs()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An export to ONNX of two stages."""
    out = tmp_path_factory.mktemp("onnx") / "exported"
    done = wc.export(CASCADE, "onnx", out, named(CASCADE), wanted=Wanted(X[:20]))
    assert (done.files, done.checked, done.units) == (
        ("stage_0.onnx", "stage_1.onnx", "cascade.onnx"),
        ("stages", "cascade"),
        20,
    )
    return out


@pytest.fixture(scope="module")
def pt2(tmp_path_factory):
    """An export of the same committee to pt2."""
    out = tmp_path_factory.mktemp("pt2") / "exported"
    done = wc.export(CASCADE, "pt2", out, named(CASCADE), wanted=Wanted(input_size=(exports.WIDTH,), units=8))
    assert (done.checked, done.notes) == (("stages", "cascade"), ())
    return out


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def named(committee):
    return {name: NETS[name] for name in committee.models}


def cascade(folder):
    return opened(folder / "cascade.onnx", read_manifest(folder).graphs["cascade"])


def test_the_cascade_decides_every_unit_as_evaluated(folder, tmp_path):
    units = evaluate_units(CASCADE, exports.stored(tmp_path / "logits", NETS), "val")
    found = cascade(folder)({"inputs": X})
    assert set(found["stage"]) == {0, 1}
    assert (found["stage"] + 1).tolist() == units["stage"].tolist()
    assert found["prediction"].tolist() == units["prediction"].tolist()
    np.testing.assert_allclose(found["confidence"], units["confidence"], rtol=2e-5)


def test_one_graph_has_the_confidences_and_calibrations_of_committees():
    """ONNX Runtime computes the heads as torch and numpy do."""
    isotonic = Calibration("isotonic", {"x": [-1.0, 0.2, 3], "y": [0.3, 0.6, 0.97], "floor": 0.01}, "val", "")

    names = ("max_prob", "neg_entropy")

    class Heads(nn.Module):
        def forward(self, *tensors):
            (rows,) = tensors
            scores = [judge(rows, 1, "logits", name)[1] for name in names]
            return (*scores, *map(shown, scores, names), calibrated(rows, isotonic))

    rows = np.random.default_rng(0).standard_normal((60, 4)).astype(np.float32)
    rows *= np.repeat([1, 5, 30, 300], 15)[:, None]
    outputs = [*names, *(f"{name}/shown" for name in names), "mapped"]
    graph = Graph("heads", Heads(), {"rows": torch.from_numpy(rows)}, dict.fromkeys(outputs), "heads")
    session = onnxruntime.InferenceSession(stage_model(graph).SerializeToString())
    found = dict(zip(outputs, session.run(None, {"rows": rows}), strict=True))
    for name in names:
        confidence, scale = CONFIDENCES[name], scale_of(name)
        _, statistics = row_statistics(rows, 1, "logits", confidence.needs("logits"))
        expected, score = confidence(statistics, "logits"), found[name]
        room = 5 * scale.rounding(expected.astype(np.float64)) + 1e-45
        assert (np.abs(score.astype(np.float64) - expected) <= room).all(), name
        np.testing.assert_allclose(found[f"{name}/shown"], scale.shown(score), rtol=1e-6, atol=1e-37)
    np.testing.assert_allclose(found["mapped"], isotonic.rows(rows), rtol=1e-6, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(rows=st.lists(st.integers(0, exports.UNITS - 1), max_size=70))
def test_batches_of_any_size_are_decided_as_their_units(rows, folder):
    run = cascade(folder)
    whole, part = run({"inputs": X}), run({"inputs": X[rows]})
    for name in ("prediction", "stage"):
        assert part[name].tolist() == whole[name][rows].tolist()
    np.testing.assert_allclose(part["confidence"], whole["confidence"][rows], rtol=1e-5)


def test_inputs_that_are_no_numbers_get_no_answer_and_others_stay(folder):
    x = X[:4].copy()
    x[2] = np.nan
    found, whole = cascade(folder)({"inputs": x}), cascade(folder)({"inputs": X[:4]})
    assert (found["prediction"][2], found["stage"][2]) == (-1, 1)
    assert np.isnan(found["confidence"][2])
    left = [0, 1, 3]
    assert found["prediction"][left].tolist() == whole["prediction"][left].tolist()


def test_inputs_of_another_shape_are_refused(folder):
    with pytest.raises(ContentError, match=r"cascade\.onnx: onnxruntime cannot run it"):
        cascade(folder)({"inputs": np.zeros((2, 5), np.float32)})


def test_a_damaged_file_is_named(copy):
    (copy / "stage_1.onnx").write_bytes((copy / "stage_1.onnx").read_bytes()[:-1] + b"\0")
    with pytest.raises(ContentError, match=r"stage_1\.onnx: not the file that was exported"):
        wc.check_export(copy)


def rewritten(copy, change):
    """The golden decisions changed, and the manifest with them, as its sha256 alone would find it."""
    golden = copy / "golden/expected.json"
    content = json.loads(golden.read_text())
    change(content)
    golden.write_text(json.dumps(content))
    relisted(copy, "golden/expected.json")


def relisted(copy, name):
    import hashlib

    manifest = json.loads((copy / "manifest.json").read_text())
    data = (copy / name).read_bytes()
    manifest["files"][name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    (copy / "manifest.json").write_text(json.dumps(manifest))


def test_the_first_unit_that_differs_is_named(copy):
    rewritten(copy, lambda content: content["stage"].__setitem__(7, 1 - content["stage"][7]))
    with pytest.raises(CommitteeError, match=r"stages: unit '7' gets class .* gave it .*1 unit of 20 differ"):
        wc.check_export(copy)


def test_a_graph_with_another_threshold_is_found(copy):
    model = onnx.load(copy / "stage_0.onnx")
    (level,) = (w for w in model.graph.initializer if w.dims == [] and abs(onnx.numpy_helper.to_array(w) - 0.9) < 1e-6)
    level.CopyFrom(onnx.numpy_helper.from_array(np.float32(1e30), level.name))
    onnx.save(model, copy / "stage_0.onnx")
    relisted(copy, "stage_0.onnx")
    with pytest.raises(CommitteeError, match=r"unit .* gets class .* the deployed committee gave it"):
        wc.check_export(copy)


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "golden/../../outside", "link/outside", "a\0b", ""])
def test_a_manifest_never_leads_out_of_its_folder(name, copy, tmp_path):
    (tmp_path / "outside").write_bytes(b"secret")
    (copy / "link").symlink_to(tmp_path)
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["files"][name] = {"sha256": "0" * 64, "bytes": 6}
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ContentError, match="expected a file of this folder"):
        wc.check_export(copy)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"version": 1}', "{" * 99])
def test_a_manifest_of_anything_else_is_refused(content, tmp_path):
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(ContentError, match=r"manifest\.json"):
        wc.check_export(tmp_path)


def test_pt2_is_only_opened_with_trust_and_decides_as_the_deployed_committee(pt2):
    with pytest.raises(TrustError, match=r"pt2 files are programs.*trust=True"):
        wc.check_export(pt2)
    assert "random tensors" in read_manifest(pt2).content["golden"]["source"]
    program = torch.export.load(pt2 / "cascade.pt2").module()
    with Deployed(CASCADE, loaded(CASCADE), device="cpu") as run, torch.no_grad():
        expected = run(torch.from_numpy(X))
        prediction, stage, confidence = program(torch.from_numpy(X))
        assert [len(each) for each in program(torch.zeros(0, exports.WIDTH))] == [0, 0, 0]
    assert (prediction.tolist(), stage.tolist()) == (expected.prediction.tolist(), expected.stage.tolist())
    np.testing.assert_allclose(confidence, expected.confidence, rtol=2e-5)


def loaded(committee):
    from wisecommittee.extraction.models.loaded import wrap_module

    return {name: wrap_module(NETS[name], name) for name in committee.models}


def test_policies_that_graphs_do_not_hold_decide_in_the_runtime(tmp_path):
    skipping = Labels((2,), ((0,),), ((None, 0.9),), ((1, 2),))
    committee = Committee((("small",), ("middle",), ("large/0",)), skipping)
    done = wc.export(committee, "pt2", tmp_path / "out", named(committee), wanted=Wanted(X[:40]))
    assert done.checked == ("members",)
    manifest = read_manifest(tmp_path / "out")
    assert (manifest.decides, list(manifest.members)) == ("wisecommittee.runtime", list(committee.models))
    assert {tuple(ran) for ran in json.loads((tmp_path / "out/golden/expected.json").read_text())["ran"]} == {
        (0,),
        (0, 1),
        (0, 2),
    }


def test_a_mixture_is_exported_as_its_parts(tmp_path):
    mixed = mixture(Committee((("small",),)), Committee((("middle",),)), 0.3)
    done = wc.export(mixed, "pt2", tmp_path / "out", named(mixed), wanted=Wanted(X[:5]))
    assert done.checked == wc.check_export(tmp_path / "out", trust=True).forms == ("part_0/stages", "part_1/stages")
    assert read_manifest(tmp_path / "out").content["mixing"]["share"] == 0.3


# What is refused


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"to": "onx"}, UnknownNameError, "unknown export target 'onx'; did you mean 'onnx'"),
        ({"models": {"small": lambda x: x}}, UsageError, "small: a function .*only torch modules"),
        ({"models": {"smal": NETS["small"]}}, UnknownNameError, "did you mean 'small'"),
        ({"wanted": Wanted()}, UsageError, "small: the shape of its inputs is not known"),
        (
            {"committee": Committee((("small",), ("middle",)), Thresholds((0.5,)), "halt")},
            CommitteeError,
            "stored|store",
        ),
    ],
)
def test_what_cannot_be_exported(change, error, message, tmp_path):
    committee = change.get("committee", Committee((("small",),)))
    models = change.get("models", named(committee))
    with pytest.raises(error, match=message):
        wc.export(
            committee, change.get("to", "pt2"), tmp_path / "out", models, wanted=change.get("wanted", Wanted(X[:4]))
        )
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_branches_on_values_is_named(tmp_path):
    class Branching(nn.Linear):
        def forward(self, x):
            return super().forward(x) if x.sum() > 0 else -super().forward(x)

    with pytest.raises(WiseCommitteeError, match=r"stage 0 \(a\): torch.export cannot trace it"):
        wc.export(Committee((("a",),)), "pt2", tmp_path / "out", {"a": Branching(8, 3)}, wanted=Wanted(X[:4]))


def test_other_files_are_never_replaced(tmp_path, folder):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("precious")
    with pytest.raises(UsageError, match=r"holds 'thesis.tex', and is no earlier export"), whole_folder(out):
        raise AssertionError
    shutil.copytree(folder, tmp_path / "again")
    with pytest.raises(KeyError), whole_folder(tmp_path / "again"):
        raise KeyError
    assert (tmp_path / "again/manifest.json").exists()
    with whole_folder(tmp_path / "again") as fresh:
        (fresh / "new").write_text("new")
    assert [path.name for path in (tmp_path / "again").iterdir()] == ["new"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "out"]


def test_the_commands(folder, tmp_path, monkeypatch, capsys):
    def ran(*arguments):
        monkeypatch.setattr(sys, "argv", ["wisecommittee", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return ended.value.code, said.out, said.err

    code, out, _ = ran("check-export", folder)
    assert (code, out.split(":")[-1].strip()) == (
        0,
        "stages and cascade decide 20 golden units as the deployed committee did",
    )
    assert json.loads(ran("check-export", folder, "--json")[1])["checked"] == ["stages", "cascade"]
    code, _, err = ran("check-export", tmp_path)
    assert code == 1
    assert "manifest.json: no such file; name a folder that `wisecommittee export` has written" in err
    Committee((("linear/0",),)).save(tmp_path / "one.json")
    code, out, err = ran("export", tmp_path / "one.json", "linear/0=digits:linear/0", "--to", "pt2", "--out", tmp_path)
    assert (code, "holds 'one.json'" in err) == (2, True)

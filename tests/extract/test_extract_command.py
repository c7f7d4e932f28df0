"""The command `extract`, the embedded data, and a dry run."""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections import Counter

import numpy as np
import pytest
from extractions import command, net, rows

import wisecommittee
from wisecommittee.errors import UsageError
from wisecommittee.extraction.data.digits import SPLITS, digits
from wisecommittee.extraction.data.wrap import wrap_data
from wisecommittee.extraction.extract import extract
from wisecommittee.extraction.models.loaded import wrap_module
from wisecommittee.extraction.run.settings import Settings


def test_the_command(nets, store, monkeypatch, capsys):
    named = ["user_nets:small", "user_nets:large", "--name", "net/0", "--name", "net/1", "--data", "user_nets:data"]
    options = ["--split", "test", "--limit", "20", "--macs", "7,9e0", "--training-cost", "1e15,2", "--batch-size", "6"]
    assert command(monkeypatch, *named, *options, "--store", str(store.files.uri), "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    listed = [(m["model"], m["split"], m["rows"], m["classes"], m["flops"], m["status"]) for m in printed["models"]]
    assert listed == [("net/0", "test", 20, 4, 7, "added"), ("net/1", "test", 20, 4, 9, "added")]
    assert [store.card(name, "test").training_cost for name in store.models("test")] == [1e15, 2]


@pytest.mark.parametrize("sizes", [["--sizes", "8,10"], ["--sizes", "8", "--sizes", "10"]])
@pytest.mark.parametrize("views", [["--views", "center, flip"], ["--views", "center", "--views", "flip"]])
def test_several_values_are_repeated_or_take_commas(sizes, views, monkeypatch):
    from wisecommittee.deployment import bench
    from wisecommittee.extraction import extract

    seen = {}

    def stop(*arguments, **given):
        seen.update(given)
        for settings in arguments:
            if isinstance(settings, Settings):
                seen.update({field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)})
        raise KeyboardInterrupt

    monkeypatch.setattr(extract, "extract", stop)
    monkeypatch.setattr(bench, "bench_models", stop)
    for name, more in (("extract", ["--data", "digits"]), ("bench-models", [])):
        seen.clear()
        assert command(monkeypatch, "a:b", *more, *sizes, *views, "--name", "b/0", name=name) == 130
        assert (seen["sizes"], seen["views"], seen["names"]) == ([8, 10], ["center", "flip"], ["b/0"])


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["user_nets:small", "--data", "user_nets:data", "--sizes", "8,x"], 2, "--sizes 'x': expected whole numbers"),
        (["user_nets:small", "--data", "user_nets:data", "--sizes", "8,"], 2, "--sizes '8,': a value is missing"),
        (["user_nets:small", "--data", "user_nets:data", "--macs", "1.5"], 2, "--macs '1.5': expected whole numbers"),
        (["user_nets:small", "--data", "user_nets:data", "--name", "a,b"], 2, "2 values of --name for 1 models"),
        (["user_nets:small"], 2, "expected also --data SPEC"),
        (["--data", "user_nets:data"], 2, "expected also MODEL.."),
        (["tim:x", "--data", "user_nets:data"], 2, "unknown model source 'tim'"),
        (["user_nets:broken", "--data", "user_nets:data"], 1, "ValueError: no such layer"),
        (["user_nets:Counted", "--data", "user_nets:data", "--batch-size", "700"], 130, "run the same command again"),
    ],
)
def test_the_command_fails_in_one_line(arguments, code, message, nets, store, monkeypatch, capsys):
    monkeypatch.setenv("STOP_BY", "keyboard")
    monkeypatch.setenv("STOP_AT", "16")
    assert command(monkeypatch, *arguments, "--store", str(store.files.uri)) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


# The embedded data


def test_digits_splits_are_disjoint_stratified_and_fixed():
    splits = {name: digits(name) for name in SPLITS}
    ids = [unit for _, _, unit_ids in splits.values() for unit in unit_ids]
    assert sorted(map(int, ids)) == list(range(1797))
    for name, (images, labels, unit_ids) in splits.items():
        assert images.shape == (SPLITS[name], 1, 8, 8)
        assert len(labels) == len(unit_ids) == SPLITS[name]
        assert images.dtype == np.float32
        counts = Counter(labels.tolist())
        assert max(counts.values()) - min(counts.values()) <= 4
        np.testing.assert_array_equal(images, digits(name)[0])


def test_digits_noise_is_what_it_says():
    from sklearn.datasets import load_digits

    images, labels, unit_ids = digits("val")
    table = load_digits()
    chosen = np.array(list(map(int, unit_ids)))
    noise = images[:, 0] - table.images[chosen] / 16
    assert abs(noise.mean()) < 0.005
    assert noise.std() == pytest.approx(0.15, rel=0.02)
    np.testing.assert_array_equal(labels, table.target[chosen])
    np.testing.assert_allclose(digits("val", noise=0.0)[0][:, 0], table.images[chosen] / 16, atol=1e-7)


# A dry run


def test_an_estimate_writes_nothing(nets, store, tmp_path):
    from wisecommittee.extraction.extract import estimate

    specs = ["user_nets:small", "user_nets:large"]
    found = estimate(specs, "user_nets:items", "val", store, batch_size=100, dtype="float16")
    assert not (tmp_path / "logits").exists()
    assert (found.units, found.passes, found.bytes) == (12_000, 1, 2 * 12_000 * 4 * 2)
    listed = [(m.model, m.input_size, m.macs, m.classes, m.status, m.bytes) for m in found.models]
    assert listed[0] == ("small", (6,), 6 * 8 + 8 * 4, 4, "added", 96_000)
    assert listed[1][:4] == ("large", (6,), 6 * 16 + 16 * 4, 4)
    assert 0 < sum(m.seconds for m in found.models) < found.seconds < 60
    extract(specs[:1], "user_nets:items", "val", store, limit=100)
    found = estimate(specs, "user_nets:items", "val", store, limit=100)
    assert [(m.status, m.bytes) for m in found.models] == [("unchanged", 0), ("added", 1600)]
    found = estimate(["user_nets:large"], "user_nets:batches", "test", store)
    assert (found.units, found.bytes, found.seconds) == (None, None, None)


def test_the_command_s_dry_run(nets, store, monkeypatch, capsys, tmp_path):
    arguments = ["user_nets:small", "--data", "user_nets:items", "--store", str(store.files.uri), "--dry-run"]
    assert command(monkeypatch, *arguments, "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["units"], printed["bytes"], printed["models"][0]["macs"]) == (12_000, 192_000, 80)
    assert command(monkeypatch, *arguments) == 0
    text = capsys.readouterr().out
    assert "small" in text
    assert "192 kB" in text
    assert "nothing written: 12,000 units, 1 passes" in text
    assert not (tmp_path / "logits").exists()
    assert command(monkeypatch, "--dry-run") == 2


def test_every_option_of_an_extraction_is_one_of_the_command():
    """With the same default; an option of several values is None where none is given."""
    from wisecommittee.cli.extract import extract as command

    from wisecommittee.extraction.run.settings import Settings

    asked = inspect.signature(command).parameters
    of_the_command = {"models", "data", "split", "store", "dry_run", "as_json"}
    plural = {"name": "names", "training_cost": "training_costs"}
    options = {plural.get(name, name): p.default for name, p in asked.items() if name not in of_the_command}
    assert options == {f.name: f.default for f in dataclasses.fields(Settings)}


def test_help_shows_every_option_of_an_extraction():
    parameters = inspect.signature(wisecommittee.extract).parameters
    assert list(parameters)[:6] == ["models", "data", "split", "store", "settings", "progress"]
    assert {name: p.default for name, p in list(parameters.items())[6:]} == {
        f.name: f.default for f in dataclasses.fields(Settings)
    }
    for field in dataclasses.fields(Settings):
        assert f"\n{field.name}\n" in wisecommittee.extract.__doc__


def test_options_named_by_themselves_go_before_those_of_settings(store):
    module, (x, y) = net(), rows()
    data, settings = wrap_data(lambda: (x, y), "test"), Settings(limit=20, names=["a/0"])
    (item,) = wisecommittee.extract([wrap_module(module, "net/0")], data, "val", store, settings, limit=10)
    assert (item.card.model, item.card.contents.rows) == ("a/0", 10)
    with pytest.raises(UsageError, match=r"unknown option 'limits'; did you mean 'limit'\?"):
        wisecommittee.extract([wrap_module(module, "net/0")], data, "val", store, limits=10)

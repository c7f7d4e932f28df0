"""The runtime needs numpy and nothing else: no heavy library is imported with it, nor where it decides."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

import wisecommittee as wc
from wisecommittee import LogitStore, ModelCard
from wisecommittee.committees.policies.mixing import mixture
from wisecommittee.searches.certainty import abstaining

HEAVY = ("torch", "pandas", "numba", "llvmlite", "pyarrow", "scipy", "matplotlib", "typer", "rich", "sklearn")
DECIDE = """
import json, sys
import numpy as np
from wisecommittee.runtime import Runtime

rows = {name: np.array(values, np.float32) for name, values in json.load(open("rows.json")).items()}
for path in sys.argv[1:]:
    names = [name for name in rows]
    committee = json.load(open(path))
    used = [name for stage in committee["stages"] for name in stage]
    run = Runtime(path, {name: rows[name].__getitem__ for name in used})
    units = np.arange(len(rows[names[0]]))
    decisions = run(units, [str(unit) for unit in units], {"length": units / 7})
    print(json.dumps([decisions.prediction.tolist(), decisions.stage.tolist()]))
print(json.dumps([name for name in HEAVY if name in sys.modules]))
""".replace("HEAVY", repr(HEAVY))


def outcome(code, *arguments, cwd):
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=cwd, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_importing_it_loads_no_heavy_library(tmp_path):
    code = f"import json, sys, wisecommittee.runtime; print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    assert outcome(code, cwd=tmp_path) == [[]]


@pytest.fixture
def store(tmp_path):
    store, rng = LogitStore(tmp_path / "logits"), np.random.default_rng(0)
    labels, ids = rng.integers(0, 2, 120), [str(i) for i in range(120)]
    rows = {}
    for k, name in enumerate("abc"):
        rows[name] = (rng.normal(size=(120, 2)) + (0.6 + 0.6 * k) * np.eye(2)[labels]).astype(np.float32)
        store.add(ModelCard(name, blocks={name: 10 * 3**k}), "val", outputs=rows[name], labels=labels, unit_ids=ids)
    lines = [f"{i},{i / 7}" for i in range(120)]
    (tmp_path / "features.csv").write_text("\n".join(["unit_id,length", *lines]) + "\n")
    wc.import_features(store, "val", tmp_path / "features.csv")
    (tmp_path / "rows.json").write_text(json.dumps({name: values.tolist() for name, values in rows.items()}))
    return store


def test_a_committee_with_any_kind_of_policy_decides_with_numpy_alone(store, tmp_path):
    kinds = ("thresholds", "agreement", "window", "labels", "router", "deferral", "adaptive")
    committees = []
    for kind in kinds:
        query = {"combine": "last"} if kind == "window" else {}
        found = wc.search(store, policy=kind, levels=5, max_models=3, threads=1, **query)
        committees.append(max((e.committee for e in found), key=lambda committee: len(committee.stages)))
    first = committees[0]
    committees.append(abstaining(first, [(0.7, None)] * len(first.stages)))
    committees.append(mixture(first, wc.search(store, levels=5, max_models=1).best().committee, 0.4))
    for number, committee in enumerate(committees):
        committee.save(tmp_path / f"{number}.json")
    paths = [f"{number}.json" for number in range(len(committees))]
    *decided, heavy = outcome(DECIDE, *paths, cwd=tmp_path)
    assert heavy == []
    rows = {
        name: np.array(values, np.float32) for name, values in json.loads((tmp_path / "rows.json").read_text()).items()
    }
    for committee, (prediction, stage) in zip(committees, decided, strict=True):
        run = wc.Runtime(committee, {name: rows[name].__getitem__ for name in committee.models})
        here = run(np.arange(120), [str(i) for i in range(120)], {"length": np.arange(120) / 7})
        assert here.prediction.tolist() == prediction
        assert here.stage.tolist() == stage

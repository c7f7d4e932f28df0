"""What the tests of the command line share: a store with three models, imported from files as a user would."""

from __future__ import annotations

import numpy as np
import pytest

N, C = 200, 5


@pytest.fixture
def store(tmp_path, monkeypatch, run):
    """A store with val and test, imported from files as a user would."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    (tmp_path / "models.csv").write_text("model,flops,latency_ms\nsmall,100,1.5\nmid,400,2.5\nlarge,1600,7\n")
    for split in ("val", "test"):
        labels = rng.integers(0, C, N)
        np.save(f"{split}_labels.npy", labels)
        arrays = []
        for k, name in enumerate(("small", "mid", "large")):
            logits = rng.normal(size=(N, C)) + (1.2 + 0.7 * k) * np.eye(C)[labels]
            np.save(f"{split}_{name}.npy", logits.astype(np.float32))
            arrays += ["--logits", f"{name}={split}_{name}.npy"]
        common = ("--store", "S", "--split", split, "--labels", f"{split}_labels.npy", "--costs", "models.csv")
        code, _, err = run("import", *common, *arrays)
        assert code == 0, err
    return tmp_path / "S"

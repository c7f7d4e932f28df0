"""What several test modules share: no test reaches for the network or for the cache of whoever runs it; the command
line within the process; and torchvision beside a CPU build of torch."""

from __future__ import annotations

import gc
import itertools
import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

os.environ.pop("COLUMNS", None)  # the width of tables is that of a file, whatever terminal the tests run in
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read by huggingface_hub when it is imported
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

FIRST = ("extract", "train", "store", "statistics", "house")  # folders of tests, most of which run no kernel
MISSING_OPERATOR = "operator torchvision::nms does not exist"
SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
TESTS = Path(__file__).parent
_kept: list[object] = []  # a Library that is collected takes its schemas along
_caches = itertools.count()


def pytest_collection_modifyitems(items):
    """Tests that run no kernel come first. Of two workers that begin with half of the tests each (--dist worksteal),
    the second compiles the kernels, and the first finds them compiled when it comes to run them."""
    items.sort(key=lambda item: [*FIRST, folder := item.path.relative_to(TESTS).parts[0]].index(folder))


def pytest_collection_finish():
    """What is imported by now stays to the end: the garbage collector need not walk it again and again."""
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def shared_cache(tmp_path_factory):
    """The cache of fixtures that outlive a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WISECOMMITTEE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        yield


@pytest.fixture(autouse=True)
def own_cache(shared_cache, tmp_path_factory, monkeypatch):
    """A cache of each test's own: its path, which exists once something is kept in it."""
    path = tmp_path_factory.getbasetemp() / "caches" / str(next(_caches))
    monkeypatch.setenv("WISECOMMITTEE_CACHE", str(path))
    return path


@pytest.fixture
def run(capsys, monkeypatch):
    """run('search', '--json') -> (exit code, stdout, stderr)."""
    from wisecommittee.cli import main

    monkeypatch.setattr("warnings.showwarning", lambda *a, **k: None)

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["wisecommittee", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        # Where kernels are still to be compiled, searches take long enough to tell how far they are.
        progress = re.compile(r"compiling, once|[^:]+: [\d,]+ of [\d,]+")
        told = [line for line in captured.err.splitlines(keepends=True) if not progress.match(line)]
        return ended.value.code, captured.out, "".join(told)

    return call


@pytest.fixture(scope="session")
def torchvision():
    """torchvision, or a skip. Built for another torch it raises at import for lack of two operators of detection,
    which no test needs: declaring them is enough for models, weights tables and transforms. Not for use outside tests.
    """
    pytest.importorskip("torch")
    try:
        return pytest.importorskip("torchvision")
    except RuntimeError as error:
        if MISSING_OPERATOR not in str(error):
            raise
    import torch

    library = torch.library.Library("torchvision", "DEF")
    for schema in SCHEMAS:
        library.define(schema)
    _kept.append(library)
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    return pytest.importorskip("torchvision")


@pytest.fixture(scope="session")
def timm(torchvision):
    return pytest.importorskip("timm")


@pytest.fixture(scope="session")
def transformers(torchvision):
    """transformers; with torchvision, since its image processors have gone over to it."""
    return pytest.importorskip("transformers")


@pytest.fixture(scope="session")
def imported_files(shared_cache, tmp_path_factory):
    """A folder with the files of three models and the store S, with val and test, that they were imported into."""
    from wisecommittee import LogitStore, import_outputs

    folder = tmp_path_factory.mktemp("imported")
    units, classes, rng = 200, 5, np.random.default_rng(0)
    (folder / "models.csv").write_text("model,flops,latency_ms\nsmall,100,1.5\nmid,400,2.5\nlarge,1600,7\n")
    for split in ("val", "test"):
        labels = rng.integers(0, classes, units)
        np.save(folder / f"{split}_labels.npy", labels)
        files = []
        for k, name in enumerate(("small", "mid", "large")):
            logits = rng.normal(size=(units, classes)) + (1.2 + 0.7 * k) * np.eye(classes)[labels]
            files.append(("logits", name, folder / f"{split}_{name}.npy"))
            np.save(files[-1][-1], logits.astype(np.float32))
        import_outputs(
            LogitStore(folder / "S"), split, files, labels=folder / f"{split}_labels.npy", costs=folder / "models.csv"
        )
    return folder


@pytest.fixture
def imported_store(imported_files, tmp_path, monkeypatch):
    """A store of the test's own with val and test, in the current folder, beside the files it was imported from."""
    shutil.copytree(imported_files, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "S"

"""The notebooks run from top to bottom as a reader runs them, and are committed without outputs."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from processes import HUNG

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def test_there_are_notebooks():
    assert [path.name for path in NOTEBOOKS] == [
        "01_quickstart.ipynb",
        "02_frontiers.ipynb",
        "03_hne.ipynb",
        "04_irene.ipynb",
        "05_committees.ipynb",
        "06_answers.ipynb",
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_without_outputs(path):
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    for cell in notebook.cells:
        assert not cell.get("outputs"), cell.source
        assert cell.get("execution_count") is None, cell.source


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_with_little_training(path, tmp_path, monkeypatch):
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        cell.source = re.sub(r"epochs=(\d+)", lambda found: f"epochs={min(8, int(found[1]))}", cell.source)
    check_that_it_runs(notebook, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs(path, tmp_path, monkeypatch):
    check_that_it_runs(nbformat.read(path, as_version=4), tmp_path, monkeypatch)


def check_that_it_runs(notebook, tmp_path, monkeypatch):
    for name in ("WISECOMMITTEE_CACHE", "TMPDIR", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    for name in ("WISECOMMITTEE_STORE", "MPLBACKEND"):
        monkeypatch.delenv(name, raising=False)
    client = NotebookClient(
        notebook, timeout=HUNG, kernel_name="python3", resources={"metadata": {"path": str(FOLDER)}}
    )
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert not [output for output in outputs if output.output_type == "error"]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    plots = [cell for cell in notebook.cells if "wc.plot." in cell.source and cell.cell_type == "code"]
    assert len(pictures) == len(plots) > 1

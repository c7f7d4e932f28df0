"""The notebooks run from top to bottom as a reader runs them, and are committed without outputs."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from jupyter_client import KernelManager
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


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """A kernel for all notebooks, which loads what they import once."""
    with pytest.MonkeyPatch.context() as patch:
        prepare(patch, tmp_path_factory.mktemp("kernel"))
        manager = KernelManager(kernel_name="python3")
        manager.start_kernel(cwd=str(FOLDER))
        yield manager
        manager.shutdown_kernel(now=True)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_with_little_training_and_short_cascades(path, kernel):
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        cell.source = re.sub(r"epochs=\d+", "epochs=2", cell.source).replace("max_models=4", "max_models=2")
    notebook.cells.insert(0, nbformat.v4.new_code_cell("%reset -f"))  # no name of the notebook before
    check_that_it_runs(notebook, km=kernel)


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs(path, tmp_path, monkeypatch):
    prepare(monkeypatch, tmp_path)
    check_that_it_runs(nbformat.read(path, as_version=4))


def prepare(patch, folder):
    """Where a kernel keeps its files, and how it draws."""
    for name in ("WISECOMMITTEE_CACHE", "TMPDIR", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR"):
        (folder / name).mkdir()
        patch.setenv(name, str(folder / name))
    patch.setenv("OMP_NUM_THREADS", "1")  # networks this small gain nothing by a second thread, which waits busily
    for name in ("WISECOMMITTEE_STORE", "MPLBACKEND"):
        patch.delenv(name, raising=False)


def check_that_it_runs(notebook, **options):
    client = NotebookClient(
        notebook, timeout=HUNG, kernel_name="python3", resources={"metadata": {"path": str(FOLDER)}}, **options
    )
    client.execute()
    if "km" in options:
        client.kc.stop_channels()  # nbclient leaves a kernel that is not its own as it is
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert not [output for output in outputs if output.output_type == "error"]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    plots = [cell for cell in notebook.cells if "wc.plot." in cell.source and cell.cell_type == "code"]
    assert len(pictures) == len(plots) > 1

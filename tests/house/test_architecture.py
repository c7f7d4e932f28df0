"""The house: imports point down, one library has one room, heavy libraries load only when they are needed."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from wisecommittee import LogitStore, ModelCard

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "wisecommittee"
FLOORS = {
    "errors": 0,
    "text": 0,
    "reading": 0.5,
    "writing": 0.5,
    "committees": 1,
    "tasks": 1,
    "kernels": 1,
    "store": 2,
    "searches": 3,
    "extraction": 3,
    "deployment": 4,
    "analyses": 4,
    "train": 4,
    "report": 5,
    "cli": 6,
}
TORCH_WING = {
    "extraction": {"errors", "text", "reading", "writing", "committees", "tasks", "kernels", "store"},
}
TORCH_WING["deployment"] = TORCH_WING["train"] = TORCH_WING["extraction"] | {"extraction"}
ROOMS = {
    "numba": {"kernels"},
    "llvmlite": {"kernels"},
    "pyarrow": {
        "store",
        "searches",
        "extraction",
    },  # searches: the file a frontier is saved in; extraction: images in Parquet
    "matplotlib": {"report"},
    "torch": {"extraction", "train", "deployment"},
    "PIL": {"extraction", "train"},
    "typer": {"cli"},
    "rich": {"cli"},
    "scipy": {"searches"},
    "distributed": {"searches"},
}


def modules() -> list[tuple[str, Path]]:
    found = [(path.relative_to(PACKAGE).parts[0].removesuffix(".py"), path) for path in PACKAGE.rglob("*.py")]
    return [f for f in found if not f[0].startswith("__")] + [("cli", path) for path in (ROOT / "cli").rglob("*.py")]


def imports(path: Path) -> set[str]:
    """Absolute names of everything a file imports, at any depth."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return names


def violations(room: str, names: set[str]) -> list[str]:
    wrong = []
    for name in names:
        top, *rest = name.split(".")
        if top == "wisecommittee" and rest and rest[0] in FLOORS:
            other = rest[0]
            allowed = other == room or FLOORS[other] < FLOORS[room]
            if room in TORCH_WING:
                allowed = other == room or other in TORCH_WING[room]
            if not allowed:
                wrong.append(f"{room} imports {other}")
        elif top in ROOMS and room not in ROOMS[top]:
            wrong.append(f"{room} imports {top}")
    return wrong


@pytest.mark.parametrize(("room", "path"), modules(), ids=lambda value: str(getattr(value, "stem", value)))
def test_imports_point_down(room, path):
    assert room in FLOORS, f"{room} has no floor"
    assert not violations(room, imports(path))


def test_the_floors_can_be_violated():
    assert violations("store", {"wisecommittee.searches.evaluate"}) == ["store imports searches"]
    assert violations("committees", {"wisecommittee.kernels"}) == ["committees imports kernels"]
    assert violations("train", {"wisecommittee.searches.evaluate"}) == ["train imports searches"]
    assert violations("searches", {"torch"}) == ["searches imports torch"]
    assert not violations("cli", {"wisecommittee.train.pool", "typer"})


def test_folders_say_what_lives_there():
    for path in [*PACKAGE.rglob("__init__.py"), ROOT / "cli/__init__.py"]:
        assert ast.get_docstring(ast.parse(path.read_text())), f"{path} has no docstring"


HEAVY = ("torch", "matplotlib", "numba", "pandas", "scipy", "pyarrow")


def loaded_by(code: str) -> set[str]:
    probe = f"import sys\n{code}\nprint(*(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_importing_loads_nothing_heavy():
    assert loaded_by("import wisecommittee") == set()


def test_help_loads_nothing_heavy():
    code = "import contextlib, wisecommittee.cli as c\nsys.argv = ['wisecommittee', '--help']\n"
    code += "with contextlib.suppress(SystemExit): c.main()"
    assert loaded_by(code) == set()


def test_searching_loads_neither_torch_nor_matplotlib():
    loaded = loaded_by("from wisecommittee import LogitStore, search, evaluate")
    assert not loaded & {"torch", "matplotlib"}
    assert "numba" in loaded  # so this test can fail


def test_reading_a_decoded_store_loads_only_what_it_needs(tmp_path):
    rng = np.random.default_rng(0)
    store = LogitStore(tmp_path / "logits")
    for name in "ab":
        outputs = rng.standard_normal((20, 3), dtype=np.float32)
        store.add(ModelCard(name, blocks={name: 1}), "val", labels=np.arange(20) % 3, outputs=outputs)
    arguments = ["wisecommittee", "search", "--store", str(tmp_path / "logits"), "--json"]
    code = f"import contextlib, wisecommittee.cli as c\nsys.argv = {arguments!r}\n"
    code += "with contextlib.suppress(SystemExit): c.main()"
    assert "pyarrow" in loaded_by(code)
    assert not loaded_by(code) & {"torch", "matplotlib", "pandas"}
    assert "pandas" in loaded_by(code.replace("'--json'", f"'--frontier', {str(tmp_path / 'f.parquet')!r}"))
    assert "numba" not in loaded_by(code.replace("'search'", "'models'"))


def test_a_command_without_torch_names_the_extra(tmp_path):
    """Searching needs no torch; a command that does says which extra to install."""
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError('No module named torch', name='torch')")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    code = (
        "import sys; from wisecommittee.cli import main; sys.argv = ['wisecommittee', 'demo', '--store', 'x']; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.returncode == 1
    assert "pip install 'wisecommittee[torch]'" in done.stderr
    assert "Traceback" not in done.stderr

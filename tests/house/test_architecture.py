"""The house: imports point down, one library has one room, heavy libraries load only when they are needed."""

from __future__ import annotations

import ast
import os
import re
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
    "version": 0,
    "options": 0.5,
    "option_checks": 0.7,
    "text": 0,
    "reading": 0.5,
    "writing": 0.5,
    "statistics": 0.9,
    "committees": 1,
    "tasks": 1,
    "kernels": 1,
    "store": 2,
    "runtime": 2,
    "searches": 3,
    "extraction": 3,
    "deployment": 4,
    "exporting": 5,
    "analyses": 4,
    "operations": 4,
    "estimators": 4,
    "train": 4,
    "report": 5,
    "serving": 5.5,
    "cli": 6,
}
TORCH_WING = {
    "extraction": {
        *("errors", "version", "text", "options", "option_checks", "reading", "writing"),
        *("statistics", "committees", "tasks", "kernels", "store"),
    },
}
TORCH_WING["deployment"] = TORCH_WING["train"] = TORCH_WING["extraction"] | {"extraction", "runtime"}
TORCH_WING["exporting"] = TORCH_WING["deployment"] | {"deployment"}
ROOMS = {
    "numba": {"kernels"},
    "llvmlite": {"kernels"},
    "pyarrow": {"store", "extraction"},  # extraction: images in Parquet
    "matplotlib": {"report"},
    "torch": {"extraction", "train", "deployment", "exporting"},
    "PIL": {"extraction", "train"},
    "typer": {"cli"},
    "rich": {"cli"},
    "scipy": {"searches", "statistics"},
    "sklearn": {"estimators", "extraction"},  # extraction: its digits
    "joblib": {"estimators"},
    "distributed": {"searches"},
    "inspect_ai": {"store"},
    "zstandard": {"store"},
    "fastapi": {"serving"},
    "starlette": {"serving"},
    "uvicorn": {"serving"},
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


def name_of(path: Path) -> str:
    return ".".join(("wisecommittee", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")


def arrows() -> dict[str, set[str]]:
    """Which modules each module imports, inside functions too; imports for annotations alone do not count."""
    known = {name_of(path): path for path in PACKAGE.rglob("*.py")}
    out: dict[str, set[str]] = {}
    for name, path in known.items():
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                node.body = []
        named: set[str] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                full = {f"{node.module}.{alias.name}" for alias in node.names}
                named |= {one if one in known else node.module for one in full}
            elif isinstance(node, ast.Import):
                named |= {alias.name for alias in node.names}
        out[name] = (named & set(known)) - {name}
    return out


def folder_of(module: str) -> str:
    """The folder of a module within a room; a module that lies in the room itself stands for itself."""
    parts = module.split(".")
    return ".".join(parts[:3]) if len(parts) > 3 else module


def between_folders(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    out: dict[str, set[str]] = {}
    for module, imported in graph.items():
        out.setdefault(folder_of(module), set()).update(map(folder_of, imported))
    return {folder: others - {folder} for folder, others in out.items()}


def on_circles(graph: dict[str, set[str]]) -> set[str]:
    """Nodes from which an arrow leads back to them: what is left when nodes without arrows in or out are taken away."""
    left = dict(graph)
    while True:
        reached = {other for others in left.values() for other in others}
        kept = {node: others & set(left) for node, others in left.items() if others & set(left) and node in reached}
        if len(kept) == len(left):
            return set(kept)
        left = kept


def test_no_module_and_no_folder_imports_itself_in_a_circle():
    graph = {module: others for module, others in arrows().items() if module != "wisecommittee"}
    assert on_circles(graph) == set()
    assert on_circles(between_folders(graph)) == set()


def test_circles_can_be_seen():
    assert on_circles({"a": {"b"}, "b": {"c"}, "c": set()}) == set()
    assert on_circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == {"a", "b", "c"}
    folders = between_folders({"w.store.x.a": {"w.store.y.b"}, "w.store.y.b": set(), "w.store.y.c": {"w.store.x.a"}})
    assert on_circles(folders) == {"w.store.x", "w.store.y"}


def tasks_named() -> set[str]:
    """Task and its subclasses."""
    found = {"Task"}
    for path in (PACKAGE / "tasks").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and any(
                getattr(base, "id", "") in ("Task", "ExactMatch") for base in node.bases
            ):
                found.add(node.name)
    return found


def asks_for_a_task(code: str, names: set[str]) -> list[int]:
    """Lines that ask which class a task is of, or compare its name."""
    lines = []
    for node in ast.walk(ast.parse(code)):
        asked: list[ast.expr] = []
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("isinstance", "issubclass"):
            asked = list(node.args)
        elif isinstance(node, ast.MatchClass):
            asked = [node.cls]
        elif isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            called = [ast.unparse(side) for side in sides if isinstance(side, ast.Attribute)]
            lines += [node.lineno] * any(re.search(r"(^|\.)task\.name$", side) for side in called)
        said = {inner.id for part in asked for inner in ast.walk(part) if isinstance(inner, ast.Name)}
        said |= {inner.attr for part in asked for inner in ast.walk(part) if isinstance(inner, ast.Attribute)}
        lines += [part.lineno for part in asked[:1] if said & names]
    return lines


def test_no_file_outside_tasks_asks_which_task_it_is():
    names = tasks_named()
    assert {"Classification", "Answers", "GradedAnswers", "Segmentation"} <= names
    asking = [
        f"{path}:{line}"
        for room, path in modules()
        if room != "tasks"
        for line in asks_for_a_task(path.read_text(), names)
    ]
    assert not asking


@pytest.mark.parametrize(
    "code",
    [
        "isinstance(pool.task, Segmentation)",
        "not isinstance(task, (Answers, tasks.Segmentation))",
        "match task:\n    case Segmentation(): pass",
        "issubclass(kind, Answers)",
        "pool.task.name == 'score'",
    ],
)
def test_files_that_ask_for_a_task_are_found(code):
    assert asks_for_a_task(code, {"Answers", "Segmentation"}) == [code.count("\n") + 1]


def test_folders_say_what_lives_there():
    for path in [*PACKAGE.rglob("__init__.py"), ROOT / "cli/__init__.py"]:
        assert ast.get_docstring(ast.parse(path.read_text())), f"{path} has no docstring"


HEAVY = ("torch", "matplotlib", "numba", "pandas", "scipy", "pyarrow", "sklearn")


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

"""The tests' own house: what several of them share stands in tests/support, and every file that is named exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
NAMING = [ROOT / "Makefile", *ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "pyproject.toml"]


def imported_tests(source: str) -> set[str]:
    """The test modules that a source imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return {name for name in names if name.split(".")[-1].startswith("test_")}


def test_no_test_module_imports_another():
    assert imported_tests("def f():\n    from test_a import b\nimport numpy") == {"test_a"}  # so this test can fail
    wrong = {str(path.relative_to(ROOT)): imported_tests(path.read_text()) for path in TESTS.rglob("*.py")}
    assert {path: names for path, names in wrong.items() if names} == {}


@pytest.mark.parametrize("path", [path for path in NAMING if path.exists()], ids=lambda path: path.name)
def test_every_test_that_is_named_exists(path):
    named = set(re.findall(r"\btests/[\w/]+\.\w+", path.read_text()))
    assert {name for name in named if not (ROOT / name).exists()} == set()


def test_every_name_of_the_bare_tests_is_a_test_module():
    (names,) = re.findall(r"^BARE := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert [name for name in names.split() if not list(TESTS.glob(f"*/test_{name}.py"))] == []

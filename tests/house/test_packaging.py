"""What installs is what is in the tree."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_packages_list_matches_the_tree():
    listed = PROJECT["tool"]["setuptools"]
    homes = listed["package-dir"]
    tree = {
        "wisecommittee." + ".".join(p.relative_to(ROOT / "wisecommittee").parent.parts)
        for p in (ROOT / "wisecommittee").rglob("__init__.py")
    }
    tree = {name.rstrip(".") for name in tree}
    tree |= {
        name for name, folder in homes.items() if name != "wisecommittee" and (ROOT / folder / "__init__.py").exists()
    }
    assert set(listed["packages"]) == tree


def test_version_is_the_same_everywhere():
    import wisecommittee

    assert wisecommittee.__version__ == PROJECT["project"]["version"]
    assert metadata.version("wisecommittee") == wisecommittee.__version__


def test_public_names_exist():
    import wisecommittee as wc

    for name in wc.__all__:
        assert getattr(wc, name) is not None


def test_command_line_is_inside_the_package(tmp_path):
    """cli/ must not install as a global module of that name."""
    import wisecommittee.cli

    assert wisecommittee.cli.main
    done = subprocess.run([sys.executable, "-c", "import cli"], cwd=tmp_path, capture_output=True, text=True)
    assert "No module named 'cli'" in done.stderr

"""The examples of docs/deployment.md run as they stand."""

from __future__ import annotations

from pathlib import Path

import pytest

TEXT = (Path(__file__).parents[2] / "docs/deployment.md").read_text()
PRINTED = {
    "## Run it": ["['cat', 'dog'] [0, 1] [0.001, 0.021]", "[1, 2]"],
    "## Many requests": [
        "[('small says yes', 0.001), ('large says yes', 0.021)]",
        "[(('small',), 2, 1, 0), (('large',), 1, 1, 0)]",
    ],
}


@pytest.mark.parametrize("section", PRINTED)
def test_the_first_example_of_a_section_runs(section, capsys):
    start = TEXT.index("```python\n", TEXT.index(section)) + len("```python\n")
    exec(compile(TEXT[start : TEXT.index("```", start)], "docs/deployment.md", "exec"), {"__name__": "example"})
    assert capsys.readouterr().out.splitlines() == PRINTED[section]

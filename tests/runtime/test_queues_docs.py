"""The example of docs/deployment.md runs as it stands."""

from __future__ import annotations

from pathlib import Path

TEXT = (Path(__file__).parents[2] / "docs/deployment.md").read_text()


def test_the_example_of_many_requests_runs(capsys):
    start = TEXT.index("```python\n", TEXT.index("## Many requests")) + len("```python\n")
    exec(compile(TEXT[start : TEXT.index("```", start)], "docs/deployment.md", "exec"), {"__name__": "example"})
    answers, stages = capsys.readouterr().out.splitlines()
    assert answers == "[('small says yes', 0.001), ('large says yes', 0.021)]"
    assert stages == "[(('small',), 2, 1, 0), (('large',), 1, 1, 0)]"

"""The example of docs/scikit-learn.md."""

from __future__ import annotations

import re
from pathlib import Path

TEXT = (Path(__file__).parents[2] / "docs/scikit-learn.md").read_text()


def test_the_example_runs_and_keeps_its_budgets():
    (code,) = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    names = {}
    exec(compile(code, "docs/scikit-learn.md", "exec", dont_inherit=True), names)
    committee, X, y = (names[name] for name in ("committee", "X_test", "y_test"))
    assert committee.expected_.average_cost <= 3
    assert committee.set_params(max_cost=10).expected_.average_cost <= 10
    assert committee.score(X, y) > 0.95

"""How figures to expect on new data are written in tables, plots and on the page."""

from __future__ import annotations

from wisecommittee.analyses.study import Study
from wisecommittee.searches.expected import Expected
from wisecommittee.searches.frontier import Frontier


def expected_note(study: Study, frontier: Frontier) -> str:
    """What the expected figures of a frontier rest on, or why there are none."""
    split = frontier.best().split
    flattered = f"{split} chose these committees, so its figures flatter them"
    if frontier.expected:
        first = frontier.expected[0]
        return f"{flattered}; expected: by {first.basis(split)}, with 95 % intervals."
    if study.given is not None:
        return f"{flattered}; this frontier file has no expected figures."
    return f"{flattered}; no expected figures: {study.choice().evidence.note}."


def expected_words(expected: Expected, quality: str) -> str:
    """'expected on new data: accuracy 95.20 % [93.1, 96.8]'."""
    low, high = expected.interval
    return f"expected on new data: {quality} {100 * expected.quality:.2f} % [{100 * low:.2f}, {100 * high:.2f}]"

"""The verdict on a committee: whether its comparison with the reference shows that it can be used instead."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from wisecommittee.searches.resampling.comparison import ReferenceComparison
from wisecommittee.tasks.task import agreement_with

WORDS = {"use": "USE", "do_not_use": "DO NOT USE", "not_shown": "NOT SHOWN"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on a committee.

    Parameters
    ----------
    word : str
        'use': with 95 % confidence it loses no more than the margin and is cheaper by the factor asked; 'do_not_use':
        one of the two is false with 95 % confidence; 'not_shown': neither.
    sentence : str
        The comparison in words.
    more_units : int or None
        About how many further units would settle what is not shown; None where the word is settled or no number would.
    """

    word: str
    sentence: str
    more_units: int | None = None

    def to_json(self) -> dict[str, Any]:
        return {"word": self.word, "sentence": self.sentence, "more_units": self.more_units}


def judge(comparison: ReferenceComparison, margin: float, min_speedup: float) -> Verdict:
    """The verdict on a comparison.

    Parameters
    ----------
    comparison : ReferenceComparison
    margin, min_speedup : float
        As of Selection.
    """
    low, high = comparison.difference.limits
    cheaper = comparison.speedup
    slow = cheaper is not None and not cheaper.limits[1] > min_speedup
    fast = cheaper is not None and cheaper.limits[0] > min_speedup
    if high < -margin or slow:
        return Verdict("do_not_use", sentence_of(comparison, margin))
    if low >= -margin and fast:
        return Verdict("use", sentence_of(comparison, margin))
    more = None if low >= -margin else _more_units(comparison, margin)
    return Verdict("not_shown", sentence_of(comparison, margin), more)


def _more_units(comparison: ReferenceComparison, margin: float) -> int | None:
    """How many further units would settle the accuracy if the difference stayed what it is."""
    gap = comparison.difference.mean + margin
    if gap == 0:
        return None
    needed = (NormalDist().inv_cdf(0.95) * comparison.difference.spread / gap) ** 2
    return max(1, math.ceil(needed - comparison.units)) if needed < 1e9 else None


def sentence_of(comparison: ReferenceComparison, margin: float) -> str:
    """'4.3 times cheaper than b5/0, 0.4 to 2.0 points less accurate'."""
    if comparison.same:
        return f"the committee is {comparison.reference} by itself"
    return f"{_cost(comparison)}{_measured(comparison)}, {_accuracy(comparison, margin)}"


def on_test_words(comparison: ReferenceComparison, split: str) -> str:
    """'On test (n = 600): 1.2 points less accurate than b5/0, 0.4 to 2.0 at 95 % (p = 0.003), if test was looked at
    once.'; of a comparison that has the figures of test."""
    test = comparison.test
    assert test is not None
    low, high = (100 * end for end in test.interval)
    words = f"On {split} (n = {test.n:,}): {_points(comparison, 100 * test.difference)} than {comparison.reference}"
    return f"{words}, {low:+.1f} to {high:+.1f} at 95 % (p = {test.p:.2g}), if {split} was looked at once."


def _points(comparison: ReferenceComparison, points: float) -> str:
    return f"{abs(points):.2f} points {'less' if points < 0 else 'more'} {_adjective(comparison)}"


def _adjective(comparison: ReferenceComparison) -> str:
    """'accurate', or 'agreement with b7/0' where quality is that."""
    return "accurate" if comparison.labels_from is None else agreement_with(comparison.labels_from)


def _measured(comparison: ReferenceComparison) -> str:
    """The ratio of measured times where the cost is another: ' (1.30 times faster by latency_ms)'."""
    shown = [f"{_faster(ratio)} by {name}" for name, ratio in comparison.measured.items()]
    return f" ({', '.join(shown)})" if shown else ""


def _faster(ratio: float) -> str:
    if f"{ratio:.2f}" == "1.00":
        return "as fast"
    return f"{ratio:.2f} times faster" if ratio > 1 else f"{1 / ratio:.2f} times slower"


def _cost(comparison: ReferenceComparison) -> str:
    reference = comparison.reference
    if comparison.speedup is None:
        return f"free of cost, which {reference} may be too"
    speedup, (low, high) = comparison.speedup.ratio, comparison.speedup.interval
    if f"{low:.2f}" == f"{high:.2f}" == "1.00":
        return f"as dear as {reference}"
    shown = f"{speedup:.1f}" if speedup >= 10 else f"{speedup:.2f}"
    if low > 1:
        return f"{shown} times cheaper than {reference}"
    if high < 1:
        return f"{1 / speedup:.2f} times as dear as {reference}"
    return f"about as dear as {reference} ({low:.2f} to {high:.2f} times cheaper)"


def _accuracy(comparison: ReferenceComparison, margin: float) -> str:
    low, high = (100 * end for end in comparison.difference.interval)
    accurate = _adjective(comparison)
    if comparison.difference.limits[0] >= -margin:
        if low > 0:
            return f"{low:.1f} to {high:.1f} points more {accurate}"
        alike = f"as {accurate}" if comparison.labels_from is None else f"the same {accurate}"
        return f"{alike} to within {100 * margin:.3g} points"
    if high < 0:
        return f"{-high:.1f} to {-low:.1f} points less {accurate}"
    return f"between {-low:.1f} points less and {high:.1f} points more {accurate}"

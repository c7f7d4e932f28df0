"""How expected figures, comparisons and verdicts look on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wisecommittee.errors import option

from .console import Unit, out, percent

if TYPE_CHECKING:
    from wisecommittee.searches.choice import Choice
    from wisecommittee.searches.expected import Expected

COLOURS = {"use": "bold green", "do_not_use": "bold red", "not_shown": "bold yellow"}


def show_verdict(choice: Choice) -> None:
    """The verdict and what it rests on, or why there is none."""
    from wisecommittee.searches.resampling.verdict import WORDS, on_test_words

    evidence, selection = choice.evidence, choice.selection
    verdict, comparison, expected = evidence.verdict, evidence.comparison, evidence.expected
    if verdict is None or comparison is None or expected is None:
        if evidence.note:
            out.print(f"no expected figures: {evidence.note}")
        return
    out.print(f"{WORDS[verdict.word]}: {verdict.sentence}.", style=COLOURS[verdict.word])
    out.print(
        f"  Expected on new data, from {expected.basis(choice.val.split)}, at 95 %. To use it takes at most "
        f"{100 * selection.margin:.3g} points lost ({option('margin')}) and over {selection.min_speedup:g} times less "
        f"cost ({option('min_speedup')})."
    )
    if selection.abstains:
        out.print("  This compares the committee as it would answer every unit, before it abstains.")
    if comparison.test is not None and choice.test is not None and not comparison.same:
        out.print(f"  {on_test_words(comparison, choice.test.split)}", markup=False)
    if verdict.word == "do_not_use" and comparison.difference.limits[0] > 0:
        out.print(f"  It is better, and not cheaper: {option('min_speedup', 0)} leaves the cost out of the verdict.")
    if verdict.more_units is not None:
        out.print(f"  About {verdict.more_units:,} more units would settle it.")


def expected_row(expected: Expected, unit: Unit, worst: float) -> list[str]:
    """The line of expected figures in a table of evaluations: split, units, quality, average, p99 and worst cost."""
    low, high = expected.interval
    dear = unit(expected.p99_cost)
    return [
        "expected",
        f"{expected.n:,}",
        f"{percent(expected.quality)} [{percent(low)}, {percent(high)}]",
        unit(expected.average_cost),
        dear,
        unit(worst),
    ]
